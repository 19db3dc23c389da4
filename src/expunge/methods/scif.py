"""SCIF: one step by the influence of what goes, in the rows of the users and items concerned alone.

    theta_r <- theta_r + H_rr^-1 dg_r,       r the rows of users and items of the pairs that go; all other weights stay
    dg = grad sum_{goes} [ loss(u, i; y = 1) - loss(u, i; y = c) ]

H is the Hessian of the loss, summed over the training pairs. The step is selective: H_rr is small, its inverse never made, and
its product with dg found by conjugate gradients. It is collaborative: a pair is not taken away but gets the label c that others
would give it, since without any pair a row would be pulled by nothing at all. With ratings c is published as the mean of what
the user gave to other items. Chosen items are all labelled 1, so here c is the share of those who stay that prefer i to j:

    loss(u, i; y) = mean_j [ -y log sigmoid(m_j) - (1 - y) log sigmoid(-m_j) ],     m_j = y(u, i) - y(u, j)
    c_j = (n_i + 1) / (n_i + n_j + 2),       n how many chose each;     1/2 where nobody is left who chose i

A pair that stays while features of its item go is read once with and once without them, label 1. The negatives are drawn once.
What a model adds to the ranking loss in training is not part of it. H may bend downwards; the damping is raised until it does
not, which shortens the step. The paper's text was not at hand in full: what is not in its abstract follows the reproduction in
the code of IFRU, where c is applied and the system is solved by Adam with a stop by validation data; here it is solved.

Reference: Y. Li, C. Chen, X. Zheng, Y. Zhang, B. Gong, J. Wang. "Selective and Collaborative Influence Function for
Efficient Recommendation Unlearning", arXiv 2304.10199.
Needs: forget and retain data, and a model that was trained well; the whole set of pairs in memory. Costs: `iterations` products
with the Hessian at most, and 40 for its spectrum; each is about two passes over all pairs, forward and backward. Where
training is short that is more than a training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.influence import Vector, conjugate_gradients, ends, hessian
from expunge.interactions import Interactions, PairBatch
from expunge.interactions.negatives import negatives_of
from expunge.methods.method import Method
from expunge.modes import evaluating
from expunge.rows import rows_of
from expunge.split import Split
from expunge.tasks import RecommendationTask, Task
from expunge.tasks.recommendation import margins

_LEAST_DAMPING = 0.01
_MARGIN = 1.2  # Lanczos ends a little short of an end of the spectrum


@dataclass(frozen=True)
class SCIF(Method):
    """Step by the influence of what goes, within the rows concerned.

    Args:
        collaborative: give what goes the label of others; False to take it away.
        negatives: drawn for each pair, at least 1.
        iterations: of conjugate gradients, at least 1.
        damping: added to H, as a share of its largest eigenvalue, 0 or more; None for as much as the lowest needs, and 0.01 at
            least.
    """

    collaborative: bool = True
    negatives: int = 5
    iterations: int = 100
    damping: float | None = None

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "it changes rows of single users and items; of a graph, gif weighs what goes, and elsewhere ssd"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.negatives >= 1, f"negatives must be at least 1, not {self.negatives}")
        self.require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        self.require(self.damping is None or self.damping >= 0, f"damping must be 0 or more, not {self.damping}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        left = split.retain.interactions.to(engine.device)  # type: ignore[attr-defined]
        pairs = split.forget.pairs.to(engine.device)  # type: ignore[attr-defined]
        concerned = beside_negatives(pairs, left.whole, self.negatives, engine, "forget negatives")
        everything = beside_negatives(left.whole.pairs, left.whole, self.negatives, engine, "negatives")
        goes = ~left.has(pairs)

        def change() -> Tensor:
            before, after = concerned, concerned.on(left)
            outputs = task.outputs(student, after)
            label = torch.where(goes.unsqueeze(1), preferred(left, after), 1.0)
            losses = task.losses(outputs, after) + ((1 - label) * margins(outputs)).mean(1)
            counted = losses if self.collaborative else losses[~goes]
            return task.losses(task.outputs(student, before), before).sum() - counted.sum()

        users, items = (column.unique() for column in pairs.T)
        return step_in_rows(student, task, users, items, change, everything, self.damping, self.iterations, engine)


def preferred(left: Interactions, batch: PairBatch) -> Tensor:
    """c: how probable it is that somebody prefers each pair's item to its negatives, shape (n, k)."""
    chosen, others = (left.popularity[items] for items in (batch.items.unsqueeze(1), batch.negatives))
    return torch.where(chosen > 0, (chosen + 1) / (chosen + others + 2), 0.5)


def beside_negatives(pairs: Tensor, whole: Interactions, negatives: int, engine: Engine, name: str) -> PairBatch:
    """Pairs with negatives that are drawn once, read on `whole`."""
    users, items = pairs.T.contiguous()
    return PairBatch(users, items, negatives_of(whole, users, negatives, engine.generator(name)), whole)


def step_in_rows(
    student: nn.Module,
    task: Task[Any],
    users: Tensor,
    items: Tensor,
    change: Callable[[], Tensor],
    everything: PairBatch,
    damping: float | None,
    iterations: int,
    engine: Engine,
) -> nn.Module:
    """Move the rows of some users and items by H^-1 grad change, in place.

    Args:
        change: the loss before the request minus the loss after it, summed, as the student now is.
        everything: all training pairs, over which H is summed.
        damping: see :class:`SCIF`.
    """
    found = rows_of(student, everything.interactions)
    named = [(value, users) for value in found.users] + [(value, items) for value in (*found.items, *found.features.values())]
    parts = [(value, rows) for value, rows in named if value.requires_grad and len(rows)]
    parameters = [value for value, _ in parts]

    def inside(vector: Vector) -> Vector:
        return [part[rows] for part, (_, rows) in zip(vector, parts, strict=True)]

    def gradient(total: Tensor, again: bool = False) -> Vector:
        given = torch.autograd.grad(total, parameters, create_graph=again, allow_unused=True, materialize_grads=True)
        return list(given)

    with evaluating(student):
        wanted = inside(gradient(change()))
        losses = task.losses(task.outputs(student, everything), everything)
        whole = hessian(gradient(losses.sum(), again=True), parameters)

        def product(vector: Vector) -> Vector:
            full = [
                torch.zeros_like(value).index_copy(0, rows, part) for part, (value, rows) in zip(vector, parts, strict=True)
            ]
            return inside(whole(full))

        low, high = ends(product, wanted, engine.generator("spectrum"))
        added = max(_LEAST_DAMPING * high, -_MARGIN * low) if damping is None else damping * high
        step = conjugate_gradients(product, wanted, added, iterations)
    with torch.no_grad():
        for part, (value, rows) in zip(step, parts, strict=True):
            value[rows] += part
    return student
