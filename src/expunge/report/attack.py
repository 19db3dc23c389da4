"""What an attacker sees: the ROC of the membership attack, and the losses that it works on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from expunge.report.canvas import HALO, MUTED, NARROW, SMALL, figure, head, inline, style
from expunge.report.evidence import Case, Curves
from expunge.report.panels import Array, Panel, draw_panels, drawn, lines, name_lines, shares

_LOWEST_RATE = 1e-3
_GRID = np.geomspace(_LOWEST_RATE, 1, 121)  # false positive rates at which a ROC is read; more cannot be seen
_READ_AT = 0.01  # the false positive rate of the table's "TPR at 1 % FPR"
_NATS = np.geomspace(1e-6, 10, 29)  # bins of losses in nats; what lies outside is put into the outermost
_DECADES = 7  # that an axis of other losses spans at most, as that of nats does
_REST = 0.005  # share of the losses that may lie below such an axis
_BINS = 8, 20  # of an axis that one model has to itself: at least and at most,
_REACH = 0.01  # share of the losses that lies beyond each of its ends at least,
_FENCE = 3.0  # how far an end lies beyond the quartiles at most, as a multiple of their distance (Tukey's "far out"),
_LEAST = 1.001  # and how far apart the ends are at least, as a ratio
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
        looks, curves = lines(case, all_named=False), []
        for row, rate in rows:
            line = axes.step(_GRID, rate, where="post", clip_on=True, **looks[row.name])[0]
            curves.append((-_read(rate), row, line, " (ideal)" * (row.role == "retrained")))
        guess = Line2D([], [], color=MUTED, linewidth=1, linestyle=":")
        name_lines(drawing, curves, ("guessing", guess))
        return inline(drawing, title, f"membership roc {key or case.title}")


def loss_histograms(case: Case, key: str = "") -> str | None:
    """Loss of forgotten and of unseen examples, a panel for each model; None when no model has both.

    All panels have the same bins, unless the target would fill but one of them: then each has bins of its own.
    """
    known = [(row, _losses(row.curves.forget_losses), _losses(row.curves.unseen_losses)) for row in drawn(case) if row.curves]
    rows = [(row, forget, unseen) for row, forget, unseen in known if len(forget) and len(unseen)]
    if not rows:
        return None
    title = "Losses of forgotten and of unseen examples: the ideal is that both have the same shape, as after retraining"
    both = [np.concatenate([forget, unseen]) for _, forget, unseen in rows]
    common = _edges(case, np.concatenate(both))
    own = any(row.role == "retrained" and _one_bin(losses, common) for (row, *_), losses in zip(rows, both, strict=True))
    bins = [_fitted(forget, unseen) if own else common for _, forget, unseen in rows]
    panels = [
        Panel(row, shares(forget, edges), shares(unseen, edges), edges)
        for (row, forget, unseen), edges in zip(rows, bins, strict=True)
    ]
    scale = "logarithmic" + "; each panel has a range of its own" * own
    with style():
        drawing = draw_panels(
            panels,
            (title, "Losses of forgotten and of unseen examples"),
            f"loss of one example{f', {case.loss_unit}' if case.loss_unit else ''} ({scale})",
            ("forgotten", "unseen, of the same kind"),
            _fractions if own else _decades,
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


def _one_bin(losses: Array, edges: Array) -> bool:
    """Whether the middle nine tenths of the losses span no more than a bin does."""
    low, high = np.quantile(losses, (0.05, 0.95), method="nearest")
    return bool(low > 0 and high < low * edges[1] / edges[0])


def _fitted(*sets: Array) -> Array:
    """Bins over the bulk of the losses of one model; what is farther away is left to the outermost."""
    known = [np.log(losses[np.isfinite(losses) & (losses > 0)]) for losses in sets]
    ends = [end for logs in known if len(logs) for end in _bulk(logs)] or [*np.log(_NATS)]
    low, high = np.exp(min(ends)), np.exp(max(ends))
    bins = int(np.clip(2 * min(len(losses) for losses in sets) ** 0.5, *_BINS))
    return np.geomspace(low, max(high, low * _LEAST), bins + 1)


def _bulk(values: Array) -> tuple[float, float]:
    """Where the middle 98 % lie, or less where some are far out."""
    first, low, high, last = np.quantile(values, (_REACH, 0.25, 0.75, 1 - _REACH))
    beyond = _FENCE * (high - low)
    return max(first, low - beyond), min(last, high + beyond)


def _fractions(axes: Axes, edges: Array) -> None:
    """A logarithmic axis of any span, with three ticks of as few digits as tell them apart."""
    places = np.geomspace(edges[0], edges[-1], 9)[1::3]
    ticks = next(
        found for digits in range(2, 9) if len(found := {float(f"{place:.{digits}g}") for place in places}) == len(places)
    )
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted(ticks), [f"{tick:.6g}" for tick in sorted(ticks)])


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
