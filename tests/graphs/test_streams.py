"""Streams on graphs: every pair once an epoch, with its label and its graph; batches side by side answer as they do apart."""

import numpy as np
import pytest
import torch
from torch import nn

from expunge.errors import BadRequest, BadSetting
from expunge.graphs import Graph, LinkBatch, LinkBatches, NodeBatch, NodeBatches
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.split import Pair, joined
from expunge.tasks.link_prediction import LinkPredictionTask
from expunge.tasks.node_classification import NodeClassificationTask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(nodes: int = 40, edges: int = 90) -> Graph:
    drawn = np.random.default_rng(0).integers(0, nodes, (edges, 2))
    return Graph.of(nodes, drawn, torch.randn(nodes, 5, generator=generator()), torch.arange(nodes) % 3)


def in_whole(batch: LinkBatch) -> torch.Tensor:
    """The pairs of a batch as numbers of the complete graph."""
    return torch.cat([batch.graph.global_ids[batch.pairs[:, :2]], batch.pairs[:, 2:]], 1)


GRAPH = made()
WORLD = Graph.of(6, [[0, 1, 0], [1, 2, 1], [2, 0, 1], [3, 4, 0], [4, 5, 1]], relations=2)


# ---- links ------------------------------------------------------------------------------------------------------------------


def test_plain_iteration_gives_all_pairs_at_once_on_the_whole_graph():
    labels = torch.tensor([1.0, 0.0, 1.0])
    stream = LinkBatches(GRAPH, GRAPH.edges[:3], labels, negatives=2, batch_size=2, fanout=(3,))
    (batch,) = list(stream)
    assert torch.equal(batch.pairs, GRAPH.edges[:3]) and torch.equal(batch.labels, labels) and batch.graph is GRAPH
    (batch,) = list(LinkBatches(GRAPH, GRAPH.edges))
    assert batch.labels.tolist() == [1.0] * len(GRAPH.edges) and batch.labels.dtype == torch.float32


@pytest.mark.parametrize("fanout", [None, (3, 3)])
@pytest.mark.parametrize("graph", [GRAPH, WORLD])
def test_an_epoch_gives_every_pair_once_with_as_many_wrong_ones(graph, fanout):
    stream = LinkBatches(graph, graph.edges, negatives=2, batch_size=2, fanout=fanout)
    batches = list(stream.epoch(generator()))
    assert len(batches) == len(stream) == -(-stream.examples // 2)
    right = torch.cat([in_whole(batch)[batch.labels == 1] for batch in batches])
    assert sorted(right.tolist()) == graph.edges.tolist()
    for batch in batches:
        wrong = in_whole(batch)[batch.labels == 0]
        assert len(wrong) == 2 * (batch.labels == 1).sum() and not graph.has(wrong).any()
        assert batch.labels.diff().max() <= 0  # pairs first, then the wrong ones


def test_a_batch_may_hold_all_pairs():
    for size in (None, 10_000):
        (batch,) = list(LinkBatches(GRAPH, GRAPH.edges, batch_size=size).epoch(generator()))
        assert torch.equal(batch.pairs, GRAPH.edges) and batch.graph is GRAPH
    assert len(LinkBatches(GRAPH, GRAPH.edges)) == 1


def test_labels_follow_their_pairs():
    pairs = torch.tensor([[0, index] for index in range(1, 20)])
    labels = (pairs[:, 1] % 2).float()
    for fanout in (None, (2,)):
        for batch in LinkBatches(GRAPH, pairs, labels, batch_size=4, fanout=fanout).epoch(generator()):
            assert torch.equal(in_whole(batch)[:, 1] % 2, batch.labels.long())


def test_orders_and_negatives_are_drawn_from_the_generator_and_anew_each_epoch():
    stream = LinkBatches(GRAPH, GRAPH.edges, negatives=1, batch_size=8, fanout=(2,))
    state = torch.get_rng_state()

    def passed(draws: torch.Generator) -> list:
        return [(in_whole(batch).tolist(), batch.graph.digest) for batch in stream.epoch(draws)]

    draws = generator()
    first, second = passed(draws), passed(draws)
    assert first == passed(generator()) != second and passed(generator(1)) != first
    assert torch.equal(torch.get_rng_state(), state)
    order = [pair for pairs, _ in first for pair in pairs if GRAPH.has(torch.tensor([pair]))]
    assert order != GRAPH.edges.tolist()


def test_the_graph_is_sampled_around_the_pairs():
    small = LinkBatches(GRAPH, GRAPH.edges, batch_size=1, fanout=(1,))
    for batch in small.epoch(generator()):
        assert batch.graph.nodes <= 4 and 1 <= len(batch.graph.edges) <= 2
        assert torch.equal(batch.graph.x, GRAPH.x[batch.graph.ids])


def test_with_all_neighbours_a_batch_is_answered_as_on_the_whole_graph():
    torch.manual_seed(0)
    task, model = LinkPredictionTask(lambda: GraphSAGE(5, 8, 4)), GraphSAGE(5, 8, 4)
    for batch in LinkBatches(GRAPH, GRAPH.edges, negatives=1, batch_size=9, fanout=(-1, -1)).epoch(generator()):
        whole = LinkBatch(in_whole(batch), batch.labels, GRAPH)
        assert torch.allclose(task.outputs(model, batch), task.outputs(model, whole), atol=1e-5)


def test_an_empty_stream_has_no_batches():
    stream = LinkBatches(GRAPH, GRAPH.edges[:0], negatives=1, batch_size=4)
    assert len(stream) == 0 and list(stream) == [] and list(stream.epoch(generator())) == []
    assert list(LinkBatches(GRAPH, GRAPH.edges[:0]).epoch(generator())) == [] and len(LinkBatches(GRAPH, GRAPH.edges[:0])) == 0


def test_streams_go_to_other_graphs_and_sizes():
    stream = LinkBatches(GRAPH, GRAPH.edges[:5], torch.ones(5), 1, 2, (3,))
    cut = GRAPH.without_edges(torch.tensor([0]))
    moved, sized = stream.on(cut), stream.with_batch_size(5)
    assert (
        moved.graph is cut and moved.pairs is stream.pairs and (moved.negatives, moved.batch_size, moved.fanout) == (1, 2, (3,))
    )
    assert (len(sized), len(stream)) == (1, 3) and sized.graph is GRAPH
    batch = next(iter(stream))
    assert batch.on(cut).graph is cut and batch.on(cut).pairs is batch.pairs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"fanout": ()}, "a fanout holds numbers above 0"),
        ({"fanout": (2, 0)}, "a fanout holds numbers above 0"),
        ({"fanout": (-2,)}, "a fanout holds numbers above 0"),
        ({"negatives": -1}, "negatives must be 0 or more, not -1"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(BadSetting, match=message):
        LinkBatches(GRAPH, GRAPH.edges, **settings)
    if "negatives" not in settings:
        with pytest.raises(BadSetting, match=message):
            NodeBatches(GRAPH, torch.arange(3), **settings)


# ---- nodes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fanout", [None, (2, 2)])
def test_an_epoch_gives_every_node_once_with_its_class(fanout):
    nodes = torch.arange(3, 33)
    stream = NodeBatches(GRAPH, nodes, 7, fanout)
    batches = list(stream.epoch(generator()))
    assert [len(batch.nodes) for batch in batches] == [7, 7, 7, 7, 2] and len(stream) == 5
    found = torch.cat([batch.graph.global_ids[batch.nodes] for batch in batches])
    assert sorted(found.tolist()) == nodes.tolist() and found.tolist() != nodes.tolist()
    for batch in batches:
        assert torch.equal(batch.labels, GRAPH.labels[batch.graph.global_ids[batch.nodes]])
        assert torch.equal(batch.labels, batch.graph.labels[batch.nodes])
        assert (batch.graph is GRAPH) == (fanout is None)


def test_plain_iteration_gives_all_nodes_at_once():
    (batch,) = list(NodeBatches(GRAPH, torch.tensor([5, 2]), 1, (2,)))
    assert batch.nodes.tolist() == [5, 2] and batch.labels.tolist() == [2, 2] and batch.graph is GRAPH
    assert list(NodeBatches(GRAPH, torch.arange(0))) == []
    cut = GRAPH.without_edges(torch.tensor([0]))
    moved = NodeBatches(GRAPH, torch.arange(4), 2, (3,)).on(cut)
    assert moved.graph is cut and len(moved) == 2 and len(moved.with_batch_size(None)) == 1 and moved.fanout == (3,)


def test_nodes_without_classes_are_refused():
    with pytest.raises(BadRequest, match="nodes cannot be told apart by class: this graph has no labels"):
        NodeBatches(Graph.of(2, [[0, 1]]), torch.tensor([0]))


# ---- side by side -----------------------------------------------------------------------------------------------------------

CUT = GRAPH.without_edges(torch.arange(10))


@pytest.mark.parametrize("network", [GCN, GraphSAGE, GIN, GAT])
@pytest.mark.parametrize("other", [GRAPH, CUT], ids=["same graph", "another"])
def test_link_batches_side_by_side_answer_as_apart(network, other):
    torch.manual_seed(0)
    model, task = network(5, 8, 4), LinkPredictionTask(lambda: nn.Identity())
    first = LinkBatch(GRAPH.edges[:5], torch.ones(5), GRAPH)
    second = LinkBatch(torch.tensor([[0, 1], [7, 3]]), torch.tensor([1.0, 0.0]), other)
    both = first.beside(second)
    apart = torch.cat([task.outputs(model, first), task.outputs(model, second)])
    assert torch.allclose(task.outputs(model, both), apart, atol=1e-5)
    assert both.labels.tolist() == [1.0] * 6 + [0.0] and both.graph.nodes == (40 if other is GRAPH else 80)
    assert second.pairs.tolist() == [[0, 1], [7, 3]]


@pytest.mark.parametrize("other", [GRAPH, CUT], ids=["same graph", "another"])
def test_node_batches_side_by_side_answer_as_apart(other):
    torch.manual_seed(0)
    model, task = GCN(5, 8, 3), NodeClassificationTask(lambda: nn.Identity(), 3)
    first, second = (
        NodeBatch(torch.tensor([4, 1]), torch.tensor([1, 1]), GRAPH),
        NodeBatch(torch.tensor([9]), torch.tensor([0]), other),
    )
    both, count = joined(Pair(first, second))
    apart = torch.cat([task.outputs(model, first), task.outputs(model, second)])
    assert torch.allclose(task.outputs(model, both), apart, atol=1e-5)
    assert count == 2 and both.labels.tolist() == [1, 1, 0] and second.nodes.tolist() == [9]


def test_triples_side_by_side_keep_their_relations():
    cut = WORLD.without_edges(torch.tensor([0]))
    both = LinkBatch(WORLD.edges[:2], torch.ones(2), WORLD).beside(LinkBatch(WORLD.edges[:1], torch.ones(1), cut))
    assert both.pairs.tolist() == [[0, 1, 0], [1, 2, 1], [6, 7, 0]]


def test_sampled_batches_stand_side_by_side():
    torch.manual_seed(0)
    model, task = GraphSAGE(5, 8, 4), LinkPredictionTask(lambda: nn.Identity())
    stream = LinkBatches(GRAPH, GRAPH.edges, negatives=1, batch_size=4, fanout=(-1, -1))
    first, second = list(stream.epoch(generator()))[:2]
    both = first.beside(second)
    whole = LinkBatch(torch.cat([in_whole(first), in_whole(second)]), both.labels, GRAPH)
    assert torch.equal(in_whole(both), whole.pairs)
    assert torch.allclose(task.outputs(model, both), task.outputs(model, whole), atol=1e-5)


def test_the_nodes_that_a_batch_names_are_each_there_once():
    graph = Graph.of(5, [[0, 1], [1, 4]], labels=torch.zeros(5, dtype=torch.long))
    assert LinkBatch(torch.tensor([[4, 1], [1, 0]]), torch.ones(2), graph).named.tolist() == [0, 1, 4]
    assert NodeBatch(torch.tensor([3, 1, 3]), torch.zeros(3), graph).named.tolist() == [1, 3]
