"""What each class keeps, and what each method costs in time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from expunge.report.canvas import (
    HALO,
    INK,
    LINE,
    NARROW,
    SERIES,
    SMALL,
    WIDE,
    figure,
    head,
    inline,
    style,
)
from expunge.report.evidence import Case, Row
from expunge.report.measures import finite, group_words, printable, score_kind, score_words, short, unit_of, written

_NAME = 22
_CLASS_NAME = 12  # characters that a name has where there are most classes; where there are fewer, more
_CLASSES = 14  # that have room beside each other
_FULL = 0.5  # difference of accuracy that gets the full colour; of what is no percentage, share of the target's
_STRONGEST = 0.62  # opacity of the full colour: the figure in the cell stays legible in light and in dark
_LOST = 0.3  # difference between original and retrained that marks a class, in the same measure
_WIDE_RANGE = 8  # largest ratio of times that still reads well on a linear axis


def per_class(case: Case, key: str = "") -> str | None:
    """Score on unseen examples of each class, models by classes; None when fewer than two classes were measured.

    Of many classes those are shown that differ most between models. Where the score is an error, classes are bands of
    the target; of recommendations they are groups of pairs.
    """
    rows = [row for row in case.rows if row.curves is not None and len(row.curves.group_scores) > 0]
    names = list(dict.fromkeys(name for row in rows for name in (row.curves.group_scores if row.curves else ())))
    if len(names) < 2:
        return None
    gold = next((row for row in rows if row.role == "retrained"), None)
    base = gold or next((row for row in rows if row.role == "original"), rows[0])
    shown = _most_changed(names, rows, base)
    group, groups = group_words(case)
    what = f"the {len(shown)} of {len(names)} {groups} that differ most" if len(shown) < len(names) else f"every {group}"
    score, kind = score_words(case.score_name), score_kind(case.score_name)
    title = f"{score[:1].upper()}{score[1:]} on unseen examples of {what}"
    cells = {(row.name, name): _score(row, name) for row in rows for name in shown}
    room = max(_CLASS_NAME, _CLASS_NAME * _CLASSES // len(shown))
    lost = [name for name in shown if _lost(case, name)]
    with style():
        drawing = figure(WIDE, 1.55 + 0.3 * len(rows))
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for line, row in enumerate(rows):
            for column, name in enumerate(shown):
                value, ideal = cells[row.name, name], _score(base, name)
                if value is None:
                    continue
                change = 0.0 if ideal is None or row is base else value - ideal
                strength = min(abs(change) / (_FULL * _measure(ideal, case)), 1.0)
                axes.add_patch(
                    Rectangle(
                        (column - 0.47, line - 0.44),
                        0.94,
                        0.88,
                        facecolor=SERIES[0] if change > 0 else SERIES[1],
                        alpha=_STRONGEST * strength,
                        linewidth=0,
                    )
                )
                axes.add_patch(
                    Rectangle(
                        (column - 0.47, line - 0.44),
                        0.94,
                        0.88,
                        fill=False,
                        edgecolor=INK if row is gold else LINE,
                        linewidth=1.0 if row is gold else 0.6,
                    )
                )
                text = f"{100 * value:.0f}" if kind == "percent" else short(value)
                axes.text(column, line, text, ha="center", va="center_baseline", fontsize=SMALL, color=INK)
        axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xticks(range(len(shown)), [_in_lines(name, room) + " ▼" * (name in lost) for name in shown])
        axes.set_yticks(range(len(rows)), [_titled(row) for row in rows])
        axes.tick_params(length=0, labelcolor=INK)
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if row is gold else "normal")
        unit = f", {unit}" if (unit := unit_of(kind, case.unit)) else ""
        marked = f"   ▼ retraining without the data changes this {group} by itself" if lost else ""
        of = " (times that the item was chosen, items that the user chose)" if case.score_name == "pair_auc" else ""
        axes.set_xlabel(f"{group}{of}; in the cells: {score}{unit}{marked}", loc="left")
        above, below = (Rectangle((0, 0), 1, 1, facecolor=color, alpha=_STRONGEST) for color in SERIES[:2])
        same = Rectangle((0, 0), 1, 1, fill=False, edgecolor=LINE)
        drawing.legend(
            [below, same, above],
            [f"below {base.name}", f"as {base.name}" + " (ideal)" * (gold is not None), f"above {base.name}"],
            loc="outside lower left",
            ncols=3,
        )
        return inline(drawing, title, f"per class {key or case.title}")


def time(case: Case, key: str = "") -> str | None:
    """Seconds of each method as a multiple of retraining's, as bars; None when no method's time is known."""
    timed = [(row, ratio) for row in case.methods if (ratio := finite(row.mean("seconds_ratio"))) and ratio > 0]
    if not timed:
        return None
    timed.sort(key=lambda each: each[1])
    ratios = [ratio for _, ratio in timed]
    wide = max(*ratios, 1.0) / min(*ratios, 1.0) > _WIDE_RANGE
    title = "Time to forget, as a multiple of retraining"
    with style():
        drawing = figure(NARROW, 1.5 + 0.3 * (len(timed) + 1))
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.grid(visible=False, axis="y")
        places = np.arange(1, len(timed) + 1)
        if wide:  # a bar on a logarithmic axis has no zero to start from: it starts at retraining
            axes.set_xscale("log")
            axes.set_xlim(min(ratios) / 1.6, max(*ratios, 1.0) * 6)
            axes.barh(places, np.array(ratios) - 1, left=1.0, height=0.56, color=SERIES[0], alpha=0.8)
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            axes.set_xlim(0, 1.5 * max(*ratios, 1.0))
            axes.barh(places, ratios, height=0.56, color=SERIES[0], alpha=0.8)
        axes.axvline(1.0, color=INK, linewidth=1.4)
        for place, ratio in zip(places, ratios, strict=True):
            axes.annotate(
                _times(ratio),
                (max(ratio, 1.0), place),
                (6, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=SMALL,
                color=INK,
                gid=HALO,
            )
        axes.annotate(
            "retraining = 1",
            (1.0, 0),
            (6, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=SMALL,
            fontweight="bold",
            color=INK,
        )
        axes.set_yticks([*places], [_titled(row) for row, _ in timed])
        axes.set_ylim(len(timed) + 0.6, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        scale = ", logarithmic" if wide else ""
        axes.set_xlabel(f"wall time ÷ retraining's{scale}; less is better, the ideal is 0")
        return inline(drawing, title, f"time {key or case.title}")


def _times(ratio: float) -> str:
    text = written(ratio, "ratio")
    if ratio >= 0.67:
        return text
    return f"{text}  ({1 / ratio:.0f} times as fast)" if ratio <= 0.1 else f"{text}  ({1 / ratio:.1f} times as fast)"


def _titled(row: Row) -> str:
    return printable(row.name, _NAME) + (" (target)" if row.role == "retrained" else "")


def _in_lines(name: str, room: int) -> str:
    """A name that is too long for one line in as many as it has parts.

    >>> _in_lines("item 3-9, user 10-29", 12), _in_lines("red, green", 12), _in_lines("a very long name", 12)
    ('item 3-9\\nuser 10-29', 'red, green', 'a very long…')
    """
    parts = [name] if len(name) <= room else name.split(", ")
    return "\n".join(printable(part, room) for part in parts)


def _score(row: Row, name: str) -> float | None:
    return None if row.curves is None else finite(row.curves.group_scores.get(name))


def _most_changed(names: Sequence[str], rows: Sequence[Row], base: Row) -> list[str]:
    """At most `_CLASSES` names, those with the largest distance to `base` in any row, in their first order."""
    if len(names) <= _CLASSES:
        return list(names)

    def change(name: str) -> float:
        ideal = _score(base, name)
        values = [value for row in rows if (value := _score(row, name)) is not None]
        return 0.0 if ideal is None else max((abs(value - ideal) for value in values), default=0.0)

    kept = set(sorted(names, key=change, reverse=True)[:_CLASSES])
    return [name for name in names if name in kept]


def _lost(case: Case, name: str) -> bool:
    original, gold = case.role("original"), case.role("retrained")
    if original is None or gold is None:
        return False
    before, after = _score(original, name), _score(gold, name)
    return before is not None and after is not None and abs(before - after) > _LOST * _measure(after, case)


def _measure(ideal: float | None, case: Case) -> float:
    """What differences are a multiple of: 1 for shares, for all other scores the target's own value."""
    return 1.0 if score_kind(case.score_name) == "percent" else abs(ideal or 0.0) or 1.0
