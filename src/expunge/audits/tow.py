"""Tug of war: one number for "like the retrained model everywhere".

    ToW = product over part in {forget, retain, holdout} of (1 - |accuracy(part) - accuracy_retrained(part)|)

Where the score is an error, of which nobody can say how large it may be, the difference is taken as a share of the retrained
model's error, and no factor falls below 0; that form is this library's own.

Reference: K. Zhao, M. Kurmanji, G. Barbulescu, E. Triantafillou, P. Triantafillou. "What makes unlearning hard and what to do
about it", NeurIPS 2024, arXiv 2406.01257.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.tasks import ClassificationTask, RegressionTask


@dataclass(frozen=True)
class ToW(Audit):
    """Product of the three agreements with the retrained model; needs one."""

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "tow": "tug of war: agreement with the retrained model on forget, retain and holdout set; ideal: 1"
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if references.gold is None:
            return {}
        product = 1.0
        for part in ("forget", "retain", "holdout"):
            ours, gold = subject.scores(part), references.gold.scores(part)
            if len(ours):
                product *= _agreement(ours.mean().item(), gold.mean().item(), relative=not subject.task.higher_is_better)
        return {"tow": Figure(product, 1.0)}


def _agreement(ours: float, gold: float, relative: bool) -> float:
    gap = abs(ours - gold)
    if not relative:
        return 1 - gap
    return max(0.0, 1 - gap / gold) if gold else float(gap == 0)
