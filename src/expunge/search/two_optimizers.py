"""SGD for the weights and Adam for the architecture, in one optimizer, so that the engine steps and saves both as one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TwoOptimizers:
    """A recipe that builds `SGDAndAdam` from parameters of which the first are the architecture.

    Args:
        architecture: how many of the parameters are the architecture's.
        rate: of SGD; a schedule of the engine acts on it alone.
        momentum: of SGD.
        weight_decay: of SGD.
        clip_norm: largest norm of the gradient of the weights; None for any.
        architecture_rate: of Adam, constant.
        architecture_betas: of Adam.
        architecture_decay: of Adam.
    """

    architecture: int
    rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_norm: float | None = 5.0
    architecture_rate: float = 3e-4
    architecture_betas: tuple[float, float] = (0.5, 0.999)
    architecture_decay: float = 1e-3

    def __call__(self, parameters: Iterable[nn.Parameter]) -> "SGDAndAdam":
        every = list(parameters)
        sgd = torch.optim.SGD(every[self.architecture :], self.rate, self.momentum, weight_decay=self.weight_decay)
        adam = torch.optim.Adam(
            every[: self.architecture], self.architecture_rate, self.architecture_betas, weight_decay=self.architecture_decay
        )
        return SGDAndAdam(sgd, adam, self.clip_norm)


class SGDAndAdam(torch.optim.Optimizer):
    """Two optimizers that share one state and one list of groups, SGD's first. Parameters without gradient are passed over."""

    def __init__(self, sgd: torch.optim.SGD, adam: torch.optim.Adam, clip_norm: float | None) -> None:
        self.sgd, self.adam, self.clip_norm = sgd, adam, clip_norm
        self.sgd_rate: float = sgd.param_groups[0]["lr"]
        self.adam_rate: float = adam.param_groups[0]["lr"]
        super().__init__([*sgd.param_groups, *adam.param_groups], {})
        self._share()

    def _share(self) -> None:
        self.sgd.state = self.adam.state = self.state
        self.sgd.param_groups, self.adam.param_groups = self.param_groups[:1], self.param_groups[1:]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.param_groups[0]["params"], self.clip_norm)
        self.param_groups[1]["lr"] = self.adam_rate  # the engine's schedule has set all groups'
        self.sgd.step()
        self.adam.step()

    def coming_step(self, weights: Iterable[Tensor], gradients: Iterable[Tensor], rate: float) -> list[Tensor]:
        """What SGD would make of the weights with these gradients, unclipped: w - rate (momentum v + g + decay w)."""
        group = self.param_groups[0]
        made = []
        for weight, gradient in zip(weights, gradients, strict=True):
            change = gradient + group["weight_decay"] * weight
            velocity = self.state[weight].get("momentum_buffer") if weight in self.state else None
            if velocity is not None:
                change = change + group["momentum"] * velocity
            made.append((weight - rate * change).detach())
        return made
