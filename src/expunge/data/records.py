"""Rows of data: what a source gives, and how targets, columns and class names are read from any dataset.

All helpers see through `torch.utils.data.Subset`, so a subset is asked for by the rows that it shows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from expunge.errors import BadSetting


class Records(TensorDataset):
    """A dataset in memory: inputs, targets, and what else is known about each row.

    Args:
        inputs: shape (n, ...).
        targets: shape (n,) of class indices, or (n, ...) of real numbers.
        columns: one value per row under each name, such as the file it came from or the person it belongs to; shape
            (n,).
        classes: the name of each class, in the order of the indices.

    Raises:
        BadSetting: if the number of rows is not the same everywhere, or a target is not a finite number.

    >>> import torch
    >>> records = Records(torch.zeros(3, 2), torch.tensor([0, 1, 0]), {"user": ["ada", "bo", "ada"]}, ("no", "yes"))
    >>> records.columns["user"].tolist(), records[1][1].item()
    (['ada', 'bo', 'ada'], 1)
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        columns: Mapping[str, np.ndarray | Sequence[Any]] | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        if len(inputs) != len(targets):
            raise BadSetting(f"every row needs one target: there are {len(inputs):,} inputs and {len(targets):,} targets")
        if targets.is_floating_point() and not (finite := targets.isfinite().flatten(1 if targets.dim() > 1 else 0)).all():
            row = int((~(finite.all(1) if finite.dim() > 1 else finite)).nonzero()[0])
            raise BadSetting(
                f"the target of row {row:,} is {targets[row].tolist()}, no finite number; correct or remove the row"
            )
        super().__init__(inputs, targets)
        self.columns = {name: np.asarray(values) for name, values in (columns or {}).items()}
        self.classes = tuple(classes)
        _check_columns(self.columns, len(inputs))

    @property
    def inputs(self) -> Tensor:
        return self.tensors[0]

    @property
    def targets(self) -> Tensor:
        return self.tensors[1]


@dataclass(frozen=True)
class Target:
    """How the real-numbered targets of a source were scaled: a stored target is (value - mean) / scale.

    Networks learn at one rate whatever the unit, when all targets are about as large as one. `mean` and `scale` are those of
    the training set, what must go included: two numbers of it stay behind.

    Args:
        name: what the target is called, such as a column's header.
        mean: in the target's own unit.
        scale: in the target's own unit, above 0.
        unit: what it is measured in, such as "USD"; empty where that is not known.
        lowest: smallest value that makes sense, in the target's own unit; minus infinity where there is none.
        highest: largest value that makes sense.

    >>> Target("price", mean=200.0, scale=50.0, unit="USD").scaled(250.0)
    1.0
    """

    name: str = "target"
    mean: float = 0.0
    scale: float = 1.0
    unit: str = ""
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and 0 < self.scale < math.inf):
            raise BadSetting(
                f"target '{self.name}': mean {self.mean} and scale {self.scale} do not do; a target needs values that differ"
            )

    def scaled(self, value: float) -> float:
        """A value in the target's own unit as it is stored."""
        return (value - self.mean) / self.scale


@dataclass(frozen=True)
class Source:
    """Data that is ready to be split: what a model is trained on, and what it never sees.

    Args:
        name: what reports call it.
        train: the training set; a request to forget picks rows of it.
        holdout: data drawn like `train` that no model is trained on.
        classes: the name of each class; empty where targets are real numbers.
        note: a sentence for the user about where the data came from; empty when there is nothing to say.
        input_shape: shape of one input, such as (1, 28, 28); read from the first row of `train` when left out.
        target: how the targets were scaled, where they are real numbers; None where they are classes.
    """

    name: str
    train: Dataset[Any]
    holdout: Dataset[Any]
    classes: tuple[str, ...]
    note: str = ""
    input_shape: tuple[int, ...] = ()
    target: Target | None = None

    def __post_init__(self) -> None:
        if length(self.train) == 0:
            raise BadSetting(f"{self.name}: the training set is empty, there is nothing to train on")
        if not self.input_shape:
            object.__setattr__(self, "input_shape", _first_shape(self.name, self.train))


def length(dataset: Dataset[Any]) -> int:
    """Number of rows.

    Raises:
        BadSetting: if the dataset does not know its length, as an iterable-style one.
    """
    try:
        return len(cast(Any, dataset))
    except TypeError:
        raise BadSetting(
            f"{type(dataset).__name__} has no length: forgetting needs a map-style dataset, "
            "one with __len__ and __getitem__, whose rows can be counted and picked"
        ) from None


def targets_of(dataset: Dataset[Any]) -> np.ndarray:
    """The target of every row, shape (n,) or (n, ...).

    Taken from the tensor of :class:`Records` or of any `TensorDataset`, else from an attribute `targets` or `labels`
    (unless a `target_transform` would change them), else from the rows themselves, which are then all read once.

    Raises:
        BadSetting: if the rows have no target.

    >>> import torch
    >>> records = Records(torch.zeros(3, 2), torch.tensor([5, 6, 7]))
    >>> targets_of(Subset(records, [2, 0])).tolist()
    [7, 5]
    """
    found = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1:
        found = dataset.tensors[1]
    elif _is_plain_subset(dataset):
        return np.asarray(targets_of(dataset.dataset)[_indices(dataset)])
    elif found is None or getattr(dataset, "target_transform", None) is not None:
        found = [_target(row, index) for index, row in enumerate(_rows(dataset))]
    targets = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
    if len(targets) != length(dataset):
        raise BadSetting(f"{type(dataset).__name__} has {length(dataset):,} rows, but {len(targets):,} targets")
    return targets


def columns_of(dataset: Dataset[Any]) -> dict[str, np.ndarray]:
    """The columns of every row: those of an attribute `columns`, else none.

    >>> import torch
    >>> records = Records(torch.zeros(3, 2), torch.zeros(3), {"user": ["ada", "bo", "cy"]})
    >>> columns_of(Subset(records, [2, 0]))["user"].tolist()
    ['cy', 'ada']
    """
    found = getattr(dataset, "columns", None)
    if isinstance(found, Mapping):
        columns = {str(name): np.asarray(values) for name, values in found.items()}
        _check_columns(columns, length(dataset))
        return columns
    if isinstance(dataset, Subset):
        return {name: values[_indices(dataset)] for name, values in columns_of(dataset.dataset).items()}
    return {}


def classes_of(dataset: Dataset[Any]) -> tuple[str, ...]:
    """The names of the classes: those of an attribute `classes`, else none."""
    found = getattr(dataset, "classes", None)
    if found is None and isinstance(dataset, Subset):
        return classes_of(dataset.dataset)
    return tuple(str(name) for name in found) if isinstance(found, Iterable) else ()


def take(dataset: Dataset[Any], count: int) -> Dataset[Any]:
    """The first `count` rows: :class:`Records` of records (a copy, with their columns), a `Subset` of anything else.

    Raises:
        BadSetting: if there are fewer rows, or `count` is not at least 1.

    >>> import torch
    >>> len(take(Records(torch.zeros(3, 2), torch.zeros(3)), 2))
    2
    """
    if count < 1:
        raise BadSetting(f"the number of rows to take must be at least 1, not {count}")
    if count > length(dataset):
        raise BadSetting(f"cannot take the first {count:,} rows: there are only {length(dataset):,}")
    if not isinstance(dataset, Records):
        return Subset(dataset, range(count))
    columns = {name: values[:count].copy() for name, values in dataset.columns.items()}
    # A slice would keep the memory of all rows alive.
    return Records(dataset.inputs[:count].clone(), dataset.targets[:count].clone(), columns, dataset.classes)


def with_columns(dataset: Dataset[Any], columns: Mapping[str, np.ndarray]) -> Dataset[Any]:
    """The same rows with more columns; the dataset that is handed in stays as it was.

    Raises:
        BadSetting: if a column is there already, or has another number of rows.
    """
    present = columns_of(dataset)
    if twice := sorted(present.keys() & columns.keys()):
        raise BadSetting(f"column '{twice[0]}' is there already; rename it. Present: {', '.join(sorted(present))}")
    merged = {**present, **columns}
    _check_columns(merged, length(dataset))
    if isinstance(dataset, Records):
        return Records(dataset.inputs, dataset.targets, merged, dataset.classes)
    view = Subset(dataset, range(length(dataset)))
    view.columns = merged  # type: ignore[attr-defined]
    return view


def unwrap(dataset: Dataset[Any]) -> tuple[Dataset[Any], np.ndarray]:
    """The dataset below all plain subsets, and the rows of it that are shown, shape (n,).

    >>> import torch
    >>> records = Records(torch.zeros(5, 2), torch.zeros(5))
    >>> unwrap(Subset(Subset(records, [4, 2, 0]), [1, 2]))[1].tolist()
    [2, 0]
    """
    rows = np.arange(length(dataset))
    while _is_plain_subset(dataset):
        rows = _indices(dataset)[rows]
        dataset = dataset.dataset
    return dataset, rows


def _is_plain_subset(dataset: Dataset[Any]) -> TypeGuard[Subset[Any]]:
    # A subclass that overrides __getitem__ (to transform its rows) shows other rows than the dataset below it.
    return isinstance(dataset, Subset) and type(dataset).__getitem__ is Subset.__getitem__


def _indices(subset: Any) -> np.ndarray:
    return np.asarray(subset.indices, dtype=np.int64)


def _rows(dataset: Any) -> Iterable[Any]:
    return (dataset[index] for index in range(length(dataset)))


def _target(row: Any, index: int) -> Any:
    if not isinstance(row, tuple | list) or len(row) < 2:
        raise BadSetting(f"row {index} is a {type(row).__name__}: a row must be (input, target) for its target to be read")
    return row[1].tolist() if isinstance(row[1], Tensor) else row[1]


def _first_shape(name: str, dataset: Any) -> tuple[int, ...]:
    row = dataset[0]
    first = row[0] if isinstance(row, tuple | list) and len(row) else row
    if not isinstance(first, Tensor):
        raise BadSetting(
            f"{name}: the input of the first row is a {type(first).__name__}, not a tensor; "
            "let the dataset return tensors, or state input_shape"
        )
    return tuple(first.shape)


def _check_columns(columns: Mapping[str, np.ndarray], rows: int) -> None:
    for name, values in columns.items():
        if values.ndim != 1 or len(values) != rows:
            raise BadSetting(f"column '{name}' must hold one value for each of {rows:,} rows, not shape {values.shape}")


def numbered_classes(targets: np.ndarray) -> tuple[str, ...]:
    """Names for classes that have none: "0", "1", ... up to the highest index; none where targets are real numbers.

    >>> numbered_classes(np.array([0, 2]))
    ('0', '1', '2')
    """
    if targets.ndim != 1 or not len(targets) or not np.issubdtype(targets.dtype, np.integer):
        return ()
    return tuple(str(index) for index in range(int(targets.max()) + 1))
