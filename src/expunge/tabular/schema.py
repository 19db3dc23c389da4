"""What the columns of a table are, for scores and generators: inferred from the real table, and overridden by its owner.

    number      numbers; compared as they are
    date        ISO 8601 texts or timestamps; days since 1970, then like a number
    category    texts, yes or no, numbers of two values only, and whatever its owner calls a category
    identifier  texts of which nearly every row has another (names, keys); neither scored nor learned
    empty       no value at all; neither scored nor learned

A gap (an empty value, or one of :data:`expunge.data.table_inputs.GAPS`) is no value of a number and a category of its own.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import yaml

from expunge.data.table_inputs import Column, Schema, check_column, check_finite, gaps_in, is_numeric
from expunge.errors import BadFile, BadSetting

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

Kind = Literal["number", "date", "category", "identifier", "empty"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OWN = 0.9  # texts for each row that has one, above which they are identifiers
_FEWEST_OWN = 50  # texts; of fewer a column is one of categories, however few rows there are
_MOST_DECIMALS = 8  # and as many more as the largest number of a column has zeros behind its point
_FINEST = 300  # decimals that rounding can do
_SHOWN = 5  # categories that are named
_ROOM = 36  # characters for their names, of which one is named whatever its length
_ISO = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
_DAY = r"\d{4}-\d\d-\d\d"


@dataclass(frozen=True)
class ColumnSchema:
    """What one column is.

    Args:
        name: as in the header.
        kind: see the module.
        values: of a category: the values of the real table, in order, as Python has them.
        gap_count: real rows without a value.
        low: of a number or a date (in days): the least of the real table.
        high: the largest.
        decimals: of a number: how many it is written with, at most 8, and more where all numbers are small.
        text: whether values are texts: of a date, that it is written as a text.
        days: of a date: whether it is written without a time.
        stated: whether its owner said what it is.
    """

    name: str
    kind: Kind
    values: tuple[Any, ...] = ()
    gap_count: int = 0
    low: float = 0.0
    high: float = 0.0
    decimals: int = 0
    text: bool = False
    days: bool = False
    stated: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The values of a category, spelled so that 6 and 6.0 are the same."""
        return tuple(map(key_of, self.values))


@dataclass(frozen=True)
class TableSchema:
    """What all columns are, in the order of the real table."""

    columns: tuple[ColumnSchema, ...]

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> ColumnSchema:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"no column '{name}'; there are {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def numbers(self) -> tuple[ColumnSchema, ...]:
        """Columns of numbers and dates."""
        return tuple(column for column in self.columns if column.kind in ("number", "date"))

    @property
    def categories(self) -> tuple[ColumnSchema, ...]:
        """Columns of categories."""
        return tuple(column for column in self.columns if column.kind == "category")

    @property
    def left_out(self) -> tuple[ColumnSchema, ...]:
        """Columns that are neither scored nor learned."""
        return tuple(column for column in self.columns if column.kind in ("identifier", "empty"))

    def as_json(self) -> list[dict[str, Any]]:
        """As plain values; :meth:`from_json` reads it."""
        return [{**asdict(column), "values": list(column.values)} for column in self.columns]

    @classmethod
    def from_json(cls, columns: Iterable[Mapping[str, Any]]) -> "TableSchema":
        """What :meth:`as_json` wrote."""
        return cls(tuple(ColumnSchema(**{**column, "values": tuple(column["values"])}) for column in columns))

    @classmethod
    def infer(
        cls,
        real: "pd.DataFrame",
        categorical: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        where: str = "the real table",
    ) -> "TableSchema":
        """Tell what columns are by their values.

        Args:
            real: the real table.
            categorical: columns whose numbers name categories.
            kinds: what some columns are, whatever their values look like.
            where: what errors call the table.

        Raises:
            BadFile: if two columns have one name, a column named is not there, or a number is infinite or no number.
            BadSetting: if a kind is none of :data:`KINDS`, or stands against `categorical`.
        """
        stated = _stated(real, categorical, kinds or {}, where)
        return cls(tuple(_column(real[name], stated.get(name), where) for name in real))

    def __str__(self) -> str:
        lines = [
            Column(each.name, each.kind, each.gap_count, _words(each), "as stated" if each.stated else "inferred")
            for each in self.columns
        ]
        return str(Schema(tuple(lines)))


def key_of(value: Any) -> str:
    """How a value of a category is spelled: whole numbers without a point, all else as Python prints it."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))  # not by way of floats, which pass over whole numbers above 2^53
    if isinstance(value, float | np.number):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value).strip()


def read_kinds(path: str | Path) -> dict[str, Kind]:
    """Read what columns are from a YAML file: `age: number`, a line for each column, or below a key `columns`.

    Raises:
        BadFile: if it is no such file.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadFile(f"{path} can't be read as YAML: {error}") from error
    found = found.get("columns", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(kind, str) for kind in found.values()):
        raise BadFile(f"{path}: expected a line 'column: kind' for each column, with a kind of {', '.join(KINDS)}")
    return {str(name): kind for name, kind in found.items()}


def days_of(values: "pd.Series[Any]") -> np.ndarray:
    """Days since 1970 of dates, shape (n,), float64; not a number where there is none."""
    import pandas as pd

    gaps = gaps_in(values)
    times = pd.to_datetime(values.mask(gaps), format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None).to_numpy()
    # by numpy, for pandas counts from 1970 in nanoseconds, of which the year 9999 has too many
    return np.asarray((times - np.datetime64(0, "D").astype(times.dtype)) / np.timedelta64(1, "D"), dtype=np.float64)


def numbers_of(values: "pd.Series[Any]", where: str) -> np.ndarray:
    """Values of a column of numbers, shape (n,), float64; not a number where there is none.

    Raises:
        BadFile: if one is a text or infinite.
    """
    import pandas as pd

    gaps = gaps_in(values)
    numbers = np.asarray(pd.to_numeric(values.mask(gaps), errors="coerce"), dtype=np.float64)
    check_finite(values, np.where(gaps, 0.0, numbers), f"{where}, {{row}}: column '{values.name}'")
    return numbers


def check_names(real: "pd.DataFrame", where: str) -> None:
    """Refuse a table with two columns of one name, or a name that is no text."""
    repeated = real.columns[real.columns.duplicated()]
    if len(repeated):
        raise BadFile(f"{where} has two columns '{repeated[0]}'; rename one of them")
    for name in real:
        if not isinstance(name, str):
            raise BadFile(f"{where} has a column named {name!r}, which is no text; rename it, as by columns.astype(str)")


def check_single(values: "pd.Series[Any]", where: str) -> None:
    """Refuse a column whose values are lists or the like, of which none equals another."""
    kinds = set(map(type, values.to_numpy())) if values.dtype == object else set()
    for kind in kinds:
        if not issubclass(kind, Hashable):
            raise BadFile(
                f"{where}: column '{values.name}' has a {kind.__name__} in a cell; expected one number or text in each"
            )


def _stated(real: "pd.DataFrame", categorical: Sequence[str], kinds: Mapping[str, Kind], where: str) -> dict[str, Kind]:
    check_names(real, where)
    if isinstance(categorical, str):
        raise BadSetting(f"categorical columns are a list, not the text {categorical!r}; write [{categorical!r}]")
    for name, kind in kinds.items():
        check_column(real, name, where)
        if kind not in KINDS:
            raise BadSetting(f"column '{name}' can't be of kind {kind!r}; there are {', '.join(KINDS)}")
        if name in categorical and kind != "category":
            raise BadSetting(f"column '{name}' is stated to be categorical and of kind {kind!r}; state one of them")
    for name in categorical:
        check_column(real, name, where)
    return {**kinds, **dict.fromkeys(categorical, "category")}


def _column(values: "pd.Series[Any]", stated: Kind | None, where: str) -> ColumnSchema:
    check_single(values, where)
    known = values[~gaps_in(values)]
    kind = stated or _kind(values, known)
    if len(known) == 0 and kind != "identifier":
        kind = "empty"
    found = ColumnSchema(
        str(values.name), kind, gap_count=len(values) - len(known), text=_is_text(values), stated=stated is not None
    )
    if kind == "number":
        numbers = numbers_of(values, where)
        return replace(found, low=float(np.nanmin(numbers)), high=float(np.nanmax(numbers)), decimals=_decimals(known))
    if kind == "date":
        days = days_of(values)
        if np.isnan(days[~gaps_in(values)]).any():
            raise BadFile(f"{where}: column '{values.name}' has values that are no dates; dates look like 2024-03-31")
        whole = (days[~np.isnan(days)] % 1 == 0).all() and (not found.text or known.str.fullmatch(_DAY).all())
        return replace(found, low=float(np.nanmin(days)), high=float(np.nanmax(days)), days=bool(whole))
    if kind == "category":
        if is_numeric(values):
            numbers_of(values, where)  # of which none may be infinite
        return replace(found, values=_in_order(known))
    return found


def _kind(values: "pd.Series[Any]", known: "pd.Series[Any]") -> Kind:
    if len(known) == 0:
        return "empty"
    distinct = known.drop_duplicates()
    if is_numeric(values):
        return "category" if len(distinct) == 2 else "number"
    if values.dtype.kind in "b":
        return "category"
    if values.dtype.kind == "M" or (distinct.astype(str).str.fullmatch(_ISO).all() and not np.isnan(days_of(distinct)).any()):
        return "date"
    return "identifier" if len(distinct) > max(_FEWEST_OWN, _OWN * len(known)) else "category"


def _is_text(values: "pd.Series[Any]") -> bool:
    return values.dtype.kind not in "iufbM"


def _in_order(known: "pd.Series[Any]") -> tuple[Any, ...]:
    """The distinct values as Python has them: numbers by size, all else by its spelling."""
    distinct = {key_of(value): value for value in known.drop_duplicates().tolist()}
    plain = {key: value if isinstance(value, bool | int | float) else key for key, value in distinct.items()}
    if known.dtype.kind in "iuf":
        return tuple(sorted(int(value) if float(value).is_integer() else value for value in plain.values()))
    return tuple(plain[key] for key in sorted(plain))


def _decimals(known: "pd.Series[Any]") -> int:
    numbers = np.asarray(known, dtype=np.float64)
    largest = float(np.abs(numbers).max())
    zeros = max(0, -math.floor(math.log10(largest))) if largest else 0
    exact = 1e-6 if known.dtype == np.float32 else 1e-12
    most = min(_MOST_DECIMALS + zeros, _FINEST)
    for decimals in range(most):
        if np.allclose(numbers, np.round(numbers, decimals), rtol=exact, atol=exact * 10.0**-zeros):
            return decimals
    return most


def _words(column: ColumnSchema) -> str:
    if column.kind == "number":
        return f"{column.low:,.10g} to {column.high:,.10g}"
    if column.kind == "date":
        return " to ".join(
            str(np.datetime64(round(day * 86_400), "s")).removesuffix("T00:00:00") for day in (column.low, column.high)
        )
    if column.kind == "category":
        return _some(list(map(str, column.values)))
    return "none" if column.kind == "empty" else "a text of its own in nearly every row"


def _some(names: Sequence[str]) -> str:
    """As many names as there is room for, the first one shortened where it must be.

    >>> _some(["north", "south"]), _some([f"a rather long category {place}" for place in range(9)])
    ('north, south', 'a rather long category 0 and 8 more')
    """
    shown, *others = (name if len(name) <= _ROOM else name[: _ROOM - 1] + "…" for name in names[:_SHOWN])
    count = 1
    for name in others:
        if len(shown) + len(name) + 2 > _ROOM:
            break
        shown, count = f"{shown}, {name}", count + 1
    more = len(names) - count
    return shown + (f" and {more:,} more" if more else "")
