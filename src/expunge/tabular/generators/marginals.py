"""Distributions of single columns, which are all that some generators keep of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from expunge.errors import BadRequest
from expunge.tabular.coded import Array, Coded
from expunge.tabular.schema import ColumnSchema, TableSchema

_MOST_VALUES = 1_000  # of a number column that are kept; of fewer distinct ones each, with its share
_MASS = 2 / _MOST_VALUES  # share of rows from which a value is kept exactly among many others


@dataclass(frozen=True)
class NumberMarginal:
    """Quantile function of a number, linear between knots; a value that repeats is a stretch on which it stays.

    Args:
        shares: shape (k,), of rows below, from 0 to 1, never falling.
        values: shape (k,), never falling; values of the real table.
        gap_share: share of rows without a value.
    """

    shares: Array
    values: Array
    gap_share: float

    @classmethod
    def of(cls, numbers: Array) -> "NumberMarginal":
        """Of a column, shape (n,); not a number where a value is missing."""
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            return cls(np.array([0.0, 1.0]), np.full(2, np.nan), 1.0)
        values, counts = np.unique(known, return_counts=True)
        above = np.cumsum(counts) / len(known)
        below = np.append(0.0, above[:-1])
        massive = np.ones(len(values), bool)
        if len(values) > _MOST_VALUES:
            massive = counts >= _MASS * len(known)
        grid = np.searchsorted(above, np.linspace(0, 1, _MOST_VALUES // 2))
        kept = np.union1d(np.flatnonzero(massive), grid.clip(max=len(values) - 1))
        middle = (below[kept] + above[kept]) / 2
        starts = np.where(massive[kept], below[kept], middle)
        ends = np.where(massive[kept], above[kept], middle)
        starts[0], ends[-1] = 0.0, 1.0
        shares = np.stack([starts, ends], axis=1).ravel()
        return cls(shares, np.repeat(values[kept], 2), 1 - len(known) / len(numbers))

    def at(self, shares: Array) -> Array:
        """The values below which these shares of rows lie, any shape."""
        return np.interp(shares, self.shares, self.values)

    def between(self, low: float, high: float) -> tuple[float, float]:
        """The shares at which values are `low` to `high`; equal where none is."""
        return self._share(low, "left"), self._share(high, "right")

    def _share(self, value: float, side: str) -> float:
        place = int(np.searchsorted(self.values, value, "left" if side == "left" else "right"))
        if place in (0, len(self.values)):
            return 0.0 if place == 0 else 1.0
        (first, second), (start, end) = self.values[place - 1 : place + 1], self.shares[place - 1 : place + 1]
        return float(start + (end - start) * (value - first) / (second - first))


@dataclass(frozen=True)
class Marginals:
    """Distributions of all columns that are learned.

    Args:
        schema: of the real table.
        numbers: one for each of `schema.numbers`.
        categories: one for each of `schema.categories`: the share of each of its K values and, last, of gaps, shape (K+1,).
    """

    schema: TableSchema
    numbers: tuple[NumberMarginal, ...]
    categories: tuple[Array, ...]

    @classmethod
    def of(cls, real: Coded) -> "Marginals":
        """Of all rows of a real table."""
        counts = (np.bincount(codes, minlength=size) for codes, size in zip(real.codes.T, real.sizes, strict=True))
        return cls(real.schema, tuple(map(NumberMarginal.of, real.numbers.T)), tuple(each / len(real) for each in counts))

    def state(self) -> dict[str, Tensor]:
        """As tensors; :meth:`restored` reads them."""
        found = {f"category.{place}": torch.from_numpy(shares) for place, shares in enumerate(self.categories)}
        for place, number in enumerate(self.numbers):
            found[f"number.{place}.shares"] = torch.from_numpy(number.shares)
            found[f"number.{place}.values"] = torch.from_numpy(number.values)
            found[f"number.{place}.gap_share"] = torch.tensor(number.gap_share, dtype=torch.float64)
        return found

    @classmethod
    def restored(cls, schema: TableSchema, tensors: dict[str, Tensor]) -> "Marginals":
        """What :meth:`state` gave."""
        numbers = tuple(
            NumberMarginal(
                tensors[f"number.{place}.shares"].numpy(),
                tensors[f"number.{place}.values"].numpy(),
                float(tensors[f"number.{place}.gap_share"]),
            )
            for place in range(len(schema.numbers))
        )
        return cls(schema, numbers, tuple(tensors[f"category.{place}"].numpy() for place in range(len(schema.categories))))

    def shares_given(self, place: int, low: float, high: float) -> tuple[float, float]:
        """The shares of a number column at which its values, as the table writes them, are `low` to `high`.

        Raises:
            BadRequest: if none is.
        """
        column = self.schema.numbers[place]
        least, most, half = written_range(column, low, high)
        start, end = self.numbers[place].between(least - half, most + half) if least <= most else (0.0, 0.0)
        if not start < end:
            raise BadRequest(f"column '{column.name}' has no value from {low:.10g} to {high:.10g} in the real table")
        return start, end

    def codes_given(self, place: int, wanted: tuple[int, ...]) -> Array:
        """Shares of a category column's values among rows that have one of those wanted, shape (K+1,)."""
        shares = np.where(np.isin(np.arange(len(self.categories[place])), wanted), self.categories[place], 0.0)
        return np.asarray(shares / shares.sum())


def written_range(column: ColumnSchema, low: float, high: float) -> tuple[float, float, float]:
    """The least and the largest value from `low` to `high` that a table would write, and half the distance of two such values.

    Both are within the range of the real table; the least is above the largest where there is no such value.
    """
    second = 1 / 86_400
    unit = 10.0**-column.decimals if column.kind == "number" else 1.0 if column.days else second
    slack = 1e-6  # of a unit: 0.3 / 0.1 is below 3
    least = math.ceil(low / unit - slack) * unit if low > column.low else column.low
    most = math.floor(high / unit + slack) * unit if high < column.high else column.high
    return least, most, unit / 2
