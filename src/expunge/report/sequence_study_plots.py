"""The drawings of the study of sequences: drift over requests, and how far the farthest figure is from what is allowed."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from expunge.report.canvas import DASHES, INK, MUTED, SERIES, SMALL, WIDE, figure, head, inline, style
from expunge.report.figure_study import FigureCase
from expunge.report.plots import Plot

AT_ONCE = ", at once"  # how names of rows end whose method served all requests together
REFERENCES = ("original", "retrained", "retrained-2")
_MANY = 8.0  # above, the axis is a logarithmic one from 1 on
_TICKS = (0.0, 0.5, *(digit * 10.0**power for power in range(7) for digit in (1, 2, 5)))
_MARKS = ("o", "s", "^", "D", "v", "P")


def drawings(case: FigureCase) -> list[Plot]:
    """All that a case has, in reading order."""
    words = (
        "Left, 1 is what two retrained models are apart by chance; right, above 1 the verdict fails. Solid lines serve one "
        "request after another, dashed ones all up to there at once, from the original. The dotted line is the original, which "
        "forgets nothing. Means over seeds."
    )
    return [Plot("drift", over_requests(case), words)]


def over_requests(case: FigureCase) -> str:
    """Drift and the farthest figure after each request at which models were retrained."""
    title = f"{case.title}: drift over requests"
    with style():
        drawing = figure(WIDE, 4.2)
        head(drawing, title)
        left, right = drawing.subplots(1, 2)
        _lines(left, case, "drift")
        _lines(right, case, "farthest")
        left.set(ylabel="drift (distance ÷ chance)")
        right.set(ylabel="farthest figure ÷ what is allowed")
        handles, labels = left.get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower left", ncols=5)
        return inline(drawing, title, f"sequence {title}")


def _lines(axes: Axes, case: FigureCase, kind: str) -> None:
    names = [name for name in case.methods if name not in REFERENCES and not name.endswith(AT_ONCE)]
    requests = case.curve(names[0], "requests")
    drawn = []
    for place, name in enumerate(names):
        color = SERIES[place % len(SERIES)]
        for row, how in ((name, DASHES[0]), (f"{name}{AT_ONCE}", DASHES[1])):
            if row not in case.methods:
                continue
            look: dict[str, Any] = {"color": color, "linestyle": how, "marker": _MARKS[place % len(_MARKS)], "markersize": 5}
            axes.plot(requests, case.curve(row, kind), linewidth=2 if row == name else 1.4, label=row, **look)
            drawn.append(case.curve(row, kind))
    axes.plot(requests, case.curve("original", kind), color=MUTED, linewidth=1.4, linestyle=DASHES[2], label="original")
    axes.axhline(1.0, color=INK, linewidth=1.0)
    axes.annotate(
        "chance" if kind == "drift" else "allowed",
        (1.0, 1.0),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=SMALL,
        color=INK,
    )
    axes.xaxis.set_major_locator(FixedLocator(requests.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    highest = float(np.nanmax(np.where(np.isfinite(drawn), drawn, np.nan)))
    axes.set(xlabel="requests served", ylim=(0, 1.15 * max(highest, 1.0)))
    if highest > _MANY:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick <= 1.15 * highest]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
