"""KNN-Shapley: exact Shapley values where the model is a vote of the K nearest neighbours.

    U(S) = mean over validation points (x, y) of  1/K * number of right labels among the min(K, |S|) nearest to x of S

For one validation point, with a_1 .. a_n the training points from the nearest to the farthest, and r_j = 1[y of a_j = y]:

    s(a_n) = r_n / max(K, n)
    s(a_j) = s(a_{j+1}) + (r_j - r_{j+1}) / K * min(K, j) / j

and a value is the mean of s over validation points; values sum to U(D). Of equally near points the first in the data counts as
the nearer. Distances are Euclidean: scale the features, or hand over those of a network.

A new point's value is the exact one that it would have among the n training points and itself.

Reference: R. Jia, D. Dao, B. Wang, F. A. Hubis, N. M. Gurel, B. Li, C. Zhang, C. Spanos, D. Song. "Efficient Task-Specific Data
Valuation for Nearest Neighbor Algorithms", PVLDB 12(11), 2019, arXiv 1908.08619.
Needs: classes. The utility's model and metric are not asked. Costs: no trainings; O(v n (d + log n)).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array, Points

_DISTANCES = 4_000_000  # numbers, at most, that are sorted together


@dataclass
class KNNShapley(ValuationMethod):
    """The exact recursion.

    Args:
        neighbours: K.
    """

    neighbours: int = 5

    asks_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise BadSetting(f"knn-shapley: neighbours must be at least 1, not {self.neighbours}")

    def find(self, game: Game) -> Found:
        points, valid, K = game.points, game.valid, self.neighbours
        if not len(points.classes):
            raise BadSetting("knn-shapley: neighbours vote for classes, and the targets are real numbers")
        values, shares = np.zeros(len(points)), _shares(K, len(points))
        for asked in _parts(valid, len(points)):
            order = _distances(asked, points).argsort(1, kind="stable")
            worth = _recursion(points.targets[order] == asked.targets[:, None], shares[:-1], shares[-1])
            values += np.bincount(order.ravel(), worth.ravel(), len(points))
        return Found(values / len(valid), lambda others: _values_of(others, points, valid, K))


def _shares(neighbours: int, count: int) -> Array:
    """min(K, j) / (j K) for j = 1 .. count."""
    return np.asarray(1 / np.maximum(neighbours, np.arange(1, count + 1)))


def _recursion(right: Array, shares: Array, last: float) -> Array:
    """s of all places, shape (v, n), as `right`."""
    found = np.empty(right.shape)
    found[:, -1] = right[:, -1] * last
    found[:, :-1] = (right[:, :-1].astype(float) - right[:, 1:]) * shares
    return np.asarray(found[:, ::-1].cumsum(1)[:, ::-1])


def _values_of(others: Points, points: Points, valid: Points, neighbours: int) -> Array:
    """Values that points would have, each alone among all training points.

    One that comes to place p moves the points from there on by one place; their values t don't depend on p:

        t_n = r_n / max(K, n + 1),      t_j = t_{j+1} + (r_j - r_{j+1}) / K * min(K, j + 1) / (j + 1)
        value = t_p + (r - r_p) / K * min(K, p) / p,      or  r / max(K, n + 1)  at place n + 1
    """
    values, shares = np.zeros(len(others)), _shares(neighbours, len(points) + 1)
    for asked in _parts(valid, max(len(points), len(others))):
        distances, apart = _distances(asked, points), _distances(asked, others)
        order = distances.argsort(1, kind="stable")
        right = points.targets[order] == asked.targets[:, None]
        behind = np.pad(_recursion(right, shares[1:-1], shares[-1]), ((0, 0), (0, 1)))
        ahead = np.pad(right.astype(float), ((0, 0), (0, 1)))
        for row, target in enumerate(asked.targets):
            place = np.searchsorted(distances[row, order[row]], apart[row], side="right")
            values += behind[row, place] + ((others.targets == target) - ahead[row, place]) * shares[place]
    return values / len(valid)


def _parts(valid: Points, width: int) -> Iterator[Points]:
    """Some validation points after the other."""
    together = max(_DISTANCES // width, 1)
    return (valid.at(np.arange(start, min(start + together, len(valid)))) for start in range(0, len(valid), together))


def _distances(asked: Points, points: Points) -> Array:
    """Squared, shape (asked, points). A product of matrices would be faster, but tell equal distances apart by rounding."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(asked.flat, points.flat, "sqeuclidean"))
