"""Requests to forget: which rows of the training set must go.

A request is plain data. It is resolved against the targets and columns of a training set, and everything that is
wrong with it is said then, before anything is trained.
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadRequest

Columns = Mapping[str, np.ndarray]


class Request(ABC):
    """What somebody wants to be forgotten.

    Attributes:
        describes_unseen: whether rows that were never trained on can be told to be like those to forget; true of
            classes.
        reads_targets: whether `rows` looks at the targets at all, and not only at how many there are.
    """

    describes_unseen: ClassVar[bool] = False
    reads_targets: ClassVar[bool] = False

    @abstractmethod
    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        """The rows of the training set to forget, sorted, each once.

        Args:
            targets: the target of each training row, shape (n,).
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


@dataclass(frozen=True)
class ForgetClass(Request):
    """All examples of one class or of several.

    Args:
        name: a class by its name or its index, or a tuple of them. A text that is no class's name is read as an index.

    >>> ForgetClass("cat").rows(np.array([0, 1, 1]), {}, ("dog", "cat")).tolist()
    [1, 2]
    >>> ForgetClass(12).rows(np.array([0, 1, 2]), {}, ())
    Traceback (most recent call last):
    expunge.errors.BadRequest: forget set is empty: class 12 does not occur in 3 labels (classes 0..2)
    """

    name: int | str | tuple[int | str, ...]

    describes_unseen: ClassVar[bool] = True
    reads_targets: ClassVar[bool] = True

    def __post_init__(self) -> None:
        names = self.name if isinstance(self.name, tuple | list) else (self.name,)
        if not names:
            raise BadRequest("forget set is empty: no class is named")
        names = tuple(name if isinstance(name, str) else _integer(name, "a class is a name or an index") for name in names)
        object.__setattr__(self, "name", names if isinstance(self.name, tuple | list) else names[0])

    @property
    def names(self) -> tuple[int | str, ...]:
        """The classes as they were named."""
        return self.name if isinstance(self.name, tuple) else (self.name,)

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        _check_class_targets(targets)
        indices = self.indices(classes)
        for name, index in zip(self.names, indices, strict=True):
            if not (targets == index).any():
                known = f" ({classes[index]})" if 0 <= index < len(classes) and str(name) != classes[index] else ""
                raise BadRequest(
                    f"forget set is empty: class {name}{known} does not occur in {len(targets):,} labels "
                    f"(classes {_ranges(np.unique(targets))})"
                )
        return np.flatnonzero(np.isin(targets, indices))

    def unseen_rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        return np.flatnonzero(np.isin(targets, self.indices(classes)))

    def indices(self, classes: Sequence[str]) -> tuple[int, ...]:
        """The index of each class, in the order in which they were named.

        Raises:
            BadRequest: if a name is neither one of `classes` nor an index.
        """
        return tuple(_class_index(name, classes) for name in self.names)

    def describe(self, records: int | None = None) -> str:
        return f"class{'es' if len(self.names) > 1 else ''} {', '.join(map(str, self.names))}"


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
        numbers = tuple(_integer(number, "a row is a whole number") for number in self.numbers)
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
        return _count(len(self.numbers), "row")


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
        if self.column not in columns:
            available = ", ".join(f"'{name}'" for name in columns) or "none"
            raise BadRequest(f"there is no column '{self.column}'; columns of the training set: {available}")
        present, wanted = columns[self.column], np.array(self.values)
        if np.issubdtype(present.dtype, np.floating):
            wanted = np.array([_number(value) for value in self.values], dtype=present.dtype)
        else:
            present = present.astype(str)
        unmatched = [value for value, found in zip(self.values, np.isin(wanted, present), strict=True) if not found]
        if unmatched:
            none = len(unmatched) == len(self.values)
            raise BadRequest(
                ("forget set is empty: " if none else "")
                + f"no row of column '{self.column}' holds {_some(unmatched)} "
                + f"({len(unmatched):,} of {_count(len(self.values), 'value')} asked for); "
                + "correct or remove what is not there"
            )
        return np.flatnonzero(np.isin(present, wanted))

    def describe(self, records: int | None = None) -> str:
        if len(self.values) == 1:
            return f"rows whose {self.column} is '{self.values[0]}'"
        return f"rows whose {self.column} is one of {len(self.values):,} values"


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
        if _integer(self.seed, "the seed is a whole number") < 0:
            raise BadRequest(f"the seed of the draw must be 0 or more, not {self.seed}")

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        if not len(targets):
            raise BadRequest("forget set is empty: the training set has no rows")
        drawn = np.random.default_rng(self.seed).choice(len(targets), self._size(len(targets)), replace=False)
        return np.sort(drawn).astype(np.int64)

    def describe(self, records: int | None = None) -> str:
        rows = f"{_count(self._size(records), 'row')}, " if records else ""
        return f"{100 * self.fraction:g} % of the records ({rows}drawn with seed {self.seed})"

    def _size(self, records: int) -> int:
        return max(1, round(self.fraction * records))


def _class_index(name: int | str, classes: Sequence[str]) -> int:
    if not isinstance(name, str):
        return name
    if name in classes:
        return list(classes).index(name)
    if name.strip().isdecimal():
        return int(name)
    known = f"is not one of the {len(classes)} classes {_some(list(classes), 20)}" if classes else "is no index"
    raise BadRequest(f"forget set is empty: class '{name}' {known}")


def _check_class_targets(targets: np.ndarray) -> None:
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise BadRequest(
            f"a class cannot be forgotten here: the targets are {targets.dtype} of shape {targets.shape}, "
            "not one class index for each row; ask for rows, a fraction, or the values of a column"
        )


def _integer(value: object, rule: str) -> int:
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise BadRequest(f"{rule}, not {value!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # equals nothing


def _ranges(values: np.ndarray) -> str:
    """Sorted whole numbers with their runs drawn together.

    >>> _ranges(np.array([0, 1, 2, 4, 5, 9]))
    '0..2, 4..5, 9'
    """
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run)) or "none"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(names: list[str], most: int = 5) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return listed + (f" and {len(names) - most:,} more" if len(names) > most else "")
