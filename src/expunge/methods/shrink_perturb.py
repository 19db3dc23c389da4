"""Shrink and perturb: move the weights towards fresh ones, which blurs all that was learned, and learn what stays again.

    theta_0 = keep * theta + (1 - keep) * theta',       theta' fresh weights
    then    min  mean_{x in retain} loss(x; theta),     from theta_0

What an example alone has left in the weights is lost among the noise; what many examples share is learned again in a fraction
of the time that it took from nothing. `keep` = 1 is fine-tuning, `keep` = 0 is retraining, with few epochs. Made for warm
starts that generalise as well as cold ones; as an unlearning method it is of this library.

Reference: J. Ash, R. Adams. "On Warm-Starting Neural Network Training", NeurIPS 2020, arXiv 1910.08475.
Needs: retain data. Costs: `epochs` passes over it.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.methods.retrain import Retrain
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class ShrinkPerturb(Method):
    """Blend with fresh weights, then train on the retained data.

    The defaults fit a model that was trained for 40 epochs at 0.005; :meth:`from_recipe` makes them for any other.

    Args:
        keep: share of the trained weights in the blend, between 0 and 1.
        epochs: passes over the retained data.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    keep: float = 0.65
    epochs: int = 8
    optimizer: Optimizer = Optimizer("adam", 7e-3)
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.keep <= 1, f"keep must lie between 0 and 1, not {self.keep}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "ShrinkPerturb":
        """Settings for a model that was trained by `recipe`: a fifth of its epochs, at 1.4 times its learning rate."""
        rate = replace(recipe.optimizer, learning_rate=1.4 * recipe.optimizer.learning_rate)
        found: dict[str, Any] = {"epochs": math.ceil(recipe.epochs / 5), "optimizer": rate}
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        return engine.fit(
            blended(student, engine.new_model(task.new_model, "fresh"), self.keep),
            lambda model, batch: {"retain": task.losses(task.outputs(model, batch), batch)},
            split.retain,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
        )


def blended(trained: nn.Module, fresh: nn.Module, keep: float) -> nn.Module:
    """A copy of `trained` whose trainable parameters are `keep` of its own and the rest of `fresh`; all else stays its own."""
    blend = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter, other in zip(blend.parameters(), fresh.parameters(), strict=True):
            if not parameter.requires_grad:
                continue  # nobody would train it again
            parameter.mul_(keep).add_(other, alpha=1 - keep)
    return blend
