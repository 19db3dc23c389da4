"""FREEDOM: a frozen graph of like items, and a thinned graph of who chose what.

    S = sum_m alpha_m S_m,        S_m each item's k most similar ones in modality m, unweighted, normalised
    A' = a sample of the pairs of A, drawn anew in each pass with probability in proportion to 1 / sqrt(deg_u deg_i)
    e_u = LightGCN(A')_u,        e_i = LightGCN(A')_i + (S E_I)_i

    loss    BPR(u, i, j) + lambda sum_m BPR on < e_u, X_m W_m + b_m >

Read in evaluation mode, it uses all pairs.

Reference: X. Zhou, Z. Shen. "A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation", ACM
Multimedia 2023, arXiv 2211.06924.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.interactions import Interactions, PairBatch
from expunge.models.lightgcn import averaged
from expunge.models.recommender import Recommender, TrainedFeatures, rows
from expunge.sparse import SparseMatrix


class Propagated(NamedTuple):
    """Embeddings of users, then items, (U + I, d); and projected features by modality, (I, d) each."""

    embeddings: Tensor
    projected: list[Tensor]


class FREEDOM(Recommender):
    """See the module; any number of modalities.

    Args:
        interactions: see :class:`Recommender`; with features.
        dim: length of an embedding.
        layers: of LightGCN.
        neighbours: k, the item itself included.
        thinned: share of the pairs that is left out in each pass of training.
        modal_weight: lambda.
        shares: alpha of each modality, by name, which add up to 1; alike for all when None.
        regularisation: see :class:`Recommender`; 0 as published.
    """

    def __init__(
        self,
        interactions: Interactions,
        dim: int = 64,
        layers: int = 2,
        neighbours: int = 10,
        thinned: float = 0.8,
        modal_weight: float = 1e-3,
        shares: Mapping[str, float] | None = None,
        regularisation: float = 0.0,
    ) -> None:
        super().__init__(interactions, dim, regularisation)
        if layers < 0 or neighbours < 1 or not 0 <= thinned < 1:
            raise BadSetting("freedom needs layers >= 0, neighbours >= 1 and 0 <= thinned < 1")
        self.modal = TrainedFeatures(interactions)
        names = list(self.modal)
        self.shares = dict(shares or {name: 1 / len(names) for name in names})
        if set(self.shares) != set(names):
            raise BadSetting(f"shares are for {', '.join(sorted(self.shares))}; the modalities are {', '.join(names)}")
        self.layers, self.neighbours, self.thinned, self.modal_weight = layers, neighbours, thinned, modal_weight
        self.projection = nn.ModuleDict({name: nn.Linear(interactions.features[name].shape[1], dim) for name in names})
        self.drawn: Tensor
        self.seen: Tensor
        self.register_buffer("drawn", torch.randint(2**31, (1,)))  # with `seen`, says which sample is in use: it resumes
        self.register_buffer("seen", torch.zeros(1, dtype=torch.long))
        self._sample: tuple[tuple[int, str], SparseMatrix] | None = None

    def propagate(self, interactions: Interactions) -> Propagated:
        thin = self.training and self.thinned > 0 and len(interactions) > 0
        operator = self._thin(interactions) if thin else interactions.operator
        spread = averaged(operator, torch.cat([self.user_rows, self.item_rows]), self.layers)
        users, items = spread.split([len(self.user_rows), len(self.item_rows)])
        alike = sum(
            share * (interactions.item_graph(name, self.neighbours, weighted=False) @ self.item_rows)
            for name, share in self.shares.items()
        )
        projected = []
        if self.training:
            projected = [self.projection[name](self.modal.read(interactions, name)) for name in self.modal]
        return Propagated(torch.cat([users, items + alike]), projected)

    def read(self, state: Propagated, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        embedded = rows(state.embeddings, items + len(self.user_rows))
        return rows(state.embeddings, users), embedded, [rows(each, items) for each in state.projected]

    def auxiliary(self, state: Propagated, kept: list[Tensor], batch: PairBatch) -> Tensor | float:
        count, each = len(batch.users), batch.negatives.shape[1]
        users, total = rows(state.embeddings, batch.users), torch.zeros(count, device=batch.users.device)
        for values in kept:
            positive = (users * values[:count]).sum(1, keepdim=True)
            negative = (users.unsqueeze(1) * values[count:].view(count, each, -1)).sum(2)
            total = total + F.softplus(negative - positive).mean(1)
        self.seen += count
        return self.modal_weight * total

    def _thin(self, interactions: Interactions) -> SparseMatrix:
        """The sample of this pass; a pass is over when as many pairs were seen as there are."""
        epoch = int(self.seen) // len(interactions)
        if self._sample is None or self._sample[0] != (epoch, interactions.digest):
            generator = torch.Generator().manual_seed(int(self.drawn) + epoch)
            users, items = interactions.pairs.cpu().T
            weights = 1 / (interactions.activity.cpu()[users] * interactions.popularity.cpu()[items]).double().sqrt()
            count = max(1, int(len(weights) * (1 - self.thinned)))
            # the largest of u^(1/w): a draw of `count` without replacement, in proportion to the weights
            order = (torch.rand(len(weights), generator=generator, dtype=torch.double).log() / weights).topk(count).indices
            self._sample = (
                (epoch, interactions.digest),
                interactions.operator_of(order.sort().values.to(interactions.pairs.device)),
            )
        return self._sample[1]

    def rows_of_features(self) -> dict[str, nn.Parameter]:
        return dict(self.modal.items())
