"""Data Banzhaf: how much better random halves of the data are that have the point than those that don't.

    v_i = mean of U(S) over drawn S with i  -  mean of U(S) over drawn S without i,      each point is in S with probability 1/2

which is the Banzhaf value as draws grow in number: of all semivalues the one whose ranks bear most noise in U. Every training
counts for every point (maximum sample reuse). Here each point is in exactly half of the subsets; which half is drawn for each
point by itself.

Reference: J. T. Wang, R. Jia. "Data Banzhaf: A Robust Data Valuation Framework for Machine Learning", AISTATS 2023, arXiv
2205.15466.
Costs: `subsets` trainings.
"""

from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod


@dataclass
class Banzhaf(ValuationMethod):
    """Maximum sample reuse.

    Args:
        subsets: to train on, 2 or more.
    """

    subsets: int = 300

    def __post_init__(self) -> None:
        if self.subsets < 2:
            raise BadSetting(f"banzhaf: subsets must be at least 2, not {self.subsets}")

    def find(self, game: Game) -> Found:
        half = self.subsets // 2
        masks = np.repeat(np.arange(self.subsets)[:, None] < half, len(game), axis=1)
        masks = game.generator(self.name).permuted(masks, axis=0)
        found = game.utilities(masks)
        return Found(masks.T @ found / half - ~masks.T @ found / (self.subsets - half))

    def trainings(self, game: Game) -> int:
        return self.subsets
