"""UNDIAL: learn from the model before, with the true answer's logits turned down.

    min  -(1 / T) sum_t sum_v softmax(z_t - beta * onehot(y_t))_v * log p_t(v) + retain_weight * loss on what stays

z_t are the logits of the model before, y_t the t-th of an answer's T tokens. The target stands still and is a distribution, so
that there is something to converge to, where gradient ascent runs on. For beta = 0 nothing is forgotten. The paper has no
retain term (`retain_weight` 0), and a variant that turns down nouns and names alone, which is not here.

Reference: Y. R. Dong, H. Lin, M. Belkin, R. Huerta, I. Vulić. "UNDIAL: Self-Distillation with Adjusted Logits for Robust
Unlearning in Large Language Models", NAACL 2025, arXiv 2402.10052.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches, and one pass forward of
the model before.
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from expunge.language.token_scores import MASKED
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class UNDIAL(LanguageMethod):
    """Self-distillation on adjusted logits.

    Args:
        beta: what is taken off the logit of each true token, > 0; 10 leaves next to nothing of it.
    """

    beta: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        before = reference.ask(lambda each: task.outputs(each, batch))
        return adjusted_cross_entropy(task.outputs(model, batch), before, task.answers(batch), self.beta)


def adjusted_cross_entropy(logits: Tensor, before: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Cross-entropy to softmax(before - beta * onehot(labels)), mean over an answer's tokens.

    Args:
        logits: shape (n, T, V).
        before: logits of the model before, shape (n, T, V).
        labels: shape (n, T); -100 where no answer token is.

    Returns:
        shape (n,), in nats per token.

    >>> import torch
    >>> both = torch.zeros(1, 1, 2)
    >>> adjusted_cross_entropy(both, both, torch.tensor([[0]]), 50.0).round(decimals=4)  # all on the other token
    tensor([0.6931])
    """
    answer = labels != MASKED
    true = F.one_hot(labels.where(answer, 0), logits.shape[2])
    target = (before - beta * true).softmax(2)
    each = -(target * logits.log_softmax(2)).sum(2)
    return (each * answer).sum(1) / answer.sum(1)
