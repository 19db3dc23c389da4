"""Distance to the retrained model in what both say, example by example.

    KL = mean_x KL(p_retrained(x) || p(x)),      activation distance = mean_x ||p(x) - p_retrained(x)||_2

Two models trained alike from different seeds already differ: read both beside the second retrained model's (the noise floor).

Reference: A. Golatkar, A. Achille, S. Soatto. "Eternal Sunshine of the Spotless Net", CVPR 2020, arXiv 1911.04933 (activation
distance as used by V. Chundawat et al., AAAI 2023, arXiv 2205.08096).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.losses import activation_distance
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Distance(Audit):
    """KL divergence and activation distance to the retrained model, on what went and on unseen examples; needs one."""

    takes = (ClassificationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_kl": "KL divergence (nats) from the retrained model's answers on the forget set; ideal: 0",
        "holdout_kl": "KL divergence (nats) from the retrained model's answers on the holdout set; ideal: 0",
        "forget_activation_distance": "distance (0 to 1.41) to the retrained model's probabilities, forget set; ideal: 0",
        "holdout_activation_distance": "distance (0 to 1.41) to the retrained model's probabilities, holdout set; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found: dict[str, Figure] = {}
        if references.gold is None:
            return found
        for part in ("forget", "holdout"):
            ours, gold = subject.outputs(part), references.gold.outputs(part)
            if len(ours):
                found[f"{part}_kl"] = Figure(subject.task.divergence(ours, gold).mean().item(), 0.0)
                found[f"{part}_activation_distance"] = Figure(activation_distance(ours, gold).mean().item(), 0.0)
        return found
