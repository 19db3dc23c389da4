"""Sampled parts of a graph: no more neighbours than asked for, each drawn evenly, and all of them where all are asked for."""

import networkx
import numpy as np
import pytest
import torch

from expunge.errors import BadSetting
from expunge.graphs import Graph, sampled
from expunge.models.gnn import GIN, GraphSAGE
from expunge.sparse import SparseMatrix


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(nodes: int = 60, edges: int = 150, sparse: bool = False) -> Graph:
    drawn = np.random.default_rng(0).integers(0, nodes, (edges, 2))
    features = torch.randn(nodes, 5, generator=generator())
    kept = SparseMatrix.from_entries(*np.indices(features.shape).reshape(2, -1), features.flatten(), (nodes, 5))
    return Graph.of(nodes, drawn, kept if sparse else features, torch.arange(nodes) % 3)


def in_whole(part: Graph) -> set[tuple[int, ...]]:
    """The edges of a part, with the numbers that their nodes have in the whole."""
    ends = part.global_ids[part.edges[:, :2]].sort(1).values
    return {(*pair, *rest) for pair, rest in zip(ends.tolist(), part.edges[:, 2:].tolist(), strict=True)}


STAR = Graph.of(21, [[0, leaf] for leaf in range(1, 21)])


def test_neighbours_are_drawn_without_replacement():
    for seed in range(20):
        part, places = sampled(STAR, torch.tensor([0]), (7,), generator(seed))
        assert part.nodes == 8 and len(part.edges) == 7 and len(part.ids.unique()) == 8
        assert part.ids[places].tolist() == [0] and part.degrees[places].tolist() == [7]


def test_a_node_with_few_neighbours_gives_all_of_them():
    part, _ = sampled(STAR, torch.tensor([5]), (7,), generator())
    assert part.ids.tolist() == [0, 5] and part.edges.tolist() == [[0, 1]]
    part, _ = sampled(STAR, torch.tensor([0]), (20,), generator())
    assert part.nodes == 21


def test_neighbours_are_drawn_evenly():
    counts = torch.zeros(21)
    for seed in range(1000):
        part, _ = sampled(STAR, torch.tensor([0]), (5,), generator(seed))
        counts[part.ids] += 1
    assert counts[0] == 1000 and ((counts[1:] - 250).abs() < 5 * (1000 * 0.25 * 0.75) ** 0.5).all()


def test_each_seed_draws_its_own():
    two = Graph.of(22, [[0, leaf] for leaf in range(2, 12)] + [[1, leaf] for leaf in range(12, 22)])
    part, places = sampled(two, torch.tensor([1, 0]), (3,), generator())
    assert part.degrees[places].tolist() == [3, 3] and part.ids[places].tolist() == [1, 0] and len(part.edges) == 6


def test_every_step_outward_draws_from_what_the_last_one_reached():
    tree = Graph.of(31, [[(child - 1) // 2, child] for child in range(1, 31)])  # each node has two children
    part, _ = sampled(tree, torch.tensor([0]), (1, 1, 1), generator())
    # A node may draw the way back to its parent, so a walk is at most as long as there are steps, and never branches.
    assert 2 <= part.nodes <= 4 and len(part.edges) == part.nodes - 1 and part.degrees.max() <= 2
    part, _ = sampled(tree, torch.tensor([0]), (2, 3), generator())
    assert part.ids.tolist() == list(range(7)) and len(part.edges) == 6


@pytest.mark.parametrize("fanout", [(4,), (3, 2), (2, 2, 2)])
def test_no_more_edges_than_the_fanouts_allow(fanout):
    graph = made()
    for seed in range(5):
        part, _ = sampled(graph, torch.tensor([7]), fanout, generator(seed))
        allowed, frontier = 0, 1
        for size in fanout:
            allowed, frontier = allowed + frontier * size, frontier * size
        assert len(part.edges) <= allowed and in_whole(part) <= in_whole(graph)
        assert len(in_whole(part)) == len(part.edges)  # each once


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_all_neighbours_are_the_edges_within_so_many_steps(hops):
    graph, seeds = made(edges=80), torch.tensor([3, 40, 3])
    part, places = sampled(graph, seeds, (-1,) * hops, generator())
    whole = networkx.Graph(graph.edges.tolist())
    whole.add_nodes_from(range(graph.nodes))
    steps = networkx.multi_source_dijkstra_path_length(whole, {3, 40}, weight=None)
    inner = {node for node, far in steps.items() if far < hops}
    expected = {pair for pair in map(tuple, graph.edges.tolist()) if inner & set(pair)}
    assert in_whole(part) == expected and part.ids[places].tolist() == seeds.tolist()
    assert set(part.ids.tolist()) == {node for node, far in steps.items() if far <= hops}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("network", [GraphSAGE, GIN])
def test_with_all_neighbours_embeddings_are_those_on_the_whole_graph(network, sparse):
    torch.manual_seed(0)
    graph, model, seeds = made(sparse=sparse), network(5, 16, 8, layers=2), torch.tensor([0, 9, 33, 9])
    part, places = sampled(graph, seeds, (-1, -1), generator())
    assert part.nodes < graph.nodes
    assert torch.allclose(model(part)[places], model(graph)[seeds], atol=1e-5)
    short, places = sampled(graph, seeds, (-1,), generator())
    assert not torch.allclose(model(short)[places], model(graph)[seeds], atol=1e-3)  # two layers look two steps far


def test_a_part_carries_what_belongs_to_its_nodes():
    graph = made()
    part, _ = sampled(graph, torch.tensor([5, 50]), (3,), generator())
    assert torch.equal(part.x, graph.x[part.ids]) and torch.equal(part.labels, graph.labels[part.ids])
    deeper, places = sampled(part, torch.tensor([0]), (-1,), generator())
    assert torch.equal(deeper.x, graph.x[deeper.ids]) and deeper.ids[places] == part.ids[0]  # numbers in the complete graph


def test_the_way_back_is_walked_and_triples_keep_their_direction():
    world = Graph.of(4, [[1, 0, 0], [1, 2, 1], [3, 2, 0]], relations=2)
    part, places = sampled(world, torch.tensor([0]), (-1, -1), generator())
    assert part.relations == 2 and part.ids.tolist() == [0, 1, 2] and places.tolist() == [0]
    assert part.edges.tolist() == [[1, 0, 0], [1, 2, 1]]


def test_nodes_without_neighbours_and_no_steps():
    graph = Graph.of(5, [[0, 1]])
    part, places = sampled(graph, torch.tensor([4, 2, 4]), (3, 3), generator())
    assert part.nodes == 2 and len(part.edges) == 0 and part.ids[places].tolist() == [4, 2, 4]
    part, places = sampled(Graph.of(3, []), torch.tensor([1]), (-1,), generator())
    assert part.ids.tolist() == [1] and part.edges.shape == (0, 2)
    part, _ = sampled(graph, torch.tensor([0]), (), generator())
    assert part.ids.tolist() == [0] and len(part.edges) == 0


def test_draws_are_repeated_by_their_generator():
    graph, seeds = made(), torch.tensor([1, 2, 3])
    one, two, other = (sampled(graph, seeds, (2, 2), generator(seed))[0] for seed in (0, 0, 1))
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("fanout", [(0,), (3, -2)])
def test_wrong_fanouts_are_refused(fanout):
    with pytest.raises(BadSetting, match="a fanout holds numbers above 0, or -1 for all neighbours"):
        sampled(STAR, torch.tensor([0]), fanout, generator())
