"""Tables: CSV files with a header, one example a line, of which one column is a number that a model learns to predict.

How the other columns become inputs is said in :mod:`expunge.data.table_inputs`; of targets that are classes in
:mod:`expunge.data.class_table`.
"""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from expunge.data.columns import check_lines
from expunge.data.published import read_failed
from expunge.data.records import Records, Source, Target
from expunge.data.table_inputs import (
    SPLIT_SEED,
    Schema,
    check_column,
    check_finite,
    column_of,
    gaps_in,
    inputs_of,
    is_numeric,
    originals,
    remarks,
)
from expunge.errors import BadFile, BadSetting

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

SUFFIXES = frozenset({".csv", ".tsv"})
HELD_OUT = 0.2
FEWEST_ROWS = 10


def read_table(
    path: str | Path, target: str | None = None, holdout: float = HELD_OUT, name: str | None = None, unit: str = ""
) -> Source:
    """Read a CSV file whose rows have a real-numbered target.

    The order of a file may mean something (by place, by date), so rows are shuffled, always alike, before the last of
    them are held out. The columns of both parts are all those of the file, with the values that stand there, and `row`:
    the number of the row in the file, the first below the header being 0 (unless the file has a column of that name).

    Args:
        path: UTF-8 with a header, separated by tabs where the name ends in ``.tsv``, else by commas (or semicolons, if
            the header has no comma). Empty lines are passed over; an empty value and those in
            :data:`expunge.data.table_inputs.GAPS` are gaps.
        target: the column to predict; rows where it is a gap are left out.
        holdout: share of the rows that are held out, above 0 and below 1.
        name: what reports call the data; the name of the file when None.
        unit: what the target is measured in.

    Returns:
        inputs of shape (n, d), float32; targets of shape (n, 1), standardised by the training rows.

    Raises:
        BadFile: if the file is not such a file, or the target is not there, not finite, or always the same.
        BadSetting: if no target is given, or `holdout` is no share.
    """
    path = Path(path)
    frame = read_frame(path)
    if target is None:
        numeric = ", ".join(_numeric(frame)) or "none"
        raise BadSetting(f"{path}: state the target, that is the column to predict; columns of numbers: {numeric}")
    return source_from_frame(frame, target, name or path.stem, where=str(path), holdout=holdout, unit=unit)


def read_schema(path: str | Path, target: str | None = None) -> Schema:
    """What the columns of a CSV file are, and how :func:`read_table` would use them.

    Raises:
        BadFile: if the file is not such a file, or has no column `target`.
    """
    frame = read_frame(Path(path))
    if target is not None:
        check_column(frame, target, str(path))
    return Schema(tuple(column_of(frame[name], name == target) for name in frame))


def source_from_frame(
    frame: "pd.DataFrame",
    target: str,
    name: str,
    *,
    where: str | None = None,
    holdout: float = HELD_OUT,
    unit: str = "",
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Source:
    """The same for a table in memory.

    Args:
        frame: one row an example; where its index has a name, such as "line", errors call its rows so.
        target: the column to predict.
        name: what reports call the data.
        where: what errors call the data; `name` when None.
        holdout: share of the rows that are held out.
        unit: what the target is measured in.
        lowest: smallest value of the target that makes sense.
        highest: largest value of the target that makes sense.

    Raises:
        BadFile: as :func:`read_table`.
        BadSetting: if `holdout` is no share.
    """
    where = where or name
    check_share(holdout, where)
    values = _target_values(frame, target, where)
    train, held = _hold_out(values, holdout, where)
    if np.ptp(values[train]) == 0:
        raise BadFile(f"{where}: target '{target}' is {values[train[0]]:g} in every training row; expected values that differ")
    scaling = Target(target, float(values[train].mean()), float(values[train].std()), unit, lowest, highest)
    inputs, unused = inputs_of(frame.drop(columns=target), train, where)
    scaled = ((values - scaling.mean) / scaling.scale).astype(np.float32)
    parts = [
        Records(torch.from_numpy(inputs[rows]), torch.from_numpy(scaled[rows, None]), originals(frame, rows))
        for rows in (train, held)
    ]
    note = " ".join(remarks(frame.drop(columns=target), len(train), len(held), unused))
    return Source(name, parts[0], parts[1], (), note, (inputs.shape[1],), scaling)


def read_frame(path: Path) -> "pd.DataFrame":
    """Read a CSV file as :func:`read_table` does: columns of numbers, and of texts without blanks at their ends.

    The index is called "line" and holds the number of each row's line in the file, the first one being 1.

    Raises:
        BadFile: if the file is empty, not text, or has a line with another number of values than its header.
    """
    import pandas as pd  # half a second's import

    (_, header), *lines = _read(path) or [(0, [])]
    if not header or not lines:
        raise BadFile(f"{path} is empty: expected a header and one line for each of at least {FEWEST_ROWS} rows")
    check_lines(path, header, lines)
    index = pd.Index([number for number, _ in lines], name="line")
    columns = zip(*(line for _, line in lines), strict=True)
    return pd.DataFrame(
        {name: _typed(pd.Series(texts, index, dtype=object)) for name, texts in zip(header, columns, strict=True)}
    )


def _read(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, each with its number from 1, split and stripped."""
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(path, first), strict=True)
            try:
                return [(reader.line_num, [value.strip() for value in line]) for line in reader if line]
            except csv.Error as error:
                raise BadFile(f"{path}, line {reader.line_num:,}: {error}; expected values in columns") from error
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return ";" if ";" in header and "," not in header else ","


def _typed(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers where all values but the gaps are numbers, else the texts as they are."""
    import pandas as pd

    gaps = gaps_in(texts)
    numbers = pd.to_numeric(texts.mask(gaps), errors="coerce")
    return numbers if not gaps.all() and not numbers.isna()[~gaps].any() else texts


def _numeric(frame: "pd.DataFrame") -> list[str]:
    return [name for name in frame if is_numeric(frame[name])]


def _target_values(frame: "pd.DataFrame", target: str, where: str) -> np.ndarray:
    """Shape (n,); not a number where the target is missing."""
    import pandas as pd

    check_column(frame, target, where)
    gaps = gaps_in(frame[target])
    values = np.asarray(pd.to_numeric(frame[target].mask(gaps), errors="coerce"), dtype=np.float64)
    check_finite(frame[target], np.where(gaps, 0, values), f"{where}, {{row}}: target '{target}'")
    return values


def check_share(holdout: float, where: str) -> None:
    """Refuse what is no share of rows to hold out."""
    if not 0 < holdout < 1:
        raise BadSetting(f"{where}: the share of rows to hold out must be above 0 and below 1, not {holdout}")


def shuffled(known: np.ndarray, where: str) -> np.ndarray:
    """The numbers of the rows whose target is known, shape (n,), bool, in an order that is always the same."""
    rows = np.flatnonzero(known)
    if len(rows) < FEWEST_ROWS:
        raise BadFile(f"{where}: {len(rows)} rows have a target; expected at least {FEWEST_ROWS}")
    return np.random.default_rng(SPLIT_SEED).permutation(rows)


def _hold_out(values: np.ndarray, share: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, of those whose target is known; shuffled."""
    order = shuffled(~np.isnan(values), where)
    held = min(max(1, round(share * len(order))), len(order) - 2)
    return order[:-held], order[-held:]
