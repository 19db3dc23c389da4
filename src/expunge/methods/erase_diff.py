"""EraseDiff: keep what stays, under the constraint that what must go is forgotten as well as it can be.

    theta_K = K steps from theta on q,     q(theta) = || e_theta(x_t, c, t) - e_0(x_t, o, t) ||^2
    d       = grad q(theta) - grad q(theta_K)
    theta  <- theta - rate ( grad L(theta) + lambda d ),     lambda = max(0, eta - <grad L, d> / ||d||^2)

x_t are noised images of the concept c, o is another concept for each batch, and e_0 the model before; q can ask for uniform
noise in place of its prediction. L is the training loss of what stays. lambda is the least weight with which a small step takes
q towards q(theta_K) at the speed eta ||d||^2, whatever L wants. In the authors' code eta is held against the cosine, d is the
gradient of q alone, and wrong answers are those of the model as it has become.

Reference: J. Wu, T. Le, M. Hayat, M. Harandi. "Erasing Undesirable Influence in Diffusion Models", CVPR 2025, arXiv 2401.05779
(first as "EraseDiff: Erasing Data Influence in Diffusion Models"). The constraint is met as in M. Ye, B. Liu, S. Wright,
P. Stone, Q. Liu. "BOME! Bilevel Optimization Made Easy: A Simple First-Order Approach", NeurIPS 2022, arXiv 2209.08709.

Needs: images of the concept, and others. Costs: `steps` of training with both in each and two backward passes, `inner_steps` on
those of the concept alone before it, and two copies of the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedBatch, NoisedImages
from expunge.engine import Engine
from expunge.methods.eraser import Eraser, Where
from expunge.optimizers import Optimizer
from expunge.split import Pair, paired
from expunge.storage import copied
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class EraseDiff(Eraser):
    """Erase as far as some steps of forgetting alone would lead, and keep what stays beside it.

    Args:
        inner_steps: K, of forgetting alone, before each step of training, on the same images.
        inner: their optimizer, fresh for each step of training.
        eta: how fast the constraint is to be met, 0 or more.
        wrong: what the answer to the concept's prompt is to be: that to "another" concept's, or uniform "noise".
    """

    where: Where = "network"
    inner_steps: int = 2
    inner: Optimizer = Optimizer("adam", 1e-3)
    eta: float = 0.1
    wrong: Literal["another", "noise"] = "another"

    needs_retain: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.inner_steps >= 1, f"inner_steps must be at least 1, not {self.inner_steps}")
        self.require(self.eta >= 0, f"eta must be 0 or more, not {self.eta}")
        self.require(self.wrong in ("another", "noise"), f"wrong must be 'another' or 'noise', not {self.wrong!r}")

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        assert isinstance(split.forget, NoisedImages) and isinstance(split.retain, NoisedImages)
        ahead, weights, others = copied(student), learning_in(student), split.retain.numbers.unique()

        def wrong(batch: NoisedBatch) -> Tensor:
            noisy, times, conditions, _, _ = batch
            if self.wrong == "noise":
                return torch.rand_like(noisy)
            other = int(others[torch.randint(len(others), ())])
            with torch.no_grad():
                answer: Tensor = original(noisy, times, task.concepts.instead(conditions, split.concept, other))
            return answer

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            target = wrong(pair.forget)

            def forgets(model: nn.Module) -> Tensor:
                return task.divergence(task.outputs(model, pair.forget), target).mean()

            reached, its_slope = self._went_ahead(ahead, weights, forgets)
            stays = task.losses(task.outputs(model, pair.retain), pair.retain).mean()
            gap = forgets(model) - reached - linear(weights, its_slope)
            weight = least_weight(slope_of(stays, weights, keep=True), slope_of(gap, weights, keep=True), self.eta)
            return {"retain": stays, "erase": weight * gap}

        goes = split.forget.asked(1.0, self.batch_size)
        self.fit(student, loss, paired(goes, split.retain.with_batch_size(self.batch_size), "forget"), engine)

    def _went_ahead(
        self, ahead: nn.Module, weights: Sequence[Tensor], forgets: Callable[[nn.Module], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What forgetting alone reaches in some steps from `weights`: its loss there, and the slope of that."""
        steps = learning_in(ahead)
        with torch.no_grad():
            for mine, theirs in zip(steps, weights, strict=True):
                mine.copy_(theirs)
        optimizer = self.inner(steps)
        for _ in range(self.inner_steps):
            optimizer.zero_grad()
            forgets(ahead).backward()
            optimizer.step()
        reached = forgets(ahead)
        return reached.detach(), slope_of(reached, steps)


def learning_in(model: nn.Module) -> list[nn.Parameter]:
    """The weights that gather gradients."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def slope_of(value: Tensor, weights: Sequence[Tensor], keep: bool = False) -> Tensor:
    """The gradient by all weights as one vector; 0 where the value does not depend on a weight.

    Args:
        keep: the graph, for another pass.
    """
    found = torch.autograd.grad(value, weights, retain_graph=keep, allow_unused=True, materialize_grads=True)
    return torch.cat([each.flatten() for each in found])


def linear(weights: Sequence[Tensor], slope: Tensor) -> Tensor:
    """A value of 0 whose gradient by the weights is `slope`."""
    parts = slope.split([weight.numel() for weight in weights])
    terms = [((weight - weight.detach()).flatten() * part).sum() for weight, part in zip(weights, parts, strict=True)]
    return torch.stack(terms).sum()


def least_weight(stays: Tensor, constraint: Tensor, eta: float) -> Tensor:
    """The least weight, 0 or more, with which <stays + weight * constraint, constraint> is eta * ||constraint||^2 at least.

    >>> least_weight(torch.tensor([-1.0, 0.0]), torch.tensor([2.0, 0.0]), eta=0.5)
    tensor(1.)
    >>> least_weight(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), eta=0.5)
    tensor(0.)
    """
    size = constraint.square().sum()
    weight = (eta - (stays * constraint).sum() / size).clamp_min(0)
    return torch.where(size == 0, torch.zeros_like(size), weight)
