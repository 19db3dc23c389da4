"""A table as arrays: numbers as they are, categories as whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expunge.data.table_inputs import gaps_in
from expunge.errors import BadFile
from expunge.tabular.schema import ColumnSchema, TableSchema, check_single, days_of, key_of, numbers_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

Array = NDArray[Any]
FEWEST_ROWS = 10
_SECONDS = 86_400  # of a day
_LARGEST_WHOLE = 2.0**53  # above, floats pass over whole numbers
_LARGEST = 1e150  # number whose square, summed over rows, is finite


@dataclass(frozen=True)
class Coded:
    """Rows of a table, in the columns that its schema scores.

    Args:
        schema: of the real table.
        numbers: shape (n, p), float64; one column for each of `schema.numbers`, not a number where a value is missing.
        codes: shape (n, q), int64; one column for each of `schema.categories`. With K values in the schema, 0 to K-1 are
            these, K is a gap, and K+1 and above are values that the schema doesn't know.
        unknown: for each of these columns the spellings of such values, in the order of their codes.
    """

    schema: TableSchema
    numbers: Array
    codes: Array
    unknown: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each column of categories can have."""
        return tuple(
            len(column.values) + 1 + len(more) for column, more in zip(self.schema.categories, self.unknown, strict=True)
        )

    def rows(self, which: Array) -> "Coded":
        """Some rows, by their numbers or by a mask."""
        return Coded(self.schema, self.numbers[which], self.codes[which], self.unknown)


def code(table: "pd.DataFrame", schema: TableSchema, where: str) -> Coded:
    """Turn a table into arrays.

    Args:
        table: has all columns of the schema, in any order; others are passed over.
        schema: of the real table.
        where: what errors call the table.

    Raises:
        BadFile: if a column is missing or there twice, has a text where the schema says number, or there are too few rows.
    """
    check_columns(table, schema.names, where)
    if len(table) < FEWEST_ROWS:
        raise BadFile(f"{where} has {len(table)} row{'s' * (len(table) != 1)}; expected at least {FEWEST_ROWS}")
    numbers = [
        days_of(table[each.name]) if each.kind == "date" else numbers_of(table[each.name], where) for each in schema.numbers
    ]
    codes, unknown = (
        zip(*(_codes(table[each.name], each, where) for each in schema.categories), strict=True)
        if schema.categories
        else ((), ())
    )
    return Coded(schema, _stack(numbers, len(table), np.float64), _stack(codes, len(table), np.int64), tuple(unknown))


def check_columns(table: "pd.DataFrame", names: Sequence[str], where: str) -> None:
    """Refuse a table that lacks columns, or has one twice."""
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise BadFile(f"{where} has two columns '{repeated[0]}'; rename one of them")
    missing = [name for name in names if name not in table]
    if missing:
        has = ", ".join(map(str, table)) or "none"
        raise BadFile(
            f"{where} lacks {'column' if len(missing) == 1 else 'columns'} {', '.join(map(repr, missing))}; it has {has}"
        )


def check_squares(coded: Coded, where: str) -> None:
    """Refuse numbers so large that they have no finite variance."""
    for column, values in zip(coded.schema.numbers, coded.numbers.T, strict=True):
        if (np.abs(values) > _LARGEST).any():
            raise BadFile(
                f"{where}: column '{column.name}' has numbers above {_LARGEST:g} in size, too large for a variance; leave them "
                "empty if they stand for gaps, or scale the column"
            )


def _stack(columns: Sequence[Array], count: int, dtype: type) -> Array:
    return np.stack(columns, axis=1).astype(dtype, copy=False) if len(columns) else np.empty((count, 0), dtype)


def _codes(values: "pd.Series[Any]", column: ColumnSchema, where: str) -> tuple[Array, tuple[str, ...]]:
    """Codes of a column, shape (n,), and the spellings of values that the schema doesn't know."""
    import pandas as pd

    try:
        found, distinct = pd.factorize(values)  # an empty value is -1
    except TypeError:
        check_single(values, where)
        raise
    gaps = gaps_in(pd.Series(distinct))
    keys = [None if gap else key_of(value) for value, gap in zip(distinct, gaps, strict=True)]
    places: dict[str | None, int] = {key: place for place, key in enumerate(column.keys)}
    unknown = tuple(sorted({key for key in keys if key is not None and key not in places}))
    places |= {key: len(column.values) + 1 + place for place, key in enumerate(unknown)}
    places[None] = len(column.values)
    return np.array([*(places[key] for key in keys), places[None]], dtype=np.int64)[found], unknown


def decode(coded: Coded) -> "pd.DataFrame":
    """Turn arrays back into a table with the columns of the schema, in its order.

    Numbers are clipped to the range of the real table and written with as many decimals as there; a gap is a missing value.
    Codes above K, that is unknown values, are gaps too. Times with a time zone are in UTC. Identifiers are made
    anew, as numbered texts; empty columns stay empty.
    """
    import pandas as pd

    schema, columns = coded.schema, {}
    numbers = dict(zip((each.name for each in schema.numbers), coded.numbers.T, strict=True))
    codes = dict(zip((each.name for each in schema.categories), coded.codes.T, strict=True))
    for column in schema:
        if column.kind in ("number", "date"):
            columns[column.name] = _written(as_written(numbers[column.name], column), column)
        elif column.kind == "category":
            values = pd.Series([*column.values, None], dtype=object)
            found = values.iloc[codes[column.name].clip(max=len(column.values))].reset_index(drop=True)
            columns[column.name] = _typed(found)
        elif column.kind == "identifier":
            width = len(str(len(coded)))
            columns[column.name] = pd.Series([f"{column.name}-{row + 1:0{width}d}" for row in range(len(coded))], dtype=object)
        else:
            columns[column.name] = pd.Series([None] * len(coded), dtype=object)
    return pd.DataFrame(columns)


def as_written(values: Array, column: ColumnSchema) -> Array:
    """Numbers or dates (in days), shape (n,), within the range of the real table and rounded as it writes them."""
    inside = values.clip(column.low, column.high)
    if column.kind == "number":
        return np.asarray(np.round(inside, column.decimals))
    return np.asarray(np.round(inside) if column.days else np.round(inside * _SECONDS) / _SECONDS)


def _typed(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values of a category in the type that a file's reader gives them."""
    import pandas as pd

    known = values.dropna().infer_objects()
    return pd.to_numeric(values) if known.dtype.kind in "iuf" else values if len(known) < len(values) else known


def _written(values: Array, column: ColumnSchema) -> "pd.Series[Any]":
    """A column of numbers or dates in the type that the real table has."""
    import pandas as pd

    if column.kind == "number":
        exact = max(-column.low, column.high) < _LARGEST_WHOLE
        whole = column.decimals == 0 and exact and not column.gap_count and not np.isnan(values).any()
        return pd.Series(values.astype(np.int64) if whole else values)
    gaps = np.isnan(values)
    times = np.where(gaps, 0, np.round(values * _SECONDS)).astype("datetime64[s]")
    times[gaps] = np.datetime64("NaT")
    if not column.text:
        return pd.Series(times)
    return pd.Series(np.datetime_as_string(times, unit="D" if column.days else "s"), dtype=object).mask(gaps, None)
