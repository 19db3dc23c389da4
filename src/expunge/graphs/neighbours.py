"""A part of a graph around some nodes, for graphs that do not fit: each step outward takes a few neighbours of each node.

Reference: W. Hamilton, R. Ying, J. Leskovec. "Inductive Representation Learning on Large Graphs", NeurIPS 2017,
arXiv 1706.02216.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.graphs.graph import Graph


def sampled(graph: Graph, seeds: Tensor, fanout: Sequence[int], generator: torch.Generator) -> tuple[Graph, Tensor]:
    """The edges met on a walk outward from `seeds`, and the nodes at their ends.

    Args:
        seeds: node numbers, shape (n,), in any order and as often as one likes.
        fanout: for each step outward, the most neighbours that are drawn of each node reached by the step before, without
            replacement; -1 for all.

    Returns:
        the part, whose `ids` are its nodes' numbers in `graph`, the seeds among them; and the place of each seed in it, (n,).
    """
    if any(size == 0 or size < -1 for size in fanout):
        raise BadSetting(f"a fanout holds numbers above 0, or -1 for all neighbours, not {tuple(fanout)}")
    starts, order = _rows(graph)
    frontier = torch.unique(seeds.cpu())
    known, taken = frontier, list[Tensor]()
    for size in fanout:
        ends = _some(starts, frontier, size, generator)
        columns = order[ends]
        taken.append(columns % max(1, len(graph.edges)))  # a column of edge_index, as the row of `edges`
        reached = torch.unique(graph.edge_index[1, columns].cpu())
        frontier = reached[~torch.isin(reached, known)]
        known = torch.cat([known, frontier]).sort().values
    rows = torch.unique(torch.cat(taken)) if taken else order.new_empty(0)
    return part(graph, rows, known), torch.searchsorted(known, seeds.cpu()).to(seeds.device)


def part(graph: Graph, rows: Tensor, nodes: Tensor) -> Graph:
    """Some rows of `edges` among some nodes (sorted), with the nodes counted anew."""
    edges, nodes = graph.edges[rows], nodes.to(graph.edges.device)
    edges[:, :2] = torch.searchsorted(nodes, edges[:, :2].contiguous())
    features = None if graph.features is None else graph.features[nodes]
    labels = None if graph.labels is None else graph.labels[nodes]
    return Graph(len(nodes), edges, features, labels, graph.relations, graph.global_ids[nodes])


def _rows(graph: Graph) -> tuple[Tensor, Tensor]:
    """Where each node's columns of `edge_index` begin in an order by their first end, (N + 1,), and that order, (2m,)."""

    def build() -> tuple[Tensor, Tensor]:
        source = graph.edge_index[0].cpu()
        starts = torch.zeros(graph.nodes + 1, dtype=torch.long)
        starts[1:] = torch.bincount(source, minlength=graph.nodes).cumsum(0)
        return starts, source.argsort(stable=True)

    found: tuple[Tensor, Tensor] = graph.kept("rows by source", build)
    return found


def _some(starts: Tensor, nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """For each node up to `size` of its places in the order, drawn without replacement; the places of all, joined."""
    counts = starts[nodes + 1] - starts[nodes]
    owner = torch.arange(len(nodes)).repeat_interleave(counts)
    within = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
    places = starts[nodes][owner] + within
    if size < 0 or not len(places):
        return places
    shuffled = torch.rand(len(places), generator=generator, dtype=torch.double).add_(owner).argsort()
    return places[shuffled[within < size]]  # sorted by owner, so that `within` counts each owner's draws
