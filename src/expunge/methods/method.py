"""What every unlearning method is: a frozen dataclass of hyper-parameters, called on a trained model."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, WrongTask
from expunge.registry import Registered
from expunge.split import Split, is_empty
from expunge.storage import copied
from expunge.tasks import Task


@dataclass(frozen=True)
class Method(Registered, ABC):
    """Takes a trained model and returns a new one that has forgotten. Never changes the model that it is given.

    A subclass defines :meth:`unlearn`, names the tasks it works on in `takes` when it needs more than a Task promises, the kind
    of split in `splits` when it needs to be told more than what goes and what stays, and sets `needs_retain` to False when it
    never looks at the retained data. `epochs=0` returns a copy of the original.
    """

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (Task,)
    splits: ClassVar[type[Split]] = Split  # the kind of request that it serves
    needs_retain: ClassVar[bool] = True
    adapter: ClassVar[bool] = False  # the result holds more than the model did, so that its keys and shapes are others
    why_not: ClassVar[str] = ""  # why it does not work on other tasks, and what does
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # a job file with an unknown field is refused

    def __post_init__(self) -> None:
        epochs = getattr(self, "epochs", 0)
        self.require(epochs >= 0, f"epochs must be 0 or more, not {epochs}")

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """Forget `split.forget`.

        Args:
            model: the trained model; it is left as it is, in weights and in mode.
            task: how the model is read.
            split: what must go and what stays.
            engine: trains, and owns all randomness.

        Returns:
            a model with the same keys and shapes (unless the method is an `adapter`), in evaluation mode, on the engine's
            device.

        Raises:
            WrongTask: if the method does not work on this kind of task, or of request.
            BadRequest: if there is nothing to forget, or nothing to retain where that is needed.
            Diverged: if training produces a loss that is not finite.
        """
        self.check(task, split)
        if is_empty(split.forget):
            raise BadRequest(f"{self.name}: the forget stream is empty, there is nothing to forget")
        if self.needs_retain and is_empty(split.retain):
            raise BadRequest(f"{self.name}: the retain stream is empty, and this method needs data that stays")
        with engine.scope(self.name, repr(self)), engine.seeded("method"):
            forgotten = self.unlearn(self.working_copy(model).to(engine.device), task, split, engine)
        return forgotten.eval()

    def check(self, task: Task[Any], split: Split) -> None:
        """Refuse a task, or a kind of request, that the method does not work on.

        Raises:
            WrongTask: saying what it works on, and what to take instead.
        """
        reason = f": {self.why_not}" if self.why_not else ""
        if not isinstance(task, self.takes):
            wanted = " or ".join(kind.__name__ for kind in self.takes)
            raise WrongTask(f"{self.name} works on {wanted}, not on {type(task).__name__}{reason}")
        if not isinstance(split, self.splits):
            raise WrongTask(f"{self.name} serves a {self.splits.__name__}, not a {type(split).__name__}{reason}")

    def working_copy(self, model: nn.Module) -> nn.Module:
        """What :meth:`unlearn` works on, which leaves `model` alone."""
        return copy.deepcopy(model)

    def like(self, model: nn.Module) -> nn.Module | None:
        """A model with the keys and shapes of the result; None where these are not known before."""
        return None if self.adapter else model

    @abstractmethod
    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """The method itself. `student` is a copy that may be changed; what is returned is the result."""

    def require(self, condition: bool, message: str) -> None:
        """Refuse hyper-parameters that make no sense; called from `__post_init__`."""
        if not condition:
            raise BadSetting(f"{self.name}: {message}")


def frozen(model: nn.Module) -> nn.Module:
    """A copy of `model` to be listened to: evaluation mode, no gradients."""
    return copied(model).eval().requires_grad_(False)
