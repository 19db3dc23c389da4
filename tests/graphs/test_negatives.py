"""Pairs that are no edges: never an edge, each as often as any other, the same again from the same generator."""

import itertools

import pytest
import torch

from expunge.errors import BadSetting
from expunge.graphs import Graph, non_edges
from expunge.graphs.negatives import corrupted, negatives_of

GRAPH = Graph.of(6, [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [3, 4]])  # node 0 has many edges, node 5 has none
WORLD = Graph.of(5, [[0, 1, 0], [3, 1, 0], [1, 2, 0], [2, 0, 1], [3, 4, 1]], relations=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_drawn_pair_is_an_edge_or_a_loop():
    drawn = non_edges(GRAPH, 3000, generator())
    assert drawn.shape == (3000, 2) and drawn.dtype == torch.int64
    assert not GRAPH.has(drawn).any() and not (drawn[:, 0] == drawn[:, 1]).any()


def test_all_pairs_that_are_no_edges_are_drawn_evenly():
    drawn, count = non_edges(GRAPH, 18_000, generator()), 18_000
    allowed = [pair for pair in itertools.permutations(range(6), 2) if not GRAPH.has(torch.tensor([pair]))]
    counts = {pair: 0 for pair in allowed}
    for pair in map(tuple, drawn.tolist()):
        counts[pair] += 1
    share = 1 / len(allowed)
    deviation = (count * share * (1 - share)) ** 0.5
    assert len(allowed) == 18 and all(abs(found - count * share) < 5 * deviation for found in counts.values())


def test_draws_are_repeated_by_their_generator():
    assert torch.equal(non_edges(GRAPH, 50, generator()), non_edges(GRAPH, 50, generator()))
    assert not torch.equal(non_edges(GRAPH, 50, generator()), non_edges(GRAPH, 50, generator(1)))
    assert torch.equal(corrupted(WORLD, WORLD.edges, generator()), corrupted(WORLD, WORLD.edges, generator()))


def test_none_and_one_can_be_drawn():
    assert non_edges(GRAPH, 0, generator()).shape == (0, 2)
    assert non_edges(Graph.of(2, []), 7, generator()).sum(1).tolist() == [1] * 7


def test_rare_pairs_are_found():
    nearly = Graph.of(8, [pair for pair in itertools.combinations(range(8), 2) if pair != (2, 5)])
    assert {tuple(sorted(pair)) for pair in non_edges(nearly, 20, generator()).tolist()} == {(2, 5)}


def test_a_graph_with_all_edges_has_none_to_draw():
    complete = Graph.of(4, list(itertools.combinations(range(4), 2)))
    with pytest.raises(BadSetting, match=r"5 pairs that are no edges could not be drawn from Graph\(4 nodes, 6 edges\)"):
        non_edges(complete, 5, generator())


def test_wrong_triples_differ_in_one_end_and_are_not_in_the_graph():
    triples = WORLD.edges.repeat(500, 1)
    wrong = corrupted(WORLD, triples, generator())
    assert wrong.shape == triples.shape and not WORLD.has(wrong).any()
    assert torch.equal(wrong[:, 2], triples[:, 2])
    changed = wrong[:, :2] != triples[:, :2]
    assert (changed.sum(1) == 1).all()
    assert 0.4 < changed[:, 0].float().mean() < 0.6  # heads as often as tails
    assert torch.equal(triples, WORLD.edges.repeat(500, 1))


def test_ends_are_replaced_evenly():
    wrong = corrupted(WORLD, WORLD.edges[:1].repeat(6000, 1), generator())
    counts = {tuple(triple): 0 for triple in wrong.tolist()}
    for triple in wrong.tolist():
        counts[tuple(triple)] += 1
    assert len(counts) == 7 and all(abs(found - 6000 / 7) < 5 * 27 for found in counts.values())


def test_a_triple_that_cannot_be_wrong_is_given_up():
    full = Graph.of(2, list(itertools.product(range(2), range(2), [0])), relations=1)
    assert corrupted(full, full.edges, generator()).shape == (4, 3)


@pytest.mark.parametrize("graph", [GRAPH, WORLD])
def test_every_pair_gets_so_many_wrong_ones(graph):
    wrong = negatives_of(graph, graph.edges[:2], 3, generator())
    assert wrong.shape == (6, graph.edges.shape[1]) and not graph.has(wrong).any()
    assert negatives_of(graph, graph.edges[:2], 0, generator()).shape == (0, graph.edges.shape[1])
