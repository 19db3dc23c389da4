"""How figures are written for people: the order of metrics, their short names, their units and their decimals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from expunge.report.evidence import Case, Value

Kind = Literal["percent", "points", "number", "index", "count", "seconds", "ratio"]

# What a reader needs first, from left to right: heading over several columns, short name, how it is written.
MAIN: dict[str, tuple[str, str, Kind]] = {
    "forget_{score}": ("{score}{in %} on data that was", "forgotten", "percent"),
    "holdout_forget_{score}": ("{score}{in %} on data that was", "unseen, like it", "percent"),
    "retain_{score}": ("{score}{in %} on data that was", "kept", "percent"),
    "holdout_{score}": ("{score}{in %} on data that was", "unseen", "percent"),
    "tow": ("", "ToW", "number"),
    "membership_auc": ("membership attack", "AUC", "number"),
    "membership_tpr": ("membership attack", "TPR at 1 % FPR", "percent"),
    "zrf": ("", "ZRF", "number"),
    "relearn_steps": ("relearning", "steps", "count"),
    "anamnesis_index": ("relearning", "AIN", "index"),
    "forget_kl": ("", "forget KL, nats", "number"),
    "seconds_ratio": ("", "time", "ratio"),
}
_OTHER: dict[str, tuple[str, Kind]] = {
    "forget_{score}_gap": ("gap, forgotten", "points"),
    "holdout_forget_{score}_gap": ("gap, unseen like it", "points"),
    "retain_{score}_gap": ("gap, kept", "points"),
    "holdout_{score}_gap": ("gap, unseen", "points"),
    "membership_accuracy": ("attack accuracy", "percent"),
    "holdout_kl": ("unseen KL, nats", "number"),
    "forget_activation_distance": ("activation distance, forgotten", "number"),
    "holdout_activation_distance": ("activation distance, unseen", "number"),
    "seconds": ("time, seconds", "seconds"),
}
_SHARES = {"accuracy"}  # scores between 0 and 1 that are read as percent; the unit of any other is unknown


@dataclass(frozen=True)
class Column:
    """One metric as a column: its heading, its short name with the unit, and how its values are written."""

    metric: str
    group: str
    label: str
    kind: Kind

    def write(self, value: float | None) -> str:
        """The value without its unit, which stands in the label."""
        return written(value, self.kind)


def main_columns(case: Case) -> list[Column]:
    """The most important metrics that at least one model has, in reading order."""
    columns = []
    for pattern, (group, label, kind) in MAIN.items():
        kind = _kind(kind, pattern, case)
        if _measured(metric := pattern.format(score=case.score_name), case):
            unit = " in %" if kind == "percent" else ""
            label = label if "{in %}" in group else _with_unit(label, kind)
            group = group.replace("{in %}", unit).format(score=case.score_name)
            columns.append(Column(metric, group, label, kind))
    return columns


def other_columns(case: Case) -> list[Column]:
    """All metrics that `main_columns` leaves out: known ones first, foreign ones in the order they came."""
    shown = {pattern.format(score=case.score_name) for pattern in MAIN}
    known = {pattern.format(score=case.score_name): (*each, pattern) for pattern, each in _OTHER.items()}
    found = dict.fromkeys(metric for row in case.rows for metric in row.values)
    columns = []
    for metric in [*(name for name in known if name in found), *(name for name in found if name not in known)]:
        if metric in shown:
            continue
        label, kind, pattern = known.get(metric, (metric.replace("_", " "), "number", ""))
        kind = _kind(kind, pattern, case)
        columns.append(Column(metric, "", _with_unit(label, kind), kind))
    return columns


def written(value: float | None, kind: Kind = "number") -> str:
    """A value as text, without its unit.

    >>> written(0.9128, "percent"), written(0.5128), written(12.0, "count"), written(0.00004)
    ('91.3', '0.513', '12', '4e-05')
    >>> written(None), written(float("nan"))
    ('not defined', 'not a number')
    """
    if value is None:
        return "not defined"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    if kind in ("percent", "points"):
        return _without_minus_zero(f"{100 * value:.1f}")
    if kind == "count":
        return f"{value:.0f}" if value == round(value) else f"{value:.1f}"
    size = abs(value)
    if 0 < size < 0.0005:
        return f"{value:.0e}"
    if kind in ("seconds", "index") or (kind == "ratio" and size >= 0.0995):
        return f"{value:.2f}" if size < 10 else f"{value:.1f}"
    return _without_minus_zero(f"{value:.3f}" if size < 100 else f"{value:.1f}")


def with_unit(value: float | None, kind: Kind) -> str:
    """A value as text with its unit, for a sentence."""
    unit = {"percent": " %", "points": " points"}.get(kind, "") if finite(value) is not None else ""
    return written(value, kind) + unit


def spread(value: Value, kind: Kind) -> str:
    """The standard deviation with as many decimals as the mean, `± 0.4`; empty where there was one seed."""
    if finite(value.mean) is None or value.n < 2 or finite(value.std) is None:
        return ""
    text = written(value.mean, kind)
    if "e" in text:
        return f"± {written(value.std, kind)}"
    decimals = 1 if kind == "count" else len(text.partition(".")[2])
    return f"± {(100 if kind in ('percent', 'points') else 1) * value.std:.{decimals}f}"


def speed(ratio: float | None) -> str:
    """Time in words, with its verb; empty where it was not measured.

    >>> speed(0.08), speed(1.0)
    ('was 12 times as fast as retraining', 'took as long as retraining')
    >>> speed(0.6), speed(1.5)
    ('was 1.7 times as fast as retraining', 'took 1.5 times as long as retraining')
    """
    if finite(ratio) is None or not ratio or ratio < 0:
        return ""
    if ratio > 1.05:
        return f"took {ratio:.1f} times as long as retraining"
    return f"was {times(ratio)} times as fast as retraining" if ratio < 0.95 else "took as long as retraining"


def times(ratio: float) -> str:
    """How many times a ratio below one goes into one: `12` for 0.083, `1.7` for 0.6."""
    return f"{1 / ratio:.0f}" if ratio <= 0.1 else f"{1 / ratio:.1f}"


def finite(value: float | None) -> float | None:
    """The value where it is a finite number, else None."""
    return value if value is not None and math.isfinite(value) else None


def score_kind(score_name: str) -> Kind:
    """Whether a score is written as percent."""
    return "percent" if score_name in _SHARES else "number"


def printable(text: str, most: int | None = None) -> str:
    """One line without control characters, cut to `most` characters.

    >>> printable("a\\x1b[31m\\n b", most=5)
    'a[31…'
    """
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return line if most is None or len(line) <= most else line[: most - 1].rstrip() + "…"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Words as a phrase: `a, b and c`."""
    *rest, end = list(words) or [""]
    return f"{', '.join(rest)} {last} {end}" if rest else end


def _kind(kind: Kind, pattern: str, case: Case) -> Kind:
    if "{score}" not in pattern or score_kind(case.score_name) == "percent":
        return kind
    return "number"


def _measured(metric: str, case: Case) -> bool:
    return any(metric in row.values for row in case.rows)


def _with_unit(label: str, kind: Kind) -> str:
    if "%" in label:
        return label
    return label + {"percent": ", %", "points": ", points"}.get(kind, "")


def _without_minus_zero(text: str) -> str:
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
