"""The drawings of a search: what networks cost and reach, how the search went, and which classes are taken for which."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from expunge.report.canvas import DASHES, GOOD, INK, MUTED, NARROW, NORMAL, SERIES, SMALL, figure, head, inline, style
from expunge.report.plots import Plot
from expunge.report.scored import short
from expunge.report.searched import FOUND, HAND_MADE, RANDOM, REFERENCE, Judged, Searched
from expunge.search.genotype import KINDS

_HEIGHT = 3.9
_MOST_NUMBERS = 12  # classes up to which counts have room in their cells
_MOST_NAMES = 24
_ROOM = 1.3  # factor on the lowest and the highest cost, for the axis
_MARKS: dict[str, dict[str, Any]] = {
    FOUND: {"marker": "*", "color": SERIES[0], "markersize": 15, "label": "found cell"},
    RANDOM: {"marker": "o", "color": MUTED, "markersize": 6, "label": "random cells"},
    HAND_MADE: {"marker": "s", "color": SERIES[1], "markersize": 8, "label": "hand-made"},
}


def pareto_plots(searched: Searched) -> list[Plot]:
    """Accuracy against multiply-accumulates, and against time."""
    says = (
        "Up and left is better: more right at less cost. A network is worth its cost if none stands above it and to its left."
    )
    line = " The dotted line is the cost of MobileNetV3-small, which was not trained." if searched.of(REFERENCE) else ""
    measured = "Median time of one image on one thread, in the same run. Few multiply-accumulates don't make a network fast."
    return [
        Plot("macs", pareto(searched, "multiply-accumulates in millions", lambda model: model.cost.macs / 1e6), says + line),
        Plot("latency", pareto(searched, "milliseconds for an image", lambda model: 1e3 * model.latency), measured),
    ]


def pareto(searched: Searched, unit: str, cost: Callable[[Judged], float]) -> str:
    """Each trained network as a point."""
    title = f"Accuracy against {unit.partition(' in ')[0].partition(' for ')[0]}"
    with style():
        drawing = figure(NARROW, _HEIGHT)
        head(drawing, title)
        axes = drawing.add_subplot()
        for role, mark in _MARKS.items():
            models = searched.of(role)
            values = [[cost(model) for model in models], [100 * model.accuracy for model in models]]
            if models:
                axes.plot(*values, linestyle="none", zorder=4 if role == FOUND else 3, **mark)
        for model in searched.of(REFERENCE):
            axes.axvline(cost(model), color=INK, linewidth=1.2, linestyle=DASHES[2], label=model.name)
        costs = [cost(model) for model in searched.models]
        axes.set(xscale="log", xlim=(min(costs) / _ROOM, max(costs) * _ROOM), xlabel=unit, ylabel="accuracy in %")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(y=0.15)
        drawing.legend(loc="outside lower left", ncols=2, columnspacing=1.4)
        return inline(drawing, title, f"pareto {title}")


def search_plots(searched: Searched) -> list[Plot]:
    """How the search went, as far as it has a course: decidedness, losses and expected cost, or the candidates' scores."""
    rows = [row for row in searched.found.history if "search" in row]
    if not rows:
        return [_candidates(searched)] if searched.found.scores else []
    return [
        Plot(
            "decidedness",
            _decidedness(searched, rows),
            "0 is an architecture whose weights are all the same, 1 one that has chosen. Below the dotted line the cell is "
            "little better than one drawn by chance.",
        ),
        Plot(
            "entropy",
            _entropy(rows),
            "Mean entropy of the operations' weights over the edges of a cell: it falls as the search decides.",
        ),
        Plot(
            "losses",
            _losses(rows),
            "Cross entropy of the supernet on the half that trains its weights, and on the half that judges the architecture, "
            "which begins after the warm-up.",
        ),
        Plot("cost", _cost(rows), "What a network costs on average by the weights of that epoch."),
    ]


def _curves(title: str, ylabel: str, lines: dict[str, tuple[list[int], list[float]]], more: Callable[[Axes], None]) -> str:
    with style():
        drawing = figure(NARROW, _HEIGHT)
        head(drawing, title)
        axes = drawing.add_subplot()
        for place, (name, (epochs, values)) in enumerate(lines.items()):
            how: dict[str, Any] = {"color": SERIES[place], "linestyle": DASHES[place % len(DASHES)], "linewidth": 1.8}
            axes.plot(epochs, values, label=name, marker="o" if len(values) < 3 else "", **how)
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        more(axes)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            drawing.legend(loc="outside lower left", ncols=3, columnspacing=1.4, handlelength=2.4)
        return inline(drawing, title, f"search {title}")


def _epochs(rows: list[dict[str, Any]]) -> list[int]:
    return [row["epoch"] + 1 for row in rows]


def _decidedness(searched: Searched, rows: list[dict[str, Any]]) -> str:
    lines = {f"{kind} cell": (_epochs(rows), [row["search"]["decidedness"][kind] for row in rows]) for kind in KINDS}

    def more(axes: Axes) -> None:
        if searched.warn_below is not None:
            axes.axhline(searched.warn_below, color=INK, linewidth=1.2, linestyle=DASHES[2], label="warning below")
        axes.set_ylim(bottom=0)

    return _curves("How decided the architecture is", "decidedness, of 1", lines, more)


def _entropy(rows: list[dict[str, Any]]) -> str:
    lines = {
        f"{kind} cell": (_epochs(rows), [float(np.mean(row["search"]["entropy"][kind])) for row in rows]) for kind in KINDS
    }
    return _curves("Entropy of the architecture", "entropy in nats", lines, lambda axes: None)


def _losses(rows: list[dict[str, Any]]) -> str:
    names = [name for name in ("weights", "architecture") if any(name in row["terms"] for row in rows)]
    lines = {}
    for name in names:
        there = [row for row in rows if name in row["terms"]]
        lines[f"loss of the {name}"] = (_epochs(there), [row["terms"][name] for row in there])
    return _curves("Losses of the search", "mean of the epoch", lines, lambda axes: None)


def _cost(rows: list[dict[str, Any]]) -> str:
    macs = rows[-1]["search"]["cost_unit"] == "MACs"
    factor, unit = (1e-6, "multiply-accumulates in millions") if macs else (1e3, "milliseconds for an image")
    lines = {"expected": (_epochs(rows), [factor * row["search"]["expected_cost"] for row in rows])}
    return _curves("Expected cost of a network", unit, lines, lambda axes: None)


def _candidates(searched: Searched) -> Plot:
    title = "Scores of the candidates"
    values = [value for _, value in searched.found.scores if np.isfinite(value)]
    with style():
        drawing = figure(NARROW, _HEIGHT)
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.plot(np.arange(1, len(values) + 1), values, "o", color=MUTED, markersize=5)
        axes.plot([1], values[:1], "*", color=GOOD, markersize=14)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="candidate, best first", ylabel="score")
        drawn = inline(drawing, title, f"candidates {title}")
    return Plot("candidates", drawn, "What the method ranked random cells by, on training images alone; the first was taken.")


def confusion_plot(searched: Searched) -> Plot:
    """Which classes the found network takes for which."""
    found = searched.best.scores
    assert found is not None
    title, counts = "What is taken for what", found.confusion
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    names = [short(name) for name in searched.classes]
    places = np.arange(len(names))
    with style():
        drawing = figure(NARROW, 4.6)
        head(drawing, title)
        axes = drawing.add_subplot()
        for row, column in np.argwhere(counts):
            right = row == column
            axes.fill_between(
                [column - 0.5, column + 0.5],
                row - 0.5,
                row + 0.5,
                color=SERIES[0] if right else SERIES[1],
                alpha=0.15 + 0.6 * shares[row, column],
                linewidth=0,
            )
            if len(names) <= _MOST_NUMBERS:
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=SMALL, color=INK)
        last = len(names) - 0.5
        axes.set(xlim=(-0.5, last), ylim=(last, -0.5), aspect="equal", xlabel="told", ylabel="true class")
        if len(names) <= _MOST_NAMES:
            turned: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}
            axes.set_xticks(
                places, names, fontsize=NORMAL, color=INK, **(turned if len(names) > 3 and max(map(len, names)) > 2 else {})
            )
            axes.set_yticks(places, names, fontsize=NORMAL, color=INK)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        drawing.draw_without_rendering()  # square axes take two rounds of layout
        drawn = inline(drawing, title, f"confusion {title}")
    return Plot(
        "confusion", drawn, "Images of the test, by the found network: blue where it is right, orange where it is wrong."
    )
