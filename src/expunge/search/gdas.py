"""GDAS: draw one operation for each edge, train that alone, and let gradients through the draw.

    h = one_hot(argmax_k (log softmax(alpha)_k + G_k)),    dh := d softmax((log softmax(alpha) + G) / tau),    G Gumbel noise

tau falls from 10 to 0.1 along the search. Both losses draw cells of their own.

Reference: X. Dong, Y. Yang. "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, arXiv 1910.04465. All
edges of a node stay, as in DARTS; there is one operation on each.
Costs: time and memory of one operation on each edge, in place of all; it takes more steps to settle.
"""

from dataclasses import dataclass
from typing import ClassVar

from expunge.errors import BadSetting
from expunge.search.cell_space import CellSpace
from expunge.search.gradient_search import GradientSearch
from expunge.search.supernet import Supernet


@dataclass(frozen=True)
class GDAS(GradientSearch):
    """See the module. The second order has no place here: its gradients would be of four different draws."""

    paper_rate: ClassVar[float] = 3e-4
    temperatures: ClassVar[tuple[float, float]] = (10.0, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order != 1:
            raise BadSetting("gdas: operations are drawn anew in each pass, so there is no second order; use order=1")

    def supernet(self, space: CellSpace) -> Supernet:
        return space.supernet(sampled=True)
