"""GraphEraser, which trains anew on parts of what stays, and MEGU, which trains on against what goes."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.graphs import Graph, NodeBatches
from expunge.methods import Retrain
from expunge.methods.graph_eraser import GraphEraser, ShardEnsemble, partition, shard_of
from expunge.methods.megu import MEGU, _Mutual, influenced
from expunge.models.gnn import GCN
from expunge.models.sgc import SGC
from expunge.optimizers import Optimizer
from expunge.tasks import NodeClassificationTask
from tiny import class_split, original, same_weights, task
from tiny_graphs import (
    communities,
    link_original,
    link_split,
    link_task,
    node_original,
    node_parts,
    node_split,
    node_task,
)

WORLDS = {"links": (link_task, link_split, link_original), "nodes": (node_task, node_split, node_original)}
SHARDS = GraphEraser(shards=2, epochs=10, optimizer=Optimizer("adam", 1e-2))


@pytest.fixture(params=WORLDS)
def world(request):
    """A task, a split and a trained model."""
    made, split, train = WORLDS[request.param]
    return made(), split(), train(Engine(progress=False)).eval()


def run(method, world, seed=0):
    read, split, model = world
    return method(model, read, split, Engine(seed, progress=False))


@pytest.mark.parametrize("method", [GraphEraser(), MEGU()])
def test_data_without_a_graph_are_refused(method):
    model = original(Engine(progress=False))
    with pytest.raises(WrongTask, match=rf"^{method.name} works on .*, not on ClassificationTask: {method.why_not}$"):
        method(model, task(), class_split(), Engine(progress=False))


def test_megu_refuses_links():
    with pytest.raises(WrongTask, match=r"^megu works on NodeClassificationTask, not on LinkPredictionTask: "):
        run(MEGU(), (link_task(), link_split(), link_task().new_model()))


# ---- GraphEraser --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shards", "rounds"), [(1, 20), (3, 0), (3, 20), (4, 20), (7, 20)])
def test_shards_are_of_one_size_and_hold_all_nodes(shards, rounds):
    homes = partition(communities(), shards, rounds, torch.Generator().manual_seed(0))
    sizes = homes.bincount(minlength=shards)
    assert homes.shape == (80,) and homes.min() >= 0 and len(sizes) == shards
    assert sizes.max() - sizes.min() <= 1


def test_label_propagation_cuts_fewer_edges_than_chance():
    graph = communities(inside=0.4, outside=0.01)

    def cut(rounds, seed):
        homes = partition(graph, 4, rounds, torch.Generator().manual_seed(seed))
        return (homes[graph.edges[:, 0]] != homes[graph.edges[:, 1]]).float().mean().item()

    found = [(cut(20, seed), cut(0, seed)) for seed in range(3)]
    assert all(after < 0.6 * before for after, before in found), found
    assert torch.equal(*(partition(graph, 4, 20, torch.Generator().manual_seed(5)) for _ in range(2)))


def test_graphs_without_edges_are_cut_as_well():
    homes = partition(Graph.of(5, []), 2, 3, torch.Generator().manual_seed(0))
    assert sorted(homes.bincount().tolist()) == [2, 3]


def test_shards_part_what_is_trained_on_and_never_hold_what_goes(world):
    _, split, _ = world
    graph = split.retain.graph
    homes = partition(graph, 3, 20, torch.Generator().manual_seed(0))
    streams = [shard_of(split.retain, (homes == shard).nonzero().flatten()) for shard in range(3)]
    ids = [stream.graph.ids for stream in streams]
    assert torch.cat(ids).sort().values.tolist() == list(range(graph.nodes))
    edges = torch.cat([own[stream.graph.edges] for own, stream in zip(ids, streams, strict=True)])
    inside = homes[graph.edges[:, 0]] == homes[graph.edges[:, 1]]
    assert sorted(map(tuple, edges.tolist())) == sorted(map(tuple, graph.edges[inside].tolist()))
    for own, stream in zip(ids, streams, strict=True):
        assert torch.equal(stream.graph.features, graph.features[own]) and stream.graph.whole is stream.graph
    if isinstance(split.retain, NodeBatches):
        trained_on = torch.cat([own[stream.nodes] for own, stream in zip(ids, streams, strict=True)])
        assert sorted(trained_on.tolist()) == sorted(split.retain.nodes.tolist())
        assert not torch.isin(trained_on, split.forget.nodes).any()
    else:
        assert torch.equal(
            torch.cat([stream.pairs for stream in streams]), torch.cat([stream.graph.edges for stream in streams])
        )
        assert {stream.negatives for stream in streams} == {1}


def test_what_goes_leaves_no_trace_in_the_result(world):
    """Other original weights, another forget set of the same retained graph: same result."""
    read, split, _ = world
    result = run(SHARDS, world)
    stream = split.forget
    fewer = replace(stream, **{name: getattr(stream, name)[:1] for name in ("pairs", "nodes") if hasattr(stream, name)})
    assert same_weights(run(SHARDS, (read, replace(split, forget=fewer), read.new_model())), result)
    assert not same_weights(run(SHARDS, world, seed=1), result)


def test_links_are_answered_by_the_mean_logit_and_nodes_by_the_mean_probability(world):
    read, split, _ = world
    result = run(SHARDS, world)
    batch = next(iter(split.holdout))
    with torch.no_grad():
        alone = torch.stack([read.outputs(member, batch) for member in result.members])
        together = read.outputs(result, batch)
    assert len(alone) == 2 and not torch.allclose(alone[0], alone[1])
    if isinstance(read, NodeClassificationTask):
        torch.testing.assert_close(together.softmax(-1), alone.softmax(-1).mean(0))
        torch.testing.assert_close(together.exp().sum(-1), torch.ones(len(together)))
    else:
        torch.testing.assert_close(together, alone.mean(0))


def test_one_shard_is_retraining(world):
    read, split, _ = world
    result = run(replace(SHARDS, shards=1), world)
    engine = Engine(progress=False)
    model = engine.new_model(lambda: copy.deepcopy(result.members[0]))
    assert result(split.retain.graph).shape == model(split.retain.graph).shape
    score = read.evaluate(result, split.holdout)[read.score_name]
    retrained = Retrain(10, Optimizer("adam", 1e-2), "constant")(model, read, split, engine)
    assert abs(score - read.evaluate(retrained, split.holdout)[read.score_name]) < 0.15


def test_networks_that_read_no_graph_can_be_members():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 4)

        def forward(self, x, edge_index):
            return self.inner(x)

    graph = communities()
    members = [Plain(), SGC(8, 4, hops=0)]
    expected = torch.cat([members[0].inner(graph.x), members[1].head(graph.x)], 1) / math.sqrt(2)
    torch.testing.assert_close(ShardEnsemble(members, classes=False)(graph), expected)


def test_shards_with_nothing_to_train_on_and_decoders_are_refused(world):
    read, split, _ = world
    with pytest.raises(BadSetting, match=r"^graph-eraser: shard \d+ has nothing to train on; take fewer shards than 80$"):
        run(replace(SHARDS, shards=80), world)
    decoding = read.new_model()
    decoding.decode = lambda embeddings, pairs: embeddings
    with pytest.raises(BadSetting, match=r"^graph-eraser: the answers of several decoders"):
        run(SHARDS, (read, split, decoding))


def test_no_epochs_return_the_model(world):
    assert same_weights(run(replace(SHARDS, epochs=0), world), world[2])


def test_shards_are_trained_as_the_original_was():
    method = GraphEraser.from_recipe(Retrain(7, Optimizer("sgd", 0.1), "cosine", 2.0), shards=3)
    assert method == GraphEraser(3, 20, 7, Optimizer("sgd", 0.1), "cosine", 2.0)
    engine = Engine(progress=False)
    run_on = (node_task(), node_split(), node_task().new_model())
    method(run_on[2], *run_on[:2], engine)
    assert [row["fit"] for row in engine.history] == [f"graph-eraser/shard-{shard}" for shard in range(3) for _ in range(7)]


# ---- MEGU ---------------------------------------------------------------------------------------------------------------


def test_influenced_neighbours_are_near_and_moved():
    graph = communities()
    gone = torch.tensor([0, 1])
    found = influenced(graph, gone, 2)
    near = graph.near(gone, 2)
    assert len(found) > 0 and near[found].all() and not torch.isin(gone, found).any()
    assert torch.equal(found, found.sort().values)
    alone = Graph.of(3, [[1, 2]], torch.eye(3))
    assert influenced(alone, torch.tensor([0]), 2).tolist() == []


def nodes():
    return node_task(), node_split(), node_original(Engine(progress=False)).eval()


def test_megu_losses_are_those_of_the_formula():
    """Plain gradient descent, and the first step of an unlearner that is made again from its seed."""
    read, split, _ = nodes()
    model = GCN(8, hidden=16, outputs=4)  # without dropout
    engine = Engine(progress=False)
    MEGU(kappa=0.3, temperature=2.0, epochs=1)(model, read, split, engine)
    again = Engine(progress=False)
    with again.scope("megu"):
        both = again.new_model(lambda: _Mutual(copy.deepcopy(model), read), "unlearner")
    left, gone = split.retain.graph, split.forget.nodes
    with torch.no_grad():
        old = model(left.whole).argmax(1)
        said, heard = both(left)

    def kl(teacher, student):
        first, second = ((each / 2).log_softmax(-1) for each in (teacher, student))
        return (first.exp() * (first - second)).sum(-1)

    near = influenced(left.whole, gone, 2)
    away = kl(heard[gone], said[gone]) - nn.functional.cross_entropy(heard[gone], old[gone], reduction="none")
    keep = kl(said[near], heard[near]) + nn.functional.cross_entropy(said[near], old[near], reduction="none")
    expected = {"forget": 0.3 * away.mean(), "neighbours": keep.mean()}
    found = engine.history[0]["terms"]
    assert found == {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}


def test_megu_pushes_what_goes_away_and_keeps_what_is_near():
    read, split, model = nodes()
    left, gone = split.retain.graph, split.forget.nodes
    near = NodeBatches(left, influenced(left.whole, gone, 2))
    forgotten = NodeBatches(left, gone)

    def losses(result):
        return [read.evaluate(result, stream)["loss"] for stream in (forgotten, near)]

    weak, strong = (run(MEGU(kappa=kappa, epochs=60), (read, split, model)) for kappa in (0.0, 0.5))
    assert losses(strong)[0] > losses(weak)[0] + 0.2
    before, after = (read.evaluate(each, near)["accuracy"] for each in (model, strong))
    assert after > before - 0.15 and not same_weights(weak, model)


def test_megu_trains_on_without_neighbours():
    graph = Graph.of(20, [], torch.eye(20, 8), torch.arange(20) % 4)
    parts = replace(node_parts(), graph=graph, train=torch.arange(10))
    engine = Engine(progress=False)
    MEGU(epochs=1)(node_task().new_model(), node_task(), parts.without(torch.tensor([0])), engine)
    assert engine.history[0]["terms"].keys() == {"forget"}


def test_megu_needs_features():
    parts = node_parts()
    split = replace(parts, graph=replace(parts.graph, features=None)).without(parts.train[:1])
    with pytest.raises(BadSetting, match=r"^megu: neighbours are found by their features, and this graph has none$"):
        run(MEGU(), (node_task(), split, node_task().new_model()))


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (GraphEraser, {"shards": 0}, "shards must be at least 1, not 0"),
        (GraphEraser, {"rounds": -1}, "rounds must be 0 or more, not -1"),
        (GraphEraser, {"epochs": -1}, "epochs must be 0 or more, not -1"),
        (MEGU, {"kappa": -0.1}, "kappa must be 0 or more, not -0.1"),
        (MEGU, {"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        (MEGU, {"hops": 0}, "hops must be at least 1, not 0"),
        (MEGU, {"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(method, settings, message):
    with pytest.raises(BadSetting, match=f"^{method.name}: {message}$"):
        method(**settings)
