"""How single columns become what networks read and write, and back.

    Classes    a category as one of a few classes; those beyond the 200 most frequent share the class "others"
    Modes      a number as the mode it belongs to and its place there, a = (x - mu_k) / (4 sigma_k)
    Ranks      a number as its rank, from 0 to 1, r = F(x)

A value that stands out (a zero that most rows have, the 40 hours of a working week) is a mode of its own in `Modes` and a
stretch of ranks in `Ranks`, from which each row draws one; either way it comes back exactly. A gap is a mode, or a stretch
of no column: see :mod:`expunge.tabular.generators.encoding`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from expunge.tabular.coded import Array
from expunge.tabular.generators.mixture import Mixture, fit_mixture

MOST_CLASSES = 200
MOST_MODES = 10
SPIKE = 0.02  # share of the rows above which one value may be a mode of its own
_STANDS_OUT = 3.0  # times as frequent as the values around it
_AROUND = 4  # values on either side of one, which say how frequent it would be if it didn't stand out
_DEVIATIONS = 4.0  # of a mode, between its middle and a place of 1
_MOST_KNOTS = 1_000


@dataclass(frozen=True)
class Classes:
    """A column of categories.

    Args:
        class_of: by code its class, shape (K + 1,); -1 where the real table has no such code.
        codes: of all classes in order, shape (m,).
        starts: where in `codes` each class begins, and their end, shape (C + 1,).
        counts: real rows of each of `codes`, shape (m,).
    """

    class_of: Array
    codes: Array
    starts: Array
    counts: Array

    @classmethod
    def of(cls, codes: Array, size: int) -> Self:
        """Take the codes of the real table, shape (n,), of which there can be `size`."""
        counts = np.bincount(codes, minlength=size)
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        single = len(order) if len(order) <= MOST_CLASSES else MOST_CLASSES
        kept = np.concatenate([np.sort(order[:single]), order[single:]])
        starts = np.append(np.arange(single + (len(order) > single)), len(order))
        class_of = np.full(size, -1)
        class_of[kept] = np.minimum(np.arange(len(kept)), len(starts) - 2)
        return cls(class_of, kept, starts, counts[kept])

    @property
    def size(self) -> int:
        return len(self.starts) - 1

    @property
    def frequencies(self) -> Array:
        """Real rows of each class, shape (C,)."""
        return np.add.reduceat(self.counts, self.starts[:-1])

    def encode(self, codes: Array) -> Array:
        """Classes of codes, shape (n,)."""
        return self.class_of[codes]

    def decode(self, classes: Array, generator: np.random.Generator) -> Array:
        """Codes of classes, shape (n,); within "others" drawn by frequency."""
        total = np.append(0, np.cumsum(self.counts))
        low, high = total[self.starts[classes]], total[self.starts[classes + 1]]
        drawn = low + np.floor(generator.random(len(classes)) * (high - low)).astype(np.int64)
        return self.codes[np.searchsorted(total, drawn, side="right") - 1]

    def arrays(self) -> dict[str, Array]:
        return vars(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        return cls(**arrays)


@dataclass(frozen=True)
class Modes:
    """A column of numbers as modes and places in them.

    The classes are a gap (where the real table has one), then the values that stand out, then the modes of all others.

    Args:
        spikes: values that are modes of their own, shape (s,); not a number for a gap.
        mixture: modes of all other values, K of them; none where there are no others.
    """

    spikes: Array
    mixture: Mixture

    @classmethod
    def of(cls, values: Array) -> Self:
        """Take the values of the real table, shape (n,), not a number for a gap."""
        known = values[~np.isnan(values)]
        spikes = _standing_out(known)
        rest = known[~np.isin(known, spikes)]
        if len(np.unique(rest)) <= max(1, MOST_MODES - len(spikes)):
            spikes, rest = np.unique(known), known[:0]
        gap = [np.nan] * (len(known) < len(values))
        none = Mixture(*(np.empty(0),) * 3)
        return cls(np.append(gap, spikes), fit_mixture(rest, MOST_MODES) if len(rest) else none)

    @property
    def size(self) -> int:
        return len(self.spikes) + len(self.mixture.means)

    def encode(self, values: Array, generator: np.random.Generator) -> tuple[Array, Array]:
        """Places, from -1 to 1 and 0 in spikes, and classes; both of shape (n,). Modes are drawn by their probability."""
        places, classes = np.zeros(len(values)), np.zeros(len(values), np.int64)
        smooth = ~np.isnan(values)
        for place, spike in enumerate(self.spikes):
            alike = np.isnan(values) if np.isnan(spike) else values == spike
            classes[alike] = place
            smooth &= ~alike
        if smooth.any():
            rest = values[smooth]
            passed = np.cumsum(self.mixture.responsibilities(rest), axis=1) < generator.random(len(rest))[:, None]
            mode = np.minimum(passed.sum(axis=1), len(self.mixture.means) - 1)
            places[smooth] = (rest - self.mixture.means[mode]) / (_DEVIATIONS * self.mixture.deviations[mode])
            classes[smooth] = len(self.spikes) + mode
        return places.clip(-1, 1), classes

    def decode(self, places: Array, classes: Array) -> Array:
        """Values, shape (n,)."""
        means = np.append(self.spikes, self.mixture.means)
        deviations = np.append(np.zeros(len(self.spikes)), self.mixture.deviations)
        return means[classes] + _DEVIATIONS * deviations[classes] * places

    def arrays(self) -> dict[str, Array]:
        return {"spikes": self.spikes, **vars(self.mixture)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        mixture: Any = {name: array for name, array in arrays.items() if name != "spikes"}
        return cls(arrays["spikes"], Mixture(**mixture))


@dataclass(frozen=True)
class Ranks:
    """A column of numbers as their ranks.

    Args:
        knots: ascending values, shape (m,): all that occur, or evenly spaced quantiles where there are more than 1,000.
        below: share of the real rows below each, shape (m,).
        upto: share of the real rows up to each; what lies between is how many have just this value.
    """

    knots: Array
    below: Array
    upto: Array

    @classmethod
    def of(cls, values: Array) -> Self:
        """Take the values of the real table, shape (n,), not a number for a gap."""
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(np.full(1, np.nan), np.zeros(1), np.ones(1))
        knots, counts = np.unique(known, return_counts=True)
        if len(knots) <= _MOST_KNOTS:
            upto = np.cumsum(counts) / len(known)
            return cls(knots, np.append(0.0, upto[:-1]), upto)
        shares = np.linspace(0, 1, _MOST_KNOTS + 1)
        knots, first, counts = np.unique(np.quantile(known, shares), return_index=True, return_counts=True)
        return cls(knots, shares[first], shares[first + counts - 1])

    def encode(self, values: Array) -> tuple[Array, Array]:
        """The least and the largest rank of each value, both of shape (n,), from 0 to 1; a half for a gap."""
        at = np.searchsorted(self.knots, values, side="right") - 1
        at = at.clip(0, len(self.knots) - 1)
        after = np.minimum(at + 1, len(self.knots) - 1)
        exact = (self.knots[at] == values) | (at == after)
        share = (values - self.knots[at]) / np.where(exact, 1.0, self.knots[after] - self.knots[at])
        between = self.upto[at] + share * (self.below[after] - self.upto[at])
        low, high = np.where(exact, self.below[at], between), np.where(exact, self.upto[at], between)
        gap = np.isnan(values)
        return np.where(gap, 0.0, low), np.where(gap, 1.0, high)

    def decode(self, ranks: Array) -> Array:
        """Values of ranks, shape (n,)."""
        at = np.stack([self.below, self.upto], axis=1).ravel()
        return np.interp(ranks, at, np.repeat(self.knots, 2))

    def arrays(self) -> dict[str, Array]:
        return vars(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        return cls(**arrays)


def _standing_out(known: Array) -> Array:
    """Values that are frequent, and far more frequent than those around them."""
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= MOST_MODES:
        return values
    padded = np.pad(counts.astype(np.float64), _AROUND, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    around = np.nanmedian(np.delete(windows, _AROUND, axis=1), axis=1)
    found = values[(counts >= SPIKE * len(known)) & (counts >= _STANDS_OUT * around)]
    return found
