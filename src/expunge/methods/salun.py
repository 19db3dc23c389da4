"""SalUn: random labels (or Gaussian targets), but only in the weights that what must go depends on.

    m = 1[ |grad_theta L_forget(theta_o)| among the largest `saliency` share ]
    theta = theta_o + m * (theta' - theta_o),     theta' trained with wrong labels on what goes and true ones on what stays

Where targets are real numbers, theta' is trained with targets drawn from a Gaussian, as Gaussian-Amnesiac has them. A diffusion
model learns to answer the concept's prompt, on its images, as it answers another concept's prompt there. Weights outside the
mask are put back after every step: masking gradients alone leaks through momentum and weight decay.

Reference: C. Fan, J. Liu, Y. Zhang, E. Wong, D. Wei, S. Liu. "SalUn: Empowering Machine Unlearning via Gradient-based Weight
Saliency in Both Image Classification and Generation", ICLR 2024, arXiv 2310.12508.
Needs: forget and retain data; the forget set is held in memory. Costs: one gradient over the forget set, then `epochs` passes
over the forget data with as many retain batches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.diffusion.noised import NoisedImages
from expunge.engine import Engine, Loss
from expunge.gradients import mean_gradient
from expunge.methods.gaussian_amnesiac import with_gaussian_targets
from expunge.methods.method import Method
from expunge.methods.random_labels import relabelled, wrong_and_right
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Pair, Split, Stream, paired
from expunge.tasks import ClassificationTask, DiffusionTask, RegressionTask, Task


@dataclass(frozen=True)
class SalUn(Method):
    """Random labels inside a saliency mask.

    Args:
        saliency: share of all weights that may change, between 0 and 1.
        forget_weight: share of the forget term, between 0 and 1.
        epochs: passes over the stream named by `epoch_of`.
        epoch_of: "forget" or "retain", see :func:`expunge.split.paired`.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
        asked: of diffusion models, the share of images that go which are asked for, between 0 and 1. The others are shown as if
            nothing were asked for, so that the concept goes from there as well; as published all are.
    """

    saliency: float = 0.5
    forget_weight: float = 0.05
    epochs: int = 8
    epoch_of: Literal["forget", "retain"] = "forget"
    optimizer: Optimizer = Optimizer("adam", 2e-3)
    schedule: Schedule = "cosine"
    asked: float = 1.0

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask, RegressionTask, DiffusionTask)
    why_not: ClassVar[str] = (
        "it needs wrong answers to teach, and an edge or a choice has none but that it is none; take neggrad-plus, or amun"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.saliency <= 1, f"saliency must lie between 0 and 1, not {self.saliency}")
        self.require(0 <= self.forget_weight <= 1, f"forget_weight must lie between 0 and 1, not {self.forget_weight}")
        self.require(0 <= self.asked <= 1, f"asked must lie between 0 and 1, not {self.asked}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        gradient = mean_gradient(student, lambda model, batch: task.losses(task.outputs(model, batch), batch), split.forget)
        optimizer = Masked(self.optimizer, saliency_mask(gradient, self.saliency))
        if isinstance(task, DiffusionTask):
            false, loss = _asked(split.forget, self.asked), _as_another_concept(task, self.forget_weight)
        else:
            false, loss = _with_wrong_targets(task, split, engine), wrong_and_right(task, self.forget_weight)
        stream = paired(false, split.retain, self.epoch_of)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=optimizer, schedule=self.schedule)


def _with_wrong_targets(task: Task[Any], split: Split, engine: Engine) -> Stream:
    """What goes, with another class, or with numbers from a Gaussian."""
    if isinstance(task, RegressionTask):
        return with_gaussian_targets(task, split, engine)
    assert isinstance(task, ClassificationTask)
    return relabelled(task, split.forget, engine)


def _as_another_concept(task: DiffusionTask, weight: float) -> Loss:
    """The loss of a diffusion model: on images that go it learns its own answer to the next concept's prompt."""
    count = len(task.concepts.names)

    def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
        noisy, times, conditions, _, numbers = pair.forget
        of = int(numbers[0])
        with torch.no_grad():
            wanted = model(noisy, times, task.concepts.instead(conditions, of, (of + 1) % count))
        false = task.divergence(model(noisy, times, conditions), wanted)
        true = task.losses(task.outputs(model, pair.retain), pair.retain)
        return {"forget": weight * false, "retain": (1 - weight) * true}

    return loss


def _asked(stream: Stream, share: float) -> Stream:
    """Images of which a share is asked for, where the stream can do that."""
    return stream.asked(share) if isinstance(stream, NoisedImages) else stream


def saliency_mask(gradient: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """True for the `share` of all scalars, over all tensors together, whose gradient is largest in size.

    >>> saliency_mask({"a": torch.tensor([1.0, -5.0]), "b": torch.tensor([[2.0], [0.5]])}, 0.5)
    {'a': tensor([False,  True]), 'b': tensor([[ True],
            [False]])}
    """
    sizes = torch.cat([value.abs().flatten() for value in gradient.values()])
    chosen = torch.zeros_like(sizes, dtype=torch.bool)
    chosen[sizes.topk(round(share * len(sizes))).indices] = True
    parts = chosen.split([value.numel() for value in gradient.values()])
    return {name: part.view_as(value) for (name, value), part in zip(gradient.items(), parts, strict=True)}


@dataclass(frozen=True, eq=False)
class Masked:
    """An optimizer recipe that holds all trainable weights outside `mask` where they are, whatever the optimizer does."""

    recipe: Optimizer
    mask: dict[str, Tensor]

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        optimizer = self.recipe(trainable)
        kept = [
            (parameter, mask, parameter.detach().clone()) for parameter, mask in zip(trainable, self.mask.values(), strict=True)
        ]

        def restore(*_: Any) -> None:
            with torch.no_grad():
                for parameter, mask, original in kept:
                    parameter.copy_(torch.where(mask, parameter, original))

        optimizer.register_step_post_hook(restore)
        return optimizer

    def __repr__(self) -> str:
        return f"Masked({self.recipe}, {[int(mask.sum()) for mask in self.mask.values()]})"
