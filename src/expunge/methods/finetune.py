"""Fine-tune: go on training on what stays, and let the rest fade.

    min  mean_{x in retain} loss(x; theta),     from the trained weights

Catastrophic forgetting does the work, and only at a learning rate that is large enough.

Reference: A. Golatkar, A. Achille, S. Soatto. "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
CVPR 2020, arXiv 1911.04933 (as the baseline "fine-tune").
Needs: retain data. Costs: `epochs` passes over it.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class Finetune(Method):
    """Train on the retained data alone.

    Args:
        epochs: passes over the retained data.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    epochs: int = 5
    optimizer: Optimizer = Optimizer("adam", 4e-3)
    schedule: Schedule = "cosine"

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        return engine.fit(
            student,
            lambda model, batch: {"retain": task.losses(task.outputs(model, batch), batch)},
            split.retain,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
        )
