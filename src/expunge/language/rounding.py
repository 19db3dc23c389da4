"""Rounding weights to a few bits, as models are stored to take less memory.

    s = max_j |w_ij| / (2^(bits - 1) - 1),      w_ij -> s round(w_ij / s)          for each row i, one for each output

the nearest of 2^bits - 1 values that are the same on both sides of 0. Only what the values become is computed; they are kept as
they were, in floating point.
"""

from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting


def rounded(weight: Tensor, bits: int = 4) -> Tensor:
    """A matrix with each of its rows rounded to values that so many bits can tell apart.

    Args:
        weight: shape (outputs, inputs).
        bits: from 2 on.

    Returns:
        of the same shape and type; no entry is further from its own than half a step, max_j |w_ij| / (2^bits - 2).

    Raises:
        BadSetting: if the weight is no matrix or `bits` is below 2, which leaves nothing but 0.

    >>> rounded(torch.tensor([[0.7, -0.32, 0.04], [14.0, 3.2, -5.1]]), bits=4)
    tensor([[ 0.7000, -0.3000,  0.0000],
            [14.0000,  4.0000, -6.0000]])
    """
    if weight.dim() != 2 or bits < 2:
        raise BadSetting(f"rounding takes a matrix and 2 bits or more, not shape {tuple(weight.shape)} and {bits}")
    exact = weight.detach().double()
    steps = exact.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    return (steps * (exact / steps.where(steps > 0, torch.ones_like(steps))).round()).to(weight.dtype)


def round_linear_layers(model: nn.Module, bits: int = 4) -> int:
    """Round the weights of all linear layers in place, but for the last, which often is the embedding as well.

    Returns:
        how many were rounded.
    """
    of_head: Any = getattr(model, "get_output_embeddings", lambda: None)
    head = of_head()
    found = 0
    with torch.no_grad():
        for module in model.modules():
            across = type(module).__name__ == "Conv1D"  # GPT-2's linear layers, which hold their weights the other way round
            if module is head or not (across or isinstance(module, nn.Linear)):
                continue
            weight: Tensor = module.weight  # type: ignore[assignment]
            weight.copy_(rounded(weight.T, bits).T if across else rounded(weight, bits))
            found += 1
    return found
