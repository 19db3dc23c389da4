"""RecEraser: cut the retained pairs into shards, train a recommender on each, and let them answer together.

    Y = Y_1 + ... + Y_k,       theta_s = argmin  mean_{(u, i) in Y_s} loss(u, i; theta_s),     from fresh weights

    mean         y(u, i) = 1/k sum_s < e_u^s, e_i^s >
    attention    y(u, i) = < sum_s a_u^s t_s(e_u^s),  sum_s b_i^s t_s(e_i^s) >,       t_s(e) = W_s e + w_s
                 a_u = softmax_s( h . relu(A t_s(e_u^s) + a) ),     b_i likewise with weights of its own

Exact by construction: no member has seen what goes, and shards and attention are made from retained pairs alone. A member reads
the pairs of its own shard and no others, whatever it is asked on, as it was trained; a user of another shard has a row in it
that was never trained. Attention is trained on all retained pairs, with the members held as they are.

Shards are balanced clusters of users, of items or of single pairs: k-means in which each goes to the nearest centre that has
room, so that sizes differ by one at most. As published a pair lies at | x_u - c_u |^2 | x_i - c_i |^2 from a centre, and x are
embeddings of a model that was trained on all pairs. Those would tell of what goes; here x come from a truncated singular value
decomposition of the retained pairs. Published besides is room for 1.2 times a k-th.

Made so that a later request costs the shards alone which it touches. Here a request is served for the first time, and touches
all of them: the cost is that of training k models on a k-th of the pairs each.

Reference: C. Chen, F. Sun, M. Zhang, B. Ding. "Recommendation Unlearning", WWW 2022, arXiv 2201.06820.
Needs: retained data. Costs: about a whole training, and one of the attention; each answer costs k networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.interactions import Interactions, PairBatch, PairBatches
from expunge.methods.method import Method
from expunge.methods.retrain import Retrain
from expunge.models.recommender import Recommender, rows
from expunge.modes import evaluating
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import RecommendationTask, Task

_ROUNDS = 20  # of k-means, at most
_FACTORS = 32  # of the decomposition, at most


class Attention(nn.Module):
    """How embeddings of several members become one.

    Args:
        members: k.
        dim: d, length of their embeddings.
    """

    def __init__(self, members: int, dim: int) -> None:
        super().__init__()
        turns = [nn.init.xavier_uniform_(torch.empty(dim, dim)) for _ in range(members)]
        self.turn, self.shift = nn.Parameter(torch.stack(turns)), nn.Parameter(torch.zeros(members, dim))
        hidden = max(1, dim // 2)
        self.of_users, self.of_items = (
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1, bias=False)) for _ in range(2)
        )

    def forward(self, values: Tensor, items: bool) -> Tensor:
        """From shape (n, k, d) to shape (n, d)."""
        turned = torch.einsum("nkd,kde->nke", values, self.turn) + self.shift
        weights = (self.of_items if items else self.of_users)(turned).softmax(1)
        return (weights * turned).sum(1)


class Ensemble(Recommender):
    """Several recommenders that answer as one, each on the interactions of its own shard.

    Args:
        members: one for each shard.
        shards: what each reads.
        attention: what makes one embedding of theirs; None to average scores.
    """

    def __init__(
        self, members: Sequence[Recommender], shards: Sequence[Interactions], attention: Attention | None = None
    ) -> None:
        nn.Module.__init__(self)  # it has no rows of its own
        self.members, self.attention = nn.ModuleList(members), attention
        self.dim, self.regularisation = members[0].dim, members[0].regularisation
        self.shards = _Shared(shards)

    def propagate(self, interactions: Interactions) -> list[Any]:
        device = next(self.parameters()).device
        return [member.propagate(shard.to(device)) for member, shard in zip(self._members, self.shards, strict=True)]

    def read(self, state: list[Any], users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None]:
        of_users, of_items = self._said(state, users, items)
        if self.attention is not None:
            return self.attention(of_users, False), self.attention(of_items, True), None
        scale = math.sqrt(len(self.shards))
        return of_users.flatten(1) / scale, of_items.flatten(1) / scale, None

    def embeddings(self, interactions: Interactions) -> tuple[Tensor, Tensor]:
        return self.read(self.propagate(interactions), *self._everyone(interactions))[:2]

    def said(self, interactions: Interactions) -> tuple[Tensor, Tensor]:
        """What each member says of all users, (U, k, d), and of all items, (I, k, d)."""
        return self._said(self.propagate(interactions), *self._everyone(interactions))

    def _said(self, state: list[Any], users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        found = [member.read(each, users, items)[:2] for member, each in zip(self._members, state, strict=True)]
        of_users, of_items = zip(*found, strict=True)
        return torch.stack(of_users, 1), torch.stack(of_items, 1)

    def _everyone(self, interactions: Interactions) -> tuple[Tensor, Tensor]:
        device = next(self.parameters()).device
        return torch.arange(interactions.users, device=device), torch.arange(interactions.items, device=device)

    @property
    def _members(self) -> list[Any]:
        return list(self.members)


class _Shared(tuple[Interactions, ...]):
    """Interactions never change: copies of an ensemble share them."""

    def __deepcopy__(self, memo: Any) -> "_Shared":
        return self


class ScoreEnsemble(nn.Module):
    """Modules with ``(user_ids, item_ids) -> scores`` that answer by the mean of their scores."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Shape (n,)."""
        return torch.stack([member(users, items) for member in self.members]).mean(0)


@dataclass(frozen=True)
class RecEraser(Method):
    """Train one model for each shard of the retained pairs.

    Args:
        shards: k, at least 1; 1 is retraining.
        partition: what is clustered: "users", "items" or single "interactions".
        aggregation: "attention" or "mean"; of the user's own module that only gives scores it is their mean.
        epochs: passes of each model over its shard.
        optimizer: the recipe's optimizer, with its learning rate.
        schedule: of the learning rate.
        clip_norm: largest norm of the gradient; None for no clipping.
        attention_epochs: passes of the attention over all retained pairs.
        attention_optimizer: of the attention.
    """

    shards: int = 4
    partition: Literal["users", "items", "interactions"] = "users"
    aggregation: Literal["attention", "mean"] = "attention"
    epochs: int = 40
    optimizer: Optimizer = Optimizer("adam", 5e-3)
    schedule: Schedule = "constant"
    clip_norm: float | None = None
    attention_epochs: int = 20
    attention_optimizer: Optimizer = Optimizer("adam", 5e-3)

    adapter: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "its shards are parts of who chose what; of a graph, graph-eraser does so, and retrain is as exact"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.shards >= 1, f"shards must be at least 1, not {self.shards}")
        self.require(self.attention_epochs >= 0, f"attention_epochs must be 0 or more, not {self.attention_epochs}")
        for name, known in (("partition", ("users", "items", "interactions")), ("aggregation", ("attention", "mean"))):
            self.require(getattr(self, name) in known, f"{name} must be one of {known}, not {getattr(self, name)!r}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "RecEraser":
        """Settings for a model that was trained by `recipe`: each shard's model is trained as long, at the same rate."""
        found: dict[str, Any] = {name: getattr(recipe, name) for name in ("epochs", "optimizer", "schedule", "clip_norm")}
        return cls(**found | {"attention_optimizer": recipe.optimizer} | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        retain: Any = split.retain
        homes = shard_of_each(retain.interactions, self.shards, self.partition, engine.generator("shards"))
        streams = [shard_of(retain, homes == shard) for shard in range(self.shards)]
        empty = [place for place, stream in enumerate(streams) if not stream.examples]
        self.require(not empty, f"shard {empty and empty[0]} has nothing to train on; take fewer shards than {self.shards}")
        members = [self.train(task, stream, engine, f"shard-{place}") for place, stream in enumerate(streams)]
        readers = [member for member in members if isinstance(member, Recommender)]
        if not readers:
            return ScoreEnsemble(members)
        together = Ensemble(readers, [stream.interactions for stream in streams])
        return self._attend(together, task, retain, engine) if self.aggregation == "attention" else together

    def train(self, task: Task[Any], stream: PairBatches, engine: Engine, name: str) -> nn.Module:
        """The model of one shard."""
        return engine.fit(
            engine.new_model(task.new_model, f"{name} weights"),
            lambda model, batch: task.losses(task.outputs(model, batch), batch),
            stream,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
            name=name,
        )

    def _attend(self, together: Ensemble, task: Task[Any], retain: PairBatches, engine: Engine) -> Ensemble:
        """The ensemble with attention that was trained on what its members say, which stays as it is."""
        with torch.no_grad(), evaluating(together):
            of_users, of_items = together.said(retain.interactions)

        def loss(model: nn.Module, batch: PairBatch) -> Tensor:
            users = model(rows(of_users, batch.users), False)
            items = model(rows(of_items, torch.cat([batch.items.unsqueeze(1), batch.negatives], 1).flatten()), True)
            scores = (users.unsqueeze(1) * items.view(len(users), -1, users.shape[1])).sum(2)
            return task.losses(torch.cat([scores, scores.new_zeros(len(scores), 1)], 1), batch)

        with engine.seeded("attention weights"):
            attention = Attention(len(together.members), of_users.shape[2])
        engine.fit(
            attention.to(engine.device),
            loss,
            retain,
            epochs=self.attention_epochs,
            optimizer=self.attention_optimizer,
            schedule=self.schedule,
            name="attention",
        )
        together.attention = attention
        return together


def shard_of(stream: PairBatches, which: Tensor) -> PairBatches:
    """The part of a training stream given by a mask over its interactions' pairs, on interactions of those pairs alone.

    They do not know what they were cut from.
    """
    cut = replace(stream.interactions.without(~which), before=None)
    return replace(stream, interactions=cut, pairs=cut.pairs, avoid=None, judged_on=None)


def shard_of_each(interactions: Interactions, shards: int, what: str, generator: torch.Generator) -> Tensor:
    """The shard of each pair, int64, shape (n,): balanced clusters of users who have pairs, of such items, or of pairs."""
    pairs = interactions.pairs.cpu()
    users, items = factors(interactions, int(torch.randint(2**31, (1,), generator=generator)))
    if what == "interactions":
        return balanced([users[pairs[:, 0]], items[pairs[:, 1]]], shards, generator)
    values, column = (users, pairs[:, 0]) if what == "users" else (items, pairs[:, 1])
    active, place = column.unique(return_inverse=True)
    return balanced([values[active]], shards, generator)[place]


def factors(interactions: Interactions, seed: int) -> tuple[Tensor, Tensor]:
    """Truncated singular vectors of who chose what, times the singular values: (U, f) and (I, f)."""
    user, item = interactions.pairs.cpu().numpy().T
    shape = (interactions.users, interactions.items)
    matrix = scipy.sparse.csr_matrix((np.ones(len(user), dtype=np.float32), (user, item)), shape=shape)
    left, values, right = randomized_svd(matrix, min(_FACTORS, *shape), random_state=seed)
    return torch.from_numpy(left * values).float(), torch.from_numpy(right.T * values).float()


def balanced(values: Sequence[Tensor], clusters: int, generator: torch.Generator) -> Tensor:
    """The cluster of each of some things, int64, shape (n,), by k-means with room for a k-th in each.

    Args:
        values: coordinates of each thing, (n, d) each; see :func:`distances`.
    """
    count = len(values[0])
    start = torch.randperm(count, generator=generator)[torch.arange(clusters) % count]
    centres = [each[start] for each in values]
    homes = torch.full((count,), -1)
    room = count // clusters + (torch.arange(clusters) < count % clusters).long()
    for _ in range(_ROUNDS):
        moved = assigned(distances(values, centres), room)
        if torch.equal(moved, homes):
            break
        homes = moved
        member = torch.nn.functional.one_hot(homes, clusters).float()
        centres = [(member.T @ each) / member.sum(0).clamp_min(1).unsqueeze(1) for each in values]
    return homes


def distances(values: Sequence[Tensor], centres: Sequence[Tensor]) -> Tensor:
    """From each thing to each centre, (n, k): the products of the squared distances in each of their coordinates.

    >>> distances([torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [5.0]])], [torch.zeros(1, 1), torch.ones(1, 1)]).flatten()
    tensor([ 1., 64.])
    """
    parts = [torch.cdist(each, centre).square() for each, centre in zip(values, centres, strict=True)]
    return torch.stack(parts).prod(0)


def assigned(distance: Tensor, room: Tensor) -> Tensor:
    """The cluster of each thing, (n,), from distances (n, k): the nearest that has room; those who are nearer come first."""
    open_, homes = distance.clone(), torch.full((len(distance),), -1)
    open_[:, room == 0] = torch.inf
    for _ in range(distance.shape[1]):
        free = (homes < 0).nonzero().flatten()
        nearest = open_[free].min(1)
        full = []
        for cluster in range(distance.shape[1]):
            wish = free[nearest.indices == cluster]
            left = int(room[cluster]) - int((homes == cluster).sum())
            if len(wish) >= left:
                full.append(cluster)
            homes[wish[open_[wish, cluster].argsort(stable=True)][:left]] = cluster
        open_[:, full] = torch.inf
        if (homes >= 0).all():
            break
    return homes
