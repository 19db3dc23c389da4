"""Confidence: how sure models that didn't train on a point are of its label.

    v_i = p(y_i | x_i) of the model that is trained on the folds without i;      of real numbers exp(-|error| / mean |error|)

It is EcoVal's intrinsic weight taken alone, and knows nothing of what a point adds to others.

Reference: C. G. Northcutt, L. Jiang, I. L. Chuang. "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70,
2021, arXiv 1911.00068, where this probability is called self-confidence.
Costs: `folds` + 1 trainings.
"""

from dataclasses import dataclass
from typing import ClassVar

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.intrinsic import out_of_fold
from expunge.valuation.method import Found, ValuationMethod


@dataclass
class Confidence(ValuationMethod):
    """Out-of-fold probability of the label.

    Args:
        folds: at least 2.
    """

    folds: int = 5

    asks_validation: ClassVar[bool] = False
    zero_is_neutral: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise BadSetting(f"confidence: folds must be at least 2, not {self.folds}")

    def find(self, game: Game) -> Found:
        values, rule = out_of_fold(game, self.folds)
        return Found(values, lambda points: rule(points, points.flat, points.targets))

    def trainings(self, game: Game) -> int:
        return self.folds + 1
