"""The figures of the study of synthetic tables, and whether scores agree with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from expunge.report.figure_study import Column, FigureCase, FigureEvidence
from expunge.report.tabular_study_plots import drawings

SPLIT = "real-split"
_FEWEST = 4  # generators, for a rank correlation to say anything

COLUMNS = (
    Column("total", "TabSynDex", 3, "high", "mean of the five parts, as expunge mends them; 0 to 1"),
    Column("basic", "basic", 3, "high", "statistics of single columns", narrow=False),
    Column("correlation", "correlation", 3, "high", "whether columns go together as they do in the real table"),
    Column("ml", "ML", 3, "high", "whether models learn from it what they learn from the real table"),
    Column("support", "support", 3, "high", "whether all that the real table has is there, however rare"),
    Column("pmse", "pMSE", 3, "high", "whether a logistic regression can't tell the tables apart"),
    Column("paper_total", "paper’s", 3, "high", "the score by the published formulas"),
    Column("paper_basic", "paper’s basic", 3, "high", "likewise", narrow=False),
    Column("paper_correlation", "paper’s correlation", 3, "high", "likewise", narrow=False),
    Column("paper_ml", "paper’s ML", 3, "high", "likewise", narrow=False),
    Column("paper_support", "paper’s support", 3, "high", "likewise", narrow=False),
    Column("paper_pmse", "paper’s pMSE", 3, "high", "likewise; near 0 for whatever many rows tell apart at all", narrow=False),
    Column("shapes", "shapes", 3, "high", "1 - Kolmogorov-Smirnov or total variation, mean of columns", narrow=False),
    Column("trends", "trends", 3, "high", "likeness of correlations and contingency tables, mean of pairs", narrow=False),
    Column("c2st_auc", "C2ST", 3, "low", "AUC of boosted trees that tell synthetic rows from real ones; 0.5 is ideal"),
    Column("alpha_precision", "α-precision", 3, "high", "how realistic synthetic rows are", narrow=False),
    Column(
        "beta_recall",
        "β-recall",
        3,
        "",
        "how much of the real rows' variety is covered; 0.5 for new real rows, 1 for a copy",
        narrow=False,
    ),
    Column("tstr", "TSTR", 3, "high", "boosted trees trained on synthetic rows, on the holdout: AUC of classes, R² of numbers"),
    Column("trtr", "TRTR", 3, "", "the same trained on real rows", narrow=False),
    Column("exact_matches", "copied, %", 1, "low", "share of synthetic rows that equal a real row", True, contest=False),
    Column(
        "nearer_real",
        "nearer real, %",
        1,
        "",
        "share of synthetic rows nearer to a learned row than to one of as many of "
        "the holdout; 50 if nothing was learned by heart",
        True,
    ),
    Column(
        "membership",
        "membership",
        3,
        "low",
        "AUC of an attacker who asks who was in the learned table; 0.5 is ideal",
        contest=False,
        narrow=False,
    ),
    Column(
        "copy", "taken for a copy, %", 0, "low", "share of seeds on which it is; then no score is praise", True, contest=False
    ),
    Column("fit_cpu_seconds", "CPU s, fit", 1, "low", "to learn the table, all threads", contest=False),
    Column("sample_cpu_seconds", "CPU s, sample", 1, "low", "to make as many rows", contest=False, narrow=False),
)


def tabular_evidence(
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
        "Synthetic tables",
        COLUMNS,
        cases,
        f"{SPLIT} are real rows beside real rows: no generator should be above. bootstrap repeats real rows, and is no "
        "candidate for the best either.",
        drawings,
        exempt=(SPLIT, "bootstrap"),
        notes=notes,
        remarks={case.title: agreement_words(case) for case in cases},
        command=command,
        machine=machine,
        settings=settings,
    )


def agreement(case: FigureCase) -> dict[str, dict[str, float]]:
    """Rank correlations over generators (means over seeds) of either score with figures that are not part of it."""
    names = [name for name in case.methods if name != SPLIT]
    if len(names) < _FEWEST:
        return {}
    found: dict[str, dict[str, float]] = {}
    for score in ("total", "paper_total"):
        of_score = [case.mean(name, score) for name in names]
        for metric in ("tstr", "c2st_auc"):
            values = np.array([case.mean(name, metric) for name in names])
            values = -np.maximum(values, 0.5) if metric == "c2st_auc" else values
            if not np.isnan(values).any() and np.ptp(values) > 0 and np.ptp(of_score) > 0:  # what is alike has no ranks
                found.setdefault(score, {})[metric] = float(spearmanr(of_score, values).statistic)
    return found


def agreement_words(case: FigureCase) -> list[str]:
    """The same as sentences."""
    count = len([name for name in case.methods if name != SPLIT])
    words = {"total": "TabSynDex", "paper_total": "The paper’s form"}
    others = {"tstr": "train-synthetic-test-real", "c2st_auc": "the two-sample test"}
    return [
        f"{words[score]} ranks the {count} generators as "
        + " and ".join(f"{others[metric]} does with a rank correlation of {value:.2f}" for metric, value in found.items())
        + "."
        for score, found in agreement(case).items()
    ]
