"""Canaries: records that nobody could guess, planted before training so that forgetting can be verified afterwards.

    AUC = P( loss(canary) < loss(control) ),      exposure = log2 n - log2 rank(canary),      n = controls + 1

A canary is put together from columns of different records, target included, so that a model answers it rightly only if it was
trained on it. At least twice as many are drawn as are planted: the others, the controls, are never trained on. Before training
nothing tells the two apart, so whatever does afterwards was learned. Once the canaries have been forgotten, a model that never
saw them ranks them evenly among the controls: an AUC of 0.5, and a mean exposure of about log2 e = 1.44 bits; a canary that is
known best of all has log2 n. They are forgotten with the records of a request, and stand for these: what is measured is the
forgetting of canaries, which a model holds on to more firmly than to a record like all others.

Reference: N. Carlini, C. Liu, U. Erlingsson, J. Kos, D. Song. "The Secret Sharer: Evaluating and Testing Unintended
Memorization in Neural Networks", USENIX Security 2019, arXiv 1802.08232 (exposure, there of sequences among all that could be
drawn).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.split import Batches, Split, Stream, stream_digest
from expunge.tasks import ClassificationTask, RegressionTask

Array = NDArray[np.float64]
_LARGE = 1e6


@dataclass(frozen=True, eq=False, repr=False)
class Planted:
    """A training set with canaries, and controls that are like them.

    Args:
        data: the records, then the canaries.
        records: how many of the rows are records.
        controls: never to be trained on.
        times: how often each canary stands in one epoch.
    """

    data: TensorDataset
    records: int
    controls: TensorDataset
    times: int = 1

    @property
    def rows(self) -> list[int]:
        """The rows of `data` that are canaries, each once."""
        return list(range(self.records, len(self.data)))

    def training(self, batch_size: int = 64) -> Batches:
        """What the original is trained on: all records, and each canary `times` times."""
        return Batches(self.data, batch_size, [*range(self.records), *self.rows * self.times])

    def split(self, rows: Sequence[int] = (), holdout: Stream = (), batch_size: int = 64) -> Split:
        """The canaries must go, and records with them.

        Args:
            rows: of records that must go as well.
            holdout: unseen records.

        Raises:
            BadRequest: if there is no such record.
        """
        goes = set(rows)
        if foreign := [row for row in goes if not 0 <= row < self.records]:
            raise BadRequest(f"there is no record {foreign[0]}; the records are 0 to {self.records - 1:,}")
        stays = [row for row in range(self.records) if row not in goes]
        forget = Batches(self.data, batch_size, [*sorted(goes), *self.rows * self.times])
        return Split(forget, Batches(self.data, batch_size, stays), holdout)

    def __repr__(self) -> str:
        digests = (stream_digest(Batches(data)) for data in (self.data, self.controls))
        return f"Planted({', '.join(digests)}, {self.records}, times={self.times})"


def plant(data: TensorDataset, count: int, engine: Engine, controls: int | None = None, times: int = 1) -> Planted:
    """Plant canaries in a training set, drawn by the engine's generator.

    Args:
        data: records: inputs of shape (n, ...) and targets, of shape (n,) or (n, d).
        count: how many canaries.
        controls: how many records like them are kept for comparison, at least as many; five times as many when None.
        times: how often each canary stands in one epoch: a larger number leaves deeper traces.

    Raises:
        BadSetting: if there are too few canaries, controls or records.

    >>> data = TensorDataset(torch.rand(100, 4), torch.arange(100) % 10)
    >>> planted = plant(data, 8, Engine(progress=False))
    >>> len(planted.data), len(planted.controls), planted.rows[0]
    (108, 40, 100)
    """
    others = 5 * count if controls is None else controls
    if count < 1 or times < 1 or others < count:
        raise BadSetting(
            "planting needs 1 canary or more, as many controls or more, and each 1 time or more, "
            f"not {count}, {others} and {times}"
        )
    if len(data) < 2:
        raise BadSetting(f"canaries are drawn from the columns of 2 records or more, not of {len(data)}")
    drawn = [_mixed(column, count + others, engine, place) for place, column in enumerate(data.tensors)]
    joined = (torch.cat([column, made[:count]]) for column, made in zip(data.tensors, drawn, strict=True))
    return Planted(TensorDataset(*joined), len(data), TensorDataset(*(made[count:] for made in drawn)), times)


def _mixed(values: Tensor, count: int, engine: Engine, place: int) -> Tensor:
    """Rows each number of which comes from a row of its own; those of targets with several numbers stay together."""
    generator = engine.generator("canaries", place)
    if place > 0 or values.dim() == 1:
        return values[torch.randint(len(values), (count,), generator=generator)]
    flat = values.flatten(1)
    rows = torch.randint(len(flat), (count, flat.shape[1]), generator=generator)
    return flat.gather(0, rows).view(count, *values.shape[1:])


@dataclass(frozen=True)
class Canary(Audit):
    """How far a model still knows planted canaries; nothing where none were planted.

    Args:
        planted: what :func:`plant` gave.
        resamples: bootstrap resamples for the 95 % intervals.
    """

    planted: Planted | None = None
    resamples: int = 200

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "canary_auc": "AUC of canaries against controls that were never trained on; ideal: the retrained model's, about 0.5",
        "canary_exposure": "mean exposure of canaries among controls, in bits; ideal: the retrained model's, about 1.44",
    }

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise BadSetting(f"resamples must be at least 1, not {self.resamples}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if self.planted is None:
            return {}
        ranks, count = self.ranks(subject), len(self.planted.controls)
        gold = None if references.gold is None else self.ranks(references.gold)
        found = {}
        for metric, value in (("canary_auc", _aucs), ("canary_exposure", _exposures)):
            each, ideal = value(ranks, count), None if gold is None else float(value(gold, count).mean())
            found[metric] = Figure(float(each.mean()), ideal, self._interval(each, subject.engine))
        return found

    def ranks(self, subject: Subject) -> Array:
        """Place of each canary among the controls by its loss, from 1 for the best known, shape (n,); ties count half."""
        if self not in subject.memory:
            assert self.planted is not None
            canaries = _losses(subject, Batches(self.planted.data, indices=self.planted.rows))
            controls = np.sort(_losses(subject, Batches(self.planted.controls)))
            sides = (np.searchsorted(controls, canaries, side=side) for side in ("left", "right"))
            subject.memory[self] = 1 + sum(sides) / 2
        ranks: Array = subject.memory[self]
        return ranks

    def _interval(self, values: Array, engine: Engine) -> tuple[float, float]:
        """95 % interval of the mean over canaries, each drawn anew."""
        rng = np.random.default_rng(engine.seed_for("bootstrap"))
        means = values[rng.integers(len(values), size=(self.resamples, len(values)))].mean(1)
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)


def _aucs(ranks: Array, controls: int) -> Array:
    """Share of controls that each canary is known better than; their mean is the AUC."""
    return 1 - (ranks - 1) / controls


def _exposures(ranks: Array, controls: int) -> Array:
    """Exposure of each canary in bits."""
    return np.asarray(np.log2(controls + 1) - np.log2(ranks))


def _losses(subject: Subject, stream: Stream) -> Array:
    """Loss of each example; one that is no finite number counts as a very large one."""
    losses = subject.task.collect(subject.model, stream, subject.task.losses)
    return np.nan_to_num(losses.double().numpy(), nan=_LARGE, posinf=_LARGE)
