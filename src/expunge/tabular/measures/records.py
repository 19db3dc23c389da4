"""Distances to the closest record: are synthetic rows nearer to the real ones than new rows would be?

    share of nearer rows   P( d(s, real) < d(s, holdout) ) + P( equal ) / 2,   real and holdout of equal size; 0.5 if fresh
    near-copies            c(S, R) = P( d(s, r) < d(r, r') / 5 ),   r the real row nearest to s, r' the real row nearest to r
    expected of them       sqrt( c(R, R) c(S, S) ),   each row left out of its own table; in c(S, S) equal rows count too

d is the mixed distance of :mod:`expunge.tabular.measures.distance`. Near-copies need no holdout. They ask whether a row sits
much closer to one real row than real rows sit to each other there, so a generator that only makes typical rows isn't blamed.
Tables have pairs of such rows by nature, and two independent ones share about the geometric mean of what each has within
itself: a bound for equal rows (see :mod:`expunge.tabular.measures.matches`), a rule of thumb for near ones.

Errors count that many synthetic rows may have the same nearest row: with w_j synthetic rows nearest to row j, and rows of
real and holdout dealt out by chance, the share of n rows has the standard error sqrt(sum_j w_j^2) / (2 n).

Reference: the distance to the closest record is the field's custom (e.g. Z. Zhao, A. Kunar, R. Birke, L. Chen. "CTAB-GAN:
Effective Table Data Synthesizing", ACML 2021, arXiv 2102.08369); the share against a holdout follows M. Platzer, T.
Reutterer. "Holdout-Based Empirical Assessment of Mixed-Type Synthetic Data", Frontiers in Big Data 4 (2021), arXiv
2104.00635; near-copies are the authenticity of Alaa et al. (arXiv 2102.08921) with a margin and a baseline.
What it can't see: what is copied in a few columns only, or under a transformation. A large share tells of memorising; 0.5
doesn't prove that there is none.
"""

from dataclasses import dataclass

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.distance import nearest
from expunge.tabular.measures.features import sample
from expunge.tabular.measures.figure import Figure, check_tables

QUERIES = 5_000
REFERENCES = 20_000
MUCH_NEARER = 0.2  # of the distance between real rows


@dataclass(frozen=True)
class Share:
    """A share of synthetic rows, what it would be of fresh rows, and the standard error if they are fresh."""

    value: float
    expected: float
    error: float

    @property
    def excess(self) -> float:
        return self.value - self.expected

    @property
    def deviations(self) -> float:
        """How many standard errors it lies above what is expected."""
        return self.excess / self.error if self.error > 0 else np.inf * np.sign(self.excess) if self.excess else 0.0


@dataclass(frozen=True)
class Distances:
    """Distances of rows to the closest real row, from 0 to 1.

    Args:
        median: half of the rows are nearer.
        lowest: 5 % of the rows are nearer.
    """

    median: float
    lowest: float

    @classmethod
    def of(cls, distances: Array) -> "Distances":
        return cls(float(np.median(distances)), float(np.quantile(distances, 0.05)))


@dataclass(frozen=True)
class ClosestRecords:
    """How near synthetic rows come to real rows.

    Args:
        synthetic: their distances to the nearest real row.
        between: distances of real rows to the nearest other one.
        to_holdout: of synthetic rows to the nearest row of the holdout; None without one.
        nearer: synthetic rows nearer to the real table than to an equally large part of the holdout; None without one.
        near_copies: synthetic rows much nearer to a real row than other real rows are.
        rows: synthetic rows, real rows and rows of the holdout that were compared.
    """

    synthetic: Distances
    between: Distances
    to_holdout: Distances | None
    nearer: Share | None
    near_copies: Share
    rows: tuple[int, int, int]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        lacking = "" if self.nearer else " Needs a holdout: give real rows that the generator never saw."
        error = 2 * self.nearer.error if self.nearer else 0.0
        far = "Mean difference by column to the nearest real row, 0 to 1"
        return (
            Figure(
                "Distance to the closest record",
                self.synthetic.median,
                self.between.median,
                "nearer",
                f"{far}; half of the synthetic rows are nearer; ideally as for real rows among themselves.",
            ),
            Figure(
                "Distance to the closest record, nearest 5 %",
                self.synthetic.lowest,
                self.between.lowest,
                "nearer",
                f"{far}; 5 % of the synthetic rows are nearer; below the ideal they are copies, or typical.",
            ),
            Figure(
                "Share nearer to the real table than to the holdout",
                self.nearer.value if self.nearer else None,
                0.5,
                "nearer",
                f"Of synthetic rows, against equally many rows that the generator never saw; above 0.5 it memorised.{lacking}",
                max(0.0, self.nearer.value - error) if self.nearer else None,
                min(1.0, self.nearer.value + error) if self.nearer else None,
            ),
            Figure(
                "Near-copies",
                self.near_copies.value,
                self.near_copies.expected,
                "lower",
                "Share of synthetic rows 5 times nearer to a real row than other real rows are; ideally at most what two "
                "independent tables share.",
            ),
        )


def closest_records(real: Coded, synthetic: Coded, holdout: Coded | None = None, seed: int = 0) -> ClosestRecords:
    """Measure distances, for at most 5,000 synthetic rows against at most 20,000 real ones.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw.
        seed: of the samples.

    Raises:
        BadSetting: if the tables can't be compared.
    """
    check_tables([each for each in (real, synthetic, holdout) if each is not None])
    asked, known = sample(synthetic, QUERIES, seed), sample(real, REFERENCES, seed + 1)
    distance, place, copied = _near_copies(asked, known)
    between, within = _left_out(known, seed + 2)
    repeated, alike = _left_out(sample(synthetic, REFERENCES, seed + 3), seed + 4)
    nearer, other = _nearer(asked, real, holdout, seed + 5) if holdout is not None else (None, None)
    return ClosestRecords(
        Distances.of(distance),
        Distances.of(between),
        other,
        nearer,
        share_of(copied, within, alike | (repeated == 0), place),  # of three equal rows none is nearer than the others
        (len(asked), len(known), min(len(holdout), REFERENCES) if holdout is not None else 0),
    )


def share_of(copied: Array, within: Array, alike: Array, place: Array) -> Share:
    """The share of copied rows, beside what two independent tables share.

    Args:
        copied: which of n synthetic rows meet a real one, shape (n,), bool.
        within: which real rows meet another real one, shape (m,), bool.
        alike: which synthetic rows meet another synthetic one, bool.
        place: the real row that each synthetic row is nearest to, shape (n,); those of one place count as one draw.
    """
    # one more than seen, so that none among few rows isn't taken for impossible
    rates = [(each.sum() + 1) / (len(each) + 2) for each in (within, alike)]
    expected = float(np.sqrt(rates[0] * rates[1]))
    _, weights = np.unique(place, return_counts=True)
    draws = np.hypot(np.sqrt((weights**2).sum()) / len(place), 1 / np.sqrt(min(len(within), len(alike))))
    return Share(float(copied.mean()), expected, float(np.sqrt(expected * (1 - expected)) * draws))


def _near_copies(rows: Coded, known: Coded, apart: Array | None = None) -> tuple[Array, Array, Array]:
    """For each row its distance to the nearest known one, which that is, and whether it is a near-copy; shape (n,) each.

    With `apart` the rows are some of the known ones, by their numbers, and none counts for itself."""
    distance, place = (found[:, 0] for found in nearest(rows, known, apart=apart))
    wanted, position = np.unique(place, return_inverse=True)
    around, who = nearest(known.rows(wanted), known, k=min(2, len(known) - 1), apart=wanted)
    itself = who[position, 0] == apart if apart is not None else np.zeros(len(place), bool)
    return distance, place, distance < MUCH_NEARER * np.where(itself, around[position, -1], around[position, 0])


def _left_out(table: Coded, seed: int) -> tuple[Array, Array]:
    """Distances of rows to the nearest other one of their table, and which are near-copies; for at most 5,000 rows."""
    rows = np.random.default_rng(seed).permutation(len(table))[:QUERIES]
    distance, _, copied = _near_copies(table.rows(rows), table, rows)
    return distance, copied


def _nearer(asked: Coded, real: Coded, holdout: Coded, seed: int) -> tuple[Share, Distances]:
    size = min(len(real), len(holdout), REFERENCES)
    (ours, our_places), (theirs, their_places) = (
        nearest(asked, sample(table, size, seed + part)) for part, table in enumerate((real, holdout))
    )
    wins, losses = ours[:, 0] < theirs[:, 0], ours[:, 0] > theirs[:, 0]
    weights = np.concatenate([np.bincount(our_places[wins, 0]), np.bincount(their_places[losses, 0])])
    value = wins.mean() + (1 - wins.mean() - losses.mean()) / 2
    return Share(float(value), 0.5, float(np.sqrt((weights**2).sum()) / (2 * len(asked)))), Distances.of(theirs)
