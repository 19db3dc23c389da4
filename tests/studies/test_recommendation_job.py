"""How a job spells out what must go of a recommender."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from expunge.data import load_interactions
from expunge.errors import BadSetting
from expunge.requests import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers
from expunge.studies.graph_job import graph_request_from
from expunge.studies.job import parse_job, request_from
from expunge.studies.recommendation_job import FORMS, interaction_parts, interaction_request_from, interaction_task
from studies.graph_jobs import of
from studies.jobs import MINIMAL, fault


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"users": 0.05, "seed": 3}, ForgetUsers(fraction=0.05, seed=3)),
        ({"users": ["ada", 2]}, ForgetUsers(("ada", 2))),
        ({"items": ["film"]}, ForgetItems(("film",))),
        ({"pairs": [["ada", "film"]]}, ForgetPairs((("ada", "film"),))),
        ({"pairs": 10}, ForgetPairs(fraction=10.0)),
        ({"features": "image", "of": ["film"]}, ForgetFeatures("image", ("film",))),
        ({"features": "image", "of": 0.1}, ForgetFeatures("image", fraction=0.1)),
        ({"class": 3}, None),
        ({"edges": 0.05}, None),
    ],
)
def test_a_mapping_spells_out_a_request(fields, wanted):
    assert interaction_request_from(fields) == wanted


def test_ids_are_read_from_files(tmp_path):
    (tmp_path / "leavers.txt").write_text("ada\nbo\n")
    (tmp_path / "films.csv").write_text("item_id,why\nf1,licence\nf2,licence\n")
    (tmp_path / "withdrawn.csv").write_text("when,item,user\n1,f1,ada\n")
    assert interaction_request_from({"users_in": str(tmp_path / "leavers.txt")}) == ForgetUsers(("ada", "bo"))
    assert interaction_request_from({"items_in": str(tmp_path / "films.csv")}) == ForgetItems(("f1", "f2"))
    assert interaction_request_from({"pairs_in": str(tmp_path / "withdrawn.csv")}) == ForgetPairs((("ada", "f1"),))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": 0.05, "items": 0.05}, "has no field 'items'"),
        ({"users": ["ada"], "seed": 1}, "leave out the seed"),
        ({"users": True}, "not True"),
        ({"pairs": ["ada"]}, r"\[\[ada, film\]"),
        ({"features": "image"}, "say of which items"),
        ({"users_in": 3}, "names a file"),
    ],
)
def test_what_makes_no_request_says_what_would(fields, message):
    with pytest.raises(BadSetting, match=message):
        interaction_request_from(fields)


def test_the_embedded_set_goes_from_a_mapping_to_a_split():
    source = load_interactions("tastes")
    task = interaction_task(source, "mgcn", {"dim": 8})
    request = interaction_request_from({"users": 0.05})
    assert request is not None
    training, split, total = interaction_parts(source, request, 0, 512)
    assert training.examples == total == split.forget.examples + split.retain.examples
    assert not torch.isin(split.retain.pairs[:, 0], split.forget.pairs[:, 0]).any()
    assert torch.isfinite(task.outputs(task.new_model(), next(iter(split.holdout)))).all()


# ---- in a job file ------------------------------------------------------------------------------------------------------

TASTES = "{name: tastes}"


@pytest.mark.parametrize("form", re.findall(r"\{.*?\}", FORMS))
def test_every_form_that_errors_show_can_be_read(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    for name in ("leavers.txt", "films.txt"):
        Path(name).write_text("ada\n")
    Path("withdrawn.csv").write_text("user,item\nada,film\n")
    fields = yaml.safe_load(form)
    assert interaction_request_from(fields) is not None
    assert parse_job(of(form, TASTES)).request == interaction_request_from(fields)
    assert graph_request_from(fields) is None, "no form is one on graphs too"
    with pytest.raises(BadSetting, match="a request is one of"):
        request_from(fields)


def test_what_is_not_said_has_its_default():
    job = parse_job(of("{users: 0.05}", TASTES))
    assert job.batch_size == 2048 and parse_job(of("{users: 0.05}", TASTES, more="batch_size: 9")).batch_size == 9
    assert (job.data.features, job.data.minimum_rating, job.data.minimum_count, job.task) == (None, None, 1, None)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("features: pictures", Path("pictures")),
        ("features: {image: i.npy, text: t.npy}", {"image": Path("i.npy"), "text": Path("t.npy")}),
    ],
)
def test_features_are_a_folder_or_a_file_for_each_modality(data, wanted):
    job = parse_job(of("{users: 0.05}", f"{{name: pairs.csv, {data}, minimum_rating: 4, minimum_count: 5}}"))
    assert (job.data.features, job.data.minimum_rating, job.data.minimum_count) == (wanted, 4.0, 5)


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        (
            of("{users: 0.05}", "{name: tastes, triples: true}"),
            1,
            "data.triples",
            "triples is for graphs, and 5 % of the users (drawn with seed 0) is a request on recommenders, for which data "
            "takes name, features, minimum_rating, minimum_count; on graphs a request is one of {edges: 0.05, where: in}",
        ),
        (of("{users: 0.05}", "{name: tastes, fanout: [5]}"), 1, "data.fanout", "fanout is for graphs, and"),
        (of("{users: 0.05}", "{name: tastes, train: 5}"), 1, "data.train", "train is for rows, and"),
        (
            of("{items: [f]}", "\n  name: p.csv\n  target: x"),
            3,
            "data.target",
            "target is for rows, and 1 item is a request on",
        ),
        (
            of("{pairs: 3}", TASTES, more="task: {loss: l1}"),
            5,
            "task.loss",
            "loss is for rows, and 3 pairs (drawn with seed 0) is a request on recommenders, for which task takes no settings",
        ),
        (of("{pairs: 3}", TASTES, more="task: {predict: links}"), 5, "task.predict", "predict is for graphs, and 3 pairs"),
        (
            MINIMAL.replace("digits", "digits, minimum_count: 5"),
            1,
            "data.minimum_count",
            "minimum_count is for recommenders, and class 3 is a request on rows, for which data takes name, train, ",
        ),
        (
            MINIMAL.replace("digits", "digits, features: {image: i.npy}"),
            1,
            "data.features",
            "features is for graphs and recommenders, and class 3 is a request on rows",
        ),
        (
            of("{users: 0.05}", "{name: tastes, minimum: 5}"),
            1,
            "data.minimum",
            "unknown field; there are columns, fanout, feat",
        ),
        (of("{users: 0.05}", "{name: p.csv, features: 5}"), 1, "data.features", "a file or a folder, or a file for each modal"),
        (of("{users: 0.05}", "{name: p.csv, features: {image: 5}}"), 1, "data.features", "a file or a folder, or a file for"),
        (
            of("{users: 0.05}", "{name: tastes, minimum_count: 0}"),
            1,
            "data.minimum_count",
            "Input should be greater than or eq",
        ),
        (of("{users: 0.05, seeds: 1}", TASTES), 3, "request", "a request for users has no field 'seeds'; on recommenders"),
        (of("{users: 0.05, edges: 0.05}", TASTES), 3, "request", "a request for edges has no field 'users'; on graphs"),
        (of("{user: 0.05}", TASTES), 3, "request", "a request is one of {class: 3}"),
        (of("{features: image}", TASTES), 3, "request", "features: say of which items"),
        (of("{users_in: nowhere.txt}", TASTES), 3, "request", "file not found: nowhere.txt"),
    ],
)
def test_a_fault_has_its_line_and_its_field(text, line, field, message):
    assert fault(text, line, field).startswith(message)


def test_what_is_switched_off_fits_everywhere():
    assert parse_job(of("{users: 0.05}", "{name: tastes, triples: false, train: null}")).data.name == "tastes"
