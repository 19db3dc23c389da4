"""What a valuation found, as its files, its page and the terminal tell it; and the sentences that say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.valuation.evaluation import SHARES, Curves
from expunge.valuation.points import Array
from expunge.valuation.values import Values

_HALF = len(SHARES) - 1 - SHARES.index(0.5)  # the place of a half, as rows come
_NOTHING = 1e-12  # what is left of 0 after sums in floating point
_MORE = 2  # decimals, where a difference is small
_SHOWN = 0.1  # share by which a difference may be shown wrong
_METRICS = {
    "accuracy": "accuracy",
    "log-loss": "mean log-probability of the right class",
    "probability": "probability of the right class",
    "r2": "R²",
}
PERCENT = ("accuracy", "probability")


@dataclass(frozen=True)
class Loss:
    """What a request takes away.

    Args:
        named: rows that it names.
        rows: those of them that have a value.
        value: the sum of theirs.
        share: of the sum of all values; None where that is not above 0.
        before: utility of all rows.
        after: utility without these.
    """

    named: int
    rows: Array
    value: float
    share: float | None
    before: float
    after: float

    @property
    def apart(self) -> int:
        """Rows that are held out or that models are judged on: nothing was trained on them, and they have no value."""
        return self.named - len(self.rows)


@dataclass(frozen=True)
class Basis:
    """What values of a method rest on, as :class:`~expunge.valuation.ValuationMethod` says.

    Args:
        model: whether the model plays a part, and the metric where the validation rows do too.
        validation: whether the validation rows do.
        zero: whether a value below 0 says that a row did harm.
    """

    model: bool = True
    validation: bool = True
    zero: bool = True

    @property
    def utility(self) -> bool:
        """Whether values follow from how good models are on the validation rows."""
        return self.model and self.validation


@dataclass(frozen=True)
class Valued:
    """A valuation, and what it is judged by.

    Args:
        data: what the data is called.
        values: of n rows.
        about: of the method, a sentence and what is to be known of where its formulas come from.
        settings: of the method, by name.
        metric: the name of a metric.
        model: what was trained.
        seed: of all that was drawn.
        rows: what the rows are called, shape (n,), whole numbers.
        labels: the class or the target of each row, shape (n,), texts.
        target: what the target is called.
        classes: how many there are; 0 where targets are numbers.
        columns: what else is known of the rows, each of shape (n,).
        images: shape (n, 1 or 3, h, w), where rows are images.
        validation: rows that the utility is judged on.
        holdout: rows that the curves are judged on.
        full: utility of all rows.
        empty: utility of none.
        curves: on held-out rows.
        chance: the same for random orders, utility of the first to come, shape (orders, shares).
        clusters: one mapping for each cluster.
        request: what a request takes away, where there is one.
        resumed: whether utilities of a run before were kept.
        notes: what a reader should know of the data.
        command: that makes it again.
        machine: where it ran.
        basis: what values rest on.
        jobs: processes that were asked for.
    """

    data: str
    values: Values
    about: str
    settings: Mapping[str, Any]
    metric: str
    model: str
    seed: int
    rows: Array
    labels: Array
    target: str
    classes: int
    columns: Mapping[str, Array]
    images: Array | None
    validation: int
    holdout: int
    full: float
    empty: float
    curves: Curves
    chance: Array
    clusters: tuple[Mapping[str, Any], ...] = ()
    request: Loss | None = None
    resumed: bool = False
    notes: tuple[str, ...] = ()
    command: str = ""
    machine: Mapping[str, Any] | None = None
    basis: Basis = Basis()
    jobs: int | None = None

    @property
    def ranks(self) -> Array:
        """The place of each row, 1 being the most valuable; of equal ones the last in the data comes first."""
        ranks = np.empty(len(self.rows), dtype=np.int64)
        ranks[self.values.order()[::-1]] = np.arange(1, len(self.rows) + 1)
        return ranks

    @property
    def metric_words(self) -> str:
        """The metric for people."""
        return _METRICS[self.metric]


def written(value: float, metric: str, more: int = 0) -> str:
    """A utility for people, with more decimals than usual where asked.

    >>> written(0.9214, "accuracy"), written(-0.31, "log-loss"), written(0.9214, "accuracy", 2)
    ('92.1 %', '−0.310', '92.140 %')
    """
    text = f"{100 * value:.{1 + more}f} %" if metric in PERCENT else f"{value:.{3 + more}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def written_apart(before: float, after: float, metric: str) -> tuple[str, str]:
    """Two utilities, with as many decimals as show their difference to a tenth of it, and at most two more than usual.

    >>> written_apart(0.9, 0.85, "accuracy"), written_apart(0.78571, 0.78528, "accuracy")
    (('90.0 %', '85.0 %'), ('78.57 %', '78.53 %'))
    """
    scale = 100.0 if metric in PERCENT else 1.0
    first, difference = (1 if metric in PERCENT else 3), scale * (before - after)
    more = 0
    while more < _MORE:
        shown = round(scale * before, first + more) - round(scale * after, first + more)
        if abs(shown - difference) <= _SHOWN * abs(difference):
            break
        more += 1
    return written(before, metric, more), written(after, metric, more)


def number(value: float) -> str:
    """A value of a row, to three digits.

    >>> number(-0.00012), number(0.0), number(12.0), number(310.0)
    ('−0.000120', '0', '12.0', '310')
    """
    return (f"{value:#.3g}".rstrip(".") if abs(value) > _NOTHING else "0").replace("-", "\N{MINUS SIGN}")


def finding(valued: Valued) -> str:
    """What the best and the worst half of the rows are worth by themselves, in one sentence."""

    def said(value: float) -> str:
        return written(value, valued.metric)

    curves = valued.curves
    return (
        f"Trained on the most valuable half of the rows, the model's {valued.metric_words} on unseen rows is "
        f"{said(curves.addition_high[_HALF])}; on the least valuable half it is {said(curves.addition_low[_HALF])}, on a "
        f"random half {said(float(valued.chance[:, _HALF].mean()))}, and on all rows {said(curves.addition_high[-1])}."
    )


def doubts(valued: Valued) -> list[str]:
    """Why these values may say little, if so: over a whole curve, their order should do what no random one does."""
    chance = valued.chance.mean(1)
    found = []
    if valued.curves.removal_high.mean() >= chance.min():
        found.append("Taking away the most valuable rows first does no more harm than some random order does.")
    if valued.curves.removal_low.mean() <= chance.max():
        found.append("Taking away the least valuable rows first does no less harm than some random order does.")
    if valued.full <= valued.empty:
        rest = ": there is nothing to share out" if valued.basis.utility else ""
        found.append(f"A model of all rows is no better than one that knows nothing{rest}.")
    if alone := int(valued.values.facts.get("classes_of_one_cluster", 0)):
        found.append(_one_cluster(alone))
    return found


def _one_cluster(classes: int) -> str:
    if classes == 1:
        return "1 class is one cluster: its value is what the whole class is worth."
    return f"{classes:,} classes are one cluster each: the value of such a cluster is what the whole class is worth."


def loss_words(loss: Loss, valued: Valued) -> str:
    """What a request takes away, in plain words."""
    count = len(loss.rows)
    them = "this row" if count == 1 else f"these {count:,} rows"
    share = "" if loss.share is None else f", {number(100 * loss.share)} % of the value of all {len(valued.rows):,}"
    lost = loss.before - loss.after
    before, after = written_apart(loss.before, loss.after, valued.metric)
    moved = f"{'falls' if lost > 0 else 'rises'} from {before} to {after}"
    change = "stays as it is" if not lost else f"stays at {after}" if before == after else moved
    words = (
        f"Deleting {them} takes away a value of {number(loss.value)}{share}. Trained without {'it' if count == 1 else 'them'}, "
        f"the model's {valued.metric_words} on the validation rows {change}."
    )
    if loss.apart:
        words += (
            f" {loss.apart:,} more of the {loss.named:,} rows named {'has' if loss.apart == 1 else 'have'} no value: no model "
            "was trained on what is held out or judged on."
        )
    return words + " Nothing has been deleted."
