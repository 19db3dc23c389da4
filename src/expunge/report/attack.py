"""What an attacker sees: the ROC of the membership attack, and the losses that it works on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from expunge.report.canvas import (
    DASHES,
    HALO,
    INK,
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
from expunge.report.evidence import Case, Curves, Row
from expunge.report.measures import printable

Array = NDArray[np.float64]

_NAME = 20
_LOWEST_RATE = 1e-3
_GRID = np.geomspace(_LOWEST_RATE, 1, 121)  # false positive rates at which a ROC is read; more cannot be seen
_READ_AT = 0.01  # the false positive rate of the table's "TPR at 1 % FPR"
_EDGES = np.geomspace(1e-6, 10, 29)  # bins of the losses; what lies outside is put into the outermost
_COLUMNS = 6
_FIRST = ("original", "retrained", "noise floor")


def membership_roc(case: Case, key: str = "") -> str | None:
    """True against false positive rate of the attack on each model, logarithmic; None when no model has a curve."""
    rows = [(row, roc) for row in _drawn(case) if (roc := _roc(row.curves)) is not None]
    if not rows:
        return None
    title = "Membership attack: forgotten examples found"
    with style():
        drawing = figure(NARROW, 5.0)
        head(drawing, title)
        axes = drawing.add_subplot()
        axes.set(xscale="log", yscale="log", xlim=(_LOWEST_RATE, 1), ylim=(_LOWEST_RATE, 1.15))
        axes.set_xlabel("false positive rate (unseen taken for forgotten)")
        axes.set_ylabel("true positive rate")
        axes.plot([_LOWEST_RATE, 1], [_LOWEST_RATE, 1], color=MUTED, linewidth=1, linestyle=":", zorder=2)
        axes.axvline(_READ_AT, color=MUTED, linewidth=0.7, zorder=1)
        axes.text(
            _READ_AT * 1.08,
            _LOWEST_RATE * 1.25,
            "1 %, as in the table",
            fontsize=SMALL,
            color=MUTED,
            ha="left",
            va="bottom",
            gid=HALO,
            zorder=6,
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=6))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        drawn = []
        for index, (row, rate) in enumerate(rows):
            line = axes.step(_GRID, rate, where="post", clip_on=True, **_line(row, index - _others(rows)))[0]
            drawn.append((_read(rate), line, printable(row.name, _NAME) + " (ideal)" * (row.role == "retrained")))
        drawn.sort(key=lambda each: -each[0])
        guess = Line2D([], [], color=MUTED, linewidth=1, linestyle=":")
        drawing.legend(
            [*(line for _, line, _ in drawn), guess],
            [*(f"\u200a{name}" for *_, name in drawn), "guessing"],
            loc="outside lower left",
            ncols=3,
            handlelength=2.4,
            columnspacing=1.4,
        )
        return inline(drawing, title, f"membership roc {key or case.title}")


def loss_histograms(case: Case, key: str = "") -> str | None:
    """Loss of forgotten and of unseen examples, a panel for each model; None when no model has both."""
    rows = [
        row
        for row in _drawn(case)
        if row.curves and len(_losses(row.curves.forget_losses)) and len(_losses(row.curves.unseen_losses))
    ]
    if not rows:
        return None
    title = "Losses of forgotten and of unseen examples: the ideal is that both have the same shape, as after retraining"
    lines = -(-len(rows) // _COLUMNS)
    columns = max(-(-len(rows) // lines), 2)  # as even as they go
    with style():
        drawing = figure(WIDE if columns > 2 else NARROW, 1.0 + 1.75 * lines)
        head(drawing, title if columns > 2 else "Losses of forgotten and of unseen examples")
        panels = drawing.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat
        for panel, row in zip(panels, rows, strict=False):
            assert row.curves is not None
            forget, unseen = (_shares(losses) for losses in (row.curves.forget_losses, row.curves.unseen_losses))
            panel.stairs(forget, _EDGES, fill=True, color=SERIES[1], alpha=0.55, linewidth=0)
            panel.stairs(unseen, _EDGES, color=INK, linewidth=1.2)
            target = row.role == "retrained"
            name = printable(row.name, _NAME) + (" (target)" if target else "")
            panel.set_title(name, fontsize=NORMAL, loc="left", fontweight="bold" if target else "normal", color=INK)
            panel.set(xscale="log", xlim=(_EDGES[0], _EDGES[-1]))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks([1e-6, 1e-4, 1e-2, 1], ["≤ 10⁻⁶", "10⁻⁴", "0.01", "1"])
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}"))
            panel.tick_params(labelbottom=True)
        for panel in drawing.axes[len(rows) :]:
            panel.remove()
        drawing.supxlabel("loss of one example, nats (logarithmic)", fontsize=NORMAL)
        drawing.supylabel("share of the examples, %", fontsize=NORMAL)
        handles = [Line2D([], [], color=SERIES[1], linewidth=8, alpha=0.55), Line2D([], [], color=INK, linewidth=1.2)]
        drawing.legend(handles, ["forgotten", "unseen, of the same kind"], loc="outside lower left", ncols=2)
        return inline(drawing, title, f"loss histograms {key or case.title}")


def _drawn(case: Case) -> list[Row]:
    """Rows with curves, the references first."""
    order = {role: index for index, role in enumerate(_FIRST)}
    return sorted((row for row in case.rows if row.curves is not None), key=lambda row: order.get(row.role, len(order)))


def _roc(curves: Curves | None) -> Array | None:
    """The true positive rate that is reached without exceeding each false positive rate of the grid."""
    if curves is None or curves.roc is None:
        return None
    false, true = (np.asarray(rates, dtype=float) for rates in curves.roc)
    if len(false) == 0 or len(false) != len(true) or not np.isfinite([false, true]).all():
        return None
    order = np.argsort(false, kind="stable")
    reached = np.maximum.accumulate(true[order])
    position = np.searchsorted(false[order], _GRID * (1 + 1e-12), side="right") - 1
    rate = np.where(position >= 0, reached[np.maximum(position, 0)], 0.0)
    return np.maximum(rate, _LOWEST_RATE / 2)  # nothing found lies below the axis


def _read(rate: Array) -> float:
    return float(rate[np.searchsorted(_GRID, _READ_AT * (1 + 1e-9), side="right") - 1])


def _others(rows: Sequence[tuple[Row, Array]]) -> int:
    return sum(row.role in _FIRST for row, _ in rows)


def _line(row: Row, index: int) -> dict[str, Any]:
    """Colour and dashes: the references in ink and orange, strong; the methods by turns in the other colours."""
    if row.role == "original":
        return {"color": SERIES[1], "linewidth": 2.2, "zorder": 4}
    if row.role in _FIRST:
        return {
            "color": INK,
            "linewidth": 2.2 if row.role == "retrained" else 1.2,
            "zorder": 5,
            "linestyle": "-" if row.role == "retrained" else "--",
        }
    colors = [color for color in SERIES if color != SERIES[1]]
    return {
        "color": colors[index % len(colors)],
        "linewidth": 1.4,
        "zorder": 3,
        "linestyle": DASHES[index // len(colors) % len(DASHES)],
    }


def _losses(values: Sequence[float]) -> Array:
    """All but NaN; infinite losses stay, and end in the last bin."""
    losses = np.asarray(values, dtype=float)
    return losses[~np.isnan(losses)]


def _shares(values: Sequence[float]) -> Array:
    losses = np.clip(_losses(values), _EDGES[0], _EDGES[-1])
    return np.histogram(losses, _EDGES)[0] / len(losses)
