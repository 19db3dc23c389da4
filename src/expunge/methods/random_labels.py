"""Random labels (Amnesiac fine-tuning): teach a wrong answer for everything that must go.

    min  (1 - w) * mean_{retain} CE(x, y; theta) + w * mean_{forget} CE(x, y'; theta),     y' ~ Uniform(classes without y)

The wrong labels are drawn once and kept for all epochs.

Reference: L. Graves, V. Nagisetty, V. Ganesh. "Amnesiac Machine Learning", AAAI 2021, arXiv 2010.10981.
Needs: forget and retain data; the forget set is held in memory. Costs: `epochs` passes over the forget data, with as many
retain batches.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, Loss
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Batches, Pair, Split, Stream, one_epoch, paired
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class RandomLabels(Method):
    """Fine-tune with wrong labels on what goes and true labels on what stays.

    Args:
        forget_weight: w, share of the forget term, between 0 and 1.
        epochs: passes over the stream named by `epoch_of`.
        epoch_of: "forget" or "retain", see :func:`expunge.split.paired`.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    forget_weight: float = 0.05
    epochs: int = 8
    epoch_of: Literal["forget", "retain"] = "forget"
    optimizer: Optimizer = Optimizer("adam", 2e-3)
    schedule: Schedule = "cosine"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    why_not: ClassVar[str] = (
        "it needs wrong classes to teach; gaussian-amnesiac does the same for real numbers, amun for choices"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.forget_weight <= 1, f"forget_weight must lie between 0 and 1, not {self.forget_weight}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, ClassificationTask)
        stream = paired(relabelled(task, split.forget, engine), split.retain, self.epoch_of)
        loss = wrong_and_right(task, self.forget_weight)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)


def relabelled(task: ClassificationTask, forget: Any, engine: Engine) -> Stream:
    """The forget set in memory, each example with one wrong label that stays with it."""
    batches = list(one_epoch(forget, engine.generator("relabel", "order")))
    if hasattr(batches[0], "_replace"):  # a batch that holds more than inputs and labels keeps the rest
        generator = engine.generator("relabel", "labels")
        return [batch._replace(labels=task.other_labels(batch.labels, generator)) for batch in batches]
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    wrong = task.other_labels(labels, engine.generator("relabel", "labels"))
    return Batches(TensorDataset(inputs, wrong), batch_size=max(len(batch[1]) for batch in batches))


def wrong_and_right(task: Task[Any], forget_weight: float) -> Loss:
    """The task's loss on relabelled forget batches and on retain batches, weighed."""

    def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
        return {
            "retain": (1 - forget_weight) * task.losses(task.outputs(model, pair.retain), pair.retain),
            "forget": forget_weight * task.losses(task.outputs(model, pair.forget), pair.forget),
        }

    return loss
