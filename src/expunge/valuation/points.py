"""Training points as valuations see them: numbers for inputs, numbers for classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.errors import BadSetting

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Points:
    """Examples.

    Args:
        inputs: shape (n, ...), finite.
        targets: shape (n,), numbers of classes from 0, or real numbers.
        classes: what the classes are called, in the order of their numbers; empty for real numbers.
    """

    inputs: Array
    targets: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def flat(self) -> Array:
        """Inputs of shape (n, d)."""
        return self.inputs.reshape(len(self.inputs), -1)

    def at(self, rows: Array) -> "Points":
        """Some of them."""
        return Points(self.inputs[rows], self.targets[rows], self.classes)


def read_points(X: Any, y: Any, classes: Array | None, what: str, like: Points | None = None) -> Points:
    """Check inputs and targets, and number the classes.

    Args:
        X: shape (n, ...), an array, a tensor or a data frame of numbers.
        y: shape (n,), what each row is labelled as.
        classes: what there may be; None where targets are real numbers.
        what: what errors call the data.
        like: points whose inputs have the shape that these must have.

    Raises:
        BadSetting: if there are no rows, or not as many targets, or a number is not finite, or a class is not known.
    """
    inputs, targets = np.asarray(X), np.asarray(y)
    if not np.issubdtype(inputs.dtype, np.number) and inputs.dtype != bool:
        raise BadSetting(f"{what}: inputs are {inputs.dtype}, and must be numbers; encode texts and categories first")
    if inputs.ndim < 2 or not len(inputs):
        raise BadSetting(f"{what}: inputs have shape {inputs.shape}, and must have shape (n, d), with at least one row")
    if targets.shape != (len(inputs),):
        raise BadSetting(f"{what}: {len(inputs):,} rows need targets of shape ({len(inputs)},), not {targets.shape}")
    if like is not None and inputs.shape[1:] != like.inputs.shape[1:]:
        shapes = inputs.shape[1:], like.inputs.shape[1:]
        raise BadSetting(f"{what}: inputs have shape {shapes[0]}, and those of the training points have {shapes[1]}")
    _check_finite(inputs.reshape(len(inputs), -1), what)
    if classes is None:
        if not np.issubdtype(targets.dtype, np.number):
            raise BadSetting(f"{what}: targets are {targets.dtype}, and must be real numbers")
        _check_finite(targets.astype(float)[:, None], f"{what}, target")
        return Points(inputs, targets.astype(float), np.empty(0))
    places = np.searchsorted(classes, targets).clip(max=len(classes) - 1)
    if (unknown := classes[places] != targets).any():
        known = ", ".join(map(str, classes[:10]))
        raise BadSetting(f"{what}: row {unknown.argmax():,} is of class {targets[unknown.argmax()]}; known are {known}")
    return Points(inputs, places, classes)


def _check_finite(numbers: Array, what: str) -> None:
    bad = ~np.isfinite(numbers).all(1)
    if bad.any():
        row = int(bad.argmax())
        column = int((~np.isfinite(numbers[row])).argmax())
        raise BadSetting(
            f"{what}: row {row:,}, column {column} is {numbers[row, column]}; fill or remove what is missing "
            f"({int(bad.sum()):,} rows have such values)"
        )


def classes_in(*targets: Any) -> Array:
    """All classes that occur, in order.

    Raises:
        BadSetting: if targets have no such order, or are no row of classes.
    """
    arrays = [np.asarray(each) for each in targets]
    if shaped := [each.shape for each in arrays if each.ndim != 1]:
        raise BadSetting(f"targets have shape {shaped[0]}, and must have shape (n,)")
    try:
        return np.unique(np.concatenate(arrays))
    except TypeError as error:
        raise BadSetting(f"classes must all be numbers or all be texts ({error})") from error
