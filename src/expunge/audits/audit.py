"""What every audit is: a question put to one model, answered in figures that stand beside their ideal."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.registry import Registered
from expunge.split import Split, Stream, one_epoch
from expunge.tasks import Task

Part = Literal["forget", "retain", "holdout", "holdout_forget"]
PARTS: tuple[Part, ...] = ("forget", "retain", "holdout", "holdout_forget")


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Args:
        value: what was measured; None when it is not defined here (`note` says why).
        ideal: what a model that never saw the data would show; None when no retrained model was given to tell.
        interval: 95 % confidence interval of `value`, where there is one.
        note: what a reader must know to read the figure.
    """

    value: float | None
    ideal: float | None
    interval: tuple[float, float] | None = None
    note: str = ""


class Subject:
    """A model under audit: what it says on each part of a split, computed once and kept.

    Args:
        model: the model, which audits never change.
        seconds: how long it took to make, where that is known.
        history: the engine's history of making it.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        task: Task[Any],
        split: Split,
        engine: Engine,
        seconds: float | None = None,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.name, self.model, self.task, self.split, self.engine = name, model, task, split, engine
        self.seconds, self.history = seconds, tuple(history)
        self.memory: dict[Any, Any] = {}  # what audits computed of this subject, for others to use

    def stream(self, part: Part) -> Stream:
        """The part's batches; empty where the split has no such part."""
        stream: Stream | None = getattr(self.split, part)
        return () if stream is None else stream

    def batches(self, part: Part) -> Iterator[Any]:
        """The part's batches in the order in which everything of it is read, the same for every model."""
        return _in_fixed_order(self.stream(part), self.engine)

    def outputs(self, part: Part) -> Tensor:
        """Outputs on all examples of a part, shape (n, ...), on the CPU, in the stream's order.

        Raises:
            BadSetting: if the task's outputs are too many to keep.
        """
        if not self.task.keeps_outputs:
            raise BadSetting(
                f"outputs of {type(self.task).__name__} on a whole data set are too many to keep; read what is wanted of them "
                "batch by batch with task.collect"
            )
        return self._read(part)[0]

    def losses(self, part: Part) -> Tensor:
        """Loss of each example of a part, shape (n,)."""
        return self._read(part)[1]

    def scores(self, part: Part) -> Tensor:
        """Score of each example of a part, shape (n,)."""
        return self._read(part)[2]

    def groups(self, part: Part) -> Tensor:
        """Group of each example of a part, shape (n,)."""
        return self._read(part)[3]

    def targets(self, part: Part) -> Tensor:
        """Second entry of each batch of a part, as float, shape (n, d); for tasks whose batches are (inputs, targets)."""
        key = ("targets", part)
        if key not in self.memory:
            found = [batch[1].cpu() for batch in self.batches(part)]
            self.memory[key] = torch.cat([each.reshape(len(each), -1).float() for each in found]) if found else torch.empty(0)
        return self.memory[key]

    def unseen_part(self) -> Part:
        """The part with unseen examples that are like those to forget."""
        return "holdout" if self.split.holdout_forget is None else "holdout_forget"

    def _read(self, part: Part) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if ("read", part) not in self.memory:
            task, rest = self.task, list[tuple[Tensor, Tensor, Tensor]]()

            def read(outputs: Tensor, batch: Any) -> Tensor:
                values = task.losses(outputs, batch), task.scores(outputs, batch), task.groups(batch)
                rest.append(tuple(value.cpu() for value in values))  # type: ignore[arg-type]
                return outputs if task.keeps_outputs else outputs.new_empty(len(outputs), 0)

            outputs = task.collect(self.model, self.batches(part), read)
            columns = [torch.cat(column) for column in zip(*rest, strict=True)] if rest else [torch.empty(0)] * 3
            self.memory["read", part] = (outputs, *columns)
        return self.memory["read", part]


def _in_fixed_order(stream: Stream, engine: Engine) -> Iterator[Any]:
    """The same order for every model, also where a foreign stream shuffles itself; ours do so for training alone."""
    ours = hasattr(stream, "epoch")
    return iter(stream) if ours else one_epoch(stream, torch.Generator().manual_seed(engine.seed))


@dataclass(frozen=True)
class References:
    """What a subject is held against: the model before, and models that never saw the data (the first is the gold).

    `train` trains a fresh model on a stream by the original's recipe, for audits that need models of their own.
    """

    original: Subject | None = None
    retrained: tuple[Subject, ...] = ()
    train: Callable[[Task[Any], Stream, Engine], nn.Module] | None = None

    @property
    def gold(self) -> Subject | None:
        """The first retrained model."""
        return self.retrained[0] if self.retrained else None


@dataclass(frozen=True)
class Audit(Registered, ABC):
    """Asks a model whether it still knows. Fields are settings; calling it gives figures by name, never a bare boolean."""

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (Task,)
    splits: ClassVar[type[Split]] = Split  # the kind of request that it has figures of; none of others
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    figures: ClassVar[Mapping[str, str]]  # what each figure is and which value is ideal, a sentence each

    def __call__(self, subject: Subject, references: References = References()) -> dict[str, Figure]:
        """Examine `subject`.

        Raises:
            WrongTask: if the audit does not work on this kind of task.
        """
        if not isinstance(subject.task, self.takes):
            wanted = " or ".join(kind.__name__ for kind in self.takes)
            raise WrongTask(f"the audit {self.name} works on {wanted}, not on {type(subject.task).__name__}")
        with subject.engine.scope(f"audit-{self.name}"):
            return self.examine(subject, references)

    @abstractmethod
    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        """The audit itself."""
