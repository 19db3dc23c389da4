"""Torch tasks: models that the engine trains, one for each subset.

Needs: a task whose batches are pairs of inputs and targets, as those of classifiers and of regressors are.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.valuation.learner import Ask, Learner
from expunge.valuation.points import Array, Points

_TOGETHER = 1_024  # inputs that are asked about at a time


class Trainable(Protocol):
    """What of a task is needed."""

    def new_model(self) -> nn.Module: ...

    def outputs(self, model: nn.Module, batch: Any) -> Tensor: ...

    def losses(self, outputs: Tensor, batch: Any) -> Tensor: ...


@dataclass(frozen=True)
class TorchTask(Learner):
    """Trains a task's model on each subset, by the same recipe and from the same weights.

    Args:
        task: gives the model and its loss; its outputs are logits of classes, or a real number for each example.
        epochs: over the subset.
        optimizer: at a rate that falls along a cosine.
        batch_size: examples in each step.
        seed: of weights and of the order of examples.
        device: where.
    """

    task: Trainable
    epochs: int = 10
    optimizer: Optimizer = Optimizer("adam", 2e-3)
    batch_size: int = 64
    seed: int = 0
    device: Any = "cpu"

    together: ClassVar[int] = 4

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise BadSetting("torch task: epochs and batch_size must be at least 1")

    def train(self, points: Points, masks: Array) -> Ask:
        inputs, targets = _tensors(points)
        models = [self._trained(inputs[mask], targets[mask]) for mask in torch.from_numpy(masks)]
        classes = len(points.classes)
        return lambda asked: np.stack([self._answers(model, asked, classes) for model in models])

    def _trained(self, inputs: Tensor, targets: Tensor) -> nn.Module:
        engine = Engine(self.seed, self.device, progress=False)
        batches = Batches(TensorDataset(inputs, targets), self.batch_size)

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return self.task.losses(self.task.outputs(model, batch), batch)

        model = engine.new_model(self.task.new_model)
        return engine.fit(model, loss, batches, epochs=self.epochs, optimizer=self.optimizer, schedule="cosine").eval()

    def _answers(self, model: nn.Module, asked: Array, classes: int) -> Array:
        inputs = torch.as_tensor(asked, dtype=torch.float32)
        device = next(model.parameters()).device
        with torch.no_grad(), evaluating(model):
            parts = [self.task.outputs(model, _asked(part.to(device), classes)).cpu() for part in inputs.split(_TOGETHER)]
        outputs = torch.cat(parts)
        found: Array = (outputs.softmax(1) if classes else outputs.flatten()).double().numpy()
        return found


def _asked(inputs: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """A batch whose targets say nothing."""
    return inputs, torch.zeros(len(inputs), *([] if classes else [1]), dtype=torch.long if classes else torch.float32)


def _tensors(points: Points) -> tuple[Tensor, Tensor]:
    targets = torch.as_tensor(points.targets)
    return torch.as_tensor(points.inputs, dtype=torch.float32), targets if len(points.classes) else targets.float()[:, None]
