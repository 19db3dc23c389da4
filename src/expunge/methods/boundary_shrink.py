"""Boundary shrink: give each forgotten example to the class across its nearest boundary.

    x'  =  x + step * sign( grad_x CE(x, y; theta_o) )
    y'  =  argmax_{c != y} theta_o(x')_c
    min  mean_{x in forget} CE(x, y'; theta),     from the trained weights theta_o

One step of the fast gradient sign method crosses, or nears, the boundary of the trained model; the class found there is the
wrong answer that costs the model least to give. The labels are found once and kept for all epochs. Nothing holds the other
answers but that the change is small: too many steps, or too large ones, damage them.

Of a graph, the features of all nodes are moved.

Reference: M. Chen, W. Gao, G. Liu, K. Peng, C. Wang. "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the
Decision Boundary", CVPR 2023, arXiv 2303.11570. There y' may be y itself where the step does not reach the boundary.
Needs: forget data whose inputs are real numbers; they are held in memory. Costs: one gradient over the forget set, and `epochs`
passes over it.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest
from expunge.methods.method import Method
from expunge.modes import evaluating
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Batches, Split, Stream, one_epoch
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class BoundaryShrink(Method):
    """Fine-tune on what goes, with the nearest wrong class as its label.

    Args:
        step: of the inputs towards the boundary, in each coordinate, 0 or more; 0.1 is published, for pixels between 0 and 1.
            At 0 the label is the model's second choice.
        epochs: passes over the forget data; as published, 10.
        optimizer: fresh, with its learning rate, on which all depends. Published is SGD with momentum 0.9 at 1e-5.
        schedule: of the learning rate.
    """

    step: float = 0.1
    epochs: int = 10
    optimizer: Optimizer = Optimizer("sgd", 3e-4, momentum=0.9)
    schedule: Schedule = "constant"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it needs classes with boundaries between them; gradient-ascent pushes any other answer away"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.step >= 0, f"step must be 0 or more, not {self.step}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        assert isinstance(task, ClassificationTask)
        return engine.fit(
            student,
            lambda model, batch: {"forget": task.losses(task.outputs(model, batch), batch)},
            across_the_boundary(student, task, split.forget, self.step, engine),
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
        )


def across_the_boundary(model: nn.Module, task: ClassificationTask, forget: Any, step: float, engine: Engine) -> Stream:
    """The forget set in memory, each example with the nearest wrong class as its label."""
    batches = list(one_epoch(forget, engine.generator("relabel", "order")))
    found = [nearest_wrong(model, task, on_device_of(model, batch), step).cpu() for batch in batches]
    if hasattr(batches[0], "_replace"):  # a batch that holds more than inputs and labels keeps the rest
        return [batch._replace(labels=wrong) for batch, wrong in zip(batches, found, strict=True)]
    inputs = torch.cat([batch[0] for batch in batches])
    return Batches(TensorDataset(inputs, torch.cat(found)), batch_size=max(map(len, found)))


def nearest_wrong(model: nn.Module, task: ClassificationTask, batch: Any, step: float) -> Tensor:
    """The likeliest class but the true one, after a step of the inputs that makes the true one less likely: shape (n,)."""
    with evaluating(model):
        inputs = inputs_of(batch).detach().clone()
        if not inputs.is_floating_point():
            raise BadRequest(f"boundary-shrink moves inputs along a gradient, and these are {inputs.dtype}, not real numbers")
        inputs.requires_grad_(True)
        placed = with_inputs(batch, inputs)
        (slope,) = torch.autograd.grad(task.losses(task.outputs(model, placed), placed).sum(), inputs)
        with torch.no_grad():
            logits = task.outputs(model, with_inputs(batch, inputs + step * slope.sign()))
    return logits.scatter(1, labels_of(batch).unsqueeze(1), -torch.inf).argmax(1)


def inputs_of(batch: Any) -> Tensor:
    """What a classifier reads: the inputs of a batch, or the features of its graph."""
    return batch.graph.x if hasattr(batch, "graph") else batch[0]


def labels_of(batch: Any) -> Tensor:
    """The classes of a batch, shape (n,)."""
    return batch.labels if hasattr(batch, "labels") else batch[1]


def with_inputs(batch: Any, inputs: Tensor) -> Any:
    """The same batch with other inputs."""
    if hasattr(batch, "graph"):
        return batch.on(replace(batch.graph, features=inputs))
    return (inputs, *batch[1:])
