"""Regression: one real number for each input, or several: a vector, or the hours of a forecast."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.data.records import Target, targets_of
from expunge.errors import BadSetting
from expunge.tasks.embedding import embedding
from expunge.tasks.task import Task

RegressionBatch = tuple[Tensor, Tensor]
RegressionLoss = Literal["l1", "l2", "huber", "pinball"]
_LOSSES = ("l1", "l2", "huber", "pinball")
BANDS = 10  # bands of equally many training examples


class RegressionTask(Task[RegressionBatch]):
    r"""Batches are pairs `(inputs (n, ...), targets (n,) or (n, d))`; the model maps inputs to `(n, d)`.

    With e = prediction - target, the loss of one example is the mean over its d numbers of

        l1  |e|        l2  e^2        huber  e^2 / 2 where |e| <= delta, delta * (|e| - delta / 2) beyond

    and `pinball` predicts q quantiles of each number, with the model giving `(n, d * q)`, and averages over them
    max(tau * (y - p), (tau - 1) * (y - p)) for the quantile p at level tau.

    Losses are in the scale in which targets are stored; the score, a mean absolute error, is in the target's own unit. The
    divergence between two models is the squared distance of their outputs, or Huber's; temperatures mean nothing here.

    Args:
        factory: builds the architecture with fresh weights, without arguments.
        loss: "l1", "l2", "huber" or "pinball".
        delta: where Huber's loss turns from squares to absolute values, in the scale of stored targets.
        quantiles: levels of "pinball", rising, each between 0 and 1; the one nearest to 0.5 is the prediction.
        distance: the divergence, "squared" or "huber".
        target: how targets were scaled, and their name, unit and valid range; unscaled when None.
        bands: edges between bands of the target, rising, in the scale of stored targets; see :func:`band_edges`. Errors are
            reported, and seen examples compared with unseen ones, band by band.
        feature_layer: name of the module whose output is the embedding; the input of the last `nn.Linear` when None.

    Reference: pinball loss: R. Koenker, G. Bassett. "Regression Quantiles", Econometrica 46(1), 1978.

    >>> task = RegressionTask(lambda: nn.Linear(4, 1), target=Target("price", mean=200.0, scale=50.0))
    >>> batch = torch.zeros(2, 4), torch.tensor([1.0, -2.0])
    >>> task.losses(torch.zeros(2, 1), batch).tolist(), task.scores(torch.zeros(2, 1), batch).tolist()
    ([1.0, 2.0], [50.0, 100.0])
    """

    score_name: ClassVar[str] = "mae"
    higher_is_better: ClassVar[bool] = False

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        loss: RegressionLoss = "l1",
        *,
        delta: float = 1.0,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        distance: Literal["squared", "huber"] = "squared",
        target: Target | None = None,
        bands: Sequence[float] = (),
        feature_layer: str | None = None,
    ) -> None:
        if loss not in _LOSSES:
            raise BadSetting(f"loss must be one of {', '.join(_LOSSES)}, not {loss!r}")
        if distance not in ("squared", "huber"):
            raise BadSetting(f"distance must be 'squared' or 'huber', not {distance!r}")
        if not delta > 0:
            raise BadSetting(f"delta must be above 0, not {delta}")
        levels = rising(quantiles)
        if list(bands) != sorted(set(bands)) or not all(map(math.isfinite, bands)):
            raise BadSetting(f"the edges of bands must rise, not {tuple(bands)}")
        self.factory, self.loss, self.delta, self.distance = factory, loss, delta, distance
        self.quantiles = levels if loss == "pinball" else ()
        self.target, self.bands, self.feature_layer = target or Target(), tuple(bands), feature_layer
        self.unit = self.target.unit

    def new_model(self) -> nn.Module:
        return self.factory()

    def outputs(self, model: nn.Module, batch: RegressionBatch) -> Tensor:
        """Predictions, shape (n, d); quantiles, shape (n, d, q), with "pinball"."""
        said = model(batch[0])
        said = _flat(said)  # an output of shape (n,) beside targets of (n, 1) would broadcast to (n, n)
        wanted = math.prod(batch[1].shape[1:]) * max(1, len(self.quantiles))
        if said.shape[1] != wanted:
            each = f" for {len(self.quantiles)} quantiles of each" if self.quantiles else ""
            raise BadSetting(f"the model gives {said.shape[1]} numbers for an example; its targets need {wanted}{each}")
        return said.unflatten(1, (-1, len(self.quantiles))) if self.quantiles else said

    def features(self, model: nn.Module, batch: RegressionBatch) -> Tensor:
        """Embedding, shape (n, d), taken by a hook; the model is left as it was."""
        return embedding(model, lambda: self.outputs(model, batch), self.feature_layer)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The outputs as points, shape (n, d): the quantile nearest to the median with "pinball"."""
        if not self.quantiles:
            return outputs
        return outputs[..., int(np.abs(np.array(self.quantiles) - 0.5).argmin())]

    def losses(self, outputs: Tensor, batch: RegressionBatch) -> Tensor:
        """Training loss of each example in the scale of stored targets, shape (n,)."""
        wanted = self._targets(batch)
        if not self.quantiles:
            return self._penalty(outputs - wanted).mean(1)
        shortfall = wanted.unsqueeze(-1) - outputs
        levels = torch.tensor(self.quantiles, dtype=outputs.dtype, device=outputs.device)
        return torch.maximum(levels * shortfall, (levels - 1) * shortfall).flatten(1).mean(1)

    def likelihood_losses(self, outputs: Tensor, batch: RegressionBatch) -> Tensor:
        """Half the squared error, shape (n,): absolute errors have gradients that do not know how large the error is."""
        return self.residuals(outputs, batch).square().sum(1) / 2

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """Squared or Huber distance between outputs, shape (n,); `temperature` is not used."""
        if self.distance == "huber":
            return F.huber_loss(student, teacher, reduction="none", delta=self.delta).flatten(1).mean(1)
        return (student - teacher).square().flatten(1).mean(1)

    def imitation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The training loss with the teacher's outputs as targets, shape (n,); of quantiles, their absolute distance."""
        return self._penalty(student - teacher).flatten(1).mean(1)

    def scores(self, outputs: Tensor, batch: RegressionBatch) -> Tensor:
        """Mean absolute error of each example in the target's own unit, shape (n,)."""
        return (self.predictions(outputs) - self._targets(batch)).abs().mean(1) * self.target.scale

    def residuals(self, outputs: Tensor, batch: RegressionBatch) -> Tensor:
        """Signed error, prediction less target, in the scale of stored targets: shape (n, d)."""
        return self.predictions(outputs) - self._targets(batch)

    def groups(self, batch: RegressionBatch) -> Tensor:
        """The band that each example's (mean) target falls in, from 0, shape (n,)."""
        edges = torch.tensor(self.bands, dtype=torch.float32, device=batch[1].device)
        return torch.bucketize(self._targets(batch).mean(1).contiguous(), edges, right=True)

    def group_name(self, group: int) -> str:
        edges = [f"{self.target.mean + edge * self.target.scale:,.4g}" for edge in self.bands]
        if not edges:
            return "all"
        if group == 0:
            return f"below {edges[0]}"
        return f"{edges[group - 1]} and above" if group == len(edges) else f"{edges[group - 1]} to {edges[group]}"

    def in_unit(self, predictions: Tensor) -> Tensor:
        """Predictions in the target's own unit, same shape."""
        return predictions * self.target.scale + self.target.mean

    def _targets(self, batch: RegressionBatch) -> Tensor:
        return _flat(batch[1]).float()

    def _penalty(self, error: Tensor) -> Tensor:
        if self.loss == "l2":
            return error.square()
        if self.loss == "huber":
            return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.delta)
        return error.abs()


def _flat(values: Tensor) -> Tensor:
    """Shape (n, ...) or (n,) as (n, d), also where n is 0."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def rising(quantiles: Sequence[float]) -> tuple[float, ...]:
    """`quantiles` as a tuple.

    Raises:
        BadSetting: if they do not rise between 0 and 1, or there are none.
    """
    levels = tuple(float(level) for level in quantiles)
    if not levels or any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
        raise BadSetting(f"quantiles must rise between 0 and 1, not {levels}")
    return levels


def band_edges(train: Any, bands: int = BANDS) -> tuple[float, ...]:
    """Edges that divide the (mean) targets of a dataset into bands of equally many examples, as far as ties allow.

    Raises:
        BadSetting: if a target is not a finite number, or all are the same.

    >>> from torch.utils.data import TensorDataset
    >>> band_edges(TensorDataset(torch.zeros(4, 1), torch.tensor([1.0, 2.0, 3.0, 4.0])), bands=2)
    (3.0,)
    """
    targets = np.asarray(targets_of(train), dtype=np.float64)
    if not len(targets):
        raise BadSetting("there are no targets, so no bands of them")
    targets = targets.reshape(len(targets), -1).mean(1)
    if (bad := np.flatnonzero(~np.isfinite(targets))).size:
        raise BadSetting(f"the target of row {bad[0]:,} is {targets[bad[0]]}; every target must be a finite number")
    if targets.min() == targets.max():
        raise BadSetting(f"all {len(targets):,} targets are {targets[0]:g}: there is nothing to learn, and nothing to forget")
    values = np.unique(targets)
    inner = np.quantile(targets, np.arange(1, bands) / bands)
    places = np.searchsorted(values, inner)  # a band begins with a value that occurs: none is empty
    return tuple(values[np.unique(places[places > 0])].tolist())
