"""<z_u, z_v> for many pairs at once, without a copy of all embeddings for either end.

A few thousand pairs are worked on at a time, forward and backward: what lies between is as large as those, however many pairs
there are.
"""

from typing import Any

import torch
from torch import Tensor

_PAIRS = 4096  # at a time


class _InnerProducts(torch.autograd.Function):
    @staticmethod
    def forward(embeddings: Tensor, first: Tensor, second: Tensor) -> Tensor:
        parts = zip(first.split(_PAIRS), second.split(_PAIRS), strict=True)
        found = [_plain(embeddings, *ends) for ends in parts]
        return torch.cat(found) if found else embeddings.new_empty(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        embeddings, first, second = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants the gradient of the gradient
            weights = gradient.unsqueeze(1)
            ours = torch.zeros_like(embeddings).index_add(0, first, weights * embeddings.index_select(0, second))
            theirs = torch.zeros_like(embeddings).index_add(0, second, weights * embeddings.index_select(0, first))
            return ours + theirs, None, None
        ours, theirs = torch.zeros_like(embeddings), torch.zeros_like(embeddings)
        for one, other, weights in zip(*(each.split(_PAIRS) for each in (first, second, gradient.unsqueeze(1))), strict=True):
            ours.index_add_(0, one, embeddings.index_select(0, other).mul_(weights))
            theirs.index_add_(0, other, embeddings.index_select(0, one).mul_(weights))
        return ours.add_(theirs), None, None


def inner_products(embeddings: Tensor, pairs: Tensor) -> Tensor:
    """<z_u, z_v> for each pair.

    Args:
        embeddings: of the nodes, shape (N, d).
        pairs: node numbers, shape (n, 2 or more); the first two columns are read.

    Returns:
        shape (n,); differentiable in `embeddings`, twice too.

    >>> inner_products(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0, 1], [1, 1]])).tolist()
    [11.0, 25.0]
    """
    return _InnerProducts.apply(embeddings, pairs[:, 0].contiguous(), pairs[:, 1].contiguous())


def _plain(embeddings: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (embeddings.index_select(0, first) * embeddings.index_select(0, second)).sum(1)
