"""What the valuation study found, as a table in the terminal, as a page, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from expunge.report.study_json import plain
from expunge.report.templating import flat, template
from expunge.report.valuation_study_plots import drawings
from expunge.storage import write_text


@dataclass(frozen=True)
class Column:
    """One figure: its heads, how it is written, and which end of it is good."""

    metric: str
    label: str
    decimals: int
    good: str  # "high", "low" or ""
    meaning: str
    percent: bool = False

    def written(self, value: float) -> str:
        """A value for people."""
        if np.isnan(value):
            return "–"
        scaled = 100 * value if self.percent else value
        decimals = self.decimals if self.metric != "cpu_seconds" or value >= 1 else 2
        return f"{scaled:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


COLUMNS = (
    Column("auroc", "wrong labels, AUROC", 3, "high", "do low values find points that are labelled wrongly? 0.5 is chance"),
    Column(
        "precision_at_k",
        "precision at k",
        3,
        "high",
        "of the k least valuable points, as many as are labelled wrongly, the share that are",
    ),
    Column("f1", "F1", 3, "high", "of the lower of two groups of values (2-means), for points that are labelled wrongly"),
    Column("unseen_auroc", "unseen, AUROC", 3, "high", "the first figure on points that no value was trained on"),
    Column(
        "removal_high",
        "best go first, %",
        1,
        "low",
        "mean accuracy as 0 to 90 % of the points go, the most valuable first; as they come back, the least valuable first, it "
        "is the same",
        True,
    ),
    Column(
        "removal_low",
        "worst go first, %",
        1,
        "high",
        "the same as the least valuable go first, or as the most valuable come first",
        True,
    ),
    Column("stability", "ranks, two seeds", 3, "high", "rank correlation of two valuations of the same points from two seeds"),
    Column("trainings", "trainings", 0, "low", "models that were trained"),
    Column("cpu_seconds", "CPU s", 1, "low", "seconds of all threads"),
    Column("cpu_share", "CPU / TMC", 2, "low", "CPU seconds, as a share of those of TMC-Shapley with models trained at once"),
)


@dataclass(frozen=True)
class Scored:
    """One method on one seed's points: figures by metric, and curves of :data:`expunge.valuation.evaluation.SHARES`."""

    figures: dict[str, float]
    curves: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class ValuationCase:
    """One set of data.

    Args:
        title: names it.
        words: what was valued.
        seeds: for each, the rows by method.
    """

    title: str
    words: str
    seeds: Sequence[Mapping[str, Scored]]

    @property
    def methods(self) -> list[str]:
        """In the order of the table."""
        return list(self.seeds[0])

    def found(self, method: str, metric: str) -> np.ndarray:
        """A figure on each seed, shape (seeds,); not a number where it isn't measured."""
        return np.array([rows[method].figures.get(metric, np.nan) for rows in self.seeds])

    def mean(self, method: str, metric: str) -> float:
        """Over seeds."""
        return float(self.found(method, metric).mean())

    def curve(self, method: str, kind: str) -> np.ndarray:
        """The mean curve over seeds."""
        return np.mean([rows[method].curves[kind] for rows in self.seeds], axis=0)


@dataclass(frozen=True)
class ValuationEvidence:
    """All that the page shows."""

    title: str
    cases: Sequence[ValuationCase]
    notes: Sequence[str] = ()
    command: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def rows_json(cases: Sequence[ValuationCase]) -> list[dict[str, Any]]:
    """Every figure of every method, as :func:`expunge.report.study_json.study_json` has them."""
    found = []
    for case in cases:
        for method in case.methods:
            for column in COLUMNS:
                values = case.found(method, column.metric)
                metric = f"{case.title}/{column.metric}" if len(cases) > 1 else column.metric
                mean, std = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
                found.append(
                    {"method": method, "metric": metric, "mean": plain(float(mean)), "std": plain(float(std)), "n": len(values)}
                    | {"ideal": None}
                )
    return found


def print_valuations(evidence: ValuationEvidence, console: Console) -> None:
    """The tables, for a terminal; what has no room is left to the page."""
    shown = [column for column in COLUMNS if column.metric not in ("f1", "stability")]
    for case in evidence.cases:
        table = Table(title=f"{case.title}: {case.words}", title_justify="left", box=None, header_style="dim", pad_edge=False)
        table.add_column("method", no_wrap=True)
        for column in shown:
            table.add_column(column.label, justify="right")
        for method in case.methods:
            table.add_row(method, *(column.written(case.mean(method, column.metric)) for column in shown))
        console.print(table, highlight=False)
        console.print()


def write_valuations(evidence: ValuationEvidence, path: Path) -> Path:
    """Write the page, whole or not at all, and return its path."""
    page = template("valuation_study.html").render(
        evidence=evidence,
        cases=[(case, _lines(case), drawings(case)) for case in evidence.cases],
        columns=COLUMNS,
        machine=list(flat(evidence.machine)),
        settings=list(flat(evidence.settings)),
    )
    write_text(path, page)
    return path


def _lines(case: ValuationCase) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Each method's cells: mean, spread over seeds, and whether it is the best in its column, random values left out."""
    lines = []
    for method in case.methods:
        cells = []
        for column in COLUMNS:
            values = case.found(method, column.metric)
            spread = f"± {column.written(float(values.std(ddof=1)))}" if len(values) > 1 and not np.isnan(values).any() else ""
            cells.append((column.written(float(values.mean())), spread, method == _best(case, column)))
        lines.append((method, cells))
    return lines


def _best(case: ValuationCase, column: Column) -> str | None:
    if column.metric in ("trainings", "cpu_seconds", "cpu_share", "stability"):
        return None  # those that do nothing would be the best
    means = {method: case.mean(method, column.metric) for method in case.methods if method != "random-values"}
    known = {method: value for method, value in means.items() if not np.isnan(value)}
    if not known or not column.good:
        return None
    return (max if column.good == "high" else min)(known, key=lambda method: known[method])
