"""The losses of continual learners beside cross-entropy: what a teacher remembers, and what embeddings have in common.

    online distillation      mean_i w_i |T(x_i) - S(x_i)|^2,      w_i = softmax(T(x_i) / rho)[y_i]
    contrastive distillation - mean_i 1/|P_i| sum_{p in P_i} log( exp(a_i . c_p / tau) / sum_j exp(a_i . c_j / tau) )

P_i are the entries c_p of another set whose label is that of the anchor a_i. With the anchors themselves as that other set, and
each left out of its own, it is the supervised contrastive loss.

References: see :mod:`expunge.continual.uniclun`. P. Khosla et al. "Supervised Contrastive Learning", NeurIPS 2020,
arXiv 2004.11362.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def online_distillation(student: Tensor, teacher: Tensor, labels: Tensor, rho: float = 1.0) -> Tensor:
    """Squared distance of logits, a mean over classes, weighed by how sure the teacher is of the label: shape (n,).

    Args:
        student, teacher: logits, shape (n, classes).
        labels: shape (n,).
        rho: temperature of the weight.

    >>> online_distillation(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.2500])
    """
    weight = F.softmax(teacher / rho, dim=1).gather(1, labels[:, None])[:, 0]
    return weight * (student - teacher).square().mean(1)


def contrastive(anchors: Tensor, others: Tensor, labels: Tensor, tau: float, same: bool = False) -> Tensor:
    """How badly the entries of the same label stand out among all, for each anchor: shape (n,).

    Args:
        anchors: unit vectors, shape (n, d).
        others: unit vectors with the same labels in the same order, or several such sets after one another: shape (k n, d).
        labels: of the anchors, shape (n,).
        tau: temperature.
        same: whether the first n of `others` are the anchors: each is then left out of its own sums, and is worth 0 where no
            other has its label.
    """
    copies = len(others) // len(anchors)
    near = anchors @ others.T / tau
    positive = labels[:, None] == labels.repeat(copies)[None, :]
    if same:
        itself = torch.eye(len(anchors), dtype=torch.bool, device=near.device).repeat(1, copies)
        itself[:, len(anchors) :] = False
        near, positive = near.masked_fill(itself, -torch.inf), positive & ~itself
    share = near.log_softmax(1).masked_fill(~positive, 0.0)
    return -share.sum(1) / positive.sum(1).clamp(min=1)
