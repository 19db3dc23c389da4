"""Bad Teacher: forget by listening to a network that knows nothing.

On what stays the student follows the trained model, on what goes a randomly initialised one:

    L = (1 - u) * KL(p_good || p_student) + u * KL(p_bad || p_student),     u = 1 on the forget set

The published code shuffles the forget set into 30 % of the retain set, so that a batch holds both in proportion. Here each step
takes one batch of each, and `forget_weight` is the share of u = 1: (1 - w) * mean over retain + w * mean over forget.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks
Using an Incompetent Teacher", AAAI 2023, arXiv 2205.08096.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches, each with one forward
pass of a teacher besides.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.method import Method, frozen
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Pair, Split, paired
from expunge.tasks import Task


@dataclass(frozen=True)
class BadTeacher(Method):
    """Distil from a good teacher on what stays and from an incompetent one on what goes.

    Args:
        temperature: of both KL terms, > 0.
        forget_weight: w, share of the forget term, between 0 and 1.
        epochs: passes over the stream named by `epoch_of`.
        epoch_of: "forget" or "retain", see :func:`expunge.split.paired`.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    temperature: float = 1.0
    forget_weight: float = 0.2
    epochs: int = 8
    epoch_of: Literal["forget", "retain"] = "forget"
    optimizer: Optimizer = Optimizer("adam", 5e-3)
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.temperature > 0, f"temperature must be above 0, not {self.temperature}")
        self.require(0 <= self.forget_weight <= 1, f"forget_weight must lie between 0 and 1, not {self.forget_weight}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        good, bad = frozen(student), frozen(engine.new_model(task.new_model, "incompetent teacher"))

        def follow(model: nn.Module, teacher: nn.Module, batch: Any) -> Tensor:
            with torch.no_grad():
                target = task.outputs(teacher, batch)
            return task.divergence(task.outputs(model, batch), target, self.temperature)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            return {
                "retain": (1 - self.forget_weight) * follow(model, good, pair.retain),
                "forget": self.forget_weight * follow(model, bad, pair.forget),
            }

        stream = paired(split.forget, split.retain, self.epoch_of)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)
