"""Tables whose target is a class: a text, yes or no, or a whole number that names one.

Rows and columns are read as by :func:`expunge.data.table.read_table`; of each class rows are held out in its proportion.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from expunge.data.records import Records, Source
from expunge.data.splitting import stratified_rows, without
from expunge.data.table import HELD_OUT, check_share, read_frame, shuffled, source_from_frame
from expunge.data.table_inputs import (
    ROW,
    SPLIT_SEED,
    YES,
    check_column,
    check_finite,
    gaps_in,
    inputs_of,
    is_numeric,
    kind_of,
    originals,
    remarks,
)
from expunge.errors import BadFile, BadSetting

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

_FEWEST = 2  # rows of a class to train on


def read_class_table(path: str | Path, target: str | None = None, holdout: float = HELD_OUT, name: str | None = None) -> Source:
    """Read a CSV file whose rows have a class.

    Args:
        path: as for :func:`expunge.data.table.read_table`.
        target: the column of classes; rows where it is a gap are left out. Where it is yes or no in whatever spelling, there
            are these two classes, the first being no; otherwise each text, or each whole number, is a class.
        holdout: share of the rows that are held out, of each class alike, above 0 and below 1.
        name: what reports call the data; the name of the file when None.

    Returns:
        inputs of shape (n, d), float32; targets of shape (n,), int64, numbers of classes in the order of their names.

    Raises:
        BadFile: if the file is not such a file, or the target is not there, or has numbers that are not whole, or one class
            only, or a class with too few rows to train on some and hold out others.
        BadSetting: if no target is given, or `holdout` is no share.
    """
    path = Path(path)
    return classes_from_frame(_frame(path, target), str(target), name or path.stem, str(path), holdout)


def read_any_table(path: str | Path, target: str | None = None, holdout: float = HELD_OUT, name: str | None = None) -> Source:
    """Read a CSV file whose target may be of either kind: numbers are numbers, and all else is classes."""
    path = Path(path)
    frame, target = _frame(path, target), str(target)
    if is_numeric(frame[target]):
        return source_from_frame(frame, target, name or path.stem, where=str(path), holdout=holdout)
    return classes_from_frame(frame, target, name or path.stem, str(path), holdout)


def read_numbered_table(path: str | Path, target: str | None = None, classes: bool = False) -> Source:
    """Read a CSV file whose rows are called by their numbers, and by those of its own column `row` where it has one.

    Such a column is no input: what a model learns must not depend on what rows are called.

    Args:
        path: as for :func:`expunge.data.table.read_table`.
        target: the column to predict.
        classes: whether numbers in it name classes.

    Raises:
        BadFile: as the other readers, or if a column `row` doesn't tell all rows apart by whole numbers.
        BadSetting: if no target is given.
    """
    path = Path(path)
    frame, target = _frame(path, target), str(target)
    numbers = frame.pop(ROW) if ROW in frame and target != ROW else None
    if numbers is not None and not (numbers.dtype.kind in "iu" and numbers.is_unique):
        raise BadFile(f"{path}: column '{ROW}' must tell rows apart by whole numbers, and doesn't; rename the column")
    if is_numeric(frame[target]) and not classes:
        source = source_from_frame(frame, target, path.stem, where=str(path))
    else:
        source = classes_from_frame(frame, target, path.stem, str(path))
    if numbers is None:
        return source
    for part in (source.train, source.holdout):
        assert isinstance(part, Records)
        part.columns[ROW] = numbers.to_numpy()[part.columns[ROW]]
    return replace(source, note=f"{source.note} Rows are called by the column '{ROW}', which is no input.")


def classes_from_frame(frame: "pd.DataFrame", target: str, name: str, where: str, holdout: float = HELD_OUT) -> Source:
    """The same for a table in memory; `where` is what errors call it."""
    check_column(frame, target, where)
    check_share(holdout, where)
    indices, classes = _classes(frame[target], f"{where}, {{row}}: target '{target}'")
    order = shuffled(indices >= 0, where)
    held = stratified_rows(indices[order], max(1, round(holdout * len(order))), SPLIT_SEED)
    train, held = order[without(len(order), held)], order[held]
    _check_classes(indices[train], indices[held], classes, f"{where}: target '{target}'")
    inputs, unused = inputs_of(frame.drop(columns=target), train, where)
    parts = [
        Records(torch.from_numpy(inputs[rows]), torch.from_numpy(indices[rows]), originals(frame, rows), classes)
        for rows in (train, held)
    ]
    note = " ".join(remarks(frame.drop(columns=target), len(train), len(held), unused))
    return Source(name, parts[0], parts[1], classes, note, (inputs.shape[1],))


def _frame(path: Path, target: str | None) -> "pd.DataFrame":
    frame = read_frame(path)
    if target is None:
        raise BadSetting(f"{path}: state the target, that is the column to predict; its columns are {', '.join(frame)}")
    check_column(frame, target, str(path))
    return frame


def _classes(column: "pd.Series[object]", what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of each row's class, shape (n,), int64, -1 where it is missing; and what the classes are called."""
    gaps = gaps_in(column)
    values = column[~gaps]
    if is_numeric(column):
        check_finite(column, np.where(gaps, 0, column.to_numpy(dtype=np.float64)), what)
        _check_whole(values, what)
        names, found = np.unique(values.to_numpy(dtype=np.int64), return_inverse=True)
    elif kind_of(column) == "yes or no":
        found = np.asarray(values.astype(str).str.lower().isin(YES), dtype=np.int64)
        names = np.array([str(values.iloc[int(np.argmax(found == kind))]) for kind in (0, 1)])
    else:
        names, found = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    indices = np.full(len(column), -1)
    indices[~gaps] = found
    return indices, tuple(map(str, names))


def _check_whole(values: "pd.Series[float]", what: str) -> None:
    odd = np.flatnonzero(values.to_numpy() % 1)
    if len(odd):
        row = f"{values.index.name or 'row'} {values.index[odd[0]]:,}"
        raise BadFile(f"{what.format(row=row)} is {values.iloc[odd[0]]:g}; numbers that name classes are whole numbers")


def _check_classes(train: np.ndarray, held: np.ndarray, classes: tuple[str, ...], what: str) -> None:
    if len(classes) < 2:
        raise BadFile(f"{what} is '{classes[0]}' in every row; expected two classes or more")
    trained, out = (np.bincount(rows, minlength=len(classes)) for rows in (train, held))
    rare = np.flatnonzero((trained < _FEWEST) | (out < 1))
    if len(rare):
        first = rare[0]
        raise BadFile(
            f"{what}: class '{classes[first]}' has {trained[first] + out[first]:,} of {len(train) + len(held):,} rows, "
            f"{trained[first]:,} to train on and {out[first]:,} held out; expected at least {_FEWEST} and 1. "
            f"Merge rare classes or leave them out ({len(rare)} of {len(classes):,} are as rare)"
        )
