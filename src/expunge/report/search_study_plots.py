"""The drawings of the study of searches: accuracy against cost, how searches decide, controls, and who was forgotten."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from expunge.report.canvas import DASHES, INK, MUTED, NORMAL, SERIES, SMALL, WIDE, figure, head, inline, style
from expunge.report.figure_study import FigureCase
from expunge.report.labels import Label, place
from expunge.report.plots import Plot

_RANDOM = "random cells"
_RETRAINED = "retrained"
_WARNING = 0.02
_ROOM = 1.4  # factor on the lowest and the highest cost, for the axis


def drawings(case: FigureCase) -> list[Plot]:
    """All that a case has, in reading order."""
    found = []
    if _has(case, "macs"):
        words = "Up and left is better. Means over seeds; small dots are the single cells that were drawn by chance."
        found.append(Plot("cost", costs(case), words))
    if any(rows.curves.get("decided") for rows in case.seeds[0].values()):
        words = (
            "0 is an architecture whose weights are all the same, 1 one that has chosen. Below the dotted line a cell is "
            "little better than one drawn by chance. Means over seeds and folds; weights alone are trained at first."
        )
        found.append(Plot("decided", decided(case), words))
    if _has(case, "forget_accuracy"):
        words = "A forgotten clip should be told as the retrained network tells it: about as often as clips of unseen persons."
        found.append(Plot("forgotten", forgotten(case), words))
    if not found:
        words = (
            "The dotted line is chance, where clips without any motion must lie. A single frame shows a face that is already "
            "moved, and tells that much; frames in no order tell little more than chance."
        )
        found.append(Plot("inputs", inputs(case), words))
    return found


def _has(case: FigureCase, metric: str) -> bool:
    return any(not np.isnan(case.mean(name, metric)) for name in case.methods)


def costs(case: FigureCase) -> str:
    """Accuracy against multiply-accumulates, and against time."""
    title = f"{case.title}: accuracy against cost"
    with style():
        drawing = figure(WIDE, 4.4)
        head(drawing, title)
        left, right = drawing.subplots(1, 2, sharey=True)
        _cost(left, case, "macs", 1e-6, "multiply-accumulates in millions")
        _cost(right, case, "latency", 1e3, "milliseconds for an image")
        left.set(ylabel="accuracy in %")
        return inline(drawing, title, f"costs {title}")


def _cost(axes: Axes, case: FigureCase, metric: str, unit: float, words: str) -> None:
    labels, values = [], []
    for name in case.methods:
        x, y = unit * case.mean(name, metric), 100 * case.mean(name, "accuracy")
        if np.isnan(y):  # its cost alone is known
            axes.axvline(x, color=INK, linewidth=1.2, linestyle=DASHES[2])
            axes.text(x, 0.02, f" {name}", color=MUTED, transform=axes.get_xaxis_transform(), ha="right", fontsize=SMALL)
            values.append(x)
            continue
        axes.plot(x, y, zorder=4, **_mark(name))
        labels.append(Label(x, y, name, MUTED))
        values.append(x)
    for rows in case.seeds:
        curves = rows[_RANDOM].curves if _RANDOM in rows else {}
        if curves:
            xs = unit * np.array(curves[metric])
            axes.plot(xs, 100 * np.array(curves["accuracy"]), ".", color=MUTED, markersize=4, alpha=0.6, zorder=2)
            values += xs.tolist()
    axes.set(xscale="log", xlim=(min(values) / _ROOM, max(values) * _ROOM), xlabel=words)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(y=0.12)
    place(axes, labels)


def _mark(name: str) -> dict[str, Any]:
    if name == _RANDOM:
        return {"marker": "o", "color": MUTED, "markersize": 8}
    if name.startswith(("hand-cnn", "small-resnet", "mobilenet")):
        return {"marker": "s", "color": SERIES[1], "markersize": 7}
    return {"marker": "*", "color": SERIES[0], "markersize": 14}


def decided(case: FigureCase) -> str:
    """How far searches by gradients have chosen, as they go."""
    title = f"{case.title}: how decided searches are"
    names = [name for name in case.methods if case.seeds[0][name].curves.get("decided")]
    with style():
        drawing = figure(WIDE, 3.6)
        head(drawing, title)
        axes = drawing.add_subplot()
        for place_, name in enumerate(names):
            how: dict[str, Any] = {"color": SERIES[place_], "linestyle": DASHES[place_ % len(DASHES)], "linewidth": 2}
            axes.plot(case.curve(name, "steps"), case.curve(name, "decided"), label=name, **how)
        axes.axhline(_WARNING, color=INK, linewidth=1.0, linestyle=DASHES[2])
        axes.set(xlabel="steps of the architecture", ylabel="decidedness", ylim=(0, None))
        drawing.legend(loc="outside lower left", ncols=3)
        return inline(drawing, title, f"decided {title}")


def inputs(case: FigureCase) -> str:
    """What a linear model tells of each input."""
    title = f"{case.title}: what a linear model tells of each input"
    names = case.methods[::-1]
    found = 100 * np.array([case.found(name, "accuracy") for name in names])
    spread = found.std(axis=1, ddof=1) if found.shape[1] > 1 else np.zeros(len(names))
    with style():
        drawing = figure(WIDE, 1.2 + 0.32 * len(names))
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.barh(np.arange(len(names)), found.mean(1), xerr=spread, color=SERIES[0], height=0.6, error_kw={"ecolor": INK})
        axes.axvline(100 * case.mean(case.methods[0], "chance"), color=INK, linewidth=1.2, linestyle=DASHES[2])
        axes.set_yticks(np.arange(len(names)), names)
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=NORMAL)
        axes.set(xlim=(0, 100), xlabel="right, %")
        return inline(drawing, title, f"inputs {title}")


def forgotten(case: FigureCase) -> str:
    """Forgotten and unseen clips, as every model tells them."""
    title = f"{case.title}: clips that are told right"
    names = case.methods[::-1]
    places = np.arange(len(names))
    with style():
        drawing = figure(WIDE, 1.6 + 0.32 * len(names))
        head(drawing, title)
        axes = drawing.add_subplot()
        for metric, label, color, mark, shift in (
            ("forget_accuracy", "forgotten persons", SERIES[1], "o", 0.12),
            ("holdout_accuracy", "unseen persons", SERIES[0], "s", -0.12),
        ):
            found = 100 * np.array([case.found(name, metric) for name in names])
            spread = found.std(axis=1, ddof=1) if found.shape[1] > 1 else np.zeros(len(names))
            axes.errorbar(
                found.mean(1), places + shift, xerr=spread, fmt=mark, color=color, markersize=6, label=label, zorder=3
            )
            if _RETRAINED in case.methods:
                axes.axvline(100 * case.mean(_RETRAINED, metric), color=color, linewidth=1.2, linestyle=DASHES[1], zorder=1)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=NORMAL)
        axes.set(xlabel="right, %", ylim=(-0.6, len(names) - 0.4))
        drawing.legend(loc="outside lower left", ncols=2)
        return inline(drawing, title, f"forgotten {title}")
