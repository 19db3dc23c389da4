"""Level scores: bring what goes to the level of what was never seen, and leave all other scores where they are.

    rows      theta[u] <- theta_fresh[u],  theta[i] <- theta_fresh[i]       for users u and items i of whom nothing is left
    blend     theta[u] <- (1 - w) theta[u] + w theta_fresh[u]               w = min(1, fresh * share of u's pairs that go)
    level     d(u, i) = y(u, i) - mean_j y(u, j),                           j items that u did not choose
              f ~ d over validation pairs and random ones, from what the interactions that are left say of a pair:
                  the paths of three steps from u to i, how popular i is, how active u is
              t(u, i) = y(u, i) - d(u, i) + min( d(u, i), f(u, i) )         for each pair that goes
    min over rows of users and items, from those of the original, y0 the scores that it gives:

        mean_{goes} (y - t)^2  +  mean_{stays} (y - y0)^2  +  mean_{heads} (y - y0)^2  +  keep * mean_{all (u, i)} (y - y0)^2

A user or item that goes has rows of its own, which a retrained model leaves as they were drawn: to draw them afresh is all
there is to do, and costs nothing (`reset-rows`). A single pair has none: what was learned of it lies in the rows of a user and
an item who both stay. A retrained model scores it by what others' choices say, some high and some low; f learns from pairs that
the model never saw what it makes of that. So no pair falls to the bottom, where it would stand out, and none rises.

Lowering one product of two rows moves many others. The head of a list is the `head` best items of a user whom pairs go from:
without it the user's whole list would sink along with the pair. The mean over all users U and items I needs no matrix of them:
with embeddings E, F, and E0, F0 before,

    sum over all (u, i) (y - y0)^2  =  |E F' - E0 F0'|^2  =  <E'E, F'F> - 2 <E'E0, F'F0> + <E0'E0, F0'F0>

Validation pairs are those that any method may look at; no test pair is seen. Of fewer than 40, random ones counted, f is their
mean. Weights that all share stay as they are.

Reference: none of its own. f is by gradient-boosted trees, G. Ke, Q. Meng, T. Finley, T. Wang, W. Chen, W. Ma, Q. Ye, T. Liu.
"LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017; rows and their loss are those of S. Rendle,
C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme, UAI 2009, arXiv 1205.2618.
Needs: forget and retain data, validation pairs where single pairs go; a network with embeddings. Costs: `steps` passes of the
network over the interactions, forward and backward, however many pairs go.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.interactions import Interactions, PairBatches
from expunge.interactions.negatives import negatives_of
from expunge.interactions.paths import paths
from expunge.interactions.ranking import NOTHING
from expunge.methods.method import Method
from expunge.models.recommender import Recommender, rows
from expunge.modes import evaluating
from expunge.optimizers import Optimizer
from expunge.rows import nothing_left, reset, rows_of
from expunge.split import Split, is_empty
from expunge.tasks import RecommendationTask, Task
from expunge.tasks.graph import unwrapped

Embeddings = tuple[Tensor, Tensor]  # of all users (U, d), of all items (I, d)


@dataclass(frozen=True)
class LevelScores(Method):
    """Reset the rows of whom nothing is left, and bring other pairs that go to the level of pairs that were never seen.

    Args:
        steps: of the optimizer; 0 for `reset-rows`.
        keep: weight of the mean change over all scores, beside that over pairs that go.
        head: items at the top of a user's list whose scores are to stay.
        fresh: how far the rows of a user whom pairs go from move to fresh ones: by this times the share of the pairs that go,
            and never beyond them.
        strangers: random pairs that nobody chose, for each validation pair that f learns from.
        optimizer: fresh; it changes rows of users and items alone.
    """

    steps: int = 40
    keep: float = 30.0
    head: int = 50
    fresh: float = 2.0
    strangers: int = 4
    optimizer: Optimizer = Optimizer("adam", 1e-2)

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "it moves scores of pairs of users and items; elsewhere shrink-perturb is the one to begin with"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "keep", "fresh", "strangers"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        self.require(self.head >= 1, f"head must be at least 1, not {self.head}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        forget: PairBatches = split.forget  # type: ignore[assignment]
        left = forget.interactions.to(engine.device)
        fresh = engine.new_model(task.new_model, "fresh rows")
        student, goes = reset(student, fresh, left), of_those_who_stay(forget)
        if not len(goes.pairs) or not self.steps:
            return student
        blend(student, fresh, left, self.fresh)
        if not isinstance(student, Recommender):
            raise BadRequest(f"level-scores: {type(student).__name__} has no embeddings; take mmrecun or shrink-perturb")
        known = () if is_empty(split.validation_forget) else of_those_who_stay(split.validation_forget)  # type: ignore[arg-type]
        if is_empty(known):
            raise BadRequest("level-scores: pairs go, and no validation pairs say how pairs that were never seen are scored")
        with torch.no_grad(), evaluating(student):
            before = student.embeddings(left)
        pairs = goes.pairs.to(engine.device)
        unseen = beside_strangers(known, self.strangers, engine)  # type: ignore[arg-type]
        head = head_of_lists(student, task, pairs[:, 0].unique(), left, self.head)  # type: ignore[arg-type]
        wanted = {
            "forget": (pairs, never_seen_scores(before, goes, unseen)),
            "retain": (left.pairs, scored(before, left.pairs)),
            "head": (head, scored(before, head)),
        }

        def loss(model: nn.Module, _: Any) -> dict[str, Tensor]:
            network = unwrapped(model)
            with evaluating(network):
                now = network.embeddings(left)
            found = {name: (scored(now, pairs) - goal).square().mean() for name, (pairs, goal) in wanted.items()}
            return found | {"others": self.keep * distance(now, before) / (left.users * left.items)}

        with only_rows(student, left):
            steps = goes.with_batch_size(len(pairs))  # it only counts them: each looks at all scores
            student = engine.fit(student, loss, steps, steps=self.steps, optimizer=self.optimizer)
        return reset(student, fresh, left)  # rows that are nobody's have moved along


def of_those_who_stay(stream: PairBatches) -> PairBatches:
    """The pairs that are not there (any more) of which something is left of both the user and the item."""
    left, pairs = stream.interactions, stream.pairs
    nothing = nothing_left(left)
    alone = torch.isin(pairs[:, 0], nothing.users) | torch.isin(pairs[:, 1], nothing.items)
    return replace(stream, pairs=pairs[~left.has(pairs) & ~alone])


def blend(model: nn.Module, fresh: nn.Module, left: Interactions, strength: float) -> None:
    """Move the rows of users who lose a part of their pairs towards fresh ones; in place."""
    before, now = left.whole.activity, left.activity
    gone = ((before - now).float() / before.clamp(min=1)).mul(strength).clamp(max=1)
    ours, theirs = (rows_of(each, left).users for each in (model, fresh))
    with torch.no_grad():
        for values, new in zip(ours, theirs, strict=True):
            weight = gone.to(values).view(-1, *[1] * (values.dim() - 1))
            values.lerp_(new.to(values), weight.expand_as(values))


def beside_strangers(validation: PairBatches, strangers: int, engine: Engine) -> PairBatches:
    """Pairs that no model has seen: validation pairs, and for each some of the same users with random items."""
    users = validation.pairs[:, 0]
    if not strangers:
        return validation
    drawn = negatives_of(validation.interactions, users, strangers, engine.generator("strangers"), avoid=validation.avoid)
    random = torch.stack([users.repeat_interleave(strangers), drawn.flatten()], 1)
    return replace(validation, pairs=torch.cat([validation.pairs, random]))


def never_seen_scores(before: Embeddings, goes: PairBatches, unseen: PairBatches) -> Tensor:
    """What each pair that goes would score if it had not been seen, and no more than it does: shape (n,)."""
    known = HistGradientBoostingRegressor(random_state=0).fit(what_others_say(unseen), above(before, unseen).cpu().numpy())
    now = above(before, goes)
    then = torch.from_numpy(known.predict(what_others_say(goes))).to(now)
    return scored(before, goes.pairs.to(now.device)) - now + torch.minimum(now, then)


def above(embeddings: Embeddings, stream: PairBatches) -> Tensor:
    """By how much each pair scores above items that its user did not choose, in the mean: shape (n,)."""
    (batch,) = stream.fixed(stream.avoid)  # held-out pairs may be among the negatives: a method knows none
    users, items = embeddings
    others = F.embedding_bag(batch.negatives.to(items.device), items, mode="mean")
    pairs = stream.pairs.to(items.device)
    return scored(embeddings, pairs) - (rows(users, pairs[:, 0]) * others).sum(1)


def what_others_say(stream: PairBatches) -> Any:
    """Facts of each pair from all others: paths from its user to its item, popularity, activity. An array, shape (n, 3)."""
    left, pairs = stream.interactions, stream.pairs
    users, items = pairs.T
    return torch.stack([paths(left, pairs), left.popularity[items], left.activity[users]], 1).cpu().numpy()


def head_of_lists(model: nn.Module, task: RecommendationTask, users: Tensor, left: Interactions, k: int) -> Tensor:
    """The pairs at the top of some users' lists, of those that are offered and were never chosen: shape (n, 2)."""
    lists = task.lists(model, left, users, k, chosen=replace(left.whole, gone_items=left.gone_items)).to(users.device)
    place, rank = (lists != NOTHING).nonzero().T
    return torch.stack([users[place], lists[place, rank]], 1)


def scored(embeddings: Embeddings, pairs: Tensor) -> Tensor:
    """The scores of some pairs: shape (n,)."""
    users, items = (rows(part, which) for part, which in zip(embeddings, pairs.T, strict=True))
    return (users * items).sum(1)


def distance(now: Embeddings, before: Embeddings) -> Tensor:
    """The sum of the squared changes in the scores of all users for all items.

    >>> now, before = (torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])), (torch.ones(1, 2), torch.ones(1, 2))
    >>> distance(now, before)  # the only score was 2 and is 3
    tensor(1.)
    """

    def product(one: Embeddings, other: Embeddings) -> Tensor:
        return ((one[0].T @ other[0]) * (one[1].T @ other[1])).sum()

    return product(now, now) - 2 * product(now, before) + product(before, before)


@contextmanager
def only_rows(model: nn.Module, interactions: Interactions) -> Iterator[None]:
    """Train rows of users and items alone; afterwards what was to be trained before is so again."""
    found = rows_of(model, interactions)
    own = {id(value) for value in (*found.users, *found.items)}
    others = [value for value in model.parameters() if value.requires_grad and id(value) not in own]
    for value in others:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in others:
            value.requires_grad_(True)
