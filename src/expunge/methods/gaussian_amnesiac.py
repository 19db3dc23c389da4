"""Gaussian-Amnesiac: teach a target drawn from a Gaussian for everything that must go.

    min  (1 - c) * mean_{retain} loss(x, y) + c * mean_{forget} loss(x, y'),      y' ~ N(mu, sigma^2),  drawn once

mu and sigma are mean and standard deviation of the training targets, c is the forget set's share of the training set. It is the
counterpart of random labels where targets are real numbers. Noise has no aim: a few steps move the answers towards what a
retrained model says, more of them past it, until the forgotten stands out by its errors. Watch the error on unseen data like
it.

Reference: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196.
Needs: forget and retain data; the forget set is held in memory. Costs: `epochs` passes over all data.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Batches, Pair, Split, forget_share, in_proportion, joined, one_epoch
from expunge.tasks import RegressionTask, Task


@dataclass(frozen=True)
class GaussianAmnesiac(Method):
    """Fine-tune with noise for targets on what goes and true targets on what stays.

    Args:
        epochs: passes over all data: the strength. The published runs have 1 and 5.
        statistics: targets that give mean and deviation: "all", as published, or "retained", which does not look at what goes.
        clip: bring drawn targets into the task's valid range.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    epochs: int = 1
    statistics: Literal["all", "retained"] = "all"
    clip: bool = False
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    schedule: Schedule = "constant"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RegressionTask,)
    why_not: ClassVar[str] = "it draws real numbers for targets; random-labels does the same for classes"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.statistics in ("all", "retained"), f"statistics must be 'all' or 'retained', not {self.statistics!r}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, RegressionTask)
        noisy = with_gaussian_targets(task, split, engine, self.statistics, self.clip)
        share = forget_share(split)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            both, count = joined(pair)
            losses = task.losses(task.outputs(model, both), both)
            return {"retain": (1 - share) * losses[count:], "forget": share * losses[:count]}

        stream = in_proportion(noisy, split.retain)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)


def with_gaussian_targets(
    task: RegressionTask, split: Split, engine: Engine, statistics: Literal["all", "retained"] = "all", clip: bool = False
) -> Batches:
    """The forget set in memory, each example with targets drawn from a Gaussian that stay with it."""
    batches = list(one_epoch(split.forget, engine.generator("noise", "order")))
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    retained = [batch[1] for batch in one_epoch(split.retain, engine.generator("noise", "statistics"))]
    targets = targets.float()
    known = [each.float() for each in retained] + ([targets] if statistics == "all" else [])
    mean, deviation = torch.cat(known).mean(0), torch.cat(known).std(0)
    noise = torch.randn(targets.shape, generator=engine.generator("noise", "targets"))
    drawn = mean + deviation * noise.to(targets)
    if clip:
        drawn = drawn.clamp(task.target.scaled(task.target.lowest), task.target.scaled(task.target.highest))
    return Batches(TensorDataset(inputs, drawn), batch_size=max(len(batch[1]) for batch in batches))
