"""What every request is, and how requests speak of what they were given."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from expunge.errors import BadRequest

Columns = Mapping[str, np.ndarray]


class Request(ABC):
    """What somebody wants to be forgotten.

    Attributes:
        describes_unseen: whether rows that were never trained on can be told to be like those to forget; true of
            classes, of kinds and of ranges.
    """

    describes_unseen: ClassVar[bool] = False

    @property
    def reads_targets(self) -> bool:
        """Whether `rows` looks at the targets at all, and not only at how many there are."""
        return False

    @abstractmethod
    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        """The rows of the training set to forget, sorted, each once.

        Args:
            targets: the target of each training row, shape (n,), or (n, width) where a target is several numbers.
            columns: what else is known about each training row, shape (n,) each.
            classes: the name of each class; may be empty.

        Returns:
            int64, shape (k,), k at least 1.

        Raises:
            BadRequest: if the request does not fit the training set.
        """

    @abstractmethod
    def describe(self, records: int | None = None) -> str:
        """What is to be forgotten, in words; `records` is the size of the training set, where it is known."""

    def unseen_rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        """The rows of a set that was never trained on which are like those to forget; none unless `describes_unseen`.

        Takes and returns what `rows` does, but may find nothing.
        """
        return np.empty(0, dtype=np.int64)


def column_of(name: str, columns: Columns, part: str = "training set") -> np.ndarray:
    """The values of a column.

    Args:
        name: of the column.
        columns: all there are.
        part: what they belong to, "training set" or "holdout".

    Raises:
        BadRequest: if there is no such column; it lists those that there are.
    """
    if name in columns:
        return columns[name]
    where = " in the holdout, where it tells which rows are like those to forget" if part == "holdout" else ""
    raise BadRequest(f"there is no column '{name}'{where}; columns of the {part}: {listed(columns)}")


def listed(columns: Columns) -> str:
    """The names of all columns."""
    return ", ".join(f"'{name}'" for name in columns) or "none"


def integer(value: object, rule: str) -> int:
    """`value` as a whole number.

    Raises:
        BadRequest: if it is none; the message begins with `rule`.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise BadRequest(f"{rule}, not {value!r}") from None


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1797, "row")
    '1,797 rows'
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quoted(names: list[str], most: int = 5) -> str:
    """The first `most` names, and how many more there are.

    >>> quoted(["ada", "bo", "cy"], most=2)
    "'ada', 'bo' and 1 more"
    """
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return listed + (f" and {len(names) - most:,} more" if len(names) > most else "")
