"""The figures of the valuation study."""

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.report.figure_study import Column, FigureCase, FigureEvidence
from expunge.report.valuation_study_plots import drawings

COLUMNS = (
    Column("auroc", "wrong labels, AUROC", 3, "high", "do low values find points that are labelled wrongly? 0.5 is chance"),
    Column(
        "precision_at_k",
        "precision at k",
        3,
        "high",
        "of the k least valuable points, as many as are labelled wrongly, the share that are",
    ),
    Column(
        "f1",
        "F1",
        3,
        "high",
        "of the lower of two groups of values (2-means), for points that are labelled wrongly",
        narrow=False,
    ),
    Column("unseen_auroc", "unseen, AUROC", 3, "high", "the first figure on points that no value was trained on"),
    Column(
        "removal_high",
        "best go first, %",
        1,
        "low",
        "mean accuracy as 0 to 90 % of the points go, the most valuable first; as they come back, the least valuable first, it "
        "is the same",
        True,
    ),
    Column(
        "removal_low",
        "worst go first, %",
        1,
        "high",
        "the same as the least valuable go first, or as the most valuable come first",
        True,
    ),
    Column(
        "stability",
        "ranks, two seeds",
        3,
        "high",
        "rank correlation of two valuations of the same points from two seeds",
        contest=False,
        narrow=False,
    ),
    Column("trainings", "trainings", 0, "low", "models that were trained", contest=False),
    Column("cpu_seconds", "CPU s", 1, "low", "seconds of all threads", contest=False),
    Column(
        "cpu_share",
        "CPU / TMC",
        2,
        "low",
        "CPU seconds, as a share of those of TMC-Shapley with models trained at once",
        contest=False,
    ),
)


def valuation_evidence(
    title: str,
    cases: Sequence[FigureCase],
    notes: Sequence[str],
    command: str,
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> FigureEvidence:
    """All that the page shows."""
    return FigureEvidence(
        title,
        "Data valuation",
        COLUMNS,
        cases,
        "The best at each of the first six figures is bold; random values are no candidate.",
        drawings,
        exempt=("random-values",),
        notes=notes,
        command=command,
        machine=machine,
        settings=settings,
    )
