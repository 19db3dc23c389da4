"""What audits of language models have in common: questions on facts, each asked of a model once, and answers to score."""

import random
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from torch import Tensor, nn, stack

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.data.facts import Fact
from expunge.language.fact_split import FactSplit, Nearness, nearness
from expunge.split import Batches
from expunge.tasks import LanguageTask
from expunge.tasks.language import Said

Asked = tuple[Fact, str]  # a fact, and a question on it
Values = Mapping[str, float | str]  # by figure: its value, or why there is none
Score = Callable[[Tensor, Tensor], Tensor]  # of logits (n, A, V) and labels (n, A) of answers without their ends: shape (n,)

NOTHING_GOES = "there is no fact to forget"
BATCH = 32  # questions with answers that are scored at a time


@dataclass(frozen=True)
class LanguageAudit(Audit):
    """Figures of one model; nothing where the request is not for facts."""

    takes = (LanguageTask,)
    splits = FactSplit
    stays: ClassVar[Collection[str]] = ()  # figures of what must stay: the original's value is their ideal

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if not isinstance(subject.split, FactSplit):
            return {}
        gold, original = (None if each is None else self.measure(each) for each in (references.gold, references.original))
        ideals = {name: original if name in self.stays else gold for name in self.figures}
        return {name: figure(value, (ideals[name] or {}).get(name)) for name, value in self.measure(subject).items()}

    def measure(self, subject: Subject) -> Values:
        """The figures of one subject by themselves. Kept, since every model is held against others."""
        if self not in subject.memory:
            subject.memory[self] = self.values(subject, *task_and_split(subject))
        return dict(subject.memory[self])

    @abstractmethod
    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        """The figures of one subject, each a number or the reason why there is none."""


def task_and_split(subject: Subject) -> tuple[LanguageTask, FactSplit]:
    """Both, as what they are."""
    assert isinstance(subject.task, LanguageTask) and isinstance(subject.split, FactSplit)
    return subject.task, subject.split


def figure(value: float | str, ideal: float | str | None, note: str = "") -> Figure:
    """A value beside its ideal; a reason in place of the value becomes the note."""
    if isinstance(value, str):
        return Figure(None, None, note=value)
    if value != value:
        return Figure(None, None, note="the model's answers have no probability: its weights are not finite")
    known = isinstance(ideal, float) and ideal == ideal
    return Figure(value, ideal if known else None, note=note)  # type: ignore[arg-type]


# ---- which questions ----------------------------------------------------------------------------------------------------


def in_seen_words(facts: Iterable[Fact]) -> list[Asked]:
    """Each fact with each question that methods may use."""
    return [(fact, question) for fact in facts for question in fact.questions]


def in_held_out_words(facts: Iterable[Fact]) -> list[Asked]:
    """Each fact with each question that no method sees."""
    return [(fact, question) for fact in facts for question in fact.held_out]


def in_other_words(facts: Iterable[Fact]) -> list[Asked]:
    """Each fact with the questions that no method sees, or where it has none with the others."""
    return [(fact, question) for fact in facts for question in fact.held_out or fact.questions]


def some_of(facts: Sequence[Fact], count: int) -> list[Fact]:
    """So many facts at most, the same ones for every model, in their order."""
    places = random.Random(0).sample(range(len(facts)), min(count, len(facts)))
    return [facts[place] for place in sorted(places)]


def by_nearness(split: FactSplit) -> dict[Nearness, tuple[Fact, ...]]:
    """What stays, by how near it is to what goes."""
    return _by_nearness(split.stays, split.goes)


@lru_cache(maxsize=8)  # every model of a study has the same split, and TOFU's takes seconds
def _by_nearness(stays: tuple[Fact, ...], goes: tuple[Fact, ...]) -> dict[Nearness, tuple[Fact, ...]]:
    found = [(fact, nearness(fact, goes)) for fact in stays]
    levels: tuple[Nearness, ...] = ("same subject", "same object", "other")
    return {level: tuple(fact for fact, its in found if its == level) for level in levels}


# ---- what a model says --------------------------------------------------------------------------------------------------


def said(subject: Subject, questions: Sequence[str], shots: Sequence[tuple[str, str]] = (), prefill: str = "") -> list[Said]:
    """The subject's answers, greedily; what it was asked before it is not asked again."""
    task, _ = task_and_split(subject)
    kept: dict[str, Said] = subject.memory.setdefault(("said", tuple(shots), prefill), {})
    new = list(dict.fromkeys(question for question in questions if question not in kept))
    if new:
        kept |= zip(new, task.answer(subject.model, new, shots=shots, prefill=prefill), strict=True)
    return [kept[question] for question in questions]


def still_answered(
    subject: Subject, asked: Sequence[Asked], shots: Sequence[tuple[str, str]] = (), prefill: str = ""
) -> list[bool]:
    """Whether the subject's answer to each question holds the fact's."""
    _, split = task_and_split(subject)
    texts = said(subject, [question for _, question in asked], shots, prefill)
    return [split.known(fact, each.text) for (fact, _), each in zip(asked, texts, strict=True)]


def answers_of(model: nn.Module, task: LanguageTask, split: FactSplit, asked: Sequence[Asked]) -> list[bool]:
    """The same of a model that is no subject, such as a changed copy of one."""
    found = task.answer(model, [question for _, question in asked])
    return [split.known(fact, each.text) for (fact, _), each in zip(asked, found, strict=True)]


def share(held: Sequence[bool], reason: str) -> float | str:
    """How many of some are so, from 0 to 1; the reason where there are none."""
    return sum(held) / len(held) if held else reason


def scored(subject: Subject, pairs: Sequence[tuple[str, str]], *scores: Score) -> tuple[Tensor, ...]:
    """Scores of given answers to questions, without the end of text after them: each of shape (n,), on the CPU. Kept."""
    task, _ = task_and_split(subject)
    key = ("scored", tuple(pairs), scores)
    if key not in subject.memory:
        data = task.encode(pairs)
        order = data.tensors[1].sum(1).argsort(stable=True)  # texts of like length share a batch, and less is padded

        def read(outputs: Tensor, batch: Any) -> Tensor:
            labels = task.answers(batch, end=False)
            return stack([score(outputs, labels).float() for score in scores], 1)

        found = task.collect(subject.model, Batches(data, BATCH, order.tolist()), read)
        subject.memory[key] = found[order.argsort()].unbind(1)
    return tuple(subject.memory[key])


def mean_of(scores: Tensor) -> float:
    """Mean in double precision; answers without any token are left out."""
    return scores.double().nanmean().item()
