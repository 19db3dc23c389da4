"""SatImp: gradient ascent on the tokens that are neither unlikely already nor sure.

    min  -(1 / T) sum_t p_t^beta1 (1 - p_t)^beta2 * (-log p_t) + retain_weight * loss on what stays

p_t is the probability of the t-th of an answer's T tokens; the weights are read off and take no gradient. The first factor is
saturation: what is forgotten needs no more. The second is importance: tokens that any text would have there, being sure, tell
nothing of the fact. For beta2 = 0 this is WGA. A model that knows its answers by heart is sure of all of their tokens, so that
little is left to push: such a one takes a higher learning rate, or a smaller beta2.

Reference: P. Yang, Q. Wang, Z. Huang, T. Liu, C. Zhang, B. Han. "Exploring Criteria of Loss Reweighting to Enhance LLM
Unlearning", ICML 2025, arXiv 2505.11953.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from expunge.methods.language_method import LanguageMethod, Reference
from expunge.methods.wga import weighted_ascent
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class SatImp(LanguageMethod):
    """Gradient ascent, token by token, weighted by saturation and importance.

    Args:
        beta1: power of the probability, >= 0.
        beta2: power of what the probability lacks to 1, >= 0.
    """

    beta1: float = 5.0
    beta2: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        return weighted_ascent(task.outputs(model, batch), task.answers(batch), self.beta1, self.beta2)
