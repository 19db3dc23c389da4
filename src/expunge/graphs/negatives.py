"""Pairs of nodes that are no edges: what link prediction learns to tell edges from.

Edges are kept as sorted numbers, so that a drawn pair is looked up in logarithmic time and no table of all pairs is made.
"""

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.graphs.graph import Graph


def non_edges(graph: Graph, count: int, generator: torch.Generator) -> Tensor:
    """Pairs of different nodes that are no edge of `graph`, drawn evenly and with replacement: shape (count, 2).

    Raises:
        BadSetting: if nearly all pairs are edges.
    """
    device, found, missing = graph.edges.device, list[Tensor](), count
    for _ in range(100 if graph.nodes > 1 else 0):
        drawn = torch.randint(graph.nodes, (missing + missing // 8 + 8, 2), generator=generator).to(device)
        found.append(drawn[(drawn[:, 0] != drawn[:, 1]) & ~graph.has(drawn)])
        missing -= len(found[-1])
        if missing <= 0:
            return torch.cat(found)[:count]
    raise BadSetting(f"{count:,} pairs that are no edges could not be drawn from {graph}: nearly all pairs are edges")


def corrupted(graph: Graph, triples: Tensor, generator: torch.Generator) -> Tensor:
    """Each triple with another head or tail, so that it is not in `graph` (after ten tries it is left as drawn): (n, 3)."""
    wrong = triples.clone()
    left = torch.arange(len(triples), device=triples.device)
    for _ in range(10):
        side = torch.randint(2, (len(left),), generator=generator).to(triples.device)
        wrong[left] = triples[left]
        wrong[left, side] = torch.randint(graph.nodes, (len(left),), generator=generator).to(triples.device)
        left = left[graph.has(wrong[left])]
        if not len(left):
            break
    return wrong


def negatives_of(graph: Graph, pairs: Tensor, each: int, generator: torch.Generator) -> Tensor:
    """`each` wrong pairs (or triples) for every one of `pairs`: shape (n * each, 2 or 3)."""
    if graph.relations:
        return corrupted(graph, pairs.repeat(each, 1), generator)
    return non_edges(graph, each * len(pairs), generator)
