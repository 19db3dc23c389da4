"""The drawings of a valuation: what becomes of a model as rows go or come in the order of their values, and the values."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from expunge.report.canvas import DASHES, INK, MUTED, NORMAL, SERIES, WIDE, figure, head, inline, style
from expunge.report.plots import Plot
from expunge.report.valued import PERCENT, Valued, written
from expunge.valuation.evaluation import SHARES
from expunge.valuation.points import Array

_BAND = 0.25  # opacity
_BINS = 60
_EXTREME = 0.005  # share of the values at either end that is counted in the outermost bin


def drawings(valued: Valued) -> list[Plot]:
    """All of them, in reading order."""
    return [
        Plot(
            "curves",
            curves(valued),
            "Each point is a model that is judged on held-out rows, which no value was found by. On the left a good order "
            "falls soonest where the most valuable rows go first, and last where the least valuable do; on the right it rises "
            f"soonest where the most valuable come first. Grey: {len(valued.chance)} random orders, their mean and their "
            "range. Both panels show the same models, from either end.",
        ),
        Plot(
            "histogram",
            histogram(valued),
            f"{_below_zero(valued)} Values beyond the axis are counted in the outermost bars.",
        ),
    ]


def _below_zero(valued: Valued) -> str:
    if not valued.basis.zero:
        return "With this method 0 is no border between good and harm: only the order of values says something."
    judged = "to this model, on this validation set" if valued.basis.model else "on this validation set"
    return f"Rows with a value below 0 did more harm than good {judged}."


def curves(valued: Valued) -> str:
    """Utility on held-out rows as rows go, and as they come."""
    title = f"{_capital(valued.metric_words)} on unseen rows, as training rows go or come by their values"
    gone = np.array(SHARES)
    found, chance = valued.curves, valued.chance
    with style():
        drawing = figure(WIDE, 4.6)
        head(drawing, title)
        panels = drawing.subplots(1, 2, sharey=True)
        _lines(panels[0], gone, (found.removal_high, found.removal_low), chance[:, ::-1])
        _lines(panels[1], 1 - gone[::-1], (found.addition_high, found.addition_low), chance)
        for axes, words, what in zip(panels, ("taken away", "added"), ("that have gone", "that have come"), strict=True):
            axes.set_title(words, fontsize=NORMAL, loc="left")
            axes.set_xlabel(f"share of the {len(valued.rows):,} rows {what}")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        panels[0].set(xlim=(0, 0.9))
        panels[1].set(xlim=(0.1, 1))
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, valued.metric)))
        panels[0].set_ylabel(valued.metric_words)
        handles, _ = panels[0].get_legend_handles_labels()
        texts = ("most valuable first", "least valuable first", "at random, mean and range")
        drawing.legend(handles, texts, loc="outside lower left", ncols=3, handlelength=2.4, columnspacing=1.4)
        return inline(drawing, title, f"curves {title}")


def histogram(valued: Valued) -> str:
    """How values are spread."""
    values, zero = valued.values.values, valued.basis.zero
    title = _spread(values) if zero else f"How the values of {len(values):,} rows are spread"
    edges = _edges(values, zero)
    counts = np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
    with style():
        drawing = figure(WIDE, 3.0)
        head(drawing, title)
        axes = drawing.add_subplot()
        colors = [SERIES[1] if zero and right <= 0 else SERIES[0] for right in edges[1:]]
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colors, linewidth=0)
        if zero:
            axes.axvline(0, color=INK, linewidth=1.0)
        axes.grid(visible=False, axis="x")
        axes.set(xlim=(edges[0], edges[-1]), xlabel=f"value of a row, by {valued.values.method}", ylabel="rows")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        return inline(drawing, title, f"histogram {title}")


def _spread(values: Array) -> str:
    below = int((values < 0).sum())
    return f"{below:,} of {len(values):,} rows are worth less than nothing" if below else "No row is worth less than nothing"


def _lines(axes: Axes, shares: Array, ordered: Sequence[Array], chance: Array) -> None:
    for values, color, dash, mark in zip(ordered, SERIES, DASHES, "os", strict=False):
        axes.plot(shares, values, color=color, linestyle=dash, marker=mark, markersize=3.5, linewidth=2, zorder=4, label=mark)
    axes.fill_between(shares, chance.min(0), chance.max(0), color=MUTED, alpha=_BAND, linewidth=0, zorder=2)
    axes.plot(shares, chance.mean(0), color=MUTED, linewidth=1.4, zorder=3, label="chance")


def _tick(value: float, metric: str) -> str:
    return written(value, metric).replace(".0 %", " %") if metric in PERCENT else _short(value)


def _short(value: float) -> str:
    return f"{round(value, 12):.3g}".replace("-", "\N{MINUS SIGN}")


def _edges(values: Array, zero: bool) -> Array:
    """Of bins of one width; with zero, 0 is an edge and lies on the axis."""
    low, high = np.quantile(values, [_EXTREME, 1 - _EXTREME])
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * abs(high):
        return low + np.linspace(-1, 1, _BINS + 1) * max(abs(low), 1.0)
    width = (high - low) / min(_BINS, max(len(values) // 4, 8))
    if not zero:
        return low + np.arange(round((high - low) / width) + 1) * width
    return np.arange(np.floor(low / width + 1e-9), np.ceil(high / width - 1e-9) + 1) * width


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
