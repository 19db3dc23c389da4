"""Run time: seconds to make the model, and their ratio to retraining in the same run on the same machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject


@dataclass(frozen=True)
class RunTime(Audit):
    """Seconds and ratio to retraining, where both times are known. Tuning is not counted."""

    figures: ClassVar[Mapping[str, str]] = {
        "seconds": "wall time to make the model; ideal: 0",
        "seconds_ratio": "wall time as a multiple of retraining's; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if subject.seconds is None:
            return {}
        found = {"seconds": Figure(subject.seconds, 0.0)}
        if references.gold is not None and references.gold.seconds:
            found["seconds_ratio"] = Figure(subject.seconds / references.gold.seconds, 0.0)
        return found
