"""Graphs: one form for all orders of their edges, operators as they are written down, digests that see every change."""

import itertools

import networkx
import numpy as np
import pytest
import torch

from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.sparse import SparseMatrix

PATH = [[0, 1], [1, 2], [2, 3], [1, 3]]  # node 4 stands alone
TRIPLES = [[0, 1, 0], [1, 0, 0], [0, 1, 1], [2, 2, 1]]


def made(nodes: int = 30, edges: int = 60, seed: int = 0) -> Graph:
    drawn = np.random.default_rng(seed).integers(0, nodes, (edges, 2))
    return Graph.of(nodes, drawn)


def adjacency(graph: Graph) -> torch.Tensor:
    found = torch.zeros(graph.nodes, graph.nodes)
    for first, second in graph.edges[:, :2].tolist():
        found[first, second] += 1
        found[second, first] += 1
    return found


def as_networkx(graph: Graph) -> networkx.Graph:
    found = networkx.Graph(graph.edges[:, :2].tolist())
    found.add_nodes_from(range(graph.nodes))
    return found


# ---- one form ---------------------------------------------------------------------------------------------------------------


def test_edges_in_any_order_and_direction_make_the_same_graph():
    graph = Graph.of(5, PATH)
    assert graph.edges.tolist() == [[0, 1], [1, 2], [1, 3], [2, 3]] and graph.edges.dtype == torch.int64
    turned = Graph.of(5, [[3, 1], [3, 2], [2, 3], [1, 0], [2, 1], [4, 4], [0, 1]])
    assert torch.equal(turned.edges, graph.edges) and turned.digest == graph.digest
    assert torch.equal(Graph.of(5, torch.tensor(PATH)).edges, graph.edges)


def test_triples_keep_their_direction_and_loops():
    graph = Graph.of(3, [*TRIPLES[::-1], TRIPLES[0]], relations=2)
    assert graph.edges.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0], [2, 2, 1]]


def test_a_graph_without_edges():
    graph = Graph.of(3, [])
    assert graph.edges.shape == (0, 2) and graph.edge_index.shape == (2, 0) and graph.degrees.tolist() == [0, 0, 0]
    assert graph.has(torch.tensor([[0, 1]])).tolist() == [False]
    assert torch.equal(graph.operator("gcn").dense(), torch.eye(3)) and graph.operator("mean").entries == 0
    assert graph.near(torch.tensor([1]), 2).tolist() == [False, True, False]
    assert Graph.of(3, [], relations=2).edges.shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph.of(3, [[0, 3]]), r"an edge names node 3, but there are 3 \(nodes 0\.\.2\)"),
        (lambda: Graph.of(3, [[0, -1]]), "an edge names node -1"),
        (lambda: Graph.of(3, [[0, 1, 2]], relations=2), r"an edge names relation 2, but there are 2 \(relations 0\.\.1\)"),
        (lambda: Graph.of(3, PATH[:1], torch.zeros(2, 4)), "a graph of 3 nodes needs 3 rows of features, not 2"),
        (lambda: Graph.of(3, PATH[:1], labels=torch.zeros(4)), "needs 3 rows of labels, not 4"),
        (lambda: Graph(3, torch.tensor(TRIPLES)), r"edges of shape \(4, 3\) do not do; expected \(edges, 2\)"),
        (lambda: Graph(3, torch.tensor(PATH[:1]), relations=2), r"expected \(edges, 3\)"),
        (lambda: Graph(3, torch.tensor([0, 1])), r"edges of shape \(2,\)"),
    ],
)
def test_what_is_no_graph_is_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()


# ---- what networks read -----------------------------------------------------------------------------------------------------


def test_every_edge_is_read_both_ways():
    graph = Graph.of(5, PATH)
    pairs = set(map(tuple, graph.edge_index.T.tolist()))
    assert pairs == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 1)} and graph.edge_index.shape == (2, 8)
    assert graph.edge_type.tolist() == [0] * 4 + [1] * 4
    assert graph.degrees.tolist() == [1, 3, 2, 2, 0]


def test_the_way_back_is_a_relation_of_its_own():
    graph = Graph.of(3, TRIPLES, relations=2)
    columns = list(zip(*graph.edge_index.tolist(), graph.edge_type.tolist(), strict=True))
    assert columns[:4] == [(0, 1, 0), (0, 1, 1), (1, 0, 0), (2, 2, 1)]
    assert columns[4:] == [(1, 0, 2), (1, 0, 3), (0, 1, 2), (2, 2, 3)]


@pytest.mark.parametrize("graph", [Graph.of(5, PATH), made()])
def test_operators_are_what_is_written_down(graph):
    plain = adjacency(graph)
    degrees, looped = plain.sum(1), plain + torch.eye(graph.nodes)
    root = looped.sum(1).rsqrt().diag()
    assert torch.allclose(graph.operator("gcn").dense(), root @ looped @ root, atol=1e-6)
    assert torch.allclose(graph.operator("mean").dense(), plain / degrees.clamp_min(1)[:, None], atol=1e-6)
    assert torch.equal(graph.operator("sum").dense(), plain)
    assert graph.operator("gcn") is graph.operator("gcn")  # laid out once


def test_operators_send_the_neighbours_values():
    values = torch.tensor([[1.0], [10], [100], [1000], [10000]])
    assert (Graph.of(5, PATH).operator("sum") @ values).flatten().tolist() == [10, 1101, 1010, 110, 0]
    assert (Graph.of(5, PATH).operator("mean") @ values).flatten().tolist() == pytest.approx([10, 367, 505, 55, 0])


def test_operators_count_parallel_triples():
    graph = Graph.of(3, TRIPLES[:3], relations=2)
    assert graph.operator("sum").dense()[0].tolist() == [0, 3, 0]
    assert graph.operator("mean").dense()[0].tolist() == pytest.approx([0, 1, 0])


def test_features_are_read_dense_or_sparse():
    sparse = SparseMatrix.from_entries([0, 2], [1, 0], [2.0, 3.0], (3, 2))
    for features in (sparse, sparse.dense()):
        graph = Graph.of(3, [[0, 1]], features)
        assert graph.x.tolist() == [[0, 2], [0, 0], [3, 0]] and graph.width == 2
    assert Graph.of(3, []).width == 0
    with pytest.raises(BadSetting, match="this graph has no features; take a network that learns them"):
        _ = Graph.of(3, []).x


# ---- what is in it ----------------------------------------------------------------------------------------------------------


def test_edges_are_found_whichever_way_round():
    graph = made(nodes=12, edges=30)
    pairs = torch.tensor(list(itertools.product(range(12), repeat=2)))
    assert torch.equal(graph.has(pairs), adjacency(graph)[pairs[:, 0], pairs[:, 1]] > 0)
    assert torch.equal(graph.keys, graph.keys.sort().values) and len(graph.keys.unique()) == len(graph.edges)


def test_triples_are_found_as_they_stand():
    graph = Graph.of(3, TRIPLES, relations=2)
    every = torch.tensor(list(itertools.product(range(3), range(3), range(2))))
    there = {tuple(triple) for triple in TRIPLES}
    assert graph.has(every).tolist() == [tuple(triple) in there for triple in every.tolist()]
    assert len(graph.key(every).unique()) == 18


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_nodes_are_near_within_so_many_steps(hops):
    graph = made(nodes=40, edges=45)
    starts = torch.tensor([3, 17])
    found = as_networkx(graph)
    reached = {
        node for start in starts.tolist() for node in networkx.single_source_shortest_path_length(found, start, cutoff=hops)
    }
    assert graph.near(starts, hops).nonzero().flatten().tolist() == sorted(reached)


def test_steps_go_against_the_direction_of_triples():
    graph = Graph.of(4, [[1, 0, 0], [1, 2, 0], [3, 2, 0]], relations=1)
    assert graph.near(torch.tensor([0]), 2).tolist() == [True, True, True, False]


def test_shared_neighbours_are_counted():
    graph = made(nodes=15, edges=60)
    pairs = torch.tensor(list(itertools.combinations(range(15), 2)))
    found = as_networkx(graph)
    assert graph.shared_neighbours(pairs).tolist() == [len(list(networkx.common_neighbors(found, *p))) for p in pairs.tolist()]


# ---- other graphs -----------------------------------------------------------------------------------------------------------


def test_deleted_edges_are_gone_and_the_whole_is_remembered():
    graph = Graph.of(5, PATH, torch.randn(5, 2), torch.arange(5))
    cut = graph.without_edges(torch.tensor([3, 0]))
    assert cut.edges.tolist() == [[1, 2], [1, 3]] and len(graph.edges) == 4
    assert torch.equal(graph.without_edges(torch.tensor([True, False, False, True])).edges, cut.edges)
    again = cut.without_edges(torch.tensor([0]))
    assert again.edges.tolist() == [[1, 3]] and again.whole is cut.whole is graph.whole is graph
    assert again.features is graph.features and again.labels is graph.labels
    # What was computed of the whole must not stay with the part.
    _ = graph.operator("sum"), graph.keys, graph.degrees
    cut = graph.without_edges(torch.tensor([0]))
    assert cut.degrees.tolist() == [0, 2, 2, 2, 0] and torch.equal(cut.operator("sum").dense(), adjacency(cut))
    assert not cut.has(torch.tensor([[0, 1]]))


def test_deleted_nodes_stay_alone_and_keep_their_numbers():
    graph = Graph.of(5, PATH)
    cut = graph.without_nodes(torch.tensor([3, 0]))
    assert cut.nodes == 5 and cut.edges.tolist() == [[1, 2]] and cut.whole is graph
    assert Graph.of(3, TRIPLES, relations=2).without_nodes(torch.tensor([1])).edges.tolist() == [[2, 2, 1]]


@pytest.mark.parametrize("sparse", [False, True])
def test_graphs_stand_side_by_side(sparse):
    first, second = torch.randn(5, 3), torch.randn(4, 3)
    kept = [
        SparseMatrix.from_entries(*np.nonzero(features.numpy()), features.flatten(), tuple(features.shape))
        if sparse
        else features
        for features in (first, second)
    ]
    one, two = Graph.of(5, PATH, kept[0], torch.arange(5)), Graph.of(4, [[0, 3], [1, 2]], kept[1], torch.arange(4))
    both = one.union(two)
    assert both.nodes == 9 and both.edges.tolist() == [*one.edges.tolist(), [5, 8], [6, 7]]
    assert torch.equal(both.x, torch.cat([first, second])) and isinstance(both.features, SparseMatrix) == sparse
    assert both.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3] and both.ids.tolist() == both.labels.tolist()
    expected = torch.block_diag(one.operator("gcn").dense(), two.operator("gcn").dense())
    assert torch.equal(both.operator("gcn").dense(), expected)
    assert one.union(two) is both and one.union(one) is not both and two.union(one).nodes == 9
    assert two.edges.tolist() == [[0, 3], [1, 2]]


def test_triples_side_by_side_share_their_relations():
    one = Graph.of(3, TRIPLES, relations=2)
    both = one.union(one.without_edges(torch.tensor([0, 1, 2])))
    assert both.relations == 2 and both.edges[-1].tolist() == [5, 5, 1] and both.features is None and both.labels is None


def test_mixed_features_side_by_side_are_dense():
    dense, sparse = (
        Graph.of(1, [], torch.tensor([[1.0, 2]])),
        Graph.of(1, [], SparseMatrix.from_entries([0], [1], [3.0], (1, 2))),
    )
    assert dense.union(sparse).x.tolist() == [[1, 2], [0, 3]]


def test_a_graph_is_moved_once_with_all_its_parts():
    graph = Graph.of(5, PATH, SparseMatrix.from_entries([0], [0], [1.0], (5, 2)), torch.arange(5))
    cut = graph.without_edges(torch.tensor([0]))
    moved = cut.to("meta")
    devices = {part.device.type for part in (moved.edges, moved.features.rows, moved.labels, moved.before.edges)}
    assert devices == {"meta"} and moved.nodes == 5
    assert cut.to("meta") is moved and cut.to("cpu") is cut and moved.whole is graph.to("meta")


def test_the_digest_sees_every_change():
    features, labels = torch.arange(10.0).view(5, 2), torch.arange(5)
    other_features, other_labels = features.clone(), labels.clone()
    other_features[3, 1] += 1e-3
    other_labels[2] = 0
    sparse = SparseMatrix.from_entries([0, 4], [1, 0], [1.0, 2.0], (5, 2))
    other_sparse = SparseMatrix.from_entries([0, 4], [1, 1], [1.0, 2.0], (5, 2))
    graphs = [
        Graph.of(5, PATH, features, labels),
        Graph.of(5, PATH[:-1], features, labels),
        Graph.of(5, [*PATH[:-1], [0, 3]], features, labels),
        Graph.of(5, PATH, other_features, labels),
        Graph.of(5, PATH, features, other_labels),
        Graph.of(5, PATH, sparse, labels),
        Graph.of(5, PATH, other_sparse, labels),
        Graph.of(5, PATH, features),
        Graph.of(5, PATH),
        Graph.of(6, PATH),
        Graph.of(5, [[*edge, 0] for edge in PATH], relations=1),
        Graph.of(5, [[*edge, 0] for edge in PATH], relations=2),
    ]
    assert len({graph.digest for graph in graphs}) == len(graphs)
    assert Graph.of(5, PATH[::-1], features.clone(), labels.clone()).digest == graphs[0].digest
    cut = Graph.of(5, PATH, features, labels).without_edges(torch.tensor([2]))
    assert cut.digest == Graph.of(5, [edge for edge in PATH if edge != [1, 3]], features, labels).digest


def test_it_says_what_it_is():
    assert repr(Graph.of(5, PATH, torch.zeros(5, 2))) == "Graph(5 nodes, 4 edges, 2 features)"
    assert repr(Graph.of(3, TRIPLES, relations=2)) == "Graph(3 nodes, 4 edges, 2 relations)"
