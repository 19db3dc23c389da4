"""What the models answer on the forgotten data, where answers are single numbers: as a whole, and one by one."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from expunge.report.canvas import MUTED, NARROW, figure, head, inline, style
from expunge.report.evidence import Case, Row
from expunge.report.panels import Array, Panel, draw_panels, drawn, lines, name_lines, shares

_MODELS = 12  # that have room; the panels of more would be too many to compare
_BINS = 28
_REST = 0.01  # share of the references' answers that may lie beyond the axis on each side,
_BEYOND = 0.25  # and how much of the range of the others is shown besides
_POINTS = 161  # of a curve; more cannot be seen
_LEAST, _MOST = 1e-5, 10.0  # relative differences that an axis goes to, however far the data go


def forgotten_answers(case: Case, key: str = "") -> str | None:
    """Each model's answers on the forgotten data over the retrained model's; None without answers of both.

    The references come first, and models beyond the twelfth are left out.
    """
    rows = [(row, values) for row in drawn(case) if len(values := _answers(row))][:_MODELS]
    target = next((values for row, values in rows if row.role == "retrained"), None)
    if target is None or len(rows) < 2:
        return None
    edges = _edges(np.concatenate([values for row, values in rows if row.role != "method"]))
    panels = [Panel(row, shares(values, edges), shares(target, edges), edges) for row, values in rows]
    title = "Answers on the forgotten data: the ideal is that filled and line have the same shape"
    with style():
        drawing = draw_panels(
            panels,
            (title, "Answers on the forgotten data"),
            "answer on one forgotten example" + (f", {case.unit}" if case.unit else ""),
            ("this model", "retrained"),
            _linear,
        )
        return inline(drawing, title, f"forgotten answers {key or case.title}")


def relative_difference(case: Case, key: str = "") -> str | None:
    """The share of forgotten examples whose answer is no farther from the retrained model's than x % of it, by model.

    None without a retrained model or without another one that answered the same examples.
    """
    gold = next((row for row in drawn(case) if row.role == "retrained" and len(_all(row))), None)
    rows = [row for row in drawn(case) if gold is not None and row is not gold and len(_all(row)) == len(_all(gold))]
    found = [(row, values) for row in rows if gold is not None and len(values := _differences(row, gold))]
    if not found:
        return None
    grid = _grid(np.concatenate([values for _, values in found]))
    title = "Forgotten examples answered as by the retrained model"
    with style():
        drawing = figure(NARROW, 5.0)
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.set(xscale="log", xlim=(grid[0], grid[-1]), ylim=(0, 1.02))
        axes.set_xlabel("difference from the retrained model's answer, % of it (logarithmic)")
        axes.set_ylabel("share of the forgotten examples, %")
        axes.axhline(0.5, color=MUTED, linewidth=0.7, zorder=1)
        axes.xaxis.set_major_locator(LogLocator(numticks=7))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:,.6g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))
        looks, curves = lines(case), []
        for row, values in found:
            share = np.searchsorted(np.sort(values), grid, side="right") / len(values)
            line = axes.plot(grid, share, **looks[row.name])[0]
            curves.append((float(np.median(values)), row, line, " (chance)" * (row.role == "noise floor")))
        name_lines(drawing, curves)
        return inline(drawing, title, f"relative difference {key or case.title}")


def _all(row: Row) -> Array:
    return np.asarray(row.curves.forget_answers if row.curves else (), dtype=float)


def _answers(row: Row) -> Array:
    """All but NaN; infinite answers stay, and end in an outermost bin."""
    answers = _all(row)
    return answers[~np.isnan(answers)]


def _differences(row: Row, gold: Row) -> Array:
    """Relative differences, of the examples for which there is one; an answer that is no number differs infinitely."""
    answers, target = _all(row), _all(gold)
    known = np.isfinite(target) & (target != 0)
    return np.nan_to_num(np.abs(answers[known] - target[known]) / np.abs(target[known]), nan=np.inf, posinf=np.inf)


def _edges(references: Array) -> Array:
    """Bins over what the references answer and a little beyond: a method gone wild must not squeeze the others."""
    known = references[np.isfinite(references)]
    low, high = np.quantile(known, (_REST, 1 - _REST)) if len(known) else (0.0, 1.0)
    beyond = _BEYOND * (high - low) or abs(low) or 1.0
    return np.linspace(low - beyond, high + beyond, _BINS + 1)


def _grid(differences: Array) -> Array:
    """Where curves are read: over whole decades that hold all but the smallest hundredth of the differences."""
    known = differences[np.isfinite(differences) & (differences > 0)]
    low, high = np.quantile(known, (0.01, 1.0)) if len(known) else (0.01, 1.0)
    low, high = (min(max(end, _LEAST), _MOST) for end in (low, high))
    first, last = np.floor(np.log10(low)), np.ceil(np.log10(high))
    return np.logspace(first, max(last, first + 1), _POINTS)


def _linear(axes: Axes, _: Array) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")))
