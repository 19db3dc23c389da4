"""What `expunge value` takes from data: rows to value, to judge models on, and for curves; and which rows are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from expunge.data import Source, columns_of, length, read_values, targets_of
from expunge.data.records import unwrap
from expunge.data.splitting import stratified_rows, without
from expunge.errors import BadFile, BadRequest, BadSetting

JUDGES = 0.2  # share of the training rows that models are judged on
ROW = "row"
Array = np.ndarray
Labelled = tuple[Array, Array]  # inputs, shape (n, ...), and targets, shape (n,)


@dataclass(frozen=True)
class Parts:
    """A source in three parts.

    Args:
        points: rows to value; classes are called by their names.
        judges: rows that models are judged on, as values are found.
        unseen: rows that curves are judged on.
        rows: what the rows to value are called, shape (n,), whole numbers.
        others: what all other rows are called that have a name.
        labels: their classes, or their targets in their own unit, shape (n,), texts.
        columns: what else is known of them.
        target: what the target is called.
        images: whether inputs are images.
    """

    points: Labelled
    judges: Labelled
    unseen: Labelled
    rows: Array
    others: Array
    labels: Array
    columns: Mapping[str, Array]
    target: str
    images: bool


def part(source: Source, target: str | None, seed: int) -> Parts:
    """Divide a source: of its training rows a fifth judges, of each class alike.

    Args:
        target: name of the column to predict, of a table.
        seed: of the draw.

    Raises:
        BadSetting: if there is more than one target a row, or too few rows.
        BadFile: if a column `row` doesn't tell rows apart.
    """
    X, y = _labelled(source, source.train)
    unseen = _labelled(source, source.holdout)
    if len(y) < 4 or not len(unseen[1]):
        raise BadSetting(f"{source.name}: {len(y):,} rows to train on and {len(unseen[1]):,} held out are too few to value any")
    count = max(round(JUDGES * len(y)), 1)
    if source.classes:
        judging = stratified_rows(y, count, seed)
    else:
        judging = np.sort(np.random.default_rng(seed).choice(len(y), count, replace=False))
    own = without(len(y), judging)
    numbers, elsewhere = _numbers(source)
    columns = {name: values[own] for name, values in columns_of(source.train).items()}
    name = target or (source.target.name if source.target else "class")
    labels = _labels(source, y[own], columns.pop(name, None))
    columns.pop(ROW, None)
    return Parts(
        (X[own], y[own]),
        (X[judging], y[judging]),
        unseen,
        numbers[own],
        np.concatenate([numbers[judging], elsewhere]),
        labels,
        columns,
        name,
        X.ndim == 4 and X.shape[1] in (1, 3),
    )


def asked_rows(path: Path, parts: Parts) -> tuple[Array, int]:
    """The rows that a file names, one a line or in a column `row`.

    Returns:
        places of those that are valued among the valued rows, sorted; and how many rows are named.

    Raises:
        BadFile: if the file is empty, or a line is no whole number, or no row of the data.
        BadRequest: if none of the rows is valued.
    """
    named = np.array(list(dict.fromkeys(_whole(text, path) for text in read_values(path, ROW))))  # 7 and 07 are one row
    places, elsewhere = np.isin(parts.rows, named), np.isin(parts.others, named)
    unknown = named[~np.isin(named, np.concatenate([parts.rows, parts.others]))]
    if len(unknown):
        known = np.concatenate([parts.rows, parts.others])
        more = f" ({len(unknown):,} of {len(named):,} rows are not)" if len(unknown) > 1 else ""
        raise BadFile(
            f"{path}: row {unknown[0]:,} is none of the rows that were read, which are numbered {known.min():,} to "
            f"{known.max():,}, without those that lack a target{more}; the column row of values.csv has the numbers"
        )
    if not places.any():
        raise BadRequest(
            f"{path}: none of the {int(elsewhere.sum()):,} rows it names has a value: they are held out or judged on, and "
            "no model was trained on them; another --seed judges on others"
        )
    return np.flatnonzero(places), len(named)


def _labelled(source: Source, dataset: Dataset[Any]) -> Labelled:
    targets = targets_of(dataset)
    if targets.ndim > 1:
        if targets[:1].size > 1:
            raise BadSetting(f"{source.name} has {targets[0].size} targets a row; a row that is valued has one")
        targets = targets.reshape(len(targets))
    return _inputs(dataset), np.array(source.classes)[targets] if source.classes else targets


def _inputs(dataset: Dataset[Any]) -> Array:
    base, rows = unwrap(dataset)
    if isinstance(base, TensorDataset):
        return base.tensors[0].numpy()[rows]
    found = [base[row][0] for row in rows.tolist()]
    return np.stack([each.numpy() if isinstance(each, torch.Tensor) else np.asarray(each) for each in found])


def _numbers(source: Source) -> tuple[Array, Array]:
    """What the training rows are called, and the held-out rows that are called otherwise: their numbers in the file."""
    nothing = np.empty(0, dtype=np.int64)
    train, held = (columns_of(each).get(ROW) for each in (source.train, source.holdout))
    if train is None:
        return np.arange(length(source.train)), nothing
    if not np.issubdtype(train.dtype, np.integer) or len(np.unique(train)) < len(train):
        raise BadFile(f"{source.name}: column '{ROW}' must tell rows apart by whole numbers, and doesn't; rename the column")
    of_one_file = held is not None and np.issubdtype(held.dtype, np.integer) and not np.isin(held, train).any()
    return train, held if of_one_file and held is not None else nothing


def _labels(source: Source, targets: Array, column: Array | None) -> Array:
    if source.classes:
        return targets
    if column is None:
        assert source.target is not None
        column = targets * source.target.scale + source.target.mean
    return np.array([f"{value:.10g}" for value in column])


def _whole(text: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadFile(f"{path}: {text!r} is no row; expected whole numbers, one a line, or a column '{ROW}' of them") from None
