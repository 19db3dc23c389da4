"""GIF, the graph influence function: one step to where the weights would be, had the graph never held what goes.

    theta' = theta + H^-1 dg
    dg = grad sum_{affected} loss on the whole graph  -  grad sum_{affected that stay} loss on the retained graph

H is the Hessian of the loss, summed over the training set on the whole graph. Affected are the training examples at most `hops`
steps away from a node that goes or loses an edge: not only does that go, others are also read without it. H^-1 is never made;
its product comes from a recursion (LiSSA) of Hessian-vector products:

    v_0 = dg,    v_{t+1} = dg + (1 - damping) v_t - H v_t / scale,       theta' = theta + v_T / scale

It converges to (H + damping * scale * I)^-1 dg while H / scale + damping has all its eigenvalues between 0 and 2; cut off at T
it leaves directions alone in which the loss is flat. Published scales lie between 1e4 and 1e9, found by trial. Here both ends
of the spectrum of H are measured, unless scale and damping are given: networks have directions in which the loss bends
downwards.

All products are of full sums. In link prediction the wrong pairs of the training loss are drawn once, and count as examples
that stay. A penalty on the weights is not part of the loss.

Reference: J. Wu, Y. Yang, Y. Qian, Y. Sui, X. Wang, X. He. "GIF: A General Graph Unlearning Strategy via Influence Function",
WWW 2023, arXiv 2304.02835; the recursion: N. Agarwal, B. Bullins, E. Hazan. "Second-Order Stochastic Optimization for Machine
Learning in Linear Time", JMLR 2017, arXiv 1602.03943.
Needs: forget and retain data, and a model that was trained well; the whole graph in memory. Costs: `iterations` Hessian-vector
products, and 20 for each end of the spectrum; each is about two passes over all data, forward and backward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import Diverged
from expunge.graphs import Graph, LinkBatch, LinkBatches, NodeBatch
from expunge.graphs.negatives import negatives_of
from expunge.influence import Product, Vector, norm
from expunge.influence import hessian as _hessian
from expunge.influence import largest as _largest
from expunge.methods.method import Method
from expunge.modes import evaluating
from expunge.split import Split
from expunge.tasks import GraphTask, Task

_LEAST_DAMPING = 0.01
_MARGIN = 1.1  # power iteration ends a little short of an end of the spectrum
_TOO_LONG = 1e3  # times as long as v can grow while the recursion converges


@dataclass(frozen=True)
class GIF(Method):
    """Step by the influence of what goes.

    Args:
        iterations: T, how often the recursion is run, at least 1.
        scale: > 0; None for one that fits the eigenvalues of H. Smaller is faster, until it diverges.
        damping: between 0 and 1; it bounds the step in directions in which the loss is flat or bends downwards. None for as
            much as the lowest eigenvalue of H needs, and 0.01 at least.
        hops: how far a lost edge reaches: as many steps as the network has layers.
    """

    iterations: int = 100
    scale: float | None = None
    damping: float | None = None
    hops: int = 2

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (GraphTask,)
    why_not: ClassVar[str] = (
        "what it adds to influence functions is the graph around what goes; ifru does so for recommenders, and elsewhere "
        "ssd weighs parameters"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        self.require(self.scale is None or self.scale > 0, f"scale must be above 0, not {self.scale}")
        damping = self.damping
        self.require(damping is None or 0 <= damping < 1, f"damping must be 0 or more and below 1, not {damping}")
        self.require(self.hops >= 0, f"hops must be 0 or more, not {self.hops}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        goes, stays, left = _examples(split, engine)
        parameters = [value for value in student.parameters() if value.requires_grad]
        cut = goes.graph.degrees != left.degrees
        cut[goes.named] = True
        near = goes.graph.near(cut, self.hops)

        def gradient(batch: Any, again: bool = False) -> Vector:
            total = task.losses(task.outputs(student, batch), batch).sum()
            found = torch.autograd.grad(total, parameters, create_graph=again, allow_unused=True, materialize_grads=True)
            return list(found)

        with evaluating(student):
            affected = _near(stays, near)
            before, after = gradient(goes.beside(affected)), gradient(affected.on(left))
            change = [first - second for first, second in zip(before, after, strict=True)]
            product = _hessian(gradient(goes.beside(stays), again=True), parameters)
            scale, damping = self._bounds(product, parameters, engine.generator("power"))
            step = self._solve(product, change, scale, damping)
        with torch.no_grad():
            for value, part in zip(parameters, step, strict=True):
                value.add_(part)
        return student

    def _bounds(self, product: Product, like: Sequence[Tensor], generator: torch.Generator) -> tuple[float, float]:
        """Scale and damping, as they are given or as H needs them."""
        largest = self.scale or _largest(product, like, generator)
        if self.damping is not None:
            return largest, self.damping

        def turned(vector: Vector) -> Vector:
            return [largest * part - bent for part, bent in zip(vector, product(vector), strict=True)]

        below = _MARGIN * max(0.0, _largest(turned, like, generator) - largest)  # as far as the lowest lies below 0
        scale = self.scale or largest + below
        return scale, max(_LEAST_DAMPING, below / scale)

    def _solve(self, product: Product, change: Vector, scale: float, damping: float) -> Vector:
        """v_T / scale."""
        found, length = change, norm(change)
        for count in range(1, self.iterations + 1):
            bent = product(found)
            found = [part + (1 - damping) * now - curve / scale for part, now, curve in zip(change, found, bent, strict=True)]
            if not norm(found) <= _TOO_LONG * (count + 1) * length:  # also where it is not a number
                raise Diverged(
                    f"gif: the recursion grows without end (iteration {count}, scale {scale:.3g}, damping {damping:.3g}); "
                    "raise whichever of the two was given, or train the model longer"
                )
        return [part / scale for part in found]


def _examples(split: Split, engine: Engine) -> tuple[Any, Any, Graph]:
    """What goes and what stays, on the whole graph, with the wrong pairs among the latter; and the retained graph."""
    forget, retain = split.forget, split.retain
    left: Graph = retain.graph.to(engine.device)  # type: ignore[attr-defined]
    whole, device = left.whole, engine.device
    goes: Any
    stays: Any
    if not isinstance(forget, LinkBatches) or not isinstance(retain, LinkBatches):
        goes, stays = (NodeBatch(part.nodes.to(device), whole.labels[part.nodes], whole) for part in (forget, retain))  # type: ignore[attr-defined, index]
        return goes, stays, left
    wrong = negatives_of(whole, retain.pairs.to(device), retain.negatives, engine.generator("negatives"))
    goes, stays = (LinkBatch(part.pairs.to(device), part.all_labels.to(device), whole) for part in (forget, retain))
    return goes, stays.beside(LinkBatch(wrong, torch.zeros(len(wrong), device=device), whole)), left


def _near(batch: Any, near: Tensor) -> Any:
    """Those examples of a batch that name a node which is near."""
    if isinstance(batch, LinkBatch):
        rows = near[batch.pairs[:, :2]].any(1)
        return LinkBatch(batch.pairs[rows], batch.labels[rows], batch.graph)
    rows = near[batch.nodes]
    return NodeBatch(batch.nodes[rows], batch.labels[rows], batch.graph)
