"""The drawing of the study of everything: how far each system's method and its best rival get, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from expunge.report.canvas import HALO, INK, LINE, MUTED, SERIES, SMALL, WIDE, figure, head, inline, style
from expunge.report.plots import Plot

_WORDS = (
    "Left, 0 is where the figure was before and 1 is its target, such as a model that never saw what went; beyond 1 it has "
    "gone farther than that. Right, the cost as a share of the target's, on a logarithmic axis. Where chance did as well as "
    "the target, there is no way to go, and none is drawn."
)
_ENDS = (-0.3, 1.6)  # of the way: what lies beyond stands at the edge, as an arrow
_LOOKS = {"ours": ("o", SERIES[0], "the system's method"), "rival": ("s", SERIES[1], "its best rival")}


@dataclass(frozen=True)
class Shown:
    """One system's line in the drawing.

    Args:
        title: the system, its method and the rival.
        words: what the figure is.
        values: before, target, ours, rival, and what the last two cost.
        rising: whether more is better, whatever the target: then there is no way to a target below what was before.
    """

    title: str
    words: str
    values: Mapping[str, float]
    rising: bool = False

    def position(self, place: str) -> float:
        """How far "ours" or "rival" has gone from before (0) to the target (1); not a number where there is no way to go."""
        whole = self.values["target"] - self.values["before"]
        if whole == 0 or (self.rising and whole < 0):
            return float("nan")
        return (self.values[place] - self.values["before"]) / whole


def overview(lines: Sequence[Shown]) -> Plot:
    """One line for each system."""
    title = "How far each system gets, and at what cost"
    heights = np.arange(len(lines))
    with style():
        drawing = figure(WIDE, 1.6 + 0.5 * len(lines))
        head(drawing, title)
        way, cost = drawing.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
        cost.set_xscale("log")
        for axes in (way, cost):
            axes.grid(visible=False, axis="y")
            axes.hlines(heights, 0, 1, transform=axes.get_yaxis_transform(), color=LINE, linewidth=0.6)
            axes.axvline(1.0, color=INK, linewidth=1.0)
            axes.tick_params(axis="y", length=0, labelcolor=INK)
        for place in _LOOKS:
            _draw(way, [line.position(place) for line in lines], place, _ENDS)
            _draw(cost, [line.values[f"{place}_ratio"] for line in lines], place)
        for height, line in enumerate(lines):
            if np.isnan(line.position("ours")):
                way.annotate("no way to go", (0.5, height), ha="center", va="center", fontsize=SMALL, color=MUTED, gid=HALO)
        way.set(xlim=_ENDS, xticks=[0.0, 0.5, 1.0, 1.5], xlabel="way from before (0) to the target (1)")
        way.set_yticks(heights, [f"{line.title}\n{line.words}" for line in lines])
        way.set_ylim(len(lines) - 0.4, -0.6)
        cost.xaxis.set_major_locator(LogLocator(numticks=8))
        cost.xaxis.set_minor_locator(NullLocator())
        cost.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        cost.set_xlabel("cost ÷ the target's cost")
        handles, labels = way.get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower left", ncols=2)
        return Plot("overview", inline(drawing, title, "all systems"), _WORDS)


def _draw(axes: Axes, values: Sequence[float], place: str, ends: tuple[float, float] = (-np.inf, np.inf)) -> None:
    """The marks of one kind; what lies beyond the ends stands there as an arrow."""
    marker, color, label = _LOOKS[place]
    lift = -0.13 if place == "ours" else 0.13  # one above the other, where they are equal
    for height, value in enumerate(values):
        shape = "<" if value < ends[0] else ">" if value > ends[1] else marker
        look: dict[str, Any] = {"marker": shape, "markersize": 7, "color": color, "clip_on": False}
        axes.plot([np.clip(value, *ends)], [height + lift], linestyle="none", label=None if height else label, **look)
