"""Zero Retrain Forgetting: how far answers on the forget set are from those of networks that know nothing.

    ZRF = 1 - mean_{x in forget} JS(p(x), p_random(x)) / log 2

The division by log 2 puts it between 0 and 1. A retrained model does not reach 1, since it still gives confident answers: the
ideal is the retrained model's value. The mean over several random networks is taken, since one of them is arbitrary.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Can Bad Teaching Induce Forgetting?", AAAI 2023,
arXiv 2205.08096.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.errors import BadSetting
from expunge.losses import js_divergence
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class ZeroRetrain(Audit):
    """ZRF.

    Args:
        networks: freshly initialised networks to compare with, 1 or more; the mean over them is taken.
    """

    networks: int = 3

    def __post_init__(self) -> None:
        if self.networks < 1:
            raise BadSetting(f"zero-retrain needs 1 or more networks, not {self.networks}")

    takes = (ClassificationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "zrf": "zero retrain forgetting: likeness to ignorant networks on the forget set, 0 to 1; ideal: the retrained model's"
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if len(subject.outputs("forget")) == 0:
            return {}
        ideal = None if references.gold is None else self.measure(references.gold)
        return {"zrf": Figure(self.measure(subject), ideal)}

    def measure(self, subject: Subject) -> float:
        """ZRF of one subject, kept with it."""
        if self not in subject.memory:
            said = subject.outputs("forget")
            values = [1 - js_divergence(said, answers).mean().item() for answers in self._ignorant(subject)]
            subject.memory[self] = sum(values) / len(values)
        return float(subject.memory[self])

    def _ignorant(self, subject: Subject) -> list[Tensor]:
        engine, task = subject.engine, subject.task
        networks = [
            Subject("", engine.new_model(task.new_model, f"ignorant {index}"), task, subject.split, engine)
            for index in range(self.networks)
        ]
        return [network.outputs("forget") for network in networks]
