"""The drawings of a table's score: its five parts, which columns go together, and how a generator's training went."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from expunge.report.canvas import (
    DASHES,
    GOOD,
    INK,
    LINE,
    MUTED,
    NARROW,
    NORMAL,
    SERIES,
    SMALL,
    WIDE,
    figure,
    head,
    inline,
    style,
)
from expunge.report.plots import Plot
from expunge.report.scored import PARTS, Scored, Training, short
from expunge.tabular.coded import Array
from expunge.tabular.score import Score

MOST_COLUMNS = 20  # of an association map that can be read
_MAP, _LETTER = 4.3, 0.1  # inches of height for a map and its titles, and for each letter of the longest name below
_FAINT = 0.02  # association that is not drawn
_REACH = 1.24  # where names of parts stand, the radius of a part being 1


def parts_plots(scored: Scored) -> list[Plot]:
    """The parts, as a radar and as bars."""
    return [
        Plot(
            "radar",
            radar(scored),
            "Outermost is best. The nearer the blue area comes to the green outline of real rows, the better; what it shares "
            "with the grey outline of shuffled columns, columns need not go together for.",
        ),
        Plot(
            "bars",
            bars(scored),
            "The same parts one by one. A part in which shuffled columns score as high as real rows is blind to how columns go "
            "together: look at its value, not at the distance between them.",
        ),
    ]


def radar(scored: Scored) -> str:
    """The parts as a polygon, with those of real rows and of shuffled columns as outlines."""
    title = "The parts beside real rows and shuffled columns"
    names = _known(scored.score)
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    with style():
        drawing = figure(NARROW, 4.7)
        head(drawing, title)
        axes = drawing.add_subplot()
        for radius in (0.25, 0.5, 0.75, 1.0):
            _polygon(axes, np.full(len(names), radius), angles, color=LINE, linewidth=0.8, zorder=1)
        for angle, name in zip(angles, names, strict=True):
            x, y = np.cos(angle), np.sin(angle)
            axes.plot([0, x], [0, y], color=LINE, linewidth=0.8, zorder=1)
            side = "center" if abs(x) < 0.2 else "left" if x > 0 else "right"
            value = scored.score.components[name]
            axes.text(1.1 * x, 1.13 * y, f"{PARTS[name]}\n{value:.3f}", ha=side, va="center", fontsize=NORMAL, color=INK)
        for radius in (0.5, 1.0):
            axes.text(0.02, radius * np.sin(angles[0]) - 0.02, f"{radius:g}", fontsize=SMALL, color=MUTED, va="top")
        reference = scored.comparison.reference
        _polygon(axes, _values(reference.shuffled, names), angles, "columns shuffled", color=MUTED, linestyle=DASHES[2], lw=2)
        _polygon(axes, _values(reference.split, names), angles, "real rows", color=GOOD, linestyle=DASHES[1], lw=2)
        values = _values(scored.score, names)
        axes.fill(values * np.cos(angles), values * np.sin(angles), color=SERIES[0], alpha=0.2, linewidth=0)
        _polygon(axes, values, angles, "synthetic", color=SERIES[0], lw=2.4, marker="o", markersize=4)
        axes.set(xlim=(-1.75, 1.75), ylim=(-_REACH, _REACH), aspect="equal")
        axes.axis("off")
        handles, labels = axes.get_legend_handles_labels()
        drawing.legend(handles[::-1], labels[::-1], loc="outside lower left", ncols=3, handlelength=2.4, columnspacing=1.4)
        return inline(drawing, title, f"radar {title}")


def bars(scored: Scored) -> str:
    """The parts as bars, with marks for real rows and for shuffled columns."""
    title = "The same, one by one"
    names = ["total", *_known(scored.score)]
    reference = scored.comparison.reference
    places = np.arange(len(names))[::-1]
    with style():
        drawing = figure(NARROW, 4.7)
        head(drawing, title)
        axes = drawing.add_subplot()
        values = _values(scored.score, names)
        axes.barh(places, values, height=0.5, color=SERIES[0], linewidth=0, label="synthetic", zorder=2)
        for score, mark, color, label in (
            (reference.split, "D", GOOD, "real rows"),
            (reference.shuffled, "o", MUTED, "columns shuffled"),
        ):
            axes.plot(
                _values(score, names),
                places,
                mark,
                color=color,
                markersize=7,
                markeredgecolor=INK,
                markeredgewidth=0.6,
                label=label,
                zorder=4,
                linestyle="none",
                clip_on=False,
            )
        axes.set_yticks(places, [PARTS.get(name, name) for name in names], fontsize=NORMAL, color=INK)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 1), xlabel=f"score by the {scored.score.mode} formulas, 1 being best")
        axes.tick_params(axis="y", length=0, pad=8)  # a mark at 0 needs room
        drawing.legend(loc="outside lower left", ncols=3, columnspacing=1.4)
        return inline(drawing, title, f"bars {title}")


def association_plot(scored: Scored) -> Plot | None:
    """Which columns go together in each table; None where there is nothing to draw."""
    if scored.score.associations is None or len(scored.score.names) < 2:
        return None
    shown, hidden = _shown(scored)
    caption = (
        "Each cell: how much the column below tells of the column at the left. Pearson’s r of numbers, correlation ratio of a "
        "number and a category, Theil’s U of categories. Blue is above 0, orange below; the stronger the colour, the farther. "
        "At the right an empty map is the ideal."
    )
    if hidden:
        more = (
            f"{hidden} more columns, in whose pairs the tables differ least, are"
            if hidden > 1
            else ("One more column, in whose pairs the tables differ least, is")
        )
        caption += f" {more} not drawn; pairs.csv has all."
    return Plot("associations", associations(scored, shown), caption)


def associations(scored: Scored, shown: Array) -> str:
    """Maps of the real and of the synthetic table, and their difference."""
    assert scored.score.associations is not None
    real, synthetic = (each[np.ix_(shown, shown)] for each in scored.score.associations)
    names = [short(scored.score.names[place]) for place in shown]
    title = "Which columns go together, in the real table and in the synthetic one"
    with style():
        drawing = figure(WIDE, _MAP + _LETTER * max(map(len, names)))
        head(drawing, title)
        panels = drawing.subplots(1, 3, sharey=True)
        maps = (real, synthetic, synthetic - real)
        for axes, values, what in zip(panels, maps, ("real", "synthetic", "difference: synthetic less real"), strict=True):
            _map(axes, values, names, what)
        panels[0].set_yticks(np.arange(len(names)) + 0.5, names, color=INK)
        drawing.draw_without_rendering()  # square axes take two rounds of layout, or the names below are cut
        return inline(drawing, title, f"associations {title}")


def training_plots(training: Training) -> list[Plot]:
    """Curves of scores and of losses, as far as there are some."""
    found = []
    if training.scores:
        chosen = f" The line marks epoch {training.chosen:,}, whose weights were kept." if training.chosen else ""
        found.append(
            Plot(
                "scores",
                score_curves(training),
                "TabSynDex of a sample that the generator made after some of the epochs, beside the rows that it learned, and "
                f"the parts that it is the mean of. ML efficacy takes too long to be asked for while it trains.{chosen}",
            )
        )
    if training.losses:
        found.append(
            Plot(
                "losses",
                loss_curves(training),
                "What was minimised, its terms apart. Losses of adversaries, or of different generators, can’t be compared: "
                "whether the table got better is what the scores say.",
            )
        )
    return found


def score_curves(training: Training) -> str:
    """Total and parts by epoch, with the epoch that was kept."""
    title = "Scores as it trained"
    epochs = sorted(training.scores)
    names = ["total", *_known(training.scores[epochs[0]])]
    with style():
        drawing = figure(NARROW, 3.9)
        head(drawing, title)
        axes = drawing.add_subplot()
        marker = "o" if len(epochs) < 40 else ""
        for place, name in enumerate(names):
            values = np.array([_values(training.scores[epoch], [name])[0] for epoch in epochs])
            total = name == "total"
            axes.plot(
                epochs,
                values,
                color=INK if total else SERIES[(place - 1) % len(SERIES)],
                linestyle="-" if total else DASHES[place % len(DASHES)],
                linewidth=2.4 if total else 1.5,
                marker=marker,
                markersize=3.5,
                label=PARTS.get(name, name),
                zorder=4 if total else 3,
            )
        _mark(axes, training)
        axes.set(ylim=(0, 1.02), xlabel="epoch", ylabel="score")
        drawing.legend(loc="outside lower left", ncols=3, columnspacing=1.4, handlelength=2.4)
        return inline(drawing, title, f"scores {title}")


def loss_curves(training: Training) -> str:
    """Each term of the loss by epoch."""
    title = "Losses as it trained"
    with style():
        drawing = figure(NARROW, 3.9)
        head(drawing, title)
        axes = drawing.add_subplot()
        for place, (name, values) in enumerate(training.losses.items()):
            axes.plot(
                np.arange(1, len(values) + 1),
                values,
                color=SERIES[place % len(SERIES)],
                linestyle=DASHES[place % len(DASHES)],
                linewidth=1.8,
                marker="o" if len(values) == 1 else "",
                label=name,
            )
        _mark(axes, training)
        axes.set(xlabel="epoch", ylabel="mean of the epoch")
        drawing.legend(loc="outside lower left", ncols=3, columnspacing=1.4, handlelength=2.4)
        return inline(drawing, title, f"losses {title}")


def _mark(axes: Axes, training: Training) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if training.chosen is not None:
        axes.axvline(training.chosen, color=GOOD, linewidth=1.4, zorder=2)


def _known(score: Score) -> list[str]:
    return [name for name, value in score.components.items() if value is not None]


def _values(score: Score, names: Sequence[str]) -> Array:
    """Of parts, or of the total; 0 for one that can't be told."""
    return np.array([score.total if name == "total" else (score.components[name] or 0.0) for name in names])


def _polygon(axes: Axes, radii: Array, angles: Array, label: str = "", **how: object) -> None:
    around = np.append(np.arange(len(radii)), 0)
    xs, ys = radii * np.cos(angles), radii * np.sin(angles)
    axes.plot(xs[around], ys[around], label=label or "_", **{"zorder": 3, **how})  # type: ignore[arg-type]


def _shown(scored: Scored) -> tuple[Array, int]:
    """Places of the columns to draw, in the table's order, and how many are left out."""
    assert scored.score.associations is not None
    apart = np.abs(scored.score.associations[0] - scored.score.associations[1])
    worst = np.argsort(-(apart.max(0) + apart.max(1)), kind="stable")[:MOST_COLUMNS]
    return np.sort(worst), len(apart) - len(worst)


def _map(axes: Axes, values: Array, names: Sequence[str], what: str) -> None:
    count = len(names)
    for row, column in np.argwhere(np.abs(values) >= _FAINT):
        value = float(np.clip(values[row, column], -1, 1))
        axes.add_patch(
            Rectangle((column, row), 1, 1, facecolor=SERIES[0] if value > 0 else SERIES[1], alpha=abs(value), linewidth=0)
        )
    if count <= 8:
        for row, column in np.ndindex(count, count):
            if row != column:
                text = f"{values[row, column]:z.2f}".replace("-", "\N{MINUS SIGN}")
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=SMALL, color=INK)
    axes.add_patch(Rectangle((0, 0), count, count, facecolor="none", edgecolor=MUTED, linewidth=0.8))
    axes.set(xlim=(0, count), ylim=(count, 0), aspect="equal")
    axes.set_title(what, fontsize=NORMAL, loc="left")
    # anchored, a name ends at the axis in a font of any width
    axes.set_xticks(np.arange(count) + 0.5, names, rotation=90, rotation_mode="anchor", ha="right", va="center", color=INK)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
