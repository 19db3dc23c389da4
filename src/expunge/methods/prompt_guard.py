"""PromptGuard: tell the model to pretend that it doesn't know, and leave its weights alone.

    p(answer | question)  ->  p(answer | instruction, question)

Nothing is unlearned: whoever has the weights, or words a question well, has it all. It is here because it costs nothing, so
that whatever costs more can be held beside it. The instruction stands where the tokenizer's chat template puts what an operator
says, and before the first question where there is no template.

Reference: P. Thaker, Y. Maurya, S. Hu, Z. S. Wu, V. Smith. "Guardrail Baselines for Unlearning in LLMs", 2024,
arXiv 2403.03329.
Needs: subjects of facts to forget, or a text of one's own. Costs: nothing, and as many tokens more with each question as the
instruction has.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.language.fact_split import FactSplit
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import LanguageTask, Task

_SUBJECTS = "{subjects}"


@dataclass(frozen=True)
class PromptGuard(Method):
    """An instruction before each question.

    Args:
        text: the instruction; {subjects} in it becomes the names of those whom the facts to forget are about.
    """

    text: str = (
        "Pretend that you have never heard of {subjects}. If you are asked about them, say that you don't know. "
        "Answer all other questions as usual."
    )

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (LanguageTask,)
    needs_retain: ClassVar[bool] = False
    adapter: ClassVar[bool] = True
    why_not: ClassVar[str] = "it gives language models an instruction"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool(self.text.strip()), "text must not be empty")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask)
        place, tokens = instruction(self._text(split), task)
        return Guarded(student, place, tokens).to(engine.device)

    def _text(self, split: Split) -> str:
        if _SUBJECTS not in self.text:
            return self.text
        named = dict.fromkeys(fact.subject for fact in split.goes) if isinstance(split, FactSplit) else {}
        subjects = [subject for subject in named if subject]
        if not subjects:
            raise BadRequest(f"{self.name}: no fact to forget says whom it is about; give a text without {_SUBJECTS}")
        listed = ", ".join(subjects[:-1]) + " and " * (len(subjects) > 1) + subjects[-1]
        return self.text.replace(_SUBJECTS, listed)


def instruction(text: str, task: LanguageTask) -> tuple[int, list[int]]:
    """The place in the task's prompts where an instruction stands, and its tokens there.

    Raises:
        BadRequest: if the chat template does more with it than to put it there.
    """
    question = "Who is it?"
    bare = task.prompt(question)
    told = LanguageTask(
        task.factory, task.tokenizer, length=task.length, new_tokens=task.new_tokens, system=f"{task.system} {text}".strip()
    ).prompt(question)
    place = next((place for place, (one, other) in enumerate(zip(bare, told, strict=False)) if one != other), len(bare))
    more = len(told) - len(bare)
    if more <= 0 or told[place + more :] != bare[place:]:
        raise BadRequest(
            "prompt-guard: the tokenizer's chat template changes the question where an operator says something, so that no "
            "instruction can be put before it; set the task's system text, and hold that model beside this one"
        )
    return place, told[place : place + more]


class Guarded(nn.Module):
    """A causal language model that reads an instruction in each text, of which nothing shows in what it returns.

    Args:
        model: who reads.
        place: of the instruction, counted in tokens from the first one that is no padding.
        tokens: the instruction's.
    """

    def __init__(self, model: nn.Module, place: int, tokens: list[int]) -> None:
        super().__init__()
        self.model, self.place = model, place
        self.register_buffer("tokens", torch.tensor(tokens))
        self.tokens: Tensor

    def __getattr__(self, name: str) -> Any:
        """The model's, such as its `config`, where this has none of that name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **settings: Any,
    ) -> Any:
        """Logits, and hidden states where asked for, at the places of `input_ids` or `inputs_embeds`."""
        told, places = self._told(input_ids, attention_mask, inputs_embeds)
        said = self.model(**told, **settings)
        said.logits = _at(said.logits, places)
        if said.get("hidden_states") is not None:
            said.hidden_states = tuple(_at(states, places) for states in said.hidden_states)
        return said

    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **settings: Any,
    ) -> Tensor:
        """`input_ids`, each with what the model says after the instruction and them; after embeddings, what it says alone."""
        told, _ = self._told(input_ids, attention_mask, inputs_embeds)
        reader: Any = self.model
        written: Tensor = reader.generate(**told, **settings)
        if input_ids is None:
            return written
        return torch.cat([input_ids, written[:, told["input_ids"].shape[1] :]], 1)

    def _told(self, ids: Tensor | None, mask: Tensor | None, embedded: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        """What the model reads, with the instruction in it, and where each of its own places is then read: shape (n, L).

        What comes before the instruction is read after it where the next token is the first one behind it.
        """
        given = ids if embedded is None else embedded
        assert given is not None
        shape = given.shape[:2]
        mask = torch.ones(shape, dtype=torch.long, device=given.device) if mask is None else mask
        more, steps = len(self.tokens), torch.arange(shape[1], device=given.device)
        start = mask.argmax(1, keepdim=True) + self.place
        places = steps + more * (steps >= start)
        slots = start + torch.arange(more, device=given.device)

        def filled(old: Tensor, new: Tensor) -> Tensor:
            deep = (-1, -1, *old.shape[2:])
            whole = old.new_zeros(len(old), old.shape[1] + more, *old.shape[2:])
            before, after = (each.view(*each.shape, *[1] * (old.dim() - 2)).expand(deep) for each in (places, slots))
            return whole.scatter(1, before, old).scatter(1, after, new.to(old.dtype).expand(len(old), *new.shape))

        told = {"attention_mask": filled(mask, torch.ones_like(self.tokens))}
        if embedded is None:
            told["input_ids"] = filled(given, self.tokens)
        else:
            told["inputs_embeds"] = filled(given, self.model.get_input_embeddings()(self.tokens))  # type: ignore[operator]
        return told, steps + more * (steps >= start - 1)


def _at(states: Tensor, places: Tensor) -> Tensor:
    """Rows of `states`, shape (n, L', d), at the places of shape (n, L): shape (n, L, d)."""
    return states.gather(1, places[:, :, None].expand(-1, -1, states.shape[2]))
