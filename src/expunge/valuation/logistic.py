"""Many logistic regressions at once: one for each row of a matrix of sample weights, all on the same examples.

Model j of m minimises what scikit-learn's `LogisticRegression` does on the examples that its weights choose:

    sum_i w_ji * loss(theta_j; x_i, y_i) + |theta_j|^2 / (2 C),      loss: binary or softmax cross-entropy; intercepts are free

Features are centred and turned to their principal axes once for all models, which changes no solution. There the Hessian of
model j is close to the diagonal c * n_j * Lambda + 1 / C, where Lambda holds the variances and n_j the sum of its weights.
L-BFGS that starts from this diagonal takes all models' steps together: two products of matrices a step, whatever the number of
models. Logits are linear along a step, so its length is found without further products. Models that are done drop out.

Reference: D. C. Liu, J. Nocedal. "On the Limited Memory BFGS Method for Large Scale Optimization", Mathematical Programming 45,
1989.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from expunge.errors import BadSetting

_HISTORY = 5  # pairs that L-BFGS remembers
_FLAT = 0.3  # share of the slope at its start that may be left, uphill, where a step ends
_SECANTS = 20
_BINARY_CURVATURE, _SOFTMAX_CURVATURE = 0.15, 0.06  # of the loss in its logit, as it is typical of trained models
SURE = 40.0  # logit of the only class that a model has seen


@dataclass(frozen=True)
class Logistic:
    """Logistic regressions of one kind, and how exactly they are found.

    Args:
        C: inverse strength of the penalty, > 0, as in scikit-learn.
        intercept: whether there is one.
        tolerance: largest entry of a gradient, over the sum of weights, at which a model is done.
        steps: at most.
    """

    C: float = 1.0
    intercept: bool = True
    tolerance: float = 1e-4
    steps: int = 300

    def __post_init__(self) -> None:
        if not self.C > 0 or not self.tolerance > 0 or self.steps < 1:
            raise BadSetting("logistic: C and tolerance must be above 0, and steps at least 1")

    def probabilities(self, inputs: Tensor, targets: Tensor, classes: int, weights: Tensor, asked: Tensor) -> Tensor:
        """Train a model for each row of `weights`, and ask all of them about `asked`, shape (v, d).

        Returns:
            shape (m, v, classes).
        """
        return self.train(inputs, targets, classes, weights)(asked)

    def train(self, inputs: Tensor, targets: Tensor, classes: int, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Train a model for each row of `weights`.

        A model that sees no example answers every class alike; one that sees one class is sure of it; classes that it does not
        see have probability 0.

        Args:
            inputs: shape (n, d), real numbers.
            targets: shape (n,), from 0 to `classes` - 1.
            classes: at least 2.
            weights: shape (m, n), 0 or more.

        Returns:
            from inputs, shape (v, d), to the probabilities of all models, shape (m, v, classes).
        """
        centre = inputs.mean(0) if self.intercept else torch.zeros_like(inputs[0])
        axes, variances = principal_axes(inputs - centre)
        points = (inputs - centre) @ axes
        seen = (one_hot(targets, classes).to(inputs).T @ weights.T) > 0  # (classes, m)
        trained = (seen.sum(0) > 1).nonzero().squeeze(1)
        problem = _Problem(points, targets, classes, weights[trained].T.contiguous(), seen[:, trained], variances, self)
        parameters = _minimised(problem)
        shown = seen | ~seen.any(0)

        def ask(asked: Tensor) -> Tensor:
            logits = torch.zeros(len(asked), classes, len(weights)).to(asked)
            values = problem.logits((asked - centre) @ axes, parameters)
            logits[:, -values.shape[1] :, trained] = values
            logits[:, :, shown.sum(0) == 1] = SURE
            return logits.masked_fill_(~shown, -torch.inf).softmax(1).permute(2, 0, 1)

        return ask


def principal_axes(points: Tensor) -> tuple[Tensor, Tensor]:
    """Directions, one a column, and the mean square of points along each."""
    variances, axes = torch.linalg.eigh((points.T @ points / len(points)).double())
    return axes.to(points), variances.clamp(min=0).to(points)


class _Problem:
    """Slopes of m models, whose parameters are (d + 1, k, m): k is 1 for two classes, else their number; models stand last."""

    def __init__(
        self, points: Tensor, targets: Tensor, classes: int, weights: Tensor, seen: Tensor, variances: Tensor, how: Logistic
    ) -> None:
        self.points, self.how, self.binary = points, how, classes == 2
        self.truth = one_hot(targets, classes).to(points)[:, int(self.binary) :, None]  # (n, k, 1)
        self.weights = weights[:, None]  # (n, 1, m)
        self.total = weights.sum(0)
        self.hidden = None if self.binary or bool(seen.all()) else torch.where(seen, 0.0, -torch.inf).to(points)
        curvature = (_BINARY_CURVATURE if self.binary else _SOFTMAX_CURVATURE) * self.total
        spread = curvature * variances[:, None] + 1 / how.C
        self.scale = 1 / torch.cat([spread, curvature[None]])[:, None]  # (d + 1, 1, m)

    def part(self, models: Tensor) -> "_Problem":
        """The same for some of the models."""
        found = object.__new__(_Problem)
        found.__dict__.update(self.__dict__)
        found.weights, found.total, found.scale = (each[..., models] for each in (self.weights, self.total, self.scale))
        found.hidden = None if self.hidden is None else self.hidden[:, models]
        return found

    def logits(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Shape (rows, k, m)."""
        found = (points @ parameters[:-1].flatten(1)).view(len(points), *parameters.shape[1:])
        return found.add_(parameters[-1]) if self.how.intercept else found

    def residuals(self, logits: Tensor) -> Tensor:
        """Slopes in the logits, shape (n, k, m)."""
        if self.binary:
            return logits.sigmoid().sub_(self.truth).mul_(self.weights)
        shown = logits if self.hidden is None else logits + self.hidden
        return shown.softmax(1).sub_(self.truth).mul_(self.weights)

    def gradients(self, residuals: Tensor, parameters: Tensor) -> Tensor:
        """Slopes in the parameters."""
        slopes = (self.points.T @ residuals.flatten(1)).view(-1, *parameters.shape[1:]) + parameters[:-1] / self.how.C
        free = residuals.sum(0, keepdim=True) if self.how.intercept else torch.zeros_like(slopes[:1])
        return torch.cat([slopes, free])


def _minimised(whole: _Problem) -> Tensor:
    """Parameters of all models."""
    answer = torch.zeros(whole.points.shape[1] + 1, whole.truth.shape[1], whole.weights.shape[2]).to(whole.points)
    if not answer.shape[2]:
        return answer
    left, problem, at = torch.arange(answer.shape[2], device=answer.device), whole, answer.clone()
    logits = problem.logits(problem.points, at)
    slope = problem.gradients(problem.residuals(logits), at)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(whole.how.steps):
        step = -_times_inverse_hessian(slope, pairs, problem.scale)
        moved, residuals = _taken(problem, logits, at, step, _dots(slope, step))
        at = at + moved
        before, slope = slope, problem.gradients(residuals, at)
        turned = slope - before
        curved = _dots(moved, turned)
        pairs = [*pairs[1 - _HISTORY :], (moved, turned, torch.where(curved > 0, 1 / curved, 0.0))]
        done = slope.abs().amax((0, 1)) <= whole.how.tolerance * problem.total
        if done.any():
            answer[..., left[done]] = at[..., done]
            if done.all():
                return answer
            stay = (~done).nonzero().squeeze(1)
            problem = problem.part(stay)
            left, at, logits, slope = (each[..., stay] for each in (left, at, logits, slope))
            pairs = [(a[..., stay], b[..., stay], c[stay]) for a, b, c in pairs]
    answer[..., left] = at
    return answer


def _taken(problem: _Problem, logits: Tensor, at: Tensor, step: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """A step of each model cut to where its loss no longer falls, of which `logits` becomes part; and the residuals there.

    A convex loss has fallen wherever its slope along the step is not above 0, and hardly risen where that is small.
    """
    along = problem.logits(problem.points, step)
    pull = (step[:-1] * at[:-1]).sum((0, 1)) / problem.how.C
    drag = step[:-1].square().sum((0, 1)) / problem.how.C
    length = torch.ones_like(start)
    for _ in range(_SECANTS):
        residuals = problem.residuals(torch.addcmul(logits, along, length))
        end = (residuals * along).sum((0, 1)) + pull + length * drag
        far = end > -_FLAT * start
        if not far.any():
            break
        length = torch.where(far, length * start / (start - end), length)
    else:
        residuals = problem.residuals(torch.addcmul(logits, along, length))
    logits.addcmul_(along, length)
    return step * length, residuals


def _times_inverse_hessian(slope: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]], scale: Tensor) -> Tensor:
    """What L-BFGS knows of the inverse Hessian, times the gradient."""
    found, shares = slope, []
    for moved, turned, inverse in reversed(pairs):
        shares.append(inverse * _dots(moved, found))
        found = torch.addcmul(found, turned, shares[-1], value=-1)
    found = scale * found
    if pairs:
        _, turned, inverse = pairs[-1]
        held = inverse * _dots(turned, scale * turned)
        found = found * torch.where(held > 0, 1 / held, 1.0)
    for (moved, turned, inverse), share in zip(pairs, reversed(shares), strict=True):
        found = torch.addcmul(found, moved, share - inverse * _dots(turned, found))
    return found


def _dots(first: Tensor, second: Tensor) -> Tensor:
    """A number for each model, shape (m,)."""
    return (first * second).sum((0, 1))
