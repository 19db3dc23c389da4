"""Accuracy on what went, on what stayed and on what was never seen, each held against the retrained model.

    score(part) = mean_{x in part} score(model(x)),      gap(part) = score(part) - score_retrained(part)

The aim is the retrained model's value, not zero: a forgotten record of a class that stays is still answered as well as any
unseen one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import PARTS, Audit, Figure, References, Subject
from expunge.tasks import LinkPredictionTask, RecommendationTask, RegressionTask


@dataclass(frozen=True)
class Accuracy(Audit):
    """Mean score (accuracy, in classification) on each part of the split, and its gap to retraining."""

    figures: ClassVar[Mapping[str, str]] = {
        "forget_accuracy": "accuracy on the training examples that must go; ideal: the retrained model's",
        "retain_accuracy": "accuracy on the training examples that stay; ideal: the retrained model's",
        "holdout_accuracy": "accuracy on unseen examples like those that stay; ideal: the retrained model's",
        "holdout_forget_accuracy": "accuracy on unseen examples like those that must go; ideal: the retrained model's",
        "forget_accuracy_gap": "forget_accuracy less the retrained model's; ideal: 0",
        "retain_accuracy_gap": "retain_accuracy less the retrained model's; ideal: 0",
        "holdout_accuracy_gap": "holdout_accuracy less the retrained model's; ideal: 0",
        "holdout_forget_accuracy_gap": "holdout_forget_accuracy less the retrained model's; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        explained_elsewhere = isinstance(subject.task, RegressionTask | LinkPredictionTask | RecommendationTask)
        return {} if explained_elsewhere else mean_scores(subject, references)


def mean_scores(subject: Subject, references: References) -> dict[str, Figure]:
    """Mean score on each part of the split, named after part and score, and its gap to the retrained model's."""
    found = {}
    for part in PARTS:
        if len(subject.scores(part)) == 0:
            continue
        name = f"{part}_{subject.task.score_name}"
        value = subject.scores(part).mean().item()
        ideal = None if references.gold is None else references.gold.scores(part).mean().item()
        found[name] = Figure(value, ideal)
        if ideal is not None:
            found[f"{name}_gap"] = Figure(value - ideal, 0.0)
    return found
