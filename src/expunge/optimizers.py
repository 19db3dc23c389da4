"""Optimizers and learning-rate schedules as plain values, so that a job file, a method and a checkpoint can name them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from expunge.errors import BadSetting

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Optimizer:
    """A recipe that builds a `torch.optim` optimizer for given parameters.

    Args:
        kind: "adam", "adamw" or "sgd".
        learning_rate: step size, > 0.
        weight_decay: L2 penalty (decoupled for "adamw").
        momentum: of "sgd"; the others ignore it.

    >>> Optimizer("sgd", 0.1)([nn.Parameter(torch.zeros(2))]).param_groups[0]["lr"]
    0.1
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # a job file with an unknown field is refused

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("adam", "adamw", "sgd"):
            raise BadSetting(f"optimizer kind must be 'adam', 'adamw' or 'sgd', not {self.kind!r}")
        if not self.learning_rate > 0:
            raise BadSetting(f"learning_rate must be above 0, not {self.learning_rate}")

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if self.kind == "sgd":
            return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        build = torch.optim.Adam if self.kind == "adam" else torch.optim.AdamW
        return build(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Factor on the initial learning rate when the fraction `progress` (0 to 1) of all steps is done.

    >>> [round(learning_rate_factor("cosine", p), 3) for p in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - progress
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    raise BadSetting(f"schedule must be 'constant', 'linear', 'cosine' not {schedule!r}")
