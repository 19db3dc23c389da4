"""Fisher forgetting: noise on the weights, the less the more what stays depends on them.

    theta_j <- theta_j + sigma_j * epsilon_j,     epsilon_j ~ N(0, 1),     sigma_j^2 = min( alpha * F_j^(-1/2), variance_cap )

F is the diagonal Fisher information over the retained data. What only the forgotten examples needed is drowned; where the
retained data say nothing of a weight, the cap alone bounds its noise. No training follows, so that noise which hides much costs
much as well. Published is a Fisher information over all labels that the model finds likely; here it is that of the true ones.
A draw is one of many: another seed is another model.

Reference: A. Golatkar, A. Achille, S. Soatto. "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
CVPR 2020, arXiv 1911.04933.
Needs: retain data. Costs: one gradient for each example that the Fisher information is measured on; no training.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.gradients import diagonal_fisher
from expunge.methods.method import Method
from expunge.split import Shuffled, Split
from expunge.tasks import Task


@dataclass(frozen=True)
class FisherForgetting(Method):
    """Disturb the weights that the retained data do not need.

    Args:
        alpha: scale of the variance, 0 or more: the knob to turn. At 0 nothing changes.
        variance_cap: largest variance of the noise on one weight, 0 or more; None for no cap, with which weights that the
            retained data never use are lost.
        per_example: true Fisher of single examples; False for the squared gradient of batches, which is cheaper.
        max_examples: retained examples to measure on, drawn at random; None for all.
    """

    alpha: float = 1e-5
    variance_cap: float | None = 1e-2
    per_example: bool = True
    max_examples: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.alpha >= 0, f"alpha must be 0 or more, not {self.alpha}")
        cap, most = self.variance_cap, self.max_examples
        self.require(cap is None or cap >= 0, f"variance_cap must be 0 or more, not {cap}")
        self.require(most is None or most >= 1, f"max_examples must be at least 1, not {most}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def losses(model: nn.Module, batch: Any) -> Tensor:
            return task.likelihood_losses(task.outputs(model, batch), batch)

        order = Shuffled(split.retain, engine.generator("fisher"))
        fisher = diagonal_fisher(student, losses, order, self.per_example, self.max_examples, vectorized=task.vectorizes)
        generator, parameters = engine.generator("noise"), dict(student.named_parameters())
        with torch.no_grad():
            for name, information in fisher.items():
                noise = torch.randn(information.shape, generator=generator).to(information)
                parameters[name].add_(noise * variance(information, self.alpha, self.variance_cap).sqrt())
        return student


def variance(information: Tensor, alpha: float, cap: float | None) -> Tensor:
    """sigma^2 for each weight.

    >>> variance(torch.tensor([4.0, 1e-4, 0.0]), 0.02, 1.0)
    tensor([0.0100, 1.0000, 1.0000])
    """
    least = torch.finfo(information.dtype).tiny
    found = alpha * information.clamp_min(least).rsqrt()
    return found if cap is None else found.clamp(max=cap)
