"""Jobs on graphs: every form of a request, what is worked on, faults with their place, and whole runs into a folder."""

import re
from pathlib import Path

import pytest
import torch

from expunge import Engine, forget
from expunge.errors import BadFile, BadRequest, BadSetting, ExpungeError
from expunge.methods import D2DGN, Retrain, ShrinkPerturb
from expunge.models.gnn import GAT, GCN
from expunge.models.rgcn import RGCN
from expunge.optimizers import Optimizer
from expunge.requests.graph import (
    ForgetEdgeList,
    ForgetEdges,
    ForgetEdgesBetween,
    ForgetLabel,
    ForgetNodes,
    ForgetRelation,
)
from expunge.sparse import SparseMatrix
from expunge.studies.advice import recommended
from expunge.studies.graph_job import FORMS, graph_request_from
from expunge.studies.job import parse_job
from expunge.studies.run import run
from expunge.tasks import LinkPredictionTask, NodeClassificationTask
from studies.graph_jobs import of, prepared
from studies.jobs import MINIMAL, fault
from tiny_graphs import RECIPE, link_original, link_split, link_task, node_original, node_split, node_task

# ---- requests ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelled", "request_"),
    [
        ("{edges: 0.05}", ForgetEdges(0.05)),
        ("{edges: 3}", ForgetEdges(3.0)),
        ("{edges: 0.05, where: in}", ForgetEdges(0.05, "in")),
        ("{edges: 0.05, where: out, hops: 1, seed: 4}", ForgetEdges(0.05, "out", 1, 4)),
        ("{edge_list: [[ada, bo], [3, 4]]}", ForgetEdgeList((("ada", "bo"), (3, 4)))),
        ("{edge_list: [[ada, bo, likes]]}", ForgetEdgeList((("ada", "bo", "likes"),))),
        ("{relation: friend}", ForgetRelation("friend")),
        ("{relation: [friend, 2]}", ForgetRelation(("friend", 2))),
        ("{between: [art, law]}", ForgetEdgesBetween("art", "law")),
        ("{between: [0, 0]}", ForgetEdgesBetween(0, 0)),
        ("{nodes: 0.1}", ForgetNodes(fraction=0.1)),
        ("{nodes: 5, seed: 2}", ForgetNodes(fraction=5.0, seed=2)),
        ("{nodes: [ada, 4]}", ForgetNodes(("ada", 4))),
        ("{label: law}", ForgetLabel("law")),
        ("{label: [law, 2]}", ForgetLabel(("law", 2))),
    ],
)
def test_every_form_of_a_request(spelled, request_):
    assert parse_job(of(spelled)).request == request_


def test_requests_that_are_listed_in_files(files):
    Path("withdrawn.csv").write_text("source,target\nada,bo\n3,ada\n")
    Path("leavers.txt").write_text("ada\n\n4\n")
    assert parse_job(of("{edges_in: withdrawn.csv}")).request == ForgetEdgeList((("ada", "bo"), ("3", "ada")))
    assert parse_job(of("{nodes_in: leavers.txt}")).request == ForgetNodes(("ada", "4"))


def test_what_is_no_request_on_a_graph_is_left_to_the_others():
    for fields in ({"class": 3}, {"fraction": 0.1, "seed": 1}, {"where": "a < 1"}, {}):
        assert graph_request_from(fields) is None


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ("{edges: 0.05, nodes: 0.1}", "a request for edges has no field 'nodes'; on graphs a request is one of " + FORMS),
        ("{edges: 0.05, hop: 2}", "a request for edges has no field 'hop'"),
        ("{relation: friend, seed: 2}", "a request for relation has no field 'seed'"),
        ("{nodes: 0.1, where: in}", "a request for nodes has no field 'where'"),
        ("{label: law, kind: true}", "a request for label has no field 'kind'"),
        ("{label: law, class: 3}", "a request for label has no field 'class'"),
        ("{edges: many}", "edges is the share of them to forget, or how many, not 'many'"),
        ("{edges: true}", "edges is the share of them to forget, or how many, not True"),
        ("{edges: [[0, 1]]}", "edges is the share of them to forget, or how many, not [[0, 1]]"),
        ("{edges: 0}", "the fraction to forget must lie between 0 and 1, or be a whole number of edges, not 0.0; 0.05 is 5 %"),
        ("{edges: 1.5}", "the fraction to forget must lie between 0 and 1, or be a whole number of edges, not 1.5"),
        ("{edges: .nan}", "the fraction to forget must lie between 0 and 1, or be a whole number of edges, not nan"),
        ("{edges: 0.1, where: inside}", "edges are drawn from 'any', 'in' or 'out', not from 'inside'"),
        ("{edges: 0.1, hops: -1}", "hops must be 0 or more, not -1"),
        ("{edges: 0.1, hops: few}", "hops is a whole number"),
        ("{edges: 0.1, seed: 1.5}", "the seed is a whole number"),
        ("{edges: 0.1, seed: -1}", "the seed of the draw must be 0 or more, not -1"),
        ("{edge_list: [ada, bo]}", "edge_list is a list of edges, each a list of its ends: [[ada, bo], [bo, cy]]"),
        ("{edge_list: 5}", "edge_list is a list of edges, each a list of its ends"),
        ("{edge_list: []}", "forget set is empty: no edge is listed"),
        ("{edge_list: [[0, 1.5]]}", "an edge is given by names or numbers"),
        ("{relation: null}", "a relation is a name or a number"),
        ("{relation: []}", "forget set is empty: no relation is named"),
        ("{between: art}", "between names two classes, [art, law], not 'art'"),
        ("{between: [art]}", "between names two classes, [art, law], not ['art']"),
        ("{between: [art, law, 3]}", "between names two classes, [art, law], not ['art', 'law', 3]"),
        ("{between: [art, null]}", "a class is a name or a number"),
        ("{nodes: ada}", "nodes is the share of them to forget, or how many, not 'ada'"),
        ("{nodes: []}", "forget set is empty: no node is named"),
        ("{nodes: 0.1, seed: x}", "the seed is a whole number"),
        ("{nodes: [[1]]}", "a node is a name or a number"),
        ("{label: {a: 1}}", "a class is a name or a number"),
        ("{edges_in: [a, b]}", "edges_in names a file, not ['a', 'b']"),
        ("{edges_in: nowhere.csv}", "file not found: nowhere.csv"),
        ("{nodes_in: nowhere.txt}", "file not found: nowhere.txt"),
        ("{nodes_in: 5}", "nodes_in names a file, not 5"),
        ("{nodes_in: leavers.txt, seed: 1}", "a request for nodes_in has no field 'seed'"),
    ],
)
def test_a_request_that_makes_no_sense_has_its_line(spelled, message):
    assert fault(of(spelled), 3, "request").startswith(message)


def test_fields_that_make_no_request_are_named_beside_those_on_graphs():
    message = fault(of("{edge: 0.05}"), 3, "request")
    assert f"; on graphs {FORMS}; on recommenders {{users: 0.05}}, " in message
    assert message.endswith("; these fields make none: edge")


@pytest.mark.parametrize("form", re.findall(r"\{.*?\}", FORMS))
def test_every_form_that_errors_show_can_be_read(files, form):
    Path("withdrawn.csv").write_text("source,target\nada,bo\n")
    Path("leavers.txt").write_text("ada\n")
    assert graph_request_from(parse_yaml(form)) is not None


def parse_yaml(text: str):
    import yaml

    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("change", "line", "field", "message"),
    [
        (("{name: karate}", "{name: karate, fanout: 5}"), 1, "data.fanout", "not 5"),
        (("{name: karate}", "{name: karate, fanout: [few]}"), 1, "data.fanout.0", "valid integer.*, not 'few'"),
        (("{name: karate}", "{name: karate, triples: perhaps}"), 1, "data.triples", "valid boolean.*, not 'perhaps'"),
        (("[unlink]", "[unlink]\ntask: {predict: edges}"), 5, "task.predict", "'links' or 'nodes', not 'edges'"),
        (("[unlink]", "[unlinc]"), 4, "methods.0", "unknown method 'unlinc'"),
        (("[unlink]", "[{method: d2dgn, alpha: 2}]"), 4, "methods.0", "alpha must lie between 0 and 1, not 2"),
    ],
)
def test_a_fault_beside_the_request_has_its_line(change, line, field, message):
    assert re.search(message, fault(of("{edges: 0.05}").replace(*change), line, field))


# ---- what is worked on ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "said", "task", "total"),
    [
        ("{edges: 0.05}", None, LinkPredictionTask, 72),
        ("{between: [0, 1]}", None, LinkPredictionTask, 72),
        ("{nodes: [0]}", None, NodeClassificationTask, 25),
        ("{label: 1}", None, NodeClassificationTask, 25),
        ("{nodes: 0.1}", "links", LinkPredictionTask, 72),
        ("{label: 1}", "links", LinkPredictionTask, 72),
        ("{label: 1}", "nodes", NodeClassificationTask, 25),
    ],
)
def test_what_is_predicted_is_said_or_suggested_by_the_request(request_, said, task, total):
    if request_ == "{nodes: [0]}":
        first = prepared("{nodes: 1}").everything.nodes[0].item()
        request_ = f"{{nodes: [{first}]}}"
    setup = prepared(request_, more=f"task: {{predict: {said}}}" if said else "")
    assert type(setup.task) is task and setup.total == total == setup.everything.examples
    assert setup.split.forget.examples + setup.split.retain.examples == total
    assert setup.original is None and setup.source.name == "karate"


def test_a_class_of_nodes_tells_unseen_ones_apart_and_single_nodes_do_not():
    kind, single = prepared("{label: 0}"), prepared("{nodes: 0.1}")
    labels = kind.source.graph.labels
    assert (labels[kind.split.forget.nodes] == 0).all() and (labels[kind.split.holdout_forget.nodes] == 0).all()
    assert not (labels[kind.split.holdout.nodes] == 0).any() and not (labels[kind.split.retain.nodes] == 0).any()
    assert single.split.holdout_forget is None


def test_links_are_learned_without_and_nodes_with_what_is_held_out():
    links = prepared("{edges: 0.1}")
    graph = links.everything.graph
    for part in (links.split.holdout_forget.pairs, links.split.validation_forget.pairs):
        assert len(part) == 3 and not graph.has(part).any()
    assert graph.has(links.split.forget.pairs).all() and not links.split.retain.graph.has(links.split.forget.pairs).any()
    assert len(prepared("{nodes: 0.1}").everything.graph.edges) == 78


def test_the_jobs_seed_draws_what_is_held_out_and_the_requests_what_goes():
    first, same, other = (prepared("{edges: 0.1}", more=f"seed: {seed}") for seed in (0, 0, 1))
    assert torch.equal(first.split.holdout.pairs, same.split.holdout.pairs)
    assert not torch.equal(first.split.holdout.pairs, other.split.holdout.pairs)
    again = prepared("{edges: 0.1, seed: 5}")
    assert torch.equal(first.split.holdout.pairs, again.split.holdout.pairs)
    assert not torch.equal(first.split.forget.pairs, again.split.forget.pairs)


def test_arguments_reach_the_network():
    setup = prepared("{nodes: 0.1}", model="{name: gat, arguments: {hidden: 12, heads: 3}}")
    model = setup.task.new_model()
    assert isinstance(model, GAT) and model.convs[0].heads == 3
    assert model(setup.everything.graph).shape == (34, 4), "as many outputs as classes"
    assert prepared("{edges: 0.1}").task.new_model()(setup.everything.graph).shape == (34, 64)


@pytest.mark.parametrize(("request_", "more"), [("{edges: 0.1}", ""), ("{nodes: 0.1}", "")])
def test_only_sampled_parts_come_in_batches(files, request_, more):
    whole = prepared(request_, data="{name: made.npz}", more="batch_size: 8")
    assert whole.everything.batch_size is None and len(whole.everything) == 1 and whole.everything.fanout is None
    parts = prepared(request_, data="{name: made.npz, fanout: [3, 2]}", more="batch_size: 8")
    assert (parts.everything.batch_size, parts.everything.fanout) == (8, (3, 2))
    assert len(parts.everything) == -(-parts.total // 8) and parts.split.retain.fanout == (3, 2)
    batch = next(parts.everything.epoch(torch.Generator().manual_seed(0)))
    assert batch.graph.ids is not None and batch.graph.nodes < 60


def test_names_of_nodes_and_classes_in_a_list_of_edges(files):
    data = "{name: friends.csv, features: people.csv}"
    setup = prepared("{label: law}", data=data)
    assert setup.task.class_names == ("art", "law", "maths", "physics") and setup.source.graph.width == 8
    links = prepared("{edges: 1}", data=data)
    name = [links.source.nodes[node] for node in links.split.forget.pairs[0].tolist()]
    named = prepared(f"{{edge_list: [[{name[1]}, {name[0]}]]}}", data=data)
    assert torch.equal(named.split.forget.pairs, links.split.forget.pairs)
    between = prepared("{between: [law, law]}", data=data)
    assert (between.source.graph.labels[between.split.forget.pairs] == 1).all()


def test_nodes_without_features_get_one_of_their_own_but_not_for_r_gcn(files):
    plain = prepared("{edges: 0.1}", data="{name: friends.csv}")
    assert isinstance(plain.everything.graph.features, SparseMatrix) and plain.everything.graph.width == 60
    torch.testing.assert_close(plain.everything.graph.x, torch.eye(60))
    assert isinstance(plain.task.new_model(), GCN)
    world = prepared("{relation: likes}", data="{name: world.txt}", model="{name: r-gcn, arguments: {hidden: 8}}")
    assert isinstance(world.task.new_model(), RGCN) and world.everything.graph.features is None
    assert (world.split.forget.pairs[:, 2] == world.source.relations.index("likes")).all()
    assert not (world.split.retain.pairs[:, 2] == world.source.relations.index("likes")).any()


@pytest.mark.parametrize(
    ("job", "kind", "message"),
    [
        (of("{edges: 0.1}", more="task: {predict: nodes}"), BadRequest, "this asks for edges, not for nodes"),
        (
            of("{edges: 0.1}", more="task: {loss: l2}"),
            BadSetting,
            "line 5, task.loss: loss is for rows, and 10 % of the edges (drawn with seed 0) is a request on graphs, for which "
            "task takes predict; on rows a request is one of {class: 3}",
        ),
        (of("{edges: 0.1}", more="task: {predict: links, delta: 2}"), BadSetting, "line 5, task.delta: delta is for rows, and"),
        (of("{edges: 999}"), BadRequest, "999 edges to forget were asked for, but only 72 of 72 training edges are there"),
        (of("{edges: 72}"), BadRequest, "the request cannot be served: no edge would be left"),
        (of("{label: law}"), BadRequest, "class 'law' is not known"),
        (of("{nodes: [99]}"), BadRequest, "node 99 is not there: there are 34, from 0 to 33"),
        (of("{relation: likes}"), BadRequest, "relation likes cannot be forgotten: this graph has edges of one kind"),
        (of("{edge_list: [[0, 33]]}"), BadRequest, "(0, 33) is no edge of the training graph"),
        (of("{edges: 0.1}", model="{name: mlp}"), BadSetting, "there is no graph network 'mlp'"),
        (of("{edges: 0.1}", model="{name: gcn, arguments: {hidden: 0}}"), BadSetting, "hidden must be a whole number from 1"),
        (of("{edges: 0.1}", model="{name: r-gcn}"), BadSetting, "relations must be a whole number from 1, not 0"),
        (of("{edges: 0.1}", data="{name: karate, fanout: [0]}"), BadSetting, "a fanout holds numbers above 0, or -1"),
        (of("{edges: 0.1}", data="{name: karate, triples: true}"), BadSetting, "karate holds no triples"),
        (of("{edges: 0.1}", data="{name: karate, features: people.csv}"), BadSetting, "karate takes no file of features"),
        (of("{edges: 0.1}", data="{name: nowhere.npz}"), BadFile, "file not found: nowhere.npz"),
        (of("{edges: 0.1}", data="{name: cora}"), BadFile, "Cora: file cora.npz was looked for"),
        (of("{edges: 0.1}", data="{name: karat}"), BadSetting, "there is no graph 'karat' (did you mean karate?)"),
        (of("{edges: 0.1}", model="{name: gcn, weights: w.safetensors}"), BadFile, "weights file not found: w.safetensors"),
        (
            of("{nodes: [p0]}", data="{name: friends.csv}"),
            BadSetting,
            "friends has no classes for its nodes, so it can only be",
        ),
        (of("{label: 0}", data="{name: world.txt}"), BadSetting, "world has no classes for its nodes"),
        (
            MINIMAL.replace("{name: digits}", "{name: digits, fanout: [5]}"),
            BadSetting,
            "line 1, data.fanout: fanout is for graphs, and class 3 is a request on rows, for which data takes name, train, ",
        ),
        (
            MINIMAL.replace("{name: digits}", "{name: digits, triples: true}"),
            BadSetting,
            "data.triples: triples is for graphs, and",
        ),
        (
            MINIMAL.replace("{name: digits}", "{name: digits, features: p.csv}"),
            BadSetting,
            "data.features: features is for graphs and recom",
        ),
        (MINIMAL + "task: {predict: links}", BadSetting, "line 5, task.predict: predict is for graphs, and class 3"),
        (
            of("{edges: 0.1}", data="{name: friends.csv, features: {image: a.npy}}"),
            BadSetting,
            "data.features: on graphs it is one",
        ),
        (
            of("{edges: 0.1}", data="{name: karate, minimum_count: 5}"),
            BadSetting,
            "minimum_count is for recommenders, and 10 %",
        ),
    ],
)
def test_what_does_not_fit_the_graph_is_refused_before_anything_is_trained(files, monkeypatch, job, kind, message):
    def fit(*args, **settings):
        raise AssertionError("trained")

    monkeypatch.setattr(Engine, "fit", fit)
    with pytest.raises(ExpungeError) as caught:
        run(parse_job(job), "out")
    assert isinstance(caught.value, kind) and message in str(caught.value)
    assert not Path("out").exists()


# ---- the recommended method -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "more", "method"),
    [
        ("{edges: 0.05}", "", D2DGN()),
        ("{relation: likes}", "", D2DGN()),
        ("{nodes: 0.1}", "", D2DGN.for_nodes(Retrain(epochs=25, optimizer=Optimizer(learning_rate=0.01)))),
        ("{nodes: 0.1}", "task: {predict: links}", D2DGN()),
        ("{label: 2}", "task: {predict: nodes}", D2DGN.for_nodes(Retrain(epochs=25, optimizer=Optimizer(learning_rate=0.01)))),
    ],
)
def test_auto_is_d2dgn_for_links_and_with_settings_of_the_recipe_for_nodes(request_, more, method):
    recipe = "training: {epochs: 25, optimizer: {learning_rate: 0.01}}\n"
    job = parse_job(of(request_, methods="[auto, finetune]", more=recipe + more))
    assert list(job.methods) == ["d2dgn", "finetune"] and job.methods["d2dgn"] == method and job.deliver == "d2dgn"


def test_auto_in_code_follows_the_task():
    for original, task, split, wanted in (
        (link_original, link_task(), link_split(), D2DGN()),
        (node_original, node_task(), node_split(), D2DGN.for_nodes(RECIPE)),
    ):
        model = original(Engine(progress=False))
        result = forget(model, task, split, "auto", retrain=RECIPE, engine=Engine(progress=False))
        assert result.method == wanted
    assert isinstance(recommended(RECIPE, kind=True), ShrinkPerturb)
    assert recommended(RECIPE, True, "links") == recommended(RECIPE, False, "links") == D2DGN()
