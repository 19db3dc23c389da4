"""L1-sparse: fine-tune on what stays under a penalty that drives weights to zero.

    min  mean_{x in retain} loss(x; theta) + gamma_t * ||theta||_1,       gamma_t = gamma * (1 - t / T),  t = 0 ... T - 1

A sparse model has less room for what only few examples need; T is the number of all steps. The penalty is over all trainable
weights, by its subgradient, so that weights come near zero and are not set to it. It fades, so that the last steps are those of
`finetune`, which it is for gamma 0.

Reference: J. Jia, J. Liu, P. Ram, Y. Yao, G. Liu, Y. Liu, P. Sharma, S. Liu. "Model Sparsity Can Simplify Machine Unlearning",
NeurIPS 2023, arXiv 2304.04934 (as "l1-sparse MU", with its linearly decreasing schedule).
Needs: retain data. Costs: `epochs` passes over it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split, Stream, one_epoch
from expunge.tasks import Task


@dataclass(frozen=True)
class L1Sparse(Method):
    """Train on the retained data with a penalty on the size of weights.

    Args:
        gamma: weight of the penalty at the beginning, 0 or more: the knob to turn. An adaptive optimizer, which divides by the
            size of gradients, feels the penalty most where the loss has none; published runs are with SGD.
        epochs: passes over the retained data.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    gamma: float = 2e-3
    epochs: int = 5
    optimizer: Optimizer = Optimizer("adam", 4e-3)
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.gamma >= 0, f"gamma must be 0 or more, not {self.gamma}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def loss(model: nn.Module, timed: Timed) -> dict[str, Tensor]:
            terms = {"retain": task.losses(task.outputs(model, timed.batch), timed.batch)}
            if self.gamma:
                size = torch.stack([value.abs().sum() for value in model.parameters() if value.requires_grad]).sum()
                terms["penalty"] = self.gamma * (1 - timed.progress) * size
            return terms

        plan = [Progressing(split.retain, epoch, self.epochs) for epoch in range(self.epochs)]
        return engine.fit(student, loss, plan, optimizer=self.optimizer, schedule=self.schedule)


class Timed(NamedTuple):
    """A batch, and the share of all steps that were done before it."""

    batch: Any
    progress: float


@dataclass(frozen=True)
class Progressing:
    """One of several epochs over a stream, whose batches say how far training is.

    >>> [round(timed.progress, 2) for timed in Progressing(["a", "b"], 1, 3).epoch(torch.Generator())]
    [0.33, 0.5]
    """

    stream: Stream
    number: int
    epochs: int

    def __len__(self) -> int:
        return len(self.stream)  # type: ignore[arg-type]

    def epoch(self, generator: torch.Generator) -> Iterator[Timed]:
        steps = len(self)
        for step, batch in enumerate(one_epoch(self.stream, generator)):
            yield Timed(batch, (self.number * steps + step) / (self.epochs * steps))
