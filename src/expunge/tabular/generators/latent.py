"""Latent normal variables of which only blocks are seen: their correlation, and drawing them within bounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from expunge.tabular.coded import Array

_TERMS = 30  # of the series in the correlation
_HALVINGS = 40
_FREE = 0.2  # by which a latent correlation may differ from that of ranks
_LEAST = 1e-6  # eigenvalue of the correlation
_ROUNDS = 4  # of ordering categories by one another
_SWEEPS = 100  # of Gibbs sampling
_FAR = 10.0  # standard deviations; beyond, there is nothing to be drawn


@dataclass(frozen=True)
class Blocks:
    """A column as blocks of a standard normal variable, one after the other.

    Args:
        places: shape (n,), int64; each row's block, -1 where the column has no value.
        shares: shape (blocks,), above 0; of the rows with a value, summing to 1.
        values: shape (blocks,), rising; what stands in a block, standardised. Block means where there is only an order.
    """

    places: Array
    shares: Array
    values: Array

    @classmethod
    def of_order(cls, places: Array, shares: Array) -> "Blocks":
        """Blocks of which only the order means something."""
        return cls(places, shares, _means(shares))

    @classmethod
    def of_numbers(cls, values: Array) -> "Blocks":
        """A block for each distinct value of a column, shape (n,); not a number is no value."""
        distinct, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        count = int((~np.isnan(distinct)).sum())  # numpy sorts it last
        if count == 0:  # one block that no row is in
            return cls(np.full(len(values), -1), np.ones(1), np.zeros(1))
        shares = counts[:count] / counts[:count].sum()
        return cls(np.where(places < count, places, -1), shares, _standardised(distinct[:count], shares))

    @classmethod
    def of_gaps(cls, values: Array) -> "Blocks":
        """A block for values and, above it, one for gaps."""
        return cls.of_numbers(np.isnan(values).astype(np.float64))

    @property
    def means(self) -> Array:
        """E[z | block], shape (blocks,)."""
        return _means(self.shares)

    def rows(self, scores: Array) -> Array:
        """Each row's score, shape (n,), by those of blocks; 0, the mean, where it has no value."""
        return np.where(self.places < 0, 0.0, scores[self.places])

    def series(self, scores: Array) -> Array:
        """c_m = E[s(z) h_m(z)] for m = 1, 2, ..., shape (terms,), of s(z) the score of z's block."""
        edges, found = _edges(self.shares), []
        before, now, density = np.zeros_like(edges), np.ones_like(edges), _density(edges)
        for term in range(1, _TERMS + 1):
            # h_m times the density is the slope of -h_(m-1) times the density, but for a factor
            found.append(scores @ -np.diff(now * density) / np.sqrt(term))
            before, now = now, (edges * now - np.sqrt(term - 1) * before) / np.sqrt(term)
        return np.array(found)


def correlation(columns: Sequence[Blocks]) -> Array:
    """The correlation of latent variables under which values correlate as in the rows, shape (d, d), positive definite."""
    by_means = _solved(columns, [each.means for each in columns])
    found = _solved(columns, [each.values for each in columns]).clip(by_means - _FREE, by_means + _FREE)
    np.fill_diagonal(found, 1.0)
    return _definite(found)


def _solved(columns: Sequence[Blocks], scores: Sequence[Array]) -> Array:
    """The correlation of latent variables under which scores of blocks correlate as in the rows, shape (d, d)."""
    rows = np.stack([each.rows(of) for each, of in zip(columns, scores, strict=True)], axis=1)
    there = np.stack([each.places >= 0 for each in columns], axis=1).astype(np.float64)
    wanted = (rows.T @ rows) / np.maximum(there.T @ there, 1)
    series = np.stack([each.series(of) for each, of in zip(columns, scores, strict=True)])
    low, high = -np.ones_like(wanted), np.ones_like(wanted)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = _correlated(series, middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = (low + high) / 2
    still = (series == 0).all(1)  # a column of one value
    found[still], found[:, still] = 0.0, 0.0
    return np.asarray(found)


def ordered(columns: Sequence[Blocks], codes: Array) -> tuple[list[Blocks], list[Array]]:
    """Put the values of categories into an order in which they go along with all other columns.

    Args:
        columns: whose order is given.
        codes: shape (n, q), int64; categories.

    Returns:
        for each category its blocks, and the codes that occur, in the order of their blocks.
    """
    given = [each.rows(each.means) for each in columns]
    distinct, places = _renumbered(codes)
    counts = [np.bincount(each) for each in places]
    # before there is any order, the one in which values are by their share
    found = [
        _standardised(np.argsort(np.argsort(-count)).astype(float), count)[at] for count, at in zip(counts, places, strict=True)
    ]
    ranks = [np.arange(len(count)) for count in counts]
    for _ in range(_ROUNDS):
        for column, (at, count) in enumerate(zip(places, counts, strict=True)):
            others = [*given, *(each for other, each in enumerate(found) if other != column)]
            axis = _axis(at, count, others)
            ranks[column] = np.argsort(axis, kind="stable")
            found[column] = _standardised(axis, count)[at]
    blocks, orders = [], []
    for at, count, rank, values in zip(places, counts, ranks, distinct, strict=True):
        blocks.append(Blocks.of_order(np.argsort(rank)[at], count[rank] / len(at)))
        orders.append(values[rank])
    return blocks, orders


def truncated(correlation: Array, bounds: Sequence[Array], n: int, generator: np.random.Generator) -> Array:
    """Draw normal variables within bounds, shape (n, d): exact for one variable, by Gibbs sampling for more.

    Args:
        correlation: shape (d, d).
        bounds: for each variable the shares of a standard normal one that it may be in, shape (intervals, 2).
        n: how many.
        generator: all randomness.
    """
    edges = [ndtri(each).clip(-_FAR, _FAR) for each in bounds]
    zeros, ones = np.zeros(n), 1.0
    found = np.stack([_between(zeros, ones, each, generator) for each in edges], axis=1)
    precision = np.linalg.inv(correlation)
    for _ in range(_SWEEPS if len(edges) > 1 else 0):
        for column, each in enumerate(edges):
            variance = 1 / precision[column, column]
            mean = found[:, column] - variance * (found @ precision[column])
            found[:, column] = _between(mean, float(np.sqrt(variance)), each, generator)
    return found


def _between(mean: Array, deviation: float, edges: Array, generator: np.random.Generator) -> Array:
    """Draws of normal variables within intervals, shape (n,)."""
    starts, ends = (edges[:, side] - mean[:, None] for side in (0, 1))
    starts, ends = starts / deviation, ends / deviation
    upper = starts > 0  # far above the mean shares are 1; those of the mirrored interval are not
    starts, ends = np.where(upper, -ends, starts), np.where(upper, -starts, ends)
    below = ndtr(starts)
    mass = ndtr(ends) - below
    mass = np.where(mass.sum(1, keepdims=True) > 0, mass, 1.0)
    upto = np.cumsum(mass, axis=1)
    which = (generator.random((len(mean), 1)) * upto[:, -1:] > upto).sum(1).clip(max=len(edges) - 1)
    rows = np.arange(len(mean))
    shares = below[rows, which] + generator.random(len(mean)) * mass[rows, which]
    drawn = ndtri(shares.clip(0, 1)) * np.where(upper[rows, which], -1, 1) * deviation + mean
    return np.asarray(drawn.clip(edges[which, 0], edges[which, 1]))


def _correlated(series: Array, correlation: Array) -> Array:
    """sum_m c_jm c_km R_jk^m, shape (d, d)."""
    found = np.zeros_like(correlation)
    for term in reversed(range(series.shape[1])):
        found = (found + np.outer(series[:, term], series[:, term])) * correlation
    return found


def _definite(correlation: Array) -> Array:
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= _LEAST:
        return correlation
    found = (vectors * values.clip(_LEAST)) @ vectors.T
    scale = np.sqrt(np.diag(found))
    return np.asarray(found / np.outer(scale, scale))


def _axis(places: Array, counts: Array, others: Sequence[Array]) -> Array:
    """The numbers for a category's values that correlate most, in sum of squares, with other columns, shape (values,)."""
    if not others or len(counts) == 1:
        return np.arange(len(counts), dtype=np.float64)
    means = np.stack([np.bincount(places, each, len(counts)) / counts for each in others], axis=1)
    roots = np.sqrt(counts)
    axis = np.linalg.svd((means - np.average(means, axis=0, weights=counts)) * roots[:, None], full_matrices=False)[0][:, 0]
    return np.asarray(axis / roots)


def _renumbered(codes: Array) -> tuple[list[Array], list[Array]]:
    """For each column the codes that occur, and which of them each row has."""
    found = [np.unique(each, return_inverse=True) for each in codes.T]
    return [values for values, _ in found], [places for _, places in found]


def _standardised(values: Array, counts: Array) -> Array:
    values = values - np.average(values, weights=counts)
    deviation = np.sqrt(np.average(values**2, weights=counts))
    return np.asarray(values / deviation if deviation > 0 else values)


def _edges(shares: Array) -> Array:
    """Where blocks begin and end, shape (blocks + 1,), in standard deviations."""
    inner = ndtri(np.cumsum(shares)[:-1].clip(0, 1))
    return np.concatenate([[-_FAR], inner.clip(-_FAR, _FAR), [_FAR]])


def _means(shares: Array) -> Array:
    return np.asarray(-np.diff(_density(_edges(shares))) / shares)


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
