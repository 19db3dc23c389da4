"""Forget the rows that hold some value in a column."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadRequest
from expunge.requests.request import Columns, Request, column_of, counted, quoted


@dataclass(frozen=True)
class ForgetWhere(Request):
    """All rows whose column holds one of some values, such as everything that belongs to one person.

    Args:
        column: name of the column.
        values: texts, compared with the column's values as texts; as numbers where the column holds real numbers.

    >>> users = {"user": np.array(["ada", "bo", "ada"])}
    >>> ForgetWhere("user", ("ada",)).rows(np.zeros(3), users, ()).tolist()
    [0, 2]
    """

    column: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        values = (self.values,) if isinstance(self.values, str) else self.values
        object.__setattr__(self, "values", tuple(dict.fromkeys(str(value) for value in values)))
        if not self.values:
            raise BadRequest(f"forget set is empty: no value of column '{self.column}' is listed")

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        present, wanted = self._comparable(column_of(self.column, columns))
        unmatched = [value for value, found in zip(self.values, np.isin(wanted, present), strict=True) if not found]
        if unmatched:
            none = len(unmatched) == len(self.values)
            raise BadRequest(
                ("forget set is empty: " if none else "")
                + f"no row of column '{self.column}' holds {quoted(unmatched)} "
                + f"({len(unmatched):,} of {counted(len(self.values), 'value')} asked for); "
                + "correct or remove what is not there"
            )
        return np.flatnonzero(np.isin(present, wanted))

    def describe(self, records: int | None = None) -> str:
        if len(self.values) == 1:
            return f"rows whose {self.column} is '{self.values[0]}'"
        return f"rows whose {self.column} is one of {len(self.values):,} values"

    def _comparable(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values of the column and the wanted ones, both as numbers or both as texts."""
        if np.issubdtype(present.dtype, np.floating):
            return present, np.array([_number(value) for value in self.values], dtype=present.dtype)
        return present.astype(str), np.array(self.values)


@dataclass(frozen=True)
class ForgetKind(ForgetWhere):
    """All rows of one kind, where a column says what kind of thing a row is, such as its season.

    Picks the same rows as :class:`ForgetWhere`. Unseen rows of the same kind are what is unseen and like what goes, so the
    holdout needs the column too. Where a column says whose a row is, take `ForgetWhere`: other people's rows are not
    like one person's.

    Args:
        column: name of the column.
        values: texts, compared as :class:`ForgetWhere` compares them.

    >>> seasons = {"winter": np.array(["yes", "no", "yes"])}
    >>> ForgetKind("winter", ("yes",)).unseen_rows(np.zeros(3), seasons, ()).tolist()
    [0, 2]
    """

    describes_unseen: ClassVar[bool] = True

    def unseen_rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        return np.flatnonzero(np.isin(*self._comparable(column_of(self.column, columns, "holdout"))))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # equals nothing
