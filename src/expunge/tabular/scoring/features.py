"""Columns of both tables as inputs of a model: numbers scaled by the real range, categories as zeros and ones.

Gaps in numbers are filled with the real median and have an input of their own. Of a column the 50 categories that most real
rows have get an input each, and all others share one; so do values that the real table lacks.
"""

from dataclasses import dataclass

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.scoring.pair import Pair

MOST_CATEGORIES = 50


@dataclass(frozen=True)
class Features:
    """How columns become inputs.

    Args:
        low: least real value of each column of numbers, shape (p,).
        width: their ranges; 1 for a column of one value.
        median: of the real values.
        gaps: places of columns of numbers in which either table has gaps.
        inputs: for each column of categories, the input that each code becomes, and last that of codes which only a third
            table has; shape (codes + 1,).
    """

    low: Array
    width: Array
    median: Array
    gaps: Array
    inputs: tuple[Array, ...]

    @classmethod
    def of(cls, pair: Pair) -> "Features":
        """Ranges, medians and categories of the real table."""
        numbers = pair.real.numbers
        known = ~np.isnan(numbers).all(0)
        statistics = np.zeros((3, numbers.shape[1]))
        statistics[:, known] = [each(numbers[:, known], axis=0) for each in (np.nanmin, np.nanmax, np.nanmedian)]
        low, high, median = statistics
        gaps = np.flatnonzero(np.isnan(numbers).any(0) | np.isnan(pair.synthetic.numbers).any(0))
        sizes = np.maximum(pair.real.sizes, pair.synthetic.sizes)
        inputs = tuple(
            _inputs(np.bincount(codes, minlength=size)) for codes, size in zip(pair.real.codes.T, sizes, strict=True)
        )
        return cls(low, np.where(high > low, high - low, 1.0), median, gaps, inputs)

    def __call__(self, coded: Coded, skip: str | None = None, drop_first: bool = False) -> Array:
        """Inputs of a table, shape (n, inputs), float64.

        Args:
            coded: one of the two tables, some of its rows, or a holdout.
            skip: a column that must not be among them.
            drop_first: whether the first category of each column has no input, as it follows from the others.
        """
        schema = coded.schema
        scaled = (np.where(np.isnan(coded.numbers), self.median, coded.numbers) - self.low) / self.width
        kept = [place for place, column in enumerate(schema.numbers) if column.name != skip]
        gapped = [place for place in self.gaps if place in kept]
        tables = [
            (place, self.inputs[place] - int(drop_first))
            for place, column in enumerate(schema.categories)
            if column.name != skip
        ]
        first = len(kept) + len(gapped)
        found = np.zeros((len(coded), first + sum(int(table[:-1].max()) + 1 for _, table in tables)))
        found[:, : len(kept)] = scaled[:, kept]
        found[:, len(kept) : first] = np.isnan(coded.numbers[:, gapped])
        for place, table in tables:
            size = int(table[:-1].max()) + 1
            inputs = table[coded.codes[:, place].clip(max=len(table) - 1)]
            rows = np.flatnonzero((inputs >= 0) & (inputs < size))
            found[rows, first + inputs[rows]] = 1.0
            first += size
        return found


def _inputs(counts: Array) -> Array:
    """The input of each code, by how many real rows have it; -1 is no code's."""
    some = np.flatnonzero(counts)
    if len(some) > MOST_CATEGORIES:
        some = np.sort(some[np.argsort(-counts[some], kind="stable")[:MOST_CATEGORIES]])
    found = np.full(len(counts) + 1, len(some))
    found[some] = np.arange(len(some))
    return found
