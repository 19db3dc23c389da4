"""SMOTE: rows between a real row and one of its nearest neighbours.

    x = x_i + w (x_j - x_i),      i uniform on all rows, j on the k nearest of x_i's class, w uniform on [0, 1]

Distances are Euclidean on standardised numbers; as in SMOTE-NC two categories that differ add the square of the numbers' median
standard deviation, which is 1 (about 1 in columns of more than 63 categories). Without a target all rows are one class.

- Categories are those of x_i. SMOTE-NC's majority among the neighbours, and drawing from both ends too, thin out rare ones, for
  rows of a rare category have neighbours of frequent ones and not the other way round. This keeps shares and combinations.
- A number on which much weight lies (at least 2 % of rows, and five times as many as share a typical value: 40 hours a week,
  a gain of 0) isn't left for a value between: where one of the ends has it, the number is x_i's.
- A number is a gap where x_i's is, and x_i's where only x_j's is a gap.

Rows are near to real rows, and between two alike they are these rows: it protects nobody. `save` writes all real rows.

Reference: N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer. "SMOTE: Synthetic Minority Over-sampling Technique",
Journal of Artificial Intelligence Research 16, 2002, arXiv 1106.1813.
Needs: rows to be near to each other. A class of one row is copied.
Costs: distances of all pairs of rows of a class, in chunks of bounded memory; memory and a file as large as the table.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.tabular.coded import Array, Coded
from expunge.tabular.generators.generator import Generator, Monitor, known

_MEGABYTES = 64  # for distances at a time
_MOST_INPUTS = 64  # for a category
_MASS = 0.02  # share of rows from which a value may be one that is not left
_OUTSTANDING = 5  # times the share of a typical value


@dataclass
class SMOTE(Generator):
    """Interpolation between neighbours.

    Args:
        neighbours: k, at least 1.
        target: a column of categories; neighbours are of the same one. All rows are one class when None.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1.5, 2, 3, 8, 9] * 4, "kind": ["a", "a", "a", "b", "b"] * 4})
    >>> sample = SMOTE(neighbours=8, target="kind").fit(table).sample(1000)
    >>> bool(sample["size"].between(3, 8, inclusive="neither").any()), bool(sample["size"].between(2.1, 2.9).any())
    (False, True)
    """

    neighbours: int = 5
    target: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise BadSetting(f"smote: neighbours must be at least 1, not {self.neighbours}")

    def _fit(self, real: Coded, engine: Engine, monitor: Monitor | None) -> None:
        self._rows = real
        self._neighbours = _neighbours(_embedded(real), self._classes(real), self.neighbours)
        self._masses = [_masses(values) for values in real.numbers.T]

    def _classes(self, real: Coded) -> Array:
        if self.target is None:
            return np.zeros(len(real), np.int64)
        names = [column.name for column in real.schema.categories]
        if self.target not in names:
            raise BadSetting(f"smote: the target must be a column of categories, not {self.target!r}; there are {names}")
        return np.asarray(real.codes[:, names.index(self.target)])

    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        first = generator.integers(len(self._rows), size=n)
        second = self._neighbours[first, generator.integers(self._neighbours.shape[1], size=n)]
        start, end = self._rows.numbers[first], self._rows.numbers[second]
        kept = np.isnan(end)
        for place, masses in enumerate(self._masses):
            kept[:, place] |= np.isin(start[:, place], masses) | np.isin(end[:, place], masses)
        numbers = np.where(kept, start, start + generator.random((n, 1)) * (end - start))
        return known(self.schema, numbers, self._rows.codes[first])

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        arrays = {"numbers": self._rows.numbers, "codes": self._rows.codes, "neighbours": self._neighbours}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, {}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self._rows = known(self.schema, tensors["numbers"].numpy(), tensors["codes"].numpy())
        self._neighbours = tensors["neighbours"].numpy()
        self._masses = [_masses(values) for values in self._rows.numbers.T]


def _embedded(real: Coded) -> Array:
    """Points whose Euclidean distances are those of rows, shape (n, d), float32; gaps are at the mean."""
    known = ~np.isnan(real.numbers).all(axis=0)
    numbers = real.numbers[:, known]
    mean, deviation = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    numbers = np.nan_to_num((numbers - mean) / np.where(deviation > 0, deviation, 1))
    inputs = [_directions(size)[codes] for codes, size in zip(real.codes.T, real.sizes, strict=True)]
    return np.concatenate([numbers.astype(np.float32), *inputs], axis=1)


def _directions(count: int) -> Array:
    """Points at a distance of 1 from each other, shape (count, inputs), float32; of many points about 1, in bounded memory."""
    if count <= _MOST_INPUTS:
        return np.asarray(np.sqrt(0.5) * np.eye(count), dtype=np.float32)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (count, _MOST_INPUTS))
    return np.asarray(np.sqrt(0.5 / _MOST_INPUTS) * signs, dtype=np.float32)


def _neighbours(points: Array, classes: Array, count: int) -> Array:
    """The nearest rows of each row's class, shape (n, count); rows of small classes repeat."""
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    found = np.repeat(np.arange(len(points))[:, None], count, axis=1)
    for each in np.unique(classes):
        rows = np.flatnonzero(classes == each)
        nearest = min(count, len(rows) - 1)
        if nearest:
            with config_context(working_memory=_MEGABYTES):
                search = NearestNeighbors(n_neighbors=nearest).fit(points[rows])
                places = search.kneighbors(return_distance=False)
            found[rows] = rows[places[:, np.arange(count) % nearest]]
    return found


def _masses(values: Array) -> Array:
    """Values on which much weight lies."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if not len(distinct):
        return distinct
    return np.asarray(distinct[(counts >= _MASS * counts.sum()) & (counts >= _OUTSTANDING * np.median(counts))])
