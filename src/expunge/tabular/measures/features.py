"""Inputs of models and distances from coded tables, scaled by the real table alone.

    number      flat: (value - mean) / standard deviation, a gap as 0, and an input that is 1 for a gap; for trees: as it is
    category    flat: one input of 0 or 1 for each slot; for trees: the slot's number

A slot is one value of the real table, or a gap. Of a column with more than 50 values the rarest share one slot. All values
that the real table lacks share another.
"""

from dataclasses import dataclass

import numpy as np

from expunge.tabular.coded import Array, Coded

MOST_SLOTS = 50
_FARTHEST = 1e6  # standard deviations; beyond, sums of squares would lose all else


@dataclass(frozen=True)
class Features:
    """How rows become inputs.

    Args:
        mean: of the known numbers of the real table, shape (p,).
        deviation: their standard deviation, shape (p,); 1 where it is 0.
        slots: for each column of categories the slot of each of its codes 0 to K, and last the one of values that the real
            table lacks; shape (K + 2,), int64.
    """

    mean: Array
    deviation: Array
    slots: tuple[Array, ...]

    @classmethod
    def of(cls, real: Coded) -> "Features":
        """Learn the scaling from the real table."""
        known = ~np.isnan(real.numbers)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, real.numbers, 0.0).sum(0) / count
        deviation = np.sqrt((np.where(known, real.numbers - mean, 0.0) ** 2).sum(0) / count)
        sizes = [len(column.values) + 1 for column in real.schema.categories]
        slots = tuple(_slots(codes, size) for codes, size in zip(real.codes.T, sizes, strict=True))
        return cls(mean, np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300), deviation, 1.0), slots)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many slots each column of categories has."""
        return tuple(int(slots[-1]) + 1 for slots in self.slots)

    def flat(self, table: Coded, category: float = 1.0) -> Array:
        """Rows as vectors, shape (n, d), float64.

        Args:
            table: the rows.
            category: what a category's input is where the row has it; with 1 / sqrt(2) two rows that differ in a category
                are 1 apart in that column.
        """
        gaps = np.isnan(table.numbers)
        scaled = ((table.numbers - self.mean) / self.deviation).clip(-_FARTHEST, _FARTHEST)
        hot = [np.eye(width)[slots] * category for width, slots in zip(self.widths, self._placed(table).T, strict=True)]
        return np.concatenate([np.where(gaps, 0.0, scaled), gaps, *hot], axis=1)

    def tree(self, table: Coded) -> Array:
        """Rows for boosted trees, shape (n, p + q), float64: numbers with gaps as they are, then slots."""
        return np.concatenate([table.numbers, self._placed(table)], axis=1)

    @property
    def tree_categories(self) -> Array:
        """Which columns of :meth:`tree` are categories, shape (p + q,), bool."""
        return np.repeat([False, True], [len(self.mean), len(self.slots)])

    def _placed(self, table: Coded) -> Array:
        placed = [slots[codes.clip(max=len(slots) - 1)] for slots, codes in zip(self.slots, table.codes.T, strict=True)]
        return np.stack(placed, axis=1) if placed else np.empty((len(table), 0), np.int64)


def _slots(codes: Array, size: int) -> Array:
    counts = np.bincount(codes[codes < size], minlength=size)
    order = np.argsort(-counts, kind="stable")
    slots = np.empty(size + 1, np.int64)
    slots[order] = np.minimum(np.arange(size), MOST_SLOTS - 1)
    slots[size] = min(size, MOST_SLOTS)
    return slots


def sample(table: Coded, rows: int, seed: int) -> Coded:
    """At most so many rows, drawn without replacement; all of them in their order if there are no more."""
    if len(table) <= rows:
        return table
    return table.rows(np.random.default_rng(seed).choice(len(table), rows, replace=False))
