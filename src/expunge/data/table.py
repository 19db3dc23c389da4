"""Tables: CSV files with a header, one example a line, of which one column is a number that a model learns to predict.

What a column is, is told by its values in the whole file; everything that is computed (means, medians, categories) is
computed from the training rows alone:

    number      (value - mean) / standard deviation, of the training rows whose value is known
    date        ISO 8601; days since the first one, then like a number
    yes or no   1 or 0, of yes/no, true/false, y/n, t/f in any case
    category    one input of 0 or 1 for each text that occurs in the training rows; a text that does not is 0 everywhere
    not used    more than 50 texts (names, ids), or one value only

Gaps in numbers and dates are filled with the median, in the others with 0; a column with gaps in the training rows has
one more input that is 1 where the value was missing.
"""

import csv
import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from expunge.data.columns import check_lines
from expunge.data.published import read_failed
from expunge.data.records import Records, Source, Target
from expunge.errors import BadFile, BadSetting

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

SUFFIXES = frozenset({".csv", ".tsv"})
HELD_OUT = 0.2
SPLIT_SEED = 0
FEWEST_ROWS = 10
MOST_CATEGORIES = 50
GAPS = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A"})
ROW = "row"
_YES, _NO = frozenset({"yes", "true", "y", "t"}), frozenset({"no", "false", "n", "f"})
_ISO_DATE = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
_SHOWN = 5  # categories that a schema names


@dataclass(frozen=True)
class Column:
    """What one column of a table is.

    Args:
        name: as in the header.
        kind: "number", "date", "yes or no", "category" or "not used".
        gaps: number of rows whose value is missing.
        values: the range of numbers and dates, or some categories.
        use: what becomes of it.
    """

    name: str
    kind: str
    gaps: int
    values: str
    use: str


@dataclass(frozen=True)
class Schema:
    """What all columns of a table are, in the order of the file; prints as a table.

    >>> print(Schema((Column("age", "number", 2, "18 to 64", "standardised"), Column("id", "not used", 0, "90 texts", "none"))))
    column  kind      gaps  values    use
    age     number       2  18 to 64  standardised
    id      not used     0  90 texts  none
    """

    columns: tuple[Column, ...]

    def __str__(self) -> str:
        rows = [("column", "kind", "gaps", "values", "use")]
        rows += [(column.name, column.kind, f"{column.gaps:,}", column.values, column.use) for column in self.columns]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[2] = row[2].rjust(widths[2])
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def read_table(
    path: str | Path, target: str | None = None, holdout: float = HELD_OUT, name: str | None = None, unit: str = ""
) -> Source:
    """Read a CSV file whose rows have a real-numbered target.

    The order of a file may mean something (by place, by date), so rows are shuffled, always alike, before the last of
    them are held out. The columns of both parts are all those of the file, with the values that stand there, and `row`:
    the number of the row in the file, the first below the header being 0 (unless the file has a column of that name).

    Args:
        path: UTF-8 with a header, separated by tabs where the name ends in ``.tsv``, else by commas (or semicolons, if
            the header has no comma). Empty lines are passed over; an empty value and those in :data:`GAPS` are gaps.
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
        _check_column(frame, target, str(path))
    return Schema(tuple(_column(frame[name], name == target) for name in frame))


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
    if not 0 < holdout < 1:
        raise BadSetting(f"{where}: the share of rows to hold out must be above 0 and below 1, not {holdout}")
    values = _target_values(frame, target, where)
    train, held = _hold_out(values, holdout, where)
    if np.ptp(values[train]) == 0:
        raise BadFile(f"{where}: target '{target}' is {values[train[0]]:g} in every training row; expected values that differ")
    scaling = Target(target, float(values[train].mean()), float(values[train].std()), unit, lowest, highest)
    inputs, unused = _inputs(frame.drop(columns=target), train, where)
    scaled = ((values - scaling.mean) / scaling.scale).astype(np.float32)
    parts = [
        Records(torch.from_numpy(inputs[rows]), torch.from_numpy(scaled[rows, None]), _originals(frame, rows))
        for rows in (train, held)
    ]
    note = " ".join(_remarks(frame.drop(columns=target), len(train), len(held), unused))
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

    gaps = _gaps(texts)
    numbers = pd.to_numeric(texts.mask(gaps), errors="coerce")
    return numbers if not gaps.all() and not numbers.isna()[~gaps].any() else texts


def _gaps(values: "pd.Series[Any]") -> np.ndarray:
    return np.asarray(values.isna() | values.isin(GAPS))


def _is_numeric(values: "pd.Series[Any]") -> bool:
    return values.dtype.kind in "iuf"


def _numeric(frame: "pd.DataFrame") -> list[str]:
    return [name for name in frame if _is_numeric(frame[name])]


def _kind(values: "pd.Series[Any]") -> str:
    known = values[~_gaps(values)]
    if known.nunique() < 2:
        return "not used"
    if _is_numeric(values):
        return "number"
    texts = {str(value) for value in known}
    lower = {text.lower() for text in texts}
    if lower <= _YES | _NO and lower & _YES and lower & _NO:
        return "yes or no"
    if known.astype(str).str.fullmatch(_ISO_DATE).all() and not np.isnan(_days(known)).any():
        return "date"
    return "category" if len(texts) <= MOST_CATEGORIES else "not used"


def _days(dates: "pd.Series[Any]") -> np.ndarray:
    """Days since the first of some dates; not a number where there is none."""
    import pandas as pd

    times = pd.to_datetime(dates.mask(_gaps(dates)), format="ISO8601", utc=True, errors="coerce")
    return np.asarray((times - times.min()) / pd.Timedelta(days=1), dtype=np.float64)


def _column(values: "pd.Series[Any]", is_target: bool) -> Column:
    kind, gaps = _kind(values), _gaps(values)
    known = values[~gaps].drop_duplicates()
    uses = {"number": "standardised", "date": "days, standardised", "yes or no": "0 or 1", "not used": "none: one value only"}
    use = "target" if is_target else uses.get(kind, f"{len(known):,} inputs of 0 or 1")
    if kind == "not used" and len(known) > 1:
        use = f"none: more than {MOST_CATEGORIES} texts"
    elif kind != "not used" and not is_target and gaps.any():
        use += ", and whether it was missing"
    return Column(str(values.name), kind, int(gaps.sum()), _values(known, kind), use)


def _values(known: "pd.Series[Any]", kind: str) -> str:
    if kind == "number":
        return f"{known.min():,.10g} to {known.max():,.10g}"
    texts = sorted(str(value) for value in known)
    if kind == "date":
        return f"{texts[0]} to {texts[-1]}"
    if len(texts) > MOST_CATEGORIES:
        return f"{len(texts):,} texts"
    return ", ".join(texts) if len(texts) <= _SHOWN else f"{', '.join(texts[:_SHOWN])} and {len(texts) - _SHOWN} more"


def _check_column(frame: "pd.DataFrame", name: str, where: str) -> None:
    if name not in frame:
        names = {present.lower(): present for present in frame}
        close = [names[match] for match in difflib.get_close_matches(name.lower(), names, n=1)]
        raise BadFile(
            f"{where} has no column '{name}'{f' (did you mean {close[0]}?)' if close else ''}: "
            f"its columns are {', '.join(frame)}"
        )


def _target_values(frame: "pd.DataFrame", target: str, where: str) -> np.ndarray:
    """Shape (n,); not a number where the target is missing."""
    import pandas as pd

    _check_column(frame, target, where)
    gaps = _gaps(frame[target])
    values = np.asarray(pd.to_numeric(frame[target].mask(gaps), errors="coerce"), dtype=np.float64)
    _check_finite(frame[target], np.where(gaps, 0, values), f"{where}, {{row}}: target '{target}'")
    return values


def _check_finite(column: "pd.Series[Any]", values: np.ndarray, what: str) -> None:
    foreign = np.flatnonzero(~np.isfinite(values))
    if len(foreign):
        row = f"{column.index.name or ROW} {column.index[foreign[0]]:,}"
        raise BadFile(f"{what.format(row=row)} is '{column.iloc[foreign[0]]}'; expected a finite number, or nothing if unknown")


def _hold_out(values: np.ndarray, share: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, of those whose target is known; shuffled."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < FEWEST_ROWS:
        raise BadFile(f"{where}: {len(known)} rows have a target; expected at least {FEWEST_ROWS}")
    order = np.random.default_rng(SPLIT_SEED).permutation(known)
    held = min(max(1, round(share * len(order))), len(order) - 2)
    return order[:-held], order[-held:]


def _inputs(frame: "pd.DataFrame", train: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Inputs of all rows, shape (n, d), and the columns that gave none."""
    found, unused = [], []
    for name in frame:
        if _is_numeric(frame[name]):
            _check_finite(frame[name], frame[name].fillna(0).to_numpy(), f"{where}, {{row}}: column '{name}'")
        encoded = _encoded(frame[name], train)
        if encoded is None:
            unused.append(name)
        else:
            found.append(encoded)
    if not found:
        raise BadFile(
            f"{where}: none of the columns besides the target can be an input ({', '.join(frame) or 'there are none'})"
        )
    return np.concatenate(found, axis=1), unused


def _encoded(values: "pd.Series[Any]", train: np.ndarray) -> np.ndarray | None:
    """Inputs of one column, shape (n, k), float32; None when it is not used."""
    kind, gaps = _kind(values), _gaps(values)
    known = train[~gaps[train]]
    if kind == "not used" or values.iloc[known].nunique() < 2:
        return None
    if kind == "category":
        texts = np.asarray(values, dtype=str)
        encoded = texts[:, None] == np.unique(texts[known])
    elif kind == "yes or no":
        encoded = np.asarray(values.astype(str).str.lower().isin(_YES))[:, None]
    else:
        numbers = _days(values) if kind == "date" else values.to_numpy(dtype=np.float64)
        filled = np.where(gaps, np.median(numbers[known]), numbers)
        encoded = ((filled - numbers[known].mean()) / numbers[known].std())[:, None]
    if len(known) < len(train):
        encoded = np.column_stack([encoded, gaps])
    return encoded.astype(np.float32)


def _originals(frame: "pd.DataFrame", rows: np.ndarray) -> dict[str, np.ndarray]:
    columns = {name: frame[name].iloc[rows] for name in frame}
    found = {name: np.asarray(values, dtype=None if _is_numeric(values) else str) for name, values in columns.items()}
    return {ROW: rows, **found}


def _remarks(inputs: "pd.DataFrame", train: int, held: int, unused: list[str]) -> list[str]:
    """Sentences on what a user should know of how the table was read."""
    remarks = [f"{held:,} of {train + held:,} rows are held out, drawn with seed {SPLIT_SEED}."]
    if missing := len(inputs) - train - held:
        remarks.append(f"{missing:,} rows without a target are left out.")
    gaps = {name: int(_gaps(inputs[name]).sum()) for name in inputs if name not in unused}
    if filled := ", ".join(f"{name} ({count:,})" for name, count in gaps.items() if count):
        remarks.append(f"Gaps are filled from the training rows and marked in inputs of their own: {filled}.")
    if unused:
        remarks.append(f"Not used as inputs: {', '.join(f'{name} ({_why_unused(inputs[name])})' for name in unused)}.")
    return remarks


def _why_unused(values: "pd.Series[Any]") -> str:
    column = _column(values, False)
    return column.use.removeprefix("none: ") if column.kind == "not used" else "one value only in the training rows"
