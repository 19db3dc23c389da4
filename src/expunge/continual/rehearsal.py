"""Rehearsal: learners that replay samples from memory, by their labels, by what the network once said of them, or both.

    L = CE(S(x), y) + beta CE(S(b), y_b) + alpha |S(b') - z_b'|^2           b, b' drawn from memory, z the logits kept there

    beta = 1, alpha = 0      experience replay (ER)
    beta = 0, alpha > 0      dark experience replay (DER)
    beta, alpha > 0          DER++
    beta = alpha = 0         plain training on what comes, which forgets everything else

A request to forget is served by any unlearning method, with memory as what stays. Without one it is served as the code of
UniCLUN serves it for its rivals, by a network with random weights that is listened to in the same step in which memory is
replayed: L = KL( U(x) || S(x) ) + beta CE(...) + alpha |...|^2. A learner that replays nothing otherwise does so then, with
beta = 1: nothing would be left of what stays.

Logits are those after the task was learned. What other samples' logits know of what is forgotten goes as well: after a request
to forget those of all samples in memory are taken anew.

References: P. Buzzega, M. Boschini, A. Porrello, D. Abati, S. Calderara. "Dark Experience for General Continual Learning: a
Strong, Simple Baseline", NeurIPS 2020, arXiv 2004.07211. Bad Teacher:
V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli, AAAI 2023, arXiv 2205.08096.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.continual.learner import ContinualLearner, Pupil, Unlearner
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.losses import kl_divergence
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Rehearsal(ContinualLearner):
    """See the module.

    Args:
        alpha: weight of kept logits.
        beta: weight of labels of replayed samples.
        unlearning: serves requests to forget; the random network when None.
    """

    alpha: float = 0.0
    beta: float = 1.0
    unlearning: Unlearner | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alpha", "beta"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")

    @property
    def keeps_logits(self) -> bool:  # type: ignore[override]
        """Whether they have a weight."""
        return self.alpha > 0

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        def loss(pupil: Any, batch: Any) -> dict[str, Tensor]:
            return self.terms(pupil, batch, task)

        self.fit(pupil, loss, lesson, engine, "learn")

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        if self.unlearning is None:
            self._by_random_teacher(pupil, lesson, task, engine)
        else:
            split = Split(
                Batches(lesson.data, self.batch_size), pupil.memory.batches(self.batch_size), kind=len(lesson.gone) > 0
            )
            pupil.student.load_state_dict(self.unlearning(pupil.student, task, split, engine).state_dict())
        if self.keeps_logits and pupil.memory.filled:
            pupil.memory.relabel(task.collect(pupil.student, pupil.memory.batches(256)))

    def _by_random_teacher(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        teacher = engine.new_model(task.new_model, "random teacher").eval()

        def loss(pupil: Any, batch: Any) -> dict[str, Tensor]:
            with torch.no_grad():
                target = task.outputs(teacher, batch)
            return self.terms(pupil, batch, task, forget=target)

        self.until_gone(lambda name: self.fit(pupil, loss, lesson, engine, name), pupil, lesson, task)

    def terms(self, pupil: Pupil, batch: Any, task: ClassificationTask, forget: Tensor | None = None) -> dict[str, Tensor]:
        """The loss over a batch and over samples from memory, by its terms. One pass serves all, so that batch normalisation
        sees what it saw in training.

        Args:
            forget: logits to be said of the batch where it is to be forgotten.
        """
        beta = 1.0 if forget is not None and not self.alpha and not self.beta else self.beta
        drawn = {
            name: pupil.memory.draw(self.replayed)
            for name, weight in (("replay", beta), ("logits", self.alpha))
            if weight and pupil.memory.filled
        }
        parts = [(batch[0], batch[1]), *((each[0], each[1]) for each in drawn.values())]
        inputs, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        logits = task.outputs(pupil.student, (inputs, labels)).split([len(each[1]) for each in parts])
        if forget is None:
            terms = {"learn": self.cross_entropy(logits[0], batch[1], pupil)}
        else:
            terms = {"forget": kl_divergence(logits[0], forget)}
        for (name, each), said in zip(drawn.items(), logits[1:], strict=True):
            if name == "replay":
                terms[name] = beta * self.cross_entropy(said, each[1], pupil)
            else:
                terms[name] = self.alpha * (said - each[3]).square().mean(1)
        return terms | self.besides(pupil, batch, logits[0], task, forget is not None)

    def besides(self, pupil: Pupil, batch: Any, logits: Tensor, task: ClassificationTask, forgets: bool) -> dict[str, Tensor]:
        """What a subclass adds to the loss; `logits` are those of the batch."""
        return {}
