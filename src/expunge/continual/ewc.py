"""Online EWC: keep the weights that earlier tasks rely on where they were.

    L = CE(S(x), y) + strength sum_j F_j (theta_j - theta*_j)^2,        F <- decay F + F_t after each task, theta* <- theta

F_t is the diagonal Fisher information of task t. It knows of its task, and is never taken out of a sum again; so after a
request to forget F is that of memory alone.

References: J. Kirkpatrick et al. "Overcoming Catastrophic Forgetting in Neural Networks", PNAS 114(13), 2017, arXiv 1612.00796.
J. Schwarz et al. "Progress & Compress", ICML 2018, arXiv 1805.06370, for the running sum.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.learner import Pupil
from expunge.continual.rehearsal import Rehearsal
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.gradients import diagonal_fisher
from expunge.split import Batches, Shuffled
from expunge.tasks import ClassificationTask


class Anchored(Pupil):
    """The state of online EWC: for each parameter, in the order of the student's, its Fisher information and its anchor."""

    def __init__(self, student: nn.Module, memory: ReplayBuffer, classes: int) -> None:
        super().__init__(student, memory, classes)
        self.fisher, self.anchors = (nn.ParameterList(_zeros_like(each) for each in student.parameters()) for _ in range(2))

    def penalty(self) -> Tensor:
        """The sum over all parameters, without its strength."""
        trios = zip(self.fisher, self.anchors, self.student.parameters(), strict=True)
        return torch.stack([(fisher * (now - anchor).square()).sum() for fisher, anchor, now in trios]).sum()


@dataclass(frozen=True)
class OnlineEWC(Rehearsal):
    """See the module.

    Args:
        strength: weight of the penalty.
        decay: of earlier tasks' Fisher information.
        fisher_samples: of a task, for its Fisher information.
    """

    beta: float = 0.0
    strength: float = 10.0
    decay: float = 1.0
    fisher_samples: int = 500

    def begin(self, task: ClassificationTask, engine: Engine, memory: ReplayBuffer) -> Pupil:
        with engine.seeded("pupil"):
            return Anchored(task.new_model(), memory, task.classes).to(engine.device)

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        super().learn(pupil, lesson, task, engine)
        self._anchor(pupil, Batches(lesson.data, 100), self.decay, task, engine)

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        super().unlearn(pupil, lesson, task, engine)
        self._anchor(pupil, pupil.memory.batches(100), 0.0, task, engine)

    def besides(self, pupil: Any, batch: Any, logits: Tensor, task: ClassificationTask, forgets: bool) -> dict[str, Tensor]:
        return {"anchor": self.strength * pupil.penalty()}

    def _anchor(self, pupil: Pupil, data: Batches, decay: float, task: ClassificationTask, engine: Engine) -> None:
        assert isinstance(pupil, Anchored)

        def losses(model: nn.Module, batch: Any) -> Tensor:
            return self.cross_entropy(task.outputs(model, batch), batch[1], pupil)

        mixed = Shuffled(data, engine.generator("fisher"))  # data often come class by class
        found = diagonal_fisher(pupil.student, losses, mixed, max_examples=self.fisher_samples) if data.examples else {}
        for (name, now), fisher, anchor in zip(pupil.student.named_parameters(), pupil.fisher, pupil.anchors, strict=True):
            fisher.mul_(decay)
            if name in found:  # not where it is frozen, or nothing is left to look at
                fisher.add_(found[name])
            anchor.copy_(now.detach())


def _zeros_like(values: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.zeros_like(values), requires_grad=False)
