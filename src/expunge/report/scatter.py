"""Forgetting against keeping: every model as a point, with the box around the retrained one that a method must hit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from expunge.report.canvas import BAD, GOOD, INK, MUTED, NARROW, SERIES, figure, head, inline, style
from expunge.report.evidence import Case, Row
from expunge.report.labels import HALF_MARKER, Box, Label, place
from expunge.report.measures import (
    Kind,
    drawings_judged,
    facts_asked,
    finite,
    implanted,
    lists_judged,
    printable,
    score_kind,
    score_words,
    unit_of,
)
from expunge.report.rules import rules
from expunge.report.verdict import limits, state

_HEIGHT = 4.5
_NAME = 22  # characters of a name that a label has room for
_NEAREST, _FARTHEST = 1.35, 3.0  # half the side of the close-up, in tolerances: at least, and to include a point
_MARGIN = 0.12  # of the span of the points, on each side
_MARKS: dict[str, dict[str, Any]] = {
    "original": {"marker": "s", "color": SERIES[4], "markersize": 8},
    "retrained": {"marker": "*", "color": INK, "markersize": 14},
    "noise floor": {"marker": "*", "color": INK, "markersize": 13, "fillstyle": "none"},
    "matches": {"marker": "o", "color": SERIES[0], "markersize": 7},
    "differs": {"marker": "X", "color": BAD, "markersize": 7},
    "not proven": {"marker": "o", "color": MUTED, "markersize": 7, "fillstyle": "none"},
}
_LEGEND = {
    "original": "original",
    "retrained": "retrained (target)",
    "noise floor": "retrained again",
    "matches": "method that matches",
    "differs": "method that differs",
    "not proven": "method, not proven",
}


@dataclass(frozen=True)
class _Point:
    row: Row
    mark: str
    x: float
    y: float
    x_std: float
    y_std: float


@dataclass(frozen=True)
class _Axis:
    metric: str
    label: str
    kind: Kind
    of: str


def axes_of(case: Case) -> tuple[_Axis, _Axis]:
    """What says how much is still known, and what was kept: scores; of links, which have no score of their own, two AUCs.

    Of recommendations it is recall, or what is told of features where those went and no pair did.
    """
    if any("link_auc" in row.values for row in case.rows):
        return (
            _Axis("membership_auc", "AUC of the membership attack", "number", "AUC"),
            _Axis("link_auc", "AUC of unseen edges against pairs without one", "number", "AUC"),
        )
    if lists_judged(case):
        pairs_went = any("forget_recall" in row.values for row in case.rows)
        return (
            _Axis("forget_recall", "recall of what was forgotten", "number", "recall")
            if pairs_went
            else _Axis("feature_cosine", "cosine of what is told of removed features", "number", "cosine"),
            _Axis("recall", "recall of held-out pairs", "number", "recall"),
        )
    words, kind = score_words(case.score_name), score_kind(case.score_name)
    if implanted(case):
        return (
            _Axis("backdoor", "unseen inputs on which the backdoor opens", "percent", "backdoor"),
            _Axis(f"holdout_{case.score_name}", f"{words} on unseen data", kind, words),
        )
    if facts_asked(case):
        return (
            _Axis("relearned_others", "what comes back by training on other facts that went", "percent", "comes back"),
            _Axis("facts_same_subject", "answered on the same subjects", "percent", "same subject"),
        )
    if drawings_judged(case):
        return (
            _Axis("recovery_area", "area under the curve of recovery", "number", "recovery"),
            _Axis("others_drawn", "images of what stays that show it", "percent", "what stays"),
        )
    if any("right_after" in row.values for row in case.rows):
        return (
            _Axis("right_after", f"{words} on tasks that went, right after", kind, words),
            _Axis(f"holdout_{case.score_name}", f"{words} on unseen data of those that stay", kind, words),
        )
    return (
        _Axis(f"forget_{case.score_name}", f"{words} on forgotten data", kind, words),
        _Axis(f"holdout_{case.score_name}", f"{words} on unseen data", kind, words),
    )


def forget_against_retain(case: Case, key: str = "") -> str | None:
    """Score on forgotten data (x) against score on unseen data (y), all models; None when fewer than two have both.

    Points that `near_the_target` shows enlarged are named there, not here.
    """
    points = _points(case)
    if len(points) < 2:
        return None
    title = f"Forgetting against keeping: {axes_of(case)[1].of} of each model"
    with style():
        drawing, axes = _canvas(case, title)
        box = _box(axes, case)
        corners = [] if box is None else [box.get_xy(), box.get_corners()[2]]
        axes.set(
            xlim=_span([point.x for point in points] + [x for x, _ in corners]),
            ylim=_span([point.y for point in points] + [y for _, y in corners]),
        )
        window = _window(case, points)
        close = [point for point in points if window is not None and _within(point, window)]
        if window is not None:
            low_x, high_x, low_y, high_y = window
            axes.add_patch(
                Rectangle(
                    (low_x, low_y),
                    high_x - low_x,
                    high_y - low_y,
                    fill=False,
                    edgecolor=MUTED,
                    linewidth=0.8,
                    linestyle=":",
                )
            )
        obstacles = _draw(axes, points) + _markers(axes, close)
        labels = [_label(point) for point in points if point not in close]
        if window is not None:
            gold = next(point for point in close if point.row.role == "retrained")
            rest = len(close) - 1
            text = f"{_label(gold).text} + {rest} more: see the close up"
            labels.append(Label(gold.x, gold.y, text, INK, bold=True, reach=(window[1] - gold.x, window[3] - gold.y)))
        place(axes, labels, obstacles)
        _legend(drawing, axes, points, box)
        return inline(drawing, title, f"forget against retain {key or case.title}")


def near_the_target(case: Case, key: str = "") -> str | None:
    """The neighbourhood of the retrained model from `forget_against_retain`; None when no other model is there."""
    points = _points(case)
    window = _window(case, points)
    if window is None:
        return None
    close = [point for point in points if _within(point, window)]
    title = "Close up: the models near the retrained one"
    with style():
        drawing, axes = _canvas(case, title)
        axes.set(xlim=window[:2], ylim=window[2:])
        box = _box(axes, case)
        obstacles = _draw(axes, close)
        place(axes, [_label(point) for point in close], obstacles)
        _legend(drawing, axes, close, box)
        return inline(drawing, title, f"near the target {key or case.title}")


def _points(case: Case) -> list[_Point]:
    found = []
    across, up = axes_of(case)
    for row in case.rows:
        forget, keep = row.values.get(across.metric), row.values.get(up.metric)
        if forget is None or keep is None:
            continue
        x, y = finite(forget.mean), finite(keep.mean)
        if x is not None and y is not None:
            mark = state(row, case) if row.role == "method" else row.role
            found.append(_Point(row, mark, x, y, *(value.std if value.n > 1 else 0.0 for value in (forget, keep))))
    return found


def _window(case: Case, points: Sequence[_Point]) -> tuple[float, float, float, float] | None:
    """Left, right, bottom and top of the close-up; None without a target or a tolerance, or with nothing near it."""
    gold = next((point for point in points if point.row.role == "retrained"), None)
    judged = limits(case)
    forget, keep = (judged.get(axis.metric) for axis in axes_of(case))
    if gold is None or forget is None or keep is None:
        return None
    x, y = _FARTHEST * forget, _FARTHEST * keep
    close = [point for point in points if abs(point.x - gold.x) <= x and abs(point.y - gold.y) <= y]
    if len(close) < 2:
        return None
    half_x = max(_NEAREST * forget, *(1.15 * (abs(point.x - gold.x) + point.x_std) for point in close))
    half_y = max(_NEAREST * keep, *(1.15 * (abs(point.y - gold.y) + point.y_std) for point in close))
    return gold.x - half_x, gold.x + half_x, gold.y - half_y, gold.y + half_y


def _within(point: _Point, window: tuple[float, float, float, float]) -> bool:
    return window[0] <= point.x <= window[1] and window[2] <= point.y <= window[3]


def _canvas(case: Case, title: str) -> tuple[Figure, Axes]:
    drawing = figure(NARROW, _HEIGHT)
    head(drawing, title)
    axes = drawing.add_subplot()
    for drawn, axis in zip((axes.xaxis, axes.yaxis), axes_of(case), strict=True):
        unit = unit_of(axis.kind, case.unit)
        drawn.set_label_text(axis.label + (f", {unit}" if unit else ""))
        drawn.set_major_formatter(_percent if axis.kind == "percent" else _plain)
    return drawing, axes


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.4g}".replace("-", "\N{MINUS SIGN}")


def _plain(value: float, _: object) -> str:
    return f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")


def _box(axes: Axes, case: Case) -> Rectangle | None:
    """The tolerances around the retrained model, drawn."""
    gold, judged = case.role("retrained"), limits(case)
    names = [axis.metric for axis in axes_of(case)]
    if gold is None or any(name not in judged for name in names):
        return None
    (x, y), (half_x, half_y) = (gold.mean(name) or 0.0 for name in names), (judged[name] for name in names)
    top = half_y
    if not rules(case)[names[1]].above:  # where more is no fault the box reaches as high as any model
        top = max([half_y, *(value - y for row in case.rows if (value := finite(row.mean(names[1]))) is not None)])
    box = Rectangle((x - half_x, y - half_y), 2 * half_x, half_y + top, facecolor=GOOD, edgecolor="none", alpha=0.16, zorder=1)
    axes.add_patch(box)
    axes.add_patch(
        Rectangle(
            (x - half_x, y - half_y),
            2 * half_x,
            half_y + top,
            fill=False,
            edgecolor=GOOD,
            linewidth=1,
            linestyle="--",
            zorder=1,
        )
    )
    return box


def _draw(axes: Axes, points: Sequence[_Point]) -> list[Box]:
    """Markers and error bars; returns what the bars cover, in pixels."""
    covered: list[Box] = []
    for point in sorted(points, key=lambda point: point.row.role == "retrained"):
        mark = _MARKS[point.mark]
        axes.errorbar(
            point.x,
            point.y,
            xerr=point.x_std or None,
            yerr=point.y_std or None,
            ecolor=MUTED,
            elinewidth=0.8,
            capsize=0,
            zorder=4,
            markeredgewidth=1.1 if "fillstyle" in mark else 0.0,
            **mark,
        )
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    for point in points:
        for x, y in ((point.x_std, 0.0), (0.0, point.y_std)):
            if x or y:
                low = axes.transData.transform((point.x - x, point.y - y))
                high = axes.transData.transform((point.x + x, point.y + y))
                covered.append((low[0] - 1, low[1] - 1, high[0] + 1, high[1] + 1))
    return covered


def _markers(axes: Axes, points: Sequence[_Point]) -> list[Box]:
    places = [axes.transData.transform((point.x, point.y)) for point in points]
    return [(x - HALF_MARKER, y - HALF_MARKER, x + HALF_MARKER, y + HALF_MARKER) for x, y in places]


def _label(point: _Point) -> Label:
    color = INK if point.row.role != "method" else (_MARKS[point.mark]["color"])
    return Label(point.x, point.y, printable(point.row.name, _NAME), color, bold=point.row.role == "retrained")


def _legend(drawing: Figure, axes: Axes, points: Sequence[_Point], box: Rectangle | None) -> None:
    marks = [mark for mark in _MARKS if any(point.mark == mark for point in points)]
    handles: list[Any] = [
        axes.plot([], [], linestyle="none", **(_MARKS[mark] | {"markersize": min(_MARKS[mark]["markersize"], 9)}))[0]
        for mark in marks
    ]
    names = [_LEGEND[mark] for mark in marks]
    if box is not None:
        handles.append(box)
        names.append("within tolerance (ideal)")
    drawing.legend(handles, names, loc="outside lower left", ncols=3, handletextpad=0.4, columnspacing=1.4)


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 0.05
    return low - margin, high + margin
