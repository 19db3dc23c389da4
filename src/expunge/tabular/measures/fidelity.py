"""Fidelity: do the columns, one by one and two by two, look like the real ones?

    shape of a number     1 - max( sup_t |F_real(t) - F_synthetic(t)|, |g_real - g_synthetic| )
    shape of a category   1 - 1/2 sum_v |p_real(v) - p_synthetic(v)|
    trend of two numbers  1 - |r_real - r_synthetic| / 2                                       (Pearson)
    trend of other pairs  1 - 1/2 sum_uv |p_real(u, v) - p_synthetic(u, v)|
    quality               (mean shape + mean trend of related pairs) / 2

F is the distribution of the known values (Kolmogorov-Smirnov), g the share of gaps. A number that meets a category is cut
into 10 bins of equal width over the real range, values below, values above and gaps having bins of their own. In categories
a gap is a value like others. Related are pairs whose real correlation is above 0.5 in size, or whose Cramér's V is above
0.3; the others are easily met, so that among all pairs a table of shuffled columns does well. A pair of numbers without a
correlation (one of them is constant, or hardly known) is left out if that is in the real table, and has a correlation of 0
if in the synthetic one.

Reference: the quality report of SDMetrics 0.32 (DataCebo), whose figures these are where no value is missing, but for the
bins: it cuts each table by that table's own range, so that numbers which are shifted as a whole keep their bins.
What it can't see: anything that takes three columns, and copies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.figure import Figure, check_tables

BINS = 10
CORRELATED = 0.5  # this and the next as in SDMetrics
ASSOCIATED = 0.3
_FEWEST = 3  # rows in which both numbers are known


@dataclass(frozen=True)
class Trend:
    """How a pair of columns compares.

    Args:
        value: from 0 to 1, ideally 1.
        strength: of the relation in the real table: Pearson's correlation, -1 to 1, or Cramér's V, 0 to 1.
        related: whether the real columns are, so that the pair counts for quality.
    """

    value: float
    strength: float
    related: bool


@dataclass(frozen=True)
class Fidelity:
    """How columns and pairs compare.

    Args:
        shapes: by column, in the order of the table; from 0 to 1, ideally 1.
        trends: by pair of columns, each pair once.
    """

    shapes: Mapping[str, float]
    trends: Mapping[tuple[str, str], Trend]

    @property
    def shape(self) -> float:
        """Mean over columns."""
        return float(np.mean(list(self.shapes.values())))

    @property
    def trend(self) -> float | None:
        """Mean over related pairs; None for a table that has none."""
        found = [each.value for each in self.trends.values() if each.related]
        return float(np.mean(found)) if found else None

    @property
    def trend_of_all(self) -> float | None:
        """Mean over all pairs; None for a table that has none."""
        return float(np.mean([each.value for each in self.trends.values()])) if self.trends else None

    @property
    def quality(self) -> float:
        """Mean of shape and trend; shape alone without related pairs."""
        return self.shape if self.trend is None else (self.shape + self.trend) / 2

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        related = sum(each.related for each in self.trends.values())
        many = f"{related:,} of {len(self.trends):,} pairs"
        return (
            Figure("Column shapes", self.shape, 1.0, "higher", "How alike single columns are distributed, on average."),
            Figure(
                "Pair trends", self.trend, 1.0, "higher", f"How alike related columns go together two by two, mean of {many}."
            ),
            Figure(
                "Trends of all pairs", self.trend_of_all, 1.0, "higher", "The same of all pairs, most of which are easily met."
            ),
            Figure("Quality", self.quality, 1.0, "higher", "Mean of column shapes and pair trends; a copy gets 1."),
        )


def fidelity(real: Coded, synthetic: Coded) -> Fidelity:
    """Compare columns and pairs.

    Args:
        real: the real table.
        synthetic: coded by the same schema; as many rows as it likes.

    Raises:
        BadSetting: if the tables can't be compared.
    """
    check_tables((real, synthetic))
    schema = real.schema
    numbers = [each.name for each in schema.numbers]
    categories = [each.name for each in schema.categories]
    shapes = {
        **{name: number_shape(a, b) for name, a, b in zip(numbers, real.numbers.T, synthetic.numbers.T, strict=True)},
        **{name: table_overlap(a, b) for name, a, b in zip(categories, real.codes.T, synthetic.codes.T, strict=True)},
    }
    linear = dict(zip(combinations(numbers, 2), _correlation_trends(real, synthetic), strict=True))
    ours, theirs = (
        dict(zip((*numbers, *categories), [*_binned(each), *each.codes.T], strict=True)) for each in (real, synthetic)
    )
    trends = {}
    order = [name for name in schema.names if name in shapes]
    for pair in combinations(order, 2):
        found = (
            linear[pair] if pair in linear else _contingency_trend(*([each[name] for name in pair] for each in (ours, theirs)))
        )
        if found is not None:
            trends[pair] = found
    return Fidelity({name: shapes[name] for name in order}, trends)


def number_shape(real: Array, synthetic: Array) -> float:
    """1 less the Kolmogorov-Smirnov statistic, or less the difference in gaps if that is larger; shapes (n,) and (m,).

    >>> number_shape(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    known_real, known_synthetic = (np.sort(each[~np.isnan(each)]) for each in (real, synthetic))
    gap = abs(len(known_real) / len(real) - len(known_synthetic) / len(synthetic))
    if not len(known_real) or not len(known_synthetic):
        return float(len(known_real) == len(known_synthetic))
    steps = np.concatenate([known_real, known_synthetic])
    shares = [np.searchsorted(each, steps, side="right") / len(each) for each in (known_real, known_synthetic)]
    return float(1 - max(np.abs(shares[0] - shares[1]).max(), gap))


def table_overlap(real: Array, synthetic: Array) -> float:
    """1 less the total variation between the shares of whole numbers, shapes (n,) and (m,), int64.

    >>> table_overlap(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]))
    0.75
    """
    _, found = np.unique(np.concatenate([real, synthetic]), return_inverse=True)
    left, right = (np.bincount(each, minlength=found.max() + 1) for each in (found[: len(real)], found[len(real) :]))
    return float(1 - np.abs(left / len(real) - right / len(synthetic)).sum() / 2)


def _binned(table: Coded) -> list[Array]:
    """Bins of each number: 0 below the range, 1 to 10, 11 above it, 12 for a gap."""
    found = []
    for values, column in zip(table.numbers.T, table.schema.numbers, strict=True):
        edges = np.linspace(column.low, column.high, BINS + 1)
        places = np.digitize(values, edges)
        places[values == column.high] = BINS
        places[np.isnan(values)] = BINS + 2
        found.append(places)
    return found


def _contingency_trend(real: Sequence[Array], synthetic: Sequence[Array]) -> Trend:
    """Trend of a pair of columns of whole numbers."""
    width = int(max(real[1].max(), synthetic[1].max())) + 1
    ours, theirs = (each[0] * width + each[1] for each in (real, synthetic))
    strength = cramers_v(*real)
    return Trend(table_overlap(ours, theirs), strength, strength > ASSOCIATED)


def cramers_v(first: Array, second: Array) -> float:
    """How far two columns of whole numbers depend on one another, 0 to 1, shapes (n,); 0 if one is constant.

    >>> cramers_v(np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7]))
    1.0
    """
    (_, left), (_, right) = (np.unique(each, return_inverse=True) for each in (first, second))
    rows, columns = np.bincount(left), np.bincount(right)
    cells, counts = np.unique(left * len(columns) + right, return_counts=True)
    if min(len(rows), len(columns)) < 2:
        return 0.0
    square = (counts**2 / (rows[cells // len(columns)] * columns[cells % len(columns)])).sum() - 1
    return float(np.sqrt(max(square, 0.0) / (min(len(rows), len(columns)) - 1)))


def _correlation_trends(real: Coded, synthetic: Coded) -> list[Trend | None]:
    """Trends of all pairs of numbers, in the order of their combinations; None where the real table has none."""
    upper = np.triu_indices(real.numbers.shape[1], 1)
    ours, theirs = (_correlations(each.numbers)[upper] for each in (real, synthetic))
    values = 1 - np.abs(ours - np.nan_to_num(theirs)) / 2
    return [
        None if np.isnan(value) else Trend(float(value), float(r), bool(abs(r) > CORRELATED))
        for value, r in zip(values, ours, strict=True)
    ]


def _correlations(values: Array) -> Array:
    """Pearson correlation of columns over the rows that have both, shape (p, p); not a number where there is none."""
    known = (~np.isnan(values)).astype(np.float64)
    first = np.array([column[mask > 0][0] if mask.any() else 0.0 for column, mask in zip(values.T, known.T, strict=True)])
    shifted = np.where(known > 0, values - first, 0.0)
    scale = np.abs(shifted).max(0, initial=0.0)
    shifted = shifted / np.where(scale > 0, scale, 1.0)
    count = np.maximum(known.T @ known, 1)
    mean, square = shifted.T @ known / count, (shifted**2).T @ known / count
    variance = square - mean**2
    variance[variance < 1e-14] = np.nan
    variance[count < _FEWEST] = np.nan
    covariance = shifted.T @ shifted / count - mean * mean.T
    found: Array = (covariance / np.sqrt(variance * variance.T)).clip(-1, 1)
    return found
