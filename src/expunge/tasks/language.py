"""Language models that answer questions: any causal language model of transformers, or whatever is called as one.

A batch holds n texts of up to L tokens, each a question and its answer: `ids` (n, L), `mask` (n, L), 1 where there is a token,
padded on the right, and `labels` (n, L), the token at each place of the answer and of the end of text after it, and -100 at
all others. Outputs are what the model says at the A places of the answers, shape (n, A, V): logits before each token, and zeros
where an answer is shorter than the longest of its batch.

    loss       mean over the answer's tokens and the end of text of -log p(token | question, tokens before), in nats per token
    known      whether each token of the answer is the likeliest where it stands: whether the greedy answer begins with it
    divergence KL of the distributions over the vocabulary, mean over the answer's tokens
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting
from expunge.language.token_scores import MASKED, token_log_probabilities
from expunge.losses import kl_divergence
from expunge.modes import evaluating
from expunge.tasks.task import Task

TokenBatch = tuple[Tensor, Tensor, Tensor]


class Said(NamedTuple):
    """What a model answered, token by token, and whether it ended by itself."""

    text: str
    tokens: tuple[int, ...]
    ended: bool


class LanguageTask(Task[TokenBatch]):
    """Questions that a causal language model answers.

    Questions go through the tokenizer's chat template; where it has none, they are put as "Question: ...", "Answer:". Question
    and answer are tokenised apart, so that no token holds the end of one and the beginning of the other.

    Args:
        factory: makes the model with fresh weights.
        tokenizer: of transformers, with an end-of-text token.
        length: tokens of a question with its answer, at most; longer ones are refused.
        new_tokens: tokens of an answer that the model gives, at most.
        system: what is said before each question, as by an operator; empty for nothing.

    Raises:
        BadSetting: if the tokenizer has no end of text.
    """

    score_name = "known"
    loss_unit = "nats per token"
    vectorizes: ClassVar[bool] = False  # how far a batch goes depends on what is in it
    keeps_outputs: ClassVar[bool] = False  # a vocabulary for each token: too much to keep for a whole data set

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        tokenizer: Any,
        *,
        length: int = 256,
        new_tokens: int = 32,
        system: str = "",
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise BadSetting("the tokenizer has no end-of-text token, by which an answer ends; set tokenizer.eos_token")
        if length < 2 or new_tokens < 1:
            raise BadSetting(f"length must be at least 2 and new_tokens at least 1, not {length} and {new_tokens}")
        self.factory, self.tokenizer = factory, tokenizer
        self.length, self.new_tokens, self.system = length, new_tokens, system

    def new_model(self) -> nn.Module:
        return self.factory()

    # ---- texts and tokens -----------------------------------------------------------------------------------------

    def prompt(self, question: str, shots: Sequence[tuple[str, str]] = (), prefill: str = "") -> list[int]:
        """The tokens before an answer.

        Args:
            shots: questions with answers that come before, as in a conversation.
            prefill: how the answer begins already.
        """
        tokens = self._asked(question, shots)
        return tokens + self._plain(prefill) if prefill else tokens

    def encode(self, pairs: Iterable[tuple[str, str]]) -> TensorDataset:
        """Questions with their answers, as a data set of `ids`, `mask` and `labels`, each of shape (n, length).

        Raises:
            BadSetting: if there are none, or one is longer than `length` tokens.
        """
        end = self.tokenizer.eos_token_id
        rows = [(self.prompt(question), [*self.answer_tokens(answer), end]) for question, answer in pairs]
        if not rows:
            raise BadSetting("there is no question to encode")
        longest = max(len(asked) + len(answer) for asked, answer in rows)
        if longest > self.length:
            raise BadSetting(
                f"a question with its answer takes {longest:,} tokens, and the task's length is {self.length:,}: raise it"
            )
        padding = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        ids = torch.full((len(rows), self.length), padding)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, MASKED)
        for row, (asked, answer) in enumerate(rows):
            start, stop = len(asked), len(asked) + len(answer)
            ids[row, :stop] = torch.tensor(asked + answer)
            mask[row, :stop] = 1
            labels[row, start:stop] = torch.tensor(answer)
        return TensorDataset(ids, mask, labels)

    def answer_tokens(self, answer: str) -> list[int]:
        """An answer's tokens, as they follow a question."""
        return self._plain(answer if self.tokenizer.chat_template else f" {answer}")

    def answer(
        self,
        model: nn.Module,
        questions: Sequence[str],
        *,
        shots: Sequence[tuple[str, str]] = (),
        prefill: str = "",
        batch_size: int = 128,
    ) -> list[Said]:
        """What the model says to each question, the likeliest token each time, up to `new_tokens` tokens.

        Args:
            shots: as for :meth:`prompt`.
            prefill: as there; it is not in what comes back.
        """
        prompts = [self.prompt(question, shots, prefill) for question in questions]
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        found: dict[int, Said] = {}
        with torch.no_grad(), evaluating(model):
            for start in range(0, len(order), batch_size):
                places = order[start : start + batch_size]
                found |= zip(places, self._answered(model, [prompts[place] for place in places]), strict=True)
        return [found[place] for place in range(len(prompts))]

    def _answered(self, model: Any, prompts: Sequence[list[int]]) -> list[Said]:
        end, width = self.tokenizer.eos_token_id, max(map(len, prompts))
        padding = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        ids = torch.tensor([[padding] * (width - len(each)) + each for each in prompts])
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
        device = next(model.parameters()).device
        written = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=self.new_tokens,
            do_sample=False,
            pad_token_id=padding,
            eos_token_id=end,
        )[:, width:].tolist()
        return [self._said(tokens) for tokens in written]

    def _said(self, tokens: list[int]) -> Said:
        end = self.tokenizer.eos_token_id
        own = tokens[: tokens.index(end)] if end in tokens else tokens
        return Said(self.tokenizer.decode(own, skip_special_tokens=True).strip(), tuple(own), end in tokens)

    def _asked(self, question: str, shots: Sequence[tuple[str, str]]) -> list[int]:
        if not self.tokenizer.chat_template:
            before = "".join(f"Question: {asked}\nAnswer: {answer}\n\n" for asked, answer in shots)
            start = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
            return start + self._plain(f"{self.system}\n\n" * bool(self.system) + before + f"Question: {question}\nAnswer:")
        talk = [{"role": "system", "content": self.system}] if self.system else []
        for asked, answer in shots:
            talk += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        talk.append({"role": "user", "content": question})
        written = self.tokenizer.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
        return self._plain(written)  # the template writes the beginning of the text itself

    def _plain(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    # ---- what a model says of given answers -------------------------------------------------------------------------

    def outputs(self, model: nn.Module, batch: TokenBatch) -> Tensor:
        ids, mask, labels = batch
        width = int(mask.sum(1).max())
        logits = model(input_ids=ids[:, :width], attention_mask=mask[:, :width]).logits
        places, answer = _places(labels)
        before = logits.gather(1, (places - 1)[:, :, None].expand(-1, -1, logits.shape[2]))
        return before.float() * answer[:, :, None]

    def at_answers(self, values: Tensor, batch: TokenBatch) -> Tensor:
        """Of values at all places, shape (n, L), those at the places of a batch's outputs, shape (n, A); zero where there is
        none."""
        places, answer = _places(batch[2])
        return values.gather(1, places) * answer

    def features(self, model: nn.Module, batch: TokenBatch) -> Tensor:
        """The last layer's state at the last token of the question: shape (n, hidden)."""
        ids, mask, labels = batch
        width = int(mask.sum(1).max())
        states = model(input_ids=ids[:, :width], attention_mask=mask[:, :width], output_hidden_states=True).hidden_states[-1]
        first = _places(labels)[0][:, 0] - 1
        return states[torch.arange(len(ids), device=states.device), first]

    def answers(self, batch: TokenBatch, *, end: bool = True) -> Tensor:
        """The labels of a batch, at the places of its outputs: shape (n, A), -100 where an answer is shorter.

        Args:
            end: with the end of text after each answer.
        """
        places, answer = _places(batch[2])
        labels = batch[2].gather(1, places).masked_fill(~answer, MASKED)
        if end:
            return labels
        last = answer.sum(1) - 1  # encode puts the end of text there, and nowhere else
        return labels.scatter(1, last[:, None], MASKED)

    def together(self, model: nn.Module, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """The outputs of several batches, in one pass."""
        joint = self.outputs(model, tuple(torch.cat(parts) for parts in zip(*batches, strict=True)))  # type: ignore[arg-type]
        longest = [int((labels != MASKED).sum(1).max()) for _, _, labels in batches]
        split = joint.split([len(ids) for ids, _, _ in batches])
        return [part[:, :width] for part, width in zip(split, longest, strict=True)]

    def losses(self, outputs: Tensor, batch: TokenBatch) -> Tensor:
        labels = self.answers(batch)
        counted = F.cross_entropy(outputs.transpose(1, 2), labels, ignore_index=MASKED, reduction="none")
        return counted.sum(1) / (labels != MASKED).sum(1)

    def log_likelihoods(self, outputs: Tensor, batch: TokenBatch) -> Tensor:
        """Log-probability of each whole answer with its end, in nats: shape (n,)."""
        return token_log_probabilities(outputs, self.answers(batch)).sum(1)

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        longest = min(student.shape[1], teacher.shape[1])  # of a batch that longer answers were in, the rest is zeros
        student, teacher = student[:, :longest], teacher[:, :longest]
        said = teacher.abs().sum(2) > 0  # zeros stand where there is no token
        each = kl_divergence(student.flatten(0, 1), teacher.flatten(0, 1), temperature).view(said.shape)
        return (each * said).sum(1) / said.sum(1).clamp_min(1)

    def scores(self, outputs: Tensor, batch: TokenBatch) -> Tensor:
        labels = self.answers(batch, end=False)
        return ((outputs.argmax(2) == labels) | (labels == MASKED)).all(1).float()


def _places(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where the tokens of the answers stand, from the first on, shape (n, A), and which of these places are an answer's."""
    is_answer = labels != MASKED
    counts, first = is_answer.sum(1), is_answer.int().argmax(1)
    steps = torch.arange(int(counts.max()), device=labels.device)
    answer = steps < counts[:, None]
    return (first[:, None] + steps * answer), answer
