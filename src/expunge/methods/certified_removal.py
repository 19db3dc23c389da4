"""Certified removal: Newton steps to the optimum without what goes, and noise that hides how far they stopped from it.

    F(w)  =  mean_{retain} CE(w^T z_i, y_i) + (lambda / 2) |w|^2,       z_i rows of S_r^K X on the retained graph, and a 1
    w    <-  w - H(w)^-1 grad F(w),                                     `steps` times, halved while F does not fall
    w     +  N(0, sigma^2)

F is strongly convex with modulus lambda, so the optimum w* that retraining seeks is no farther away than can be measured:

    |w - w*|  <=  D  =  |grad F(w)| / lambda

What is certified: for sigma the smallest that satisfies

    Phi(D / 2 sigma - epsilon sigma / D) - e^epsilon Phi(-D / 2 sigma - epsilon sigma / D)  <=  delta,

the released weights w + N(0, sigma^2) and those of retraining, w* + N(0, sigma^2), are (epsilon, delta)-indistinguishable: for
any set T of weights P(w + noise in T) <= e^epsilon P(w* + noise in T) + delta, and the other way round.

Under which assumptions: retraining is minimising this F, to the end; one request is served, and requests in turn are each
certified against their own retraining, but what all released weights say together is not; sigma itself, which the residual
determines, is not secret. About the trained model nothing is assumed: the residual is measured where the steps have ended, and
not bounded beforehand. How good the start was shows in sigma.

Published is one step from the exact optimum with what goes, one-versus-rest logistic regression, and noise in the objective of
training, b^T w, whose scale bounds the residuals that may be added up before retraining. Here it is the task's own loss, more
than one step, since other models were not trained to the optimum of F, and noise on the weights. H is never made: its inverse
is applied by conjugate gradients, in double precision.

Reference: E. Chien, C. Pan, O. Milenkovic. "Efficient Model Updates for Approximate Unlearning of Graph-Structured Data", ICLR
2023, and "Certified Graph Unlearning", arXiv 2206.09140; C. Guo, T. Goldstein, A. Hannun, L. van der Maaten. "Certified Data
Removal from Machine Learning Models", ICML 2020, arXiv 1911.03030; the noise: B. Balle, Y.-X. Wang. "Improving the Gaussian
Mechanism for Differential Privacy", ICML 2018, arXiv 1805.06530.
Needs: retained data, and an `sgc` network. Costs: the averaged features of the retained graph, and for each step some hundred
products with those of the retained nodes.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.special import log_ndtr, ndtr
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.graphs import Graph
from expunge.methods.method import Method
from expunge.models.sgc import SGC
from expunge.split import Split
from expunge.tasks import NodeClassificationTask, Task

_ROUNDING = 1e-12  # a gradient below this is not made smaller by another step


@dataclass(frozen=True)
class Certificate:
    """What is certified of one removal.

    Args:
        epsilon: as asked for.
        delta: as asked for.
        residual: |grad F(w)| where the steps ended.
        distance: D, the most that w can lie away from the optimum of retraining.
        noise: sigma, of each weight.
    """

    epsilon: float
    delta: float
    residual: float
    distance: float
    noise: float


@dataclass(frozen=True)
class CertifiedRemoval(Method):
    """Newton steps on the retained data, and noise; :meth:`certificate` says what holds of the result.

    Args:
        epsilon: > 0; smaller is harder to tell from retraining, and takes more noise. Infinite for no noise.
        delta: above 0 and below 1: the probability with which epsilon may be broken.
        regularisation: lambda, > 0, beside the mean loss; where the model was trained with one (`weight_decay` of sgd and
            adam), the same. Small features need a small one.
        steps: Newton steps at most, at least 1; as published, 1, where the model was trained to the optimum.
    """

    epsilon: float = 1.0
    delta: float = 1e-4
    regularisation: float = 1e-5
    steps: int = 8

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (NodeClassificationTask,)
    why_not: ClassVar[str] = (
        "the certificate is of a linear model that classifies nodes; ridge-downdate is exact for regression"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.epsilon > 0, f"epsilon must be above 0, not {self.epsilon}")
        self.require(0 < self.delta < 1, f"delta must lie between 0 and 1, not {self.delta}")
        self.require(self.regularisation > 0, f"regularisation must be above 0, not {self.regularisation}")
        self.require(self.steps >= 1, f"steps must be at least 1, not {self.steps}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        weights, found = self._removed(student, split)
        noise = torch.randn(weights.shape, generator=engine.generator("noise"), dtype=torch.float64)
        weights = weights + found.noise * noise.to(weights.device)
        assert isinstance(student, SGC)
        with torch.no_grad():
            student.head.weight.copy_(weights[: student.head.in_features].T)
            if student.head.bias is not None:
                student.head.bias.copy_(weights[-1])
        return student

    def certificate(self, model: nn.Module, split: Split) -> Certificate:
        """What is certified of the weights that this method makes of `model` (before: the trained one) for a request."""
        return self._removed(model, split)[1]

    def _removed(self, model: nn.Module, split: Split) -> tuple[Tensor, Certificate]:
        """The weights before noise, (F + 1, C), and what they certify."""
        self.require(
            isinstance(model, SGC),
            f"the certificate is of sgc, a linear model on averaged features, not of {type(model).__name__}",
        )
        assert isinstance(model, SGC)
        objective = Objective.of(model, split.retain, self.regularisation)
        weights = model.head.weight.detach().T.double()
        if model.head.bias is not None:
            weights = torch.cat([weights, model.head.bias.detach().double()[None]])
        for _ in range(self.steps):
            if float(objective.gradient(weights).norm()) < _ROUNDING:
                break
            weights = objective.newton_step(weights)
        residual = float(objective.gradient(weights).norm())
        distance = residual / self.regularisation
        return weights, Certificate(
            self.epsilon, self.delta, residual, distance, noise_scale(distance, self.epsilon, self.delta)
        )


@dataclass(frozen=True, eq=False)
class Objective:
    """F, of rows (n, F + 1) and labels (n,); weights are (F + 1, C)."""

    rows: Tensor
    labels: Tensor
    regularisation: float

    @classmethod
    def of(cls, model: SGC, stream: Any, regularisation: float) -> "Objective":
        """Of the averaged features of the nodes of a stream, with a one for the bias where the model has one."""
        graph: Graph = stream.graph.to(model.head.weight.device)
        assert graph.labels is not None
        nodes = stream.nodes.to(graph.edges.device)
        rows = model.propagated(graph)[nodes].double()
        if model.head.bias is not None:
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        return cls(rows, graph.labels[nodes], regularisation)

    def value(self, weights: Tensor) -> float:
        """F(w)."""
        loss = nn.functional.cross_entropy(self.rows @ weights, self.labels)
        return float(loss + self.regularisation / 2 * weights.square().sum())

    def gradient(self, weights: Tensor) -> Tensor:
        """Gradient of F at w."""
        wrong = (self.rows @ weights).softmax(1)
        wrong[torch.arange(len(wrong)), self.labels] -= 1
        return self.rows.T @ wrong / len(wrong) + self.regularisation * weights

    def newton_step(self, weights: Tensor) -> Tensor:
        """w - t H^-1 grad F, with t the first of 1, 1/2, 1/4, ... by which F falls as it should (Armijo)."""
        gradient, shares = self.gradient(weights), (self.rows @ weights).softmax(1)

        def curved(vector: Tensor) -> Tensor:
            moved = self.rows @ vector
            bent = shares * (moved - (shares * moved).sum(1, keepdim=True))
            return self.rows.T @ bent / len(bent) + self.regularisation * vector

        step = conjugate_gradients(curved, gradient)
        before, slope, length = self.value(weights), float((gradient * step).sum()), 1.0
        while length > 1e-6 and not self.value(weights - length * step) <= before - 1e-4 * length * slope + 1e-14 * abs(before):
            length /= 2
        return weights - length * step


def conjugate_gradients(product: Any, target: Tensor, tolerance: float = 1e-6, iterations: int = 1000) -> Tensor:
    """The solution x of product(x) = target, for a symmetric positive product, up to a relative residual of `tolerance`."""
    found, left = torch.zeros_like(target), target.clone()
    way, size = left.clone(), float(left.square().sum())
    goal = tolerance**2 * size
    for _ in range(iterations):
        if size <= goal:
            break
        bent = product(way)
        length = size / float((way * bent).sum())
        found, left = found + length * way, left - length * bent
        before, size = size, float(left.square().sum())
        way = left + size / before * way
    return found


def noise_scale(distance: float, epsilon: float, delta: float) -> float:
    """The smallest sigma with which two points so far apart are (epsilon, delta)-indistinguishable; see the module.

    >>> round(noise_scale(1.0, 1.0, 1e-5), 3), noise_scale(1.0, math.inf, 1e-5), noise_scale(0.0, 1.0, 1e-5)
    (3.731, 0.0, 0.0)
    """
    if math.isinf(epsilon) or not distance:
        return 0.0
    low, high = 0.0, 1.0  # of distance / sigma, in which delta grows
    while leak(high, epsilon) < delta:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if leak(middle, epsilon) < delta else (low, middle)
    return distance / low


def leak(ratio: float, epsilon: float) -> float:
    """The delta of two points that lie `ratio` times the noise apart."""
    return float(ndtr(ratio / 2 - epsilon / ratio) - math.exp(min(0.0, epsilon + log_ndtr(-ratio / 2 - epsilon / ratio))))
