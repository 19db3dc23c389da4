"""What a report is made from: plain values, already aggregated over seeds, that know nothing of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["original", "retrained", "noise floor", "method"]


@dataclass(frozen=True)
class Value:
    """One metric of one model: mean and standard deviation over `n` seeds (0 for one seed), and the ideal's mean.

    `mean` is None where the metric is not defined; `note` says why, or what to know. `interval` is a 95 % confidence
    interval of the first seed's value. `seeds` holds the value of each seed, NaN where it is not defined.
    """

    mean: float | None
    std: float
    n: int
    ideal: float | None
    note: str = ""
    interval: tuple[float, float] | None = None
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Recovery:
    """What a diffusion model makes of images that the original began.

    Args:
        psi: shares of the process that the original did, rising from 0.
        steps: how many of the process's steps each of these is.
        asked: share of images that show the concept, for each psi, where the model is asked for it.
        unasked: the same where it is asked for nothing.
        images: some of those asked for, for each psi: PNG in base64.
        shows: whether each of these shows the concept.
    """

    psi: Sequence[float]
    steps: Sequence[int]
    asked: Sequence[float]
    unasked: Sequence[float]
    images: Sequence[Sequence[str]]
    shows: Sequence[Sequence[bool]]


@dataclass(frozen=True)
class Curves:
    """What is drawn of one model, from the first seed.

    Args:
        roc: false and true positive rates of the membership attack, or None.
        forget_losses: loss of each training example that must go.
        unseen_losses: loss of each unseen example of the same kind.
        group_scores: mean score on unseen examples by the name of the class or band.
        forget_answers: what the model predicts for each training example that must go, in the target's unit; empty where
            answers are not single numbers.
        recovery: of diffusion models, what they draw under attack.
    """

    roc: tuple[list[float], list[float]] | None
    forget_losses: list[float]
    unseen_losses: list[float]
    group_scores: Mapping[str, float]
    forget_answers: Sequence[float] = ()
    recovery: Recovery | None = None


@dataclass(frozen=True)
class Row:
    """One model: the original, the retrained gold, the second retrained (noise floor), or a method's result."""

    name: str
    role: Role
    values: Mapping[str, Value]
    curves: Curves | None = None

    def mean(self, metric: str) -> float | None:
        """The metric's mean, None where it was not measured."""
        value = self.values.get(metric)
        return None if value is None else value.mean


@dataclass(frozen=True)
class Case:
    """One request that was served by one or more methods.

    Args:
        forgotten: what had to go, in words.
        score_name: what the models are scored by, such as "accuracy" or "mae".
        higher_is_better: false where the score is an error.
        unit: of the score (and of answers); empty where it has none.
        loss_unit: of the training loss; empty where it has none.
    """

    title: str
    forgotten: str
    rows: tuple[Row, ...]
    score_name: str = "accuracy"
    higher_is_better: bool = True
    unit: str = ""
    loss_unit: str = "nats"

    def role(self, role: Role) -> Row | None:
        """The first row with this role."""
        return next((row for row in self.rows if row.role == role), None)

    @property
    def methods(self) -> tuple[Row, ...]:
        """The rows of methods, in their order."""
        return tuple(row for row in self.rows if row.role == "method")


@dataclass(frozen=True)
class Answered:
    """A question that was put to a language model before and after.

    Args:
        part: which questions it is one of, such as "had to go, in words that no method saw".
        goes: whether what it asks for had to be forgotten.
        right: the right answer.
        before: what the original said.
        after: what is said now.
        known_before: whether `before` holds the right answer; `known_after` likewise.
    """

    part: str
    goes: bool
    question: str
    right: str
    before: str
    after: str
    known_before: bool
    known_after: bool


@dataclass(frozen=True)
class Evidence:
    """A whole report.

    Args:
        title: for the page's head.
        cases: one or more requests.
        explanations: for each metric, one sentence that says what it is and what is ideal.
        settings: everything that was chosen, as nested plain values.
        machine: where it ran: processor, cores, versions of libraries.
        notes: sentences that a reader must see first (for example that embedded data was used).
        command: the command that makes this report again.
        seeds: how many seeds the means are over.
        transcript: of language models, what was said before and after; those of one part one after another.
    """

    title: str
    cases: tuple[Case, ...]
    explanations: Mapping[str, str]
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    command: str = ""
    seeds: int = 1
    transcript: tuple[Answered, ...] = ()
