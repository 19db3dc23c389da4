"""Retrain: start again without the data. The gold that all are held against.

    theta = argmin  mean_{x in retain} loss(x; theta),     from fresh weights

Exact by construction: the result has never seen the forget set. Use the recipe that the original was trained with.

Needs: retain data. Costs: a whole training.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split, Stream
from expunge.tasks import Task


@dataclass(frozen=True)
class Retrain(Method):
    """Train a fresh model on what stays.

    Args:
        epochs: passes over the retained data.
        optimizer: the recipe's optimizer, with its learning rate.
        schedule: of the learning rate: "constant", "linear" or "cosine".
        clip_norm: largest norm of the gradient; None for no clipping.
    """

    epochs: int = 12
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = "cosine"
    clip_norm: float | None = None

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        return self.train(task, split.retain, engine)

    def train(self, task: Task[Any], batches: Stream, engine: Engine) -> nn.Module:
        """Train a fresh model on any stream by this recipe: originals come from here too."""
        return engine.fit(
            engine.new_model(task.new_model),
            lambda model, batch: task.losses(task.outputs(model, batch), batch),
            batches,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
        ).eval()
