"""Gated knowledge transfer: forget a class without any data, by a fresh student that listens to the model through a gate.

    x = G(z),    z ~ N(0, 1),    kept where p(c | x; theta_o) < gate for each class c that goes
    generator    max_G  mean_x KL(p(x; theta_o) || p(x; theta))             one step
    student      min_theta  mean_x KL(p(x; theta_o) || p(x; theta))         `student_steps` steps on the same z

The generator looks for inputs on which the student is wrong, the student learns to be right there; what the model would take
for a class that goes is never shown to it. The student begins with fresh weights, so that it knows of those classes what
passes the gate in the answers for others.

No data are trained on or looked at. Of the forget set the labels are read, which say what classes go, and the shape of an
input; retained data are never asked for. So a class goes as a whole, also where single records of it are named. How good the
student gets depends on what the generator finds. More rounds bring it nearer to the model in all that passes the gate, and in
the end in the classes that go as well, where they are like others; a lower gate holds back more of both. Pictures of 28x28
pixels took 1,000 rounds to come near, and far longer than a training on them: where there are data, retrain.

Published besides, and left out: a term that brings the attention maps of student and model together, which needs to know their
layers. The generator here is two linear layers, for inputs of any shape; of a graph it makes nodes without an edge.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Zero-Shot Machine Unlearning", IEEE Transactions on Information
Forensics and Security 2023, arXiv 2201.05629 (its second method; the first is zero-shot).
Needs: the labels of what goes, and inputs that are real numbers. Costs: `rounds` rounds of one step of the generator and
`student_steps` of the student, each with a forward pass of the model.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.method import Method, frozen
from expunge.methods.zero_shot import Asked, asked_of
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class GatedTransfer(Method):
    """Teach a fresh student what passes the gate.

    Args:
        gate: inputs are kept to which the model gives each class that goes a lower probability, above 0 up to 1.
        temperature: of both answers, > 0.
        rounds: of both networks, >= 0; 0 to leave the model as it is.
        student_steps: of the student in each round, at least 1.
        batch_size: inputs that are generated at a time, at least 2.
        latent: numbers that an input is generated from, at least 1.
        width: of the generator, at least 1.
        optimizer: of the student.
        generator_rate: learning rate of the generator, as a multiple of the student's.
        schedule: of both learning rates.
    """

    gate: float = 0.01
    temperature: float = 1.0
    rounds: int = 200
    student_steps: int = 10
    batch_size: int = 128
    latent: int = 64
    width: int = 128
    optimizer: Optimizer = Optimizer("adam", 2e-3)
    generator_rate: float = 1.0
    schedule: Schedule = "cosine"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = (
        "its gate holds back classes; without data nothing else can be told apart, and with data take bad-teacher"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 < self.gate <= 1, f"gate must lie in (0, 1], not {self.gate}")
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")
        self.require(self.batch_size >= 2, f"batch_size must be at least 2, not {self.batch_size}")
        for name in ("temperature", "generator_rate"):
            self.require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("student_steps", "latent", "width"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.rounds == 0:
            return student
        assert isinstance(task, ClassificationTask)
        asked, teacher = asked_of(self.name, task, split.forget), frozen(student)

        def loss(model: nn.Module, turn: Turn) -> dict[str, Tensor]:
            both: Any = getattr(model, "module", model)
            distance, kept = self._distance(both, teacher, turn, task, asked)
            mean = (distance * kept).sum() / kept.sum().clamp_min(1)
            return {"generator": -mean} if turn.generates else {"student": mean}

        with engine.seeded("generator weights"):
            generator = _Generator(self.latent, self.width, asked.shape)
        both = _Both(engine.new_model(task.new_model, "student weights"), generator.to(engine.device))
        draws = Draws(self.rounds, self.student_steps, self.batch_size, self.latent)
        rates = _TwoRates(self.optimizer, len(list(both.student.parameters())), self.generator_rate)
        return engine.fit(both, loss, draws, epochs=1, optimizer=rates, schedule=self.schedule).student  # type: ignore[return-value]

    def _distance(
        self, both: Any, teacher: nn.Module, turn: "Turn", task: ClassificationTask, asked: Asked
    ) -> tuple[Tensor, Tensor]:
        """How far the student is from the model on generated inputs, and which of these pass the gate: two of shape (n,)."""
        with torch.set_grad_enabled(turn.generates):
            inputs = both.generator(turn.noise)
            batch = asked.batch(inputs, torch.zeros(len(inputs), dtype=torch.long, device=inputs.device))
            said = task.outputs(teacher, batch)
        both.student.requires_grad_(not turn.generates)
        answered = task.outputs(both.student, batch)
        both.student.requires_grad_(True)
        going = said.detach().softmax(-1)[:, asked.goes.to(said.device)]
        return task.divergence(answered, said, self.temperature), (going < self.gate).all(1).float()


class Turn(NamedTuple):
    """Noise, and whose turn it is."""

    noise: Tensor
    generates: bool


@dataclass(frozen=True)
class Draws:
    """For each round noise for the generator, then the same for each step of the student."""

    rounds: int
    student_steps: int
    batch_size: int
    latent: int

    def __len__(self) -> int:
        return self.rounds * (1 + self.student_steps)

    def epoch(self, generator: torch.Generator) -> Iterator[Turn]:
        for _ in range(self.rounds):
            noise = torch.randn(self.batch_size, self.latent, generator=generator)
            for step in range(1 + self.student_steps):
                yield Turn(noise, step == 0)


class _Generator(nn.Module):
    """Makes inputs from noise, shape (n, latent)."""

    def __init__(self, latent: int, width: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        size = math.prod(shape)
        hidden = (nn.Linear(latent, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2))
        self.shape, self.body = shape, nn.Sequential(*hidden, nn.Linear(width, size), nn.BatchNorm1d(size))

    def forward(self, noise: Tensor) -> Tensor:
        """Shape (n, *shape)."""
        return self.body(noise).unflatten(1, self.shape) if self.shape else self.body(noise).squeeze(1)


class _Both(nn.Module):
    """Two networks that are trained in turns."""

    def __init__(self, student: nn.Module, generator: nn.Module) -> None:
        super().__init__()
        self.student, self.generator = student, generator


@dataclass(frozen=True)
class _TwoRates:
    """An optimizer recipe with another learning rate for all parameters after the first so many."""

    recipe: Optimizer
    first: int
    factor: float

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        every = list(parameters)
        optimizer = self.recipe(every[: self.first])
        rate = self.factor * self.recipe.learning_rate
        optimizer.add_param_group({"params": every[self.first :], "lr": rate})
        return optimizer
