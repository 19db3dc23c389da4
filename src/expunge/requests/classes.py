"""Forget classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.errors import BadRequest
from expunge.requests.request import Columns, Request, integer, quoted


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

    def __post_init__(self) -> None:
        names = self.name if isinstance(self.name, tuple | list) else (self.name,)
        if not names:
            raise BadRequest("forget set is empty: no class is named")
        names = tuple(name if isinstance(name, str) else integer(name, "a class is a name or an index") for name in names)
        object.__setattr__(self, "name", names if isinstance(self.name, tuple | list) else names[0])

    @property
    def reads_targets(self) -> bool:
        return True

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


def _class_index(name: int | str, classes: Sequence[str]) -> int:
    if not isinstance(name, str):
        return name
    if name in classes:
        return list(classes).index(name)
    if name.strip().isdecimal():
        return int(name)
    known = f"is not one of the {len(classes)} classes {quoted(list(classes), 20)}" if classes else "is no index"
    raise BadRequest(f"forget set is empty: class '{name}' {known}")


def _check_class_targets(targets: np.ndarray) -> None:
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise BadRequest(
            f"a class cannot be forgotten here: the targets are {targets.dtype} of shape {targets.shape}, "
            "not one class index for each row; ask for rows, a fraction, or the values of a column"
        )


def _ranges(values: np.ndarray) -> str:
    """Sorted whole numbers with their runs drawn together.

    >>> _ranges(np.array([0, 1, 2, 4, 5, 9]))
    '0..2, 4..5, 9'
    """
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run)) or "none"
