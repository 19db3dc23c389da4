"""One small drawing for each column: how its values are spread in the real and in the synthetic table."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from expunge.report.canvas import INK, MUTED, SERIES, SMALL, figure, inline, style
from expunge.report.scored import short
from expunge.report.table_columns import Bar, ColumnView

_WIDTH, _HEIGHT = 4.6, 2.2  # inches
_BAR = 0.19  # inches for each bar that lies
_REAL, _MADE = MUTED, SERIES[0]
_NAME = 20  # characters of a category


def column_plot(view: ColumnView) -> str:
    """The column as an `<svg>` element. Grey areas are the real table, blue lines the synthetic one."""
    with style():
        if view.kind == "category" or not len(view.edges):
            drawing = figure(_WIDTH, max(_HEIGHT, _BAR * len(view.bars) + 0.7))
            _lying(drawing.add_subplot(), view)
        else:
            drawing = figure(_WIDTH, _HEIGHT)
            _number(drawing, view)
        return inline(drawing, f"{view.name}, real and synthetic", f"column {view.name}")


def _lying(axes: Axes, view: ColumnView) -> None:
    places = np.arange(len(view.bars))[::-1]
    axes.barh(places, [bar.real for bar in view.bars], height=0.78, color=_REAL, alpha=0.45, linewidth=0)
    axes.barh(places, [bar.synthetic for bar in view.bars], height=0.34, color=_MADE, linewidth=0)
    axes.set_yticks(places, [short(bar.label, _NAME) for bar in view.bars], fontsize=SMALL)
    for label, bar in zip(axes.get_yticklabels(), view.bars, strict=True):
        label.set_color(MUTED if bar.special else INK)
        label.set_fontstyle("italic" if bar.special else "normal")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(view.bars) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))


def _number(drawing: Figure, view: ColumnView) -> None:
    if view.bars:
        ratio = 0.14 * len(view.bars) + 0.06
        left, right = drawing.subplots(1, 2, width_ratios=(ratio, 1))
        _standing(left, view.bars)
    else:
        right = drawing.add_subplot()
    right.stairs(view.real, view.edges, fill=True, color=_REAL, alpha=0.45, linewidth=0)
    right.stairs(view.synthetic, view.edges, color=_MADE, linewidth=1.6)
    right.set_xlim(view.edges[0], view.edges[-1])
    right.set_ylim(0, None)
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.yaxis.set_major_locator(MaxNLocator(4))
    right.xaxis.set_major_formatter(FuncFormatter(_day if view.kind == "date" else _plain))
    right.yaxis.set_major_formatter(FuncFormatter(_percent))
    right.grid(visible=False, axis="x")


def _standing(axes: Axes, bars: tuple[Bar, ...]) -> None:
    places = np.arange(len(bars))
    axes.bar(places, [bar.real for bar in bars], width=0.78, color=_REAL, alpha=0.45, linewidth=0)
    axes.bar(places, [bar.synthetic for bar in bars], width=0.34, color=_MADE, linewidth=0)
    axes.set_xticks(places, [short(bar.label, 9) for bar in bars])
    for label, bar in zip(axes.get_xticklabels(), bars, strict=True):
        label.set_color(MUTED if bar.special else INK)
        label.set_fontstyle("italic" if bar.special else "normal")
    axes.set_xlim(-0.7, len(bars) - 0.3)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)


def _percent(value: float, _: object) -> str:
    return f"{round(100 * value, 6):g} %"


def _plain(value: float, _: object) -> str:
    size = abs(value)
    text = f"{value / 1e6:g}M" if size >= 1e6 else f"{value / 1e3:g}k" if size >= 1e4 else f"{round(value, 10):g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _day(value: float, _: object) -> str:
    return str(np.datetime64(round(value), "D"))[:7]
