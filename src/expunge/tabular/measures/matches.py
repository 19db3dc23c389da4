"""Exact matches: synthetic rows that are real rows, beside how often new rows are.

    matches         P( s in real )                    expected  P( h in real ) of holdout rows, or P( r in real without r )
    rare matches    P( s in real, there only once )   expected  sqrt( P( r in real without r, there only once )
                                                                      * P( s in synthetic without s ) )

Rows are equal if they are in all scored columns, numbers as the real table writes them. Where few columns leave few possible
rows, most new rows equal a real one; so matches alone accuse nobody. Rare ones do: a generator that makes typical rows too
often doesn't hit rows that stand in the real table once. What is expected of them follows from Cauchy's inequality: rows from
distributions p and q, drawn apart, meet with probability sum p q <= sqrt(sum p^2 sum q^2). So copies don't hide behind rows
that the real table has twice by nature, unless the synthetic table repeats its own as often.

What it can't see: a copy with one digit changed (see :mod:`expunge.tabular.measures.records`).
"""

from dataclasses import dataclass

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.figure import Figure, check_tables
from expunge.tabular.measures.records import Share, share_of

_SECONDS = 86_400


@dataclass(frozen=True)
class Matches:
    """Shares of synthetic rows, of all rows of the tables.

    Args:
        all: that equal a real row.
        rare: that equal a real row which the real table has once.
        by_holdout: whether a holdout says what is expected of all, or duplicates within the real table.
    """

    all: Share
    rare: Share
    by_holdout: bool

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        whose = "holdout rows" if self.by_holdout else "real rows among the others"
        return (
            Figure(
                "Exact matches",
                self.all.value,
                self.all.expected,
                "nearer",
                f"Share of synthetic rows that equal a real row; ideally that of {whose}.",
            ),
            Figure(
                "Exact matches with rows that stand once",
                self.rare.value,
                self.rare.expected,
                "lower",
                "Share of synthetic rows that equal a real row of which there is one; ideally at most what two independent "
                "tables share.",
            ),
        )


def matches(real: Coded, synthetic: Coded, holdout: Coded | None = None) -> Matches:
    """Count equal rows, of whole tables.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw.

    Raises:
        BadSetting: if the tables can't be compared.
    """
    check_tables([each for each in (real, synthetic, holdout) if each is not None])
    ours, theirs = _hashed(real), _hashed(synthetic)
    made, within, alike = _times(theirs, ours), _times(ours, ours) - 1, _times(theirs, theirs) - 1
    fresh = _times(_hashed(holdout), ours) if holdout is not None else within
    return Matches(_share(made > 0, fresh > 0), share_of(made == 1, within == 1, alike > 0, theirs), holdout is not None)


def _share(made: Array, fresh: Array) -> Share:
    value, expected = float(made.mean()), float(fresh.mean())
    return Share(value, expected, float(np.sqrt(expected * (1 - expected) * (1 / len(made) + 1 / len(fresh)))))


def _times(rows: Array, table: Array) -> Array:
    """How often each row stands in a table, shape (n,)."""
    distinct, counts = np.unique(table, return_counts=True)
    place = np.searchsorted(distinct, rows).clip(max=len(distinct) - 1)
    return np.where(distinct[place] == rows, counts[place], 0)


def _hashed(table: Coded) -> Array:
    """One whole number for each row, the same for equal rows, shape (n,), uint64. That two different rows of a million
    share one happens once in 10^7 tables."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    columns = [
        np.round(values, column.decimals) if column.kind == "number" else np.round(values * (1 if column.days else _SECONDS))
        for values, column in zip(table.numbers.T, table.schema.numbers, strict=True)
    ]
    codes = [
        np.concatenate([np.arange(len(column.values) + 1), pd.util.hash_array(np.array(unknown, object)).astype(np.int64)])[
            place
        ]
        for place, column, unknown in zip(table.codes.T, table.schema.categories, table.unknown, strict=True)
    ]
    frame = pd.DataFrame(dict(enumerate([*columns, *codes])))
    return np.asarray(pd.util.hash_pandas_object(frame, index=False))
