"""Forget the rows whose number in a column lies in a range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadRequest
from expunge.requests.request import Columns, Request, column_of, listed

TARGET = "target"  # stands for the targets, where no column is named so


@dataclass(frozen=True)
class ForgetRange(Request):
    """All rows whose column holds a number in a range; cells that are empty or not a number (NaN) are in none.

    Unseen rows in the same range are what is unseen and like what goes, so the holdout needs the column too.

    Args:
        column: name of the column; of numbers, or of texts that all read as numbers. Where no column is named
            "target", that name stands for the targets as they are stored, shape (n,) or (n, 1) of real numbers.
        lowest: where the range begins, in the column's unit.
        highest: where it ends.
        includes_lowest: whether `lowest` itself is in the range.
        includes_highest: whether `highest` itself is.

    >>> ages = {"age": np.array([17, 18, 64, 65])}
    >>> adults = ForgetRange("age", 18, 65, includes_highest=False)
    >>> adults.rows(np.zeros(4), ages, ()).tolist(), adults.describe()
    ([1, 2], 'rows whose age is from 18 to below 65')
    """

    column: str
    lowest: float = -math.inf
    highest: float = math.inf
    includes_lowest: bool = True
    includes_highest: bool = True

    describes_unseen: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for bound in ("lowest", "highest"):
            object.__setattr__(self, bound, _bound(bound, getattr(self, bound)))
        if self.lowest == -math.inf and self.highest == math.inf:
            raise BadRequest(f"a range of '{self.column}' needs an end: state lowest, highest or both")
        both_ends = self.includes_lowest and self.includes_highest
        if self.lowest > self.highest or (self.lowest == self.highest and not both_ends):
            raise BadRequest(f"forget set is empty: no number has {self.comparison()}")

    @property
    def reads_targets(self) -> bool:
        return self.column == TARGET

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        values = self._values(targets, columns, "training set")
        found = self._inside(values)
        if not len(found):
            raise BadRequest(f"forget set is empty: no row has {self.comparison()} ({self.column} {_extent(values)})")
        return found

    def unseen_rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        return self._inside(self._values(targets, columns, "holdout"))

    def comparison(self) -> str:
        """The range as it is typed.

        >>> ForgetRange("score", 0, 2, includes_highest=False).comparison()
        '0 <= score < 2'
        """
        lower, upper = ("<=" if includes else "<" for includes in (self.includes_lowest, self.includes_highest))
        lowest, highest = (_written(bound).replace(",", "") for bound in (self.lowest, self.highest))
        if self.lowest == -math.inf:
            return f"{self.column} {upper} {highest}"
        if self.highest == math.inf:
            return f"{self.column} {lower.replace('<', '>')} {lowest}"
        return f"{lowest} {lower} {self.column} {upper} {highest}"

    def describe(self, records: int | None = None) -> str:
        return f"rows whose {self.column} is {self._extent_in_words()}"

    def _extent_in_words(self) -> str:
        lowest, highest = _written(self.lowest), _written(self.highest)
        if self.lowest == -math.inf:
            return f"{'at most' if self.includes_highest else 'below'} {highest}"
        if self.highest == math.inf:
            return f"{'at least' if self.includes_lowest else 'above'} {lowest}"
        if self.lowest == self.highest:
            return lowest
        if self.includes_lowest:
            return f"from {lowest} to {'' if self.includes_highest else 'below '}{highest}"
        return f"above {lowest} and {'at most' if self.includes_highest else 'below'} {highest}"

    def _values(self, targets: np.ndarray, columns: Columns, part: str) -> np.ndarray:
        if self.column in columns or not self.reads_targets:
            return _numbers(self.column, column_of(self.column, columns, part))
        if not np.issubdtype(targets.dtype, np.floating) or targets.shape not in ((len(targets),), (len(targets), 1)):
            raise BadRequest(
                f"there is no column '{TARGET}', and the targets of the {part} are {targets.dtype} of shape "
                f"{targets.shape}, not one real number for each row; columns of the {part}: {listed(columns)}"
            )
        return targets.reshape(-1)

    def _inside(self, values: np.ndarray) -> np.ndarray:
        # numpy brings the bounds to the precision of the values: 0.1 is in a column of float32 what was meant.
        above = values >= self.lowest if self.includes_lowest else values > self.lowest
        below = values <= self.highest if self.includes_highest else values < self.highest
        return np.flatnonzero(above & below)


def _bound(name: str, value: object) -> float:
    try:
        if isinstance(value, bool | np.bool_ | str):
            raise TypeError
        bound = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        bound = math.nan
    if math.isnan(bound):
        raise BadRequest(f"{name} is a number, not {value!r}")
    return bound


def _numbers(column: str, values: np.ndarray) -> np.ndarray:
    """The values of a column as numbers; NaN where a cell is empty."""
    if np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating):
        return values
    numbers = np.full(len(values), math.nan)
    for row, value in enumerate(values.tolist()):
        text = "" if value is None else str(value).strip()
        try:
            numbers[row] = float(text or "nan")
        except ValueError:
            raise BadRequest(
                f"column '{column}' cannot be compared with a number: '{text}' in row {row:,} is none; "
                "ask for the rows that hold one of its values instead"
            ) from None
    return numbers


def _extent(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return f"runs from {_written(known.min())} to {_written(known.max())}" if len(known) else "holds no number"


def _written(value: float) -> str:
    """A number with its thousands apart and without digits that its precision does not have.

    >>> _written(500001.0), _written(np.float32(0.1)), _written(-1234.5)
    ('500,001', '0.1', '-1,234.5')
    """
    number = float(str(value))  # the shortest text that reads as this number in its own precision
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else f"{number:,}"
