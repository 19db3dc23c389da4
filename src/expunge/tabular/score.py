"""What a score found: the number, its five parts, what each column and pair has to do with it, and what to beware of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from expunge.tabular.coded import Array
from expunge.tabular.scoring.pair import Mode

COMPONENTS = ("basic", "correlation", "ml", "support", "pmse")


@dataclass(frozen=True)
class Score:
    """One score of a synthetic table.

    Args:
        total: mean of the parts that could be told, 0 to 1; 0 where none could.
        components: by name, in the order of :data:`COMPONENTS`; None for a part that could not be told, or was not asked for.
        mode: by which formulas.
        columns: by part and column, 0 to 1: "basic", "support" and "correlation".
        details: by part the figures behind it.
        names: the scored columns, in order.
        associations: of the real and of the synthetic table, shape (n, n) each; None without a correlation.
        warnings: what a reader must know, in words.
        rows: real and synthetic ones.
        seconds: that it took.
    """

    total: float
    components: Mapping[str, float | None]
    mode: Mode
    columns: Mapping[str, Mapping[str, float]]
    details: Mapping[str, Mapping[str, float]]
    names: tuple[str, ...]
    associations: tuple[Array, Array] | None
    warnings: tuple[str, ...]
    rows: tuple[int, int]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "total": self.total,
            "components": dict(self.components),
            "mode": self.mode,
            "columns": {part: dict(values) for part, values in self.columns.items()},
            "details": {part: dict(values) for part, values in self.details.items()},
            "names": list(self.names),
            "associations": None if self.associations is None else [each.tolist() for each in self.associations],
            "warnings": list(self.warnings),
            "rows": list(self.rows),
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Score":
        """What :meth:`as_json` wrote."""
        tables = found["associations"]
        return cls(
            **{
                **found,
                "names": tuple(found["names"]),
                "associations": None if tables is None else (np.array(tables[0]), np.array(tables[1])),
                "warnings": tuple(found["warnings"]),
                "rows": (found["rows"][0], found["rows"][1]),
            }
        )

    def __str__(self) -> str:
        return _table({self.mode: self}) + "".join(f"\n{warning}" for warning in self.warnings)


@dataclass(frozen=True)
class Reference:
    """What a score is read by.

    Args:
        split: one half of the real table against the other: as good as it gets, with half of the rows.
        bootstrap: rows of the real table with replacement: as good as it gets, with all of them.
        shuffled: each column shuffled by itself: right columns that don't go together.
    """

    split: Score
    bootstrap: Score
    shuffled: Score

    def rows(self) -> dict[str, Score]:
        """By the names that tables call them."""
        return {"real, split": self.split, "real, bootstrap": self.bootstrap, "columns shuffled": self.shuffled}


@dataclass(frozen=True)
class Comparison:
    """A score beside all that it is read by; prints as a table.

    Args:
        score: of the synthetic table.
        reference: by the same formulas.
        paper: the score by the published formulas; None where `score` is that already.
        paper_reference: by these.
    """

    score: Score
    reference: Reference
    paper: Score | None = None
    paper_reference: Reference | None = field(default=None)

    def __str__(self) -> str:
        rows = {"synthetic": self.score, **self.reference.rows()}
        text = f"{self.score.mode}\n{_table(rows)}"
        if self.paper is not None:
            beside = {"synthetic": self.paper, **(self.paper_reference.rows() if self.paper_reference else {})}
            text += f"\n\npaper\n{_table(beside)}"
        return text + "".join(f"\n{warning}" for warning in self.score.warnings)


def _table(scores: Mapping[str, Score]) -> str:
    """Scores as lines of one width.

    >>> print(_table({}))
                        total  basic  correlation     ml  support   pmse
    """
    width = max([18, *map(len, scores)])
    lines = [" " * width + "".join(f"{name:>{max(7, len(name) + 2)}}" for name in ("total", *COMPONENTS))]
    for name, score in scores.items():
        cells = [score.total, *(score.components[part] for part in COMPONENTS)]
        texts = ["-" if value is None else f"{value:.3f}" for value in cells]
        heads = ("total", *COMPONENTS)
        lines.append(
            f"{name:<{width}}" + "".join(f"{text:>{max(7, len(head) + 2)}}" for text, head in zip(texts, heads, strict=True))
        )
    return "\n".join(lines)
