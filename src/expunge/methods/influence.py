"""Influence: one step to where the weights would be without what goes, by the curvature of the loss.

    theta' = theta + step * (H + damping I)^-1 g / n_retain,       g = sum_{x in forget} grad loss(x; theta)

At the optimum of all data g is what holds the model away from that of the retained data; where the mean retained loss is
quadratic, with Hessian H, the step ends there exactly. The inverse is never made. Two solvers:

    conjugate-gradients    products of the Hessian of the mean retained loss with vectors, by a second backward pass
    woodbury               in place of H the empirical Fisher F of the retained data, (1/N) sum_i g_i g_i^T, from gradients g_i
                           of N batches, whose damped inverse is known after each of them by

        F_i^-1 = F_{i-1}^-1  -  F_{i-1}^-1 g_i g_i^T F_{i-1}^-1 / (N + g_i^T F_{i-1}^-1 g_i),       F_0 = damping I

The recursion is run in full: each F_{i-1}^-1 g_i is kept, where published code keeps one. Networks bend downwards in some
directions, and the Fisher of few batches is flat in most: the damping bounds the step there. Networks that fit their data have
small gradients, so that a step of 1 may do little; published steps were found by trial, one for each model.

Reference: P. W. Koh, P. Liang. "Understanding Black-box Predictions via Influence Functions", ICML 2017, arXiv 1703.04730; the
recursion: S. P. Singh, D. Alistarh. "WoodFisher: Efficient Second-Order Approximation for Neural Network Compression", NeurIPS
2020, arXiv 2004.14340, used for unlearning by J. Jia et al. "Model Sparsity Can Simplify Machine Unlearning", NeurIPS 2023,
arXiv 2304.04934 (as "IU").
Needs: forget and retain data, and a model that was trained well. Costs: one pass over the forget data, and for woodbury
`fisher_batches` gradients and the memory for as many; for conjugate gradients `iterations` products at most, and 40 to choose
the damping, each two passes over the retained data.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from expunge.engine import Engine, on_device_of
from expunge.errors import Diverged
from expunge.gradients import mean_gradient
from expunge.influence import Product, Vector, conjugate_gradients, ends, hessian
from expunge.methods.method import Method
from expunge.modes import evaluating
from expunge.split import Shuffled, Split, Stream
from expunge.tasks import Task

_LEAST_DAMPING = 0.01
_SHARE_OF_TRACE = 0.05
_MARGIN = 1.2  # Lanczos ends a little short of an end of the spectrum


@dataclass(frozen=True)
class Influence(Method):
    """Step by the influence of what goes.

    Args:
        step: times the step of the formula, 0 or more. The knob to turn.
        solver: "woodbury", by gradients alone, or "conjugate-gradients", by the Hessian.
        damping: added to every eigenvalue, in their unit, 0 or more, and above 0 for woodbury. None for 0.05 of the sum of F's
            eigenvalues; of the Hessian for as much as the lowest one needs, and 0.01 of the highest at least.
        iterations: of conjugate gradients, at least 1.
        fisher_batches: N at most, at least 1.
        fisher_batch_size: examples whose mean gradient is one g_i, at least 1, where the retain stream can be cut so; as
            published 1.
    """

    step: float = 1.0
    solver: Literal["woodbury", "conjugate-gradients"] = "woodbury"
    damping: float | None = None
    iterations: int = 50
    fisher_batches: int = 256
    fisher_batch_size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        solvers = ("woodbury", "conjugate-gradients")
        self.require(self.step >= 0, f"step must be 0 or more, not {self.step}")
        self.require(self.solver in solvers, f"solver must be 'woodbury' or 'conjugate-gradients', not {self.solver!r}")
        damping = self.damping
        self.require(damping is None or damping >= 0, f"damping must be 0 or more, not {damping}")
        self.require(damping != 0 or self.solver != "woodbury", "damping must be above 0 for woodbury, not 0")
        for name in ("iterations", "fisher_batches", "fisher_batch_size"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def losses(model: nn.Module, batch: Any) -> Tensor:
            return task.losses(task.outputs(model, batch), batch)

        parameters = [value for value in student.parameters() if value.requires_grad]
        goes, count = Shuffled(split.forget, engine.generator("forget")), examples(split.forget)
        target = [part * (count / examples(split.retain)) for part in mean_gradient(student, losses, goes).values()]
        if self.solver == "woodbury":
            moved = self._by_fisher(student, losses, parameters, split.retain, target, engine)
        else:
            moved = self._by_hessian(student, losses, parameters, split.retain, target, engine)
        if not all(part.isfinite().all() for part in moved):
            raise Diverged("influence: the step is not finite; raise damping")
        with torch.no_grad():
            for value, part in zip(parameters, moved, strict=True):
                value.add_(part, alpha=self.step)
        return student

    def _by_hessian(
        self, student: nn.Module, losses: Any, parameters: list[nn.Parameter], retain: Any, target: Vector, engine: Engine
    ) -> Vector:
        def product(vector: Vector) -> Vector:
            order = Shuffled(retain, engine.generator("hessian"))  # the same batches each time
            return mean_product(student, losses, parameters, order, vector)

        with evaluating(student), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            damping = self.damping
            if damping is None:
                low, high = ends(product, target, engine.generator("spectrum"))
                damping = max(_LEAST_DAMPING * high, -_MARGIN * low)
            return conjugate_gradients(product, target, damping, self.iterations)

    def _by_fisher(
        self, student: nn.Module, losses: Any, parameters: list[nn.Parameter], retain: Any, target: Vector, engine: Engine
    ) -> Vector:
        if hasattr(retain, "with_batch_size"):
            retain = retain.with_batch_size(self.fisher_batch_size)
        order = Shuffled(retain, engine.generator("fisher"))
        with evaluating(student):
            drawn = itertools.islice(order, self.fisher_batches)
            found = torch.stack([flat(each) for each in gradients(student, losses, parameters, drawn)])
        damping = _SHARE_OF_TRACE * float(found.square().sum(1).mean()) if self.damping is None else self.damping
        return like(woodbury(found, flat(target), damping or 1.0), target)  # without any gradient nothing sets a scale


def woodbury(gradients: Tensor, target: Tensor, damping: float) -> Tensor:
    """(F + damping I)^-1 target, with F the mean of the outer products of gradients (N, d) with themselves: shape (d,).

    >>> woodbury(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([3.0, 9.0]), 1.0).round(decimals=3)
    tensor([1., 1.])
    """
    count, kept = len(gradients), torch.empty_like(gradients)
    for place, gradient in enumerate(gradients):
        turned = _inverse(kept[:place], gradient, damping)
        kept[place] = turned / (count + gradient @ turned).sqrt()
    return _inverse(kept, target, damping)


def _inverse(kept: Tensor, vector: Tensor, damping: float) -> Tensor:
    """F_i^-1 times a vector, from what the i steps before kept, (i, d)."""
    return vector / damping - kept.T @ (kept @ vector)


def mean_product(
    model: nn.Module, losses: Any, parameters: list[nn.Parameter], batches: Iterable[Any], vector: Vector
) -> Vector:
    """The Hessian of the mean loss over all examples of a stream, times a vector."""
    total, count = [torch.zeros_like(part) for part in vector], 0
    for batch in batches:
        values = losses(model, on_device_of(model, batch))
        count += len(values)
        gradient = torch.autograd.grad(values.sum(), parameters, create_graph=True, allow_unused=True, materialize_grads=True)
        product: Product = hessian(list(gradient), parameters)
        total = [whole + part for whole, part in zip(total, product(vector), strict=True)]
    return [part / count for part in total]


def gradients(model: nn.Module, losses: Any, parameters: list[nn.Parameter], batches: Iterable[Any]) -> Iterator[Vector]:
    """The gradient of the mean loss of each batch."""
    for batch in batches:
        mean = losses(model, on_device_of(model, batch)).mean()
        yield list(torch.autograd.grad(mean, parameters, allow_unused=True, materialize_grads=True))


def examples(stream: Stream) -> int:
    """How many examples one pass has."""
    known = getattr(stream, "examples", None)
    if known is not None:
        return int(known)
    return sum(len(next(leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))) for batch in stream)


def flat(vector: Vector) -> Tensor:
    """All parts as one, shape (d,)."""
    return torch.cat([part.flatten() for part in vector])


def like(values: Tensor, vector: Vector) -> Vector:
    """Values (d,), in parts of the shapes of a vector's."""
    parts = values.split([part.numel() for part in vector])
    return [part.view_as(other) for part, other in zip(parts, vector, strict=True)]
