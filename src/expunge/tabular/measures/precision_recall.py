"""Alpha-precision, beta-recall and authenticity: are rows realistic, do they cover the table, are they new?

    P(a) = share of synthetic rows within the ball around the real mean that holds a share a of the real rows
    R(b) = share of real rows r with  d(r, s) <= d(r, r'),  whose s is within the ball around the synthetic mean that holds b
    precision = 1 - 2 * integral |P(a) - a| da,    recall = 1 - 2 * integral |R(b) - b| db
    authenticity = share of synthetic rows s with  d(s, r) > d(r, r'),  r the nearest real row

s is the nearest synthetic row, r' the nearest other real row; integrals run over a grid of 30 steps. Where many rows are
equally far from the centre a ball can't hold a share a exactly, and a in the integrals is the share that it does hold. Rows
are vectors of standardised numbers and of categories as inputs of 0 or 1 / sqrt(2), and d is Euclidean; the paper first
maps them into a ball by a trained network, which most who use the measure leave out, as here. Equally many rows of both
tables are compared.

New rows of the same population don't get 1 but, with P(d(r, s) <= d(r, r')) = 1/2, a recall of 0.5; a copy gets 1 (less if its
rows are in another order and there are more of them than the 5,000 compared). Their authenticity is that of real rows, each
left out of the table, which is measured beside it.

Reference: A. Alaa, B. van Breugel, E. Saveliev, M. van der Schaar. "How Faithful is your Synthetic Data? Sample-level
Metrics for Evaluating and Auditing Generative Models", ICML 2022, arXiv 2102.08921.
What it can't see: structure finer than a ball: precision depends on the distance to one centre alone.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances_chunked

from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.features import Features, sample
from expunge.tabular.measures.figure import Figure, check_tables

ROWS = 5_000
STEPS = 30
_DECIMALS = 5  # of distances; further ones are rounding errors where rows are equal
_MEGABYTES = 64


@dataclass(frozen=True)
class PrecisionRecall:
    """The three measures, from 0 to 1 (precision and recall can fall below 0 by rounding only).

    Args:
        precision: 1 for real rows.
        recall: 0.5 for new rows of the population, 1 for a copy.
        authenticity: 0 for a copy.
        authenticity_of_real: that of real rows, each left out.
        rows: of each table.
    """

    precision: float
    recall: float
    authenticity: float
    authenticity_of_real: float
    rows: int

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        return (
            Figure("Alpha-precision", self.precision, 1.0, "higher", "How realistic the synthetic rows are."),
            Figure(
                "Beta-recall",
                self.recall,
                0.5,
                "nearer",
                "How much of the real table they cover; new real rows get 0.5, a copy gets 1.",
            ),
            Figure(
                "Authenticity",
                self.authenticity,
                self.authenticity_of_real,
                "nearer",
                "Share of synthetic rows farther from the nearest real row than that is from others; ideally as for real rows.",
            ),
        )


def precision_recall(real: Coded, synthetic: Coded, seed: int = 0) -> PrecisionRecall:
    """Measure on at most 5,000 rows of each table.

    Args:
        real: the real table.
        synthetic: coded by the same schema.
        seed: of the samples.

    Raises:
        BadSetting: if the tables can't be compared.
    """
    check_tables((real, synthetic))
    size = min(len(real), len(synthetic), ROWS)
    features = Features.of(real)
    ours, theirs = (features.flat(sample(each, size, seed), category=0.5**0.5) for each in (real, synthetic))
    # so that rows of equal tables keep their own neighbours, both samples come from the same seed
    between, neighbour = _nearest(ours, ours, itself=True)
    covered, by = _nearest(ours, theirs)
    distance, to = _nearest(theirs, ours)
    return PrecisionRecall(
        _precision(ours, theirs),
        _recall(theirs, covered <= between, by),
        float((distance > between[to]).mean()),
        float((between > between[neighbour]).mean()),  # two rows nearest to one another are equally far either way
        size,
    )


def _precision(ours: Array, theirs: Array) -> float:
    levels = np.linspace(0, 1, STEPS + 1)
    centre = ours.mean(0)
    inner, outer = (np.linalg.norm(each - centre, axis=1).round(_DECIMALS) for each in (ours, theirs))
    return _near_diagonal(_within(outer, np.quantile(inner, levels)), _within(inner, np.quantile(inner, levels)))


def _recall(theirs: Array, covered: Array, by: Array) -> float:
    levels = np.linspace(0, 1, STEPS + 1)
    distance = np.linalg.norm(theirs - theirs.mean(0), axis=1).round(_DECIMALS)
    radii = np.quantile(distance, levels)
    return _near_diagonal(_within(np.where(covered, distance[by], np.inf), radii), _within(distance, radii))


def _within(distance: Array, radii: Array) -> Array:
    return np.asarray((distance[:, None] <= radii).mean(0))


def _near_diagonal(found: Array, wanted: Array) -> float:
    """1 - 2 * integral |found - wanted| over the levels, shapes (steps + 1,)."""
    return float(1 - 2 * np.trapezoid(np.abs(found - wanted), dx=1 / STEPS))


def _nearest(rows: Array, among: Array, itself: bool = False) -> tuple[Array, Array]:
    """Distance to the nearest row and its number; shape (n,) each.

    With `itself` the tables are one, and no row is its own neighbour."""
    found, start = [], 0
    for block in pairwise_distances_chunked(rows, among, working_memory=_MEGABYTES):
        here = np.arange(len(block))
        if itself:
            block[here, start + here] = np.inf
        start += len(block)
        place = block.argmin(1)
        found.append((block[here, place].round(_DECIMALS), place))
    distances, places = (np.concatenate(each) for each in zip(*found, strict=True))
    return distances, places
