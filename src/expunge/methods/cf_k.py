"""CF-k: fine-tune the last k layers on what stays, and leave all before them as they were.

    min  mean_{x in retain} loss(x; theta_front, theta_last),     over theta_last alone, from the trained weights

theta_last are the weights of the last k layers. Where k reaches over the whole network it is `finetune`. What the front of the
network knows of the data that goes stays there: it is a baseline that only the answers of the model are likely to satisfy.

A layer is a module that has trainable parameters of its own, normalisation included, in the order in which the network lists
its modules. What comes before the first trained layer is in evaluation mode: batch statistics stay as they are, and nothing
is dropped.

Reference: S. Goel, A. Prabhu, A. Sanyal, S.-N. Lim, P. Torr, P. Kumaraguru. "Towards Adversarial Evaluations for Inexact
Machine Unlearning", arXiv 2201.06640 (as the baseline "CF-k", catastrophic forgetting).
Needs: retain data. Costs: `epochs` passes over it, with a backward pass through k layers.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split, Stream
from expunge.tasks import Task


@dataclass(frozen=True)
class CFK(Method):
    """Fine-tune the end of the network on the retained data.

    Args:
        k: layers that are trained, counted from the end, at least 1; all where there are fewer.
        epochs: passes over the retained data.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    k: int = 1
    epochs: int = 5
    optimizer: Optimizer = Optimizer("adam", 4e-3)
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.k >= 1, f"k must be at least 1, not {self.k}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        return fit_last(
            student, self.k, task, split.retain, engine, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule
        )


def layers(model: nn.Module) -> list[nn.Module]:
    """The modules that have trainable parameters of their own, in the order in which the model lists them.

    >>> [type(layer).__name__ for layer in layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3)))]
    ['Linear', 'BatchNorm1d']
    """
    return [module for module in model.modules() if any(own.requires_grad for own in module.parameters(recurse=False))]


def fit_last(model: nn.Module, k: int, task: Task[Any], stream: Stream, engine: Engine, **training: Any) -> nn.Module:
    """Train the last k layers of `model` in place; which parameters are trainable is afterwards as it was.

    Args:
        training: how, as for :meth:`~expunge.engine.Engine.fit`.
    """
    every = layers(model)
    trained = every[-k:]
    own = {parameter for layer in trained for parameter in layer.parameters(recurse=False)}
    held = [value for value in model.parameters() if value.requires_grad and value not in own]
    still = _before(model, trained) if len(trained) < len(every) else []

    def loss(wrapped: nn.Module, batch: Any) -> dict[str, Tensor]:
        for module in still:
            module.training = False
        return {"retain": task.losses(task.outputs(wrapped, batch), batch)}

    for value in held:
        value.requires_grad_(False)
    try:
        return engine.fit(model, loss, stream, **training)
    finally:
        for value in held:
            value.requires_grad_(True)


def _before(model: nn.Module, trained: list[nn.Module]) -> list[nn.Module]:
    """The modules listed before the first trained one that hold none of those trained."""
    modules = list(model.modules())
    return [each for each in modules[: modules.index(trained[0])] if not any(part in trained for part in each.modules())]
