"""DARTS: mix all operations on every edge, and learn the mixture by gradients.

    o(x) = sum_k softmax(alpha)_k o_k(x),    min_alpha L_val(w*(alpha), alpha)    where    w*(alpha) = argmin_w L_train(w,
    alpha)

See :mod:`expunge.search.bilevel` for both orders of the gradient, and :mod:`expunge.search.deriving` for what is derived.

Reference: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055. Known to
prefer skip connections when it searches for long: A. Zela et al. "Understanding and Robustifying Differentiable Architecture
Search", ICLR 2020, arXiv 1909.09656; `max_skips`, `patience` and `warmup` help.
Costs: in each step two passes forward and backward through all operations; about eight at second order.
"""

from dataclasses import dataclass
from typing import ClassVar

from expunge.search.cell_space import CellSpace
from expunge.search.gradient_search import GradientSearch
from expunge.search.supernet import Supernet


@dataclass(frozen=True)
class Darts(GradientSearch):
    """See the module."""

    paper_rate: ClassVar[float] = 3e-4

    def supernet(self, space: CellSpace) -> Supernet:
        return space.supernet()
