"""The drawings of the valuation study: what values find against what they cost, and curves as points go."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from expunge.report.canvas import DASHES, INK, MUTED, NORMAL, SERIES, SMALL, WIDE, figure, head, inline, style
from expunge.report.figure_study import FigureCase
from expunge.report.plots import Plot
from expunge.valuation.evaluation import SHARES

_SHOWN = ("ecoval", "tmc-shapley", "knn-shapley", "data-oob", "leave-one-out", "random-values")  # each with a colour
_LEAST = 2e-3  # CPU seconds; what takes less stands there
_LETTER = 0.0068  # width of a letter, as a share of the drawing


def drawings(case: FigureCase) -> list[Plot]:
    """All of them, in reading order."""
    return [
        Plot(
            "cost",
            cost(case),
            "Up is better, left is cheaper. Time of all threads, on a logarithmic scale; means over seeds. Methods that train "
            "no model, or few, stand on the left.",
        ),
        Plot(
            "removal",
            removal(case),
            "Accuracy on points that no value was found by. On the left good values make it fall soon, on the right they keep "
            "it up. Means over seeds.",
        ),
    ]


def cost(case: FigureCase) -> str:
    """Detection against CPU time; of EcoVal's forms the whole one alone."""
    title = f"{case.title}: what values find, and what they cost"
    names = [name for name in case.methods if not name.startswith("ecoval-")]
    points = [(max(case.mean(name, "cpu_seconds"), _LEAST), case.mean(name, "auroc"), name) for name in names]
    with style():
        drawing = figure(WIDE, 4.6)
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=DASHES[1])
        axes.set(xscale="log", xlabel="CPU seconds", ylabel="wrong labels found, AUROC", ylim=(0.4, 1.04))
        axes.set_xlim(_LEAST / 3, max(seconds for seconds, _, _ in points) * 8)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for seconds, auroc, name in points:
            own = name == "ecoval"
            axes.plot([seconds], [auroc], "o", color=SERIES[0] if own else INK, markersize=8 if own else 5, zorder=3)
        _name(axes, points)
        return inline(drawing, title, f"cost {title}")


def _name(axes: Axes, points: list[tuple[float, float, str]]) -> None:
    """Write names beside their points, on the first side where they cover nothing."""
    low, high = np.log10(axes.get_xlim())
    bottom, top = axes.get_ylim()
    spots = [((np.log10(seconds) - low) / (high - low), (auroc - bottom) / (top - bottom)) for seconds, auroc, _ in points]
    taken = [(x - 0.006, y - 0.02, x + 0.006, y + 0.02) for x, y in spots]
    for (x, y), (_, _, name) in zip(spots, points, strict=True):
        wide = _LETTER * len(name)
        sides = [
            (x + 0.012, y, "left"),
            (x - 0.012, y, "right"),
            (x - wide / 2, y - 0.06, "left"),
            (x - wide / 2, y + 0.06, "left"),
        ]
        boxes = [(left if align == "left" else left - wide, height) for left, height, align in sides]
        free = [not any(_cover((left, height, wide), box) for box in taken) for left, height in boxes]
        left, height, align = sides[free.index(True)] if any(free) else sides[0]
        start = left if align == "left" else left - wide
        taken.append((start, height - 0.025, start + wide, height + 0.025))
        axes.text(left, height, name, transform=axes.transAxes, fontsize=SMALL, va="center", ha=align, color=INK)


def _cover(text: tuple[float, float, float], box: tuple[float, float, float, float]) -> bool:
    left, height, wide = text
    return left < box[2] and left + wide > box[0] and height - 0.025 < box[3] and height + 0.025 > box[1]


def removal(case: FigureCase) -> str:
    """Curves of the main methods."""
    title = f"{case.title}: accuracy as points go in the order of their values"
    shown = [name for name in _SHOWN if name in case.methods]
    with style():
        drawing = figure(WIDE, 4.4)
        head(drawing, title)
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, kind, words in zip(
            panels,
            ("removal_high", "removal_low"),
            ("most valuable first: lower is better", "least valuable first: higher is better"),
            strict=True,
        ):
            for index, name in enumerate(shown):
                color, dash = (MUTED, DASHES[1]) if name == "random-values" else (SERIES[index], "-")
                width = 2.4 if name == "ecoval" else 1.6
                axes.plot(
                    100 * np.array(SHARES),
                    100 * case.curve(name, kind),
                    color=color,
                    linestyle=dash,
                    linewidth=width,
                    label=name,
                )
            axes.set_title(words, fontsize=NORMAL, loc="left")
            axes.set_xlabel("points gone, %")
        panels[0].set_ylabel("accuracy, %")
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower left", ncols=6, handlelength=2.2, columnspacing=1.2)
        return inline(drawing, title, f"removal {title}")
