"""The drawings of the study of synthetic tables: scores, what they agree with, and trainings that were watched."""

import numpy as np

from expunge.report.canvas import DASHES, INK, MUTED, NORMAL, SERIES, WIDE, figure, head, inline, style
from expunge.report.figure_study import FigureCase
from expunge.report.labels import Label, place
from expunge.report.plots import Plot

_SPLIT = "real-split"


def drawings(case: FigureCase) -> list[Plot]:
    """All of them, in reading order."""
    found = [
        Plot(
            "scores",
            scores(case),
            "Right is better. The dashed lines are real rows beside real rows, by either form: no generator should lie beyond "
            "them. Bars are one standard deviation over seeds.",
        )
    ]
    if _others(case):
        found.append(
            Plot(
                "agreement",
                agreement_drawing(case),
                "Each point is a generator, a mean over seeds. Figures on the upright axes are no part of the score.",
            )
        )
    if any(rows.curves.get("epoch") for rows in case.seeds[0].values()):
        found.append(
            Plot(
                "training",
                training(case),
                "The score without its ML part, of 2,000 rows made in that epoch, mean over seeds. The ring is the epoch whose "
                "weights are kept on the first seed.",
            )
        )
    return found


def scores(case: FigureCase) -> str:
    """Both forms of the score, a line for each row of the table."""
    title = f"{case.title}: TabSynDex of every generator"
    names = [name for name in case.methods if name != _SPLIT]
    names.sort(key=lambda name: case.mean(name, "total"))
    places = np.arange(len(names))
    with style():
        drawing = figure(WIDE, 1.6 + 0.32 * len(names))
        head(drawing, title)
        axes = drawing.add_subplot()
        for metric, label, color, mark, shift in (
            ("total", "robust", SERIES[0], "o", 0.14),
            ("paper_total", "by the paper’s formulas", SERIES[1], "s", -0.14),
        ):
            found = np.array([case.found(name, metric) for name in names])
            spread = found.std(axis=1, ddof=1) if found.shape[1] > 1 else np.zeros(len(names))
            axes.errorbar(
                found.mean(1), places + shift, xerr=spread, fmt=mark, color=color, markersize=6, label=label, zorder=3
            )
            if _SPLIT in case.methods:
                axes.axvline(case.mean(_SPLIT, metric), color=color, linewidth=1.2, linestyle=DASHES[1], zorder=1)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", labelcolor=INK, length=0, labelsize=NORMAL)
        axes.set(xlim=(0, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel="score")
        drawing.legend(loc="outside lower left", ncols=2)
        return inline(drawing, title, f"scores {title}")


def agreement_drawing(case: FigureCase) -> str:
    """The score against figures that are not part of it."""
    title = f"{case.title}: whether other measures say the same"
    names, panels = [name for name in case.methods if name != _SPLIT], _others(case)
    with style():
        drawing = figure(WIDE, 4.2)
        head(drawing, title)
        for axes, (metric, words) in zip(drawing.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            shown = [*names, *([_SPLIT] if _SPLIT in case.methods else [])]
            points = [(name, case.mean(name, "total"), case.mean(name, metric)) for name in shown]
            for name, x, y in points:
                mark, color, size = ("*", INK, 11) if name == _SPLIT else ("o", SERIES[0], 6)
                axes.plot(x, y, mark, color=color, markersize=size, zorder=3)
            axes.set(xlabel="TabSynDex", ylabel=words)
            axes.margins(0.12, 0.12)
            place(axes, [Label(x, y, name, MUTED) for name, x, y in points])
        return inline(drawing, title, f"agreement {title}")


def _others(case: FigureCase) -> list[tuple[str, str]]:
    """Figures that every generator has and that are no part of the score, and their words."""
    names = [name for name in case.methods if name != _SPLIT]
    panels = [("c2st_auc", "two-sample test, AUC (0.5 is ideal)"), ("tstr", "trained on synthetic rows, tested on real ones")]
    return [(metric, words) for metric, words in panels if not np.isnan([case.mean(name, metric) for name in names]).any()]


def training(case: FigureCase) -> str:
    """The score as networks train."""
    title = f"{case.title}: trainings, watched by the score"
    names = [name for name in case.methods if case.seeds[0][name].curves.get("epoch")]
    with style():
        drawing = figure(WIDE, 4.0)
        head(drawing, title)
        axes = drawing.add_subplot()
        for index, name in enumerate(names):
            epochs, totals = case.curve(name, "epoch"), case.curve(name, "total")
            share = epochs / epochs[-1]
            axes.plot(100 * share, totals, color=SERIES[index], linewidth=2, label=f"{name}, {epochs[-1]:,.0f} epochs")
            best = int(np.argmax(case.seeds[0][name].curves["total"]))
            axes.plot(
                100 * share[best], totals[best], "o", color=SERIES[index], markersize=9, fillstyle="none", markeredgewidth=2
            )
        axes.set(xlabel="share of the epochs done, %", ylabel="TabSynDex without ML", ylim=(0, 1.02))
        drawing.legend(loc="outside lower left", ncols=4)
        return inline(drawing, title, f"training {title}")
