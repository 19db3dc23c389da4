"""What drawings of all models share: the models' order, the lines that tell them apart, a panel for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from expunge.report.canvas import DASHES, INK, MUTED, NARROW, NORMAL, SERIES, WIDE, figure, head
from expunge.report.evidence import Case, Row
from expunge.report.measures import printable
from expunge.report.verdict import nearest

Array = NDArray[np.float64]

NAME = 20  # characters of a name that a panel or a legend has room for
_REFERENCES = ("original", "retrained", "noise floor")
_TOLD_APART = 8  # methods whose lines can be told from each other
_OTHER: dict[str, Any] = {"color": MUTED, "linewidth": 0.7, "zorder": 2.5, "alpha": 0.5}
_COLUMNS = 6
_OPACITY = 0.55


@dataclass(frozen=True)
class Panel:
    """The distributions of one model: shares of the examples in each bin, as an area and as a line; and the bins' edges."""

    row: Row
    area: Array
    line: Array
    edges: Array


def drawn(case: Case) -> list[Row]:
    """Rows with curves, the references first."""
    order = {role: index for index, role in enumerate(_REFERENCES)}
    rows = (row for row in case.rows if row.curves is not None)
    return sorted(rows, key=lambda row: order.get(row.role, len(order)))


def lines(case: Case, all_named: bool = True) -> dict[str, dict[str, Any]]:
    """How each row with curves is drawn: the references in ink and orange, strong; the methods by turns in the other colours.

    Of many methods those that are nearest to the retrained model have a colour to themselves. The others share these with
    dashes, or are thin and grey unless `all_named`.
    """
    colors = [color for color in SERIES if color != SERIES[1]]
    rows = drawn(case)
    methods = [row.name for row in rows if row.role == "method"]
    if len(methods) > _TOLD_APART:
        methods = [row.name for row in nearest(case) if row.name in methods][: None if all_named else len(colors)]
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.role == "original":
            found[row.name] = {"color": SERIES[1], "linewidth": 2.2, "zorder": 4}
        elif row.role == "retrained":
            found[row.name] = {"color": INK, "linewidth": 2.2, "zorder": 5, "linestyle": "-"}
        elif row.role == "noise floor":
            found[row.name] = {"color": INK, "linewidth": 1.2, "zorder": 5, "linestyle": "--"}
        elif row.name in methods:
            place = methods.index(row.name)
            color, dash = colors[place % len(colors)], DASHES[place // len(colors) % len(DASHES)]
            found[row.name] = {"color": color, "linewidth": 1.4, "zorder": 3, "linestyle": dash}
        else:
            found[row.name] = _OTHER
    return found


def name_lines(drawing: Figure, curves: Sequence[tuple[float, Row, Line2D, str]], *more: tuple[str, Line2D]) -> None:
    """A legend below: the curves by their first entry, the last one behind their names; the grey ones as one; then `more`."""
    curves = sorted(curves, key=lambda each: each[0])
    others = [line for *_, line, _ in curves if line.get_color() == _OTHER["color"]]
    named = [
        (f"\u200a{printable(row.name, NAME)}{note}", line)
        for _, row, line, note in curves
        if line.get_color() != _OTHER["color"]
    ]
    named += [(f"{len(others)} other method{'s' * (len(others) > 1)}", line) for line in others[:1]]
    texts, handles = zip(*named, *more, strict=True)
    drawing.legend(handles, texts, loc="outside lower left", ncols=3, handlelength=2.4, columnspacing=1.4)


def shares(values: Array, edges: Array) -> Array:
    """The share of the values in each bin; what lies outside is counted in the outermost."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)


def draw_panels(
    panels: Sequence[Panel],
    titles: tuple[str, str],
    label: str,
    legend: tuple[str, str],
    scale: Callable[[Axes, Array], object],
) -> Figure:
    """A panel for each model, all with the same axes unless their bins differ.

    Args:
        titles: of the drawing where it is as wide as the page, and where it has room for half of that.
        label: of the horizontal axis.
        legend: what area and line are.
        scale: puts the ticks on the horizontal axis of a panel that has these edges.
    """
    count = -(-len(panels) // _COLUMNS)
    columns = max(-(-len(panels) // count), 2)  # as even as they go
    drawing = figure(WIDE if columns > 2 else NARROW, 1.0 + 1.75 * count)
    head(drawing, titles[0] if columns > 2 else titles[1])
    same = all(np.array_equal(panel.edges, panels[0].edges) for panel in panels)
    grid = drawing.subplots(count, columns, sharey=same, squeeze=False).flat
    for axes, panel in zip(grid, panels, strict=False):
        axes.stairs(panel.area, panel.edges, fill=True, color=SERIES[1], alpha=_OPACITY, linewidth=0)
        axes.stairs(panel.line, panel.edges, color=INK, linewidth=1.2)
        target = panel.row.role == "retrained"
        name = printable(panel.row.name, NAME) + (" (target)" if target else "")
        axes.set_title(name, fontsize=NORMAL, loc="left", fontweight="bold" if target else "normal", color=INK)
        scale(axes, panel.edges)
        axes.set_xlim(panel.edges[0], panel.edges[-1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))
    for axes in drawing.axes[len(panels) :]:
        axes.remove()
    drawing.supxlabel(label, fontsize=NORMAL)
    drawing.supylabel("share of the examples, %", fontsize=NORMAL)
    handles = [Line2D([], [], color=SERIES[1], linewidth=8, alpha=_OPACITY), Line2D([], [], color=INK, linewidth=1.2)]
    drawing.legend(handles, legend, loc="outside lower left", ncols=2)
    return drawing
