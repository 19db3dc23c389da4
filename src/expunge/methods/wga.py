"""WGA: gradient ascent that leaves alone the tokens which are unlikely already.

    min  -(1 / T) sum_t p_t^beta * (-log p_t) + retain_weight * loss on what stays

p_t is the probability of the t-th of an answer's T tokens; the weights p_t^beta are read off and take no gradient. Gradient
ascent pushes a token by 1 / p_t, the harder the less likely it is; the weight takes that back. For beta = 0 this is GradDiff.

Reference: Q. Wang, J. P. Zhou, Z. Zhou, S. Shin, B. Han, K. Q. Weinberger. "Rethinking LLM Unlearning Objectives: A Gradient
Perspective and Go Beyond", ICLR 2025, arXiv 2502.19301.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from expunge.language.token_scores import MASKED, token_log_probabilities
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class WGA(LanguageMethod):
    """Gradient ascent, token by token, weighted by probability.

    Args:
        beta: power of the probability, >= 0; the published value is 1.
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta >= 0, f"beta must be 0 or more, not {self.beta}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        return weighted_ascent(task.outputs(model, batch), task.answers(batch), self.beta)


def weighted_ascent(logits: Tensor, labels: Tensor, saturation: float, importance: float = 0.0) -> Tensor:
    """Mean over an answer's tokens of w_t log p_t, with w_t = p_t^saturation (1 - p_t)^importance, which takes no gradient.

    Args:
        logits, labels: as for :func:`~expunge.language.token_scores.token_log_probabilities`.

    Returns:
        shape (n,), at most 0, in nats per token.

    >>> import torch
    >>> weighted_ascent(torch.zeros(1, 1, 4), torch.tensor([[2]]), 1.0).round(decimals=4)  # 1/4 log 1/4
    tensor([-0.3466])
    """
    said = token_log_probabilities(logits, labels)
    p = said.detach().exp()
    return (p**saturation * (1 - p) ** importance * said).sum(1) / (labels != MASKED).sum(1)
