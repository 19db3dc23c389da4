"""Inputs that are learned, such as noise that a model takes for a class, and batches that are made of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from expunge.graphs import Graph, NodeBatch


class Noise(nn.Module):
    """Inputs that are learned. Shapes: row numbers (n,) -> (n, ...)."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, rows: Tensor) -> Tensor:
        return self.values[rows]


def batches_like(batch: Any) -> Callable[[Tensor, Tensor], Any]:
    """Makes batches of inputs and labels of the kind that `batch` is: pairs, or of a graph nodes without an edge."""
    return _nodes if hasattr(batch, "graph") else _pairs


def _pairs(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return values, labels


def _nodes(values: Tensor, labels: Tensor) -> NodeBatch:
    nodes = torch.arange(len(labels), device=labels.device)
    return NodeBatch(nodes, labels, Graph(len(labels), labels.new_zeros(0, 2), values, labels))
