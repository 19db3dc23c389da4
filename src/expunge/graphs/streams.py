"""Streams over a graph: batches of edges or of nodes that carry the graph on which they are to be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from expunge.errors import BadRequest, BadSetting
from expunge.graphs.graph import Graph
from expunge.graphs.negatives import negatives_of
from expunge.graphs.neighbours import sampled


class LinkBatch(NamedTuple):
    """Pairs of nodes (or triples), whether each is an edge, and the graph over which messages pass.

    Shapes: pairs (n, 2 or 3), int64; labels (n,), 1.0 for edges and 0.0 for pairs that are none.
    """

    pairs: Tensor
    labels: Tensor
    graph: Graph

    @property
    def named(self) -> Tensor:
        """The nodes at the ends of the pairs, each once, sorted."""
        return torch.unique(self.pairs[:, :2])

    def on(self, graph: Graph) -> "LinkBatch":
        """The same pairs, read on another graph with the same nodes."""
        return self._replace(graph=graph)

    def beside(self, other: "LinkBatch") -> "LinkBatch":
        """Both batches as one, this one first; where their graphs differ, on both graphs side by side."""
        pairs = other.pairs
        if other.graph is not self.graph:
            pairs = pairs.clone()
            pairs[:, :2] += self.graph.nodes
        return LinkBatch(torch.cat([self.pairs, pairs]), torch.cat([self.labels, other.labels]), _both(self.graph, other.graph))


class NodeBatch(NamedTuple):
    """Nodes, their classes, and the graph over which messages pass. Shapes: nodes (n,), labels (n,), both int64."""

    nodes: Tensor
    labels: Tensor
    graph: Graph

    @property
    def named(self) -> Tensor:
        """The nodes, each once, sorted."""
        return torch.unique(self.nodes)

    def on(self, graph: Graph) -> "NodeBatch":
        """The same nodes, read on another graph with the same nodes."""
        return self._replace(graph=graph)

    def beside(self, other: "NodeBatch") -> "NodeBatch":
        """Both batches as one, this one first; where their graphs differ, on both graphs side by side."""
        shift = 0 if other.graph is self.graph else self.graph.nodes
        return NodeBatch(
            torch.cat([self.nodes, other.nodes + shift]),
            torch.cat([self.labels, other.labels]),
            _both(self.graph, other.graph),
        )


def _both(first: Graph, second: Graph) -> Graph:
    return first if second is first else first.union(second)


@dataclass(frozen=True, eq=False)
class LinkBatches:
    """A stream of pairs on a graph.

    Iterated plainly it gives all pairs with their labels in one batch, on the whole graph: that is how they are audited.
    `epoch`, which training asks for, adds fresh negatives, shuffles, and samples the graph where it is too large.

    Args:
        graph: over which messages pass.
        pairs: shape (n, 2), or triples (n, 3).
        labels: 1.0 for edges, 0.0 for pairs that are none, shape (n,); all edges when None.
        negatives: wrong pairs that training adds for each pair, drawn anew in each epoch from what is no edge of `graph`.
        batch_size: pairs in a batch, negatives not counted; None for all in one.
        fanout: neighbours drawn in each step outward from the pairs of a batch, one number for each layer of the network; None
            for the whole graph in every batch.

    >>> graph = Graph.of(5, [[0, 1], [1, 2], [2, 3]])
    >>> [batch.labels.tolist() for batch in LinkBatches(graph, graph.edges, negatives=1).epoch(torch.Generator())]
    [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]
    """

    graph: Graph
    pairs: Tensor
    labels: Tensor | None = None
    negatives: int = 0
    batch_size: int | None = None
    fanout: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_sizes(self.batch_size, self.fanout)
        if self.negatives < 0:
            raise BadSetting(f"negatives must be 0 or more, not {self.negatives}")

    def __len__(self) -> int:
        return _batch_count(self.examples, self.batch_size)

    @property
    def examples(self) -> int:
        """Pairs in one pass, negatives not counted."""
        return len(self.pairs)

    @property
    def all_labels(self) -> Tensor:
        """The label of each pair, shape (n,)."""
        return torch.ones(len(self.pairs), device=self.pairs.device) if self.labels is None else self.labels

    def __iter__(self) -> Iterator[LinkBatch]:
        return iter([LinkBatch(self.pairs, self.all_labels, self.graph)] if self.examples else [])

    def epoch(self, generator: torch.Generator) -> Iterator[LinkBatch]:
        """One pass for training; every draw comes from `generator`."""
        for rows in _orders(self.examples, self.batch_size, generator):
            pairs, labels = self.pairs[rows], self.all_labels[rows]
            if self.negatives:
                wrong = negatives_of(self.graph, pairs, self.negatives, generator)
                pairs, labels = torch.cat([pairs, wrong]), torch.cat([labels, labels.new_zeros(len(wrong))])
            if self.fanout is None:
                yield LinkBatch(pairs, labels, self.graph)
            else:
                part, places = sampled(self.graph, pairs[:, :2].flatten(), self.fanout, generator)
                yield LinkBatch(torch.cat([places.view(-1, 2), pairs[:, 2:]], 1), labels, part)

    def on(self, graph: Graph) -> "LinkBatches":
        """The same pairs on another graph."""
        return replace(self, graph=graph)

    def with_batch_size(self, batch_size: int | None) -> "LinkBatches":
        """The same pairs in batches of another size."""
        return replace(self, batch_size=batch_size)


@dataclass(frozen=True, eq=False)
class NodeBatches:
    """A stream of nodes of a graph, with their classes. Iterated plainly it gives all nodes in one batch, on the whole graph.

    Args:
        graph: over which messages pass; it has labels.
        nodes: shape (n,), int64.
        batch_size: nodes in a batch; None for all in one.
        fanout: as of :class:`LinkBatches`.
    """

    graph: Graph
    nodes: Tensor
    batch_size: int | None = None
    fanout: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_sizes(self.batch_size, self.fanout)
        if self.graph.labels is None:
            raise BadRequest("nodes cannot be told apart by class: this graph has no labels")

    def __len__(self) -> int:
        return _batch_count(self.examples, self.batch_size)

    @property
    def examples(self) -> int:
        """Nodes in one pass."""
        return len(self.nodes)

    def __iter__(self) -> Iterator[NodeBatch]:
        return iter([self._batch(self.nodes)] if self.examples else [])

    def epoch(self, generator: torch.Generator) -> Iterator[NodeBatch]:
        """One pass for training; every draw comes from `generator`."""
        for rows in _orders(self.examples, self.batch_size, generator):
            batch = self._batch(self.nodes[rows])
            if self.fanout is not None:
                part, places = sampled(self.graph, batch.nodes, self.fanout, generator)
                batch = NodeBatch(places, batch.labels, part)
            yield batch

    def _batch(self, nodes: Tensor) -> NodeBatch:
        assert self.graph.labels is not None
        return NodeBatch(nodes, self.graph.labels[nodes], self.graph)

    def on(self, graph: Graph) -> "NodeBatches":
        """The same nodes on another graph."""
        return replace(self, graph=graph)

    def with_batch_size(self, batch_size: int | None) -> "NodeBatches":
        """The same nodes in batches of another size."""
        return replace(self, batch_size=batch_size)


def _orders(count: int, batch_size: int | None, generator: torch.Generator) -> Sequence[Tensor]:
    if not count:
        return ()
    if batch_size is None or batch_size >= count:
        return (torch.arange(count),)  # in one batch, order does not matter
    return torch.randperm(count, generator=generator).split(batch_size)


def _batch_count(examples: int, batch_size: int | None) -> int:
    return -(-examples // (batch_size or max(1, examples)))


def _check_sizes(batch_size: int | None, fanout: tuple[int, ...] | None) -> None:
    if batch_size is not None and batch_size < 1:
        raise BadSetting(f"batch_size must be at least 1, not {batch_size}")
    if fanout is not None and (not fanout or any(size == 0 or size < -1 for size in fanout)):
        raise BadSetting(f"a fanout holds numbers above 0, or -1 for all neighbours, not {fanout}")
