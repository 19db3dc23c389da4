"""Tug of war: one number for "like the retrained model everywhere".

    ToW = product over part in {forget, retain, holdout} of (1 - |accuracy(part) - accuracy_retrained(part)|)

Reference: K. Zhao, M. Kurmanji, G. Barbulescu, E. Triantafillou, P. Triantafillou. "What makes unlearning hard and what to do
about it", NeurIPS 2024, arXiv 2406.01257.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class ToW(Audit):
    """Product of the three agreements with the retrained model; needs one."""

    takes = (ClassificationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "tow": "tug of war: agreement with the retrained model in forget, retain and holdout accuracy; ideal: 1"
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if references.gold is None:
            return {}
        product = 1.0
        for part in ("forget", "retain", "holdout"):
            ours, gold = subject.scores(part), references.gold.scores(part)
            if len(ours):
                product *= 1 - abs(ours.mean().item() - gold.mean().item())
        return {"tow": Figure(product, 1.0)}
