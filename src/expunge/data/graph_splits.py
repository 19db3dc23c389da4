"""Splits on graphs: what is trained on, what must go, what is held out, each with the graph on which it is read.

Link prediction: edges are held out, and what must go are edges of the training graph. Everything is read on the graph without
them, as the model is used afterwards. Node classification: what must go are nodes with all their edges. They are read on the
graph before the request, as if they came back; everything else on the graph without them.

Protocol of the links: J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete: A General Strategy for Unlearning in
Graph Neural Networks", ICLR 2023, arXiv 2302.13406.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from expunge.errors import BadRequest, BadSetting
from expunge.graphs import Graph, LinkBatches, NodeBatches
from expunge.graphs.negatives import negatives_of
from expunge.split import Split


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """Edges to train on, to validate on and to test on, with as many wrong pairs for each of the last two.

    Args:
        graph: holds the training edges only.
        validation: held-out edges that methods may look at, shape (n, 2 or 3).
        test: held-out edges that only audits look at.
        negatives: wrong pairs beside `test`, drawn once, none of which is an edge of any part.
        batch_size: pairs in a batch of training; None for all in one.
        fanout: see :class:`~expunge.graphs.LinkBatches`.
    """

    graph: Graph
    validation: Tensor
    test: Tensor
    negatives: Tensor
    batch_size: int | None = None
    fanout: tuple[int, ...] | None = None

    def training(self, graph: Graph | None = None) -> LinkBatches:
        """The stream that a model is trained on: all edges of a graph, that of training when None, with one negative each."""
        graph = graph or self.graph
        return LinkBatches(graph, graph.edges, None, 1, self.batch_size, self.fanout)

    def without(self, rows: Tensor, kind: Callable[[Tensor], Tensor] | None = None) -> Split:
        """The split for a request: some rows of the training graph's edges must go, given by number or as a mask.

        Args:
            rows: of the training graph's `edges`.
            kind: tells, of edges (n, 2 or 3), which are of the kind that goes (bool, (n,)), where a kind of edge goes, such as
                a relation or the edges of some nodes. Held-out edges of that kind are then what unseen edges like those to
                forget are; where none was held out, no attack can be judged.

        Raises:
            BadRequest: if no row is given, or no edge would be left.
        """
        if rows.dtype == torch.bool:
            rows = rows.nonzero().flatten()
        if not len(rows) or len(rows) == len(self.graph.edges):
            what = "no edge is named" if not len(rows) else "no edge would be left"
            raise BadRequest(f"the request cannot be served: {what} (the training graph has {len(self.graph.edges):,} edges)")
        left = self.graph.without_edges(rows)
        true, false, like, validation = self.test, self.negatives, self.test, self.validation
        if kind is not None:
            true, false, like = true[~kind(true)], false[~kind(false)], true[kind(true)]
            validation = validation[kind(validation)]
        labels = torch.cat([torch.ones(len(true)), torch.zeros(len(false))])
        return Split(
            forget=LinkBatches(left, self.graph.edges[rows], None, 0, self.batch_size, self.fanout),
            retain=self.training(left),
            holdout=LinkBatches(left, torch.cat([true, false]), labels),
            holdout_forget=LinkBatches(left, like),
            validation_forget=LinkBatches(left, validation),
            kind=kind is not None,
        )


def split_links(
    graph: Graph,
    validation: float = 0.05,
    test: float = 0.05,
    seed: int = 0,
    batch_size: int | None = None,
    fanout: tuple[int, ...] | None = None,
) -> LinkSplit:
    """Hold out a share of the edges for validation and another for testing, drawn at random.

    Raises:
        BadSetting: if a share is no share, or leaves one of the three parts empty.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise BadSetting(f"validation and test must be shares that leave something to train on, not {validation} and {test}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(graph.edges), generator=generator)
    sizes = [int(len(order) * share) for share in (validation, test)]
    if min(sizes) < 1:
        raise BadSetting(f"{graph} has too few edges to hold out {validation:g} and {test:g} of them")
    seen, unseen, held = order[: sizes[0]], order[sizes[0] : sum(sizes)], order[: sum(sizes)]
    return LinkSplit(
        replace(graph.without_edges(held), before=None),
        graph.edges[seen],
        graph.edges[unseen],
        negatives_of(graph, graph.edges[unseen], 1, generator),
        batch_size,
        fanout,
    )


@dataclass(frozen=True, eq=False)
class NodeSplit:
    """Nodes to train on, to validate on and to test on, of a graph in which all of them are connected.

    Args:
        graph: with labels.
        train: node numbers, shape (n,).
        validation: that methods may look at.
        test: that only audits look at.
        batch_size: nodes in a batch of training; None for all in one.
        fanout: see :class:`~expunge.graphs.NodeBatches`.
    """

    graph: Graph
    train: Tensor
    validation: Tensor
    test: Tensor
    batch_size: int | None = None
    fanout: tuple[int, ...] | None = None

    def training(self) -> NodeBatches:
        """The stream that a model is trained on."""
        return self._batches(self.graph, self.train)

    def without(self, nodes: Tensor, kind: Callable[[Tensor], Tensor] | None = None) -> Split:
        """The split for a request: some of the training nodes must go, with all their edges.

        Args:
            nodes: node numbers.
            kind: tells, of node numbers, which are of the kind that goes (bool, same shape), where a kind of thing goes.

        Raises:
            BadRequest: if none is given, one is no training node, or none would be left.
        """
        if not len(nodes):
            raise BadRequest("the request cannot be served: no node is named")
        if len(nodes) > len(torch.unique(nodes)):
            raise BadRequest("a node is named more than once; name each node to forget once")
        if len(strange := nodes[~torch.isin(nodes, self.train)]):
            raise BadRequest(f"node {int(strange[0]):,} is not one of the {len(self.train):,} training nodes")
        stays = self.train[~torch.isin(self.train, nodes)]
        if not len(stays):
            raise BadRequest("the request cannot be served: no training node would be left")
        left = self.graph.without_nodes(nodes)
        goes, retain = self._batches(self.graph, nodes), self._batches(left, stays)
        if kind is None:
            return Split(goes, retain, self._batches(left, self.test), None, self._batches(left, self.validation))
        of_kind = kind(self.test)
        return Split(
            forget=goes,
            retain=retain,
            holdout=self._batches(left, self.test[~of_kind]),
            holdout_forget=self._batches(self.graph, self.test[of_kind]),  # as what goes is read
            validation_forget=self._batches(self.graph, self.validation[kind(self.validation)]),
            kind=True,
        )

    def _batches(self, graph: Graph, nodes: Tensor) -> NodeBatches:
        return NodeBatches(graph, nodes, self.batch_size, self.fanout)


def split_nodes(
    graph: Graph,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    batch_size: int | None = None,
    fanout: tuple[int, ...] | None = None,
) -> NodeSplit:
    """Hold out a share of the labelled nodes for validation and another for testing, drawn at random.

    Raises:
        BadSetting: if a share is no share, or leaves one of the three parts empty.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise BadSetting(f"validation and test must be shares that leave something to train on, not {validation} and {test}")
    if graph.labels is None:
        raise BadSetting(f"{graph} has no labels, so its nodes cannot be classified; predict its links")
    known = (graph.labels >= 0).nonzero().flatten()
    order = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))]
    sizes = [int(len(order) * share) for share in (validation, test)]
    if min(sizes) < 1:
        raise BadSetting(f"{graph} has too few labelled nodes to hold out {validation:g} and {test:g} of them")
    parts = order.split([sizes[0], sizes[1], len(order) - sum(sizes)])
    return NodeSplit(graph, parts[2], parts[0], parts[1], batch_size, fanout)
