"""Recommendation from implicit feedback: which items a user would choose, learned from those that were chosen.

    loss(u, i) = mean_j -log sigmoid( y(u, i) - y(u, j) )  +  what the model adds,        j items that u did not choose
    score(u, i) = P( y(u, i) > y(u, j) ),     over those j

Reference: S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme. "BPR: Bayesian Personalized Ranking from Implicit
Feedback", UAI 2009, arXiv 1205.2618.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.interactions import Interactions, PairBatch
from expunge.interactions.ranking import Scores, top_items
from expunge.losses import bernoulli_kl
from expunge.models.recommender import Recommender
from expunge.modes import evaluating
from expunge.split import Split
from expunge.tasks.graph import unwrapped
from expunge.tasks.task import Task


class RecommendationTask(Task[PairBatch]):
    """Batches are :class:`~expunge.interactions.PairBatch`. Outputs have shape (n, 2 + k): the score of each pair, those of its
    k negatives, and what the model adds to the pair's training loss.

    Args:
        factory: builds the recommender with fresh weights, without arguments: one of :mod:`expunge.models`, or any module with
            ``(user_ids, item_ids) -> scores``, all of shape (n,).

    >>> task, outputs = RecommendationTask(lambda: nn.Embedding(2, 2)), torch.tensor([[1.0, 0.0, 2.0, 0.5]])
    >>> task.losses(outputs, None).round(decimals=4), task.scores(outputs, None)
    (tensor([1.3133]), tensor([0.5000]))
    """

    score_name: ClassVar[str] = "pair_auc"
    loss_unit: ClassVar[str] = "nats"

    def __init__(self, factory: Callable[[], nn.Module]) -> None:
        self.factory = factory

    def new_model(self) -> nn.Module:
        return self.factory()

    def outputs(self, model: nn.Module, batch: PairBatch) -> Tensor:
        if isinstance(unwrapped(model), Recommender):
            return model(batch)
        items = torch.cat([batch.items.unsqueeze(1), batch.negatives], 1)
        scores = model(batch.users.unsqueeze(1).expand_as(items).flatten(), items.flatten()).view(items.shape)
        return torch.cat([scores, scores.new_zeros(len(items), 1)], 1)

    def features(self, model: nn.Module, batch: PairBatch) -> Tensor:
        """Products of the embeddings of user and item, shape (n, d); of a model without embeddings the score, (n, 1)."""
        network = unwrapped(model)
        if not isinstance(network, Recommender):
            return self.outputs(model, batch)[:, :1]
        users, items = network.embeddings(batch.interactions)
        return users[batch.users] * items[batch.items]

    def losses(self, outputs: Tensor, batch: Any) -> Tensor:
        """BPR in nats, and what the model adds: shape (n,)."""
        return F.softplus(-margins(outputs)).mean(1) + outputs[:, -1]

    def likelihood_losses(self, outputs: Tensor, batch: Any) -> Tensor:
        """BPR alone, shape (n,)."""
        return F.softplus(-margins(outputs)).mean(1)

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(teacher || student) between their preferences for the pair over each negative, in nats times T^2, shape (n,)."""
        return bernoulli_kl(margins(student), margins(teacher), temperature).mean(1)

    def scores(self, outputs: Tensor, batch: Any) -> Tensor:
        """Share of the negatives that are ranked below the pair, ties counted half: shape (n,)."""
        return (1 + margins(outputs).sign()).mean(1) / 2

    def groups(self, batch: PairBatch) -> Tensor:
        """Pairs of about as popular an item, and about as active a user, the pair itself left out: shape (n,)."""
        interactions = batch.interactions
        itself = interactions.has(torch.stack([batch.users, batch.items], 1)).float()
        popular = _bucket(interactions.popularity[batch.items] - itself, _POPULAR)
        return popular * (len(_ACTIVE) + 1) + _bucket(interactions.activity[batch.users] - itself, _ACTIVE)

    def group_name(self, group: int) -> str:
        """How often the item was chosen, and how many items the user chose: short, for a column of many."""
        popular, active = divmod(group, len(_ACTIVE) + 1)
        return f"item {_span(popular, _POPULAR)}, user {_span(active, _ACTIVE)}"

    def as_trained(self, split: Split) -> Split:
        """The same parts, read on the interactions as they were before the request, as the original model was used."""
        return replace(split, **{name: _on_whole(getattr(split, name)) for name in split.__dataclass_fields__})

    def ranker(self, model: nn.Module, interactions: Interactions) -> Scores:
        """What gives the scores of all items for some users, (n,) -> (n, I); embeddings are worked out once."""
        network = unwrapped(model)
        with torch.no_grad(), evaluating(model):
            if isinstance(network, Recommender):
                users, items = network.embeddings(interactions)
                turned = items.T.contiguous()
                return lambda wanted: users[wanted] @ turned

        def asked(wanted: Tensor) -> Tensor:
            everything = torch.arange(interactions.items, device=wanted.device)
            with torch.no_grad(), evaluating(model):
                return torch.stack([model(user.expand(len(everything)), everything) for user in wanted])

        return asked

    def lists(
        self,
        model: nn.Module,
        interactions: Interactions,
        users: Tensor | None = None,
        k: int = 20,
        chosen: Interactions | None = None,
        offered: bool = True,
    ) -> Tensor:
        """The k best items of some users, best first, without those that they chose: int64, shape (n, k), on the CPU.

        Args:
            interactions: what the model reads.
            users: all when None.
            chosen: whose pairs are left out of the lists, and which items are offered; `interactions` when None.
            offered: see :func:`~expunge.interactions.ranking.top_items`.
        """
        device = next(model.parameters()).device
        read, chosen = interactions.to(device), (chosen or interactions).to(device)
        wanted = torch.arange(interactions.users, device=device) if users is None else users.to(device)
        return top_items(self.ranker(model, read), chosen, wanted, k, offered).cpu()


def margins(outputs: Tensor) -> Tensor:
    """By how much each pair's score is above those of its negatives: shape (n, k)."""
    return outputs[:, :1] - outputs[:, 1:-1]


_POPULAR, _ACTIVE = (1, 3, 10, 30, 100), (1, 3, 10, 30, 100)  # where the next group begins


def _bucket(values: Tensor, edges: tuple[int, ...]) -> Tensor:
    return torch.bucketize(values, torch.tensor(edges, dtype=values.dtype, device=values.device), right=True)


def _span(place: int, edges: tuple[int, ...]) -> str:
    """
    >>> [_span(place, (1, 3)) for place in range(3)]
    ['0', '1-2', '3+']
    """
    low, high = (0, *edges)[place], (*edges, 0)[place] - 1
    return f"{low}+" if place == len(edges) else (str(low) if low == high else f"{low}-{high}")


def _on_whole(stream: Any) -> Any:
    return stream.on(stream.interactions.whole) if hasattr(stream, "interactions") else stream
