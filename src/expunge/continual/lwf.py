"""LwF: learn what is new, and go on saying of it what the network said before, among the classes that it knew.

    L = CE(S(x), y) + strength KL( softmax(S_before(x) / T) || softmax(S(x) / T) )        over classes that were there before

Nothing is replayed, and nothing kept but the network as it was before the request.

Reference: Z. Li, D. Hoiem. "Learning without Forgetting", ECCV 2016, arXiv 1606.09282.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.learner import Pupil
from expunge.continual.rehearsal import Rehearsal
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.losses import kl_divergence
from expunge.tasks import ClassificationTask


class WithBefore(Pupil):
    """The state of LwF: beside the student, the network before the request, and the classes that were there then."""

    def __init__(self, student: nn.Module, memory: ReplayBuffer, classes: int) -> None:
        super().__init__(student, memory, classes)
        self.before = copy.deepcopy(student).requires_grad_(False)
        self.known_before: Tensor
        self.register_buffer("known_before", torch.zeros(classes, dtype=torch.bool))

    def train(self, mode: bool = True) -> "WithBefore":
        """Training mode for the student alone."""
        super().train(mode)
        self.before.eval()
        return self


@dataclass(frozen=True)
class LwF(Rehearsal):
    """See the module.

    Args:
        strength: weight of what was said before.
        temperature: T.
    """

    beta: float = 0.0
    strength: float = 1.0
    temperature: float = 2.0

    def begin(self, task: ClassificationTask, engine: Engine, memory: ReplayBuffer) -> Pupil:
        with engine.seeded("pupil"):
            return WithBefore(task.new_model(), memory, task.classes).to(engine.device)

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        assert isinstance(pupil, WithBefore)
        super().learn(pupil, lesson, task, engine)
        self._look_back(pupil)

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        super().unlearn(pupil, lesson, task, engine)
        self._look_back(pupil)

    def besides(self, pupil: Any, batch: Any, logits: Tensor, task: ClassificationTask, forgets: bool) -> dict[str, Tensor]:
        if forgets or not pupil.known_before.any():
            return {}
        with torch.no_grad():
            said = task.outputs(pupil.before, batch)
        old = pupil.known_before
        return {"before": self.strength * kl_divergence(logits[:, old], said[:, old], self.temperature)}

    def _look_back(self, pupil: Any) -> None:
        """The network that was learns nothing more of what is forgotten: it is the one that is there now."""
        pupil.before.load_state_dict(pupil.student.state_dict())
        pupil.known_before.copy_(pupil.known)
