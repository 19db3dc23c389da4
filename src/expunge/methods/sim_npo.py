"""SimNPO: NPO without a model to compare with, and with answers of all lengths alike.

    min  -(2 gamma / beta) * mean log sigmoid( beta * (l - delta) ) + retain_weight * loss on what stays

l is the negative log-likelihood of an answer, mean over its tokens. In NPO an answer that the model before found unlikely is
pushed as hard as one that it knew by heart; here the push fades with the answer's own probability. For beta -> 0 this is
gradient ascent with a step of gamma.

Reference: C. Fan, J. Liu, L. Lin, J. Jia, R. Zhang, S. Mei, S. Liu. "Simplicity Prevails: Rethinking Negative Preference
Optimization for LLM Unlearning", NeurIPS 2025, arXiv 2410.07163.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches.
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from expunge.methods.language_method import LanguageMethod, Reference
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class SimNPO(LanguageMethod):
    """Negative preference optimization of mean losses, without a reference.

    Args:
        beta: how soon the push fades, > 0.
        delta: nats per token from which on it does.
        gamma: weight of the forget term, >= 0.
    """

    beta: float = 4.5
    delta: float = 0.0
    gamma: float = 0.125

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")
        self.require(self.gamma >= 0, f"gamma must be 0 or more, not {self.gamma}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        losses = task.losses(task.outputs(model, batch), batch)
        return self.gamma * simple_negative_preference(losses, self.beta, self.delta)


def simple_negative_preference(losses: Tensor, beta: float, delta: float) -> Tensor:
    """-(2 / beta) log sigmoid(beta (l - delta)) of mean losses, in nats per token: shape (n,).

    >>> import torch
    >>> simple_negative_preference(torch.tensor([0.0, 2.0]), 1.0, 0.0).round(decimals=4)
    tensor([1.3863, 0.2539])
    """
    return -2 / beta * F.logsigmoid(beta * (losses - delta))
