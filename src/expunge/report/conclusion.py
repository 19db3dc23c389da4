"""What the seeds prove of a method: alike, different and in which way, or undecided; with the evidence, and what it would take.

A verdict compares means with what is allowed. That says nothing about chance: here each figure is held against the retrained
model of the same seed, and the difference is tested. A figure is

    alike        if it is equivalent to the retrained model's within what is allowed (two one-sided tests, or one of them where
                 the other side is no fault); all figures must pass, so that no correction is needed
    different    if it differs from what is allowed, at a level that is corrected for how many figures there are (Holm)
    undecided    else: then it is said how many seeds an equivalence takes, if the deviation stays what it is
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr

from expunge.report.evidence import Case, Row
from expunge.report.measures import listed, with_unit
from expunge.report.rules import KINDS, Kind, Rule, rules
from expunge.statistics import holm, seeds_needed

LEVEL, POWER = 0.05, 0.8
State = Literal["alike", "different", "undecided"]


@dataclass(frozen=True)
class Tested:
    """One figure of a method over seeds.

    Args:
        words: the figure in a sentence.
        state: what is proven of it.
        kind: in which way it differs; None where it doesn't.
        gap: mean difference from the retrained model, in words.
        needed: seeds that equivalence takes; None where too many, or where it is there.
    """

    words: str
    state: State
    kind: Kind | None
    gap: str
    needed: int | None = None


@dataclass(frozen=True)
class Conclusion:
    """What is proven of a method.

    Args:
        words: in a few words, never a bare pass.
        figures: the evidence.
        seeds: on which it rests.
    """

    words: str
    figures: tuple[Tested, ...]
    seeds: int


def conclusions(case: Case) -> dict[str, Conclusion]:
    """For each method that is judged on two seeds or more; none where there are fewer."""
    found = {row.name: conclude(row, case) for row in case.methods}
    return {name: each for name, each in found.items() if each is not None}


def conclude(row: Row, case: Case) -> Conclusion | None:
    """What the seeds prove of one model; None where there are fewer than two, or there is no retrained model."""
    gaps = {metric: found for metric, rule in rules(case).items() if len(found := _gaps(metric, rule, row, case)) > 1}
    if not gaps:
        return None
    judged = rules(case)
    outside = holm({metric: _outside(found, judged[metric], case) for metric, found in gaps.items()})
    figures = tuple(_tested(found, judged[metric], case, outside[metric]) for metric, found in gaps.items())
    seeds = min(len(found) for found in gaps.values())
    lacking = len(gaps) < len(judged)
    return Conclusion(_words(figures, seeds, lacking), figures, seeds)


def _gaps(metric: str, rule: Rule, row: Row, case: Case) -> np.ndarray:
    """Value less ideal on each seed on which both are there."""
    gold, value = case.role("retrained"), row.values.get(metric)
    if gold is None or value is None or rule.limit(case) is None:
        return np.zeros(0)
    ours = np.array(value.seeds)
    against = gold.values.get(metric) if rule.of != "noise floor" else None
    theirs = np.zeros(len(ours)) if against is None else np.array(against.seeds)
    if len(ours) != len(theirs):
        return np.zeros(0)
    gaps: np.ndarray = ours - theirs
    return gaps[np.isfinite(gaps)]


def _sides(rule: Rule) -> tuple[bool, bool]:
    """Whether to lie above is a fault, and whether to lie below is."""
    return bool(rule.above), bool(rule.below) and not rule.at_most


def _p_values(gaps: np.ndarray, limit: float) -> tuple[float, float]:
    """p of the mean gap being `limit` or more, small where it is less; and of its being `limit` or less."""
    mean, error = float(gaps.mean()), float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    if error == 0:
        return (1.0, 0.0) if mean > limit else (0.0, 1.0)
    below = float(stdtr(len(gaps) - 1, (mean - limit) / error))
    return below, 1 - below


def _outside(gaps: np.ndarray, rule: Rule, case: Case) -> float:
    """p of the mean gap lying within what is allowed: small where it lies outside."""
    limit = rule.limit(case) or 0.0
    above, below = _sides(rule)
    found = [_p_values(gaps, limit)[1]] if above else []
    found += [_p_values(-gaps, limit)[1]] if below else []
    return min(1.0, len(found) * min(found)) if found else 1.0


def _inside(gaps: np.ndarray, rule: Rule, case: Case) -> float:
    """p of the mean gap lying outside what is allowed: small where it lies within."""
    limit = rule.limit(case) or 0.0
    above, below = _sides(rule)
    found = [_p_values(gaps, limit)[0]] if above else []
    found += [_p_values(-gaps, limit)[0]] if below else []
    return max(found, default=0.0)


def _tested(gaps: np.ndarray, rule: Rule, case: Case, outside: float) -> Tested:
    mean, deviation = float(gaps.mean()), float(gaps.std(ddof=1))
    kind = "points" if rule.kind(case) == "percent" else rule.kind(case)
    sign = "\N{MINUS SIGN}" if mean < 0 else "+"
    gap = f"{sign}{with_unit(abs(mean), kind, case.unit)} ± {with_unit(deviation, kind, case.unit)}"
    words = rule.named(case)
    if outside < LEVEL:
        meaning = rule.above if mean > 0 else rule.below
        return Tested(
            words, "different", next((name for name, texts in KINDS.items() if meaning in texts), "other answers"), gap
        )
    if _inside(gaps, rule, case) < LEVEL:
        return Tested(words, "alike", None, gap)
    return Tested(words, "undecided", None, gap, seeds_needed(deviation, rule.limit(case) or 0.0, POWER, LEVEL))


def _words(figures: Sequence[Tested], seeds: int, lacking: bool) -> str:
    kinds = list(dict.fromkeys(each.kind for each in figures if each.kind is not None))
    if kinds:
        order = [*KINDS, "other answers"]
        named = [
            f"{kind} ({listed(each.words for each in figures if each.kind == kind)})" for kind in sorted(kinds, key=order.index)
        ]
        return "; ".join(named)
    open_ = [each for each in figures if each.state == "undecided"]
    if open_:
        needed = [each.needed for each in open_]
        most = None if None in needed else max(each for each in needed if each is not None)
        takes = "more seeds than can be had" if most is None else f"{most:,} seeds"
        return f"undecided: {seeds} seeds do not settle {listed(each.words for each in open_)}; that takes about {takes}"
    if lacking:
        return "undecided: some figures are missing"
    return f"indistinguishable from retrained on every check, at the power of {seeds} seeds"
