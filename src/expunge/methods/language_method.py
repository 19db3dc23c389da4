"""What methods on language models have in common: they train beside the model, on what goes and what stays in turn.

    min  forget(theta) + retain_weight * retain(theta),     retain = mean over what stays of its loss

Reference model: the one that was handed in, which is the same weights with the adapter switched off.
"""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.language.adapters import LoRA, switched_off
from expunge.language.fact_split import FactSplit
from expunge.methods.method import Method, frozen
from expunge.modes import evaluating
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Batches, Pair, Split, paired
from expunge.tasks import LanguageTask, Task

T = TypeVar("T")


class Reference:
    """The model before. With an adapter it is the student with that switched off, without one a copy."""

    def __init__(self, student: nn.Module, lora: LoRA | None) -> None:
        self._model = frozen(student) if lora is None else student
        self._off: Callable[[Any], AbstractContextManager[Any]] = nullcontext if lora is None else switched_off

    def ask(self, read: Callable[[nn.Module], T]) -> T:
        """What `read` gives of the model before, without gradients and in evaluation mode."""
        with torch.no_grad(), evaluating(self._model), self._off(self._model):
            return read(self._model)


@dataclass(frozen=True)
class LanguageMethod(Method):
    """Train on batches of what goes, each with one of what stays.

    Args:
        epochs: passes over what goes.
        batch_size: questions that go, in a batch.
        retain_batch_size: questions that stay, beside them.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
        retain_weight: of the loss on what stays.
        lora: the adapter that learns; None to train all weights, which takes a second copy of them.
    """

    epochs: int = 20
    batch_size: int = 16
    retain_batch_size: int = 24
    optimizer: Optimizer = Optimizer("adamw", 1e-3)
    schedule: Schedule = "constant"
    retain_weight: float = 1.0
    lora: LoRA | None = LoRA()

    takes = (LanguageTask,)
    why_not: ClassVar[str] = "it is about the answers of language models"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "retain_batch_size"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        self.require(self.retain_weight >= 0, f"retain_weight must be 0 or more, not {self.retain_weight}")

    def working_copy(self, model: nn.Module) -> nn.Module:
        return super().working_copy(model) if self.lora is None else self.lora.attach(model)

    def like(self, model: nn.Module) -> nn.Module | None:
        return model if self.lora is None else self.lora.attach(model)

    @abstractmethod
    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """The loss of each example that must go, shape (n,)."""

    def retain_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """The loss of each example that stays, shape (n,): that of training."""
        return task.losses(task.outputs(model, batch), batch)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask)
        reference = Reference(student, self.lora)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            terms = {"forget": self.forget_losses(model, pair.forget, task, reference)}
            if self.retain_weight:
                terms["retain"] = self.retain_weight * self.retain_losses(model, pair.retain, task, reference)
            return terms

        stream = paired(sized(split.forget, self.batch_size), self.replay(split), "forget")
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)

    def replay(self, split: Split) -> Any:
        """What stays, to train on: of facts as many that are near what goes as far from it."""
        stays = split.replay if isinstance(split, FactSplit) and split.replay else split.retain
        return sized(stays, self.retain_batch_size)


def sized(stream: Any, batch_size: int) -> Any:
    """A stream in batches of another size, where its batches can be made anew."""
    return stream.with_batch_size(batch_size) if isinstance(stream, Batches) else stream
