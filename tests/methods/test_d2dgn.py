"""D2DGN: whom the student listens to and on which graph, limits, and where it stops."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from expunge.data.graph_splits import split_nodes
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, WrongTask
from expunge.graphs import Graph, LinkBatch, LinkBatches
from expunge.methods import D2DGN, Retrain
from expunge.methods.d2dgn import _Distillation, _Teacher, heldout_match
from expunge.methods.method import frozen
from expunge.models.gnn import GCN
from expunge.optimizers import Optimizer
from expunge.split import Pair, one_epoch
from expunge.tasks import LinkPredictionTask
from expunge.tasks.graph import graph_layers
from tiny import class_split, original, same_weights, task
from tiny_graphs import (
    by_heart_original,
    by_heart_parts,
    by_heart_split,
    by_heart_task,
    communities,
    link_original,
    link_parts,
    link_split,
    link_task,
    node_original,
    node_parts,
    node_split,
    node_task,
)

ALWAYS = {"stop": "never", "epochs": 5}
SGD = Optimizer("sgd", 0.05)


@pytest.fixture(scope="module")
def trained():
    return link_original(Engine(progress=False))


@pytest.fixture(scope="module")
def trained_on_nodes():
    return node_original(Engine(progress=False))


def pair_of(split):
    generator = torch.Generator().manual_seed(0)
    return Pair(next(one_epoch(split.forget, generator)), next(one_epoch(split.retain, generator)))


@pytest.fixture(scope="module")
def by_heart():
    return by_heart_original(Engine(progress=False))


@pytest.fixture
def shown_to_destroyers(monkeypatch):
    """The streams that destroyers are trained on."""
    seen, fit = [], Engine.fit

    def spy(self, model, loss, batches, **options):
        if options.get("name") == "destroyer":
            seen.append(batches)
        return fit(self, model, loss, batches, **options)

    monkeypatch.setattr(Engine, "fit", spy)
    return seen


def dropped(original, student):
    """By how much the probability of deleted and of retained edges fell."""
    split, task = by_heart_split(), by_heart_task()
    return [
        task.evaluate(original, part)["probability"] - task.evaluate(student, part)["probability"]
        for part in (split.forget, split.retain)
    ]


def distillation(method, model, destroyer, split, graph=None):
    graph = graph or split.retain.graph.whole
    teachers = [_Teacher(frozen(each), link_task(), graph, Engine(progress=False)) for each in (model, destroyer)]
    touched = torch.unique(split.forget.pairs)
    return _Distillation(method, method.alpha or 0.9, link_task(), *teachers, touched)


def test_the_terms_by_hand(trained):
    split, destroyer = link_split(), GCN(8, 16, 8).eval()
    student = GCN(8, 16, 8).eval()
    pair = pair_of(split)
    whole, left = split.retain.graph.whole, split.retain.graph
    terms = distillation(D2DGN(alpha=0.8, temperature=2.0), trained, destroyer, split)(student, pair)

    def answers(model, graph, pairs):
        z = model(graph.x, graph.edge_index)
        return ((z[pairs[:, 0]] * z[pairs[:, 1]]).sum(1) / 2).sigmoid()

    for name, weight, teacher, batch in (("retain", 0.8, trained, pair.retain), ("forget", 0.2, destroyer, pair.forget)):
        p, q = answers(teacher, whole, batch.pairs), answers(student, left, batch.pairs)
        wanted = weight * 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log())
        torch.testing.assert_close(terms[name], wanted, rtol=1e-3, atol=1e-6)


def test_retained_pairs_are_edges_and_as_many_that_are_none(trained):
    split = link_split()
    pair = pair_of(split)
    terms = distillation(D2DGN(), trained, GCN(8, 16, 8), split)(trained, pair)
    assert len(terms["retain"]) == 2 * split.retain.examples
    assert len(terms["forget"]) == split.forget.examples == len(pair.forget.pairs)
    assert not split.retain.graph.has(split.forget.pairs).any()


@pytest.mark.parametrize("teacher_graph", ["whole", "retained"])
def test_which_graph_teachers_read(trained, teacher_graph, monkeypatch):
    graphs = []

    class Spy(_Teacher):
        def __init__(self, model, task, graph, engine):
            graphs.append(graph)
            super().__init__(model, task, graph, engine)

    monkeypatch.setattr("expunge.methods.d2dgn._Teacher", Spy)
    split = link_split()
    D2DGN(teacher_graph=teacher_graph, **ALWAYS)(trained, link_task(), split, Engine(progress=False))
    wanted = split.retain.graph.whole if teacher_graph == "whole" else split.retain.graph
    assert graphs == [wanted, wanted]


def test_with_alpha_one_the_student_stays_where_its_teacher_agrees_with_itself(trained):
    method = D2DGN(alpha=1.0, teacher_graph="retained", stop="never", epochs=3, optimizer=SGD)
    quiet = copy.deepcopy(trained)
    for module in quiet.modules():
        module.dropout = 0.0
    student = method(quiet, link_task(), link_split(), Engine(progress=False))
    for ours, theirs in zip(student.parameters(), quiet.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_with_alpha_zero_only_the_destroyer_is_heard(trained):
    split, destroyer = link_split(), GCN(8, 16, 8)
    method = D2DGN(alpha=0.0, destroyer=lambda: destroyer, stop="never", epochs=200, optimizer=Optimizer("adam", 1e-2))
    student = method(trained, link_task(), split, Engine(progress=False))
    said = link_task().collect(student, split.forget).sigmoid()
    wanted = link_task().collect(destroyer, split.forget.on(split.retain.graph.whole)).sigmoid()
    before = link_task().collect(trained, split.forget).sigmoid()
    assert (said - wanted).abs().mean() < 0.3 * (before - wanted).abs().mean()


@pytest.mark.parametrize("knowledge", ["response", "features", "both"])
@pytest.mark.parametrize("features", ["links", "nodes", "nodes-twice"])
def test_every_kind_of_knowledge_forgets(by_heart, knowledge, features):
    method = D2DGN(
        knowledge=knowledge, features=features, stop="never", alpha=0.5, epochs=80, optimizer=Optimizer("adam", 3e-3)
    )
    student = method(by_heart, by_heart_task(), by_heart_split(), Engine(progress=False))
    goes, stays = dropped(by_heart, student)
    assert goes > 0.1
    if features == "links" or knowledge == "response":  # embeddings are torn between both teachers, at nearly every node
        assert goes > 2 * stays


def test_ends_of_what_goes_follow_the_destroyer_alone(trained):
    split, student, destroyer = link_split(), GCN(8, 16, 8).eval(), GCN(8, 16, 8).eval()
    pair = pair_of(split)
    terms = {
        reading: distillation(D2DGN(knowledge="features", features=reading), trained, destroyer, split)(student, pair)
        for reading in ("nodes", "nodes-twice")
    }
    retained = pair.retain.pairs
    ends = torch.isin(retained, torch.unique(split.forget.pairs))
    once, twice = (terms[reading]["retain features"] for reading in ("nodes", "nodes-twice"))
    assert (once[ends.all(1)] == 0).all() and (twice > 0).all()
    torch.testing.assert_close(once[~ends.any(1)], twice[~ends.any(1)])
    torch.testing.assert_close(terms["nodes"]["forget features"], terms["nodes-twice"]["forget features"])


def test_it_stops_where_deleted_edges_look_like_those_never_seen(trained):
    split, found = link_split(), {}
    match = heldout_match(link_task(), split)
    for stop in ("never", "match-heldout"):
        method = D2DGN(alpha=0.5, stop=stop, tolerance=0.0, epochs=150, patience=150, optimizer=Optimizer("adam", 3e-3))
        found[stop] = match(method(trained, link_task(), split, Engine(progress=False)))
    assert found["match-heldout"] >= -0.03 > match(trained)
    assert found["match-heldout"] > found["never"]


def test_the_match_is_0_where_both_sides_are_the_same(trained):
    split = link_split()
    same = type(split)(split.forget, split.retain, validation_forget=split.forget)
    assert heldout_match(link_task(), same)(trained) == pytest.approx(0.0, abs=1e-9)


def test_what_is_within_chance_counts_as_a_match(trained):
    split = link_split()
    goes, unseen = split.forget.examples, split.validation_forget.examples
    chance = ((goes + unseen + 1) / (12 * goes * unseen)) ** 0.5
    strict, loose = (heldout_match(link_task(), split, tolerance)(trained) for tolerance in (0.0, 0.2))
    assert strict < -0.2 * chance and loose == pytest.approx(strict + 0.2 * chance)
    assert heldout_match(link_task(), split, 100.0)(trained) == 0.0


def test_an_edge_weighs_the_same_in_small_and_large_requests(trained, monkeypatch):
    found = {}

    class Spy(_Distillation):
        def __call__(self, model, pair):
            terms = super().__call__(model, pair)
            found[len(terms["forget"])] = self.alpha
            return terms

    monkeypatch.setattr("expunge.methods.d2dgn._Distillation", Spy)
    parts = link_parts()
    total = len(parts.graph.edges)
    for count in (5, 20):
        D2DGN(**ALWAYS)(trained, link_task(), parts.without(torch.arange(count)), Engine(progress=False))
    for count, alpha in found.items():
        assert (1 - alpha) / count == pytest.approx(0.6 / total)
    assert found.keys() == {5, 20}


def test_a_match_needs_something_held_out(trained):
    split = link_split()
    with pytest.raises(BadRequest, match="needs validation_forget"):
        D2DGN()(trained, link_task(), type(split)(split.forget, split.retain), Engine(progress=False))


def test_a_class_of_nodes_is_not_matched(trained_on_nodes):
    parts = node_parts()
    gone = parts.train[parts.graph.labels[parts.train] == 3]
    split = parts.without(gone, lambda nodes: parts.graph.labels[nodes] == 3)
    assert heldout_match(node_task(), split) is None


def test_the_destroyer_is_another_network(trained):
    with pytest.raises(BadRequest, match="has the weights of the model that must forget"):
        D2DGN(destroyer=lambda: copy.deepcopy(trained), **ALWAYS)(trained, link_task(), link_split(), Engine(progress=False))


def test_a_destroyer_on_negative_edges_sees_no_edge(trained, shown_to_destroyers):
    split = link_split()
    D2DGN(destroyer="negative-edges", destroyer_epochs=2, **ALWAYS)(trained, link_task(), split, Engine(progress=False))
    (stream,) = shown_to_destroyers
    assert isinstance(stream, LinkBatches)
    whole = split.retain.graph.whole
    assert not whole.has(stream.pairs).any()
    assert 0.9 * len(whole.edges) < len(stream.pairs) <= len(whole.edges)


def test_a_destroyer_on_what_stays_has_never_seen_what_goes(trained, shown_to_destroyers):
    split = link_split()
    D2DGN(destroyer="retained", destroyer_epochs=2, **ALWAYS)(trained, link_task(), split, Engine(progress=False))
    assert shown_to_destroyers == [split.retain]


def test_nodes_have_no_negative_edges(trained_on_nodes):
    with pytest.raises(BadSetting, match="a destroyer on negative edges is for link prediction"):
        D2DGN(destroyer="negative-edges", **ALWAYS)(trained_on_nodes, node_task(), node_split(), Engine(progress=False))


def test_a_class_of_nodes_goes_and_the_rest_stays():
    graph, recipe = communities(size=60), Retrain(epochs=100, optimizer=Optimizer("adam", 1e-2))
    parts = split_nodes(graph)
    split = parts.without(parts.train[graph.labels[parts.train] == 3], lambda nodes: graph.labels[nodes] == 3)
    model = recipe.train(node_task(), parts.training(), Engine(progress=False))
    student = D2DGN.for_nodes(recipe)(model, node_task(), split, Engine(progress=False))

    def accuracies(which):
        return [node_task().evaluate(which, part)["accuracy"] for part in (split.forget, split.holdout)]

    assert min(accuracies(model)) > 0.9
    goes, stays = accuracies(student)
    assert goes < 0.1 and stays > 0.9


def test_nodes_that_go_are_read_on_the_graph_before_the_request(trained_on_nodes):
    split = node_split()
    whole = split.forget.graph
    assert split.retain.graph.before is whole
    assert split.retain.graph.degrees[split.forget.nodes].sum() == 0 < whole.degrees[split.forget.nodes].sum()


def test_settings_for_nodes_follow_from_the_recipe():
    made = D2DGN.for_nodes(Retrain(epochs=101, optimizer=Optimizer("adam", 0.01)), alpha=0.9)
    assert (made.destroyer, made.epochs, made.destroyer_epochs, made.alpha) == ("retained", 21, 21, 0.9)
    assert made.optimizer.learning_rate == pytest.approx(0.03)
    assert made.destroyer_optimizer.learning_rate == pytest.approx(0.04)


def test_with_keep_zero_the_student_begins_with_fresh_weights(trained):
    kept = [D2DGN(keep=keep, stop="never", epochs=1, optimizer=Optimizer("sgd", 1e-9)) for keep in (0.0, 0.5, 1.0)]
    fresh, half, own = (each(trained, link_task(), link_split(), Engine(progress=False)) for each in kept)
    assert not same_weights(fresh, trained)
    for first, middle, last, begun in zip(*(each.parameters() for each in (fresh, half, own, trained)), strict=True):
        torch.testing.assert_close(last, begun, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(middle, (first + begun) / 2, atol=1e-6, rtol=1e-5)


def test_a_users_network_on_features_and_edge_index():
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(60, 32), nn.Linear(32, 16)

        def forward(self, x, edge_index):
            hidden = self.first(x).relu()
            return self.second(hidden.index_add(0, edge_index[1], hidden[edge_index[0]]) + hidden)

    mine, split = LinkPredictionTask(Mine), by_heart_split()
    recipe = Retrain(epochs=150, optimizer=Optimizer("adam", 1e-2))
    model = recipe.train(mine, by_heart_parts().training(), Engine(progress=False))
    assert len(graph_layers(model)) == 2
    fast = Optimizer("adam", 1e-2)
    taught = {"destroyer": "negative-edges", "destroyer_epochs": 100, "destroyer_optimizer": fast}
    for knowledge in ("response", "both"):
        method = D2DGN(knowledge=knowledge, alpha=0.5, stop="never", epochs=80, optimizer=Optimizer("adam", 3e-3), **taught)
        goes, stays = dropped(model, method(model, mine, split, Engine(progress=False)))
        assert goes > 0.03 and goes > 2 * stays


@pytest.mark.parametrize("batch_size, fanout", [(32, None), (32, (4, 4))])
def test_in_small_batches_and_on_sampled_parts(by_heart, batch_size, fanout):
    parts = replace(by_heart_parts(), batch_size=batch_size, fanout=fanout)
    split = parts.without(torch.arange(0, len(parts.graph.edges), 10))
    method = D2DGN(alpha=0.5, knowledge="both", stop="never", epochs=20, optimizer=Optimizer("adam", 3e-3))
    student = method(by_heart, by_heart_task(), split, Engine(progress=False))
    goes, stays = dropped(by_heart, student)
    assert goes > 0.1 and goes > 2 * stays


def test_teachers_say_of_a_part_what_they_say_of_the_whole(trained):
    graph = communities()
    teacher = _Teacher(frozen(trained), link_task(), graph, Engine(progress=False))
    ids = torch.tensor([3, 10, 41])
    part = Graph(3, torch.tensor([[0, 1]]), graph.x[ids], ids=ids)
    pairs = torch.tensor([[0, 2], [1, 2]])
    labels = torch.ones(2)
    torch.testing.assert_close(
        teacher.answers(LinkBatch(pairs, labels, part)), teacher.answers(LinkBatch(ids[pairs], labels, graph))
    )


def test_a_killed_run_goes_on(trained, tmp_path):
    method, split = D2DGN(alpha=0.5, epochs=30, stop="never"), link_split()
    whole = method(trained, link_task(), split, Engine(progress=False))

    class Killed(Exception):
        pass

    class Stops(LinkPredictionTask):
        calls = 0

        def divergence(self, *args):
            Stops.calls += 1
            if Stops.calls > 30:
                raise Killed
            return super().divergence(*args)

    with pytest.raises(Killed):
        method(trained, Stops(link_task().factory), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=5))
    resumed = method(trained, link_task(), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=5))
    assert same_weights(resumed, whole)


def test_it_refuses_data_without_a_graph():
    with pytest.raises(WrongTask, match="bad-teacher does the same for other data"):
        D2DGN()(original(Engine(progress=False)), task(), class_split(), Engine(progress=False))


@pytest.mark.parametrize(
    "setting", [{"alpha": 1.1}, {"temperature": 0.0}, {"patience": 0}, {"keep": -0.1}, {"destroyer_epochs": -1}, {"epochs": -1}]
)
def test_settings_that_make_no_sense(setting):
    with pytest.raises(BadSetting, match=f"d2dgn: .*{next(iter(setting))}|{next(iter(setting))} must"):
        D2DGN(**setting)


def test_in_mixed_precision(trained):
    engine = Engine(precision="bf16", progress=False)
    student = D2DGN(alpha=0.5, **ALWAYS)(trained, link_task(), link_split(), engine)
    assert not same_weights(student, trained)
    assert all(value.isfinite().all() for value in student.state_dict().values())


def test_a_match_ends_the_training(by_heart):
    split, engine, fast = by_heart_split(), Engine(progress=False), Optimizer("adam", 3e-3)
    D2DGN(alpha=0.5, epochs=150, optimizer=fast)(by_heart, by_heart_task(), split, engine)
    match, epochs = heldout_match(by_heart_task(), split, 0.5), len(engine.history)
    assert 1 < epochs < 150
    for count, wanted in ((epochs, True), (epochs - 1, False)):
        method = D2DGN(alpha=0.5, stop="never", epochs=count, optimizer=fast)
        assert (match(method(by_heart, by_heart_task(), split, Engine(progress=False))) == 0.0) is wanted
