"""NegGrad+: descend on what stays while ascending on what goes.

    min  alpha * mean_{x in retain} loss(x; theta) - (1 - alpha) * mean_{x in forget} loss(x; theta)

Reference: M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou. "Towards Unbounded Machine Unlearning", NeurIPS 2023,
arXiv 2302.09880 (as the baseline "NegGrad+"; alpha = 0.95 in its code).
Needs: forget and retain data. Costs: `epochs` passes over the forget data, with as many retain batches.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.gradient_ascent import capped
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Pair, Split, paired
from expunge.tasks import Task


@dataclass(frozen=True)
class NegGradPlus(Method):
    """Reverse the loss on what goes, keep it on what stays. The published alpha is 0.95, without a cap.

    Args:
        alpha: weight of the retain term, between 0 and 1.
        epochs: passes over the stream named by `epoch_of`.
        epoch_of: "forget" or "retain", see :func:`expunge.split.paired`.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
        loss_cap: forget examples with a loss above it are left alone; None, as published, for no cap.
            Without one the model is damaged when the forget loss runs away; 3 nats leave the right class a probability of 5 %.
    """

    alpha: float = 0.9
    epochs: int = 5
    epoch_of: Literal["forget", "retain"] = "forget"
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    schedule: Schedule = "cosine"
    loss_cap: float | None = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.alpha <= 1, f"alpha must lie between 0 and 1, not {self.alpha}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            retain = task.losses(task.outputs(model, pair.retain), pair.retain)
            forget = task.losses(task.outputs(model, pair.forget), pair.forget)
            return {"retain": self.alpha * retain, "forget": -(1 - self.alpha) * capped(forget, self.loss_cap)}

        stream = paired(split.forget, split.retain, self.epoch_of)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)
