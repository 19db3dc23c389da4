"""IFRU: one step by the influence of what goes, both on the loss and on what others are read with.

    theta_r <- theta_r + H_rr^-1 dg_r,       r the rows of users and items that matter; all other weights stay
    dg = grad sum_{goes} loss(A)  +  grad sum_{stays} [ loss(A) - loss(A_r) ]
               direct                        spillover

A are all interactions, A_r those that stay. A pair that stays is read with others' pairs as messages, or with features of its
item; where those go, its own loss changes. Of a network that reads no interactions the spillover is nothing. H is the Hessian
of the loss, summed over the training pairs.

Rows are pruned by their importance, which spreads from what goes over the pairs of all users U and items I:

    w_0(v) = pairs of v that go / (1 + pairs of v),      w_h(v) = [ w_{h-1}(v) + sum_{near v} w_{h-1} ] / (1 + pairs of v)

All users and items of w_0 > 0 are kept, and of those that each further step reaches the share `keep` with the largest w_h.

Simplified, or otherwise than in the published code: the loss is that of ranking, not cross-entropy on ratings; negatives are
drawn once, and what a model adds to its loss in training is not part of it; the linear system is solved by conjugate gradients
with damping, not by Adam with a stop by validation data; and H is that of the network itself, where the code takes that of
matrix factorisation for LightGCN as well. Weights that all share, such as those of modalities, stay.

Reference: Y. Zhang, Z. Hu, Y. Bai, J. Wu, Q. Wang, F. Feng. "Recommendation Unlearning via Influence Function", ACM
Transactions on Recommender Systems 3(2), 2024, arXiv 2307.02147.
Needs: forget and retain data, and a model that was trained well; the whole set of pairs in memory. Costs: `iterations` products
with the Hessian at most, and 40 for its spectrum; each is about two passes over all pairs, forward and backward. Where
training is short that is more than a training.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.interactions import Interactions, PairBatch
from expunge.methods.method import Method
from expunge.methods.scif import beside_negatives, step_in_rows
from expunge.split import Split
from expunge.tasks import RecommendationTask, Task


@dataclass(frozen=True)
class IFRU(Method):
    """Step by the influence of what goes and of what it has changed for others.

    Args:
        hops: how far from what goes rows are changed: 0 for its own users and items alone.
        keep: share of the rows that each hop reaches which is kept, above 0 up to 1.
        negatives: drawn for each pair, at least 1.
        iterations: of conjugate gradients, at least 1.
        damping: added to H, as a share of its largest eigenvalue, 0 or more; None for as much as the lowest needs, and 0.01 at
            least.
    """

    hops: int = 1
    keep: float = 0.6
    negatives: int = 5
    iterations: int = 100
    damping: float | None = None

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "it changes rows of single users and items; of a graph, gif weighs what goes, and elsewhere ssd"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.hops >= 0, f"hops must be 0 or more, not {self.hops}")
        self.require(0 < self.keep <= 1, f"keep must lie in (0, 1], not {self.keep}")
        self.require(self.negatives >= 1, f"negatives must be at least 1, not {self.negatives}")
        self.require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        self.require(self.damping is None or self.damping >= 0, f"damping must be 0 or more, not {self.damping}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        left = split.retain.interactions.to(engine.device)  # type: ignore[attr-defined]
        whole = left.whole
        users, items = important(whole, split.forget.pairs.to(engine.device), self.hops, self.keep)  # type: ignore[attr-defined]
        everything = beside_negatives(whole.pairs, whole, self.negatives, engine, "negatives")
        kept = left.has(whole.pairs)
        staying_users, staying_items, negatives = (part[kept] for part in everything[:3])
        stays = PairBatch(staying_users, staying_items, negatives, left)

        def change() -> Tensor:
            before, after = (task.losses(task.outputs(student, batch), batch).sum() for batch in (everything, stays))
            return before - after

        return step_in_rows(student, task, users, items, change, everything, self.damping, self.iterations, engine)


def important(whole: Interactions, goes: Tensor, hops: int, keep: float) -> tuple[Tensor, Tensor]:
    """Users and items whose rows are changed: numbers, sorted; see the module.

    >>> chain = Interactions.of(3, 3, [[0, 0], [1, 0], [1, 1], [2, 1], [2, 2]])
    >>> [part.tolist() for part in important(chain, torch.tensor([[0, 0]]), 0, 1.0)]
    [[0], [0]]
    >>> [part.tolist() for part in important(chain, torch.tensor([[0, 0]]), 1, 1.0)]
    [[0, 1], [0]]
    """
    ends = whole.pairs + torch.tensor([0, whole.users], device=goes.device)
    size = whole.users + whole.items
    scale = 1 + torch.cat([whole.activity, whole.popularity])
    named = (goes + torch.tensor([0, whole.users], device=goes.device)).flatten()
    weights = torch.bincount(named, minlength=size) / scale
    found = weights > 0
    for _ in range(hops):
        spread = weights.clone()
        for here, there in (ends.T, ends.flip(1).T):
            spread = spread.index_add(0, here, weights[there])
        weights = spread / scale
        reached = (weights > 0).nonzero().flatten()
        best = weights[reached].topk(max(1, round(keep * len(reached)))).indices
        found[reached[best]] = True
    users, items = found.split([whole.users, whole.items])
    return users.nonzero().flatten(), items.nonzero().flatten()
