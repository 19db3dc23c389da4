"""LightGCN: rows of users and items, averaged over the graph of who chose what.

    E^(l+1) = D^-1/2 A D^-1/2 E^(l),        e = mean of E^(0), ..., E^(L)

Reference: X. He, K. Deng, X. Wang, Y. Li, Y. Zhang, M. Wang. "LightGCN: Simplifying and Powering Graph Convolution Network for
Recommendation", SIGIR 2020, arXiv 2002.02126.
"""

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.models.recommender import Recommender, rows
from expunge.sparse import SparseMatrix


class LightGCN(Recommender):
    """See the module; reads no features.

    Args:
        interactions: see :class:`Recommender`.
        dim: length of an embedding.
        layers: L, at least 0; 0 is matrix factorisation.
        regularisation: see :class:`Recommender`.
    """

    def __init__(self, interactions: Interactions, dim: int = 64, layers: int = 2, regularisation: float = 1e-4) -> None:
        super().__init__(interactions, dim, regularisation)
        if layers < 0:
            raise BadSetting(f"layers must be 0 or more, not {layers}")
        self.layers = layers

    def propagate(self, interactions: Interactions) -> Tensor:
        """The embeddings of users, then items, shape (U + I, d)."""
        return averaged(interactions.operator, torch.cat([self.user_rows, self.item_rows]), self.layers)

    def read(self, state: Tensor, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None]:
        return rows(state, users), rows(state, items + len(self.user_rows)), None


def averaged(operator: SparseMatrix, values: Tensor, layers: int) -> Tensor:
    """The mean of `values` and of what so many steps over the graph make of them, shape (N, d)."""
    total = values
    for _ in range(layers):
        values = operator @ values
        total = total + values
    return total / (layers + 1)
