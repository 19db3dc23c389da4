"""From architecture weights to a genotype, and how decided they are.

    score of an edge:  q_e max_{o not none} p_eo        the two best edges into each node are kept, each with its best operation
    decidedness:       1 - H(p_e) / ln m                0 for uniform weights, 1 for a single operation; the mean over edges

"none" has its share of p, and is never chosen.

References: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, section
2.4; the restriction on skip connections: X. Chen, L. Xie, J. Wu, Q. Tian. "Progressive DARTS", ICCV 2019, arXiv 1904.12760,
section 3.3.2.
"""

import math

import torch
from torch import Tensor

from expunge.search.genotype import KINDS, Gene, Genotype
from expunge.search.operations import NONE, SKIP
from expunge.search.supernet import Supernet


def derive(supernet: Supernet, max_skips: int | None = None) -> Genotype:
    """The genotype that the supernet's architecture weights prefer.

    Args:
        supernet: with its weights.
        max_skips: most skip connections in the normal cell: the weakest give way to the next best choice.
    """
    normal, reduction = (derive_cell(supernet.names, supernet.nodes, *supernet.shares(kind)) for kind in KINDS)
    if max_skips is not None and SKIP in supernet.names and len(supernet.names) > 1 + (NONE in supernet.names):
        weights, edges = supernet.shares("normal")
        weights = weights.clone()
        skip = supernet.names.index(SKIP)
        while len(taken := _edges_with(SKIP, normal)) > max_skips:
            weights[min(taken, key=lambda edge: float(weights[edge, skip] * (1 if edges is None else edges[edge]))), skip] = 0.0
            normal = derive_cell(supernet.names, supernet.nodes, weights, edges)
    return Genotype(normal, reduction)


def derive_cell(names: tuple[str, ...], nodes: int, weights: Tensor, edges: Tensor | None = None) -> tuple[Gene, ...]:
    """The pairs of a cell, each node's in the order of its inputs.

    Args:
        names: of the operations, m.
        nodes: of the cell.
        weights: p, shape (E, m).
        edges: q, shape (E,); 1 where None.

    >>> p = torch.tensor([[0.5, 0.3, 0.2], [0.0, 0.4, 0.6], [0.1, 0.1, 0.1], [0.0, 0.9, 0.1], [0.2, 0.0, 0.8]])
    >>> derive_cell(("none", "skip_connect", "sep_conv_3x3"), 2, p)
    (('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 1), ('sep_conv_3x3', 2))
    """
    real = [place for place, name in enumerate(names) if name != NONE]
    best, picks = weights[:, real].max(dim=1)
    scores = (best if edges is None else best * edges).tolist()
    genes: list[Gene] = []
    start = 0
    for node in range(nodes):
        sources = sorted(range(node + 2), key=lambda source: -scores[start + source])[:2]
        genes += [(names[real[int(picks[start + source])]], source) for source in sorted(sources)]
        start += node + 2
    return tuple(genes)


def entropy(weights: Tensor) -> Tensor:
    """H(p) of each edge in nats: (E, m) -> (E,).

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    return torch.special.entr(weights).sum(1)


def decidedness(weights: Tensor) -> float:
    """1 - H / ln m, the mean over edges: (E, m) -> from 0, nothing is decided, to 1. A choice of one is decided.

    >>> round(decidedness(torch.tensor([[0.9, 0.1]])), 3)
    0.531
    """
    options = weights.shape[1]
    return 1.0 if options == 1 else float(1.0 - entropy(weights).mean() / math.log(options))


def _edges_with(name: str, genes: tuple[Gene, ...]) -> list[int]:
    """The numbers of the edges on which an operation stands."""
    found = []
    for place, (operation, source) in enumerate(genes):
        if operation == name:
            found.append(sum(2 + earlier for earlier in range(place // 2)) + source)
    return found
