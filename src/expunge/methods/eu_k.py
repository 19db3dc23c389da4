"""EU-k: draw the last k layers afresh and train them, on what stays, by the recipe of the model.

    theta_last <- fresh weights,     then    min  mean_{x in retain} loss(x; theta_front, theta_last)   over theta_last alone

The end of the network has never seen what goes; its front has, and stays as it is. Where k reaches over the whole network it is
`retrain`. Layers are counted as in `cf-k`.

Reference: S. Goel, A. Prabhu, A. Sanyal, S.-N. Lim, P. Torr, P. Kumaraguru. "Towards Adversarial Evaluations for Inexact
Machine Unlearning", arXiv 2201.06640 (as the baseline "EU-k", exact unlearning).
Needs: retain data. Costs: a training of k layers: `epochs` passes over the retained data.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from expunge.engine import Engine
from expunge.methods.cf_k import fit_last, layers
from expunge.methods.method import Method
from expunge.methods.retrain import Retrain
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.storage import copied
from expunge.tasks import Task


@dataclass(frozen=True)
class EUK(Method):
    """Retrain the end of the network on the retained data.

    The defaults are those of `retrain`; :meth:`from_recipe` takes them from how the model was trained.

    Args:
        k: layers that are trained from fresh weights, counted from the end, at least 1; all where there are fewer.
        epochs: passes over the retained data.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
        clip_norm: largest norm of the gradient; None for no clipping.
    """

    k: int = 1
    epochs: int = 12
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = "cosine"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.k >= 1, f"k must be at least 1, not {self.k}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "EUK":
        """Settings for a model that was trained by `recipe`: the same recipe."""
        found: dict[str, Any] = {
            "epochs": recipe.epochs,
            "optimizer": recipe.optimizer,
            "schedule": recipe.schedule,
            "clip_norm": recipe.clip_norm,
        }
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        return fit_last(
            renewed(student, engine.new_model(task.new_model), self.k),
            self.k,
            task,
            split.retain,
            engine,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
        )


def renewed(trained: nn.Module, fresh: nn.Module, k: int) -> nn.Module:
    """A copy of `trained` whose last k layers have the trainable parameters, and the buffers, of `fresh`."""
    result = copied(trained)
    last, theirs = layers(result)[-k:], dict(fresh.named_modules())
    with torch.no_grad():
        for name, module in result.named_modules():
            if not any(module is each for each in last):
                continue
            for own, other in zip(module.parameters(False), theirs[name].parameters(False), strict=True):
                if own.requires_grad:
                    own.copy_(other)
            for own, other in zip(module.buffers(False), theirs[name].buffers(False), strict=True):
                own.copy_(other)
    return result
