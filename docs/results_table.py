"""Print a study's JSON as Markdown tables, one for each case: python docs/results_table.py study.json [METHOD ...]

With methods, only those stand beside the original and the retrained models. Of the study of everything it is one table.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = dict[str, dict[str, dict[str, Any]]]  # by method and metric

# heading, factor, decimals; None: as many decimals as three digits need
COLUMNS: dict[str, tuple[str, float, int | None]] = {
    "facts_seen": ("answered, seen, %", 100, 1),
    "facts_held_out": ("in new words, %", 100, 1),
    "facts_same_subject": ("same subject, %", 100, 1),
    "facts_same_object": ("same object, %", 100, 1),
    "facts_general": ("general, %", 100, 1),
    "facts_fluency": ("fluency, %", 100, 1),
    "relearned_others": ("comes back, %", 100, 1),
    "extraction_strength": ("ES", 1, 3),
    "answer_probability": ("p true", 1, 3),
    "truth_ratio": ("truth ratio", 1, 3),
    "forget_quality": ("forget quality", 1, 3),
    "model_utility": ("utility", 1, 3),
    "utility_retain_probability": ("stays: p", 1, 3),
    "utility_retain_rouge": ("ROUGE", 1, 3),
    "utility_retain_truth_ratio": ("ratio", 1, 3),
    "utility_real_authors_probability": ("authors: p", 1, 3),
    "utility_real_authors_rouge": ("ROUGE", 1, 3),
    "utility_real_authors_truth_ratio": ("ratio", 1, 3),
    "utility_world_facts_probability": ("world: p", 1, 3),
    "utility_world_facts_rouge": ("ROUGE", 1, 3),
    "utility_world_facts_truth_ratio": ("ratio", 1, 3),
    "hidden_answer": ("probe, %", 100, 1),
    "balance": ("balance", 1, 3),
    "concept_drawn": ("drawn, %", 100, 1),
    "others_drawn": ("others drawn, %", 100, 1),
    "others_worst": ("worst of them, %", 100, 1),
    "recovered": ("at half, %", 100, 1),
    "recovery_area": ("area", 1, 3),
    "unasked_area": ("area, unasked", 1, 3),
    "ccs": ("CCS", 1, 3),
    "crs_signed": ("CRS, signed", 1, 3),
    "inverted": ("inverted, %", 100, 1),
    "prefixed": ("prefixed, %", 100, 1),
    "noised_up": ("noise, %", 100, 1),
    "inpainted": ("inpainted, %", 100, 1),
    "others_kid": ("KID", 1, 3),
    "backdoor": ("backdoor, %", 100, 1),
    "backdoor_rebound": ("after rounds, %", 100, 1),
    "right_after": ("right after, %", 100, 1),
    "relapse": ("later, %", 100, 1),
    "forget_accuracy": ("forgotten, %", 100, 1),
    "holdout_forget_accuracy": ("unseen like it, %", 100, 1),
    "holdout_accuracy": ("unseen, %", 100, 1),
    "forget_mae": ("MAE forgotten", 1, None),
    "holdout_forget_mae": ("MAE unseen like it", 1, None),
    "holdout_mae": ("MAE unseen", 1, None),
    "forget_wasserstein": ("Wasserstein", 1, None),
    "forget_probability": ("p deleted, %", 100, 1),
    "link_auc": ("AUC test", 1, 3),
    "deleted_retained_auc": ("deleted / retained", 1, 3),
    "deleted_unseen_auc": ("deleted / unseen", 1, 3),
    "forget_js": ("JS", 1, 3),
    "retain_shift": ("shift kept, points", 100, 1),
    "forget_recall": ("recall forgotten", 1, 3),
    "unseen_recall": ("recall unseen like it", 1, 3),
    "recall": ("recall test", 1, 3),
    "ndcg": ("NDCG test", 1, 3),
    "list_overlap": ("overlap", 1, 3),
    "neighbour_recall": ("pushed on neighbours", 1, 3),
    "feature_cosine": ("features, cosine", 1, 3),
    "forget_kl": ("KL", 1, 2),
    "clients_worst": ("worst client, %", 100, 1),
    "membership_auc": ("attack AUC", 1, 3),
    "membership_two_sided": ("attack, two-sided", 1, 3),
    "lira_auc": ("LiRA AUC", 1, 3),
    "rmia_auc": ("RMIA AUC", 1, 3),
    "tow": ("ToW", 1, 3),
    "relearn_steps": ("relearn steps", 1, 0),
    "macs": ("MACs, millions", 1e-6, 1),
    "rounds": ("rounds", 1, 0),
    "client_passes": ("passes of clients", 1, 0),
    "probe_accuracy": ("probe, %", 100, 1),
    "probe_auc": ("probe AUC", 1, 3),
    "forget_cka": ("CKA forgotten", 1, 3),
    "holdout_cka": ("CKA unseen", 1, 3),
    "forget_input_gradient_distance": ("input gradients", 1, 3),
    "canary_auc": ("canaries, AUC", 1, 3),
    "canary_exposure": ("exposure, bits", 1, 2),
    "task_incremental_accuracy": ("told, %", 100, 1),
    "learn_seconds": ("s / learn", 1, 1),
    "unlearn_seconds": ("s / forget", 1, 1),
    "state_bytes": ("kept, kB", 1e-3, 0),
    "stored_bytes": ("kept, MB", 1e-6, 1),
    "seconds_ratio": ("time / retraining", 1, 2),
    "auroc": ("wrong labels, AUROC", 1, 3),
    "precision_at_k": ("precision at k", 1, 3),
    "f1": ("F1", 1, 3),
    "unseen_auroc": ("unseen, AUROC", 1, 3),
    "removal_high": ("best go first, %", 100, 1),
    "removal_low": ("worst go first, %", 100, 1),
    "stability": ("ranks, two seeds", 1, 3),
    "trainings": ("trainings", 1, 0),
    "cpu_seconds": ("CPU s", 1, 2),
    "cpu_share": ("CPU / TMC", 1, 3),
    "total": ("TabSynDex", 1, 3),
    "basic": ("basic", 1, 3),
    "correlation": ("correlation", 1, 3),
    "ml": ("ML", 1, 3),
    "support": ("support", 1, 3),
    "pmse": ("pMSE", 1, 3),
    "paper_total": ("by the paper's formulas", 1, 3),
    "paper_pmse": ("its pMSE", 1, 3),
    "c2st_auc": ("C2ST", 1, 3),
    "tstr": ("TSTR", 1, 3),
    "exact_matches": ("copied, %", 100, 1),
    "nearer_real": ("nearer real, %", 100, 1),
    "copy": ("a copy, %", 100, 0),
    "fit_cpu_seconds": ("CPU s", 1, 1),
}
OF_SEARCHES: dict[str, tuple[str, float, int | None]] = {
    "accuracy": ("right, %", 100, 1),
    "deviation": ("± of cells, points", 100, 1),
    "uar": ("UAR, %", 100, 1),
    "parameters": ("parameters", 1, 0),
    "macs": ("MACs, millions", 1e-6, 2),
    "latency_share": ("time / MobileNet", 1, 2),
    "decided": ("decided", 1, 3),
    "steps": ("steps", 1, 0),
    "search_cpu_seconds": ("CPU s, search", 1, 0),
    "train_cpu_seconds": ("CPU s, training", 1, 0),
    "forget_accuracy": ("forgotten, %", 100, 1),
    "retain_accuracy": ("kept, %", 100, 1),
    "holdout_accuracy": ("unseen, %", 100, 1),
    "forget_kl": ("KL", 1, 2),
    "membership_auc": ("attack AUC", 1, 3),
    "seconds": ("s", 1, 1),
    "seconds_ratio": ("time / retraining", 1, 2),
}
OF_SEQUENCES: dict[str, tuple[str, float, int | None]] = {
    **{f"drift_{number}": (f"drift, {number}", 1, 2) for number in range(1, 11)},
    **{f"farthest_{number}": (f"farthest, {number}", 1, 2) for number in range(1, 11)},
    "forgotten": ("forgotten", 1, 3),
    "unseen": ("unseen", 1, 3),
    "membership_auc": ("attack AUC", 1, 3),
    "seconds_ratio": ("time / retraining", 1, 2),
}
OF_FEDERATIONS = {"forget_kl", "clients_worst"}  # shown there alone
OF_OTHERS = {"tow"}  # not shown there
OF_MANY_FACTS = {"truth_ratio", "forget_quality"}  # shown where there are enough of them, as in TOFU, which has a utility


def tables(study: dict[str, Any], chosen: Sequence[str] = ()) -> str:
    """All cases of a study; of its methods those that are chosen, or all."""
    if study["study"] == "all":
        return systems(study)
    found: dict[str, Rows] = {}
    for row in study["rows"]:
        if chosen and row["method"] not in (*chosen, "original", "retrained", "retrained-2"):
            continue
        case, _, metric = row["metric"].rpartition("/")
        case = case or study["data"]  # of a single case the title is left out
        found.setdefault(case, {}).setdefault(row["method"], {})[metric] = row
    own = {"search": OF_SEARCHES, "sequence": OF_SEQUENCES}.get(study["study"])
    columns = own or COLUMNS
    printed = [table(case, methods, columns, shown(methods, columns, own is not None)) for case, methods in found.items()]
    return "\n".join(printed + ([when_to_retrain(study["rule"])] if study["study"] == "sequence" else []))


def when_to_retrain(rule: dict[str, Any]) -> str:
    """A line for each sequence of requests: from which request on the verdict fails on each seed, and when the rule fires."""
    heads = {"fails_at": "verdict fails from", "fires_at": "rule fires at"}
    heads |= {f"{limit}_fires_at": limit for limit in ("seconds", "score", "membership", "drift")}
    lines = ["| " + " | ".join(["case", "method", *heads.values()]) + " |", "|---" * 2 + "|---:" * len(heads) + "|"]
    for case, methods in rule["sequences"].items():
        for name, found in methods.items():
            cells = (", ".join("-" if value is None else f"{value:.0f}" for value in found[metric]) for metric in heads)
            lines.append("| " + " | ".join([case, name, *cells]) + " |")
    kept = {metric: rule["in_time"][metric] for metric in heads if metric in rule["in_time"]}
    said = (
        f"{heads[metric]} {each['in_time']} of {each['failed']}, {each['needlessly']} of {each['never_failed']}"
        for metric, each in kept.items()
    )
    return (
        "\n".join(lines)
        + "\n\nIn time, of those that failed, and needlessly, of those that never did: "
        + "; ".join(said)
        + ".\n"
    )


def systems(study: dict[str, Any]) -> str:
    """A line for each system."""
    heads = ("system", "figure", "before", "target", "its method", "cost", "best rival", "cost")
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---:|---:|---|---:|---|---:|"]
    for line in study["systems"]:
        values = line["values"]
        cells = [line["system"], line["figure"], *(f"{values[place]:.3f}" for place in ("before", "target"))]
        for place in ("ours", "rival"):
            missed, ratio = values[f"{place}_missed"], values[f"{place}_ratio"]
            misses = "" if missed is None else f", misses {missed:.3g}"
            cells += [f"`{line[place]}` {values[place]:.3f}{misses}", "-" if ratio is None else f"{ratio:.2g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shown(methods: Rows, columns: dict[str, Any], everything: bool) -> list[str]:
    """Metrics that a method has, without those that mean nothing there."""
    measured = {metric for rows in methods.values() for metric, row in rows.items() if row["mean"] is not None}
    found = [metric for metric in columns if metric in measured]
    if everything:
        return found
    federated = "client_passes" in found
    found = [metric for metric in found if metric not in (OF_OTHERS if federated else OF_FEDERATIONS)]
    if "model_utility" not in found:
        found = [metric for metric in found if metric not in OF_MANY_FACTS]
    if "link_auc" not in found:  # elsewhere the verdict has no use for it
        found = [metric for metric in found if metric != "membership_two_sided"]
    return found


def table(case: str, methods: Rows, columns: dict[str, Any], metrics: list[str]) -> str:
    """One case."""
    lines = [
        "| " + " | ".join([case, *(columns[metric][0] for metric in metrics)]) + " |",
        "|---" + "|---:" * len(metrics) + "|",
    ]
    for name, rows in methods.items():
        lines.append("| " + " | ".join([name, *(cell(rows.get(metric), metric, columns[metric]) for metric in metrics)]) + " |")
    return "\n".join(lines) + "\n"


def cell(row: dict[str, Any] | None, metric: str, column: tuple[str, float, int | None]) -> str:
    """Mean, and standard deviation where there are several seeds."""
    if row is None or row["mean"] is None:
        return "-"
    _, scale, digits = column
    if digits is None:
        digits = 3 if abs(row["mean"]) < 10 else 0
    if metric == "seconds_ratio" and 0 < row["mean"] < 0.005:
        digits = 4
    spread = f" ± {row['std'] * scale:,.{digits}f}" if row["n"] > 1 else ""
    return f"{row['mean'] * scale:,.{digits}f}{spread}"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:]))
