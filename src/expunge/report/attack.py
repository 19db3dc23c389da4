"""What an attacker sees: the ROC of the membership attack, and the losses that it works on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from expunge.report.canvas import HALO, MUTED, NARROW, SMALL, figure, head, inline, style
from expunge.report.evidence import Case, Curves
from expunge.report.measures import printable
from expunge.report.panels import NAME, Array, Panel, draw_panels, drawn, lines, shares

_LOWEST_RATE = 1e-3
_GRID = np.geomspace(_LOWEST_RATE, 1, 121)  # false positive rates at which a ROC is read; more cannot be seen
_READ_AT = 0.01  # the false positive rate of the table's "TPR at 1 % FPR"
_NATS = np.geomspace(1e-6, 10, 29)  # bins of losses in nats; what lies outside is put into the outermost
_DECADES = 7  # that an axis of other losses spans at most, as that of nats does
_REST = 0.005  # share of the losses that may lie below such an axis
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def membership_roc(case: Case, key: str = "") -> str | None:
    """True against false positive rate of the attack on each model, logarithmic; None when no model has a curve."""
    rows = [(row, roc) for row in drawn(case) if (roc := _roc(row.curves)) is not None]
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
        curves = []
        for (row, rate), look in zip(rows, lines([row for row, _ in rows]), strict=True):
            line = axes.step(_GRID, rate, where="post", clip_on=True, **look)[0]
            curves.append((_read(rate), line, printable(row.name, NAME) + " (ideal)" * (row.role == "retrained")))
        curves.sort(key=lambda each: -each[0])
        guess = Line2D([], [], color=MUTED, linewidth=1, linestyle=":")
        drawing.legend(
            [*(line for _, line, _ in curves), guess],
            [*(f"\u200a{name}" for *_, name in curves), "guessing"],
            loc="outside lower left",
            ncols=3,
            handlelength=2.4,
            columnspacing=1.4,
        )
        return inline(drawing, title, f"membership roc {key or case.title}")


def loss_histograms(case: Case, key: str = "") -> str | None:
    """Loss of forgotten and of unseen examples, a panel for each model; None when no model has both."""
    known = [(row, _losses(row.curves.forget_losses), _losses(row.curves.unseen_losses)) for row in drawn(case) if row.curves]
    rows = [(row, forget, unseen) for row, forget, unseen in known if len(forget) and len(unseen)]
    if not rows:
        return None
    title = "Losses of forgotten and of unseen examples: the ideal is that both have the same shape, as after retraining"
    edges = _edges(case, np.concatenate([losses for _, *both in rows for losses in both]))
    panels = [Panel(row, shares(forget, edges), shares(unseen, edges)) for row, forget, unseen in rows]
    with style():
        drawing = draw_panels(
            panels,
            edges,
            (title, "Losses of forgotten and of unseen examples"),
            f"loss of one example{f', {case.loss_unit}' if case.loss_unit else ''} (logarithmic)",
            ("forgotten", "unseen, of the same kind"),
            lambda axes: _decades(axes, edges),
        )
        return inline(drawing, title, f"loss histograms {key or case.title}")


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


def _losses(values: Sequence[float]) -> Array:
    """All but NaN; infinite losses stay, and end in the last bin."""
    losses = np.asarray(values, dtype=float)
    return losses[~np.isnan(losses)]


def _edges(case: Case, losses: Array) -> Array:
    """The bins: those of nats are the same in every report, those of any other loss hold the whole data."""
    known = losses[np.isfinite(losses) & (losses > 0)]
    if case.loss_unit == "nats" or len(known) == 0:
        return _NATS
    low, high = np.floor(np.log10(np.quantile(known, _REST))), np.ceil(np.log10(known.max()))
    return np.logspace(max(low, high - _DECADES), max(high, low + 1), len(_NATS))


def _decades(axes: Axes, edges: Array) -> None:
    """A logarithmic axis whose first tick is for all that is smaller as well."""
    first, last = (round(float(np.log10(end))) for end in (edges[0], edges[-1]))
    powers = range(first, last + 1, -(-(last - first) // 4))
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([10.0**power for power in powers], ["≤ " * (power == first) + _power(power) for power in powers])


def _power(power: int) -> str:
    """
    >>> _power(-6), _power(-2), _power(3)
    ('10⁻⁶', '0.01', '1,000')
    """
    return f"{10.0**power:,g}" if -3 < power < 4 else "10" + str(power).translate(_RAISED)
