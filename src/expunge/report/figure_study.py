"""Studies whose rows are no models that forget: figures by method and seed, in the terminal, as a page, and as JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from expunge.report.plots import Plot
from expunge.report.study_json import plain
from expunge.report.templating import flat, template
from expunge.storage import write_text


@dataclass(frozen=True)
class Column:
    """One figure: its heads, how it is written, and which end of it is good.

    Args:
        metric: its name in files.
        label: its head.
        decimals: as which it is written; None: as many as two digits need.
        good: "high", "low" or "".
        meaning: what it is, for a reader who never saw it.
        percent: whether it is a share that is written in percent.
        contest: whether the best of the candidates is marked.
        narrow: whether a terminal has room for it.
        factor: that a value is written with, such as 1e-6 for millions.
    """

    metric: str
    label: str
    decimals: int | None
    good: str
    meaning: str
    percent: bool = False
    contest: bool = True
    narrow: bool = True
    factor: float = 1.0

    def written(self, value: float) -> str:
        """A value for people."""
        if np.isnan(value):
            return "–"
        scaled = 100 * value if self.percent else self.factor * value
        decimals = 2 if self.metric.endswith("cpu_seconds") and value < 1 else self.decimals
        if decimals is None:
            decimals = 0 if scaled == round(scaled) else max(0, 1 - math.floor(math.log10(abs(scaled))))
        return f"{scaled:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Scored:
    """One method on one seed: figures by metric, and curves for drawings by name."""

    figures: dict[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class FigureCase:
    """One set of data.

    Args:
        title: names it.
        words: what was done there.
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
class FigureEvidence:
    """All that the page shows.

    Args:
        title: of the page.
        eyebrow: what kind of study it is.
        columns: the figures, in order.
        cases: one for each set of data.
        reading: what a reader must know of every table.
        draw: the drawings of a case.
        exempt: methods that are no candidates for the best.
        notes: what a reader must know of the data.
        remarks: by the title of a case, what its figures say.
        command: what a person types for the same study.
        machine: where it ran.
        settings: all that was chosen.
    """

    title: str
    eyebrow: str
    columns: Sequence[Column]
    cases: Sequence[FigureCase]
    reading: str
    draw: Callable[[FigureCase], list[Plot]]
    exempt: Sequence[str] = ()
    notes: Sequence[str] = ()
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    command: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def figures_json(evidence: FigureEvidence) -> list[dict[str, Any]]:
    """Every figure of every method, as :func:`expunge.report.study_json.study_json` has them."""
    found = []
    for case in evidence.cases:
        for method in case.methods:
            for column in evidence.columns:
                values = case.found(method, column.metric)
                metric = f"{case.title}/{column.metric}" if len(evidence.cases) > 1 else column.metric
                mean, std = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
                found.append(
                    {"method": method, "metric": metric, "mean": plain(float(mean)), "std": plain(float(std)), "n": len(values)}
                    | {"ideal": None}
                )
    return found


def print_figures(evidence: FigureEvidence, console: Console) -> None:
    """The tables, for a terminal; what has no room is left to the page."""
    for case in evidence.cases:
        shown = [column for column in evidence.columns if column.narrow and _measured(case, column)]
        table = Table(title=f"{case.title}: {case.words}", title_justify="left", box=None, header_style="dim", pad_edge=False)
        table.add_column("method")  # gives way where there is little room, and figures don't
        for column in shown:
            table.add_column(column.label, justify="right", no_wrap=True)
        for method in case.methods:
            table.add_row(method, *(column.written(case.mean(method, column.metric)) for column in shown))
        console.print(table, highlight=False)
        for remark in evidence.remarks.get(case.title, ()):
            console.print(remark, highlight=False)
        console.print()


def write_figures(evidence: FigureEvidence, path: Path) -> Path:
    """Write the page, whole or not at all, and return its path."""
    page = template("figure_study.html").render(
        evidence=evidence,
        cases=[(case, _columns(evidence, case), _lines(evidence, case), evidence.draw(case)) for case in evidence.cases],
        explained=[column for column in evidence.columns if any(_measured(case, column) for case in evidence.cases)],
        machine=list(flat(evidence.machine)),
        settings=list(flat(evidence.settings)),
    )
    write_text(path, page)
    return path


def _measured(case: FigureCase, column: Column) -> bool:
    return any(not np.isnan(case.mean(method, column.metric)) for method in case.methods)


def _columns(evidence: FigureEvidence, case: FigureCase) -> list[Column]:
    return [column for column in evidence.columns if _measured(case, column)]


def _lines(evidence: FigureEvidence, case: FigureCase) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Each method's cells: mean, spread over seeds, and whether it is the best in its column."""
    lines = []
    for method in case.methods:
        cells = []
        for column in _columns(evidence, case):
            values = case.found(method, column.metric)
            spread = f"± {column.written(float(values.std(ddof=1)))}" if len(values) > 1 and not np.isnan(values).any() else ""
            cells.append((column.written(float(values.mean())), spread, method == _best(evidence, case, column)))
        lines.append((method, cells))
    return lines


def _best(evidence: FigureEvidence, case: FigureCase, column: Column) -> str | None:
    means = {method: case.mean(method, column.metric) for method in case.methods if method not in evidence.exempt}
    known = {method: value for method, value in means.items() if not np.isnan(value)}
    if not known or not column.good or not column.contest:
        return None
    return (max if column.good == "high" else min)(known, key=lambda method: known[method])
