"""What every continual learner is: settings, and what it makes of the one state that it keeps between requests.

A learner is a frozen dataclass of hyper-parameters, as a method is. All that it knows is in a :class:`Pupil`, a module: its
network, its memory, and whatever else one learner needs. So a state is written, read and hashed as weights are, and a learner
that is killed goes on as any training does.

All outputs of the network are there from the start. In the class-incremental protocol the answer is the largest of all of them;
in the task-incremental one the task is told, and only outputs of its classes count, in training too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask

Incremental = Literal["class", "task"]
FAR = -1e4  # added to the logit of a class that does not count: no probability is left, and gradients stay finite


class Unlearner(Protocol):
    """An unlearning method, such as any of :mod:`expunge.methods`."""

    def __call__(self, model: nn.Module, task: Any, split: Split, engine: Engine) -> nn.Module:
        """A model that has forgotten `split.forget`."""
        ...


class Pupil(nn.Module):
    """All that a learner keeps between requests.

    Args:
        student: the network that learns.
        memory: samples that are replayed.
        classes: outputs of the network.

    Attributes:
        known: which classes something is left of, shape (classes,).
        together: for each class, which ones were learned in one task with it: shape (classes, classes). Where tasks share
            classes, all classes of those tasks count for the shared ones.
    """

    def __init__(self, student: nn.Module, memory: ReplayBuffer, classes: int) -> None:
        super().__init__()
        self.student, self.memory = student, memory
        self.known: Tensor
        self.together: Tensor
        self.register_buffer("known", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("together", torch.eye(classes, dtype=torch.bool))

    def note(self, lesson: Lesson) -> None:
        """Take down which classes are there once a request is served."""
        if lesson.kind == "learn":
            classes = lesson.classes.to(self.known.device)
            self.known[classes] = True
            self.together[classes[:, None], classes[None, :]] = True
        else:
            gone = lesson.gone.to(self.known.device)
            self.known[gone] = False
            self.together[gone] = self.together[:, gone] = False
            self.together[gone, gone] = True


@dataclass(frozen=True)
class ContinualLearner(ABC):
    """Serves requests one by one. A subclass says how it learns and how it forgets.

    Args:
        epochs: passes over the data of a request.
        batch_size: of what is learned or forgotten.
        replayed: samples from memory beside each batch.
        optimizer: fresh for each request.
        incremental: "class" where the task of an input is not known, "task" where it is told.
        repeats: how often the passes of a request to forget are repeated at most, as long as more than `tolerance` of what goes
            is still answered with classes that are gone. Learners that forget by passes of their own heed it.
        tolerance: share of what goes.
    """

    epochs: int = 3
    batch_size: int = 32
    replayed: int = 32
    optimizer: Optimizer = Optimizer("sgd", 0.05)
    incremental: Incremental = "class"
    repeats: int = 4
    tolerance: float = 0.005

    keeps_logits: ClassVar[bool] = False  # whether outputs are kept beside each sample in memory

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("replayed", 0), ("repeats", 0)):
            self.require(getattr(self, name) >= least, f"{name} must be at least {least}, not {getattr(self, name)}")
        self.require(self.incremental in ("class", "task"), f"incremental is 'class' or 'task', not {self.incremental!r}")
        self.require(0 <= self.tolerance <= 1, f"tolerance must lie between 0 and 1, not {self.tolerance}")

    def begin(self, task: ClassificationTask, engine: Engine, memory: ReplayBuffer) -> Pupil:
        """The state before the first request."""
        return Pupil(engine.new_model(task.new_model, "student"), memory.to(engine.device), task.classes)

    def serve(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> Pupil:
        """The state after a request; the one that is given may be changed.

        Raises:
            Diverged: if training produces a loss that is not finite.
        """
        with engine.scope(scope_of(lesson), repr(self)), engine.seeded("request"):
            if lesson.kind == "learn":
                pupil.note(lesson)
                self.learn(pupil, lesson, task, engine)
                self.remember(pupil, lesson, task, engine)
            else:
                self.release(pupil, lesson)
                pupil.note(lesson)
                self.unlearn(pupil, lesson, task, engine)
        return pupil.eval()

    @abstractmethod
    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        """Learn the data of a request; it is in memory only afterwards."""

    @abstractmethod
    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        """Forget the data of a request, which is no longer in memory."""

    def deployed(self, pupil: Pupil) -> nn.Module:
        """The network that answers."""
        return pupil.student

    def remember(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        """Offer what was just learned to memory, in a random order."""
        order = torch.randperm(len(lesson.ids))
        for rows, (inputs, labels) in zip(order.split(256), in_memory(lesson.data, order), strict=True):
            logits = task.collect(pupil.student, [(inputs, labels)]) if self.keeps_logits else None
            pupil.memory.add(inputs, labels, lesson.ids[rows], logits)

    def release(self, pupil: Pupil, lesson: Lesson) -> None:
        """Delete what goes from memory."""
        pupil.memory.forget(lesson.ids)

    # ---- what subclasses build on ---------------------------------------------------------------------------------

    def counted(self, logits: Tensor, labels: Tensor, pupil: Pupil) -> Tensor:
        """Logits with those of classes that don't count for a sample far below all others: shape (n, classes)."""
        return logits if self.incremental == "class" else logits + FAR * (~pupil.together[labels])

    def cross_entropy(self, logits: Tensor, labels: Tensor, pupil: Pupil) -> Tensor:
        """In nats, of the classes that count: shape (n,)."""
        return F.cross_entropy(self.counted(logits, labels, pupil), labels, reduction="none")

    def fit(
        self,
        pupil: Pupil,
        loss: Callable[[Any, Any], dict[str, Tensor]],
        lesson: Lesson,
        engine: Engine,
        name: str,
        optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
    ) -> None:
        """Train on the data of a request by a loss of pupil and batch; `name` is that of the fit."""
        batches = Batches(lesson.data, self.batch_size)
        engine.fit(pupil, loss, batches, epochs=self.epochs, optimizer=optimizer or self.optimizer, name=name)
        pupil.eval()

    def until_gone(self, once: Callable[[str], None], pupil: Pupil, lesson: Lesson, task: ClassificationTask) -> None:
        """Call `once` with the name of a fit, and again while too much of what goes is answered with classes that are gone."""
        for turn in range(1 + self.repeats):
            once(f"unlearn-{turn + 1}")
            if still_answered(self.deployed(pupil), lesson, task) <= self.tolerance:
                return

    def require(self, condition: bool, message: str) -> None:
        """Refuse hyper-parameters that make no sense."""
        if not condition:
            raise BadSetting(f"{type(self).__name__}: {message}")


def scope_of(lesson: Lesson) -> str:
    """The name under which the fits of a request are kept until it is served."""
    return f"{lesson.place + 1}-{lesson.title.replace('/', '·')}"  # it becomes a folder


def still_answered(network: nn.Module, lesson: Lesson, task: ClassificationTask) -> float:
    """The share of what goes that is answered with a class that is gone."""
    if not len(lesson.gone):
        return 0.0
    said = task.collect(network, Batches(lesson.data, 256)).argmax(1)
    return float(torch.isin(said, lesson.gone).double().mean())


def in_memory(data: Any, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and labels of a dataset in batches of 256, in some order, each row read once."""
    return ((batch[0], batch[1]) for batch in Batches(data, 256, order.tolist()))
