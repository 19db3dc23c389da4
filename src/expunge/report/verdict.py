"""The verdict on each method: where its result differs from a retrained model by more than is allowed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from expunge.report.evidence import Case, Row
from expunge.report.measures import Kind, finite, listed, speed, with_unit
from expunge.report.over_forgetting import over_forgetting
from expunge.report.rules import KINDS, Rule, rules
from expunge.report.rules import Kind as Fault

_SLACK = 1 + 1e-9  # a distance of exactly the tolerance passes, whatever the last bit of a difference says
_SOONER = 0.5  # share of the retrained model's relearning steps below which a reader is warned

State = Literal["matches", "differs", "not proven"]


@dataclass(frozen=True)
class Failure:
    """One metric that is too far from the retrained model's.

    Args:
        metric: its name.
        words: its name in a sentence.
        value: the model's.
        kind: how values are written.
        unit: of values whose kind is "answer".
        beside: what the value is held against, in words.
        allowed: the largest allowed distance, in words.
        meaning: what it means to lie there.
    """

    metric: str
    words: str
    value: float
    kind: Kind
    unit: str
    beside: str
    allowed: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.words} is {with_unit(self.value, self.kind, self.unit)}, {self.beside}"


def limits(case: Case) -> dict[str, float]:
    """The largest allowed distance from the ideal of each metric that is judged, in the metric's own unit."""
    found = {metric: rule.limit(case) for metric, rule in rules(case).items()}
    return {metric: limit for metric, limit in found.items() if limit is not None}


def failures(row: Row, case: Case) -> tuple[Failure, ...] | None:
    """Where a row misses the retrained model's figures.

    None when nothing can be said: there is no retrained model to judge by, or the row misses nothing but lacks a figure
    that the retrained model has. A figure that is not a number is a miss.
    """
    judged = rules(case)
    if not judged:
        return None
    found, complete = [], True
    for metric, rule in judged.items():
        value = row.mean(metric)
        if value is None:
            complete = False
        elif not _distance(value, rule, case) <= _SLACK:  # in this form NaN is a miss
            found.append(_failure(rule, value, case))
    return tuple(found) if found or complete else None


def state(row: Row, case: Case) -> State:
    """Whether a row matches the retrained model within all tolerances."""
    missed = failures(row, case)
    if missed is None:
        return "not proven"
    return "differs" if missed else "matches"


def can_tell(case: Case) -> bool:
    """Whether the checks tell a model that knows the data from one that does not: the original must fail one of them.

    Taken for granted where there is no original to look at.
    """
    original = case.role("original")
    return original is None or state(original, case) != "matches"


def outcome(case: Case) -> State:
    """The case in one word: `matches` when any method does, unless the original does so as well."""
    states = {state(row, case) for row in case.methods}
    if "matches" in states:
        return "matches" if can_tell(case) else "not proven"
    return "differs" if "differs" in states else "not proven"


def matching(case: Case) -> tuple[Row, ...]:
    """The methods that match the retrained model, fastest first."""
    rows = [row for row in case.methods if state(row, case) == "matches"]
    return tuple(sorted(rows, key=lambda row: _or_worst(row.mean("seconds_ratio"))))


def best(case: Case) -> Row | None:
    """The fastest method that matches; else the one that misses least; None where there is no method."""
    return next(iter(nearest(case)), None)


def nearest(case: Case) -> list[Row]:
    """The methods that match, fastest first, then the others, those first that miss least."""
    passed = matching(case)
    others = [row for row in case.methods if row not in passed]
    return [*passed, *sorted(others, key=lambda row: _misses(row, case))]


def verdict(case: Case) -> str:
    """One or two sentences for the head of a report."""
    if case.role("retrained") is None:
        return (
            "Nothing is proven: no retrained model was given to compare with. "
            "The figures show what changed, not whether it is what retraining would have given."
        )
    if not case.methods:
        return "Nothing is proven: no method was applied."
    passed = matching(case)
    sentence = _of_one(case.methods[0], case) if len(case.methods) == 1 else _of_many(passed, case)
    if passed and not can_tell(case):
        sentence += " But neither can they tell the original from it, so they prove nothing for this request."
    return sentence


def cautions(case: Case, seeds: int) -> list[str]:
    """What weakens the verdict, a sentence each."""
    found: list[str] = []
    gold, floors = case.role("retrained"), [row for row in case.rows if row.role == "noise floor"]
    if gold is None:
        return found
    if not can_tell(case):
        found.append(
            "The original model, which has learned the data, passes every check. On this request the checks cannot "
            "tell a model that forgot from one that did nothing. Look at the relearning figures and at single examples "
            "instead, or audit a request that the model answers differently once it has forgotten."
        )
    if not floors:
        found.append("Only one model was retrained, so it is not known how much two retrained models differ by chance alone.")
    if missed := [failure for row in floors for failure in failures(row, case) or ()]:
        found.append(
            "Two retrained models already differ by more than is allowed: for the second one "
            + "; ".join(str(failure) for failure in missed)
            + ". A method that misses the same check by as much may still be as good as retraining."
        )
    if past := over_forgetting(case, [(row, failures(row, case) or ()) for row in case.methods]):
        found.append(past)
    if sooner := [row.name for row in matching(case) if _relearns_sooner(row, gold)]:
        found.append(
            f"{listed(sooner)} matched on every check, but learned the forgotten data again in less than half the "
            "steps that the retrained model needed. It may be hidden rather than gone: relearning is shown, but is no "
            "part of the verdict."
        )
    if hidden := [row.name for row in case.methods if hides(row, case) and state(row, case) != "matches"]:
        found.append(
            f"{listed(hidden)} no longer answered the forgotten data as the original does, but learned it again in less than "
            "half the steps that the retrained model needed: it is hidden rather than gone."
        )
    if seeds < 2:
        found.append("All figures come from one seed; another seed gives other figures, and may give another verdict.")
    if len(case.methods) > 1 and matching(case):
        found.append(
            f"{len(case.methods)} methods were tried and judged by the same figures. The more are tried, the likelier "
            "it is that one matches by chance."
        )
    return found


def kinds_of(missed: Iterable[Failure]) -> tuple[Fault, ...]:
    """In which ways a model differs, by what its failures mean, in the order of :data:`~expunge.report.rules.KINDS`."""
    found = {next((kind for kind, texts in KINDS.items() if each.meaning in texts), "other answers") for each in missed}
    return tuple(kind for kind in get_args(Fault) if kind in found)


def hides(row: Row, case: Case) -> bool:
    """Whether a model no longer answers as if it knew the forgotten data, but learns it again in less than half the steps that
    the retrained model needs. An attack may find traces all the same."""
    gold, traces = case.role("retrained"), KINDS["traces remain"]
    answers = [failure for failure in failures(row, case) or () if failure.metric != "membership_auc"]
    return gold is not None and not any(each.meaning in traces for each in answers) and _relearns_sooner(row, gold)


def _relearns_sooner(row: Row, gold: Row) -> bool:
    steps, ideal = finite(row.mean("relearn_steps")), finite(gold.mean("relearn_steps"))
    return steps is not None and ideal is not None and steps < _SOONER * ideal


def _distance(value: float, rule: Rule, case: Case) -> float:
    """From the ideal, as a multiple of what is allowed: 1 is at the edge."""
    distance, limit = rule.distance(value, case), rule.limit(case) or 0.0
    return distance / limit if limit else (math.inf if distance else 0.0)


def _failure(rule: Rule, value: float, case: Case) -> Failure:
    return Failure(
        metric=rule.metric(case),
        words=rule.named(case),
        value=value,
        kind=rule.kind(case),
        unit=case.unit,
        beside=rule.beside(value, case),
        allowed=rule.allowed(case),
        meaning=rule.meaning(value, case),
    )


def _of_one(row: Row, case: Case) -> str:
    missed, time = failures(row, case), speed(row.mean("seconds_ratio"))
    if missed is None:
        lacking = [metric for metric in rules(case) if row.mean(metric) is None]
        what = (
            f"{row.name} lacks {listed(lacking)}" if lacking else "the retrained model has none of the figures that are judged"
        )
        return f"Nothing is proven: {what}."
    if not missed:
        return f"After {row.name} these checks cannot tell the model from a retrained one" + (f"; it {time}." if time else ".")
    return (
        f"{row.name} differs from retraining: "
        + "; ".join(str(failure) for failure in missed)
        + "."
        + (f" It {time}." if time else "")
    )


def _of_many(passed: tuple[Row, ...], case: Case) -> str:
    count = len(case.methods)
    if not passed:
        return f"None of {count} methods matches the retrained model on every check."
    names, time = listed(row.name for row in passed), speed(passed[0].mean("seconds_ratio"))
    if len(passed) == 1:
        return f"1 of {count} methods matches the retrained model on every check: {names}" + (f"; it {time}." if time else ".")
    return f"{len(passed)} of {count} methods match the retrained model on every check: {names}." + (
        f" The fastest of them, {passed[0].name}, {time}." if time else ""
    )


def _misses(row: Row, case: Case) -> tuple[float, float, float]:
    missed = failures(row, case)
    agreement = finite(row.mean("tow"))
    return (
        math.inf if missed is None else len(missed),
        -agreement if agreement is not None else _remoteness(row, case),
        _or_worst(row.mean("seconds_ratio")),
    )


def _remoteness(row: Row, case: Case) -> float:
    """Sum of the distances of all judged metrics, each in its tolerance."""
    values = [(row.mean(metric), rule) for metric, rule in rules(case).items()]
    total = sum(_distance(value, rule, case) for value, rule in values if value is not None)
    return math.inf if math.isnan(total) else total


def _or_worst(value: float | None) -> float:
    return math.inf if finite(value) is None else float(value or 0.0)
