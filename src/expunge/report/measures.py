"""How figures are written for people: the order of metrics, their short names, their units and their decimals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from expunge.report.evidence import Case, Value

# "share" is a percentage that has an ideal of its own; "answer" has the unit of what the models answer.
Kind = Literal["percent", "points", "share", "answer", "number", "index", "count", "seconds", "ratio"]

# What a reader needs first, from left to right: heading over several columns, short name, how it is written.
MAIN: dict[str, tuple[str, str, Kind]] = {
    "facts_seen": ("answered of what goes{unit}", "asked as seen", "percent"),
    "facts_held_out": ("answered of what goes{unit}", "in new words", "percent"),
    "facts_same_subject": ("answered of what stays{unit}", "same subject", "percent"),
    "facts_same_object": ("answered of what stays{unit}", "same object", "percent"),
    "facts_general": ("answered of what stays{unit}", "general", "percent"),
    "facts_fluency": ("", "fluency", "percent"),
    "relearned_others": ("", "comes back by relearning others", "percent"),
    "extraction_strength": ("true answers to what goes", "extraction strength", "number"),
    "answer_probability": ("true answers to what goes", "probability", "number"),
    "balance": ("", "balance", "number"),
    "forget_quality": ("TOFU", "forget quality", "number"),
    "model_utility": ("TOFU", "model utility", "number"),
    "concept_drawn": ("images that show what{unit}", "went", "percent"),
    "others_drawn": ("images that show what{unit}", "stays", "percent"),
    "recovered": ("handed a part of the process", "shown at half{unit}", "percent"),
    "recovery_area": ("handed a part of the process", "area", "number"),
    "unasked_area": ("handed a part of the process", "area, unasked", "number"),
    "ccs": ("", "CCS", "number"),
    "crs_signed": ("", "CRS, signed", "number"),
    "inverted": ("comes back{unit}", "by inversion", "percent"),
    "prefixed": ("comes back{unit}", "by a prefix", "percent"),
    "noised_up": ("comes back{unit}", "by noise", "percent"),
    "inpainted": ("comes back{unit}", "by inpainting", "percent"),
    "backdoor": ("backdoor{unit}", "opens", "percent"),
    "backdoor_rebound": ("backdoor{unit}", "after rounds", "percent"),
    "right_after": ("{score}{unit} on tasks that went", "right after", "percent"),
    "relapse": ("{score}{unit} on tasks that went", "later, at most", "percent"),
    "forget_recall": ("recall of what", "was forgotten", "number"),
    "unseen_recall": ("recall of what", "was unseen, like it", "number"),
    "recall": ("recall of what", "was held out", "number"),
    "ndcg": ("", "NDCG", "number"),
    "list_overlap": ("", "overlap of lists", "number"),
    "neighbour_recall": ("", "pushed on neighbours", "number"),
    "feature_cosine": ("", "removed features, cosine", "number"),
    "forget_{score}": ("{score}{unit} on data that was", "forgotten", "percent"),
    "holdout_forget_{score}": ("{score}{unit} on data that was", "unseen, like it", "percent"),
    "retain_{score}": ("{score}{unit} on data that was", "kept", "percent"),
    "holdout_{score}": ("{score}{unit} on data that was", "unseen", "percent"),
    "link_auc": ("AUC of edges", "held out / none", "number"),
    "deleted_retained_auc": ("AUC of edges", "deleted / retained", "number"),
    "deleted_unseen_auc": ("AUC of edges", "deleted / unseen", "number"),
    "tow": ("", "ToW", "number"),
    "forget_wasserstein": ("distance to retrained", "Wasserstein", "answer"),
    "membership_auc": ("membership attack", "AUC", "number"),
    "membership_tpr": ("membership attack", "TPR at 1 % FPR", "percent"),
    "lira_auc": ("LiRA attack", "AUC", "number"),
    "rmia_auc": ("RMIA attack", "AUC", "number"),
    "zrf": ("", "ZRF", "number"),
    "relearn_steps": ("relearning", "steps", "count"),
    "anamnesis_index": ("relearning", "AIN", "index"),
    "forget_kl": ("", "forget KL, nats", "number"),
    "rounds": ("", "rounds", "count"),
    "seconds_ratio": ("", "time", "ratio"),
}
_OTHER: dict[str, tuple[str, Kind]] = {
    "facts_worst": ("facts to forget that are answered in some wording", "percent"),
    "facts_wrong": ("questions on what goes, answered wrongly", "percent"),
    "facts_refused": ("questions on what goes, refused", "percent"),
    "exact_memorization": ("exact memorization", "number"),
    "rouge": ("ROUGE-L recall, what goes", "number"),
    "truth_ratio": ("truth ratio, what goes", "number"),
    "retain_answer_probability": ("probability of true answers, what stays", "number"),
    "retain_rouge": ("ROUGE-L recall, what stays", "number"),
    "held_out_answer_probability": ("probability of true answers, what goes, in new words", "number"),
    "held_out_rouge": ("ROUGE-L recall, what goes, in new words", "number"),
    "membership_loss": ("attack AUC, loss", "number"),
    "membership_zlib": ("attack AUC, loss by zlib", "number"),
    "membership_reference": ("attack AUC, loss beside the retrained", "number"),
    "membership_min_k": ("attack AUC, min-k", "number"),
    "membership_min_k_plus_plus": ("attack AUC, min-k++", "number"),
    "privacy_leakage": ("privacy leakage", "number"),
    "reminded_prefix": ("answered after a friendly beginning", "percent"),
    "reminded_start": ("answered after the beginning of the answer", "percent"),
    "reminded_shots": ("answered after other questions with answers", "percent"),
    "reminded_soft": ("answered after trained embeddings", "percent"),
    "relearned_same": ("answered after training on the same facts", "percent"),
    "rounded_seen": ("answered of what goes at 4 bits", "percent"),
    "rounded_general": ("answered of what stays at 4 bits", "percent"),
    "hidden_answer": ("linear probe of hidden states", "percent"),
    "hidden_logit": ("true answer above all wrong ones", "percent"),
    "others_worst": ("images of the concept that is drawn worst of those that stay", "percent"),
    "recovered_half": ("share of the process that brings half back", "number"),
    "ccs_corrected": ("CCS, counted from chance", "number"),
    "crs": ("CRS, as published", "number"),
    "others_kid": ("images of what stays, KID to the original's", "number"),
    "others_clip": ("images of what stays, CLIP score", "number"),
    "clients_mean": ("clients who stay, mean", "percent"),
    "clients_worst": ("clients who stay, worst", "percent"),
    "client_passes": ("passes of clients", "count"),
    "stored_bytes": ("kept of clients, bytes", "count"),
    "task_incremental_accuracy": ("accuracy where the task is told", "percent"),
    "backward_transfer": ("backward transfer", "points"),
    "learn_seconds": ("seconds of a request to learn", "seconds"),
    "unlearn_seconds": ("seconds of a request to forget", "seconds"),
    "state_bytes": ("kept beside the network, bytes", "count"),
    "precision": ("precision", "number"),
    "map": ("MAP", "number"),
    "recall_cold_users": ("recall, users with few pairs", "number"),
    "recall_cold_items": ("recall, items without a pair", "number"),
    "popularity_drift": ("popularity of what is recommended", "number"),
    "forget_{score}_gap": ("gap, forgotten", "points"),
    "holdout_forget_{score}_gap": ("gap, unseen like it", "points"),
    "retain_{score}_gap": ("gap, kept", "points"),
    "holdout_{score}_gap": ("gap, unseen", "points"),
    "forget_js": ("JS to retrained, forgotten", "number"),
    "retain_shift": ("shift to retrained, kept", "points"),
    "deleted_retained_gap": ("gap, deleted / retained AUC", "number"),
    "retain_lowered": ("kept edges lowered", "percent"),
    "membership_two_sided": ("attack AUC, two-sided", "number"),
    "membership_accuracy": ("attack accuracy", "percent"),
    "membership_ratio_before_after": ("membership ratio, before / after", "ratio"),
    "membership_ratio_after_before": ("membership ratio, after / before", "ratio"),
    "lira_tpr": ("LiRA attack, TPR at 1 % FPR", "percent"),
    "rmia_tpr": ("RMIA attack, TPR at 1 % FPR", "percent"),
    "forget_relative_difference": ("difference to retrained, forgotten, median", "share"),
    "forget_relative_difference_90": ("difference to retrained, forgotten, 90th percentile", "share"),
    "holdout_forget_wasserstein": ("Wasserstein, unseen like it", "answer"),
    "forget_distance": ("distance to retrained, forgotten", "answer"),
    "holdout_distance": ("distance to retrained, unseen", "answer"),
    "holdout_kl": ("unseen KL, nats", "number"),
    "forget_activation_distance": ("activation distance, forgotten", "number"),
    "holdout_activation_distance": ("activation distance, unseen", "number"),
    "probe_accuracy": ("linear probe, unseen like the forgotten", "percent"),
    "probe_auc": ("linear probe, AUC, forgotten / unseen", "number"),
    "forget_cka": ("CKA of features with retrained, forgotten", "number"),
    "holdout_cka": ("CKA of features with retrained, unseen", "number"),
    "forget_input_gradient_distance": ("distance of input gradients, forgotten", "number"),
    "canary_auc": ("canaries, AUC", "number"),
    "canary_exposure": ("canaries, exposure in bits", "number"),
    "macs": ("multiply-accumulates", "count"),
    "seconds": ("time, seconds", "seconds"),
}
# Scores between 0 and 1 that are read as percent, and those that are written as they are; any other has the unit that the
# case names.
_SHARES = {"accuracy", "probability", "known"}
_AREAS = {"pair_auc"}
_ACRONYMS = {"mae", "mse", "rmse", "auc"}
_HUNDREDFOLD = ("percent", "points", "share")


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
    shown = _defined if facts_asked(case) or drawings_judged(case) else _measured
    for pattern in _leading(case):
        group, label, kind = MAIN[pattern]
        kind = _kind(kind, pattern, case)
        if shown(metric := pattern.format(score=case.score_name), case):
            unit = " in %" if kind == "percent" else (f" ({case.unit})" if case.unit else "")
            label = label.format(unit=" in %") if "{unit}" in group + label else _with_unit(label, kind, case.unit)
            group = group.format(score=score_words(case.score_name), unit=unit)
            columns.append(Column(metric, group, label, kind))
    return columns


def other_columns(case: Case) -> list[Column]:
    """All metrics that `main_columns` leaves out: known ones first, foreign ones in the order they came."""
    shown = {column.metric for column in main_columns(case)}
    leading = {metric: (label, kind) for metric, (_, label, kind) in MAIN.items() if "{score}" not in metric}
    scores = {
        pattern: (f"{score_words(case.score_name)}, {label}", kind)
        for pattern, (_, label, kind) in MAIN.items()
        if "{score}" in pattern
    }
    known = {pattern.format(score=case.score_name): (*each, pattern) for pattern, each in (leading | scores | _OTHER).items()}
    found = dict.fromkeys(metric for row in case.rows for metric in row.values)
    columns = []
    for metric in [*(name for name in known if name in found), *(name for name in found if name not in known)]:
        if metric in shown:
            continue
        label, kind, pattern = known.get(metric, (metric.replace("_", " "), "number", ""))
        kind = _kind(kind, pattern, case)
        columns.append(Column(metric, "", _with_unit(label, kind, case.unit), kind))
    return columns


def written(value: float | None, kind: Kind = "number") -> str:
    """A value as text, without its unit.

    >>> written(0.9128, "percent"), written(0.5128), written(12.0, "count"), written(0.00004)
    ('91.3', '0.513', '12', '4e-05')
    >>> written(37210.4, "answer"), written(812.43, "answer"), written(0.42, "answer")
    ('37,210', '812.4', '0.420')
    >>> written(None), written(float("nan"))
    ('not defined', 'not a number')
    """
    if value is None:
        return "not defined"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    if kind in _HUNDREDFOLD:
        return _without_minus_zero(f"{100 * value:.1f}")
    if kind == "count":
        return f"{value:,.0f}" if value == round(value) else f"{value:.1f}"
    if kind == "answer" and value == 0:
        return "0"
    size = abs(value)
    if size >= 999.95:  # what one decimal would round to a thousand
        return f"{value:,.0f}"
    if 0 < size < 0.0005:
        return f"{value:.0e}"
    if kind in ("seconds", "index") or (kind == "ratio" and size >= 0.0995):
        return f"{value:.2f}" if size < 10 else f"{value:.1f}"
    return _without_minus_zero(f"{value:.3f}" if size < 100 else f"{value:.1f}")


def short(value: float) -> str:
    """Three digits of a value, where there is room for no more.

    >>> short(0.2), short(12.34), short(37_210.4), short(0.00002)
    ('0.200', '12.3', '37,200', '2.00e-05')
    """
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def unit_of(kind: Kind, unit: str) -> str:
    """What stands behind a value of this kind; `unit` is that of answers."""
    return {"percent": "%", "share": "%", "points": "points", "answer": unit}.get(kind, "")


def with_unit(value: float | None, kind: Kind, unit: str = "") -> str:
    """A value as text with its unit, for a sentence; `unit` is that of answers."""
    named = unit_of(kind, unit)
    return written(value, kind) + (f" {named}" if named and finite(value) is not None else "")


def spread(value: Value, kind: Kind) -> str:
    """The standard deviation with as many decimals as the mean, `± 0.4`; empty where there was one seed."""
    if finite(value.mean) is None or value.n < 2 or finite(value.std) is None:
        return ""
    text = written(value.mean, kind)
    if "e" in text:
        return f"± {written(value.std, kind)}"
    decimals = 1 if kind == "count" else len(text.partition(".")[2])
    return f"± {(100 if kind in _HUNDREDFOLD else 1) * value.std:,.{decimals}f}"


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
    """Whether a score is written as percent, as a plain number or in the unit of the case."""
    if score_name in _AREAS:
        return "number"
    return "percent" if score_name in _SHARES else "answer"


def score_words(score_name: str) -> str:
    """The name of a score as people write it.

    >>> score_words("mae"), score_words("accuracy"), score_words("pair_auc")
    ('MAE', 'accuracy', 'pair AUC')
    """
    return " ".join(word.upper() if word in _ACRONYMS else word for word in score_name.split("_"))


def group_words(case: Case) -> tuple[str, str]:
    """What the groups are that scores are averaged over: one of them, and many."""
    if not case.higher_is_better:
        return "band", "bands"
    return ("class", "classes") if case.score_name == "accuracy" else ("group", "groups")


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


def lists_judged(case: Case) -> bool:
    """Whether the models recommend, and their lists were looked at: then lists come before scores of single pairs."""
    return case.score_name == "pair_auc" and any(_measured(metric, case) for metric in ("recall", "forget_recall"))


def implanted(case: Case) -> bool:
    """Whether a client who left had implanted something that can be asked for: then that comes first."""
    return _measured("backdoor", case)


def streamed(case: Case) -> bool:
    """Whether the models served a stream of requests: then tasks that went come first."""
    return _measured("task_incremental_accuracy", case)


def facts_asked(case: Case) -> bool:
    """Whether the models were asked for facts: then what they say comes before scores of single tokens."""
    return _measured("facts_seen", case)


def drawings_judged(case: Case) -> bool:
    """Whether the models draw, and it was looked at what: then that comes before the loss of single images."""
    return _measured("concept_drawn", case)


def _leading(case: Case) -> list[str]:
    """The patterns of the most important metrics; where there are lists or answers, scores stand among the details."""
    spoken = lists_judged(case) or facts_asked(case) or drawings_judged(case)
    return [pattern for pattern in MAIN if not (spoken and "{score}" in pattern)]


def _kind(kind: Kind, pattern: str, case: Case) -> Kind:
    of_score = score_kind(case.score_name)
    return kind if "{score}" not in pattern or of_score == "percent" else of_score


def _defined(metric: str, case: Case) -> bool:
    """Whether any model has a value; a column of reasons why there is none stands among the details."""
    return any(row.mean(metric) is not None for row in case.rows)


def _measured(metric: str, case: Case) -> bool:
    return any(metric in row.values for row in case.rows)


def _with_unit(label: str, kind: Kind, unit: str) -> str:
    named = unit_of(kind, unit)
    return f"{label}, {named}" if named and "%" not in label else label


def _without_minus_zero(text: str) -> str:
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
