"""Probability that is given to the truth: of deleted and retained edges, and of pairs that were never seen.

    probability(part) = mean_{pair in part} p(truth),      gap(part) = probability(part) - probability_retrained(part)

The truth of a pair is that it is an edge or that it is none. The aim is the retrained model's value, not 0: it finds most
deleted edges as probable as any other edge that it never saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.accuracy import mean_scores
from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.tasks import LinkPredictionTask


@dataclass(frozen=True)
class Probability(Audit):
    """Mean probability of the truth on each part of the split, and its gap to retraining."""

    takes = (LinkPredictionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_probability": "mean probability of the deleted edges; ideal: the retrained model's",
        "retain_probability": "mean probability of the retained edges; ideal: the retrained model's",
        "holdout_probability": "mean probability of the truth for held-out edges and as many pairs without one; "
        "ideal: the retrained model's",
        "holdout_forget_probability": "mean probability of the held-out edges; ideal: the retrained model's",
        "forget_probability_gap": "forget_probability less the retrained model's; ideal: 0",
        "retain_probability_gap": "retain_probability less the retrained model's; ideal: 0",
        "holdout_probability_gap": "holdout_probability less the retrained model's; ideal: 0",
        "holdout_forget_probability_gap": "holdout_forget_probability less the retrained model's; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return mean_scores(subject, references)
