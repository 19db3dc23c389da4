"""CLPU: learn each task that may have to go in a network of its own, and delete that network when it goes.

    learn     a task that stays for good: DER++ in the main network;  any other: a fresh network, trained on its data alone
    forget    the side network is deleted, and nothing of the task is left anywhere: exact
    answer    a class of a side network: its log-probability there;  any other: its logit in the main network

Exact it is for tasks as a whole, and not for tasks that were said to stay. Networks that never met each other's classes can't
be compared well, so that it is for the task-incremental protocol. It takes as many networks as there are tasks.

Consolidation, which moves a task that has become permanent into the main network, is left out: no request says so.

Reference: B. Liu, Q. Liu, P. Stone. "Continual Learning and Private Unlearning", CoLLAs 2022, arXiv 2203.12817.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.learner import FAR, Pupil
from expunge.continual.rehearsal import Rehearsal
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.split import Batches
from expunge.tasks import ClassificationTask


class SideNetworks(nn.Module):
    """A main network and one for each task that may go. Their answers are the log-probabilities of their own classes."""

    has_features = False  # none that all of them share

    def __init__(self, main: nn.Module, classes: int) -> None:
        super().__init__()
        self.main, self.side = main, nn.ModuleDict()
        self.own: Tensor
        self.learned: Tensor
        self.register_buffer("own", torch.zeros(0, classes, dtype=torch.bool))  # classes of each side network, in their order
        self.register_buffer("learned", torch.zeros(classes, dtype=torch.bool))  # classes of the main network

    def forward(self, inputs: Tensor) -> Tensor:
        said = self.main(inputs) + FAR * (~self.learned)
        for own, network in zip(self.own, self.side.values(), strict=True):
            alone = (network(inputs) + FAR * (~own)).log_softmax(1)
            said = torch.where(own, alone, said)
        return said


class Isolated(Pupil):
    """The state of CLPU. Side networks come and go as requests are noted, before their weights are learned or read."""

    def __init__(self, networks: SideNetworks, memory: ReplayBuffer, classes: int, make: Callable[[], nn.Module]) -> None:
        super().__init__(networks.main, memory, classes)
        self.networks = networks
        self.make: Callable[[], nn.Module] = make
        self.permanent: tuple[str, ...] = ()

    def note(self, lesson: Lesson) -> None:
        super().note(lesson)
        networks = self.networks
        for name in lesson.tasks:
            if lesson.kind == "learn" and name in self.permanent:
                networks.learned[lesson.classes.to(networks.learned.device)] = True
            elif lesson.kind == "learn":
                networks.side[_key(name)] = self.make()
                own = torch.zeros_like(networks.learned)
                own[lesson.classes.to(own.device)] = True
                networks.own = torch.cat([networks.own, own[None]])
            elif _key(name) in networks.side:
                stays = torch.tensor([key != _key(name) for key in networks.side], device=networks.own.device)
                networks.own = networks.own[stays]
                del networks.side[_key(name)]


@dataclass(frozen=True)
class CLPU(Rehearsal):
    """See the module.

    Args:
        permanent: names of tasks that stay for good.
    """

    alpha: float = 0.5
    beta: float = 0.5
    permanent: tuple[str, ...] = ()

    def begin(self, task: ClassificationTask, engine: Engine, memory: ReplayBuffer) -> Pupil:
        def make() -> nn.Module:
            return task.new_model().to(engine.device)

        with engine.seeded("pupil"):
            networks = SideNetworks(task.new_model(), task.classes)
        pupil = Isolated(networks, memory, task.classes, make).to(engine.device)
        pupil.permanent = self.permanent
        return pupil

    def deployed(self, pupil: Pupil) -> nn.Module:
        assert isinstance(pupil, Isolated)
        return pupil.networks

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        assert isinstance(pupil, Isolated)
        (name,) = lesson.tasks
        if name in self.permanent:
            super().learn(pupil, lesson, task, engine)
            return

        def loss(network: nn.Module, batch: Any) -> Tensor:
            return self.cross_entropy(task.outputs(network, batch) + FAR * (~pupil.together[batch[1]]), batch[1], pupil)

        batches = Batches(lesson.data, self.batch_size)
        network = pupil.networks.side[_key(name)]
        engine.fit(network, loss, batches, epochs=self.epochs, optimizer=self.optimizer, name="learn")

    def remember(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        if lesson.tasks[0] in self.permanent:  # nothing of a task that may go is put where it would have to be found again
            super().remember(pupil, lesson, task, engine)

    def release(self, pupil: Pupil, lesson: Lesson) -> None:
        """Nothing of it is in memory."""

    def serve(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> Pupil:
        permanent = [name for name in lesson.tasks if name in self.permanent]
        if lesson.kind == "unlearn" and (permanent or lesson.single):
            what = f"task {permanent[0]!r} was to stay for good" if permanent else "single samples have no network of their own"
            raise BadRequest(f"CLPU deletes networks of tasks; {what}, so that it can't be forgotten exactly")
        return super().serve(pupil, lesson, task, engine)

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        """Nothing is left to do: the network went when the request was noted."""


def _key(name: str) -> str:
    """A task's name as the name of a module, which may hold no dot."""
    return name.replace(".", "·")
