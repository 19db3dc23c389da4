"""UNSIR: impair the model with noise that is wrong for the classes that go, then repair it with what stays.

    noise    min_{z_c}  -CE(z_c, c; theta_o) + weight * mean ||z_c||^2             for each class c that goes
    impair   min_theta  mean over { (z_c, c) } and a part of retain of CE(x, y; theta)
    repair   min_theta  mean over the same part of retain of CE(x, y; theta)

z_c are inputs that look least like class c to the trained model theta_o. Learning to call them c overwrites what the model took
c to be; the repair undoes the damage to the other classes. Data of the forgotten class itself are not trained on: their labels
alone are read.

Made for whole classes. Where single records go there is noise for each of their classes, and classes that stay are impaired
too: what is then left of the records depends on how well the repair teaches the class without them. Of a graph, the noise is
the features of nodes without an edge.

Reference: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli. "Fast Yet Effective Machine Unlearning", IEEE Transactions on
Neural Networks and Learning Systems 2023, arXiv 2111.08947. The published notebook labels all noise with class 0, and repeats
each noise 20 times; here it has its class, and runs beside the retained batches, in batches of its own size.
Needs: retain data, the labels of the forget data, and inputs that are real numbers. Costs: `noise_steps` on noise, and two
passes over `retain_fraction` of the retained data an epoch.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest
from expunge.methods.boundary_shrink import inputs_of, labels_of
from expunge.methods.method import Method, frozen
from expunge.noise import Noise, batches_like
from expunge.optimizers import Optimizer
from expunge.split import Batches, Pair, Split, Stream, joined, one_epoch, paired
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class UNSIR(Method):
    """Learn noise, impair, repair.

    Args:
        noise_size: noise inputs for each class that goes, at least 1; also how many stand beside a retained batch.
        noise_weight: of the squared length of the noise, 0 or more.
        noise_steps: on the noise, at least 1.
        noise_optimizer: of the noise.
        retain_fraction: share of the retained batches, drawn once, that impair and repair see, above 0 up to 1.
        epochs: passes over that part in impair, and again in repair; as published, 1.
        optimizer: of impair; published is Adam at 0.02.
        repair_optimizer: of repair; published is Adam at 0.01.
    """

    noise_size: int = 64
    noise_weight: float = 0.1
    noise_steps: int = 40
    noise_optimizer: Optimizer = Optimizer("adam", 0.1)
    retain_fraction: float = 0.5
    epochs: int = 1
    optimizer: Optimizer = Optimizer("adam", 0.005)
    repair_optimizer: Optimizer = Optimizer("adam", 0.01)

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    why_not: ClassVar[str] = "it makes noise for the classes that go; bad-teacher and shrink-perturb blur any other answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.noise_size >= 1, f"noise_size must be at least 1, not {self.noise_size}")
        self.require(self.noise_weight >= 0, f"noise_weight must be 0 or more, not {self.noise_weight}")
        self.require(self.noise_steps >= 1, f"noise_steps must be at least 1, not {self.noise_steps}")
        self.require(0 < self.retain_fraction <= 1, f"retain_fraction must lie in (0, 1], not {self.retain_fraction}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        noise = self.noise(frozen(student), task, split.forget, engine)
        part = Part(split.retain, self.retain_fraction, engine.seed_for("part"))

        def impair(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            both, count = joined(pair)
            losses = task.losses(task.outputs(model, both), both)
            share = count / len(losses)
            return {"noise": share * losses[:count], "retain": (1 - share) * losses[count:]}

        def repair(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            return {"retain": task.losses(task.outputs(model, batch), batch)}

        mixed = paired(noise, part, "retain")
        student = engine.fit(student, impair, mixed, epochs=self.epochs, optimizer=self.optimizer, name="impair")
        return engine.fit(student, repair, part, epochs=self.epochs, optimizer=self.repair_optimizer, name="repair")

    def noise(self, teacher: nn.Module, task: Task[Any], forget: Stream, engine: Engine) -> Stream:
        """Noise with its labels, for each class of the forget set."""
        batches = list(one_epoch(forget, engine.generator("classes")))
        classes = torch.cat([labels_of(batch) for batch in batches]).unique()
        labels = classes.repeat_interleave(self.noise_size)
        example = inputs_of(batches[0])
        if not example.is_floating_point():
            raise BadRequest(f"unsir learns inputs by their gradient, and these are {example.dtype}, not real numbers")
        start = torch.randn((len(labels), *example.shape[1:]), generator=engine.generator("noise", "start")).to(example)
        make = batches_like(batches[0])

        def loss(noise: nn.Module, given: tuple[Tensor]) -> dict[str, Tensor]:
            values = noise(given[0])
            batch = on_device_of(teacher, make(values, labels[given[0].cpu()]))
            losses = task.losses(task.outputs(teacher, batch), batch)
            return {"error": -losses, "length": self.noise_weight * values.flatten(1).square().sum(1)}

        learned = engine.fit(
            Noise(start).to(engine.device),
            loss,
            Batches(TensorDataset(torch.arange(len(labels))), len(labels), shuffle=False),
            steps=self.noise_steps,
            optimizer=self.noise_optimizer,
            name="noise",
        )
        values = learned(torch.arange(len(labels))).detach().cpu()
        if hasattr(batches[0], "graph"):
            return [make(values, labels)]
        return Batches(TensorDataset(values, labels), self.noise_size)


@dataclass(frozen=True)
class Part:
    """A share of the batches of a stream, always the same: those that come first in an order drawn from a seed.

    >>> len(Part(["a", "b", "c"], 0.5, 0)), list(Part(["a", "b", "c"], 0.5, 0))
    (2, ['a', 'b'])
    """

    stream: Stream
    share: float
    seed: int

    def __len__(self) -> int:
        return math.ceil(self.share * len(self.stream))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(one_epoch(self.stream, torch.Generator().manual_seed(self.seed)), len(self))
