"""Ridge downdate: remove examples exactly from linear or ridge regression, and from the last layer of a deep model.

With features f (n, d), a one appended to each for the bias, and targets y (n, k), ridge regression has

    A = f^T f + lambda * I',      b = f^T y,      W = A^-1 b,        I' the identity with a zero for the bias

Taking out rows f_u, y_u is a rank-u change, which Woodbury's identity makes without looking at the rest:

    A_r^-1 = A^-1 + A^-1 f_u^T (I - f_u A^-1 f_u^T)^-1 f_u A^-1,      b_r = b - f_u^T y_u,      W_r = A_r^-1 b_r

W_r is what refitting on the retained rows gives, to rounding. Of a deep model only the last layer is so made anew: for the
features it is exact, but layers below were trained on what must go and still may show it.

Reference: M. Woodbury. "Inverting Modified Matrices", Princeton 1950; as removal C. Guo, T. Goldstein, A. Hannun, L. van der
Maaten. "Certified Data Removal from Machine Learning Models", ICML 2020, arXiv 1911.03030 (section 3, linear models).
Needs: forget data, and either retained data or the statistics kept from training. Costs: one pass over the data; with
statistics, over the forget data alone.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine, on_device_of
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.methods.method import Method
from expunge.modes import evaluating
from expunge.split import Shuffled, Split
from expunge.storage import read_weights, write_weights
from expunge.tasks import RegressionTask, Task
from expunge.tasks.embedding import embedding, last_linear

_SINGULAR = 1e-9  # a squared pivot below this share of its diagonal is rounding


@dataclass(frozen=True, eq=False)
class RidgeStatistics:
    """What a server keeps of training, to remove rows later: sums over rows, not the rows themselves.

    Args:
        inverse: A^-1, shape (d + 1, d + 1), float64, the bias last.
        moment: b, shape (d + 1, k), float64.
        rows: how many rows they hold.
    """

    inverse: Tensor
    moment: Tensor
    rows: int

    @classmethod
    def of(cls, features: Tensor, targets: Tensor, regularisation: float = 0.0) -> "RidgeStatistics":
        """Statistics of rows.

        Args:
            features: shape (n, d).
            targets: shape (n, k).
            regularisation: lambda, >= 0; not applied to the bias. 0 needs features of full rank.

        Raises:
            BadSetting: if the equations have no unique solution.
        """
        rows = _with_one(features)
        penalty = torch.full((rows.shape[1],), regularisation, dtype=torch.float64)
        penalty[-1] = 0.0
        factor = _cholesky(rows.T @ rows + penalty.diag())
        if factor is None:
            raise BadSetting("the features are linearly dependent, so regression has no unique solution; use regularisation")
        return cls(torch.cholesky_inverse(factor), rows.T @ _columns(targets), len(rows))

    def without(self, features: Tensor, targets: Tensor) -> "RidgeStatistics":
        """Statistics of the other rows, where those given are some of the rows.

        Raises:
            BadRequest: if as many rows go as there are, or what is left has no unique solution.
        """
        gone, moment = _with_one(features), _columns(targets)
        if gone.shape[1] != len(self.inverse) or moment.shape[1] != self.moment.shape[1]:
            raise BadSetting(
                f"the statistics are of {len(self.inverse) - 1} features and {self.moment.shape[1]} targets, "
                f"the rows have {gone.shape[1] - 1} and {moment.shape[1]}"
            )
        if len(gone) >= self.rows:
            raise BadRequest(f"{len(gone):,} rows cannot be removed from statistics of {self.rows:,}: none would be left")
        reach = self.inverse @ gone.T
        factor = _cholesky(torch.eye(len(gone), dtype=torch.float64) - gone @ reach)
        if factor is None:
            raise BadRequest(
                "without these rows regression has no unique solution, or they are not among the rows of the statistics"
            )
        inverse = self.inverse + reach @ torch.cholesky_solve(reach.T, factor)
        return RidgeStatistics(inverse, self.moment - gone.T @ moment, self.rows - len(gone))

    @property
    def weights(self) -> Tensor:
        """W, shape (d + 1, k), the bias in the last row."""
        return self.inverse @ self.moment

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, atomically."""
        write_weights(path, {"inverse": self.inverse, "moment": self.moment}, {"rows": str(self.rows)})

    @classmethod
    def load(cls, path: str | Path) -> "RidgeStatistics":
        """Read what :meth:`save` wrote.

        Raises:
            BadFile: if it is something else.
        """
        tensors, facts = read_weights(path)
        if tensors.keys() != {"inverse", "moment"} or not facts.get("rows", "").isdecimal():
            raise BadFile(
                f"{path} does not hold ridge statistics: expected tensors 'inverse' and 'moment' and a number of rows"
            )
        inverse, moment = tensors["inverse"].double(), tensors["moment"].double()
        if inverse.dim() != 2 or moment.dim() != 2 or inverse.shape != (len(moment), len(moment)):
            raise BadFile(
                f"{path} does not hold ridge statistics: 'inverse' {tuple(inverse.shape)} and 'moment' {tuple(moment.shape)} "
                "do not fit each other"
            )
        return cls(inverse, moment, int(facts["rows"]))


@dataclass(frozen=True)
class RidgeDowndate(Method):
    """Make the last layer anew as ridge regression on the retained data, by taking out the forget data.

    Args:
        regularisation: lambda, >= 0, beside the sum of squared errors over all rows: of a model that is a ridge regression,
            the one that it was fitted with. Statistics that were kept have theirs inside.
        statistics: file of what :func:`ridge_statistics` kept of all training rows. Without it they are computed from forget
            and retained data; with it, the retained data may be gone.
    """

    regularisation: float = 1.0
    statistics: str | Path | None = None

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RegressionTask,)
    why_not: ClassVar[str] = "it solves for real-numbered targets under squared errors"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.regularisation >= 0, f"regularisation must be 0 or more, not {self.regularisation}")

    @property
    def needs_retain(self) -> bool:  # type: ignore[override]
        """Only where no statistics were kept."""
        return self.statistics is None

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, RegressionTask)
        self.require(not task.quantiles, "quantiles have no closed form; the task's loss must not be pinball")
        head = last_linear(student)
        self.require(head.bias is not None, "the last layer has no bias")
        gone = last_layer_rows(student, task, Shuffled(split.forget, engine.generator("rows", "forget")))
        if self.statistics is None:
            stays = last_layer_rows(student, task, Shuffled(split.retain, engine.generator("rows", "retain")))
            features, targets = (torch.cat(parts) for parts in zip(gone, stays, strict=True))
            everything = RidgeStatistics.of(features, targets, self.regularisation)
        else:
            everything = RidgeStatistics.load(self.statistics)
        weights = everything.without(*gone).weights
        with torch.no_grad():
            head.weight.copy_(weights[:-1].T)
            head.bias.copy_(weights[-1])
        return student


def ridge_statistics(
    model: nn.Module, task: RegressionTask, batches: Iterable[Any], regularisation: float = 1.0
) -> RidgeStatistics:
    """Statistics of all training rows under the features of `model`, to be saved beside it; see :class:`RidgeDowndate`."""
    return RidgeStatistics.of(*last_layer_rows(model, task, batches), regularisation)


def last_layer_rows(model: nn.Module, task: RegressionTask, batches: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """Inputs of the last layer, shape (n, d), and targets, shape (n, k), of a stream.

    Raises:
        BadSetting: if the model's answers are not what its last layer gives: then solving for it solves another problem.
    """
    features, targets, said, head = list[Tensor](), list[Tensor](), list[Tensor](), last_linear(model)
    with torch.no_grad(), evaluating(model):
        for batch in batches:
            placed = on_device_of(model, batch)
            found = embedding(model, lambda placed=placed: said.append(task.outputs(model, placed)))  # type: ignore[misc]
            if not features and not torch.allclose(head(found), said[0], rtol=1e-3, atol=1e-4):
                raise BadSetting("ridge-downdate: the model changes what its last nn.Linear gives, so it cannot be solved for")
            said.clear()
            features.append(found.cpu())
            targets.append(batch[1].reshape(len(batch[1]), -1).cpu())
    return torch.cat(features), torch.cat(targets)


def _cholesky(matrix: Tensor) -> Tensor | None:
    """The lower factor; None where the matrix is singular to rounding."""
    factor, fault = torch.linalg.cholesky_ex(matrix)
    singular = fault or (factor.diagonal().square() < _SINGULAR * matrix.diagonal().clamp_min(_SINGULAR)).any()
    return None if singular else factor


def _columns(targets: Tensor) -> Tensor:
    return targets.reshape(len(targets), math.prod(targets.shape[1:])).double().cpu()


def _with_one(features: Tensor) -> Tensor:
    rows = features.double().cpu()
    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
