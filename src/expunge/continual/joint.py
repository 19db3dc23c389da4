"""Joint: keep everything, and train a fresh network on all that is there with each request.

It needs a memory that holds all samples, and is what the others are measured by: nothing is lost, and nothing forgotten stays.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.continual.learner import ContinualLearner, Pupil, in_memory
from expunge.continual.requests import Lesson
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.optimizers import Schedule
from expunge.split import Batches, Stream
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Joint(ContinualLearner):
    """See the module; fields are those of every learner, and

    Args:
        schedule: of the learning rate, which begins anew with each request.
    """

    schedule: Schedule = "cosine"

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        self._check(pupil, len(lesson.ids))
        old, labels, _, _ = pupil.memory.held()
        new = in_memory(lesson.data, torch.arange(len(lesson.ids)))
        both = zip(*((inputs.cpu(), truth.cpu()) for inputs, truth in ((old, labels), *new)), strict=True)
        self._train(pupil, Batches(TensorDataset(*map(torch.cat, both)), self.batch_size), task, engine)

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        self._check(pupil, 0)
        self._train(pupil, pupil.memory.batches(self.batch_size), task, engine)

    def _train(self, pupil: Pupil, stream: Stream, task: ClassificationTask, engine: Engine) -> None:
        def loss(model: object, batch: tuple[Tensor, Tensor]) -> Tensor:
            return self.cross_entropy(task.outputs(model, batch), batch[1], pupil)  # type: ignore[arg-type]

        fresh = engine.new_model(task.new_model, "fresh")
        engine.fit(fresh, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule, name="joint")
        pupil.student.load_state_dict(fresh.state_dict())

    def _check(self, pupil: Pupil, new: int) -> None:
        memory = pupil.memory
        if memory.population != memory.filled or memory.filled + new > memory.capacity:
            raise BadSetting(
                "joint training keeps everything: "
                f"{memory.population + new:,} samples do not fit into a memory of {memory.capacity:,}"
            )
