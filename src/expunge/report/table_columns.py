"""What is drawn of each column of two tables: shares of rows by category, by interval, and on values that many rows have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.schema import ColumnSchema

MOST_BARS = 12
_BINS = 40
_MASS = 0.1  # share of the rows from which a value gets a bar of its own
_FAR = 0.005  # share of the values at either end that is counted in the outermost interval


@dataclass(frozen=True)
class Bar:
    """Shares of the rows that have one value, or one of several.

    Args:
        label: the value as text.
        real: share of the real rows.
        synthetic: share of the synthetic rows.
        special: whether it is no value of the column: a gap, all others, values that the real table lacks.
    """

    label: str
    real: float
    synthetic: float
    special: bool = False


@dataclass(frozen=True)
class ColumnView:
    """One column in both tables.

    Args:
        name: as in the header.
        kind: number, date or category.
        bars: of a category all; of a number values that many rows have, and gaps.
        edges: of the intervals that all other values of a number lie in, shape (b + 1,); empty for none.
        real: share of the real rows in each, shape (b,).
        synthetic: share of the synthetic rows in each, shape (b,).
        difference: the statistic that differs most, in words.
    """

    name: str
    kind: str
    bars: tuple[Bar, ...]
    edges: Array
    real: Array
    synthetic: Array
    difference: str


def views(real: Coded, synthetic: Coded) -> tuple[ColumnView, ...]:
    """All scored columns of two tables that are coded by one schema, in its order."""
    numbers = {each.name: place for place, each in enumerate(real.schema.numbers)}
    codes = {each.name: place for place, each in enumerate(real.schema.categories)}
    found = []
    for column in real.schema:
        if column.name in numbers:
            place = numbers[column.name]
            found.append(_of_number(column, real.numbers[:, place], synthetic.numbers[:, place]))
        elif column.name in codes:
            place = codes[column.name]
            found.append(_of_category(column, real.codes[:, place], synthetic.codes[:, place]))
    return tuple(found)


def _of_category(column: ColumnSchema, real: Array, synthetic: Array) -> ColumnView:
    count = len(column.values)
    shares = [np.bincount(np.minimum(each, count + 1), minlength=count + 2) / len(each) for each in (real, synthetic)]
    order = np.argsort(-shares[0][:count], kind="stable")
    if len(order) > MOST_BARS + 1:
        shown, rest = order[:MOST_BARS], order[MOST_BARS:]
    else:
        shown, rest = order, order[:0]
    bars = [_bar(str(column.values[place]), shares, [place]) for place in shown]
    if len(rest):
        bars.append(_bar(f"{len(rest):,} others", shares, rest, special=True))
    ends = [_bar("gap", shares, [count], True), _bar("not in the real table", shares, [count + 1], True)]
    bars += [bar for bar in ends if bar.real or bar.synthetic]
    empty = np.empty(0)
    return ColumnView(column.name, column.kind, tuple(bars), empty, empty, empty, _most_different(bars))


def _bar(label: str, shares: Sequence[Array], places: Sequence[int] | Array, special: bool = False) -> Bar:
    real, synthetic = (float(each[np.asarray(places)].sum()) for each in shares)
    return Bar(label, real, synthetic, special)


def _most_different(bars: Sequence[Bar]) -> str:
    bar = max(bars, key=lambda each: abs(each.real - each.synthetic), default=None)
    if bar is None or bar.real == bar.synthetic:
        return ""
    return f"with '{bar.label}' in {100 * bar.synthetic:.1f} % of its rows, in the real table in {100 * bar.real:.1f} %"


def _of_number(column: ColumnSchema, real: Array, synthetic: Array) -> ColumnView:
    tables = real, synthetic
    known = [each[~np.isnan(each)] for each in tables]
    masses = _masses(known[0])
    bars = [Bar(written(value, column), _share(real == value), _share(synthetic == value)) for value in masses]
    rest = [each[~np.isin(each, masses)] for each in known]
    edges = _edges(column, rest)
    counts = [
        np.histogram(each.clip(edges[0], edges[-1]), edges)[0] / len(table) if len(edges) else np.empty(0)
        for each, table in zip(rest, tables, strict=True)
    ]
    if len(masses) and not len(rest[0]) and len(rest[1]):
        bars.append(Bar("other values", 0.0, len(rest[1]) / len(synthetic), special=True))
        edges, counts = np.empty(0), [np.empty(0)] * 2
    gaps = Bar("gap", _share(np.isnan(real)), _share(np.isnan(synthetic)), special=True)
    bars += [gaps] if gaps.real or gaps.synthetic else []
    return ColumnView(column.name, column.kind, tuple(bars), edges, counts[0], counts[1], _statistic(column, *known))


def _share(rows: Array) -> float:
    return float(rows.mean())


def _masses(values: Array) -> Array:
    """Values that many rows have; all, where there are few."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct if len(distinct) <= MOST_BARS else distinct[counts >= _MASS * len(values)]


def _edges(column: ColumnSchema, values: Sequence[Array]) -> Array:
    """Of intervals of one width, which is a multiple of the unit that values are written in; empty without values."""
    both = np.concatenate(values)
    if not len(both):
        return np.empty(0)
    low, high = np.quantile(both, [_FAR, 1 - _FAR])
    unit = 1.0 if column.kind == "date" and column.days else 10.0**-column.decimals if column.kind == "number" else 0.0
    if unit <= 0:
        return np.linspace(low, high if high > low else low + 1, _BINS + 1)
    low = np.floor(low / unit) * unit
    steps = max(round((high - low) / unit) + 1, 1)
    width = -(-steps // _BINS)  # units
    return np.asarray(low - unit / 2 + np.arange(-(-steps // width) + 1) * width * unit)


def _statistic(column: ColumnSchema, real: Array, synthetic: Array) -> str:
    if not len(real) or not len(synthetic):
        return "with no value at all" if len(real) else ""
    spread = float(real.std()) or 1.0
    found = {
        "mean": (float(synthetic.mean()), float(real.mean())),
        "median": (float(np.median(synthetic)), float(np.median(real))),
    }
    if column.kind == "number":
        found["standard deviation"] = float(synthetic.std()), float(real.std())
    name = max(found, key=lambda each: abs(found[each][0] - found[each][1]) / spread)
    if abs(found[name][0] - found[name][1]) < 1e-9 * spread:
        return ""
    ours, theirs = ((f"{value:,.4g}" if column.kind == "number" else written(value, column)) for value in found[name])
    return f"with a {name} of {ours}, in the real table {theirs}"


def written(value: float, column: ColumnSchema) -> str:
    """A number or a date (in days) as text."""
    if column.kind == "date":
        return str(np.datetime64(round(value), "D"))
    return f"{value:,.10g}"
