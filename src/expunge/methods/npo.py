"""NPO: make the true answer less likely than it was, ever more slowly.

    min  -(2 / beta) * mean log sigmoid( beta * (L - L_0) ) + retain_weight * loss on what stays

L is the negative log-likelihood of a whole answer, L_0 that of the model before. For beta -> 0 this is gradient ascent; for
beta > 0 the gradient fades as an answer becomes unlikely, where gradient ascent runs away.

Reference: R. Zhang, L. Lin, Y. Bai, S. Mei. "Negative Preference Optimization: From Catastrophic Collapse to Effective
Unlearning", COLM 2024, arXiv 2404.05868.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches, and one pass forward of
the model before.
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from expunge.methods.language_method import LanguageMethod, Reference
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class NPO(LanguageMethod):
    """Negative preference optimization, with a retain term.

    Args:
        beta: how soon it fades, > 0.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        before = reference.ask(lambda each: task.log_likelihoods(task.outputs(each, batch), batch))
        return negative_preference(task.log_likelihoods(task.outputs(model, batch), batch), before, self.beta)


def negative_preference(now: Tensor, before: Tensor, beta: float) -> Tensor:
    """-(2 / beta) log sigmoid(beta (L - L_0)) of log-likelihoods -L and -L_0, in nats: shape (n,).

    >>> import torch
    >>> negative_preference(torch.zeros(1), torch.zeros(1), 1.0).round(decimals=4)  # 2 log 2
    tensor([1.3863])
    """
    return -2 / beta * F.logsigmoid(beta * (before - now))
