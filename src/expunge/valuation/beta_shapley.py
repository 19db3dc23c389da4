"""Beta Shapley: the Shapley value with more weight on small subsets, where a point still changes something.

    v_i = 1 / n * sum_{j=1..n} w_j * mean over subsets S of j - 1 other points of  U(S + i) - U(S)

    w_j = n * binom(n - 1, j - 1) * B(j + beta - 1, n - j + alpha) / B(alpha, beta)

Beta(1, 1) is the Shapley value. The larger alpha, the smaller the subsets that count: with Beta(16, 1) half of all weight lies
on subsets below n / 23. Values don't sum to U(D) - U({}). A walk along a random order shows a marginal of each point, at any
place j as likely as at any other; the value is the mean of w_j times the marginal. Walks end where next to no weight is left.
Orders are those that TMC-Shapley draws, so that of the two methods with one folder the second trains little.

Reference: Y. Kwon, J. Zou. "Beta Shapley: a Unified and Noise-reduced Data Valuation Framework for Machine Learning", AISTATS
2022, arXiv 2110.14049.
Costs: up to `permutations` * n trainings, of Beta(16, 1) a quarter of that.
"""

import math
from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array
from expunge.valuation.tmc_shapley import TMCShapley
from expunge.valuation.walks import Truncation, walk


@dataclass
class BetaShapley(ValuationMethod):
    """Semivalues with weights of a beta-binomial distribution.

    Args:
        alpha: weight of small subsets, 1 or more.
        beta: weight of large subsets, 1 or more.
        permutations: random orders.
        negligible: share of all weight, that of the largest subsets, which is left out; with 0 walks go to their end.
        truncation: when a walk ends before.
    """

    alpha: float = 16.0
    beta: float = 1.0
    permutations: int = 20
    negligible: float = 0.01
    truncation: Truncation = Truncation(tolerance=0.01, patience=6)

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "permutations"):
            if not 1 <= getattr(self, name) < math.inf:
                raise BadSetting(f"beta-shapley: {name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.negligible < 1:
            raise BadSetting(f"beta-shapley: negligible must be at least 0 and less than 1, not {self.negligible}")

    def find(self, game: Game) -> Found:
        weights, generator = self._weights(len(game)), game.generator(TMCShapley.name)
        orders = np.stack([generator.permutation(len(game)) for _ in range(self.permutations)])[:, : len(weights)]
        along = walk(game, np.eye(len(game), dtype=bool), orders, self.truncation)
        gains = np.diff(along, axis=1) * weights
        return Found(np.bincount(orders.ravel(), gains.ravel(), len(game)) / self.permutations)

    def trainings(self, game: Game) -> int:
        return self.permutations * len(self._weights(len(game))) + 1

    def _weights(self, points: int) -> Array:
        """w_1, w_2, ... as far as walks go."""
        weights = place_weights(points, self.alpha, self.beta)
        steps = np.searchsorted(weights.cumsum(), (1 - self.negligible) * points) + 1
        return weights[: int(steps)] if self.negligible else weights


def place_weights(points: int, alpha: float, beta: float) -> Array:
    """w_1 .. w_n; their mean is 1."""
    from scipy.special import betaln, gammaln

    before = np.arange(points)
    choices = gammaln(points) - gammaln(before + 1) - gammaln(points - before)
    chances = choices + betaln(before + beta, points - 1 - before + alpha) - betaln(alpha, beta)
    return np.asarray(points * np.exp(chances))
