"""Forget parts of a graph: edges, relations, nodes, classes of nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from expunge.errors import BadRequest
from expunge.requests.graph_request import (
    GraphContext,
    GraphRequest,
    Name,
    as_tuple,
    check_draw,
    check_named_or_drawn,
    checked_name,
    class_numbers,
    draw_in_words,
    drawn,
    is_any,
    labels_of,
    named_in_words,
    numbered,
    one_or_more,
    share_of,
)
from expunge.requests.request import counted, integer

__all__ = [
    "ForgetEdgeList",
    "ForgetEdges",
    "ForgetEdgesBetween",
    "ForgetLabel",
    "ForgetNodes",
    "ForgetRelation",
    "GraphContext",
    "GraphRequest",
]


@dataclass(frozen=True)
class ForgetEdges(GraphRequest):
    """Some of the training edges, drawn at random.

    Reference: J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete", ICLR 2023, arXiv 2302.13406.

    Args:
        fraction: the part of the training edges to forget, below 1, at least one edge; from 1 it is a number of edges.
        where: what is drawn from: "in" are the edges whose ends both lie within `hops` steps of an end of some test edge,
            "out" are all others, "any" are all.
        hops: steps in the training graph, against an edge's direction too.
        seed: of the draw; the same seed draws the same edges.

    >>> from expunge.graphs import Graph
    >>> path = GraphContext(Graph.of(5, [[0, 1], [1, 2], [2, 3], [3, 4]]), test=torch.tensor([[0, 2]]))
    >>> ForgetEdges(1, "out", hops=1).edges(path).tolist(), ForgetEdges(0.5).describe(4)
    ([3], '50 % of the edges (2 edges, drawn with seed 0)')
    """

    fraction: float
    where: Literal["any", "in", "out"] = "any"
    hops: int = 2
    seed: int = 0

    kind: ClassVar[str] = "edges"

    def __post_init__(self) -> None:
        check_draw(self.fraction, self.seed, "edge")
        if self.where not in ("any", "in", "out"):
            raise BadRequest(f"edges are drawn from 'any', 'in' or 'out', not from {self.where!r}")
        if integer(self.hops, "hops is a whole number") < 0:
            raise BadRequest(f"hops must be 0 or more, not {self.hops}")

    def edges(self, context: GraphContext) -> Tensor:
        total, pool = len(context.graph.edges), self._pool(context)
        if (count := share_of(self.fraction, total)) > len(pool):
            raise BadRequest(
                f"{counted(count, 'edge')} to forget were asked for, but only {len(pool):,} of {total:,} training edges are "
                f"{self._place() or 'there'}; ask for fewer, or for edges of another place"
            )
        return drawn(pool, count, self.seed)

    def describe(self, total: int | None = None) -> str:
        return draw_in_words(self.fraction, total, "edge", self._place(), self.seed)

    def _place(self) -> str:
        steps = f"{counted(self.hops, 'step')} of a test edge"
        return {"any": "", "in": f"within {steps}", "out": f"not within {steps}"}[self.where]

    def _pool(self, context: GraphContext) -> Tensor:
        graph = context.graph
        if self.where == "any":
            return torch.arange(len(graph.edges), device=graph.edges.device)
        if context.test is None or not len(context.test):
            raise BadRequest(f"edges {self._place()} cannot be told: there are no test edges; draw from 'any'")
        near = graph.near(context.test[:, :2].unique(), self.hops)
        inside = near[graph.edges[:, :2]].all(1)
        return (inside if self.where == "in" else ~inside).nonzero().flatten()


@dataclass(frozen=True)
class ForgetEdgeList(GraphRequest):
    """Single edges.

    Args:
        pairs: both ends of each edge, in either order; in a knowledge graph (head, tail, relation). Each by its number, or by
            its name where there are names; a text that is no name is read as a number.

    >>> from expunge.graphs import Graph
    >>> context = GraphContext(Graph.of(3, [[0, 1], [1, 2]]), nodes=("ada", "bo", "cy"))
    >>> ForgetEdgeList(((2, 1), ("ada", "bo"))).edges(context).tolist()
    [0, 1]
    """

    pairs: tuple[tuple[Name, ...], ...]

    kind: ClassVar[str] = "edge-list"

    def __post_init__(self) -> None:
        pairs = tuple(tuple(checked_name(part, "an edge is given by names or numbers") for part in pair) for pair in self.pairs)
        if not pairs:
            raise BadRequest("forget set is empty: no edge is listed")
        object.__setattr__(self, "pairs", pairs)

    def edges(self, context: GraphContext) -> Tensor:
        graph = context.graph
        wanted = torch.tensor(self._numbers(context), device=graph.edges.device)
        keys = graph.key(wanted)
        order = keys.argsort(stable=True)
        if len(again := order[1:][keys[order].diff() == 0]):
            how = "" if graph.relations else "; (u, v) and (v, u) are one edge"
            raise BadRequest(f"edge {self._shown(again[0])} is listed twice; list each edge to forget once{how}")
        for part, held in (("validation", context.validation), ("testing", context.test)):
            if held is not None and len(found := torch.isin(keys, graph.key(held)).nonzero()):
                raise BadRequest(
                    f"edge {self._shown(found[0])} is held out for {part}, "
                    "so no model was trained on it; there is nothing to forget"
                )
        if len(absent := (~graph.has(wanted)).nonzero()):
            raise BadRequest(
                f"{self._shown(absent[0])} is no edge of the training graph ({len(absent):,} of "
                f"{counted(len(self.pairs), 'edge')} asked for are none of its {len(graph.edges):,})"
            )
        return torch.isin(graph.key(graph.edges), keys).nonzero().flatten()

    def describe(self, total: int | None = None) -> str:
        return counted(len(self.pairs), "edge")

    def _numbers(self, context: GraphContext) -> list[list[int]]:
        graph, width = context.graph, 3 if context.graph.relations else 2
        if len(strange := [pair for pair in self.pairs if len(pair) != width]):
            form = "(head, tail, relation)" if graph.relations else "both ends"
            raise BadRequest(f"edge {strange[0]} has {len(strange[0])} parts; expected {form}")
        columns = list(zip(*self.pairs, strict=True))
        found = [numbered(column, context.nodes, graph.nodes, "node") for column in columns[:2]]
        if graph.relations:
            found.append(numbered(columns[2], context.relations, graph.relations, "relation"))
        return [list(numbers) for numbers in zip(*found, strict=True)]

    def _shown(self, place: Tensor) -> str:
        return f"({', '.join(map(str, self.pairs[int(place)]))})"


@dataclass(frozen=True)
class ForgetRelation(GraphRequest):
    """All triples of one relation of a knowledge graph or of several.

    Args:
        relation: a relation by its name or its number, or a tuple of them. A text that is no name is read as a number.

    >>> from expunge.graphs import Graph
    >>> family = GraphContext(Graph.of(3, [[0, 1, 0], [1, 2, 1]], relations=2), relations=("parent", "friend"))
    >>> ForgetRelation("friend").edges(family).tolist()
    [1]
    """

    relation: Name | tuple[Name, ...]

    kind: ClassVar[str] = "relation"

    def __post_init__(self) -> None:
        object.__setattr__(self, "relation", one_or_more(self.relation, "relation"))

    def edges(self, context: GraphContext) -> Tensor:
        graph = context.graph
        if not graph.relations:
            raise BadRequest(f"{self.describe()} cannot be forgotten: this graph has edges of one kind, not relations")
        numbers = numbered(as_tuple(self.relation), context.relations, graph.relations, "relation")
        for name, number in zip(as_tuple(self.relation), numbers, strict=True):
            if not (graph.edges[:, 2] == number).any():
                raise BadRequest(f"forget set is empty: relation {name} has no triple in the training graph")
        return is_any(graph.edges[:, 2], numbers).nonzero().flatten()

    def kind_of(self, context: GraphContext) -> Callable[[Tensor], Tensor]:
        numbers = numbered(as_tuple(self.relation), context.relations, context.graph.relations, "relation")
        return lambda edges: is_any(edges[:, 2], numbers)

    def describe(self, total: int | None = None) -> str:
        return named_in_words(self.relation, "relation", "relations")


@dataclass(frozen=True)
class ForgetEdgesBetween(GraphRequest):
    """All edges between nodes of one class and nodes of another, or of the same.

    Args:
        first: a class by its name or its number.
        second: another, or the same.

    >>> from expunge.graphs import Graph
    >>> context = GraphContext(Graph.of(3, [[0, 1], [1, 2]], labels=torch.tensor([0, 1, 1])), classes=("art", "law"))
    >>> ForgetEdgesBetween("law", "art").edges(context).tolist(), ForgetEdgesBetween("law", "law").edges(context).tolist()
    ([0], [1])
    """

    first: Name
    second: Name

    kind: ClassVar[str] = "edges-between"

    def __post_init__(self) -> None:
        for side in ("first", "second"):
            object.__setattr__(self, side, checked_name(getattr(self, side), "a class is a name or a number"))

    def edges(self, context: GraphContext) -> Tensor:
        found = self.kind_of(context)(context.graph.edges).nonzero().flatten()
        if not len(found):
            raise BadRequest(f"forget set is empty: the training graph has no {self.describe()}")
        return found

    def kind_of(self, context: GraphContext) -> Callable[[Tensor], Tensor]:
        first, second = class_numbers((self.first, self.second), context)
        labels = labels_of(context)

        def between(edges: Tensor) -> Tensor:
            ends = labels[edges[:, :2]]
            there, back = (ends == ends.new_tensor(pair) for pair in ((first, second), (second, first)))
            return there.all(1) | back.all(1)

        return between

    def describe(self, total: int | None = None) -> str:
        return f"edges between nodes of class {self.first} and of class {self.second}"


class _NodeRequest(GraphRequest):
    """Nodes, with all their edges."""

    def edges(self, context: GraphContext) -> Tensor:
        found = self.kind_of(context)(context.graph.edges).nonzero().flatten()
        if not len(found):
            raise BadRequest(f"forget set is empty: no edge of the training graph is at what is asked for ({self.describe()})")
        return found

    def kind_of(self, context: GraphContext) -> Callable[[Tensor], Tensor]:
        """Edges at these nodes."""
        gone = torch.zeros(context.graph.nodes, dtype=torch.bool, device=context.graph.edges.device)
        gone[self.nodes(context)] = True
        return lambda edges: gone[edges[:, :2]].any(1)


@dataclass(frozen=True)
class ForgetNodes(_NodeRequest):
    """Single nodes, those that are listed or a part drawn at random. Where a model classifies nodes, these are some of those
    that it is trained on; where it predicts links, some of those that have an edge to train on.

    Args:
        numbers: the nodes by their numbers, or by their names where there are names.
        fraction: the part to forget, below 1, at least one node; from 1 it is a number of nodes.
        seed: of the draw; the same seed draws the same nodes.

    >>> from expunge.graphs import Graph
    >>> star = GraphContext(Graph.of(4, [[0, 1], [0, 2], [0, 3]]))
    >>> ForgetNodes((3, 1)).nodes(star).tolist(), ForgetNodes((3, 1)).edges(star).tolist()
    ([1, 3], [0, 2])
    """

    numbers: tuple[Name, ...] | None = None
    fraction: float | None = None
    seed: int = 0

    kind: ClassVar[str] = "nodes"

    def __post_init__(self) -> None:
        check_named_or_drawn(self.numbers, self.fraction, self.seed, "node")
        if self.numbers is not None:
            object.__setattr__(self, "numbers", one_or_more(tuple(self.numbers), "node"))

    def nodes(self, context: GraphContext) -> Tensor:
        graph, pool = context.graph, context.train_nodes
        if pool is None:
            pool = graph.edges[:, :2].unique()
        if self.fraction is not None:
            if (count := share_of(self.fraction, len(pool))) > len(pool):
                what = "have an edge" if context.train_nodes is None else "are trained on"
                raise BadRequest(f"{counted(count, 'node')} to forget were asked for, but only {len(pool):,} {what}")
            return drawn(pool, count, self.seed)
        assert self.numbers is not None
        numbers = numbered(self.numbers, context.nodes, graph.nodes, "node")
        found = torch.tensor(numbers, device=graph.edges.device).unique()
        if len(found) < len(numbers):
            again = next(name for place, name in enumerate(self.numbers) if numbers[place] in numbers[:place])
            raise BadRequest(f"node {again} is listed more than once; list each node to forget once")
        if context.train_nodes is not None and len(strange := found[~torch.isin(found, pool)]):
            name = self.numbers[numbers.index(int(strange[0]))]
            raise BadRequest(f"node {name} is not one of the {len(pool):,} training nodes; there is nothing of it to forget")
        return found

    def describe(self, total: int | None = None) -> str:
        if self.fraction is None:
            return counted(len(self.numbers or ()), "node")
        return draw_in_words(self.fraction, total, "node", "", self.seed)


@dataclass(frozen=True)
class ForgetLabel(_NodeRequest):
    """All nodes of one class or of several: those that a model is trained to classify, or all where it predicts links.

    Args:
        name: a class by its name or its number, or a tuple of them. A text that is no name is read as a number.

    >>> from expunge.graphs import Graph
    >>> graph = Graph.of(3, [[0, 1], [1, 2]], labels=torch.tensor([1, 0, 1]))
    >>> ForgetLabel("law").nodes(GraphContext(graph, train_nodes=torch.tensor([0, 1]), classes=("art", "law"))).tolist()
    [0]
    """

    name: Name | tuple[Name, ...]

    kind: ClassVar[str] = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_or_more(self.name, "class"))

    def nodes(self, context: GraphContext) -> Tensor:
        pool = (
            torch.arange(context.graph.nodes, device=context.graph.edges.device)
            if context.train_nodes is None
            else context.train_nodes
        )
        found = pool[self.of_class(context)(pool)]
        if not len(found):
            raise BadRequest(f"forget set is empty: none of {len(pool):,} nodes is of {self.describe()}")
        return found.sort().values

    def of_class(self, context: GraphContext) -> Callable[[Tensor], Tensor]:
        """What tells, of node numbers, which are of the class: bool, same shape."""
        labels, numbers = labels_of(context), class_numbers(as_tuple(self.name), context)
        return lambda nodes: is_any(labels[nodes], numbers)

    def describe(self, total: int | None = None) -> str:
        return named_in_words(self.name, "class", "classes")
