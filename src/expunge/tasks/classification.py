"""Classification: one of C classes for each input."""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.losses import kl_divergence
from expunge.tasks.embedding import embedding
from expunge.tasks.task import Task

ClassBatch = tuple[Tensor, Tensor]


class ClassificationTask(Task[ClassBatch]):
    """Batches are pairs `(inputs (n, ...), labels (n,) of int64)`; the model maps inputs to logits `(n, classes)`.

    Args:
        factory: builds the architecture with fresh weights, without arguments.
        classes: number of classes C, at least 2.
        class_names: what to call them in reports; their numbers when None.
        feature_layer: name of the module whose output is the embedding; the input of the last `nn.Linear` when None.

    >>> task = ClassificationTask(lambda: nn.Linear(4, 3), classes=3)
    >>> task.losses(torch.zeros(2, 3), (torch.zeros(2, 4), torch.tensor([0, 2]))).round(decimals=4)
    tensor([1.0986, 1.0986])
    """

    score_name: ClassVar[str] = "accuracy"
    loss_unit: ClassVar[str] = "nats"

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        classes: int,
        class_names: tuple[str, ...] | None = None,
        feature_layer: str | None = None,
    ) -> None:
        if classes < 2:
            raise BadSetting(f"classification needs at least 2 classes, not {classes}")
        if class_names is not None and len(class_names) != classes:
            raise BadSetting(f"{len(class_names)} class names were given for {classes} classes")
        self.factory, self.classes, self.feature_layer = factory, classes, feature_layer
        self.class_names = class_names or tuple(str(index) for index in range(classes))

    def new_model(self) -> nn.Module:
        return self.factory()

    def outputs(self, model: nn.Module, batch: ClassBatch) -> Tensor:
        """Logits, shape (n, classes)."""
        return model(batch[0])

    def features(self, model: nn.Module, batch: ClassBatch) -> Tensor:
        """Embedding, shape (n, d), taken by a hook; the model is left as it was."""
        return embedding(model, lambda: self.outputs(model, batch), self.feature_layer)

    def losses(self, outputs: Tensor, batch: ClassBatch) -> Tensor:
        """Cross-entropy in nats, shape (n,)."""
        return F.cross_entropy(outputs, batch[1], reduction="none")

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(teacher || student) in nats times T^2, shape (n,)."""
        return kl_divergence(student, teacher, temperature)

    def scores(self, outputs: Tensor, batch: ClassBatch) -> Tensor:
        """1 where the largest logit is the label's, else 0: shape (n,)."""
        return (outputs.argmax(-1) == batch[1]).float()

    def groups(self, batch: ClassBatch) -> Tensor:
        """The labels, shape (n,): a class is as hard as it is."""
        return batch[1]

    def group_name(self, group: int) -> str:
        return self.class_names[group]

    def other_labels(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """For each label another one, drawn evenly from the C - 1 wrong classes: shape (n,)."""
        shift = torch.randint(1, self.classes, labels.shape, generator=generator).to(labels.device)
        return (labels + shift) % self.classes
