"""What every recommender here is: rows of users and items that a network turns into embeddings, whose products are scores.

    y(u, i) = <e_u, e_i>,        loss(u, i, j) = -log sigmoid( y(u, i) - y(u, j) ) + rho / 2 ( |e_u|^2 + |e_i|^2 + |e_j|^2 )

Reference: S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme. "BPR: Bayesian Personalized Ranking from Implicit
Feedback", UAI 2009, arXiv 1205.2618.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.interactions import Interactions, PairBatch

CHUNK = 8192  # pairs scored at a time where no gradient is asked for


class Recommender(nn.Module, ABC):
    """A network that embeds all users and items of some interactions.

    Called with a :class:`~expunge.interactions.PairBatch` of n pairs with k negatives it gives shape (n, 2 + k): the score of
    the pair, those of its negatives, and what the pair adds to the training loss beside its ranking; that is 0 in evaluation
    mode.

    Args:
        interactions: how many users and items there are, and how long their features are.
        dim: length of an embedding.
        regularisation: rho, the weight of the squared length of embeddings.
        widths: of a user's and of an item's row, where they are not as long as an embedding.
    """

    reads_interactions: ClassVar[bool] = True

    def __init__(
        self,
        interactions: Interactions,
        dim: int = 64,
        regularisation: float = 1e-4,
        widths: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise BadSetting(f"dim must be at least 1, not {dim}")
        self.dim, self.regularisation = dim, regularisation
        of_user, of_item = widths or (dim, dim)
        self.user_rows = nn.Parameter(nn.init.xavier_uniform_(torch.empty(interactions.users, of_user)))
        self.item_rows = nn.Parameter(nn.init.xavier_uniform_(torch.empty(interactions.items, of_item)))

    @abstractmethod
    def propagate(self, interactions: Interactions) -> Any:
        """What does not depend on which users and items are asked for; handed to :meth:`read`."""

    @abstractmethod
    def read(self, state: Any, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Embeddings of some users (n, d) and some items (m, d), and what :meth:`auxiliary` needs of them."""

    def auxiliary(self, state: Any, kept: Any, batch: PairBatch) -> Tensor | float:
        """What else each pair of a batch adds to the training loss: shape (n,). `kept` is from reading all its items."""
        return 0.0

    def forward(self, batch: PairBatch) -> Tensor:
        state = self.propagate(batch.interactions)
        if not torch.is_grad_enabled():
            parts = zip(*(part.split(CHUNK) for part in batch[:3]), strict=True)
            return torch.cat([self._score(state, batch._replace(users=u, items=i, negatives=j)) for u, i, j in parts])
        return self._score(state, batch)

    def _score(self, state: Any, batch: PairBatch) -> Tensor:
        count, each = len(batch.users), batch.negatives.shape[1]
        users, items, kept = self.read(state, batch.users, torch.cat([batch.items, batch.negatives.flatten()]))
        positive, negative = items[:count], items[count:].view(count, each, -1)
        scores = torch.cat([(users * positive).sum(1, keepdim=True), (users.unsqueeze(1) * negative).sum(2)], 1)
        if not self.training:
            return torch.cat([scores, scores.new_zeros(count, 1)], 1)
        lengths = users.square().sum(1) + positive.square().sum(1) + negative.square().sum((1, 2)) / each
        rest = self.regularisation / 2 * lengths + self.auxiliary(state, kept, batch)
        return torch.cat([scores, rest.unsqueeze(1)], 1)

    def embeddings(self, interactions: Interactions) -> tuple[Tensor, Tensor]:
        """Of all users, shape (U, d), and of all items, shape (I, d)."""
        device = self.user_rows.device
        users, items = (torch.arange(size, device=device) for size in (interactions.users, interactions.items))
        found = self.read(self.propagate(interactions), users, items)
        return found[0], found[1]

    def rows_of_features(self) -> Mapping[str, nn.Parameter]:
        """What was trained of each item's features, by modality, (I, d_m) each; empty where nothing was."""
        return {}


def rows(values: Tensor, which: Tensor) -> Tensor:
    """Some rows of a matrix; its backward adds, where that of indexing sorts first."""
    return values.index_select(0, which)


class TrainedFeatures(nn.ParameterDict):
    """What training has added to the features of items, by modality, (I, d_m) each; at first nothing.

    Published code trains the features themselves, from where they begin. Kept apart they are what the interactions say they
    are, so that weights hold nobody's pictures, and what is taken out of the interactions is not read from the weights.
    """

    def __init__(self, interactions: Interactions, trained: bool = True) -> None:
        if not interactions.features:
            raise BadSetting("this network reads features of items, and there are none; take light-gcn or bpr-mf")
        super().__init__({name: nn.Parameter(torch.zeros_like(values)) for name, values in interactions.features.items()})
        self.requires_grad_(trained)

    def read(self, interactions: Interactions, name: str) -> Tensor:
        """The features in one modality as the network reads them, shape (I, d_m).

        Raises:
            BadSetting: if the interactions have no such features, or others than the network was made for.
        """
        given = interactions.features.get(name)
        if given is None or given.shape != self[name].shape:
            there = {each: tuple(values.shape) for each, values in interactions.features.items()}
            raise BadSetting(f"the network reads features '{name}' of shape {tuple(self[name].shape)}; there are {there}")
        return given + self[name]
