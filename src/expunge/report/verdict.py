"""The verdict on each method: where its result differs from a retrained model by more than is allowed."""

import math
from dataclasses import dataclass
from typing import Literal

from expunge.report.evidence import Case, Row
from expunge.report.measures import Kind, finite, listed, score_kind, speed, with_unit

# Largest allowed distance to the retrained model: 5 points of accuracy on what goes, 1 on what stays, 0.02 of AUC.
TOLERANCES = {
    "forget_{score}": 0.05,
    "holdout_forget_{score}": 0.05,
    "holdout_{score}": 0.01,
    "membership_auc": 0.02,
}
_WORDS = {
    "forget_{score}": "{score} on the forgotten data",
    "holdout_forget_{score}": "{score} on unseen data like the forgotten",
    "holdout_{score}": "{score} on unseen data",
    "membership_auc": "the membership attack's AUC",
}
_MEANINGS = {  # what it means to lie above, and below, the retrained model
    "forget_{score}": (
        "it still answers the forgotten data better than a model that never saw it",
        "it answers the forgotten data worse than a model that never saw it, so the data stands out",
    ),
    "holdout_forget_{score}": (
        "it still knows the kind of thing that had to go",
        "it lost ability on this kind of thing that a model without the data would have",
    ),
    "holdout_{score}": (
        "it does better on unseen data than retraining would: nobody is harmed, but it is not the same model",
        "it lost ability that should have stayed",
    ),
    "membership_auc": (
        "forgotten examples still look more familiar to it than they do to a model that never saw them",
        "forgotten examples look stranger to it than to a model that never saw them, which gives them away as well",
    ),
}
_SLACK = 1e-9  # a distance of exactly the tolerance passes, whatever the last bit of a difference says
_SOONER = 0.5  # share of the retrained model's relearning steps below which a reader is warned

State = Literal["matches", "differs", "not proven"]


@dataclass(frozen=True)
class Failure:
    """One metric that is too far from the retrained model's."""

    metric: str
    words: str
    value: float
    ideal: float
    tolerance: float
    kind: Kind = "number"
    meaning: str = ""

    def __str__(self) -> str:
        return f"{self.words} is {with_unit(self.value, self.kind)}, retrained {with_unit(self.ideal, self.kind)}"


def limits(case: Case) -> dict[str, float]:
    """The tolerance of each metric that is judged: those that the retrained model has a value for."""
    gold = case.role("retrained")
    if gold is None:
        return {}
    named = {pattern.format(score=case.score_name): tolerance for pattern, tolerance in TOLERANCES.items()}
    return {metric: tolerance for metric, tolerance in named.items() if finite(gold.mean(metric)) is not None}


def failures(row: Row, case: Case) -> tuple[Failure, ...] | None:
    """Where a row misses the retrained model's figures.

    None when nothing can be said: there is no retrained model to judge by, or the row misses nothing but lacks a figure
    that the retrained model has. A figure that is not a number is a miss.
    """
    gold, judged = case.role("retrained"), limits(case)
    if gold is None or not judged:
        return None
    found, complete = [], True
    for pattern in TOLERANCES:
        metric = pattern.format(score=case.score_name)
        value, ideal = row.mean(metric), gold.mean(metric)
        if metric not in judged or ideal is None:
            continue
        if value is None:
            complete = False
        elif not abs(value - ideal) <= judged[metric] + _SLACK:  # in this form NaN is a miss
            found.append(_failure(pattern, metric, value, ideal, case))
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
    if rows := matching(case):
        return rows[0]
    return min(case.methods, key=lambda row: _misses(row, case), default=None)


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
    if sooner := [row.name for row in matching(case) if _relearns_sooner(row, gold)]:
        found.append(
            f"{listed(sooner)} matched on every check, but learned the forgotten data again in less than half the "
            "steps that the retrained model needed. It may be hidden rather than gone: relearning is shown, but is no "
            "part of the verdict."
        )
    if seeds < 2:
        found.append("All figures come from one seed; another seed gives other figures, and may give another verdict.")
    if len(case.methods) > 1 and matching(case):
        found.append(
            f"{len(case.methods)} methods were tried and judged by the same figures. The more are tried, the likelier "
            "it is that one matches by chance."
        )
    return found


def _relearns_sooner(row: Row, gold: Row) -> bool:
    steps, ideal = finite(row.mean("relearn_steps")), finite(gold.mean("relearn_steps"))
    return steps is not None and ideal is not None and steps < _SOONER * ideal


def _failure(pattern: str, metric: str, value: float, ideal: float, case: Case) -> Failure:
    words = _WORDS[pattern].format(score=case.score_name)
    kind = score_kind(case.score_name) if "{score}" in pattern else "number"
    meaning = _MEANINGS[pattern][0 if value > ideal else 1] if math.isfinite(value) else "it gives no number at all"
    return Failure(metric, words, value, ideal, TOLERANCES[pattern], kind, meaning)


def _of_one(row: Row, case: Case) -> str:
    missed, time = failures(row, case), speed(row.mean("seconds_ratio"))
    if missed is None:
        lacking = [metric for metric in limits(case) if row.mean(metric) is None]
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
        -agreement if agreement is not None else 0.0,
        _or_worst(row.mean("seconds_ratio")),
    )


def _or_worst(value: float | None) -> float:
    return math.inf if finite(value) is None else float(value or 0.0)
