"""PC-DARTS: send a part of the channels through the operations, and weigh edges by weights of their own.

    o(x) = shuffle([sum_k softmax(alpha)_k o_k(x[:c/K]), x[c/K:]]),    x_j = sum_i softmax_i(beta_ij) o_ij(x_i)

Time and memory of the operations fall to about 1 / K; the edges' weights make up for the noise that the part of the channels
brings. Weights are trained alone at first, since operations without weights would win while the others know nothing.

Reference: Y. Xu, L. Xie, X. Zhang, X. Chen, G.-J. Qi, Q. Tian, H. Xiong. "PC-DARTS: Partial Channel Connections for
Memory-Efficient Architecture Search", ICLR 2020, arXiv 1907.05737.
Needs: channels that are a multiple of `partial`. Costs: as DARTS, on 1 / K of the channels.
"""

from dataclasses import dataclass
from typing import ClassVar

from expunge.search.cell_space import CellSpace
from expunge.search.gradient_search import GradientSearch
from expunge.search.supernet import Supernet


@dataclass(frozen=True)
class PCDarts(GradientSearch):
    """See the module.

    Args:
        partial: K. The paper's is 4; with 8 channels or fewer take 2, so that operations see some.
        edge_normalisation: whether edges have weights.
    """

    paper_rate: ClassVar[float] = 6e-4

    warmup: float = 0.3
    rate: float = 0.1
    partial: int = 4
    edge_normalisation: bool = True

    def supernet(self, space: CellSpace) -> Supernet:
        return space.supernet(self.partial, self.edge_normalisation)
