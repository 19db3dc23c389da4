"""Splits on graphs: parts that share nothing, read on the graph that each part has a right to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.data.graph_splits import LinkSplit, NodeSplit, split_links, split_nodes
from expunge.errors import BadRequest, BadSetting
from expunge.graphs import Graph
from expunge.split import stream_digest
from expunge.tasks.link_prediction import LinkPredictionTask


def made(nodes: int = 50, edges: int = 220, labels: bool = True) -> Graph:
    drawn = np.random.default_rng(0).integers(0, nodes, (edges, 2))
    classes = torch.arange(nodes) % 4
    classes[[2, 7]] = -1
    return Graph.of(nodes, drawn, torch.randn(nodes, 3), classes if labels else None)


GRAPH = made()
WORLD = Graph.of(20, np.random.default_rng(0).integers(0, [20, 20, 3], (120, 3)), relations=3)


def pairs_of(edges: torch.Tensor) -> set[tuple[int, ...]]:
    return set(map(tuple, edges.tolist()))


# ---- links ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [GRAPH, WORLD])
def test_every_edge_is_in_one_part(graph):
    split, total = split_links(graph, 0.1, 0.2), len(graph.edges)
    parts = [split.graph.edges, split.validation, split.test]
    assert [len(part) for part in parts[1:]] == [int(0.1 * total), int(0.2 * total)]
    assert sum(map(len, parts)) == total and set().union(*map(pairs_of, parts)) == pairs_of(graph.edges)
    assert torch.equal(split.graph.edges, torch.unique(split.graph.edges, dim=0))


@pytest.mark.parametrize("graph", [GRAPH, WORLD])
def test_wrong_pairs_are_edges_of_no_part(graph):
    for seed in range(20):
        split = split_links(graph, 0.3, 0.3, seed)
        assert split.negatives.shape == split.test.shape and not graph.has(split.negatives).any()


def test_held_out_edges_are_forgotten_by_the_training_graph():
    split = split_links(GRAPH)
    assert split.graph.whole is split.graph  # the whole graph must not bring them back
    assert not split.graph.has(split.test).any() and not split.graph.has(split.validation).any()
    assert split.graph.features is GRAPH.features and split.graph.labels is GRAPH.labels


def test_link_splits_are_drawn_by_their_seed():
    one, two, other = (split_links(GRAPH, seed=seed) for seed in (3, 3, 4))
    for part in ("validation", "test", "negatives"):
        assert torch.equal(getattr(one, part), getattr(two, part)) and not torch.equal(getattr(one, part), getattr(other, part))
    assert one.graph.digest == two.graph.digest != other.graph.digest


def test_a_model_is_trained_on_all_edges_of_the_training_graph():
    stream = split_links(GRAPH, batch_size=16, fanout=(3, 2)).training()
    assert stream.pairs is stream.graph.edges and stream.labels is None
    assert (stream.negatives, stream.batch_size, stream.fanout) == (1, 16, (3, 2))


@pytest.mark.parametrize("graph", [GRAPH, WORLD])
def test_a_request_for_edges_takes_them_out_of_every_graph(graph):
    links = split_links(graph, 0.1, 0.2, batch_size=16, fanout=(2,))
    rows = torch.tensor([0, 5, 9])
    split, gone = links.without(rows), links.graph.edges[rows]
    left = split.retain.graph
    assert torch.equal(split.forget.pairs, gone) and split.forget.all_labels.tolist() == [1.0] * 3
    assert pairs_of(split.retain.pairs) == pairs_of(links.graph.edges) - pairs_of(gone) == pairs_of(left.edges)
    streams = (split.forget, split.retain, split.holdout, split.holdout_forget, split.validation_forget)
    assert all(stream.graph is left for stream in streams) and left.whole is links.graph
    assert (split.forget.negatives, split.retain.negatives) == (0, 1)
    assert all((stream.batch_size, stream.fanout) == (16, (2,)) for stream in streams[:2])
    assert torch.equal(split.holdout.pairs, torch.cat([links.test, links.negatives]))
    assert split.holdout.labels.tolist() == [1.0] * len(links.test) + [0.0] * len(links.test)
    assert torch.equal(split.holdout_forget.pairs, links.test) and split.holdout_forget.all_labels.min() == 1
    assert torch.equal(split.validation_forget.pairs, links.validation)


def test_the_original_is_audited_on_the_graph_before_the_request():
    links = split_links(GRAPH)
    split = links.without(torch.tensor([1, 2]))
    before = LinkPredictionTask(lambda: torch.nn.Identity()).as_trained(split)
    for part in ("forget", "retain", "holdout", "holdout_forget", "validation_forget"):
        assert getattr(before, part).graph is links.graph
        assert torch.equal(getattr(before, part).pairs, getattr(split, part).pairs)


def test_requests_for_other_edges_are_told_apart():
    links = split_links(GRAPH)
    one, same, other = (links.without(torch.tensor(rows)) for rows in ([1, 2], [1, 2], [1, 3]))
    for part in ("forget", "retain", "holdout"):
        digests = [stream_digest(getattr(split, part)) for split in (one, same, other)]
        assert digests[0] == digests[1] != digests[2]


def test_edges_that_cannot_be_served_are_refused():
    links = split_links(GRAPH)
    total = len(links.graph.edges)
    with pytest.raises(BadRequest, match=rf"no edge is named \(the training graph has {total} edges\)"):
        links.without(torch.arange(0))
    with pytest.raises(BadRequest, match="no edge would be left"):
        links.without(torch.arange(total))


# ---- nodes ------------------------------------------------------------------------------------------------------------------


def test_every_node_with_a_class_is_in_one_part():
    split = split_nodes(GRAPH, 0.1, 0.25)
    parts = [split.train, split.validation, split.test]
    assert [len(part) for part in parts] == [48 - 4 - 12, 4, 12]
    assert sorted(torch.cat(parts).tolist()) == [node for node in range(50) if node not in (2, 7)]
    assert split.graph is GRAPH


def test_node_splits_are_drawn_by_their_seed():
    one, two, other = (split_nodes(GRAPH, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.train, two.train) and torch.equal(one.test, two.test) and not torch.equal(one.test, other.test)


def test_a_request_for_nodes_takes_their_edges_out_of_what_stays():
    nodes = split_nodes(GRAPH, batch_size=8, fanout=(2, 2))
    gone = nodes.train[[4, 0]]
    split = nodes.without(gone)
    left = split.retain.graph
    assert split.forget.nodes is gone and split.forget.graph is GRAPH  # read as if they came back
    assert sorted(split.retain.nodes.tolist()) == sorted(set(nodes.train.tolist()) - set(gone.tolist()))
    assert left.degrees[gone].tolist() == [0, 0] and left.nodes == GRAPH.nodes and left.whole is GRAPH
    assert len(left.edges) == len(GRAPH.edges) - torch.isin(GRAPH.edges, gone).any(1).sum()
    assert torch.equal(split.holdout.nodes, nodes.test) and split.holdout.graph is left and split.holdout_forget is None
    assert torch.equal(split.validation_forget.nodes, nodes.validation)
    assert (split.retain.batch_size, split.retain.fanout, split.forget.batch_size) == (8, (2, 2), 8)
    training = nodes.training()
    assert training.graph is GRAPH and training.nodes is nodes.train and training.fanout == (2, 2)


def test_a_request_for_a_class_parts_what_was_held_out():
    nodes = split_nodes(GRAPH, 0.2, 0.3)

    def is_one(numbers: torch.Tensor) -> torch.Tensor:
        return GRAPH.labels[numbers] == 1

    split = nodes.without(nodes.train[is_one(nodes.train)], is_one)
    assert set(GRAPH.labels[split.holdout_forget.nodes].tolist()) == {1} and split.holdout_forget.examples
    assert 1 not in GRAPH.labels[split.holdout.nodes] and 1 not in GRAPH.labels[split.retain.nodes]
    assert sorted(split.holdout.nodes.tolist() + split.holdout_forget.nodes.tolist()) == sorted(nodes.test.tolist())
    assert torch.equal(split.validation_forget.nodes, nodes.validation[is_one(nodes.validation)])
    assert split.forget.graph is split.holdout_forget.graph is split.validation_forget.graph is GRAPH  # both read alike
    assert split.holdout.graph is split.retain.graph is not GRAPH


def test_nodes_that_cannot_be_served_are_refused():
    nodes = split_nodes(GRAPH)
    with pytest.raises(BadRequest, match="no node is named"):
        nodes.without(torch.arange(0))
    with pytest.raises(BadRequest, match="no training node would be left"):
        nodes.without(nodes.train)
    strange = int(nodes.test[0])
    with pytest.raises(BadRequest, match=f"node {strange} is not one of the {len(nodes.train)} training nodes"):
        nodes.without(torch.tensor([int(nodes.train[0]), strange]))


# ---- shares -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [split_links, split_nodes])
@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0, 0.1), "must be shares that leave something to train on, not 0 and 0.1"),
        ((0.1, 1), "not 0.1 and 1"),
        ((0.5, 0.5), "not 0.5 and 0.5"),
        ((0.001, 0.1), r"has too few (edges|labelled nodes) to hold out 0\.001 and 0\.1 of them"),
    ],
)
def test_shares_that_leave_a_part_empty_are_refused(split, shares, message):
    with pytest.raises(BadSetting, match=message):
        split(GRAPH, *shares)


def test_nodes_without_classes_cannot_be_split():
    with pytest.raises(BadSetting, match=r"Graph\(.*\) has no labels, so its nodes cannot be classified; predict its links"):
        split_nodes(made(labels=False))


def test_splits_are_made_by_hand_too():
    links = LinkSplit(GRAPH, GRAPH.edges[:1], GRAPH.edges[1:2], torch.tensor([[0, 0]]))
    assert links.training(Graph.of(2, [[0, 1]])).pairs.tolist() == [[0, 1]]
    assert NodeSplit(GRAPH, torch.tensor([0]), torch.tensor([1]), torch.tensor([3])).training().nodes.tolist() == [0]


# ---- kinds of edges ---------------------------------------------------------------------------------------------------------


def test_a_kind_of_edge_is_told_apart_in_what_was_held_out():
    parts = split_links(WORLD, validation=0.2, test=0.2)
    of_kind = lambda triples: triples[:, 2] == 1  # noqa: E731
    split = parts.without(of_kind(parts.graph.edges), of_kind)
    assert split.kind and not parts.without(torch.tensor([0])).kind
    assert of_kind(split.forget.pairs).all() and not of_kind(split.retain.pairs).any()
    assert pairs_of(split.holdout_forget.pairs) == pairs_of(parts.test[of_kind(parts.test)])
    assert pairs_of(split.validation_forget.pairs) == pairs_of(parts.validation[of_kind(parts.validation)])
    assert not of_kind(split.holdout.pairs).any()
    kept = len(parts.test) - int(of_kind(parts.test).sum())
    assert int(split.holdout.labels.sum()) == kept


def test_that_a_kind_goes_is_no_part_of_the_digest():
    parts = split_links(GRAPH)
    split = parts.without(torch.tensor([3]))
    assert stream_digest(split) == stream_digest(replace(split, kind=True))
