"""Blindspot: forget by imitating, on what goes, a network that has learned a little of what stays and nothing of what goes.

    stage 1    B, trained for a few epochs on the retained data alone; then frozen
    stage 2    min over M, from the trained weights, of

        L = (1 - c) * mean_{retain} loss(M(x), y) + c * mean_{forget} [ loss(M(x), B(x)) + lambda * sum_j ATT_j(x) ]

        ATT_j(x) = || a_j(M; x) - a_j(B; x) ||^2,       a_j the attention map of layer j, of length 1

As published, B starts from random weights and c is the forget set's share of a batch. B is then the weak place: after a
quarter of the training it answers worse than the retrained model, on what goes too, and M learns that. Here B starts from a
blend of the trained and of fresh weights (see `shrink-perturb`), and with as many epochs its answers come nearer to the
retrained model's. `warm_start=0` is the published method; only there has the teacher never been near the forget set.

Two defects of the published code are mended. It averages the first axis of every layer's output, which leaves one number for
each example of a dense layer: of length 1 it is constant, and the term has no gradient; here a dense layer has a map of its
units. And it averages the squared difference over positions, which ties lambda to the size of a layer; here it is summed, so
that ATT_j lies between 0 and 2 for every layer. The published lambda of 50 on maps of 8 x 8 is 0.8 in this unit.

Reference: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196.
Needs: forget and retain data. Costs: `teacher_epochs` passes over the retained data, then `epochs` over all data, with one
forward pass of B over the forget part.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from expunge.attention import attention_layers, recorded
from expunge.engine import Engine
from expunge.methods.method import Method, frozen
from expunge.methods.retrain import Retrain
from expunge.methods.shrink_perturb import blended
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Pair, Split, forget_share, in_proportion, joined
from expunge.tasks import Task


@dataclass(frozen=True)
class Blindspot(Method):
    """Imitate a partially trained network on what goes.

    The defaults fit a model that was trained for 40 epochs at 0.005; :meth:`from_recipe` makes them for any other. The
    published settings are: warm_start 0, teacher 2 or 10 epochs at 0.01, 1 or 5 epochs at 0.001, all at constant rates,
    attention weight 50 (0.8 in the unit used here), forget_weight None.

    Args:
        warm_start: share of the trained weights in the blend that the teacher starts from, between 0 and 1; 0 for random
            weights: then the teacher has never been near the forget set, and is a worse one.
        teacher_epochs: passes of the teacher over the retained data. Too few, and its answers are no target to follow; as
            many as the recipe has is retraining.
        teacher_optimizer: of the teacher.
        epochs: passes of the student over all data.
        optimizer: of the student, fresh.
        schedule: of both learning rates.
        forget_weight: c, between 0 and 1; None for the forget set's share of the training set, as published. Single records
            have been learned by heart and need more, such as 0.3, or their own errors come through.
        attention_weight: lambda, >= 0; 0 leaves the term out.
        attention_layers: names of the layers to compare; all convolutions, dense and recurrent layers but the last dense one
            when None.
    """

    warm_start: float = 0.6
    teacher_epochs: int = 10
    teacher_optimizer: Optimizer = Optimizer("adam", 1e-2)
    epochs: int = 4
    optimizer: Optimizer = Optimizer("adam", 5e-3)
    schedule: Schedule = "cosine"
    forget_weight: float | None = None
    attention_weight: float = 0.0
    attention_layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        weight = self.forget_weight
        self.require(0 <= self.warm_start <= 1, f"warm_start must lie between 0 and 1, not {self.warm_start}")
        self.require(self.teacher_epochs >= 0, f"teacher_epochs must be 0 or more, not {self.teacher_epochs}")
        self.require(weight is None or 0 <= weight <= 1, f"forget_weight must lie between 0 and 1, not {weight}")
        self.require(self.attention_weight >= 0, f"attention_weight must be 0 or more, not {self.attention_weight}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "Blindspot":
        """Settings for a model that was trained by `recipe`.

        The teacher gets a quarter of its epochs at twice its learning rate, the student a tenth at the recipe's own.
        """
        rate = recipe.optimizer.learning_rate
        found: dict[str, Any] = {
            "teacher_epochs": math.ceil(recipe.epochs / 4),
            "teacher_optimizer": replace(recipe.optimizer, learning_rate=2 * rate),
            "epochs": math.ceil(recipe.epochs / 10),
            "optimizer": recipe.optimizer,
        }
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        layers = attention_layers(student, self.attention_layers) if self.attention_weight else ()
        teacher = self._teacher(student, task, split, engine)
        weight = forget_share(split) if self.forget_weight is None else self.forget_weight

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            both, count = joined(pair)
            with recorded(teacher, layers) as theirs, torch.no_grad():
                target = task.outputs(teacher, pair.forget)
            with recorded(model, layers) as ours:
                outputs = task.outputs(model, both)
            terms = {
                "retain": (1 - weight) * task.losses(outputs, both)[count:],
                "forget": weight * task.imitation(outputs[:count], target),
            }
            if layers:
                distances = [(ours[layer][:count] - theirs[layer]).square().sum(1) for layer in layers]
                terms["attention"] = weight * self.attention_weight * torch.stack(distances).sum(0)
            return terms

        stream = in_proportion(split.forget, split.retain)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)

    def _teacher(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        fresh = engine.new_model(task.new_model, "blindspot")
        teacher = engine.fit(
            blended(student, fresh, self.warm_start) if self.warm_start else fresh,
            lambda model, batch: {"blindspot": task.losses(task.outputs(model, batch), batch)},
            split.retain,
            epochs=self.teacher_epochs,
            optimizer=self.teacher_optimizer,
            schedule=self.schedule,
            name="blindspot",
        )
        return frozen(teacher)
