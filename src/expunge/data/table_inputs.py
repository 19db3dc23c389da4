"""What the columns of a table become: inputs of a model, and what is to be said of them.

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

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.errors import BadFile

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

SPLIT_SEED = 0
MOST_CATEGORIES = 50
GAPS = frozenset({"", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A"})
ROW = "row"
YES, NO = frozenset({"yes", "true", "y", "t"}), frozenset({"no", "false", "n", "f"})
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


def kind_of(values: "pd.Series[Any]") -> str:
    """What a column is: "number", "date", "yes or no", "category" or "not used"."""
    known = values[~gaps_in(values)]
    if known.nunique() < 2:
        return "not used"
    if is_numeric(values):
        return "number"
    texts = {str(value) for value in known}
    lower = {text.lower() for text in texts}
    if lower <= YES | NO and lower & YES and lower & NO:
        return "yes or no"
    if known.astype(str).str.fullmatch(_ISO_DATE).all() and not np.isnan(_days(known)).any():
        return "date"
    return "category" if len(texts) <= MOST_CATEGORIES else "not used"


def gaps_in(values: "pd.Series[Any]") -> np.ndarray:
    """Which values are missing, shape (n,), bool."""
    return np.asarray(values.isna() | values.isin(GAPS))


def is_numeric(values: "pd.Series[Any]") -> bool:
    """Whether a column, as it was read, holds numbers."""
    return values.dtype.kind in "iuf"


def _days(dates: "pd.Series[Any]") -> np.ndarray:
    """Days since the first of some dates; not a number where there is none."""
    import pandas as pd

    times = pd.to_datetime(dates.mask(gaps_in(dates)), format="ISO8601", utc=True, errors="coerce")
    return np.asarray((times - times.min()) / pd.Timedelta(days=1), dtype=np.float64)


def column_of(values: "pd.Series[Any]", is_target: bool) -> Column:
    """All that a schema says of a column."""
    kind, gaps = kind_of(values), gaps_in(values)
    known = values[~gaps].drop_duplicates()
    uses = {"number": "standardised", "date": "days, standardised", "yes or no": "0 or 1", "not used": "none: one value only"}
    use = "target" if is_target else uses.get(kind, f"{len(known):,} inputs of 0 or 1")
    if kind == "not used" and len(known) > 1:
        use = f"none: more than {MOST_CATEGORIES} texts"
    elif kind != "not used" and not is_target and gaps.any():
        use += ", and whether it was missing"
    return Column(str(values.name), kind, int(gaps.sum()), _values_shown(known, kind), use)


def _values_shown(known: "pd.Series[Any]", kind: str) -> str:
    if kind == "number":
        return f"{known.min():,.10g} to {known.max():,.10g}"
    texts = sorted(str(value) for value in known)
    if kind == "date":
        return f"{texts[0]} to {texts[-1]}"
    if len(texts) > MOST_CATEGORIES:
        return f"{len(texts):,} texts"
    return ", ".join(texts) if len(texts) <= _SHOWN else f"{', '.join(texts[:_SHOWN])} and {len(texts) - _SHOWN} more"


def check_column(frame: "pd.DataFrame", name: str, where: str) -> None:
    """Refuse a name that no column has."""
    if name not in frame:
        names = {present.lower(): present for present in frame}
        close = [names[match] for match in difflib.get_close_matches(name.lower(), names, n=1)]
        raise BadFile(
            f"{where} has no column '{name}'{f' (did you mean {close[0]}?)' if close else ''}: "
            f"its columns are {', '.join(frame)}"
        )


def check_finite(column: "pd.Series[Any]", values: np.ndarray, what: str) -> None:
    """Refuse values that are no finite numbers; `what` says of what they are, with {row} for the first such row."""
    foreign = np.flatnonzero(~np.isfinite(values))
    if len(foreign):
        row = f"{column.index.name or ROW} {column.index[foreign[0]]:,}"
        raise BadFile(f"{what.format(row=row)} is '{column.iloc[foreign[0]]}'; expected a finite number, or nothing if unknown")


def inputs_of(frame: "pd.DataFrame", train: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Inputs of all rows, shape (n, d), and the columns that gave none.

    Args:
        frame: without the target.
        train: the rows that means, medians and categories are of.
        where: what errors call the data.
    """
    found, unused = [], []
    for name in frame:
        if is_numeric(frame[name]):
            check_finite(frame[name], frame[name].fillna(0).to_numpy(), f"{where}, {{row}}: column '{name}'")
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
    kind, gaps = kind_of(values), gaps_in(values)
    known = train[~gaps[train]]
    if kind == "not used" or values.iloc[known].nunique() < 2:
        return None
    if kind == "category":
        texts = np.asarray(values, dtype=str)
        encoded = texts[:, None] == np.unique(texts[known])
    elif kind == "yes or no":
        encoded = np.asarray(values.astype(str).str.lower().isin(YES))[:, None]
    else:
        numbers = _days(values) if kind == "date" else values.to_numpy(dtype=np.float64)
        filled = np.where(gaps, np.median(numbers[known]), numbers)
        encoded = ((filled - numbers[known].mean()) / numbers[known].std())[:, None]
    if len(known) < len(train):
        encoded = np.column_stack([encoded, gaps])
    return encoded.astype(np.float32)


def originals(frame: "pd.DataFrame", rows: np.ndarray) -> dict[str, np.ndarray]:
    """What stands in some rows, and their numbers."""
    columns = {name: frame[name].iloc[rows] for name in frame}
    found = {name: np.asarray(values, dtype=None if is_numeric(values) else str) for name, values in columns.items()}
    return {ROW: rows, **found}


def remarks(inputs: "pd.DataFrame", train: int, held: int, unused: list[str]) -> list[str]:
    """Sentences on what a user should know of how the table was read."""
    said = [f"{held:,} of {train + held:,} rows are held out, drawn with seed {SPLIT_SEED}."]
    if missing := len(inputs) - train - held:
        said.append(f"{missing:,} rows without a target are left out.")
    gaps = {name: int(gaps_in(inputs[name]).sum()) for name in inputs if name not in unused}
    if filled := ", ".join(f"{name} ({count:,})" for name, count in gaps.items() if count):
        said.append(f"Gaps are filled from the training rows and marked in inputs of their own: {filled}.")
    if unused:
        said.append(f"Not used as inputs: {', '.join(f'{name} ({_why_unused(inputs[name])})' for name in unused)}.")
    return said


def _why_unused(values: "pd.Series[Any]") -> str:
    column = column_of(values, False)
    return column.use.removeprefix("none: ") if column.kind == "not used" else "one value only in the training rows"
