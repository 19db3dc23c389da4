"""Whole runs of jobs on recommenders, the lists that they leave, and what is refused before anything is trained."""

import json
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from torch import nn

import tiny_interactions
from expunge import Engine
from expunge.data import InteractionSource
from expunge.errors import BadFile, BadRequest, BadSetting, ExpungeError, WrongTask
from expunge.interactions import Interactions
from expunge.requests import ForgetItems, ForgetPairs, ForgetUsers
from expunge.storage import load_weights, read_weights
from expunge.studies.job import parse_job
from expunge.studies.run import prepare, run
from expunge.tasks import RecommendationTask
from studies.graph_jobs import call, of
from studies.graph_jobs import prepared as prepared_from

FOLDER = {"job.yaml", "model.safetensors", "models", "audit.json", "history.jsonl", "report.html"} | {
    "statement.html",
    "index.parquet",
}
RANKING = {"recall", "ndcg", "unseen_recall", "list_overlap", "membership_auc", "forget_pair_auc", "holdout_pair_auc"}
SHORT = "batch_size: 256\ntraining: {epochs: 2, optimizer: {learning_rate: 0.02}}\n"
METHODS = "[{method: finetune, epochs: 1}, reset-rows]"
TASTES, CLICKS = "{name: tastes}", "{name: clicks.csv, features: {image: image.npy}}"
SMALL = "{name: bpr-mf, arguments: {dim: 4}}"
JOBS = {
    "users of the embedded set": of("{users: 0.05}", TASTES, METHODS, SHORT, SMALL),
    "items by their names": of("{items: [i3, i14]}", CLICKS, METHODS, SHORT, SMALL),
    "single pairs": of("{pairs: 10}", CLICKS, METHODS, SHORT, "{name: light-gcn, arguments: {dim: 4}}"),
    "pictures": of("{features: image, of: 0.1}", CLICKS, METHODS, SHORT, "{name: vbpr, arguments: {dim: 4}}"),
}


class Dots(nn.Module):
    """Somebody's own recommender."""

    def __init__(self, users: int, items: int, dim: int = 4) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, dim), nn.Embedding(items, dim)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return (self.users(users) * self.items(items)).sum(1)


def own_clicks() -> Interactions:
    return tiny_interactions.clicks()


def write_clicks(folder: Path) -> None:
    """The small interactions as a table, rated 3 to 5, with pictures in the order of the sorted names."""
    clicks = tiny_interactions.clicks()
    rows = [f"u{user},i{item},{3 + (user + item) % 3}" for user, item in clicks.pairs.tolist()]
    (folder / "clicks.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    order = sorted(range(clicks.items), key=lambda item: f"i{item}")
    np.save(folder / "image.npy", clicks.features["image"][order].numpy())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clicks")
    write_clicks(folder)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    write_clicks(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def served(made) -> Callable[[str], Path]:
    """Where a job was run by the command line, once for all tests."""
    done: dict[str, Path] = {}

    def serve(name: str) -> Path:
        if name not in done:
            with chdir(made):
                Path("job.yaml").write_text(JOBS[name])
                printed = call("run", "job.yaml", "--out", f"run-{len(done)}")
            assert printed.exit_code == 0 and "index.parquet: lists for" in printed.stdout, printed.output
            assert f"Lists:  run-{len(done)}/index.parquet" in printed.stdout
            done[name] = made / f"run-{len(done)}"
        return done[name]

    return serve


def lists_in(folder: Path) -> dict[object, list[object]]:
    """The list of each user in an index, as it is read by whoever serves from it."""
    rows = pyarrow.parquet.read_table(folder / "index.parquet").to_pylist()
    found: dict[object, list[object]] = {}
    for row in rows:
        found.setdefault(row["user"], []).append(row["item"])
        assert row["rank"] == len(found[row["user"]])
    return found


# ---- whole runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_a_run_leaves_the_whole_folder(files, served, name):
    out, setup = served(name), prepare(parse_job(JOBS[name]))
    assert {path.name for path in out.iterdir()} == FOLDER
    audit = json.loads((out / "audit.json").read_text())
    case = audit["cases"][0]
    assert case["forgotten"].endswith(f": {setup.split.forget.examples} of {setup.total:,} training pairs")
    rows = {row["model"]: row["figures"] for row in case["rows"]}
    assert list(rows) == ["original", "retrained", "retrained-2", "finetune", "reset-rows"]
    for figures in rows.values():
        assert figures.keys() >= RANKING
        assert all(figures[metric]["mean"] is not None and figures[metric]["ideal"] is not None for metric in RANKING)
    delivered = load_weights(setup.task.new_model(), out / "model.safetensors").eval()
    found = setup.task.evaluate(delivered, setup.split.holdout)["pair_auc"]
    assert rows["finetune"]["holdout_pair_auc"]["mean"] == pytest.approx(found, rel=1e-4)
    assert case["forgotten"].partition(":")[0] in (out / "report.html").read_text()


@pytest.mark.parametrize("name", JOBS)
def test_the_index_holds_the_lists_of_the_model_that_is_delivered(files, served, name):
    out, setup = served(name), prepare(parse_job(JOBS[name]))
    source, left = setup.source, setup.split.retain.interactions
    users = source.users or tuple(range(left.users))
    items = source.items or tuple(range(left.items))
    lists = lists_in(out)
    assert list(lists) == [user for user, stays in zip(users, left.served.tolist(), strict=True) if stays]
    models = {}
    for path in (out / "model.safetensors", out / "models" / "original.safetensors"):
        best = setup.task.lists(load_weights(setup.task.new_model(), path).eval(), left)[left.served]
        models[path.stem] = [[items[item] for item in row] for row in best.tolist()]
    assert list(lists.values()) == models["model"] != models["original"]
    gone = {items[item] for item in left.gone_items.tolist()}
    assert gone == ({"i3", "i14"} if name == "items by their names" else set())
    assert not gone & {item for row in lists.values() for item in row}
    note = f"index.parquet: lists for {len(lists)} users, {20 * len(lists):,} entries, by the model that is delivered. "
    said = json.loads((out / "audit.json").read_text())["notes"]
    assert said[-1].startswith(note) and said[-1] in (out / "report.html").read_text()


def test_who_goes_has_no_list(files, served):
    setup = prepare(parse_job(JOBS["users of the embedded set"]))
    gone = set(setup.split.forget.pairs[:, 0].tolist())
    assert len(gone) == 15 and not gone & set(lists_in(served("users of the embedded set")))


def test_a_run_is_audited_by_command(files, served):
    out = served("items by their names")
    models = out / "models"
    references = ("--original", models / "original.safetensors", "--retrained", models / "retrained.safetensors")
    audited = call("audit", out / "job.yaml", "--weights", models / "finetune.safetensors", *references, "--json")
    assert audited.exit_code == 0, audited.output
    rows = {row["model"]: row["figures"] for row in json.loads((out / "audit.json").read_text())["cases"][0]["rows"]}
    for metric in RANKING:
        assert json.loads(audited.stdout)[metric]["value"] == pytest.approx(rows["finetune"][metric]["mean"], rel=1e-5)


class Killed(Exception):
    """The process ends here."""


def test_a_killed_run_goes_on_where_it_was(files, served, monkeypatch):
    name = "items by their names"
    job, through = parse_job(JOBS[name] + "engine: {checkpoint_steps: 1}\n"), served(name)
    setup = prepare(job)
    steps = 2 * (len(setup.everything) + 2 * len(setup.split.retain))  # of the original and both retrained models
    losses = RecommendationTask.losses
    calls = []

    def dies(self, *args):
        calls.append(args)
        if len(calls) > steps + 2:
            raise Killed
        return losses(self, *args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RecommendationTask, "losses", dies)
        run(job, "out")
    assert len(list(Path("out/work").rglob("result.safetensors"))) == 3 and not Path("out/index.parquet").exists()
    run(job, "out")
    again, wanted = (read_weights(folder / "model.safetensors")[0] for folder in (Path("out"), through))
    assert all(torch.equal(again[key], wanted[key]) for key in wanted)
    assert lists_in(Path("out")) == lists_in(through) and not Path("out/work").exists()


def test_without_pyarrow_the_run_ends_and_the_report_says_that_there_is_no_index(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    job = parse_job(of("{users: [u3]}", "{name: clicks.csv}", "[auto]", SHORT + "retrained: 0\n", SMALL))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(job, "out")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert {path.name for path in Path("out").iterdir()} == FOLDER - {"index.parquet"}
    audit = json.loads(Path("out/audit.json").read_text())
    said = "index.parquet was not written: a serving index needs pyarrow: pip install 'expunge[recommend]'"
    assert audit["notes"] == [said] and "index.parquet was not written" in Path("out/report.html").read_text()
    assert audit["machine"]["threads"] == 1, "a small network has one thread"
    assert [row["model"] for row in audit["cases"][0]["rows"]] == ["original", "level-scores"]


def test_another_run_in_the_folder_takes_the_old_lists_away(files):
    Path("out").mkdir()
    for name in ("job.yaml", "audit.json", "index.parquet"):
        Path("out", name).write_text("of another run")
    text = "data: {name: digits, train: 100}\nmodel: {name: mlp, arguments: {hidden: [4]}}\nretrained: 0\n"
    run(parse_job(text + "training: {epochs: 0}\nrequest: {rows: [1]}\nmethods: [{method: finetune, epochs: 0}]"), "out", True)
    assert not Path("out/index.parquet").exists() and json.loads(Path("out/audit.json").read_text())["notes"] == []


# ---- what is worked on --------------------------------------------------------------------------------------------------


def prepared(request: str, data: str = CLICKS, model: str = SMALL, more: str = ""):
    return prepared_from(request, data=data, methods="[finetune]", model=model, more=more)


def test_settings_of_the_data_reach_what_is_read(files):
    plain = prepared("{users: [u1]}", "{name: clicks.csv}").source
    assert isinstance(plain, InteractionSource) and not plain.interactions.features and plain.users[0] == "u0"
    assert prepared("{users: [u1]}").source.interactions.features["image"].shape == (80, 8)
    rated = prepared("{users: [u1]}", "{name: clicks.csv, minimum_rating: 5}").source
    assert len(rated.interactions) < len(plain.interactions) and "a rating below 5 were left out" in rated.note
    core = prepared("{users: [u1]}", "{name: clicks.csv, minimum_count: 6}").source
    assert core.interactions.activity.min() >= 6 > plain.interactions.popularity.min()


def test_the_jobs_seed_draws_what_is_held_out_and_its_batch_size_reaches_training(files):
    first, same, other = (prepared("{pairs: 5}", more=f"seed: {seed}\nbatch_size: 99") for seed in (0, 0, 1))
    assert torch.equal(first.split.holdout.pairs, same.split.holdout.pairs)
    assert not torch.equal(first.split.holdout.pairs, other.split.holdout.pairs)
    assert first.everything.batch_size == first.split.retain.batch_size == 99
    assert first.total == first.everything.examples == first.split.retain.examples + 5


def test_data_and_networks_of_ones_own_are_imported(files):
    here = "studies.test_recommendation_job_runs"
    setup = prepared("{users: [3]}", f'{{name: "{here}:own_clicks"}}', f'{{name: "{here}:Dots", arguments: {{dim: 3}}}}')
    assert setup.source.name == "own_clicks" and setup.task.new_model().users.weight.shape == (60, 3)
    assert set(setup.split.forget.pairs[:, 0].tolist()) == {3}


@pytest.mark.parametrize(
    ("job", "kind", "message"),
    [
        (of("{users: [eve]}", CLICKS, model=SMALL), BadRequest, "my.yaml, line 3, request: user 'eve' is not known; expected"),
        (of("{items: [u1]}", CLICKS, model=SMALL), BadRequest, "my.yaml, line 3, request: item 'u1' is not known"),
        (of("{pairs: [[u0, i1]]}", CLICKS, model=SMALL), BadRequest, "my.yaml, line 3, request: (u0, i1) is no pair that is"),
        (of("{features: sound, of: 3}", CLICKS, model=SMALL), BadRequest, "request: there are no features 'sound' to forget"),
        (of("{users: 60}", CLICKS, model=SMALL), BadRequest, "request: "),
        (
            of("{users: 1}", "{name: tates}", model=SMALL),
            BadSetting,
            "there are no interactions 'tates' (did you mean tastes?)",
        ),
        (of("{users: 1}", "{name: tastes, minimum_rating: 4}", model=SMALL), BadSetting, "tastes holds no ratings, so none"),
        (of("{users: 1}", "{name: tastes, features: a.npy}", model=SMALL), BadSetting, "tastes takes no files of features"),
        (of("{users: 1}", "{name: clicks.csv, features: nowhere}", model=SMALL), BadFile, "nowhere is no folder"),
        (of("{users: 1}", CLICKS, model="{name: gcn}"), BadSetting, "there is no recommender 'gcn'; take one of mgcn, "),
        (
            of("{users: 1}", CLICKS, model="{name: bpr-mf, arguments: {width: 3}}"),
            BadSetting,
            "bpr-mf cannot be built with {'width'",
        ),
        (of("{users: 1}", CLICKS, model="{name: bpr-mf, weights: w.safetensors}"), BadFile, "weights file not found"),
        (of("{users: 1}", CLICKS, "[finetune, salun]", model=SMALL), WrongTask, "my.yaml, line 4, methods: salun works on "),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(files, monkeypatch, job, kind, message):
    def fit(*args, **settings):
        raise AssertionError("trained")

    monkeypatch.setattr(Engine, "fit", fit)
    with pytest.raises(ExpungeError) as caught:
        run(parse_job(job, "my.yaml"), "out")
    assert isinstance(caught.value, kind) and message in str(caught.value)


def test_a_faulty_job_ends_with_code_2_and_writes_nothing(files):
    Path("job.yaml").write_text(of("{users: [u1, eve]}", CLICKS, model=SMALL))
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 2 and not Path("out").exists() and "Traceback" not in done.output
    assert "job.yaml, line 3, request: user 'eve' is not known" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "request_", "features"),
    [
        (("--users-in", "leavers.txt"), ForgetUsers(("u3", "u7")), None),
        (("--items-in", "films.txt", "--features", "arrays"), ForgetItems(("i3",)), Path("arrays")),
        (("--pairs-in", "withdrawn.csv"), ForgetPairs((("u1", "i2"),)), None),
    ],
)
def test_options_ask_for_what_a_job_file_would(files, monkeypatch, options, request_, features):
    Path("leavers.txt").write_text("u3\nu7\n")
    Path("films.txt").write_text("i3\n")
    Path("withdrawn.csv").write_text("user,item\nu1,i2\n")
    jobs = []
    monkeypatch.setattr(sys.modules["expunge.cli.app"], "_serve", lambda job, *rest: jobs.append(job))
    done = call("forget", "--data", "clicks.csv", "--model", "bpr-mf", "--method", "auto", *options)
    assert done.exit_code == 0, done.output
    (job,) = jobs
    assert job.request == request_ and job.data.features == features and list(job.methods) == ["level-scores"]


def test_the_example_can_be_run():
    text = (Path(__file__).parents[2] / "examples" / "shoppers.yaml").read_text()
    setup = prepare(parse_job(text))
    assert len(set(setup.split.forget.pairs[:, 0].tolist())) == 15
