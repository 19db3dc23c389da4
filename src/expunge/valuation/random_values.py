"""Random values: the control, which knows nothing. What doesn't beat it is of no use.

    v_i ~ uniform on 0..1

Costs: no trainings.
"""

from dataclasses import dataclass
from typing import ClassVar

from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array, Points


@dataclass
class RandomValues(ValuationMethod):
    """Numbers drawn by the utility's seed."""

    asks_model: ClassVar[bool] = False
    asks_validation: ClassVar[bool] = False
    zero_is_neutral: ClassVar[bool] = False

    def find(self, game: Game) -> Found:
        def rule(asked: Points) -> Array:
            return game.generator(self.name, "others").random(len(asked))

        return Found(game.generator(self.name).random(len(game)), rule)
