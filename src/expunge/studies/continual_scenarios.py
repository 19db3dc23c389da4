"""What the continual study compares: streams of requests, and the learners that serve them.

Which samples there are, and which of them go where single ones do, is drawn anew for each seed. Every learner has the same
bytes of memory: one that keeps logits has fewer samples. All are held against UniCLUN that never learned what goes.

Settings were chosen on the draw of seed 100, from the same images that the study's seeds draw from: of UniCLUN what differs
from the paper, of rivals the weights and rate of DER++ (0.1 to 1, 0.01 to 0.05), the rate of ER, alpha of SSD, length, rate and
cap of SCRUB, and two other settings of Bad Teacher, which were no better than its own. EWC from 0.1 to 100 and LwF from 1 to 3
forget all earlier tasks alike where the task is not told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.audits import Accuracy, Audit, Membership, Probe, Relapse, Relearning, RunTime
from expunge.continual import (
    CLPU,
    ContinualLearner,
    Joint,
    LwF,
    OnlineEWC,
    Rehearsal,
    ReplayBuffer,
    RequestStream,
    UniCLUN,
    run,
)
from expunge.continual.stream_split import StreamSplit, as_split
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import SCRUB, SSD, BadTeacher
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split, Stream, stream_digest
from expunge.studies.comparison import ORIGINAL, Comparison, compare
from expunge.tasks import ClassificationTask, Task

Serves = Literal["requests", "never learned", "nothing forgotten"]
AUDITS: tuple[Audit, ...] = (Accuracy(), Relapse(), Membership(), Probe(), Relearning(), RunTime())


@dataclass(frozen=True)
class Serving:
    """A learner that serves a whole stream, in the place of a method.

    Args:
        learner: from its first request on.
        memory: how many samples with logits take the bytes of its memory; None for one that holds everything.
        what: all "requests"; those of a stream in which what is forgotten was "never learned"; or all, with "nothing
            forgotten".
    """

    learner: ContinualLearner
    memory: int | None
    what: Serves = "requests"

    def like(self, model: nn.Module) -> nn.Module | None:
        """The task's network; None where what answers is another one."""
        return None if isinstance(self.learner, CLPU) else model

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """The network that answers after the last request; `model` has no part in it."""
        assert isinstance(split, StreamSplit) and isinstance(task, ClassificationTask)
        requests = split.requests
        if self.what == "never learned":
            requests = requests.never_learned()
        elif self.what == "nothing forgotten":
            requests = requests.without_forgetting()
        return run(self.learner, requests, task, engine, self._memory(requests, task), split.tests).model

    def _memory(self, requests: RequestStream, task: ClassificationTask) -> ReplayBuffer:
        inputs = requests[0].data[0][0]
        shape, dtype, logits = tuple(inputs.shape), inputs.dtype, task.classes if self.learner.keeps_logits else 0
        if self.memory is None:
            everything = sum(len(lesson.ids) for lesson in requests if lesson.kind == "learn")
            return ReplayBuffer(everything, shape, logits, dtype)
        return ReplayBuffer.of_bytes(ReplayBuffer(self.memory, shape, task.classes, dtype).bytes, shape, logits, dtype)


@dataclass(frozen=True, eq=False)
class ContinualScenario:
    """One stream of requests.

    Args:
        title: names the case in reports, and its folder.
        task: how the networks are read.
        train, holdout: what tasks are made of, and what nobody learns.
        requests: in words, see :meth:`~expunge.continual.RequestStream.of`.
        tasks: how many tasks the classes are dealt out to, in their order.
        memory: how many samples with logits take the bytes of everybody's memory.
        samples: of each class, for learning and for tests; all where there are fewer.
        learners: by the name of their row.
        reference: the learner that makes the original, and the models that never learned what goes; the first of `learners`
            when None.
    """

    title: str
    task: ClassificationTask
    train: TensorDataset
    holdout: TensorDataset
    requests: str
    tasks: int = 5
    memory: int = 200
    samples: tuple[int, int] = (1_500, 500)
    learners: Mapping[str, ContinualLearner] = field(default_factory=lambda: learners())
    reference: ContinualLearner | None = None

    @property
    def forgotten(self) -> str:
        """What must go, for people."""
        split = self.draw(0)
        goes, stays = len(split.requests.data("forgotten")), len(split.requests.data("left"))  # type: ignore[arg-type]
        return f"{self.requests}: {goes:,} of {goes + stays:,} samples are forgotten"

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.learners

    def with_rows(self, rows: Mapping[str, Any]) -> "ContinualScenario":
        """The same with other rows."""
        return replace(self, learners=rows, reference=self._reference)

    def draw(self, seed: int) -> StreamSplit:
        """The stream of one seed."""
        if self.task.classes % self.tasks:
            raise BadSetting(f"{self.task.classes} classes can't be dealt out to {self.tasks} tasks evenly")
        generator = torch.Generator().manual_seed(seed)
        dealt = [
            [some_of(data, range(first, first + self._each), count, generator) for first in self._firsts]
            for data, count in zip((self.train, self.holdout), self.samples, strict=True)
        ]
        tests: dict[str, Stream] = {str(place + 1): Batches(data, 500) for place, data in enumerate(dealt[1])}
        return as_split(RequestStream.of(self.requests, dealt[0], seed), tests)

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Serve the stream by all learners, and audit what answers at its end."""
        split = self.draw(engine.seed)
        ours = Serving(self._reference, self.memory)
        with engine.scope("".join(letter if letter.isalnum() else "-" for letter in self.title)):
            say(f"{self.title}: learning all, forgetting nothing")
            fresh = engine.new_model(self.task.new_model)

            def original() -> nn.Module:
                return replace(ours, what="nothing forgotten")(fresh, self.task, split, engine)

            before = len(engine.history)
            model, seconds = engine.make(ORIGINAL, original, fresh, f"{ours!r} on {stream_digest(split)} seed {engine.seed}")
            history = engine.history[before:]
            say(f"{self.title}: never learning what goes, twice; {len(self.learners)} learners, audits")
            return compare(
                model,
                self.task,
                split,
                {name: Serving(each, None if isinstance(each, Joint) else self.memory) for name, each in self.learners.items()},
                engine,
                retrain=replace(ours, what="never learned"),
                audits=AUDITS,
                original_seconds=seconds,
                original_history=history,
            )

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        network = self.task.new_model()
        return {
            "network": f"{type(network).__name__}, {sum(each.numel() for each in network.parameters()):,} parameters",
            "requests": self.requests,
            "tasks": self.tasks,
            "samples of a class": f"{self.samples[0]:,} to learn, {self.samples[1]:,} for tests",
            "memory": f"the bytes of {self.memory} samples with logits",
            "learners": {name: repr(learner) for name, learner in self.learners.items()},
        }

    @property
    def _reference(self) -> ContinualLearner:
        return self.reference or next(iter(self.learners.values()))

    @property
    def _each(self) -> int:
        return self.task.classes // self.tasks

    @property
    def _firsts(self) -> range:
        return range(0, self.task.classes, self._each)


def some_of(data: TensorDataset, classes: range, count: int, generator: torch.Generator) -> TensorDataset:
    """Up to so many samples of each class, drawn."""
    inputs, labels = data.tensors[0], data.tensors[1]
    rows = []
    for label in classes:
        own = (labels == label).nonzero().flatten()
        rows.append(own[torch.randperm(len(own), generator=generator)[:count]])
    return TensorDataset(inputs[torch.cat(rows)], labels[torch.cat(rows)])


def halved(images: Tensor) -> Tensor:
    """Images of half the side, each pixel the mean of four."""
    return F.avg_pool2d(images, 2)


# ---- learners, by the names of their rows --------------------------------------------------------------------------------


def learners(**settings: Any) -> dict[str, ContinualLearner]:
    """All learners; the first is held against retraining.

    A name ends in what serves requests to forget: a method of the ground with memory as what stays, or "in-step", the random
    teacher that is listened to in the step in which memory is replayed, as in the code of UniCLUN.

    Args:
        settings: that all of them share, such as epochs.
    """
    ours, replay = UniCLUN(**settings), Rehearsal(**settings)
    plus = replace(replay, alpha=1.0, beta=1.0, optimizer=Optimizer("sgd", 0.02))
    scrub = SCRUB(epochs=10, max_epochs=2, retain_fraction=1.0, distance_cap=2.0, optimizer=Optimizer("adam", 1e-3))
    methods = {"bad-teacher": BadTeacher(), "scrub": scrub, "ssd": SSD(alpha=1.0)}
    return {
        "uniclun": ours,
        "uniclun-published": UniCLUN.published(**settings),
        "uniclun-student": replace(ours, deploy="student"),
        "uniclun-random-teacher": replace(ours, unlearning_teacher="random"),
        "uniclun-no-online": replace(ours, online=0.0),
        "uniclun-no-contrast": replace(ours, contrast=0.0),
        "uniclun-no-supervised": replace(ours, supervised=0.0),
        "uniclun-average-only": replace(ours, online=0.0, contrast=0.0, supervised=0.0),
        **{f"der++-{name}": replace(plus, unlearning=method) for name, method in methods.items()},
        "der++-in-step": plus,
        "der-in-step": replace(plus, beta=0.0),
        **{f"er-{name}": replace(replay, unlearning=method) for name, method in methods.items()},
        "er-in-step": replay,
        "ewc-in-step": OnlineEWC(strength=1.0, **settings),
        "lwf-in-step": LwF(**settings),
        "sgd-in-step": replace(replay, beta=0.0),
        "clpu": CLPU(**settings),
        "joint": Joint(**settings),
    }
