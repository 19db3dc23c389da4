"""Divergences between what two models say: pure functions on tensors, one value for each example.

The distillation methods (Bad Teacher, SCRUB, and later Blindspot, D2DGN, UniCLUN) and the audits all call these.
"""

import math

import torch.nn.functional as F
from torch import Tensor


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    r"""KL(teacher || student) between softened class probabilities, times T^2 so that gradients keep their scale.

        KL_i = T^2 * sum_c p_c log(p_c / q_c),    p = softmax(teacher / T),  q = softmax(student / T)

    Reference: G. Hinton, O. Vinyals, J. Dean. "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531.

    Args:
        student: logits, shape (n, ..., classes).
        teacher: logits, same shape.
        temperature: T > 0, no unit.

    Returns:
        shape (n,), in nats; dimensions between the first and the last are averaged.

    >>> import torch
    >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, math.log(3.0)]])).round(decimals=4)
    tensor([0.1308])
    """
    log_student = F.log_softmax(student / temperature, dim=-1)
    log_teacher = F.log_softmax(teacher / temperature, dim=-1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.flatten(1).mean(1) if divergence.dim() > 1 else temperature**2 * divergence


def js_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence between the class probabilities of two sets of logits, in units of log 2: 0 same, 1 disjoint.

    Args:
        first: logits, shape (n, classes).
        second: logits, same shape.

    Returns:
        shape (n,), between 0 and 1.

    >>> import torch
    >>> js_divergence(torch.tensor([[99.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 99.0], [5.0, 5.0]])).round(decimals=4)
    tensor([1., 0.])
    """
    p, q = F.softmax(first, dim=-1), F.softmax(second, dim=-1)
    log_middle = ((p + q) / 2).clamp_min(1e-30).log()
    halves = [F.kl_div(log_middle, part, reduction="none").sum(-1) for part in (p, q)]
    return ((halves[0] + halves[1]) / (2 * math.log(2))).clamp(0.0, 1.0)


def activation_distance(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance between the class probabilities of two sets of logits.

    Args:
        first: logits, shape (n, classes).
        second: logits, same shape.

    Returns:
        shape (n,), between 0 and sqrt(2).

    >>> import torch
    >>> activation_distance(torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 99.0]])).round(decimals=4)
    tensor([1.4142])
    """
    return (F.softmax(first, dim=-1) - F.softmax(second, dim=-1)).norm(dim=-1)


def bernoulli_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    r"""KL(teacher || student) between softened answers to yes-or-no questions, times T^2 so that gradients keep their scale.

        KL_i = T^2 * [ p log(p / q) + (1 - p) log((1 - p) / (1 - q)) ],    p = sigmoid(teacher / T),  q = sigmoid(student / T)

    Args:
        student: logits, shape (n,).
        teacher: logits, same shape.
        temperature: T > 0, no unit.

    Returns:
        shape (n,), in nats.

    >>> import torch
    >>> bernoulli_kl(torch.tensor([0.0, 2.0]), torch.tensor([math.log(3.0), 2.0])).round(decimals=4)
    tensor([0.1308, 0.0000])
    """
    student, teacher = student / temperature, teacher / temperature
    yes = F.logsigmoid(teacher) - F.logsigmoid(student)
    no = F.logsigmoid(-teacher) - F.logsigmoid(-student)
    share = teacher.sigmoid()
    return temperature**2 * (share * yes + (1 - share) * no)
