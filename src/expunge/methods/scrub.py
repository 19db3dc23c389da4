"""SCRUB(+R): a student that disobeys its teacher on what goes and obeys on what stays; then rewind to the right moment.

    max step:   max  mean_{x in forget} KL(p_teacher || p_student)                              in the first `max_epochs` epochs
    min step:   min  mean_{x in retain} alpha * KL(p_teacher || p_student) + gamma * CE         in every epoch

The teacher is the original model. Pushing without end makes forgotten examples stand out, so SCRUB+R goes back to the epoch
whose score on the forget set is nearest to the final model's score on unseen examples of the same kind.

Reference: M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou. "Towards Unbounded Machine Unlearning", NeurIPS 2023,
arXiv 2302.09880.
Needs: forget and retain data; for the rewind `split.validation_forget`, without which the last epoch is returned.
Costs: `max_epochs` passes over the forget data and `epochs` over `retain_fraction` of the retained, with a teacher beside.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.gradient_ascent import capped
from expunge.methods.method import Method, frozen
from expunge.optimizers import Optimizer, Schedule
from expunge.split import InTurn, Pair, Split, is_empty
from expunge.tasks import Task


@dataclass(frozen=True)
class SCRUB(Method):
    """Alternate max and min steps, then rewind.

    The defaults make one pass of max steps, since the distance that it climbs has no ceiling. The published small-scale run has
    gamma 1, 3 max epochs of 10, all of the retained data and Adam at 0.0005.

    Args:
        alpha: weight of the KL term on retained data.
        gamma: weight of the task's loss on retained data.
        temperature: of the KL terms, > 0.
        max_epochs: epochs that begin with a pass of max steps over the forget set.
        epochs: epochs in all.
        retain_fraction: share of the retained batches in each pass of min steps, above 0 up to 1.
        optimizer: one for both kinds of steps.
        schedule: of the learning rate, over all steps.
        distance_cap: forget examples that lie farther from the teacher are left alone; None, as published, for no cap. Squared
            distances have no ceiling, and without a cap the model is damaged where outputs are real numbers.
        rewind: choose the epoch by the unseen examples like those to forget.
    """

    alpha: float = 0.5
    gamma: float = 3.0
    temperature: float = 2.0
    max_epochs: int = 1
    epochs: int = 5
    retain_fraction: float = 0.3
    optimizer: Optimizer = Optimizer("adam", 1.75e-3)
    schedule: Schedule = "cosine"
    distance_cap: float | None = None
    rewind: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.temperature > 0, f"temperature must be above 0, not {self.temperature}")
        cap = self.distance_cap
        self.require(cap is None or cap >= 0, f"distance_cap must be 0 or more, not {cap}")
        self.require(0 < self.retain_fraction <= 1, f"retain_fraction must lie in (0, 1], not {self.retain_fraction}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        teacher = frozen(student)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            batch = pair.retain if pair.forget is None else pair.forget
            with torch.no_grad():
                target = task.outputs(teacher, batch)
            outputs = task.outputs(model, batch)
            distance = task.divergence(outputs, target, self.temperature)
            if pair.forget is not None:
                return {"forget": -capped(distance, self.distance_cap)}
            return {"retain distance": self.alpha * distance, "retain": self.gamma * task.losses(outputs, batch)}

        both = InTurn(split.forget, split.retain, self.retain_fraction)
        minimise = InTurn((), split.retain, self.retain_fraction)
        plan = [both if epoch < self.max_epochs else minimise for epoch in range(self.epochs)]
        snapshots = _Snapshots(engine, student)
        on_epoch = snapshots.take if self.rewind and not is_empty(split.validation_forget) else None
        student = engine.fit(student, loss, plan, optimizer=self.optimizer, schedule=self.schedule, on_epoch=on_epoch)
        return student if on_epoch is None or self.epochs == 0 else rewound(snapshots, student, task, split, self.epochs)


def rewound(snapshots: "_Snapshots", final: nn.Module, task: Task[Any], split: Split, epochs: int) -> nn.Module:
    """The snapshot whose forget score is nearest to the score of `final` on unseen examples of the same kind."""
    reference = task.evaluate(final, split.validation_forget)[task.score_name]
    models = [snapshots.get(epoch) for epoch in range(epochs)]
    gaps = [abs(task.evaluate(model, split.forget)[task.score_name] - reference) for model in models]
    latest_best = max(range(len(gaps)), key=lambda epoch: (-gaps[epoch], epoch))
    return models[latest_best]


class _Snapshots:
    """The student after each epoch: in memory, and in the engine's folder for a run that is killed and goes on."""

    def __init__(self, engine: Engine, student: nn.Module) -> None:
        self.engine, self.blank, self.models = engine, copy.deepcopy(student), dict[int, nn.Module]()

    def take(self, model: nn.Module, epoch: int) -> None:
        self.models[epoch] = copy.deepcopy(model)
        self.engine.keep(f"epoch-{epoch}", model)

    def get(self, epoch: int) -> nn.Module:
        if epoch not in self.models:
            found = self.engine.kept(f"epoch-{epoch}", copy.deepcopy(self.blank))
            assert found is not None, f"the weights of epoch {epoch} were not kept"
            self.models[epoch] = found[0]
        return self.models[epoch]
