"""Multiply-accumulates: what one forward pass over the graph costs, whatever machine it runs on.

    macs = sum over layers of  entries(H) d_out  for each weight  +  entries(S) d_out  for the propagation  +  extra

H is what a layer reads, with N d_in entries, or as many as are not 0 in sparse features; S is the layer's operator over the
graph. Sums, activations and the reading of answers from embeddings are not counted. `extra` is what a method has put into the
network, by the network's own account (`extra_macs`, a number or a function without arguments). A network of other layers is
run, and its products are counted as they happen, but not what it keeps with the graph for every later pass; where that fails,
the figure is left out.

Reference: operators beside the network's own as in J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete: A General
Strategy for Unlearning in Graph Neural Networks", ICLR 2023, arXiv 2302.13406.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.engine import on_device_of
from expunge.graphs import Graph
from expunge.modes import evaluating
from expunge.sparse import SparseMatrix
from expunge.tasks import GraphTask
from expunge.tasks.graph import unwrapped

_TO_ITSELF = {"GCNConv": True, "GATConv": True, "SAGEConv": False, "GINConv": False}  # whether a node sends to itself as well


@dataclass(frozen=True)
class MultiplyAccumulates(Audit):
    """Operations of one forward pass over the graph of the holdout set, or of the retain set where there is none."""

    takes = (GraphTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "macs": "multiply-accumulate operations of one forward pass over the graph; ideal: the retrained model's"
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        value = self.measure(subject)
        if value is None:
            return {}
        ideal = None if references.gold is None else self.measure(references.gold)
        return {"macs": Figure(float(value), None if ideal is None else float(ideal))}

    def measure(self, subject: Subject) -> int | None:
        """Operations of one subject, kept with it; None where they cannot be counted."""
        if self not in subject.memory:
            batch = next((batch for part in ("holdout", "retain") for batch in subject.batches(part)), None)
            subject.memory[self] = None if batch is None else _operations(subject, batch)
        return subject.memory[self]


def _operations(subject: Subject, batch: Any) -> int | None:
    network = unwrapped(subject.model)
    known = by_formula(network, batch.graph)
    if known is None:
        return counted(subject.task, subject.model, batch)
    extra = getattr(network, "extra_macs", 0)
    return known + int(extra() if callable(extra) else extra)


def by_formula(network: nn.Module, graph: Graph) -> int | None:
    """Operations of the library's own stacks of layers on a graph, without `extra_macs`; None for another network."""
    parts: list[Any] = list(network.modules())
    stacks = [part.convs for part in parts if isinstance(getattr(part, "convs", None), nn.ModuleList)]
    layers = [layer for stack in stacks for layer in stack]
    ours = bool(layers) and all(_sends(layer, graph) is not None for layer in layers)
    if not ours or not getattr(network, "reads_graph", False) or graph.features is None:
        return None
    others = _parameters(network) - sum(_parameters(layer) for layer in layers)
    if others and not hasattr(network, "extra_macs"):
        return None
    first = graph.features.entries if isinstance(graph.features, SparseMatrix) else graph.features.numel()
    return sum(_of_layer(layer, graph, None if place else first) for stack in stacks for place, layer in enumerate(stack))


def _of_layer(layer: nn.Module, graph: Graph, entries: int | None) -> int:
    """Operations of one layer, which reads so many numbers; values of every node where `entries` is None."""
    weights = [weight for weight in layer.parameters() if weight.dim() == 2]
    vectors = [vector for vector in layer.parameters() if vector.dim() == 3]  # of attention
    products = sum((graph.nodes * len(each.T) if entries is None else entries) * len(each) for each in weights)
    attention = sum(graph.nodes * each.numel() for each in vectors)
    return products + attention + (_sends(layer, graph) or 0) * len(weights[0])


def counted(task: Any, model: nn.Module, batch: Any) -> int | None:
    """Operations that happen when a network runs on a graph: products, sparse products, and values summed over edges."""
    aten = torch.ops.aten
    formulas = {aten.mm: _of_product, aten.scatter_add: _of_sums, aten.scatter_add_: _of_sums}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    batch = on_device_of(model, batch)
    with torch.no_grad(), evaluating(model):
        task.embed(model, batch.graph)  # what it keeps with the graph is made once, and not in every pass
        try:
            with counter:
                task.embed(model, batch.graph)
        except (RuntimeError, NotImplementedError, AssertionError):  # what the counter says of tensors it cannot look into
            return None
    return counter.get_total_flops() // 2 or None


def _of_tensors(formula: Any) -> Any:
    """Marks a formula, so that the counter hands tensors to it and not their shapes alone."""
    formula._get_raw = True
    return formula


@_of_tensors
def _of_product(first: Tensor, second: Tensor, *rest: Any, **named: Any) -> int:
    """Twice the operations of a product; the counter's own formula takes a sparse matrix for a full one."""
    entries = first.numel() if first.layout == torch.strided else first.values().numel()
    return 2 * entries * second.shape[1]


@_of_tensors
def _of_sums(into: Tensor, dim: int, index: Tensor, values: Tensor, *rest: Any, **named: Any) -> int:
    """Twice the operations of a sum over edges, one for each value that is sent; degrees, a number an edge, do not count."""
    return 2 * math.prod(values.shape) if values.dim() > 1 else 0


def _sends(layer: nn.Module, graph: Graph) -> int | None:
    """How many values of each channel a layer sends along edges; None where the layer is not one of the library's."""
    kind = next((kind.__name__ for kind in type(layer).__mro__ if kind.__name__ in _TO_ITSELF), None)
    return None if kind is None else graph.edge_index.shape[1] + graph.nodes * _TO_ITSELF[kind]


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
