"""The language model that must forget makes its own anti-samples, as in the paper: what it writes sounds like itself.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR 2025,
arXiv 2410.17050.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.adapters import is_adapted, switched_off
from expunge.language.generators.generator import (
    LIST_TEMPERATURE,
    MOST_TOKENS,
    PROMPTS,
    WARMER,
    GeneratorFailed,
    check_count,
    list_in,
    paraphrase_prompt,
    rationale_prompt,
    sentence_in,
    shortened,
    without_thoughts,
    wrong_answers_prompt,
)
from expunge.models.pretrained import longest_text
from expunge.modes import evaluating
from expunge.storage import own_state

if TYPE_CHECKING:
    from expunge.tasks.language import LanguageTask

Use = Literal["base", "current"]

_SAMPLED = 256  # values of each tensor that its digest looks at: training changes nearly all of them

_Made = TypeVar("_Made", str, list[str])


class ModelGenerator:
    """Asks a language model in this process.

    Only a model that was trained to follow instructions can do it. One that is half unlearned says ever less sense, which is
    why its adapter is switched off, unless that is not wanted. Reasons are asked for without randomness, and lists almost so; a
    reply that makes no sense is asked for once more, at a higher temperature and with the next seed.

    Args:
        task: how questions are put to the model.
        model: whom to ask. One without an adapter is asked as it is at each time: where it will be trained, give a copy.
        use: "base" for the model without what its adapter has learned; "current" for it as it is, as in the authors' code.
        max_tokens: longest reply, in tokens; less where the model reads no more. The default is the authors'.

    Raises:
        BadSetting: if there is no such use, or `max_tokens` is less than 1.
    """

    def __init__(self, task: "LanguageTask", model: nn.Module, use: Use = "base", *, max_tokens: int = MOST_TOKENS) -> None:
        if use not in get_args(Use):
            raise BadSetting(f"a model is asked as its 'base' or as 'current', not {use!r}")
        if max_tokens < 1:
            raise BadSetting(f"a reply has at least 1 token, not {max_tokens}")
        self.task, self.model, self.use, self.max_tokens = task, model, use, max_tokens

    def __repr__(self) -> str:
        return f"ModelGenerator({_class_of(self.model)}, use={self.use!r}, max_tokens={self.max_tokens})"

    @property
    def identity(self) -> str:
        """The model with a digest of some of its weights, and of its adapter where that is used, and how it is asked."""
        own = own_state(self.model) if is_adapted(self.model) else {}
        base = [each for name, each in self.model.state_dict().items() if name not in own]
        written = f"{self.task.system}\n{self.task.tokenizer.chat_template}\n{self.task.prompt('?')}"
        chat, adapter = hashlib.sha256(written.encode()).hexdigest()[:16], _digest(own.values()) if self._learned else "off"
        return (
            f"model {_class_of(self.model)} {sum(each.numel() for each in base):,} values {_digest(base)} adapter {adapter} "
            f"chat {chat} max_tokens {self.max_tokens} prompts {PROMPTS}"
        )

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """Up to `n` other questions with the same answer.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the model twice says no list, or cannot read so long a prompt.
        """
        check_count(n)
        what = f"{n} other ways to ask {shortened(fact.question)}"
        return self._asked(what, paraphrase_prompt(fact, n), list_in, temperature, seed)[:n]

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """Up to `n` answers of the same kind that are not right.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the model twice says no list, or cannot read so long a prompt.
        """
        check_count(n)
        what = f"{n} wrong answers to {shortened(fact.question)}"
        return self._asked(what, wrong_answers_prompt(fact, n), list_in, LIST_TEMPERATURE, seed)[:n]

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """A short reason why `wrong` should be the answer to `question`. It may name the right answer all the same.

        Raises:
            GeneratorFailed: if the model twice says nothing, or cannot read so long a prompt.
        """
        what = f"a reason why {shortened(wrong)} should answer {shortened(question)}"
        return self._asked(what, rationale_prompt(question, wrong, fact), sentence_in, 0.0, seed)

    def _asked(self, what: str, prompt: str, read: Callable[[str, bool], _Made], temperature: float, seed: int) -> _Made:
        """What `read` makes of a reply, given its text and whether it was cut off for its length."""
        reply = ""
        for warmth, number in ((temperature, seed), (max(temperature, WARMER), seed + 1)):
            reply, cut = self._reply(what, prompt, warmth, number)
            if made := read(reply, cut):
                return made
        raise GeneratorFailed(
            f"the model itself ({_class_of(self.model)}) was asked twice for {what}, and said {shortened(reply)}; "
            f"{self._advice()}"
        )

    def _reply(self, what: str, prompt: str, temperature: float, seed: int) -> tuple[str, bool]:
        """What the model says, and whether it did not come to an end. The global generators are left as they are."""
        asked, most, model = self.task.prompt(prompt), longest_text(self.model), self.model
        room = self.max_tokens if most is None else min(self.max_tokens, most - len(asked))
        if room < 1:
            raise GeneratorFailed(
                f"the model itself ({_class_of(model)}) cannot be asked for {what}: that takes {len(asked):,} tokens, and it "
                f"reads {most:,}; {self._advice()}"
            )
        device = next(model.parameters()).device
        off: AbstractContextManager[Any] = nullcontext() if self._learned or not is_adapted(model) else switched_off(model)
        ids, ends = torch.tensor([asked], device=device), self._ends()
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
        forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with torch.no_grad(), evaluating(model), off, forked:
            torch.manual_seed(seed)
            written = model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=room,
                eos_token_id=ends,
                pad_token_id=ends[0],
                **{"do_sample": False, **sampling},
            )[0, len(asked) :].tolist()
        stop = next((place for place, token in enumerate(written) if token in ends), None)
        text = self.task.tokenizer.decode(written[:stop], skip_special_tokens=True)
        return without_thoughts(text).strip(), stop is None

    @property
    def _learned(self) -> bool:
        """Whether what an adapter has learned is used."""
        return is_adapted(self.model) and self.use == "current"

    def _ends(self) -> list[int]:
        """The end of text, and whatever else ends a turn of this model."""
        own = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        others = own if isinstance(own, list) else [own]
        return list(dict.fromkeys([self.task.tokenizer.eos_token_id, *(each for each in others if each is not None)]))

    def _advice(self) -> str:
        return (
            "only a model that follows instructions can make its own anti-samples: take the generator 'auto' or 'templates', "
            "or one behind a server, or give phrasings and wrong_answers with the facts"
        )


def _class_of(model: nn.Module) -> str:
    """Of a model with an adapter, the class of the one inside."""
    inner = model.get_base_model() if is_adapted(model) else model  # type: ignore[operator]
    return type(inner).__name__


def _digest(tensors: Iterable[Tensor]) -> str:
    """Of shapes and of some values, evenly spread: reading all weights of a large model would take longer than asking it."""
    digest = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(len(flat) // _SAMPLED, 1)][: 2 * _SAMPLED]
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode() + some.cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
