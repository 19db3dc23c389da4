"""The dampening kernel: shrink the parameters that serve one group much more than another."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def dampen(
    model: nn.Module,
    reference: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    cutoff: float,
    constant: float = 1.0,
    upper: float = 1.0,
) -> dict[str, float]:
    r"""Dampen `model` in place wherever `target` outweighs `reference`.

        ratio_j = reference_j / target_j
        theta_j <- min(constant * ratio_j, upper) * theta_j     where ratio_j < cutoff

    A parameter that serves neither group (0/0) or only the reference (x/0) is never touched. Selective Synaptic Dampening is
    this with Fisher information and cutoff = 1/alpha; contribution dampening (ConDa) is this with recorded client updates.

    Args:
        reference: importance for all that may stay, a tensor >= 0 of each parameter's shape, by name.
        target: importance for what must go, same shapes.
        cutoff: >= 0; at 0 nothing changes.
        constant: factor on the ratio, >= 0.
        upper: largest factor; 1 keeps every parameter from growing.

    Returns:
        the share of scalars that were dampened, by parameter name.
    """
    shares = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in target:
                continue
            ratio = reference[name] / target[name]
            selected = ratio < cutoff  # false for NaN and infinity
            factor = (constant * ratio).clamp(max=upper)
            parameter.copy_(torch.where(selected, factor * parameter, parameter))
            shares[name] = selected.float().mean().item()
    return shares
