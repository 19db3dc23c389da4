"""The area under a ROC curve with a 95 % interval.

    AUC = P(s_positive > s_negative) + P(s_positive = s_negative) / 2
    var(AUC) = var(V10) / m + var(V01) / n,   V10_i = share of negatives below positive i, V01_j = share of positives above j

Reference: E. DeLong, D. DeLong, D. Clarke-Pearson. "Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves", Biometrics 44 (1988); by ranks as in X. Sun, W. Xu, IEEE Signal Processing Letters 21 (2014).
What it can't see: that examples depend on one another; the interval takes them for independent.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from expunge.tabular.coded import Array

_NORMAL = 1.959964  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Auc:
    """An area, with its standard error and the ends of its 95 % interval."""

    value: float
    error: float
    low: float
    high: float


def auc(positive: Array, negative: Array) -> Auc:
    """Area under the curve of scores, shapes (m,) and (n,), both at least 1.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])).value
    0.875
    """
    m, n = len(positive), len(negative)
    together = rankdata(np.concatenate([positive, negative]))
    above = (together[:m] - rankdata(positive)) / n
    below = 1 - (together[m:] - rankdata(negative)) / m
    value = float(above.mean())
    error = float(np.sqrt(_variance(above) / m + _variance(below) / n))
    return Auc(value, error, max(0.0, value - _NORMAL * error), min(1.0, value + _NORMAL * error))


def _variance(values: Array) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25  # the most that values from 0 to 1 can vary
