"""The cell space: all networks that are made of two kinds of cells, and the supernet that holds them all.

A cell of N nodes has E = sum_{i<N} (2 + i) edges, from each input and earlier node to each node, and on each edge one of m
candidate operations may stand. Of the edges into a node two are kept.

Reference: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, section 2.1.
"""

from dataclasses import dataclass

import torch

from expunge.errors import BadSetting
from expunge.models.checks import check_count
from expunge.search.genotype import Gene, Genotype
from expunge.search.network import STEM_STRIDES, CellNetwork, Place, places
from expunge.search.operations import DARTS_OPERATIONS, NONE, OPERATIONS
from expunge.search.supernet import Supernet


@dataclass(frozen=True, kw_only=True)
class CellSpace:
    """A space of networks.

    Args:
        classes: how many there are to tell apart.
        operations: names of the candidates; one or more besides "none".
        nodes: N, of each cell.
        cells: L, of a network; those at L // 3 and 2 L // 3 are reductions.
        channels: C, of each node before the first reduction.
        in_channels: of the images.
        stem: the stem's channels are so many times C.
        stem_stride: of the stem: 2 halves images before the first cell, and costs to about a quarter; 4 halves them twice.

    Raises:
        BadSetting: if one of them makes no sense.

    >>> space = CellSpace(classes=10, nodes=2)
    >>> space.edges, len(space.operations)
    (5, 8)
    >>> space.build(space.random(torch.Generator().manual_seed(0)))(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    classes: int
    operations: tuple[str, ...] = DARTS_OPERATIONS
    nodes: int = 3
    cells: int = 3
    channels: int = 16
    in_channels: int = 1
    stem: int = 3
    stem_stride: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        for name in ("classes", "nodes", "cells", "channels", "in_channels", "stem", "stem_stride"):
            check_count(name, getattr(self, name))
        if self.stem_stride not in STEM_STRIDES:
            raise BadSetting(
                f"stem_stride is {', '.join(map(str, STEM_STRIDES[:-1]))} or {STEM_STRIDES[-1]}, not {self.stem_stride}"
            )
        if self.classes < 2 or self.cells < 2:
            raise BadSetting(f"classes and cells must be at least 2, not {self.classes} and {self.cells}")
        if unknown := [name for name in self.operations if name not in OPERATIONS]:
            raise BadSetting(f"unknown operation {unknown[0]!r}; there are {', '.join(OPERATIONS)}, or use register_operation")
        if len(set(self.operations)) < len(self.operations) or not set(self.operations) - {NONE}:
            raise BadSetting(f"operations must differ, and one be more than 'none'; they are {', '.join(self.operations)}")

    @property
    def edges(self) -> int:
        """E, of a cell with all its edges."""
        return sum(2 + node for node in range(self.nodes))

    @property
    def choices(self) -> tuple[str, ...]:
        """The operations that a found cell may have: all but "none"."""
        return tuple(name for name in self.operations if name != NONE)

    def places(self) -> list[Place]:
        """Where the cells of a network stand, first to last."""
        return places(self.cells, self.channels, self.nodes, self.stem)

    def random(self, generator: torch.Generator) -> Genotype:
        """A genotype of which all are as likely: two inputs for each node, and an operation for each of them."""

        def drawn() -> tuple[Gene, ...]:
            genes: list[Gene] = []
            for node in range(2, self.nodes + 2):
                sources = sorted(torch.randperm(node, generator=generator)[:2].tolist())
                picks = torch.randint(len(self.choices), (2,), generator=generator).tolist()
                genes += [(self.choices[pick], source) for pick, source in zip(picks, sources, strict=True)]
            return tuple(genes)

        return Genotype(drawn(), drawn())

    def build(
        self,
        genotype: Genotype,
        channels: int | None = None,
        cells: int | None = None,
        drop_path: float = 0.0,
        auxiliary: bool = False,
    ) -> CellNetwork:
        """The network of a genotype, with fresh weights.

        Args:
            genotype: may have other nodes and operations than the space, as published ones do.
            channels: C of this network, where it differs from the space's.
            cells: L of this network, where it differs from the space's.
            drop_path: see `CellNetwork`; from 0 to below 1.
            auxiliary: whether there is a second head in training.

        Raises:
            BadSetting: if a number makes no sense.
        """
        channels = check_count("channels", self.channels if channels is None else channels)
        cells = check_count("cells", self.cells if cells is None else cells)
        if not 0 <= drop_path < 1:
            raise BadSetting(f"drop_path must be 0 or more and below 1, not {drop_path}")
        shape = (cells, channels, self.in_channels, self.classes, self.stem)
        return CellNetwork(genotype, *shape, drop_path, auxiliary, self.stem_stride)

    def supernet(self, partial: int = 1, edge_normalisation: bool = False, sampled: bool = False) -> Supernet:
        """The network that holds all of the space; see `Supernet`.

        Raises:
            BadSetting: if the channels can't be divided so.
        """
        if check_count("partial", partial) > 1 and self.channels % partial:
            raise BadSetting(
                f"channels must be a multiple of partial, so that operations have a share: {self.channels} is none of {partial}"
            )
        shape = (self.operations, self.nodes, self.places(), self.in_channels, self.classes)
        return Supernet(*shape, partial, edge_normalisation, sampled, self.stem_stride)
