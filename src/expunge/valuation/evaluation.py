"""How good values are: do they find wrong labels, and what becomes of a model as points go or come in their order?

    detection   AUROC and precision of low values for points that are labelled wrongly; F1 of the lower of two groups of values
    removal     utility of what is left when the most, or the least, valuable go
    addition    utility of the first to come when the most, or the least, valuable come first: of the same subsets, so that a
                curve of addition is one of removal read from its end
    stability   rank correlation of values over seeds

Curves are of models that are judged on a third part of the data, which no value was found by.

Reference: K. F. Jiang, W. Liang, J. Zou, Y. Kwon. "OpenDataVal: a Unified Benchmark for Data Valuation", NeurIPS 2023 Datasets
and Benchmarks, arXiv 2306.10577.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.points import Array

SHARES = tuple(round(0.1 * tenth, 1) for tenth in range(10))  # of the points, that have gone or come


@dataclass(frozen=True)
class Detection:
    """How well low values tell points that are labelled wrongly.

    Args:
        auroc: area under the ROC curve; 0.5 is chance.
        precision: share of wrong ones among as many of the least valuable as there are wrong ones.
        f1: of those that 2-means puts into the lower of two groups of values.
    """

    auroc: float
    precision: float
    f1: float


@dataclass(frozen=True)
class Curves:
    """Utility as points go or come, each of shape (shares,), see :data:`SHARES`; the first of additions is of a tenth.

    Args:
        removal_high: the most valuable go first; the lower, the better the values.
        removal_low: the least valuable go first; the higher, the better.
        addition_high: the most valuable come first; the higher, the better.
        addition_low: the least valuable come first; the lower, the better.
    """

    removal_high: Array
    removal_low: Array
    addition_high: Array
    addition_low: Array


def detect(values: Array, wrong: Array) -> Detection:
    """Hold values, shape (n,), against which points are labelled wrongly, shape (n,), bool.

    Raises:
        BadSetting: if none is, or all are.
    """
    if wrong.all() or not wrong.any():
        raise BadSetting(f"detection needs right and wrong labels; {int(wrong.sum()):,} of {len(wrong):,} are wrong")
    from sklearn.cluster import KMeans
    from sklearn.metrics import f1_score, roc_auc_score

    lowest = np.argsort(values, kind="stable")[: wrong.sum()]
    groups = KMeans(2, n_init=3, random_state=0).fit(values[:, None])
    low = groups.labels_ == groups.cluster_centers_[:, 0].argmin()
    return Detection(float(roc_auc_score(wrong, -values)), float(wrong[lowest].mean()), float(f1_score(wrong, low)))


def curves(game: Game, values: Array) -> Curves:
    """Train on what is left, or on what has come, in the order of values; `game` is judged on points that no value knows."""
    ascending = np.argsort(values, kind="stable")
    count = len(values)
    gone = [round(each * count) for each in SHARES]
    come = [max(count - each, 1) for each in reversed(gone)]

    def first(order: Array, number: int) -> Array:
        mask = np.zeros(count, bool)
        mask[order[:number]] = True
        return mask

    masks = [~first(order, number) for order in (ascending[::-1], ascending) for number in gone]
    masks += [first(order, number) for order in (ascending[::-1], ascending) for number in come]
    return Curves(*game.utilities(np.array(masks)).reshape(4, len(SHARES)))


def stability(values: Sequence[Array]) -> float:
    """Mean rank correlation (Spearman) of all pairs of valuations of the same points; not a number for fewer than two."""
    from scipy.stats import spearmanr

    found = [spearmanr(first, second).statistic for first, second in combinations(values, 2)]
    return float(np.mean(found)) if found else float("nan")
