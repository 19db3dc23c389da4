"""Data-OOB: how often models that were trained without a point answer as its label says.

    v_i = sum_b 1[i not in bag b] * T(y_i, f_b(x_i)) / sum_b 1[i not in bag b]

    T = 1[f_b(x_i) = y_i] for classes, - (f_b(x_i) - y_i)^2 for real numbers;      bag b: rows drawn with replacement

A model sees a row of its bag once, however often it was drawn: of n draws from n rows 63 % are left. A point that is in every
bag has no value; bags are drawn before anything is trained, and such a draw is refused. The validation set is not asked.

A new point is in no bag: its value is the mean of T over all models, which are kept for that.

Reference: Y. Kwon, J. Zou. "Data-OOB: Out-of-bag Estimate as a Simple and Efficient Data Value", ICML 2023, arXiv 2304.07718.
Costs: `models` trainings.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array, Points

_ANSWERS = 10_000_000  # numbers, at most, that models are asked for together


@dataclass
class DataOOB(ValuationMethod):
    """Bagging.

    Args:
        models: bags.
        fraction: rows that are drawn for a bag, over n.
    """

    models: int = 100
    fraction: float = 1.0

    asks_validation: ClassVar[bool] = False
    zero_is_neutral: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.models < 1:
            raise BadSetting(f"data-oob: models must be at least 1, not {self.models}")
        if not 0 < self.fraction <= 10:
            raise BadSetting(f"data-oob: fraction must lie above 0, and be at most 10, not {self.fraction}")

    def find(self, game: Game) -> Found:
        bags, points = self._bags(game), game.points
        together = max(_ANSWERS // (len(points) * max(len(points.classes), 1)), 1)
        total, kept = np.zeros(len(points)), []
        for start in range(0, self.models, together):
            part = bags[start : start + together]
            kept.append(game.train(part))
            total += np.where(part, 0.0, _agreement(kept[-1](points.inputs), points)).sum(0)

        def rule(others: Points) -> Array:
            starts = range(0, len(others), len(points))
            parts = [others.at(np.arange(start, min(start + len(points), len(others)))) for start in starts]
            sums = [np.sum([_agreement(ask(part.inputs), part).sum(0) for ask in kept], axis=0) for part in parts]
            return np.concatenate(sums) / self.models

        return Found(total / (~bags).sum(0), rule)

    def trainings(self, game: Game) -> int:
        return self.models

    def _bags(self, game: Game) -> Array:
        """Which rows each model sees, shape (models, n)."""
        count, generator = len(game), game.generator(self.name)
        bags = np.zeros((self.models, count), bool)
        for bag in bags:
            bag[generator.integers(count, size=max(round(self.fraction * count), 1))] = True
        if never := int(bags.all(0).sum()):
            raise BadSetting(
                f"data-oob: {never:,} of {count:,} points are in each of {self.models:,} bags, and so have no value; "
                "take more models, or a smaller fraction"
            )
        return bags


def _agreement(answers: Array, points: Points) -> Array:
    """T of each model and point, shape (m, n)."""
    if len(points.classes):
        return np.asarray(answers.argmax(2) == points.targets, dtype=float)
    return np.asarray(-np.square(answers - points.targets))
