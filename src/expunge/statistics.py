"""What figures over seeds can prove: intervals, tests, equivalence, corrections for many tests, and how much data they need.

A difference that a test doesn't find may be there all the same. To say that two models are alike takes a test of equivalence:
two one-sided tests, whether the difference lies above -margin, and whether it lies below margin,

    t_low = (d + margin) / s,   t_high = (d - margin) / s,   p = max(P(T > t_low), P(T < t_high))

with d the mean difference and s its standard error. Tests of several figures, all of which must pass, need no correction then;
tests of which any counts as a finding do (Holm).

References: D. J. Schuirmann. "A comparison of the two one-sided tests procedure and the power approach for assessing the
equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987. S. Holm. "A simple
sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979. J. A. Hanley, B. J. McNeil. "The
meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143, 1982.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import nctdtr, ndtri, stdtr, stdtrit
from scipy.stats import bootstrap as drawn_anew

from expunge.errors import BadSetting

_CERTAIN = 35.0  # errors of distance, beyond which nothing is left of a tail
_MOST = 100_000  # seeds or examples; what needs more is said to need more


@dataclass(frozen=True)
class Difference:
    """The difference of two models in a figure, over seeds.

    Args:
        mean: of one less the other.
        low: end of its interval of confidence.
        high: the other end.
        p: of no difference, two-sided; 1 where seeds don't differ at all and neither do the models.
        count: seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:+.4g} ({self.low:+.4g} to {self.high:+.4g}, p = {self.p:.2g}, {self.count} seeds)"


def bootstrap(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    draws: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of a statistic by drawing values anew, bias-corrected and accelerated; both ends alike where values are.

    Args:
        values: shape (n,), finite.
        statistic: of values along `axis`.
        level: of confidence, between 0 and 1.
        draws: how many.
        seed: of the draws.

    >>> low, high = bootstrap([0.1, 0.2, 0.3, 0.4])
    >>> 0.1 < low < 0.25 < high < 0.4
    True
    """
    found = _finite(values, "values")
    _check_level(level)
    if len(found) < 2 or np.ptp(found) == 0:
        value = float(statistic(found))
        return value, value
    interval = drawn_anew(
        (found,), statistic, confidence_level=level, n_resamples=draws, rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired(ours: Sequence[float], theirs: Sequence[float], level: float = 0.95) -> Difference:
    """The difference of two models that were made from the same seeds, by a paired t test.

    Args:
        ours: shape (n,), n at least 2.
        theirs: shape (n,), of the same seeds.
        level: of the interval.

    Raises:
        BadSetting: if there are fewer than two seeds, or not as many of both.

    >>> str(paired([1.0, 2.0, 3.0], [0.0, 1.0, 2.5]))
    '+0.8333 (+0.1162 to +1.55, p = 0.038, 3 seeds)'
    """
    return _difference(_paired(ours, theirs), level)


def equivalence(ours: Sequence[float], theirs: Sequence[float], margin: float) -> float:
    """p of the two models differing by `margin` or more on average; small where they are alike. Paired by seed.

    Raises:
        BadSetting: as :func:`paired`, or if the margin is not above 0.

    >>> round(equivalence([0.50, 0.52, 0.51], [0.51, 0.51, 0.51], margin=0.05), 4)
    0.0065
    """
    if not 0 < margin < math.inf:
        raise BadSetting(f"the margin of equivalence must be above 0, not {margin}")
    gaps = _paired(ours, theirs)
    mean, error = float(gaps.mean()), float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(max(stdtr(len(gaps) - 1, -(mean + margin) / error), stdtr(len(gaps) - 1, (mean - margin) / error)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values of tests of which any may count as a finding, corrected for how many they are.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    order = sorted(p_values, key=lambda name: p_values[name])
    found: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[name]))
        found[name] = highest
    return {name: found[name] for name in p_values}


def power_of_equivalence(deviation: float, margin: float, seeds: int, level: float = 0.05) -> float:
    """Chance that :func:`equivalence` finds two models alike that are, by the noncentral t distribution.

    Args:
        deviation: standard deviation of the difference between seeds.
        margin: of equivalence.
        seeds: at least 2.
        level: of the test.
    """
    if deviation == 0:
        return 1.0
    critical = float(stdtrit(seeds - 1, 1 - level))
    shift = min(margin * math.sqrt(seeds) / deviation, _CERTAIN)
    return float(max(0.0, nctdtr(seeds - 1, -shift, -critical) - nctdtr(seeds - 1, shift, critical)))


def seeds_needed(deviation: float, margin: float, power: float = 0.8, level: float = 0.05) -> int | None:
    """Fewest seeds with which alike models are found alike with a chance of `power`; None where 100,000 are too few.

    >>> seeds_needed(deviation=0.01, margin=0.02), seeds_needed(deviation=0.02, margin=0.02)
    (4, 11)
    """
    if not (deviation >= 0 and margin > 0 and 0 < power < 1):
        raise BadSetting(
            f"deviation must be 0 or more, margin above 0 and power between 0 and 1, not {deviation}, {margin} and {power}"
        )
    _check_level(level)
    return _fewest(lambda count: power_of_equivalence(deviation, margin, count, level) >= power, 2)


def auc_error(auc: float, members: int, others: int) -> float:
    """Standard error of an area under the ROC curve, by Hanley and McNeil.

    >>> round(auc_error(0.5, 100, 100), 4)
    0.0409
    """
    if not 0 <= auc <= 1 or members < 1 or others < 1:
        raise BadSetting(f"an AUC lies between 0 and 1 and needs examples of both kinds, not {auc}, {members} and {others}")
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (members - 1) * (first - auc**2) + (others - 1) * (second - auc**2)
    return math.sqrt(max(0.0, variance) / (members * others))


def examples_needed(auc: float, power: float = 0.8, level: float = 0.05) -> int | None:
    """Fewest forgotten examples, and as many unseen ones, with which an attack of this AUC is told from a guess.

    One-sided, with a chance of `power`; None where 100,000 are too few.

    >>> examples_needed(0.6), examples_needed(0.55)
    (102, 411)
    """
    if not 0.5 < auc <= 1 or not 0 < power < 1:
        raise BadSetting(f"the AUC must lie above 0.5 and power between 0 and 1, not {auc} and {power}")
    _check_level(level)
    critical, wanted = float(ndtri(1 - level)), float(ndtri(power))

    def enough(count: int) -> bool:
        return bool(auc - 0.5 >= critical * auc_error(0.5, count, count) + wanted * auc_error(auc, count, count))

    return _fewest(enough, 2)


def models_needed(epsilon: float, delta: float = 0.0) -> int:
    """Fewest models, of each of two kinds, among which rates of error can show an epsilon at all.

    The least rate that N models can show is 1 / N, so that nothing above log((1 - delta) N - 1) is ever seen.

    >>> models_needed(3.0), models_needed(5.0)
    (22, 150)
    """
    if not 0 <= epsilon < 50 or not 0 <= delta < 1:
        raise BadSetting(f"epsilon must be 0 or more and below 50, and delta 0 or more and below 1, not {epsilon} and {delta}")
    return math.ceil((math.exp(epsilon) + 1) / (1 - delta))


def _fewest(enough: Callable[[int], bool], least: int) -> int | None:
    """The least count that is enough, where more of them are enough too."""
    high = least
    while not enough(high):
        if high >= _MOST:
            return None
        high = min(2 * high, _MOST)
    low = least
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def _difference(gaps: np.ndarray, level: float) -> Difference:
    _check_level(level)
    mean, error = float(gaps.mean()), float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, len(gaps))
    half = float(stdtrit(len(gaps) - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(len(gaps) - 1, -abs(mean) / error))
    return Difference(mean, mean - half, mean + half, p, len(gaps))


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> np.ndarray:
    first, second = _finite(ours, "values"), _finite(theirs, "values")
    if len(first) != len(second) or len(first) < 2:
        raise BadSetting(f"a paired test needs at least 2 seeds, and the same ones of both: {len(first)} and {len(second)}")
    return first - second


def _finite(values: Sequence[float] | np.ndarray, what: str) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise BadSetting(f"{what} must be finite numbers of shape (n,), at least one, not {values!r:.80}")
    return found


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise BadSetting(f"a level lies between 0 and 1, not {level}")
