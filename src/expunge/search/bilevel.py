"""The two levels of a search: the architecture is judged by how well the weights that follow from it do on other data.

    min_alpha L_val(w*(alpha), alpha)    where    w*(alpha) = argmin_w L_train(w, alpha)

First order takes the weights as they are for w*. Second order takes one step of them, w' = w - xi (momentum v + g + decay w)
with g = grad_w L_train(w, alpha), and follows alpha through it by a finite difference:

    grad_alpha L_val(w', alpha) - xi (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / (2 eps)
    w+- = w +- eps grad_w' L_val(w', alpha),    eps = 0.01 / |grad_w' L_val(w', alpha)|

Weights and architecture step together, from gradients at the same point.

Reference: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, equations 3
to 8.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from expunge.optimizers import Schedule, learning_rate_factor
from expunge.search.expected_cost import ExpectedCost
from expunge.search.genotype import KINDS
from expunge.search.halves import HalfBatches
from expunge.search.supernet import Supernet, over_inputs
from expunge.search.two_optimizers import SGDAndAdam

SCHEDULE: Schedule = "cosine"  # of the weights' rate
_DIFFERENCE = 0.01  # eps times the norm of the gradient; the authors'
Named = Mapping[str, Tensor]
LossOf = Callable[[Named, Named], Tensor]


def gradients(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Of a scalar by each of the tensors; 0 for those that it does not depend on."""
    found = torch.autograd.grad(loss, list(tensors), allow_unused=True)
    return [torch.zeros_like(each) if grad is None else grad for each, grad in zip(tensors, found, strict=True)]


def first_order(validation: LossOf, weights: Named, architecture: Named) -> tuple[Tensor, list[Tensor]]:
    """The loss L_val(w, alpha), and its gradient by each tensor of the architecture."""
    loss = validation(weights, architecture)
    return loss.detach(), gradients(loss, list(architecture.values()))


def second_order(
    validation: LossOf,
    training: LossOf,
    weights: Named,
    architecture: Named,
    step: Callable[[list[Tensor], list[Tensor], float], list[Tensor]],
    rate: float,
    difference: float = _DIFFERENCE,
) -> tuple[Tensor, list[Tensor]]:
    """The loss L_val(w', alpha), and its gradient by each tensor of the architecture through w'; see the module.

    Args:
        validation: L_val of weights and architecture by name.
        training: L_train of the same.
        weights: w; leaves that require gradients.
        architecture: alpha; leaves that require gradients.
        step: from w, grad_w L_train and xi to w'.
        rate: xi.
        difference: eps |grad_w' L_val|.
    """
    names, alphas = list(weights), list(architecture.values())
    now = [weights[name] for name in names]
    stepped = step(now, gradients(training(weights, architecture), now), rate)
    stepped = [each.detach().requires_grad_() for each in stepped]
    loss = validation(dict(zip(names, stepped, strict=True)), architecture)
    found = gradients(loss, [*alphas, *stepped])
    direct, along = found[: len(alphas)], found[len(alphas) :]
    norm = torch.stack([each.square().sum() for each in along]).sum().sqrt()
    if not norm > 0:  # a step that changes nothing has no second part
        return loss.detach(), direct
    eps = difference / norm

    def beside(sign: float) -> list[Tensor]:
        moved = {name: (w + sign * eps * v).detach() for name, w, v in zip(names, now, along, strict=True)}
        return gradients(training(moved, architecture), alphas)

    parts = zip(direct, beside(1.0), beside(-1.0), strict=True)
    return loss.detach(), [d - rate * (plus - minus) / (2 * eps) for d, plus, minus in parts]


class Bilevel(nn.Module):
    """What a gradient search trains: called with `HalfBatches` it returns the terms of the loss.

    The term "weights" has gradients by the weights alone, "architecture" by the architecture alone; the latter is left out
    while the search warms up. How many steps were made is a buffer, so that a search that goes on after a restart knows.

    Args:
        supernet: with its architecture.
        steps: of the whole search.
        warmup: steps in which the weights alone are trained.
        order: 1 or 2.
        cost: what networks cost; weighs in with `cost_weight`.
        cost_weight: of the expected cost, in units of a random network's.
        temperatures: of sampled operations, at the beginning and at the end.
        augment: changes a batch of images of the weights' half, with torch's generator.
        criterion: cross entropy, shapes (n, classes) and (n,) -> scalar.
    """

    step: Tensor

    def __init__(
        self,
        supernet: Supernet,
        steps: int,
        warmup: int,
        order: int,
        cost: ExpectedCost,
        cost_weight: float = 0.0,
        temperatures: tuple[float, float] = (1.0, 1.0),
        augment: Callable[[Tensor], Tensor] | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> None:
        super().__init__()
        self.supernet = supernet
        self.steps, self.warmup, self.order = steps, warmup, order
        self.cost, self.cost_weight, self.temperatures = cost, cost_weight, temperatures
        self.augment, self.criterion = augment, criterion
        self.optimizer: SGDAndAdam | None = None  # of the fit under way: second order looks one step ahead
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @property
    def architecture_steps(self) -> int:
        """Steps of the architecture so far."""
        return max(0, int(self.step) - self.warmup)

    def forward(self, halves: HalfBatches) -> dict[str, Tensor]:
        done = int(self.step)
        self.step += 1
        hot, cold = self.temperatures
        self.supernet.temperature = hot + (cold - hot) * min(1.0, done / max(1, self.steps - 1))
        inputs, labels = halves.weights[0], halves.weights[1]
        batch = (inputs if self.augment is None else self.augment(inputs), labels)
        terms = {}
        if done >= self.warmup:
            terms["architecture"] = self._architecture_term(batch, halves.architecture, done)
        fixed = {name: each.detach() for name, each in self.supernet.architecture.items()}
        terms["weights"] = self.criterion(self.supernet(batch[0], fixed), batch[1])
        return terms

    def _architecture_term(self, training: Any, validation: Any, done: int) -> Tensor:
        """The loss of the architecture as a scalar whose gradient is the one that was found; graphs are freed by then."""
        architecture = dict(self.supernet.architecture.items())
        weights = {name: each for name, each in self.supernet.named_parameters() if not name.startswith("architecture.")}
        own = next(iter(weights.values()))

        def loss_on(batch: Any) -> LossOf:
            def loss(weights: Named, architecture: Named) -> Tensor:
                same = next(iter(weights.values())) is own
                arguments = (batch[0], architecture)
                logits = self.supernet(*arguments) if same else functional_call(self.supernet, dict(weights), arguments)
                return self.criterion(logits, batch[1])

            return loss

        if self.order == 1:
            value, found = first_order(loss_on(validation), weights, architecture)
        else:
            assert self.optimizer is not None, "second order needs the optimizer"
            # What the engine will set for this step; the optimizer still has the last one's, and after a restart the first.
            rate = self.optimizer.sgd_rate * learning_rate_factor(SCHEDULE, done / self.steps)
            step = self.optimizer.coming_step
            value, found = second_order(loss_on(validation), loss_on(training), weights, architecture, step, rate)
        term = value + sum(
            ((each - each.detach()) * grad).sum() for each, grad in zip(architecture.values(), found, strict=True)
        )
        return term + self.cost_weight * self.relative_cost() if self.cost_weight else term

    def relative_cost(self) -> Tensor:
        """The expected cost of a network by the architecture as it is, 1 for the mean random one; differentiable."""
        return self.expected_cost() / self.cost.mean_random

    def expected_cost(self) -> Tensor:
        """The expected cost of a network by the architecture as it is, in the unit of `cost`; differentiable."""
        used = self.supernet.architecture
        weights = {kind: used[f"alpha_{kind}"].softmax(1) for kind in KINDS}
        edges = {kind: over_inputs(used[f"beta_{kind}"], self.supernet.nodes) for kind in KINDS if f"beta_{kind}" in used}
        return self.cost(weights, edges)
