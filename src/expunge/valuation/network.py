"""Many small networks at once: one hidden layer, one network for each row of a matrix of sample weights.

All networks start from the same weights, and each is trained on all of its examples at every step, by Adam:

    theta_j = argmin sum_i w_ji * cross-entropy(W2 relu(W1 x_i + b1) + b2, y_i) / sum_i w_ji + decay |theta|^2 / 2
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from expunge.errors import BadSetting

_FIRST, _SECOND = 0.9, 0.999  # of Adam's means


@dataclass(frozen=True)
class Network:
    """Small networks of one kind.

    Args:
        hidden: units.
        steps: of Adam, each on all examples.
        learning_rate: falls to nothing along half a cosine.
        decay: of the weights, decoupled.
        seed: of the weights that all start from.
    """

    hidden: int = 32
    steps: int = 150
    learning_rate: float = 2e-2
    decay: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "steps"):
            if getattr(self, name) < 1:
                raise BadSetting(f"network: {name} must be at least 1, not {getattr(self, name)}")

    def train(self, inputs: Tensor, targets: Tensor, classes: int, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """As :meth:`expunge.valuation.logistic.Logistic.train`; classes that a network doesn't see have probability 0."""
        models, generator = len(weights), torch.Generator().manual_seed(self.seed)
        sizes = ((inputs.shape[1], self.hidden), (self.hidden, classes))
        layers = [torch.randn(size, generator=generator) * (2 / size[0]) ** 0.5 for size in sizes]
        start = [each for layer in layers for each in (layer, torch.zeros(1, layer.shape[1]))]
        parameters = [each.to(inputs).expand(models, -1, -1).clone().requires_grad_() for each in start]
        means = [[torch.zeros_like(each) for each in parameters] for _ in range(2)]
        seen = (weights @ one_hot(targets, classes).to(inputs)) > 0
        hidden = torch.where(seen | ~seen.any(1, keepdim=True), 0.0, -torch.inf).to(inputs)[:, None]
        shares = weights / weights.sum(1, keepdim=True).clamp(min=1)
        truth = targets.expand(models, -1)
        for step in range(1, self.steps + 1):
            logits = _outputs(inputs, parameters) + hidden
            loss = (shares * cross_entropy(logits.transpose(1, 2), truth, reduction="none").nan_to_num(posinf=0.0)).sum()
            self._improve(parameters, torch.autograd.grad(loss, parameters), means, step)
        trained = [each.detach() for each in parameters]
        return lambda asked: (_outputs(asked, trained) + hidden).softmax(2)

    def _improve(self, parameters: list[Tensor], slopes: tuple[Tensor, ...], means: list[list[Tensor]], step: int) -> None:
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        with torch.no_grad():
            for each, slope, first, second in zip(parameters, slopes, *means, strict=True):
                first.lerp_(slope, 1 - _FIRST)
                second.lerp_(slope.square(), 1 - _SECOND)
                moved = (first / (1 - _FIRST**step)) / ((second / (1 - _SECOND**step)).sqrt() + 1e-8)
                each.mul_(1 - rate * self.decay).sub_(rate * moved)


def _outputs(points: Tensor, parameters: list[Tensor]) -> Tensor:
    """Logits of all networks, shape (m, rows, classes)."""
    first, first_bias, second, second_bias = parameters
    return (points @ first + first_bias).relu() @ second + second_bias
