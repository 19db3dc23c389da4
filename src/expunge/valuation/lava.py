"""LAVA: how much nearer, in optimal transport, the training set comes to the validation set by more mass on a point.

    OT(mu, nu) = min over plans pi of  sum_ij pi_ij C_ij + epsilon KL(pi | mu x nu),      mu, nu uniform on the two sets
    C((x, y), (x', y')) = |x - x'|^2 + c * W(y, y')
    v_i = - ( f_i - sum_{j != i} f_j / (n - 1) )

f is the dual potential of the training set: the gradient of OT in its masses, which is calibrated, since mass on one point is
taken from all others. W is the distance of the inputs that are labelled y in training and y' in validation, both taken as
Gaussian with independent features: |mean - mean'|^2 + |deviation - deviation'|^2. A wrongly labelled point is far in W from the
validation points that look like it. The paper takes the Wasserstein distance between the two classes' inputs for W. A class
that training lacks is taken to be as it is in the validation set.

f comes from Sinkhorn's iterations on logarithms, epsilon falling to its last value, until the plan's masses are right to 1 %. A
new point's potential is the soft c-transform f(z) = - epsilon ln mean_j exp((g_j - C(z, j)) / epsilon), which gives f_i at
training points.

Reference: H. A. Just, F. Kang, J. T. Wang, Y. Zeng, M. Ko, M. Jin, R. Jia. "LAVA: Data Valuation without Pre-Specified Learning
Algorithms", ICLR 2023, arXiv 2305.00054.
Needs: classes. The utility's model and metric are not asked. Costs: no trainings; memory for four n x v matrices.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array, Points

_RIGHT = 0.01  # mean share by which the validation points' masses may be wrong
_FALL = 0.5  # of epsilon, from one round to the next


@dataclass
class LAVA(ValuationMethod):
    """Calibrated gradients of class-wise optimal transport.

    Args:
        label_weight: c, 0 or more.
        epsilon: strength of the entropy, as a share of the mean of C.
        iterations: of Sinkhorn, at most, in each round.
    """

    label_weight: float = 1.0
    epsilon: float = 0.05
    iterations: int = 200

    asks_model: ClassVar[bool] = False
    zero_is_neutral: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.label_weight < math.inf:
            raise BadSetting(f"lava: label_weight must be 0 or more, not {self.label_weight}")
        if not 0 < self.epsilon <= 1:
            raise BadSetting(f"lava: epsilon must lie above 0, and be at most 1, not {self.epsilon}")
        if self.iterations < 1:
            raise BadSetting(f"lava: iterations must be at least 1, not {self.iterations}")

    def find(self, game: Game) -> Found:
        points, valid = game.points, game.valid
        if not len(points.classes):
            raise BadSetting("lava: labels have distances where they are classes, and the targets are real numbers")
        between = self.label_weight * _between(points, valid)
        cost = _costs(points, valid, between)
        epsilon = max(self.epsilon * float(cost.mean()), 1e-12)
        potentials = _sinkhorn(cost, epsilon, self.iterations)
        found = _transform(cost, potentials, epsilon)
        mean, factor = found.mean(), len(points) / max(len(points) - 1, 1)

        def rule(others: Points) -> Array:
            return np.asarray(factor * (mean - _transform(_costs(others, valid, between), potentials, epsilon)).numpy())

        return Found(rule(points), rule, facts={"distance": float(mean + potentials.mean())})


def _shapes(points: Points) -> Array:
    """Mean and deviation of each class's inputs, shape (classes, 2 d); NaN for classes without any."""
    found = np.full((len(points.classes), 2 * points.flat.shape[1]), np.nan)
    for each in np.unique(points.targets):
        inputs = points.flat[points.targets == each].astype(float)
        found[each] = np.concatenate([inputs.mean(0), inputs.std(0)])
    return found


def _between(points: Points, valid: Points) -> Array:
    """W, shape (classes, classes)."""
    first, second = _shapes(points), _shapes(valid)
    first = np.where(np.isnan(first), second, first)
    return np.square(first[:, None] - second).sum(2)


def _costs(points: Points, valid: Points, between: Array) -> Tensor:
    """C, shape (n, v)."""
    first, second = (torch.as_tensor(each.flat.astype(float)) for each in (points, valid))
    cost = torch.cdist(first, second).square_()
    return cost.add_(torch.as_tensor(between)[points.targets][:, valid.targets])


def _sinkhorn(cost: Tensor, epsilon: float, iterations: int) -> Tensor:
    """g, the potential of the validation set."""
    potentials, blur = torch.zeros(cost.shape[1]).to(cost), max(float(cost.max()), epsilon)
    while True:
        for _ in range(iterations):
            found = _transform(cost, potentials, blur)
            before, potentials = potentials, _transform(cost.T, found, blur)
            if float((((before - potentials) / blur).exp() - 1).abs().mean()) <= _RIGHT:
                break
        if blur <= epsilon:
            return potentials
        blur = max(_FALL * blur, epsilon)


def _transform(cost: Tensor, potentials: Tensor, epsilon: float) -> Tensor:
    """Soft c-transform: - epsilon ln mean_j exp((g_j - C_ij) / epsilon), shape (n,)."""
    return -epsilon * (((potentials - cost) / epsilon).logsumexp(1) - math.log(len(potentials)))
