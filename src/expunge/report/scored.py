"""What scoring a synthetic table found, as its files, its page and the terminal tell it; and the sentences that say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.report.table_columns import ColumnView
from expunge.tabular.measures import Measures
from expunge.tabular.schema import TableSchema
from expunge.tabular.score import COMPONENTS, Comparison, Score

PARTS = {
    "basic": "basic statistics",
    "correlation": "correlation",
    "ml": "ML efficacy",
    "support": "support",
    "pmse": "propensity",
}
_APART = 0.05  # between floor and ceiling; what is nearer together says nothing
_TOLD_APART = 0.8  # AUC, from which a sentence says so
_SHORT = 0.02  # of the ceiling; below, a part lacks nothing
_GRADES = (
    (0.95, "as good as real rows by this score"),
    (0.8, "close to real rows"),
    (0.5, "nearer to real rows than to shuffled columns"),
    (0.02, "nearer to shuffled columns than to real rows"),
)


@dataclass(frozen=True)
class Training:
    """How a network was trained.

    Args:
        scores: by epoch, counted from 1, of samples made then.
        chosen: the epoch whose weights were kept; None where none was scored.
        losses: by term its mean in each epoch, not a number where an epoch lacks it.
    """

    scores: Mapping[int, Score]
    chosen: int | None
    losses: Mapping[str, tuple[float, ...]]

    @property
    def epochs(self) -> int:
        """How many there were."""
        return max((len(values) for values in self.losses.values()), default=max(self.scores, default=0))


@dataclass(frozen=True)
class Made:
    """How the synthetic table was made.

    Args:
        generator: its name.
        about: it, in a line.
        settings: of it, by name.
        conditions: that all rows satisfy, in words.
        loaded: the file that it was read from, where it was not trained now.
        training: how it was trained, if it trains a network and was.
        seconds: that fitting took, by the clock; 0 where it was loaded.
    """

    generator: str
    about: str
    settings: Mapping[str, Any]
    conditions: str = ""
    loaded: str = ""
    training: Training | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Scored:
    """A synthetic table's score, and all that stands beside it.

    Args:
        real: what the real table is called.
        synthetic: what the synthetic table is called.
        schema: what the columns are.
        comparison: the score beside what it is read by.
        measures: of others.
        columns: of the scored columns, in the table's order.
        rows: real, synthetic and held-out ones; 0 held-out ones where there are none.
        target: the column that models predict.
        seed: of all that was drawn.
        seconds: that judging took, by the clock.
        notes: what a reader should know of the tables.
        made: how the synthetic table was made, where that is known.
        command: that makes it again.
        machine: where it ran.
    """

    real: str
    synthetic: str
    schema: TableSchema
    comparison: Comparison
    measures: Measures
    columns: tuple[ColumnView, ...]
    rows: tuple[int, int, int]
    target: str | None
    seed: int
    seconds: float
    notes: tuple[str, ...] = ()
    made: Made | None = None
    command: str = ""
    machine: Mapping[str, Any] | None = None

    @property
    def score(self) -> Score:
        """Of the synthetic table."""
        return self.comparison.score

    @property
    def is_copy(self) -> bool:
        """Whether it copies real rows, all or some."""
        return self.measures.privacy.is_copy

    @property
    def shared(self) -> tuple[str, ...]:
        """The parts that can be told of the table and of floor and ceiling; others make totals that can't be compared."""
        scores = (self.score, self.comparison.reference.shuffled, self.comparison.reference.split)
        return tuple(name for name in COMPONENTS if all(score.components[name] is not None for score in scores))

    @property
    def level(self) -> float:
        """The mean of the shared parts: the score, unless a part can't be told of a reference."""
        return self._mean(self.score)

    @property
    def floor(self) -> float:
        """What the real table's columns, each shuffled by itself, have for mean of the shared parts."""
        return self._mean(self.comparison.reference.shuffled)

    @property
    def ceiling(self) -> float:
        """What one half of the real table has beside the other."""
        return self._mean(self.comparison.reference.split)

    @property
    def place(self) -> float | None:
        """Where the level lies between floor (0) and ceiling (1), or beyond; None where these are not apart."""
        apart = self.ceiling - self.floor
        return (self.level - self.floor) / apart if apart >= _APART else None

    def _mean(self, score: Score) -> float:
        return float(np.mean([score.components[name] for name in self.shared]))


def finding(scored: Scored) -> list[str]:
    """A short verdict, in sentences. That of a copy comes first, and nothing praises it."""
    if scored.is_copy:
        said = f"TabSynDex comes to {scored.score.total:.3f}, which copied rows raise: it doesn't say how good the table is."
        return [scored.measures.privacy.verdict, said]
    return [placed(scored), weakest(scored), *told_apart(scored), scored.measures.privacy.verdict]


def told_apart(scored: Scored) -> list[str]:
    """That trees tell its rows from real ones, where they do: the score looks at columns one by one and two by two."""
    found = scored.measures.detection.trees.value
    if found < _TOLD_APART:
        return []
    where = "in fine structure, or in how three columns or more go together"
    return [f"Yet boosted trees tell its rows from real ones with an AUC of {found:.2f}: {where}."]


def placed(scored: Scored) -> str:
    """The score between floor and ceiling."""
    says = f"TabSynDex is {scored.score.total:.3f} ({scored.score.mode})"
    between = f"columns shuffled one by one score {scored.floor:.3f}, real rows beside real rows {scored.ceiling:.3f}"
    told = [name for name, value in scored.score.components.items() if value is not None]
    lacking = " and ".join(PARTS[name] for name in told if name not in scored.shared)
    apart = f" All of them have the parts but {lacking}; by these it scores {scored.level:.3f}." if lacking else ""
    place = scored.place
    if place is None:
        return f"{says}, which says little: {between}, not enough above to tell good tables from bad ones.{apart}"
    grade = next((words for least, words in _GRADES if place >= least), "no better than shuffled columns")
    way = "" if not 0 < place < 1 else f", {100 * place:.0f} % of the way between them"
    return f"{says}, {grade}: {between}{way}.{apart}"


def shortfalls(scored: Scored) -> dict[str, float]:
    """By part, what it lacks to what real rows score beside real rows."""
    ceiling = scored.comparison.reference.split.components
    found = {}
    for name, value in scored.score.components.items():
        most = ceiling.get(name)
        if value is not None and most is not None:
            found[name] = most - value
    return found


def weakest(scored: Scored) -> str:
    """The part that lacks most, and why."""
    lacking = shortfalls(scored)
    if not lacking:
        return "No part can be held against that of real rows."
    name = max(lacking, key=lambda part: lacking[part])
    value, most = scored.score.components[name], scored.comparison.reference.split.components[name]
    if lacking[name] < _SHORT:
        return "No part lies notably below that of real rows."
    reason = _REASONS[name](scored)
    return f"Weakest part: {PARTS[name]}, {value:.3f} where real rows have {most:.3f}{': ' + reason if reason else ''}."


def pairs(scored: Scored) -> list[tuple[str, str, float, float]]:
    """Every pair of columns once, the one that differs most first: a column, the one that tells of it, real and synthetic.

    Of two directions, which differ where both are categories, the one in which the tables differ more.
    """
    if scored.score.associations is None:
        return []
    real, synthetic = scored.score.associations
    names, apart = scored.score.names, np.abs(real - synthetic)
    found = []
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            at = (first, second) if apart[first, second] >= apart[second, first] else (second, first)
            found.append((names[at[0]], names[at[1]], float(real[at]), float(synthetic[at])))
    return sorted(found, key=lambda pair: -abs(pair[2] - pair[3]))


def worst_first(scored: Scored) -> list[ColumnView]:
    """Columns by how unlike they are distributed, the most unlike first."""
    shapes = scored.measures.fidelity.shapes
    return sorted(scored.columns, key=lambda view: shapes[view.name])


def figure_text(value: float | None) -> str:
    """A figure for people.

    >>> figure_text(0.91649), figure_text(-0.5), figure_text(-1e-9), figure_text(123456.7), figure_text(None)
    ('0.916', '−0.500', '0.000', '123,457', 'not known')
    """
    if value is None or np.isnan(value):
        return "not known"
    if np.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    size = abs(value)
    text = f"{value:z.3f}" if size < 10 else f"{value:,.0f}" if 1_000 <= size < 1e9 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """A difference.

    >>> signed(0.25), signed(-0.25)
    ('+0.25', '−0.25')
    """
    return f"{value:+z.2f}".replace("-", "\N{MINUS SIGN}")


def short(name: str, most: int = 16) -> str:
    """A name that fits, with its end: names often differ there alone.

    >>> short("a name that is far too long"), short("age")
    ('a name that…long', 'age')
    """
    name = " ".join(name.split())
    end = most // 4
    return name if len(name) <= most else name[: most - 1 - end].rstrip() + "…" + name[len(name) - end :].lstrip()


def _of_basic(scored: Scored) -> str:
    name = _worst(scored.score.columns.get("basic", {}))
    view = next((each for each in scored.columns if each.name == name), None)
    return f"column '{name}' is farthest off, {view.difference}" if view and view.difference else ""


def _of_support(scored: Scored) -> str:
    found = scored.score.columns.get("support", {})
    name = _worst(found)
    if not name:
        return ""
    what = "categories" if scored.schema[name].kind == "category" else "range"
    return f"column '{name}' fills its real {what} to {100 * found[name]:.0f} %"


def _of_correlation(scored: Scored) -> str:
    found = pairs(scored)
    if not found:
        return ""
    column, other, real, synthetic = found[0]
    return f"'{column}' and '{other}' go together by {figure_text(synthetic)}, in the real table by {figure_text(real)}"


def _of_ml(scored: Scored) -> str:
    found = scored.score.details.get("ml", {})
    models = {name: value for name, value in found.items() if not name.endswith((", real", ", synthetic"))}
    name = _worst(models)
    if not name:
        return ""
    reached = [found.get(f"{name}, {where}") for where in ("synthetic", "real")]
    if None in reached:
        return f"least for the {name}"
    unit = "AUC" if scored.target and scored.schema[scored.target].kind == "category" else "R²"
    return f"the {name} reaches an {unit} of {figure_text(reached[0])} by its rows, of {figure_text(reached[1])} by real ones"


def _of_pmse(scored: Scored) -> str:
    shapes = scored.measures.fidelity.shapes
    name = _worst({each: shapes[each] for each in scored.score.names if each in shapes})
    return f"a logistic regression tells which table a row is from; column '{name}' is the most unlike" if name else ""


def _worst(values: Mapping[str, float]) -> str:
    return min(values, key=lambda name: values[name], default="")


_REASONS = {
    "basic": _of_basic,
    "correlation": _of_correlation,
    "ml": _of_ml,
    "support": _of_support,
    "pmse": _of_pmse,
}
