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

from expunge.report.canvas import DASHES, INK, NARROW, NORMAL, SERIES, WIDE, figure, head
from expunge.report.evidence import Case, Row
from expunge.report.measures import printable

Array = NDArray[np.float64]

NAME = 20  # characters of a name that a panel or a legend has room for
_REFERENCES = ("original", "retrained", "noise floor")
_COLUMNS = 6
_OPACITY = 0.55


@dataclass(frozen=True)
class Panel:
    """The distributions of one model: shares of the examples in each bin, as an area and as a line."""

    row: Row
    area: Array
    line: Array


def drawn(case: Case) -> list[Row]:
    """Rows with curves, the references first."""
    order = {role: index for index, role in enumerate(_REFERENCES)}
    rows = (row for row in case.rows if row.curves is not None)
    return sorted(rows, key=lambda row: order.get(row.role, len(order)))


def lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Colour and dashes of each row: the references in ink and orange, strong; the methods by turns in the others."""
    colors = [color for color in SERIES if color != SERIES[1]]
    found: list[dict[str, Any]] = []
    methods = 0
    for row in rows:
        if row.role == "original":
            found.append({"color": SERIES[1], "linewidth": 2.2, "zorder": 4})
        elif row.role == "retrained":
            found.append({"color": INK, "linewidth": 2.2, "zorder": 5, "linestyle": "-"})
        elif row.role == "noise floor":
            found.append({"color": INK, "linewidth": 1.2, "zorder": 5, "linestyle": "--"})
        else:
            color, dash = colors[methods % len(colors)], DASHES[methods // len(colors) % len(DASHES)]
            found.append({"color": color, "linewidth": 1.4, "zorder": 3, "linestyle": dash})
            methods += 1
    return found


def shares(values: Array, edges: Array) -> Array:
    """The share of the values in each bin; what lies outside is counted in the outermost."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)


def draw_panels(
    panels: Sequence[Panel],
    edges: Array,
    titles: tuple[str, str],
    label: str,
    legend: tuple[str, str],
    scale: Callable[[Axes], object],
) -> Figure:
    """A panel for each model, all with the same axes.

    Args:
        titles: of the drawing where it is as wide as the page, and where it has room for half of that.
        label: of the horizontal axis.
        legend: what area and line are.
        scale: puts the ticks on the horizontal axis of a panel.
    """
    count = -(-len(panels) // _COLUMNS)
    columns = max(-(-len(panels) // count), 2)  # as even as they go
    drawing = figure(WIDE if columns > 2 else NARROW, 1.0 + 1.75 * count)
    head(drawing, titles[0] if columns > 2 else titles[1])
    grid = drawing.subplots(count, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, panel in zip(grid, panels, strict=False):
        axes.stairs(panel.area, edges, fill=True, color=SERIES[1], alpha=_OPACITY, linewidth=0)
        axes.stairs(panel.line, edges, color=INK, linewidth=1.2)
        target = panel.row.role == "retrained"
        name = printable(panel.row.name, NAME) + (" (target)" if target else "")
        axes.set_title(name, fontsize=NORMAL, loc="left", fontweight="bold" if target else "normal", color=INK)
        scale(axes)
        axes.set_xlim(edges[0], edges[-1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))
        axes.tick_params(labelbottom=True)
    for axes in drawing.axes[len(panels) :]:
        axes.remove()
    drawing.supxlabel(label, fontsize=NORMAL)
    drawing.supylabel("share of the examples, %", fontsize=NORMAL)
    handles = [Line2D([], [], color=SERIES[1], linewidth=8, alpha=_OPACITY), Line2D([], [], color=INK, linewidth=1.2)]
    drawing.legend(handles, legend, loc="outside lower left", ncols=2)
    return drawing
