"""Kookmin: draw those weights afresh on which what goes and what stays agree, and train all on what stays.

    d    =  grad mean_{retain} loss(theta)  -  grad mean_{forget} loss(theta)
    R    =  the `share` of the weights of each convolution with the smallest |d_j|
    theta_j <- theta'_j  for j in R,      theta' fresh weights
    min  mean_{x in retain} loss(x; theta),       with steps `others` times as long for the weights of convolutions outside R

Where both gradients are alike, what a weight learned of the forgotten examples cannot be told from what it learned of the rest,
so it is learned again; weights that differ are kept and moved slowly. Biases, normalisation and dense layers take whole
steps. In a network without convolutions its matrices stand in for them.

The second of the unlearning challenge at NeurIPS 2023, known by its team's name, and in the reproduction that this follows as
"masked small gradients". There the fresh weights are Kaiming's, whatever those of the architecture were, gradients are slowed
where here steps are (any optimizer does), and the learning rate rises before it falls.

Reference: E. Triantafillou et al. "Are we making progress in unlearning? Findings from the first NeurIPS unlearning
competition", arXiv 2406.09073; the reproduction: X. F. Cadet, A. Borovykh, M. Malekzadeh, S. Ahmadi-Abhari, H. Haddadi. "Deep
Unlearn: Benchmarking Machine Unlearning", arXiv 2410.01276.
Needs: forget and retain data. Costs: one gradient over the forget data and one over as many retained batches, then `epochs`
passes over the retained data.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from expunge.engine import Engine
from expunge.gradients import mean_gradient
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Shuffled, Split
from expunge.tasks import Task


@dataclass(frozen=True)
class Kookmin(Method):
    """Redraw the weights whose gradients agree, then fine-tune.

    Args:
        share: of the weights of each convolution that is drawn afresh, between 0 and 1; as published 0.3.
        others: factor on the steps of the other weights of convolutions, 0 or more; as published 0.1.
        epochs: passes over the retained data; as published 5.
        optimizer: fresh, with its learning rate. Published is SGD with momentum 0.9 at 0.001.
        schedule: of the learning rate.
    """

    share: float = 0.3
    others: float = 0.1
    epochs: int = 5
    optimizer: Optimizer = Optimizer("adam", 4e-3)
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.share <= 1, f"share must lie between 0 and 1, not {self.share}")
        self.require(self.others >= 0, f"others must be 0 or more, not {self.others}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student

        def losses(model: nn.Module, batch: Any) -> Tensor:
            return task.losses(task.outputs(model, batch), batch)

        goes, stays = (Shuffled(part, engine.generator("gradient")) for part in (split.forget, split.retain))
        forget = mean_gradient(student, losses, goes)
        retain = mean_gradient(student, losses, list(itertools.islice(stays, len(split.forget))))  # type: ignore[arg-type]
        masks = {name: smallest(retain[name] - forget[name], self.share) for name in convolutions(student)}
        fresh = dict(engine.new_model(task.new_model, "fresh").named_parameters())
        with torch.no_grad():
            for name, value in student.named_parameters():
                if name in masks:
                    value.copy_(torch.where(masks[name], fresh[name], value))
        return engine.fit(
            student,
            lambda model, batch: {"retain": losses(model, batch)},
            split.retain,
            epochs=self.epochs,
            optimizer=Slowed(self.optimizer, self._factors(student, masks)),
            schedule=self.schedule,
        )

    def _factors(self, student: nn.Module, masks: dict[str, Tensor]) -> list[Tensor | None]:
        """For each trainable parameter the factors on its steps, None for whole ones."""
        named = ((name, value) for name, value in student.named_parameters() if value.requires_grad)
        return [torch.where(masks[name], 1.0, self.others).to(value) if name in masks else None for name, value in named]


def convolutions(model: nn.Module) -> list[str]:
    """Names of the trainable weights of convolutions; where there is none, of all trainable matrices."""
    own = {id(layer.weight) for layer in model.modules() if isinstance(layer, _ConvNd)}
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    return [name for name, value in named.items() if id(value) in own] or [
        name for name, value in named.items() if value.dim() > 1
    ]


def smallest(difference: Tensor, share: float) -> Tensor:
    """True for the share of a tensor's values that is smallest in size.

    >>> smallest(torch.tensor([[3.0, -1.0], [0.5, -2.0]]), 0.5)
    tensor([[False,  True],
            [ True, False]])
    """
    chosen = torch.zeros(difference.numel(), dtype=torch.bool, device=difference.device)
    chosen[difference.abs().flatten().topk(round(share * len(chosen)), largest=False).indices] = True
    return chosen.view_as(difference)


@dataclass(frozen=True, eq=False)
class Slowed:
    """An optimizer recipe whose steps are cut, weight by weight, whatever the optimizer does.

    Args:
        recipe: of the whole steps.
        factors: for each trainable parameter, of its shape; None for whole steps.
    """

    recipe: Optimizer
    factors: list[Tensor | None]

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        optimizer = self.recipe(trainable)
        slowed = [(value, factor) for value, factor in zip(trainable, self.factors, strict=True) if factor is not None]
        before: list[Tensor] = []

        def remember(*_: Any) -> None:
            before[:] = [value.detach().clone() for value, _ in slowed]

        def cut(*_: Any) -> None:
            with torch.no_grad():
                for (value, factor), old in zip(slowed, before, strict=True):
                    value.copy_(torch.where(factor == 1, value, old + factor * (value - old)))

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(cut)
        return optimizer

    def __repr__(self) -> str:
        return f"Slowed({self.recipe}, {[None if each is None else float(each.sum()) for each in self.factors]})"
