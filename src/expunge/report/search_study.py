"""The figures of the study of searches, and what they say: whether searching gained anything over chance, and over people."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.report.figure_study import Column, FigureCase, FigureEvidence
from expunge.report.search_study_plots import drawings

RANDOM = "random cells"
HAND_MADE = ("hand-cnn", "small-resnet", "mobilenet")  # how names of networks begin that people made

COLUMNS = (
    Column("accuracy", "accuracy, %", 1, "high", "share of test images told right, over the tests of all folds", True),
    Column("deviation", "± of cells, points", 1, "", "standard deviation of accuracy between cells drawn by chance", True),
    Column("uf1", "UF1, %", 1, "high", "mean of the classes' F1", True, narrow=False),
    Column("uar", "UAR, %", 1, "high", "mean of the classes' recall", True, narrow=False),
    Column("parameters", "parameters", 0, "low", "numbers that are trained", contest=False),
    Column("macs", "MACs, M", 2, "low", "multiply-accumulates for an image, in millions", contest=False, factor=1e-6),
    Column(
        "latency",
        "ms / image",
        2,
        "low",
        "median milliseconds for one image on one thread of the CPU",
        contest=False,
        narrow=False,
        factor=1e3,
    ),
    Column(
        "latency_share", "time ÷ MobileNet", 2, "low", "the same in units of MobileNetV3-small's, at that input", contest=False
    ),
    Column(
        "decided",
        "decided",
        3,
        "",
        "1 - entropy / ln(operations), mean over edges, of the less decided kind of cell; near 0 the search has not chosen",
    ),
    Column("steps", "steps", 0, "", "of the architecture's weights", narrow=False),
    Column("search_cpu_seconds", "CPU s, search", 1, "low", "of a fold, all threads", contest=False, narrow=False),
    Column("train_cpu_seconds", "CPU s, training", 1, "low", "of a network in a fold, all threads", contest=False),
    Column("forget_accuracy", "forgotten, %", 1, "", "clips of the persons who left that are told right", True),
    Column("retain_accuracy", "kept, %", 1, "", "training clips of the others that are told right", True, narrow=False),
    Column("holdout_accuracy", "unseen, %", 1, "", "clips of persons who were never seen that are told right", True),
    Column(
        "forget_kl",
        "KL",
        3,
        "low",
        "nats from the retrained network's answers on the forgotten clips; 0 is ideal",
        contest=False,
    ),
    Column(
        "membership_auc",
        "attack AUC",
        3,
        "",
        "of an attacker who tells forgotten clips from unseen ones by the loss; the retrained network's is ideal",
    ),
    Column("seconds", "s", 2, "low", "wall time to make the network", contest=False),
    Column("seconds_ratio", "time ÷ retraining", 2, "low", "wall time in units of the retrained network's", contest=False),
)


def search_evidence(
    title: str,
    cases: Sequence[FigureCase],
    remarks: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    command: str,
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> FigureEvidence:
    """All that the page shows."""
    return FigureEvidence(
        title,
        "Searching light networks",
        COLUMNS,
        cases,
        "",
        drawings,
        exempt=(RANDOM,),
        notes=notes,
        remarks=remarks,
        command=command,
        machine=machine,
        settings=settings,
    )


def over_chance(case: FigureCase, name: str) -> dict[str, float]:
    """By how much a search beats cells drawn by chance: means over seeds, and where by more than their spread."""
    margins = case.found(name, "accuracy") - case.found(RANDOM, "accuracy")
    deviations = case.found(RANDOM, "deviation")
    return {
        "margin": float(margins.mean()),
        "deviation": float(deviations.mean()),
        "seeds": len(margins),
        "beaten": int((margins > deviations).sum()),
    }


def chance_words(case: FigureCase, name: str, cells: int) -> str:
    """The same as a sentence."""
    found = over_chance(case, name)
    margin, deviation = 100 * found["margin"], 100 * found["deviation"]
    side = "above" if margin >= 0 else "below"
    if np.isnan(deviation):
        verdict = "how far cells differ among themselves is not known from one"
    elif abs(margin) <= deviation:
        verdict = f"no more than cells differ among themselves ({deviation:.1f}): searching gained nothing over chance here"
    else:
        more = f"more than cells differ among themselves ({deviation:.1f})"
        verdict = f"{more}: searching gained" if margin > 0 else f"{more}: searching lost"
    seeds = f", and gained on {found['beaten']} of {found['seeds']} seeds" if found["seeds"] > 1 else ""
    return f"{name} is {abs(margin):.1f} points {side} the mean of {cells} random cells of the same space, {verdict}{seeds}."


def decided_words(case: FigureCase, name: str, line: float) -> str:
    """Whether the search has chosen."""
    value, steps = case.mean(name, "decided"), case.mean(name, "steps")
    each = [value for rows in case.seeds for value in rows[name].curves.get("decided_each", ())]
    below = sum(value < line for value in each)
    where = f"; {below} of {len(each)} searches are below the warning line of {line}" if each else ""
    return f"After {steps:,.0f} architecture steps {name} is decided to {value:.3f}{where}."


def best_by_hand(case: FigureCase) -> str:
    """The network made by people that is right most often."""
    made = [name for name in case.methods if name.startswith(HAND_MADE) and not np.isnan(case.mean(name, "accuracy"))]
    return max(made, key=lambda name: case.mean(name, "accuracy"))


def by_hand(case: FigureCase, name: str) -> dict[str, float | str]:
    """The found network beside the best that people made."""
    best = best_by_hand(case)
    return {
        "best": best,
        "points": case.mean(name, "accuracy") - case.mean(best, "accuracy"),
        "deviation": float(
            np.std(case.found(name, "accuracy") - case.found(best, "accuracy"), ddof=min(1, len(case.seeds) - 1))
        ),
        "macs": case.mean(name, "macs") / case.mean(best, "macs"),
        "parameters": float(np.max(case.found(name, "most_parameters"))),
        "latency": case.mean(name, "latency_share"),
    }


def hand_words(case: FigureCase, name: str) -> list[str]:
    """The same as sentences."""
    found = by_hand(case, name)
    points = 100 * float(found["points"])
    spread = f" ± {100 * float(found['deviation']):.1f}" if len(case.seeds) > 1 else ""
    side = "above" if points > 0 else "below"
    beside = "level with" if abs(points) < 0.05 else f"{abs(points):.1f}{spread} points {side}"
    return [
        f"{name} has {found['parameters']:,.0f} parameters at most and is {beside} the best network made by people, "
        f"{found['best']}, with {found['macs']:.2f} of its multiply-accumulates. One image takes it {found['latency']:.2f} of "
        "the time that MobileNetV3-small takes."
    ]
