"""Nearest rows by a mixed distance, in bounded memory.

    d(x, y) = mean over columns of   number     min(|x - y| / (high - low), 1),  with the range of the real table
                                     category   0 if equal, else 1

Two gaps are 0 apart, a gap and a value 1. A value that the real table lacks is 1 apart from everything.

Reference: J. C. Gower. "A General Coefficient of Similarity and Some of Its Properties", Biometrics 27 (1971).
What it can't see: that a column matters more than another; a heavy tail widens the range and makes the bulk look close.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from expunge.tabular.coded import Array, Coded

_CELLS = 1_000_000  # distances held at a time: 8 MB, which the caches of most machines hold
_WIDEST = 64  # categories; of a column with more, codes are compared, since one input for each would fill the memory
_FARTHEST = 1e6  # ranges
_GAP = 1e9  # farther than 1 from every number, and 0 from itself


@dataclass(frozen=True)
class _Placed:
    """Rows ready for comparison.

    Args:
        plain: scaled numbers whose differences are at most 1, shape (n, a).
        capped: scaled numbers that may be farther apart, or have gaps, shape (n, b).
        hot: a 1 for each value of the narrow categories, shape (n, c), float32, which counts up to 2^24 exactly.
        codes: of the wide categories, shape (n, e).
    """

    plain: Array
    capped: Array
    hot: Array
    codes: Array


def nearest(
    rows: Coded, among: Coded, k: int = 1, without: str | None = None, apart: Array | None = None
) -> tuple[Array, Array]:
    """The k nearest rows of a table for each row of another.

    Args:
        rows: n rows.
        among: m rows, coded by the same schema.
        k: how many, at most m (less one with `apart`).
        without: a column that isn't looked at.
        apart: for each of the n rows the number of one of the m that doesn't count; shape (n,).

    Returns:
        distances from 0 to 1, shape (n, k), rising; and the numbers of these rows in `among`, shape (n, k).
    """
    distances, places = [], []
    for start, block in _blocks(rows, among, without):
        here = np.arange(len(block))
        if apart is not None:
            block[here, apart[start : start + len(block)]] = np.inf
        found = np.empty((2, k, len(block)))
        for rank in range(k):
            place = block.argmin(1)
            found[:, rank] = block[here, place], place
            block[here, place] = np.inf
        distances.append(found[0].T)
        places.append(found[1].T.astype(np.int64))
    return np.concatenate(distances), np.concatenate(places)


def _blocks(rows: Coded, among: Coded, without: str | None) -> Iterator[tuple[int, Array]]:
    """All distances, some rows at a time: the first row's number, and shape (rows, m)."""
    numbers = [place for place, column in enumerate(rows.schema.numbers) if column.name != without]
    categories = [place for place, column in enumerate(rows.schema.categories) if column.name != without]
    left, right, narrow = _placed(rows, among, numbers, categories)
    size = max(1, _CELLS // len(among))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        block = np.full((len(left.plain[part]), len(among)), float(narrow))
        if left.plain.shape[1]:
            block += cdist(left.plain[part], right.plain, "cityblock")
        apart = np.empty_like(block)
        for ours, theirs in zip(left.capped[part].T, right.capped.T, strict=True):
            np.abs(np.subtract(ours[:, None], theirs, out=apart), out=apart)
            block += np.minimum(apart, 1.0, out=apart)
        if narrow:
            block -= left.hot[part] @ right.hot.T
        for ours, theirs in zip(left.codes[part].T, right.codes.T, strict=True):
            block += ours[:, None] != theirs
        block /= max(len(numbers) + len(categories), 1)
        yield start, block


def _placed(rows: Coded, among: Coded, numbers: list[int], categories: list[int]) -> tuple[_Placed, _Placed, int]:
    """Both tables ready for comparison, and how many categories are narrow."""
    columns = [rows.schema.numbers[place] for place in numbers]
    low = np.array([column.low for column in columns])
    span = np.array([(column.high - column.low) or 1.0 for column in columns])
    scaled = [
        np.where(np.isnan(found := table.numbers[:, numbers]), _GAP, ((found - low) / span).clip(-_FARTHEST, _FARTHEST))
        for table in (rows, among)
    ]
    inside = np.array([(each >= 0).all(0) & (each <= 1).all(0) for each in scaled]).all(0)
    sizes = {place: len(rows.schema.categories[place].values) + 1 for place in categories}
    narrow = [place for place, size in sizes.items() if size <= _WIDEST]
    wide = [place for place, size in sizes.items() if size > _WIDEST]
    made = []
    for table, here, strange in zip((rows, among), scaled, (-1, -2), strict=True):
        hot = [table.codes[:, [place]] == np.arange(sizes[place]) for place in narrow]
        codes = [np.where(table.codes[:, place] < sizes[place], table.codes[:, place], strange) for place in wide]
        made.append(
            _Placed(
                here[:, inside],
                here[:, ~inside],
                np.concatenate(hot, axis=1).astype(np.float32) if hot else np.empty((len(table), 0), np.float32),
                np.stack(codes, axis=1) if codes else np.empty((len(table), 0), np.int64),
            )
        )
    return made[0], made[1], len(narrow)
