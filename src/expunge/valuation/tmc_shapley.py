"""TMC-Shapley: what a point adds to those before it, over random orders.

    v_i = mean over permutations pi of  U(points up to i in pi) - U(points before i)

which is the Shapley value as permutations grow in number. A walk is cut short (truncated) once it is as good as all data.

Reference: A. Ghorbani, J. Zou. "Data Shapley: Equitable Valuation of Data for Machine Learning", ICML 2019, arXiv 1904.02868.
Costs: up to `permutations` * n trainings.
"""

from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.walks import Truncation, marginals, walk


@dataclass
class TMCShapley(ValuationMethod):
    """Truncated Monte Carlo.

    Args:
        permutations: random orders.
        truncation: when a walk ends; as in the authors' program when it is not given.
    """

    permutations: int = 10
    truncation: Truncation = Truncation(tolerance=0.01, patience=6)

    def __post_init__(self) -> None:
        if self.permutations < 1:
            raise BadSetting(f"tmc-shapley: permutations must be at least 1, not {self.permutations}")

    def find(self, game: Game) -> Found:
        generator = game.generator(self.name)
        orders = np.stack([generator.permutation(len(game)) for _ in range(self.permutations)])
        along = walk(game, np.eye(len(game), dtype=bool), orders, self.truncation)
        return Found(marginals(along, orders).mean(0))

    def trainings(self, game: Game) -> int:
        return self.permutations * len(game) + 1
