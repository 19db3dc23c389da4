"""Requests on graphs: which edges and nodes they pick, and what they say when they cannot be served."""

import dataclasses

import networkx
import numpy as np
import pytest
import torch

from expunge.data.graph_splits import split_links, split_nodes
from expunge.errors import BadRequest
from expunge.graphs import Graph
from expunge.requests.graph import (
    ForgetEdgeList,
    ForgetEdges,
    ForgetEdgesBetween,
    ForgetLabel,
    ForgetNodes,
    ForgetRelation,
    GraphContext,
    GraphRequest,
)

EDGES = [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [4, 5]]  # rows 0 to 5
LABELS = torch.tensor([0, 0, 1, 1, 2, -1, 0])
SMALL = GraphContext(Graph.of(7, EDGES, labels=LABELS), classes=("art", "law", "9"), nodes=tuple("abcdefg"))
WORLD = GraphContext(
    Graph.of(4, [[0, 1, 0], [1, 0, 0], [1, 2, 1], [3, 3, 1]], relations=3),
    nodes=("ann", "bob", "cy", "1"),
    relations=("knows", "likes", "owns"),
)
LINKS = split_links(Graph.of(300, np.random.default_rng(0).integers(0, 300, (420, 2))), 0.05, 0.05)
CONTEXT = GraphContext(LINKS.graph, LINKS.test, LINKS.validation)


def edges(request: GraphRequest, context: GraphContext = SMALL) -> list[int]:
    picked = request.edges(context)
    assert picked.dtype == torch.int64
    return picked.tolist()


def nodes(request: GraphRequest, context: GraphContext = SMALL) -> list[int]:
    picked = request.nodes(context)
    assert picked.dtype == torch.int64
    return picked.tolist()


# ---- what is asked for ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "context", "expected", "words"),
    [
        (ForgetEdgeList(((4, 3), (0, 1))), SMALL, [0, 4], "2 edges"),
        (ForgetEdgeList((("e", "d"),)), SMALL, [4], "1 edge"),
        (ForgetEdgeList([["3", np.int64(4)]]), SMALL, [4], "1 edge"),
        (ForgetEdgeList(((1, 0, 0), ("bob", "cy", "likes"))), WORLD, [1, 2], "2 edges"),
        (ForgetEdgeList((("1", "1", 1),)), WORLD, [3], "1 edge"),  # a name comes before a number
        (ForgetRelation("knows"), WORLD, [0, 1], "relation knows"),
        (ForgetRelation(1), WORLD, [2, 3], "relation 1"),
        (ForgetRelation("1"), WORLD, [2, 3], "relation 1"),
        (ForgetRelation(("likes", 0)), WORLD, [0, 1, 2, 3], "relations likes, 0"),
        (ForgetEdgesBetween("art", "law"), SMALL, [1, 2], "edges between nodes of class art and of class law"),
        (ForgetEdgesBetween("law", "art"), SMALL, [1, 2], "edges between nodes of class law and of class art"),
        (ForgetEdgesBetween(0, "0"), SMALL, [0], "edges between nodes of class 0 and of class 0"),
        (ForgetEdgesBetween("9", 1), SMALL, [4], "edges between nodes of class 9 and of class 1"),
        (ForgetNodes((2, "a")), SMALL, [0, 1, 2, 3], "2 nodes"),
        (ForgetNodes(("bob",)), WORLD, [0, 1, 2], "1 node"),
        (ForgetNodes((5, 6)), SMALL, [5], "2 nodes"),  # the second has no edge, so nothing of it was learned
        (ForgetLabel("law"), SMALL, [1, 2, 3, 4], "class law"),
        (ForgetLabel((2, "law")), SMALL, [1, 2, 3, 4, 5], "classes 2, law"),
    ],
)
def test_the_edges_that_are_asked_for(request_, context, expected, words):
    assert edges(request_, context) == expected
    assert request_.describe() == words


def test_the_nodes_that_are_asked_for():
    training = dataclasses.replace(SMALL, train_nodes=torch.tensor([6, 3, 0, 4]))
    assert nodes(ForgetNodes((3, 0)), training) == [0, 3]
    assert nodes(ForgetLabel("art"), training) == [0, 6] and nodes(ForgetLabel("art")) == [0, 1, 6]
    assert nodes(ForgetLabel(("law", 2)), training) == [3, 4]
    assert edges(ForgetLabel("law"), training) == [3, 4]  # of the node that is trained on, not of the other
    of_class = ForgetLabel("law").of_class(SMALL)
    assert of_class(torch.tensor([2, 0, 3, 5])).tolist() == [True, False, True, False]


def test_requests_fit_the_splits():
    labelled = split_nodes(SMALL.graph, 0.2, 0.2, seed=1)
    context = dataclasses.replace(SMALL, train_nodes=labelled.train)
    request = ForgetLabel("art")
    split = labelled.without(request.nodes(context), request.of_class(context))
    assert set(split.forget.nodes.tolist()) <= {0, 1, 6}
    assert LINKS.without(ForgetEdges(3).edges(CONTEXT)).forget.examples == 3


# ---- draws ------------------------------------------------------------------------------------------------------------------


def inside(hops: int) -> list[bool]:
    """Which training edges lie within so many steps of a test edge, found another way."""
    graph = networkx.Graph(LINKS.graph.edges.tolist())
    graph.add_nodes_from(range(300))
    steps = networkx.multi_source_dijkstra_path_length(graph, set(LINKS.test.flatten().tolist()), weight=None)
    return [max(steps.get(first, 999), steps.get(second, 999)) <= hops for first, second in LINKS.graph.edges.tolist()]


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_edges_are_drawn_where_they_are_asked_for(hops):
    near = np.flatnonzero(inside(hops))
    far = np.setdiff1d(np.arange(len(LINKS.graph.edges)), near)
    for where, pool in (("in", near), ("out", far)):
        if len(pool):
            assert edges(ForgetEdges(len(pool), where, hops), CONTEXT) == pool.tolist()
    assert hops == 0 or 0 < len(near) < len(LINKS.graph.edges)


def test_the_number_of_edges_is_a_part_of_all_training_edges():
    total = len(LINKS.graph.edges)
    for where in ("any", "in", "out"):
        assert len(edges(ForgetEdges(0.05, where, 1), CONTEXT)) == int(0.05 * total)
    assert len(edges(ForgetEdges(1e-6), CONTEXT)) == 1 and len(edges(ForgetEdges(1), CONTEXT)) == 1
    assert edges(ForgetEdges(total), CONTEXT) == list(range(total))


def test_edges_are_drawn_by_their_seed_and_evenly():
    first = edges(ForgetEdges(40, seed=1), CONTEXT)
    assert first == edges(ForgetEdges(40, seed=1), CONTEXT) != edges(ForgetEdges(40, seed=2), CONTEXT)
    assert first == sorted(set(first)) and len(first) == 40
    state = torch.get_rng_state()
    counts = torch.zeros(6)
    for seed in range(900):
        counts[ForgetEdges(2, seed=seed).edges(SMALL)] += 1
    assert ((counts - 300).abs() < 5 * (900 * 2 / 9) ** 0.5).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_more_edges_than_there_are_is_refused_and_not_cut():
    pool, total = sum(inside(1)), len(LINKS.graph.edges)
    place = "within 1 step of a test edge"
    with pytest.raises(
        BadRequest, match=rf"{pool + 1} edges to forget were asked for, but only {pool} of {total} training edges are {place}"
    ):
        ForgetEdges(pool + 1, "in", 1).edges(CONTEXT)
    with pytest.raises(BadRequest, match=rf"but only {total - pool} of {total} training edges are not within 1 step"):
        ForgetEdges(total - pool + 1, "out", 1).edges(CONTEXT)
    with pytest.raises(BadRequest, match=r"7 edges .* but only 6 of 6 training edges are there"):
        ForgetEdges(7).edges(SMALL)
    for test in (None, torch.empty(0, 2, dtype=torch.long)):
        with pytest.raises(BadRequest, match="edges within 2 steps of a test edge cannot be told: there are no test edges"):
            ForgetEdges(1, "in").edges(dataclasses.replace(SMALL, test=test))


def test_nodes_are_drawn_from_those_that_are_trained_on():
    training = dataclasses.replace(SMALL, train_nodes=torch.tensor([6, 3, 0, 4]))
    assert nodes(ForgetNodes(fraction=4), training) == [0, 3, 4, 6]
    assert nodes(ForgetNodes(fraction=6)) == [0, 1, 2, 3, 4, 5]  # node 6 has no edge
    assert len(nodes(ForgetNodes(fraction=0.5), training)) == 2 and len(nodes(ForgetNodes(fraction=0.5))) == 3
    drawn = {tuple(nodes(ForgetNodes(fraction=2, seed=seed))) for seed in range(20)}
    assert len(drawn) > 5 and nodes(ForgetNodes(fraction=2, seed=3)) == nodes(ForgetNodes(fraction=2, seed=3))
    picked = nodes(ForgetNodes(fraction=1, seed=3))
    expected = [row for row, edge in enumerate(EDGES) if picked[0] in edge]
    assert edges(ForgetNodes(fraction=1, seed=3)) == expected
    with pytest.raises(BadRequest, match="7 nodes to forget were asked for, but only 6 have an edge"):
        ForgetNodes(fraction=7).nodes(SMALL)
    with pytest.raises(BadRequest, match=r"5 nodes .* but only 4 are trained on"):
        ForgetNodes(fraction=5).nodes(training)


@pytest.mark.parametrize(
    ("request_", "total", "words"),
    [
        (ForgetEdges(0.05, seed=4), None, "5 % of the edges (drawn with seed 4)"),
        (ForgetEdges(0.05), 4750, "5 % of the edges (237 edges, drawn with seed 0)"),
        (ForgetEdges(0.001), 10, "0.1 % of the edges (1 edge, drawn with seed 0)"),
        (ForgetEdges(0.05, "in"), None, "5 % of the edges, within 2 steps of a test edge (drawn with seed 0)"),
        (ForgetEdges(100, "out", 1), 4750, "100 edges not within 1 step of a test edge (drawn with seed 0)"),
        (ForgetNodes(fraction=0.1), 50, "10 % of the nodes (5 nodes, drawn with seed 0)"),
        (ForgetNodes(fraction=3), None, "3 nodes (drawn with seed 0)"),
    ],
)
def test_draws_in_words(request_, total, words):
    assert request_.describe(total) == words


# ---- what cannot be served --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "context", "message"),
    [
        (
            ForgetEdgeList(((0, 1), (0, 3), (1, 4))),
            SMALL,
            r"^\(0, 3\) is no edge of the training graph \(2 of 3 edges asked for",
        ),
        (ForgetEdgeList(((3, 3),)), SMALL, r"\(3, 3\) is no edge .* \(1 of 1 edge asked for are none of its 6\)"),
        (
            ForgetEdgeList(((0, 1), (2, 3), (1, 0))),
            SMALL,
            r"edge \(1, 0\) is listed twice; .*\(u, v\) and \(v, u\) are one edge$",
        ),
        (ForgetEdgeList(((2, 3), (2, 3))), SMALL, r"edge \(2, 3\) is listed twice"),
        (ForgetEdgeList(((0, 7),)), SMALL, r"node 7 is not there: there are 7, from 0 to 6"),
        (ForgetEdgeList((("a", "z"),)), SMALL, "node 'z' is not known; expected one of 'a', 'b'"),
        (ForgetEdgeList((("a", "z"),)), GraphContext(SMALL.graph), "node 'a' is not known; expected a number from 0 to 6"),
        (ForgetEdgeList(((0, 1, 0),)), SMALL, r"edge \(0, 1, 0\) has 3 parts; expected both ends"),
        (ForgetEdgeList(((0, 1),)), WORLD, r"edge \(0, 1\) has 2 parts; expected \(head, tail, relation\)"),
        (ForgetEdgeList(((2, 1, 1),)), WORLD, r"\(2, 1, 1\) is no edge"),  # the other way round is another triple
        (ForgetEdgeList((("ann", "bob", "hates"),)), WORLD, "relation 'hates' is not known; expected one of 'knows', 'likes'"),
        (ForgetRelation(0), SMALL, "relation 0 cannot be forgotten: this graph has edges of one kind, not relations"),
        (ForgetRelation("owns"), WORLD, "forget set is empty: relation owns has no triple in the training graph"),
        (ForgetRelation(3), WORLD, r"relation 3 is not there: there are 3, from 0 to 2"),
        (ForgetRelation("hates"), WORLD, "relation 'hates' is not known"),
        (ForgetEdgesBetween(0, 2), SMALL, "the training graph has no edges between nodes of class 0 and of class 2"),
        (ForgetEdgesBetween(0, 1), WORLD, "a class cannot be forgotten here: the nodes of this graph have no labels"),
        (ForgetEdgesBetween("art", "war"), SMALL, "class 'war' is not known; expected one of 'art', 'law', '9'"),
        (ForgetLabel(3), SMALL, r"class 3 is not there: there are 3"),
        (ForgetLabel("war"), GraphContext(Graph.of(2, [[0, 1]])), "the nodes of this graph have no labels"),
        (ForgetNodes((6,)), SMALL, r"forget set is empty: no edge .* is at what is asked for \(1 node\)"),
        (ForgetNodes((1, 7)), SMALL, "node 7 is not there"),
        (ForgetNodes((1, "c", "b")), SMALL, "node b is listed more than once"),
    ],
)
def test_what_cannot_be_served_says_why(request_, context, message):
    with pytest.raises(BadRequest, match=message):
        request_.edges(context)


def test_held_out_edges_cannot_be_forgotten():
    for part, held in (("testing", LINKS.test), ("validation", LINKS.validation)):
        first, second = held[0].tolist()
        with pytest.raises(
            BadRequest, match=rf"edge \({second}, {first}\) is held out for {part}, so no model was trained on it"
        ):
            ForgetEdgeList(((second, first),)).edges(CONTEXT)


def test_nodes_that_are_not_trained_on_cannot_be_forgotten():
    training = dataclasses.replace(SMALL, train_nodes=torch.tensor([0, 3]))
    with pytest.raises(BadRequest, match="node e is not one of the 2 training nodes"):
        ForgetNodes((0, "e")).nodes(training)
    with pytest.raises(BadRequest, match="forget set is empty: none of 2 nodes is of class 2"):
        ForgetLabel(2).nodes(training)
    with pytest.raises(BadRequest, match="class 9 does not occur in 2 labels"):
        ForgetLabel("9").nodes(GraphContext(Graph.of(2, [[0, 1]], labels=torch.tensor([0, 1])), classes=("art", "law", "9")))


@pytest.mark.parametrize("request_", [ForgetEdges(2), ForgetEdgeList(((0, 1),)), ForgetRelation(0), ForgetEdgesBetween(0, 1)])
def test_requests_for_edges_name_no_nodes(request_):
    with pytest.raises(BadRequest, match="this asks for edges, not for nodes"):
        request_.nodes(SMALL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForgetEdges(0), "must lie between 0 and 1, or be a whole number of edges, not 0; 0.05 is 5 %"),
        (lambda: ForgetEdges(1.5), "not 1.5"),
        (lambda: ForgetEdges(float("nan")), "not nan"),
        (lambda: ForgetEdges(float("inf")), "not inf"),
        (lambda: ForgetEdges(0.1, "near"), "edges are drawn from 'any', 'in' or 'out', not from 'near'"),
        (lambda: ForgetEdges(0.1, "in", -1), "hops must be 0 or more, not -1"),
        (lambda: ForgetEdges(0.1, seed=-1), "the seed of the draw must be 0 or more, not -1"),
        (lambda: ForgetEdgeList(()), "forget set is empty: no edge is listed"),
        (lambda: ForgetEdgeList(((0, 1.5),)), "an edge is given by names or numbers, not 1.5"),
        (lambda: ForgetRelation(()), "forget set is empty: no relation is named"),
        (lambda: ForgetRelation(True), "a relation is a name or a number, not True"),
        (lambda: ForgetEdgesBetween(0, None), "a class is a name or a number, not None"),
        (lambda: ForgetNodes(), "state either the nodes to forget or the fraction of them, and not both"),
        (lambda: ForgetNodes((1,), 0.5), "and not both"),
        (lambda: ForgetNodes(()), "forget set is empty: no node is named"),
        (lambda: ForgetNodes(fraction=-0.1), "or be a whole number of nodes, not -0.1"),
        (lambda: ForgetLabel(()), "forget set is empty: no class is named"),
    ],
)
def test_requests_that_make_no_sense_are_refused_at_once(make, message):
    with pytest.raises(BadRequest, match=message):
        make()


def test_classes_of_edges_say_which_unseen_edges_are_of_their_kind():
    graph = Graph.of(5, [[0, 1], [1, 2], [2, 3], [3, 4]], labels=torch.tensor([0, 0, 1, 1, 0]))
    context = GraphContext(graph, classes=("art", "law"))
    others = torch.tensor([[0, 2], [0, 4], [2, 3]])
    assert ForgetEdgesBetween("art", "law").kind_of(context)(others).tolist() == [True, False, False]
    assert ForgetLabel("law").kind_of(context)(others).tolist() == [True, False, True]
    assert ForgetNodes((4,)).kind_of(context)(others).tolist() == [False, True, False]
    world = GraphContext(Graph.of(3, [[0, 1, 0], [1, 2, 1]], relations=2))
    assert ForgetRelation(1).kind_of(world)(torch.tensor([[0, 2, 1], [0, 2, 0]])).tolist() == [True, False]
    assert ForgetEdges(1).kind_of(context) is None and ForgetEdgeList(((0, 1),)).kind_of(context) is None
