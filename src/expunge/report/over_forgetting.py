"""Which methods went past the target: what they forgot stands out more than it would had it never been seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.report.evidence import Case, Row
from expunge.report.measures import facts_asked, finite, listed, with_unit, written
from expunge.report.rules import rules

if TYPE_CHECKING:
    from expunge.report.verdict import Failure

Missed = Sequence[tuple[Row, Sequence["Failure"]]]


@dataclass(frozen=True)
class _Sign:
    """A figure that shows it: the side of the retrained model's value on which that is, and its name in two parts."""

    metric: str
    side: int
    name: str
    of: str


_OF_LINKS = (
    _Sign("deleted_retained_auc", 1, "AUC", "of retained against deleted edges"),
    _Sign("membership_auc", -1, "AUC", "of the membership attack"),
)
_OF_RANKINGS = (
    _Sign("forget_recall", -1, "recall", "of what was forgotten"),
    _Sign("feature_cosine", -1, "cosine", "of what is told of removed features"),
    _Sign("membership_auc", -1, "AUC", "of the membership attack"),
)
_OF_FACTS = (_Sign("extraction_strength", -1, "extraction strength", "of answers to what goes"),)


def over_forgetting(case: Case, missed: Missed) -> str:
    """Methods that over-forget, with their figures and what that means; empty where there are none, or nobody can tell.

    Args:
        missed: each method, and the checks that it fails.
    """
    if case.score_name == "probability":
        if past := _by_signs(_OF_LINKS, case, missed):
            return (
                f"{past}. That is past the target, not nearer to it: to a model that never saw the deleted edges they look "
                "like any other unseen edge, and edges that look less likely than that give away what was deleted."
            )
    elif case.score_name == "pair_auc":
        if past := _by_signs(_OF_RANKINGS, case, missed):
            return (
                f"{past}. That is past the target, not nearer to it: a model that never saw what was forgotten still finds "
                "a part of it, as it does of anything like it, and less than that gives away what was forgotten."
            )
    elif facts_asked(case):
        if past := _by_signs(_OF_FACTS, case, missed):
            return (
                f"{past}. That is past the target, not nearer to it: a model that never knew the facts still ends a sentence "
                "as one does, and where it can't, that gives away what was forgotten."
            )
    elif not case.higher_is_better and (past := _in_errors(case, missed)):
        return (
            f"{past}. That is past the target, not nearer to it: a model that never saw the data errs less, and errors of "
            "that size give away what was forgotten."
        )
    return ""


def _by_signs(signs: Sequence[_Sign], case: Case, missed: Missed) -> str:
    """The methods that drove away what had to go, each by the first figure that shows it."""
    found: dict[_Sign, list[tuple[Row, float]]] = {}
    for row, failures in missed:
        values = {failure.metric: failure.value for failure in failures}
        for sign in signs:
            ideal = rules(case)[sign.metric].ideal(case) if sign.metric in values else None
            if ideal is not None and sign.side * (values[sign.metric] - ideal) > 0:
                found.setdefault(sign, []).append((row, values[sign.metric]))
                break
    return "; ".join(_sign_of(rules(case)[sign.metric].ideal(case), sign, cases) for sign, cases in found.items())


def _sign_of(ideal: float | None, sign: _Sign, found: Sequence[tuple[Row, float]]) -> str:
    values = [value for _, value in found]
    beside = f"retrained {written(ideal)}"
    if len(found) == 1:
        return f"{found[0][0].name} over-forgets: its {sign.name} {sign.of} is {written(values[0])}, {beside}"
    names, most = listed(row.name for row, _ in found), written(max(values))
    return f"{names} over-forget: their {sign.name}s {sign.of} are {written(min(values))} to {most}, {beside}"


def _in_errors(case: Case, missed: Missed) -> str:
    """The methods whose error is past the retrained model's, where the original's is short of it."""
    found: dict[str, list[tuple[Row, Failure, float]]] = {}
    original = case.role("original")
    for row, failures in missed:
        by_metric = {failure.metric: failure for failure in failures}
        for where in ("holdout_forget", "forget"):
            metric = f"{where}_{case.score_name}"
            before = None if original is None else finite(original.mean(metric))
            ideal = rules(case)[metric].ideal(case) if metric in by_metric else None
            if before is not None and ideal is not None and before < ideal < by_metric[metric].value:
                found.setdefault(metric, []).append((row, by_metric[metric], by_metric[metric].value / ideal - 1))
                break
    return "; ".join(_errors_of(metric, cases, case) for metric, cases in found.items())


def _errors_of(metric: str, found: "Sequence[tuple[Row, Failure, float]]", case: Case) -> str:
    data = rules(case)[metric].words.removeprefix("{score} ")
    if len(found) == 1:
        row, failure, _ = found[0]
        value = with_unit(failure.value, failure.kind, failure.unit)
        return f"{row.name} over-forgets: its error {data} is {value}, {failure.beside}"
    least, most = (f"{100 * pick(excess for *_, excess in found):.0f}" for pick in (min, max))
    ideal = with_unit(rules(case)[metric].ideal(case), found[0][1].kind, found[0][1].unit)
    names = listed(row.name for row, *_ in found)
    return f"{names} over-forget: their errors {data} are {least} to {most} % above the retrained model's {ideal}"
