"""Anamnesis Index: relearn time in units of the retrained model's.

    AIN = relearn_steps(model) / mean over retrained models of relearn_steps

1 is ideal; near 0 the knowledge is still there; much above 1 the model was damaged where it should have forgotten. Every model
is relearned on a deep copy. The count of one retrained model is noisy, so the mean over all that are given is taken, and the
note says when a count met the cap. Where the retrained models need no step at all, the index is not defined.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Zero-Shot Machine Unlearning", IEEE TIFS 2023, arXiv 2201.05629.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.relearning import Relearning


@dataclass(frozen=True)
class Anamnesis(Audit):
    """The ratio of relearn times; needs the original and at least one retrained model.

    Args:
        relearning: how relearn time is measured.
    """

    relearning: Relearning = Relearning()

    figures: ClassVar[Mapping[str, str]] = {"anamnesis_index": "relearn time as a multiple of the retrained models'; ideal: 1"}

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if references.original is None or not references.retrained:
            return {}
        if min(len(subject.scores("forget")), len(subject.scores("retain"))) == 0:
            return {}
        golds = [self.relearning.steps(gold, references.original) for gold in references.retrained]
        steps = self.relearning.steps(subject, references.original)
        if sum(golds) == 0:
            note = "not defined: the retrained models know the forget set as well as the original does"
            return {"anamnesis_index": Figure(None, 1.0, note=note)}
        capped = not all(self.relearning.reached(each, references.original) for each in (subject, *references.retrained))
        note = f"a count met the cap of {self.relearning.cap} steps" if capped else ""
        return {"anamnesis_index": Figure(steps * len(golds) / sum(golds), 1.0, note=note)}
