"""What a network costs that the architecture weights have not settled yet.

Of the edges into a node two are kept. With p over the operations but "none" and q over the edges (uniform where edges have no
weights), cost_eo being what operation o costs on edge e, over all cells of a kind:

    E[cost] = fixed + sum_e 2 q_e sum_o p_eo cost_eo

which for uniform p and q is exactly the mean over random genotypes. Costs are multiply-accumulates, or seconds as measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from expunge.search.cost import latency, macs
from expunge.search.genotype import KINDS, Genotype
from expunge.search.network import Inputs, reductions
from expunge.search.operations import NONE, operation

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ExpectedCost:
    """A table of costs.

    Args:
        unit: "MACs" or "seconds".
        names: of the operations, m.
        nodes: of a cell.
        normal: cost of each operation on each edge, over all normal cells, (E, m).
        reduction: the same over all reductions.
        fixed: cost of what all networks have.
    """

    unit: str
    names: tuple[str, ...]
    nodes: int
    normal: Table
    reduction: Table
    fixed: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        for kind in KINDS:
            object.__setattr__(self, kind, tuple(tuple(row) for row in getattr(self, kind)))

    def __call__(self, weights: Mapping[str, Tensor], edges: Mapping[str, Tensor]) -> Tensor:
        """E[cost], a scalar, by p (E, m) of each kind, "none" included, and q (E,) of those kinds that have it."""
        total: Any = self.fixed
        real = [place for place, name in enumerate(self.names) if name != NONE]
        for kind in KINDS:
            p = weights[kind][:, real]
            table = torch.tensor(getattr(self, kind), dtype=p.dtype, device=p.device)[:, real]
            q = edges[kind] if kind in edges else self._uniform(p)
            total = total + 2 * (q * (p / p.sum(1, keepdim=True) * table).sum(1)).sum()
        return total

    def of(self, genotype: Genotype) -> float:
        """Cost of the network of a genotype of as many nodes; as built, where costs are MACs."""
        found = self.fixed
        for kind in KINDS:
            for place, (name, source) in enumerate(genotype.cell(kind)):
                node = place // 2
                edge = sum(2 + earlier for earlier in range(node)) + source
                found += getattr(self, kind)[edge][self.names.index(name)]
        return found

    @property
    def mean_random(self) -> float:
        """The mean over random genotypes."""
        uniform = torch.ones(len(self.normal), len(self.names), dtype=torch.float64)
        return float(self(dict.fromkeys(KINDS, uniform), {}))

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.cat([torch.full((2 + node,), 1 / (2 + node)) for node in range(self.nodes)]).to(like)


def expected_cost(space: Any, size: tuple[int, int], unit: Literal["MACs", "seconds"] = "MACs", runs: int = 50) -> ExpectedCost:
    """The costs of a space, for images of a size.

    Args:
        space: a `CellSpace`.
        size: (height, width) of the images.
        unit: "MACs", or "seconds": each operation is measured at batch 1 on the CPU, with torch's threads as they are.
        runs: over which the median time is taken.

    >>> from expunge.search import CellSpace
    >>> space = CellSpace(classes=10, nodes=2, channels=8)
    >>> genotype = space.random(torch.Generator().manual_seed(0))
    >>> expected_cost(space, (8, 8)).of(genotype) == macs(space.build(genotype), (1, 8, 8))
    True
    """
    seen: dict[tuple[Any, ...], float] = {}

    def cost(key: tuple[Any, ...], module: nn.Module, *shapes: tuple[int, ...]) -> float:
        if key not in seen:
            inputs = [torch.zeros(1, *shape) for shape in shapes]
            seen[key] = float(macs(module, *shapes)) if unit == "MACs" else latency(module, inputs, runs)
        return seen[key]

    network = space.build(space.random(torch.Generator().manual_seed(0)))
    whole = (space.in_channels, *size)
    fixed = cost(("stem",), network.stem, whole) + cost(("head",), network.head, (network.head.in_features,))
    tables = {kind: torch.zeros(space.edges, len(space.operations), dtype=torch.float64) for kind in KINDS}
    inside = (-(-size[0] // space.stem_stride), -(-size[1] // space.stem_stride))
    before, now = inside, inside
    for index, place in enumerate(space.places()):
        shapes = ((place.before[0], *before), (place.before[1], *now))
        fixed += cost(("inputs", index), Inputs(place, affine=True), *shapes)
        after = (-(-now[0] // 2), -(-now[1] // 2)) if index in reductions(space.cells) else now
        for edge, source in enumerate(source for node in range(space.nodes) for source in range(node + 2)):
            stride = place.stride(source)
            shape = (place.channels, *(now if source < 2 else after))
            for column, name in enumerate(space.operations):
                if name != NONE:
                    made = operation(name, place.channels, stride)
                    tables[place.kind][edge, column] += cost((name, stride, shape), made, shape)
        before, now = now, after
    rows = {kind: tuple(tuple(row) for row in table.tolist()) for kind, table in tables.items()}
    return ExpectedCost(unit, space.operations, space.nodes, rows["normal"], rows["reduction"], fixed)
