"""Distributional Shapley: what a point adds to data sets of some size that are drawn from where it came from.

    v(z; m) = E over k uniform in 1..m, and S of k - 1 other points, of  U(S + z) - U(S)

It is the value of a point among data like these, not in this very set; so it makes sense for points outside too, and is stable.
With m = n, S being drawn from D without replacement, it is the Shapley value.

Here all points share each draw: where z is in S, another point e takes its place, and U(S - z + e + z) = U(S + e) is known. A
draw costs n + 1 trainings, not 2 n, and points are compared on the same subsets. Sizes k are spread evenly over 1..m.
Values of unseen points are means over their nearest neighbours of the same class; the paper, too, has a regression on scored
points for them, and leaves open which.

Reference: A. Ghorbani, M. P. Kim, J. Zou. "A Distributional Framework for Data Valuation", ICML 2020, arXiv 2002.12334.
Costs: `subsets` * (n + 1) trainings of at most m points.
"""

from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array


@dataclass
class DistributionalShapley(ValuationMethod):
    """Marginals on subsets that all points share.

    Args:
        subsets: that each point joins.
        largest: m, size of the largest set with the point, at most n; a third of the points when None.
    """

    subsets: int = 10
    largest: int | None = None

    def __post_init__(self) -> None:
        if self.subsets < 1:
            raise BadSetting(f"distributional-shapley: subsets must be at least 1, not {self.subsets}")
        if self.largest is not None and self.largest < 1:
            raise BadSetting(f"distributional-shapley: largest must be at least 1, not {self.largest}")

    def find(self, game: Game) -> Found:
        largest = -(-len(game) // 3) if self.largest is None else self.largest
        if largest > len(game):
            raise BadSetting(f"distributional-shapley: largest is {largest:,}, and there are only {len(game):,} points")
        generator = game.generator(self.name)
        parts = (generator.permutation(self.subsets) + generator.random(self.subsets)) / self.subsets
        values = [_marginals(game, generator, int(part * largest)) for part in parts]
        return Found(np.mean(values, axis=0))

    def trainings(self, game: Game) -> int:
        return self.subsets * (len(game) + 1)


def _marginals(game: Game, generator: np.random.Generator, size: int) -> Array:
    """What each point adds to `size` others, shape (n,)."""
    order = generator.permutation(len(game))
    inside, other = order[:size], order[size]
    masks = np.zeros((len(game) + 1, len(game)), bool)  # row z: S + z where z is outside, S - z + e where it is inside; last: S
    masks[:, inside] = True
    np.fill_diagonal(masks, True)
    masks[inside, inside], masks[inside, other] = False, True
    found = game.utilities(masks)
    gains = found[:-1] - found[-1]
    gains[inside] = found[other] - found[inside]
    return np.asarray(gains)
