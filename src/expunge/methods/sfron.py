"""SFRon: climb the loss of what goes in the weights that serve it more than the rest, and mend after each step.

    m = 1[ F_f / F_r >= gamma ]                                F_f, F_r the diagonal Fisher information on forget and retain
    w_i = l_i^(-lambda) / mean_j l_j^(-lambda)                 l_i the loss of an example of a forget batch, held fixed

    fast     theta <- theta + eta * alpha_t * m * grad mean_i w_i l_i          on one forget batch
    slow     theta <- theta - eta * grad mean_{x in retain} loss(x; theta)     on `mend` retain batches

Examples that are forgotten already have a large loss, so a small weight. The slow steps stand for a step along the curvature
of the loss on what stays, which would be too dear to find. alpha_t falls from `push` to 0 along half a cosine, and the
gradient of a fast step is clipped. The published algorithm goes a part beta of the way from the weights before a round to
those after it; its published runs go all of it, as here.

Reference: Z. Huang, X. Cheng, J. Zheng, H. Wang, Z. He, T. Li, X. Huang. "Unified Gradient-Based Machine Unlearning with Remain
Geometry Enhancement", NeurIPS 2024, arXiv 2409.19732.
Needs: forget and retain data. Costs: one gradient for each example that the Fisher information is measured on, then `epochs`
passes over the forget data with `mend` retain batches for each of its batches.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.gradients import diagonal_fisher
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Shuffled, Split, Stream, one_epoch, paired
from expunge.tasks import Task

_SMALL = 1e-15  # added to Fisher information and losses before they are divided by


@dataclass(frozen=True)
class SFRon(Method):
    """Salient ascent with retain steps between.

    The published runs on CIFAR-10 have a push of 25 and 300 forget batches, with these other values. A push of 1 is enough for
    small networks; where outputs are real numbers, whose losses have no ceiling, 10 damages them.

    Args:
        gamma: how many times more important for what goes than for what stays a weight must be to be changed by fast steps,
            >= 0; 0 for all weights.
        adapt: lambda, >= 0: how much less examples with a larger loss are pushed; 0 for all alike.
        push: alpha, >= 0: weight of the first fast step.
        mend: retain batches after each forget batch, at least 1.
        epochs: passes over the forget data.
        optimizer: one for both kinds of steps.
        schedule: of the learning rate, over all steps.
        clip_norm: largest norm of the gradient of a fast step; None for no clipping.
        per_example: true Fisher of single examples; False for the squared gradient of batches, as the published code has it.
        max_examples: examples of each stream to measure Fisher information on, drawn at random; None for all.
    """

    gamma: float = 1.0
    adapt: float = 0.5
    push: float = 1.0
    mend: int = 5
    epochs: int = 5
    optimizer: Optimizer = Optimizer("sgd", 1e-2, momentum=0.9)
    schedule: Schedule = "cosine"
    clip_norm: float | None = 7.0
    per_example: bool = True
    max_examples: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma", "adapt", "push"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        self.require(self.mend >= 1, f"mend must be at least 1, not {self.mend}")
        self.require(self.clip_norm is None or self.clip_norm > 0, f"clip_norm must be above 0, not {self.clip_norm}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        optimizer = _Fast(self.optimizer, self._mask(student, task, split, engine), self.clip_norm)

        def loss(model: nn.Module, turn: Turn) -> dict[str, Tensor]:
            losses = task.losses(task.outputs(model, turn.batch), turn.batch)
            optimizer.turned_to(turn.push is not None)
            if turn.push is None:
                return {"retain": losses}
            return {"forget": -turn.push * adaptive_weights(losses, self.adapt) * losses}

        plan = [
            Alternating(split.forget, split.retain, self.mend, self.push, epoch, self.epochs) for epoch in range(self.epochs)
        ]
        return engine.fit(student, loss, plan, optimizer=optimizer, schedule=self.schedule)

    def _mask(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> list[Tensor]:
        def losses(model: nn.Module, batch: Any) -> Tensor:
            return task.likelihood_losses(task.outputs(model, batch), batch)

        def fisher(stream: Stream) -> dict[str, Tensor]:
            order = Shuffled(stream, engine.generator("fisher"))
            return diagonal_fisher(student, losses, order, self.per_example, self.max_examples, vectorized=task.vectorizes)

        return list(more_important(fisher(split.forget), fisher(split.retain), self.gamma).values())


def more_important(goes: dict[str, Tensor], stays: dict[str, Tensor], gamma: float) -> dict[str, Tensor]:
    """True where the ratio of two Fisher informations is at least gamma.

    >>> more_important({"w": torch.tensor([2.0, 1.0, 0.0])}, {"w": torch.tensor([1.0, 2.0, 0.0])}, 1.0)
    {'w': tensor([ True, False,  True])}
    """
    return {name: (value + _SMALL) / (stays[name] + _SMALL) >= gamma for name, value in goes.items()}


def adaptive_weights(losses: Tensor, adapt: float) -> Tensor:
    """Weights with mean 1 that fall as the loss rises to the power `adapt`; no gradient passes through them.

    >>> adaptive_weights(torch.tensor([1.0, 4.0]), 0.5)
    tensor([1.3333, 0.6667])
    """
    coefficients = 1 / (losses.detach().clamp_min(0) ** adapt + _SMALL)
    return coefficients / coefficients.mean()


class Turn(NamedTuple):
    """A batch, and how hard to push it out; None for one that stays."""

    batch: Any
    push: float | None


@dataclass(frozen=True)
class Alternating:
    """One pass over what goes, with `mend` batches of what stays after each of its batches; `push` falls over all passes."""

    forget: Stream
    retain: Stream
    mend: int
    push: float
    epoch_number: int
    epochs: int

    def __len__(self) -> int:
        return len(self.forget) * (1 + self.mend)  # type: ignore[arg-type]

    def epoch(self, generator: torch.Generator) -> Iterator[Turn]:
        count = len(self.forget)  # type: ignore[arg-type]
        repeated = _Repeated(self.forget, self.mend)
        for index, pair in enumerate(paired(repeated, self.retain, "forget").epoch(generator)):
            if index % self.mend == 0:
                done = (self.epoch_number + index // self.mend / count) / self.epochs
                yield Turn(pair.forget, self.push * 0.5 * (1 + math.cos(math.pi * done)))
            yield Turn(pair.retain, None)


@dataclass(frozen=True)
class _Repeated:
    """Each batch several times in a row."""

    stream: Stream
    times: int

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        return (batch for batch in one_epoch(self.stream, generator) for _ in range(self.times))

    def __iter__(self) -> Iterator[Any]:
        return (batch for batch in self.stream for _ in range(self.times))


class _Fast:
    """An optimizer recipe that masks and clips the gradients of fast steps."""

    def __init__(self, recipe: Optimizer, mask: list[Tensor], clip_norm: float | None) -> None:
        self.recipe, self.mask, self.clip_norm, self.fast = recipe, mask, clip_norm, False

    def turned_to(self, fast: bool) -> None:
        """Say which kind of step comes next."""
        self.fast = fast

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        optimizer = self.recipe(trainable)

        def restrain(*_: Any) -> None:
            if not self.fast:
                return
            for parameter, mask in zip(trainable, self.mask, strict=True):
                if parameter.grad is not None:
                    parameter.grad *= mask
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(trainable, self.clip_norm)

        optimizer.register_step_pre_hook(restrain)
        return optimizer

    def __repr__(self) -> str:
        return f"Fast({self.recipe}, {[int(mask.sum()) for mask in self.mask]}, {self.clip_norm})"
