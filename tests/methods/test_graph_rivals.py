"""Unlink, GNNDelete and GIF: what they leave alone, what they change, and limits in which they are known."""

import copy
import itertools

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged, WrongTask
from expunge.graphs import Graph, LinkBatches, NodeBatches, sampled
from expunge.methods.gif import GIF
from expunge.methods.gnndelete import DeletedGNN, GNNDelete, layer_outputs
from expunge.methods.unlink import Unlink
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.models.sgc import SGC
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.tasks import NodeClassificationTask
from tiny import class_split, original, same_weights, task
from tiny_graphs import (
    link_original,
    link_parts,
    link_split,
    link_task,
    node_original,
    node_parts,
    node_split,
    node_task,
)

WORLDS = {"links": (link_task, link_split), "nodes": (node_task, node_split)}
SHORT = GNNDelete(epochs=3)


@pytest.fixture(scope="module")
def trained():
    return {name: train(Engine(progress=False)).eval() for name, train in (("links", link_original), ("nodes", node_original))}


@pytest.fixture(params=WORLDS)
def world(request, trained):
    """A task, a split and a trained model."""
    made, split = WORLDS[request.param]
    return made(), split(), trained[request.param]


def embeddings(world, model, graph):
    with torch.no_grad():
        return world[0].embed(model, graph)


def run(method, world, seed=0, **engine):
    read, split, model = world
    return method(model, read, split, Engine(seed, progress=False, **engine))


# ---- unlink -------------------------------------------------------------------------------------------------------------


def test_unlink_keeps_the_weights_and_answers_change_with_the_graph(world):
    read, split, model = world
    result = run(Unlink(), world)
    assert same_weights(result, model) and result is not model
    whole = read.as_trained(split)
    assert torch.equal(read.collect(result, whole.retain), read.collect(model, whole.retain))
    assert not torch.equal(read.collect(result, split.retain), read.collect(model, whole.retain))


def test_unlink_needs_no_data_that_stays(world):
    read, split, model = world
    assert same_weights(Unlink()(model, read, Split(split.forget, ()), Engine(progress=False)), model)


@pytest.mark.parametrize("method", [Unlink(), GNNDelete(), GIF()])
def test_data_without_a_graph_are_refused(method):
    model = original(Engine(progress=False))
    with pytest.raises(WrongTask, match=f"^{method.name} works on .*, not on ClassificationTask: .*graph"):
        method(model, task(), class_split(), Engine(progress=False))


# ---- GNNDelete: what it returns --------------------------------------------------------------------------------------------


def test_gnndelete_freezes_the_network_and_learns_one_operator_a_layer(world):
    _, _, model = world
    result = run(SHORT, world)
    assert same_weights(result.model, model) and not any(each.requires_grad for each in result.model.parameters())
    learned = {name: tuple(value.shape) for name, value in result.named_parameters() if value.requires_grad}
    width = model.convs[1].out_channels
    assert learned == {"operators.0": (16, 16), "operators.1": (width, width)}


@pytest.mark.parametrize("network", [GCN, GAT, GIN, GraphSAGE])
def test_with_operators_that_do_nothing_it_is_the_model(network):
    graph = link_split().retain.graph
    model = network(8, hidden=16, outputs=8, dropout=0.5, layers=3)
    everywhere = torch.ones(graph.nodes, dtype=torch.bool)
    deleted = DeletedGNN(copy.deepcopy(model), [everywhere] * 3, [16, 16, 8])
    with torch.no_grad():
        for operator in deleted.operators:
            operator.copy_(torch.eye(len(operator)))
    expected = model.eval()(graph)
    for mode in (True, False):  # a frozen network is never trained, so that dropout has nothing to do
        torch.testing.assert_close(deleted.train(mode)(graph), expected)
    torch.testing.assert_close(copy.deepcopy(deleted)(graph), expected)


def test_only_nodes_near_to_what_goes_change(world):
    read, split, model = world
    goes = NodeBatches(split.forget.graph, torch.tensor([0])) if read.name == "node-classification" else None
    if goes is None:
        parts = link_parts()
        split = parts.without(torch.tensor([0]))
        names = split.forget.pairs.flatten()
    else:
        parts = node_parts()
        split = parts.without(parts.train[:1])
        names = split.forget.nodes
    graph = split.retain.graph
    result = SHORT(model, read, split, Engine(progress=False))
    with torch.no_grad():
        before = layer_outputs(model, graph)
        after = layer_outputs(model, graph, lambda place, said: result.deleted(place, said, graph))
    first, second = graph.whole.near(names, 1), graph.whole.near(names, 2)
    assert 0 < first.sum() < second.sum() < graph.nodes
    assert torch.equal(result.region(0), first) and torch.equal(result.region(1), second)
    assert torch.equal((before[0] != after[0]).any(1), first)
    torch.testing.assert_close(before[1][~second], after[1][~second])
    assert (before[1][second] != after[1][second]).any(1).all()
    assert torch.equal(embeddings(world, result, graph), after[-1])


def test_nodes_are_known_by_their_numbers_in_parts_and_unions(trained):
    read, split, model = link_task(), link_parts().without(torch.tensor([0])), trained["links"]
    graph = split.retain.graph
    result = SHORT(model, read, split, Engine(progress=False))
    with torch.no_grad():
        expected = result(graph)
        both = result(graph.whole.union(graph))
        seeds = torch.tensor([70, 3])
        part, places = sampled(graph, seeds, (-1, -1, -1), torch.Generator().manual_seed(0))
        torch.testing.assert_close(both[graph.nodes :], expected)
        torch.testing.assert_close(both[: graph.nodes], result(graph.whole))
        torch.testing.assert_close(result(part)[places], expected[seeds])


def test_what_the_operators_cost_is_counted(world):
    result = run(SHORT, world)
    sizes = [int(result.region(place).sum()) for place in (0, 1)]
    width = len(result.operators[1])
    assert result.extra_macs == sizes[0] * 16**2 + sizes[1] * width**2 > 0


# ---- GNNDelete: what it learns ----------------------------------------------------------------------------------------------


def terms(method, world):
    engine = Engine(progress=False)
    read, split, model = world
    method(model, read, split, engine)
    return [row["terms"] for row in engine.history]


def ends(split):
    return split.forget.pairs.flatten() if isinstance(split.forget, LinkBatches) else split.forget.nodes


def test_the_first_losses_are_those_of_the_formula(world):
    _, split, model = world
    method = GNNDelete(alpha=0.3, epochs=1)
    changed = run(GNNDelete(epochs=1, optimizer=Optimizer("sgd", 1e-30)), world)  # the operators as they begin
    with torch.no_grad():
        graph, names = split.retain.graph, ends(split)
        theirs = layer_outputs(model, graph.whole)
        engine = Engine(progress=False)
        with engine.scope("gnndelete"):
            partners = torch.randint(graph.nodes, names.shape, generator=engine.generator("random nodes"))
        kept, gone = changed(graph, None, True), changed(split.forget.graph, None, True)
    rest = torch.ones(graph.nodes, dtype=torch.bool)
    rest[names] = False
    places = range(2)
    influence = [(kept[i] - theirs[i])[changed.region(i) & rest].square().mean() for i in places]
    strange = [(gone[i][names] - theirs[i][partners]).square().mean() for i in places]
    expected = {"influence": 0.7 * sum(influence), "deleted": 0.3 * sum(strange)}
    assert terms(method, world)[0] == {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}


def test_at_the_ends_of_alpha_one_term_is_left(world):
    both, influence, deleted, ni = (
        terms(method, world)
        for method in (
            SHORT,
            GNNDelete(alpha=0.0, epochs=3),
            GNNDelete(alpha=1.0, epochs=3),
            GNNDelete(only_influence=True, epochs=3),
        )
    )
    assert both[0].keys() == {"influence", "deleted"} and influence[0].keys() == {"influence"}
    assert deleted[0]["influence"] == 0.0 and deleted[0]["deleted"] == pytest.approx(2 * both[0]["deleted"])
    assert influence == ni and influence[0]["influence"] == pytest.approx(2 * both[0]["influence"])


def test_influence_alone_brings_the_neighbourhood_back(world):
    read, split, model = world
    found = terms(GNNDelete(only_influence=True, epochs=400), world)
    assert found[-1]["influence"] < 0.2 * found[0]["influence"]
    result = run(GNNDelete(only_influence=True, epochs=400), world)
    scores = [read.evaluate(each, split.holdout)[read.score_name] for each in (model, result)]
    assert scores[1] > scores[0] - 0.15


def test_what_goes_is_taken_for_strangers(trained):
    read, split, model = link_task(), link_split(), trained["links"]
    result = GNNDelete()(model, read, split, Engine(progress=False))
    old, new = (read.collect(each, split.forget).sigmoid().mean() for each in (model, result))
    assert new < old - 0.1


def test_each_operator_learns_from_its_own_layer_alone(world):
    split = world[1]
    deleted = run(GNNDelete(epochs=1), world).train()
    deleted.zero_grad()
    first, second = deleted(split.retain.graph, None, True)
    second.square().sum().backward()
    assert deleted.operators[0].grad is None and deleted.operators[1].grad.any()
    deleted(split.retain.graph).square().sum().backward()  # as it is used, all of it can learn
    assert deleted.operators[0].grad.any() and first.shape[1] == 16
    assert all(each.grad is None for each in deleted.model.parameters())


def test_options_change_what_is_learned_and_seeds_the_random_nodes(world):
    base = run(SHORT, world)
    assert same_weights(base, run(SHORT, world))
    others = [
        GNNDelete(epochs=3, influence_target="retained"),
        GNNDelete(epochs=3, fresh_pairs=True),
        GNNDelete(alpha=0.6, epochs=3),
    ]
    results = [base, *(run(method, world) for method in others), run(SHORT, world, seed=1)]
    assert not any(same_weights(first, second) for first, second in itertools.combinations(results, 2))
    alone = GNNDelete(only_influence=True, epochs=3)
    assert same_weights(run(alone, world), run(alone, world, seed=1))


def test_no_epochs_return_the_model(world):
    assert same_weights(run(GNNDelete(epochs=0), world), world[2])


def test_killed_it_resumes_with_the_same_operators(world, tmp_path, monkeypatch):
    method = GNNDelete(epochs=6, fresh_pairs=True)
    whole = run(method, world, folder=tmp_path / "whole", checkpoint_steps=1)
    forward, calls = DeletedGNN.forward, itertools.count()

    def dying(self, *inputs):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return forward(self, *inputs)

    monkeypatch.setattr(DeletedGNN, "forward", dying)
    with pytest.raises(KeyboardInterrupt):
        run(method, world, folder=tmp_path / "killed", checkpoint_steps=1)
    assert same_weights(run(method, world, folder=tmp_path / "killed", checkpoint_steps=1), whole)
    asked = 2 if isinstance(world[0], NodeClassificationTask) else 1
    assert next(calls) < 5 + 6 * asked, "it began again instead of going on"


def test_networks_that_are_no_stack_of_graph_layers_are_refused(trained):
    read, split = link_task(), link_split()
    message = "^gnndelete: operators go behind the layers of gcn, gat, gin or sage, on nodes with features; this is {}$"
    deleted = SHORT(trained["links"], read, split, Engine(progress=False))
    for model in (SGC(8, 4), deleted):
        with pytest.raises(BadSetting, match=message.format(type(model).__name__)):
            SHORT(model, read, split, Engine(progress=False))

    class Doubled(GCN):
        def forward(self, x, edge_index=None):
            return 2 * super().forward(x, edge_index)

    with pytest.raises(BadSetting, match=r"^gnndelete: the network does more than its `convs` with ReLU between them"):
        SHORT(Doubled(8, 16, 4), read, split, Engine(progress=False))


def test_a_broken_model_is_noticed_at_the_first_step(trained):
    model = copy.deepcopy(trained["links"])
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match=r"gnndelete/fit.*is nan at step 0"):
        SHORT(model, link_task(), link_split(), Engine(progress=False))


def test_without_neighbours_there_is_no_influence_to_keep():
    """Two pairs, of which one goes: nobody else is near."""
    graph = Graph.of(4, [[0, 1], [2, 3]], torch.eye(4, 8))
    left = graph.without_edges(torch.tensor([0]))
    split = Split(LinkBatches(left, graph.edges[:1]), LinkBatches(left, left.edges, negatives=1))
    model = GCN(8, 16, 8)
    assert terms(SHORT, (link_task(), split, model))[0].keys() == {"deleted"}
    with pytest.raises(BadRequest, match=r"^gnndelete: all nodes near to what goes are part of it"):
        GNNDelete(only_influence=True)(model, link_task(), split, Engine(progress=False))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.1}, "alpha must lie between 0 and 1, not 1.1"),
        ({"alpha": -0.1}, "alpha must lie between 0 and 1, not -0.1"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
        ({"influence_target": "half"}, r"influence_target must be one of \('whole', 'retained'\), not 'half'"),
    ],
)
def test_settings_of_gnndelete_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^gnndelete: {message}$"):
        GNNDelete(**settings)
