"""The page of a synthetic table: how good it is, where it falls short, and whether it copies; one HTML file without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.report.page import KeyFigure, duration
from expunge.report.scored import PARTS, Scored, figure_text, finding, pairs, signed, worst_first
from expunge.report.templating import flat, template
from expunge.storage import write_text
from expunge.tabular.measures import Figure
from expunge.tabular.score import COMPONENTS, Reference, Score

COLUMNS = 24  # that are drawn
PAIRS = 8  # that are named
_BETTER = {"higher": "more is better", "lower": "less is better", "nearer": "nearer is better"}


@dataclass(frozen=True)
class PartRow:
    """One part: its values by both formulas, as texts, in the columns of the table."""

    name: str
    robust: tuple[str, ...]
    paper: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One figure of another measure, as texts."""

    name: str
    value: str
    interval: str
    ideal: str
    better: str
    meaning: str


@dataclass(frozen=True)
class Drawn:
    """One column: its drawing and what it scores."""

    name: str
    kind: str
    figures: str
    svg: str


def render(scored: Scored) -> str:
    """The whole page."""
    from expunge.report.table_score_plots import association_plot, parts_plots, training_plots  # brings matplotlib

    first, *others = finding(scored)
    training = scored.made.training if scored.made else None
    private = {figure.name for figure in scored.measures.privacy.figures}
    page = template("table_score.html").render(
        scored=scored,
        first=first,
        others=others,
        figures=key_figures(scored),
        warnings=(*scored.notes, *scored.score.warnings),
        parts=part_rows(scored),
        parts_plots=parts_plots(scored),
        columns=[drawn(scored, view) for view in worst_first(scored)[:COLUMNS]],
        hidden=max(0, len(scored.columns) - COLUMNS),
        associations=association_plot(scored),
        pairs=[(a, b, figure_text(real), figure_text(made), signed(made - real)) for a, b, real, made in pairs(scored)[:PAIRS]],
        privacy=lines(scored.measures.privacy.figures),
        measures=lines([figure for figure in scored.measures.figures if figure.name not in private]),
        training=training_plots(training) if training else [],
        settings=settings(scored),
        machine=list(flat(scored.machine)) if scored.machine else [],
        kinds=str(scored.schema),
    )
    return page.strip() + "\n"


def write_table_score(scored: Scored, path: str | Path) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    path = Path(path)
    write_text(path, render(scored))
    return path


def key_figures(scored: Scored) -> tuple[KeyFigure, ...]:
    """The score, what it is read by, and what was compared."""
    real, synthetic, holdout = scored.rows
    copied = scored.measures.privacy
    return (
        KeyFigure(
            f"TabSynDex, {scored.score.mode}",
            figure_text(scored.score.total),
            detail=f"shuffled columns {figure_text(scored.floor)}, real rows {figure_text(scored.ceiling)}",
        ),
        KeyFigure("copies", "found" if copied.is_copy else "no sign", detail="no guarantee of privacy" * (not copied.is_copy)),
        KeyFigure("synthetic rows", f"{synthetic:,}", detail=f"beside {real:,} real ones"),
        KeyFigure(
            "rows it never saw" if holdout else "rows held out",
            f"{holdout:,}" if holdout else "none",
            detail="to judge privacy and models by" if holdout else "privacy can be judged only in part",
        ),
    )


def part_rows(scored: Scored) -> list[PartRow]:
    """Total and parts: of the synthetic table, of real rows in halves and drawn anew, and of shuffled columns."""
    found, paper = scored.comparison, scored.comparison.paper
    rows = []
    for name in ("total", *COMPONENTS):
        own = _cells(name, found.score, found.reference)
        beside = () if paper is None or found.paper_reference is None else _cells(name, paper, found.paper_reference)
        rows.append(PartRow(PARTS.get(name, name), own, beside))
    return rows


def lines(figures: Sequence[Figure]) -> list[Line]:
    """Figures as texts."""
    return [
        Line(
            figure.name,
            figure_text(figure.value),
            "" if figure.low is None or figure.high is None else f"{figure_text(figure.low)} to {figure_text(figure.high)}",
            "" if figure.ideal is None else figure_text(figure.ideal),
            _BETTER[figure.better],
            figure.meaning,
        )
        for figure in figures
    ]


def drawn(scored: Scored, view: Any) -> Drawn:
    """A column with its drawing."""
    from expunge.report.table_columns_plots import column_plot

    score, shapes = scored.score.columns, scored.measures.fidelity.shapes
    words = [f"shape {figure_text(shapes[view.name])}"]
    words += [
        f"{PARTS[part]} {figure_text(score[part][view.name])}"
        for part in ("basic", "support", "correlation")
        if view.name in score.get(part, {})
    ]
    return Drawn(view.name, view.kind, ", ".join(words), column_plot(view))


def settings(scored: Scored) -> list[tuple[str, str]]:
    """What was asked for."""
    found: list[tuple[str, str]] = [
        ("seed", str(scored.seed)),
        ("formulas", scored.score.mode),
        ("target", scored.target or "none"),
        ("judging took", duration(scored.seconds)),
    ]
    if scored.made:
        made = scored.made
        found += [("generator", made.generator), *((f"{made.generator}.{name}", value) for name, value in flat(made.settings))]
        found += [("conditions", made.conditions)] * bool(made.conditions)
        found += [("loaded from", made.loaded)] if made.loaded else [("fitting took", duration(made.seconds))]
    return found


def _cells(name: str, score: Score, reference: Reference) -> tuple[str, ...]:
    scores = (score, reference.split, reference.bootstrap, reference.shuffled)
    values = [each.total if name == "total" else each.components[name] for each in scores]
    return tuple("–" if value is None else figure_text(value) for value in values)
