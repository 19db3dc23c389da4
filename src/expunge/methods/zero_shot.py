"""Error-minimising and -maximising noise: forget a class without any data, by noise that stands for all classes.

    noise    min_{z_c}    CE(z_c, c; theta_o) + weight * mean z_c^2          for each class c that stays
             min_{z_c}  - CE(z_c, c; theta_o) + weight * mean z_c^2          for each class c that goes
    impair   min_theta    mean over all { (z_c, c) } of CE(z, c; theta)
    repair   min_theta    mean over { (z_c, c), c stays } of CE(z, c; theta)

z_c are inputs that the trained model theta_o takes for a class that stays, or takes least for a class that goes. Learning to
call the latter c overwrites what the model took c to be, and noise of the other classes holds on to these as well as noise
can.

No data are trained on or looked at. Of the forget set the labels are read, which say what classes go, and the shape of an
input; retained data are never asked for. So a class goes as a whole, also where single records of it are named; and what stays
is known to the method by the model's own answers alone. With retained data at hand take unsir.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Zero-Shot Machine Unlearning", IEEE Transactions on Information
Forensics and Security 2023, arXiv 2201.05629 (its first method; the second is gated-transfer).
Needs: the labels of what goes, and inputs that are real numbers. Costs: `noise_steps` on noise for all classes, and a few
passes over it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest
from expunge.methods.method import Method, frozen
from expunge.noise import Noise, batches_like
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split, Stream
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class ErrorNoise(Method):
    """Learn noise for all classes, impair, repair.

    Noise is a weak stand-in for data, as the authors found: some of the class is left, and the others suffer. A higher learning
    rate of impair moves both. Their second method, gated-transfer, is better by far, and slower.

    Args:
        noise_size: noise inputs for each class, at least 1.
        noise_weight: of the mean square of the noise, >= 0.
        noise_steps: on the noise, at least 1; many make all noise of a class alike.
        noise_optimizer: of the noise.
        batch_size: noise inputs in a batch of impair and repair.
        epochs: passes over the noise in impair; 0 to leave the model as it is.
        repair_epochs: passes over the noise of classes that stay, >= 0.
        optimizer: of impair.
        repair_optimizer: of repair.
    """

    noise_size: int = 128
    noise_weight: float = 0.1
    noise_steps: int = 10
    noise_optimizer: Optimizer = Optimizer("adam", 0.1)
    batch_size: int = 64
    epochs: int = 1
    repair_epochs: int = 5
    optimizer: Optimizer = Optimizer("adam", 1e-2)
    repair_optimizer: Optimizer = Optimizer("adam", 1e-2)

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "without data there is nothing to stand for but classes; gradient-ascent needs no retained data"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise_size", "noise_steps", "batch_size"):
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("noise_weight", "repair_epochs"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        assert isinstance(task, ClassificationTask)
        asked = asked_of(self.name, task, split.forget)
        labels = torch.arange(task.classes).repeat_interleave(self.noise_size)
        values = self._learned(frozen(student), task, asked, labels, engine)
        stays = ~torch.isin(labels, asked.goes)

        def loss(model: nn.Module, given: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            batch = asked.batch(*given)
            return {"noise": task.losses(task.outputs(model, batch), batch)}

        noise, kept = (Batches(TensorDataset(values[each], labels[each]), self.batch_size) for each in (labels >= 0, stays))
        student = engine.fit(student, loss, noise, epochs=self.epochs, optimizer=self.optimizer, name="impair")
        return engine.fit(student, loss, kept, epochs=self.repair_epochs, optimizer=self.repair_optimizer, name="repair")

    def _learned(self, teacher: nn.Module, task: Task[Any], asked: "Asked", labels: Tensor, engine: Engine) -> Tensor:
        """Noise inputs with these labels, on the CPU."""
        start = torch.randn((len(labels), *asked.shape), generator=engine.generator("noise", "start"))
        sign = 1.0 - 2.0 * torch.isin(labels, asked.goes)

        def loss(noise: nn.Module, given: tuple[Tensor]) -> dict[str, Tensor]:
            rows, values = given[0], noise(given[0])
            batch = on_device_of(teacher, asked.batch(values, labels.to(rows.device)[rows]))
            errors = task.losses(task.outputs(teacher, batch), batch)
            size = values.flatten(1).square().mean(1)
            return {"error": sign.to(rows.device)[rows] * errors, "size": self.noise_weight * size}

        noise = engine.fit(
            Noise(start).to(engine.device),
            loss,
            Batches(TensorDataset(torch.arange(len(labels))), len(labels), shuffle=False),
            steps=self.noise_steps,
            optimizer=self.noise_optimizer,
            name="noise",
        )
        return noise(torch.arange(len(labels), device=engine.device)).detach().cpu()


@dataclass(frozen=True, eq=False)
class Asked:
    """What is known of a request where no data are to be seen.

    Args:
        goes: the classes that go, sorted.
        shape: of one input.
        batch: makes a batch of inputs and labels; of a graph, nodes without an edge.
    """

    goes: Tensor
    shape: tuple[int, ...]
    batch: Callable[[Tensor, Tensor], Any]


def asked_of(name: str, task: ClassificationTask, forget: Stream) -> Asked:
    """The classes in a forget stream and the shape of an input.

    Args:
        name: of the method, for errors.

    Raises:
        BadRequest: if all classes go, or inputs are no real numbers.
    """
    labels, example = [], None
    for batch in forget:
        nodes, make = hasattr(batch, "graph"), batches_like(batch)
        labels.append((batch.labels if nodes else batch[1]).unique().cpu())
        example = batch.graph.x[:1] if nodes else batch[0][:1]
    assert example is not None
    if not example.is_floating_point():
        raise BadRequest(f"{name} makes inputs by their gradient, and these are {example.dtype}, not real numbers")
    goes = torch.cat(labels).unique()
    if len(goes) == task.classes:
        raise BadRequest(
            f"{name} forgets whole classes, and records of all {task.classes} are named; for single records take a method that "
            "sees them, such as neggrad-plus"
        )
    return Asked(goes, tuple(example.shape[1:]), make)
