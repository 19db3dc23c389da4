"""Many ridge regressions at once, in closed form: one for each row of a matrix of sample weights.

theta_j = argmin sum_i w_ji (theta . x_i - y_i)^2 + alpha |theta|^2,      the intercept is free
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.errors import BadSetting


@dataclass(frozen=True)
class RidgeRegression:
    """As scikit-learn's `Ridge`.

    Args:
        alpha: strength of the penalty, > 0.
        intercept: whether there is one.
    """

    alpha: float = 1.0
    intercept: bool = True

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise BadSetting(f"ridge: alpha must be above 0, not {self.alpha}")

    def train(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Train a model for each row of `weights`.

        Args:
            inputs: shape (n, d).
            targets: shape (n,), real numbers.
            weights: shape (m, n), 0 or more, none of the rows all 0.

        Returns:
            from inputs, shape (v, d), to the answers of all models, shape (m, v).
        """
        inputs, targets, weights = (each.double() for each in (inputs, targets, weights))
        shares = weights / weights.sum(1, keepdim=True)
        centres = shares @ inputs if self.intercept else torch.zeros(len(weights), inputs.shape[1]).to(inputs)
        means = shares @ targets if self.intercept else torch.zeros(len(weights)).to(inputs)
        penalty = self.alpha * torch.eye(inputs.shape[1]).to(inputs)
        found = []
        for weight, centre, mean in zip(weights, centres, means, strict=True):
            apart = inputs - centre
            near = (apart * weight[:, None]).T
            found.append(torch.linalg.solve(near @ apart + penalty, near @ (targets - mean)))
        slopes = torch.stack(found)
        return lambda asked: slopes @ asked.double().T + (means - (slopes * centres).sum(1))[:, None]
