"""Gradient ascent: climb the training loss of what must go.

    max  mean_{x in forget} loss(x; theta)

The loss has no ceiling and nothing holds on to what stays: a few steps at a small learning rate are all that is safe. The
optional `loss_cap` (in the unit of the loss) stops pushing examples whose loss is already that high.

Reference: L. Graves, V. Nagisetty, V. Ganesh. "Amnesiac Machine Learning", AAAI 2021, arXiv 2010.10981; A. Thudi, G. Deza,
V. Chandrasekaran, N. Papernot. "Unrolling SGD: Understanding Factors Influencing Machine Unlearning", EuroS&P 2022,
arXiv 2109.13398.
Needs: forget data. Costs: `epochs` passes over it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class GradientAscent(Method):
    """Ascend on the forget set.

    Args:
        epochs: passes over the forget data.
        optimizer: fresh, with its learning rate: the knob on which all depends.
        loss_cap: examples with a loss above it are left alone; None, as published, for no cap.
    """

    epochs: int = 10
    optimizer: Optimizer = Optimizer("sgd", 1e-3)
    loss_cap: float | None = 3.0

    needs_retain: ClassVar[bool] = False

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            return {"forget": -capped(task.losses(task.outputs(model, batch), batch), self.loss_cap)}

        return engine.fit(student, loss, split.forget, epochs=self.epochs, optimizer=self.optimizer)


def capped(losses: Tensor, cap: float | None) -> Tensor:
    """Losses with no gradient where they are above `cap`: a reversed loss needs a floor to land on."""
    return losses if cap is None else losses.clamp(max=cap)
