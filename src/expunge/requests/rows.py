"""Forget single records: those that are listed, or a part drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.errors import BadRequest
from expunge.requests.request import Columns, Request, counted, integer


@dataclass(frozen=True)
class ForgetRows(Request):
    """Single records, by their rows in the training set.

    Args:
        numbers: the rows, counted from 0.

    >>> ForgetRows((5, 2)).rows(np.zeros(9), {}, ()).tolist(), ForgetRows((5, 2)).describe()
    ([2, 5], '2 rows')
    """

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = tuple(integer(number, "a row is a whole number") for number in self.numbers)
        if not numbers:
            raise BadRequest("forget set is empty: no row is listed")
        object.__setattr__(self, "numbers", numbers)

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        wanted, valid = np.asarray(self.numbers), f"valid rows are 0..{len(targets) - 1:,}"
        if len(outside := wanted[(wanted < 0) | (wanted >= len(targets))]):
            raise BadRequest(
                f"row {outside[0]:,} is not in the training set of {len(targets):,} rows; {valid}"
                + (f" ({len(outside):,} of the listed rows are outside)" if len(outside) > 1 else "")
            )
        unique, counts = np.unique(wanted, return_counts=True)
        if counts.max() > 1:
            row = unique[counts > 1][0]
            raise BadRequest(f"row {row:,} is listed {counts.max()} times; list each row to forget once; {valid}")
        return unique

    def describe(self, records: int | None = None) -> str:
        return counted(len(self.numbers), "row")


@dataclass(frozen=True)
class ForgetFraction(Request):
    """Some of the records, drawn at random; at least one.

    Args:
        fraction: the part to forget, between 0 and 1.
        seed: of the draw; the same seed draws the same rows.

    >>> ForgetFraction(0.5).rows(np.zeros(4), {}, ()).tolist(), ForgetFraction(0.05).describe(1797)
    ([2, 3], '5 % of the records (90 rows, drawn with seed 0)')
    """

    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise BadRequest(f"the fraction to forget must lie between 0 and 1, not {self.fraction}; 0.05 is 5 %")
        if integer(self.seed, "the seed is a whole number") < 0:
            raise BadRequest(f"the seed of the draw must be 0 or more, not {self.seed}")

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        if not len(targets):
            raise BadRequest("forget set is empty: the training set has no rows")
        drawn = np.random.default_rng(self.seed).choice(len(targets), self._size(len(targets)), replace=False)
        return np.sort(drawn).astype(np.int64)

    def describe(self, records: int | None = None) -> str:
        rows = f"{counted(self._size(records), 'row')}, " if records else ""
        return f"{100 * self.fraction:g} % of the records ({rows}drawn with seed {self.seed})"

    def _size(self, records: int) -> int:
        return max(1, round(self.fraction * records))
