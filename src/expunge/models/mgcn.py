"""MGCN: what is known of items is first filtered by what they are chosen for, then spread over two graphs and fused.

    purified    z_m = E_I * sigmoid( (X_m W_m + b_m) G_m + g_m )
    content     c = LightGCN(E_U, E_I), two layers
    views       item z_m <- S_m z_m,        user z_m <- R^ z_m
    attention   a = softmax_m( q(z_m) ),    common = sum_m a_m z_m
    side        s = ( sum_m sigmoid(c P_m + p_m) * (z_m - common) + common ) / (M + 1)
    embedding   e = c + s

    loss        BPR + L2 + lambda ( InfoNCE(s_i, c_i) + InfoNCE(s_u, c_u) )

S_m links each item to its k most similar ones in modality m, and stays as it is. The features X_m are trained as well, as in
the published code. InfoNCE is worked out among some pairs of a batch, drawn anew in each step: among all of them, as published,
it takes about half of the time, and is a little better; see `contrast`.

Reference: P. Yu, Z. Tan, G. Lu, B.-K. Bao. "Multi-View Graph Convolutional Network for Multimedia Recommendation", ACM
Multimedia 2023, arXiv 2308.03588.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.interactions import Interactions, PairBatch
from expunge.models.lightgcn import averaged
from expunge.models.recommender import Recommender, TrainedFeatures, rows


class Propagated(NamedTuple):
    """Content and modal views of users, then items: (U + I, d) each."""

    content: Tensor
    views: list[Tensor]


class MGCN(Recommender):
    """See the module; any number of modalities.

    Args:
        interactions: see :class:`Recommender`; with features.
        dim: length of an embedding.
        layers: steps over the graph of who chose what.
        neighbours: k, the item itself included.
        regularisation: see :class:`Recommender`.
        contrast_weight: lambda.
        temperature: of InfoNCE.
        contrast: pairs of a batch among which InfoNCE is worked out; None for all, as published.
        train_features: whether the features are trained.
    """

    def __init__(
        self,
        interactions: Interactions,
        dim: int = 64,
        layers: int = 2,
        neighbours: int = 10,
        regularisation: float = 1e-4,
        contrast_weight: float = 0.01,
        temperature: float = 0.2,
        contrast: int | None = 1024,
        train_features: bool = True,
    ) -> None:
        super().__init__(interactions, dim, regularisation)
        if layers < 0 or neighbours < 1 or temperature <= 0 or (contrast is not None and contrast < 2):
            raise BadSetting("mgcn needs layers >= 0, neighbours >= 1, temperature > 0 and contrast >= 2 (or None)")
        self.layers, self.neighbours = layers, neighbours
        self.contrast_weight, self.temperature, self.contrast = contrast_weight, temperature, contrast
        names = list(interactions.features)
        self.modal = TrainedFeatures(interactions, train_features)
        self.projection = nn.ModuleDict({name: nn.Linear(interactions.features[name].shape[1], dim) for name in names})
        self.purifier = nn.ModuleDict({name: _gate(dim) for name in names})
        self.preference = nn.ModuleDict({name: _gate(dim) for name in names})
        self.query = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def propagate(self, interactions: Interactions) -> Propagated:
        views = []
        for name in self.modal:
            pure = self.item_rows * self.purifier[name](self.projection[name](self.modal.read(interactions, name)))
            spread = interactions.item_graph(name, self.neighbours) @ pure
            views.append(torch.cat([interactions.to_users @ spread, spread]))
        content = averaged(interactions.operator, torch.cat([self.user_rows, self.item_rows]), self.layers)
        return Propagated(content, views)

    def read(self, state: Propagated, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        nodes = torch.cat([users, items + len(self.user_rows)])
        content, side = self._fused(rows(state.content, nodes), [rows(view, nodes) for view in state.views])
        embedded = content + side
        return embedded[: len(users)], embedded[len(users) :], (content, side)

    def _fused(self, content: Tensor, views: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Content and side of some nodes."""
        attention = torch.cat([self.query(view) for view in views], 1).softmax(1)
        common = (attention.unsqueeze(2) * torch.stack(views, 1)).sum(1)
        side = common
        for name, view in zip(self.modal, views, strict=True):
            side = side + self.preference[name](content) * (view - common)
        return content, side / (len(views) + 1)

    def auxiliary(self, state: Propagated, kept: tuple[Tensor, Tensor], batch: PairBatch) -> Tensor | float:
        if not self.contrast_weight:
            return 0.0
        count = len(batch.users)
        some = torch.randperm(count, device=batch.users.device)[: self.contrast]
        found = self._contrast(kept, some) + self._contrast(kept, some + count)  # users, and the items of their pairs
        share = found.new_zeros(count).index_copy(0, some, found * (count / len(some)))  # its mean is that of `found`
        return self.contrast_weight * share

    def _contrast(self, kept: tuple[Tensor, Tensor], which: Tensor) -> Tensor:
        """InfoNCE between side and content of each of some rows against the others of them, cosine: shape (len(which),)."""
        content, side = (F.normalize(rows(part, which), dim=1) for part in kept)
        logits = side @ content.T / self.temperature
        return F.cross_entropy(logits, torch.arange(len(which), device=logits.device), reduction="none")

    def rows_of_features(self) -> dict[str, nn.Parameter]:
        return dict(self.modal.items())


def _gate(dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, dim), nn.Sigmoid())
