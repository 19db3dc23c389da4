"""The graph study: what it plans, what it refuses, one small run on a made graph, and requests one after another."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge import Engine
from expunge.data.graph_files import load_graph
from expunge.data.graph_splits import split_links
from expunge.errors import BadFile, BadRequest, BadSetting, WrongTask
from expunge.graphs import Graph
from expunge.methods import D2DGN, METHODS, Finetune, GNNDelete, GraphEraser, Retrain, Unlink
from expunge.optimizers import Optimizer
from expunge.sparse import SparseMatrix
from expunge.studies import STUDIES, graph_scenarios
from expunge.studies.comparison import ORIGINAL, RETRAINED, SECOND
from expunge.studies.graph import GraphStudy
from expunge.studies.graph_scenarios import linear_methods, link_methods, node_methods, with_features
from expunge.studies.one_by_one import OneByOne
from tiny import class_split, original, same_weights, task
from tiny_graphs import communities, link_original, link_parts, link_split, link_task, node_original, node_split, node_task

KARATE = {"GCN, 5 % of edges inside": 72, "GCN, 10 % of nodes": 25, "GCN, class 2": 25}
BRIEF = Retrain(epochs=30, optimizer=Optimizer("adam", 1e-2), schedule="constant")


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """Communities in a file of arrays in the working directory; and a list of edges without anything else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    graph = communities(size=15)
    arrays = {"node_features": graph.x.numpy(), "node_labels": graph.labels.numpy(), "edges": graph.edges.numpy()}
    np.savez("made.npz", **arrays)
    Path("friends.csv").write_text("source,target\n" + "".join(f"p{u},p{v}\n" for u, v in graph.edges.tolist()))
    return tmp_path


@pytest.fixture
def brief(monkeypatch):
    """Recipes of few epochs, and two methods; all else is the study's own."""
    few = {"d2dgn": D2DGN(epochs=5, stop="never"), "d2dgn-in-two": OneByOne(D2DGN(epochs=3, stop="never"), requests=2)}
    monkeypatch.setattr(graph_scenarios, "LINK_RECIPE", BRIEF)
    monkeypatch.setattr(graph_scenarios, "NODE_RECIPE", BRIEF)
    monkeypatch.setattr(graph_scenarios, "link_methods", lambda recipe: few)
    monkeypatch.setattr(graph_scenarios, "node_methods", lambda recipe: {"finetune": Finetune(epochs=2)})


# ---- what is planned --------------------------------------------------------------------------------------------------------


def test_it_is_known_by_its_files_name():
    assert STUDIES["graph"] is GraphStudy and GraphStudy.name == "graph" and GraphStudy.default_data == "cora"


def test_without_cora_the_embedded_karate_club_is_used_and_that_is_said(monkeypatch, never_trains):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    plan = GraphStudy().plan(None, "quick")
    assert plan.data == "karate"
    assert plan.notes == ["cora was not found (EXPUNGE_DATA), so the embedded karate club was used; figures on it mean little."]
    assert list(plan.forgotten) == list(KARATE)
    for title, total in KARATE.items():
        what = "edges" if "edges" in title else "nodes, with all their edges"
        assert plan.forgotten[title].endswith(f" of {total} training {what}")
    assert GraphStudy().plan("karate", "quick").notes == [], "whoever asks for it knows"


def test_a_graph_of_the_users_own_is_planned_like_it(made, never_trains):
    plan = GraphStudy().plan("made.npz", "quick")
    assert plan.data == "made" and list(plan.forgotten) == list(KARATE)
    edges, nodes, kind = plan.forgotten.values()
    total = len(communities(size=15).edges)
    trained = total - 2 * int(0.05 * total)
    assert (
        edges == f"5 % of the edges, within 2 steps of a test edge of made: {int(0.05 * trained)} of {trained} training edges"
    )
    assert nodes == "10 % of the nodes of made: 4 of 42 training nodes, with all their edges"
    assert kind.startswith("class 2 of made: ") and kind.endswith(" of 42 training nodes, with all their edges")


def test_the_full_budget_has_edges_outside_and_other_networks(never_trains):
    titles = list(GraphStudy().plan("karate", "full").forgotten)
    wanted = [f"{name}, 5 % of edges {place}" for name in ("GCN", "GAT", "GIN") for place in ("inside", "outside")]
    assert titles == [*wanted, "GCN, 10 % of nodes", "GCN, class 2", "SGC, 10 % of nodes"]


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ({"fraction": 0.1}, ["GCN, 10 % of edges inside"]),
        ({"fraction": 0.025, "where": "any"}, ["GCN, 2.5 % of edges"]),
        ({"where": "out"}, ["GCN, 5 % of edges outside"]),
        ({"where": "in", "network": "sage"}, ["SAGE, 5 % of edges inside"]),
        ({"network": "gin"}, ["GIN, 5 % of edges inside", "GIN, 10 % of nodes", "GIN, class 2"]),
    ],
)
def test_options_choose_what_must_go_and_of_which_network(never_trains, options, titles):
    assert list(GraphStudy(**options).plan("karate", "quick").forgotten) == titles


def test_a_graph_without_classes_has_links_alone_and_features_of_their_own(made, never_trains):
    plan = GraphStudy().plan("friends.csv", "quick")
    assert list(plan.forgotten) == ["GCN, 5 % of edges inside"] and plan.network.convs[0].in_channels == 60


def test_settings_are_plain_values_that_say_what_was_chosen(made):
    plan = GraphStudy().plan("made.npz", "quick")
    assert json.loads(json.dumps(plan.settings)) == plan.settings
    assert plan.settings.keys() == {*KARATE, "graph", "budget"} and plan.settings["budget"] == "quick"
    assert plan.settings["graph"].startswith("Graph(60 nodes, ")
    links, nodes, kind = (plan.settings[title] for title in KARATE)
    size = sum(parameter.numel() for parameter in plan.network.parameters())
    assert links["network"] == f"gcn, {size:,} parameters"
    assert links["recipe"] == repr(graph_scenarios.LINK_RECIPE) and nodes["recipe"] == repr(graph_scenarios.NODE_RECIPE)
    assert links["methods"]["d2dgn"] == repr(D2DGN()) and links["methods"]["d2dgn-in-ten"] == repr(OneByOne(D2DGN()))
    assert kind["methods"] == {name: repr(each) for name, each in node_methods(graph_scenarios.NODE_RECIPE).items()}


def test_large_graphs_learn_in_fewer_passes(made, monkeypatch):
    before = GraphStudy(where="any").plan("made.npz", "quick").settings["GCN, 5 % of edges"]["recipe"]
    monkeypatch.setattr(graph_scenarios, "MANY", 10)
    after = GraphStudy(where="any").plan("made.npz", "quick").settings["GCN, 5 % of edges"]["recipe"]
    assert "epochs=1500" in before and "epochs=300" in after and before.replace("1500", "300") == after


def test_every_row_is_a_method_of_the_library_for_its_task():
    for methods, kind in (
        (link_methods(BRIEF), link_task()),
        (node_methods(BRIEF), node_task()),
        (linear_methods(graph_scenarios.LINEAR_RECIPE), node_task()),
    ):
        for name, method in methods.items():
            inner = method.method if isinstance(method, OneByOne) else method
            assert METHODS[inner.name] is type(inner) and name.startswith(inner.name)
            assert isinstance(kind, inner.takes)


def test_each_seed_draws_anew(made):
    scenarios = GraphStudy()._scenarios(load_graph("made.npz"), "quick")
    for scenario in scenarios:
        (_, first), (_, same), (_, other) = (scenario.draw(seed) for seed in (0, 0, 1))
        parts = "pairs" if "edges" in scenario.title else "nodes"
        for name in ("forget", "holdout"):
            ours, again, theirs = (getattr(getattr(each, name), parts) for each in (first, same, other))
            assert torch.equal(ours, again) and not torch.equal(ours, theirs)
        everything, split = scenario.draw(3)
        assert everything.graph.whole is everything.graph and split.retain.graph.whole is everything.graph
        assert everything.examples == split.forget.examples + split.retain.examples


def test_each_seed_draws_other_rows_to_forget(made):
    """Not just the same rows of another training graph."""
    (scenario,) = GraphStudy(where="any")._scenarios(load_graph("made.npz"), "quick")
    rows = []
    for seed in (0, 1):
        everything, split = scenario.draw(seed)
        graph = everything.graph
        rows.append(torch.isin(graph.key(graph.edges), graph.key(split.forget.pairs)).nonzero().flatten().tolist())
    assert len(rows[0]) == len(rows[1]) and rows[0] != rows[1]


def test_nodes_without_features_get_a_number_of_their_own():
    graph = communities(size=4)
    assert with_features(graph) is graph
    bare = with_features(Graph.of(graph.nodes, graph.edges))
    assert isinstance(bare.features, SparseMatrix) and torch.equal(bare.x, torch.eye(16))
    assert torch.equal(bare.edges, graph.edges)


# ---- what is refused before anything is trained -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "data", "kind", "message"),
    [
        ({"where": "inside"}, "made.npz", BadSetting, "study graph: --where is in, out or any, not 'inside'"),
        ({"where": "near"}, None, BadSetting, "study graph: --where is in, out or any, not 'near'"),
        ({"fraction": 0.0}, "made.npz", BadRequest, "the fraction to forget must lie between 0 and 1"),
        ({"fraction": -0.1}, "made.npz", BadRequest, "the fraction to forget must lie between 0 and 1"),
        ({"fraction": 999.0}, "made.npz", BadRequest, "999 edges to forget were asked for, but only"),
        ({"network": "mlp"}, "made.npz", BadSetting, "there is no graph network 'mlp'"),
        ({"network": "r-gcn"}, "made.npz", BadSetting, "relations must be a whole number from 1, not 0"),
        ({}, "cora", BadFile, "Cora: file cora.npz was looked for"),
        ({}, "nowhere.npz", BadFile, "file not found: nowhere.npz"),
        ({}, "digits", BadSetting, "there is no graph 'digits'"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_training(made, never_trains, options, data, kind, message):
    with pytest.raises(kind) as caught:
        GraphStudy(**options).run(data=data, folder="work")
    assert str(caught.value).startswith(message)
    assert not Path("work").exists()


# ---- a run ------------------------------------------------------------------------------------------------------------------


def figures(studied) -> dict[tuple[str, str], dict]:
    return {(row["method"], row["metric"]): row for row in studied.json["rows"]}


def timeless(studied) -> list[dict]:
    """All figures but times, which no two runs share."""
    return [row for row in studied.json["rows"] if "seconds" not in row["metric"]]


def test_a_small_study_from_a_file_to_its_json_and_its_report(made, brief):
    lines = []
    studied = GraphStudy().run(data="made.npz", folder="out", say=lines.append)
    assert lines == [
        line
        for title, methods in zip(KARATE, (2, 1, 1), strict=True)
        for line in (f"seed 0: {title}: training the original", f"seed 0: {title}: retraining twice, {methods} methods, audits")
    ]
    references = [ORIGINAL, RETRAINED, SECOND]
    edges, nodes, kind = studied.evidence.cases
    assert [case.title for case in studied.evidence.cases] == list(KARATE)
    assert [row.name for row in edges.rows] == [*references, "d2dgn", "d2dgn-in-two"]
    assert [row.name for row in nodes.rows] == [row.name for row in kind.rows] == [*references, "finetune"]
    assert (edges.score_name, nodes.score_name) == ("probability", "accuracy")
    found = figures(studied)
    for row in edges.rows:
        for metric in ("link_auc", "deleted_retained_auc", "deleted_unseen_auc", "forget_js", "forget_probability"):
            value = found[row.name, f"{edges.title}/{metric}"]
            assert 0 <= value["mean"] <= 1 and value["n"] == 1
        ideal = found[row.name, f"{edges.title}/link_auc"]["ideal"]
        assert ideal == found[RETRAINED, f"{edges.title}/link_auc"]["mean"]
    assert found[ORIGINAL, f"{edges.title}/link_auc"]["mean"] > 0.6, "it has learned something"
    assert found[RETRAINED, f"{edges.title}/forget_js"]["mean"] == 0 < found["d2dgn", f"{edges.title}/forget_js"]["mean"]
    assert found[RETRAINED, f"{edges.title}/deleted_retained_gap"]["mean"] == 0
    for title in (nodes.title, kind.title):
        assert found[RETRAINED, f"{title}/forget_accuracy_gap"]["mean"] == 0
        assert not {metric for _, metric in found if metric.startswith(title)} & {f"{title}/link_auc", f"{title}/forget_js"}
    assert (
        found[RETRAINED, f"{kind.title}/forget_accuracy"]["mean"]
        == 0
        < found[ORIGINAL, f"{kind.title}/forget_accuracy"]["mean"]
    )
    assert f"{kind.title}/holdout_forget_accuracy" in {metric for _, metric in found}
    assert studied.evidence.command == "expunge study graph --budget quick --seeds 1 --data made.npz"
    report = studied.write(Path("out"), Path("study.json"))
    assert json.loads(Path("study.json").read_text()) == studied.json
    page = report.read_text()
    assert all(title in page for title in KARATE) and "5 % of the edges, within 2 steps" in page
    results = list(Path("out").rglob("result.safetensors"))
    assert len(results) == 5 + 4 + 4, "an original, two retrained models and the methods of each case"


def test_one_that_was_done_is_not_done_again_and_the_command_repeats_it(made, brief):
    study = GraphStudy(fraction=0.1, where="any", network="sage")
    first = study.run(data="made.npz", folder="out")
    command = first.evidence.command.split()
    assert command[:3] == ["expunge", "study", "graph"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options == {
        "--budget": "quick",
        "--seeds": "1",
        "--data": "made.npz",
        "--fraction": "0.1",
        "--where": "any",
        "--network": "sage",
    }
    again = GraphStudy(float(options["--fraction"]), options["--where"], options["--network"])
    assert again == study

    made_before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("result.safetensors")}
    assert timeless(again.run(data="made.npz", folder="out")) == timeless(first)
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("result.safetensors")} == made_before


# ---- requests one after another ---------------------------------------------------------------------------------------------

QUIET = D2DGN(epochs=4, stop="never", optimizer=Optimizer("sgd", 0.05))


@pytest.fixture(scope="module")
def trained():
    return link_original(Engine(progress=False))


def as_set(edges: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(edge) for edge in edges.tolist()}


@pytest.mark.parametrize("requests", [1, 3, 10, 999])
def test_steps_deal_the_edges_out(requests):
    split = link_split()
    steps = OneByOne(QUIET, requests).steps(split)
    assert len(steps) == min(requests, split.forget.examples)
    parts = [as_set(step.forget.pairs) for step in steps]
    assert sum(map(len, parts)) == split.forget.examples and set().union(*parts) == as_set(split.forget.pairs)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_step_begins_where_the_last_one_ended():
    split = link_split()
    steps = OneByOne(QUIET, 4).steps(split)
    whole, gone = split.retain.graph.whole, set()
    assert torch.equal(steps[0].retain.graph.whole.edges, whole.edges)
    for before, after in pairwise(steps):
        assert torch.equal(after.retain.graph.whole.edges, before.retain.graph.edges)
        assert after.retain.graph.whole.digest == before.retain.graph.digest
    for place, step in enumerate(steps):
        left = step.retain.graph
        assert left is step.forget.graph is step.validation_forget.graph
        assert not left.has(step.forget.pairs).any() and left.whole.has(step.forget.pairs).all()
        gone |= as_set(step.forget.pairs)
        assert as_set(left.edges) == as_set(whole.edges) - gone == as_set(step.retain.pairs)
        coming = [later.forget.pairs for later in steps[place + 1 :]]
        assert all(left.has(pairs).all() for pairs in coming), "what follows is still there, and taught"
    assert torch.equal(steps[-1].retain.graph.edges, split.retain.graph.edges)
    assert torch.equal(steps[-1].retain.pairs, split.retain.pairs)
    assert all(step.retain.negatives == split.retain.negatives for step in steps)


def test_steps_leave_the_audits_parts_out():
    for step in OneByOne(QUIET, 3).steps(link_split()):
        assert step.holdout == () and step.holdout_forget is None
        assert torch.equal(step.validation_forget.pairs, link_parts().validation)


def test_triples_are_dealt_out_too():
    drawn = torch.cat(
        [torch.randint(12, (70, 2), generator=torch.Generator().manual_seed(0)), torch.arange(70)[:, None] % 3], 1
    )
    parts = split_links(Graph.of(12, drawn, relations=3), 0.1, 0.1)
    split = parts.without(parts.graph.edges[:, 2] == 1)
    steps = OneByOne(QUIET, 2).steps(split)
    assert torch.equal(steps[-1].retain.graph.edges, split.retain.graph.edges)
    assert as_set(steps[0].retain.graph.edges) == as_set(parts.graph.edges) - as_set(split.forget.pairs[::2])


def test_one_request_is_the_method_itself(trained):
    split = link_split()
    alone = OneByOne(QUIET, 1)(trained, link_task(), split, Engine(progress=False))
    engine = Engine(progress=False)
    with engine.scope("request-0"):
        wanted = QUIET(trained, link_task(), split, engine)
    assert same_weights(alone, wanted) and not same_weights(alone, trained)


def test_each_call_gets_what_the_last_one_returned(trained):
    calls = []

    class Spy(Unlink):
        def __call__(self, model, task, split, engine):
            calls.append((model, found := super().__call__(model, task, split, engine)))
            return found

    before = {name: value.clone() for name, value in trained.state_dict().items()}
    found = OneByOne(Spy(), 3)(trained, link_task(), link_split(), Engine(progress=False))
    assert [model for model, _ in calls] == [trained, calls[0][1], calls[1][1]] and found is calls[2][1]
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())


def test_the_same_seed_gives_the_same_weights(trained):
    method = OneByOne(D2DGN(epochs=4, alpha=0.5), 3)
    first, same, other = (method(trained, link_task(), link_split(), Engine(seed=seed, progress=False)) for seed in (0, 0, 1))
    assert same_weights(first, same) and not same_weights(first, other)


def test_a_killed_run_goes_on_where_it_was(trained, tmp_path):
    class Killed(Exception):
        pass

    class Stops(type(link_task())):
        calls = 0

        def divergence(self, *args):
            Stops.calls += 1
            if Stops.calls > 20:
                raise Killed
            return super().divergence(*args)

    method, split = OneByOne(QUIET, 4), link_split()
    wanted = method(trained, link_task(), split, Engine(progress=False))
    with pytest.raises(Killed):
        stopped = Engine(progress=False, folder=tmp_path, checkpoint_steps=2)
        method(trained, Stops(link_task().factory), split, stopped)
    resumed = method(trained, link_task(), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=2))
    assert same_weights(resumed, wanted)


@pytest.mark.parametrize("method", [GNNDelete(), GraphEraser()])
def test_methods_that_leave_another_network_are_refused(method):
    with pytest.raises(BadSetting, match=f"^{method.name} leaves a network of another form, which the next request cannot"):
        OneByOne(method)


@pytest.mark.parametrize("requests", [0, -1])
def test_no_requests_are_refused(requests):
    with pytest.raises(BadSetting, match=f"^requests must be at least 1, not {requests}$"):
        OneByOne(QUIET, requests)


def test_other_tasks_are_refused():
    engine = Engine(progress=False)
    for model, which, split in ((node_original, node_task(), node_split()), (original, task(), class_split())):
        with pytest.raises(WrongTask, match=f"^one by one works on LinkPredictionTask, not on {type(which).__name__}$"):
            OneByOne(QUIET)(model(engine), which, split, engine)


def test_a_number_of_edges_is_called_one(made, never_trains):
    plan = GraphStudy(fraction=5.0, where="any").plan("made.npz", "quick")
    assert list(plan.forgotten) == ["GCN, 5 of edges"]


def test_a_case_that_nobody_named_and_cannot_be_served_is_left_out(made, never_trains, monkeypatch):
    honest = graph_scenarios.links

    def links(source, network, fraction, where):
        if where == "out":
            raise BadRequest("only 1 edge lies outside")
        return honest(source, network, fraction, where)

    monkeypatch.setattr("expunge.studies.graph.links", links)
    plan = GraphStudy(network="gcn").plan("made.npz", "full")
    assert not any("outside" in title for title in plan.forgotten) and any("inside" in title for title in plan.forgotten)
    assert any("that case was left out" in note for note in plan.notes)
    with pytest.raises(BadRequest, match="only 1 edge"):
        GraphStudy(where="out").plan("made.npz", "full")


def test_networks_without_layers_of_one_kind_are_studied_without_gnndelete(made, never_trains):
    plan = GraphStudy(network="sgc", where="in").plan("made.npz", "quick")
    (settings,) = (value for value in plan.settings.values() if isinstance(value, dict))
    assert "d2dgn" in settings["methods"] and not any("gnndelete" in name for name in settings["methods"])
