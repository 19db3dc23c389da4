"""Whole runs of jobs on graphs, and what the command line says of them."""

import json
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.errors import BadSetting, ExpungeError
from expunge.methods import Unlink
from expunge.requests.graph import (
    ForgetEdgeList,
)
from expunge.requests.stored import ForgetStored
from expunge.storage import load_weights, read_weights, write_weights
from expunge.studies.graph_job import graph_request_from
from expunge.studies.job import BadJob, parse_job
from expunge.studies.run import prepare, run
from expunge.tasks import LinkPredictionTask
from studies.graph_jobs import FOLDER, call, of, prepared
from studies.jobs import fault

# ---- whole runs -------------------------------------------------------------------------------------------------------------

LINK_FIGURES = {"link_auc", "deleted_retained_auc", "deleted_retained_gap", "deleted_unseen_auc", "forget_js"}
SHORT = "training: {epochs: 40, optimizer: {kind: adam, learning_rate: 0.01}}\n"
SMALL = "{name: gcn, arguments: {hidden: 16, outputs: 8}}"
JOBS = {
    "links of the karate club": of("{edges: 0.1}", methods="[{method: d2dgn, epochs: 20}, unlink]", more=SHORT, model=SMALL),
    "links of an npz file": of("{edges: 0.05, where: in}", "{name: made.npz}", "[{method: d2dgn, epochs: 20}]", SHORT, SMALL),
    "nodes of a list of edges": of(
        "{nodes: 0.1}",
        "{name: friends.csv, features: people.csv}",
        "[auto]",
        SHORT,
        "{name: gcn, arguments: {hidden: 16}}",
    ),
    "a class in sampled parts": of(
        "{label: law}",
        "{name: friends.csv, features: people.csv, fanout: [4, 4]}",
        "[{method: finetune, epochs: 3}]",
        "batch_size: 16\n" + SHORT,
        "{name: sage, arguments: {hidden: 16}}",
    ),
    "a relation": of(
        "{relation: likes}",
        "{name: world.txt}",
        "[{method: d2dgn, epochs: 20, stop: never}]",
        SHORT,
        "{name: r-gcn, arguments: {hidden: 16, outputs: 8}}",
    ),
}


@pytest.fixture(scope="module")
def served(made) -> Callable[[str], Path]:
    """Where a job was run by the command line, once for all tests."""
    done: dict[str, Path] = {}

    def serve(name: str) -> Path:
        if name not in done:
            folder = made / f"run-{len(done)}"
            (made / "job.yaml").write_text(JOBS[name])
            with chdir(made):
                printed = call("run", "job.yaml", "--out", folder)
            assert printed.exit_code == 0 and "report.html" in printed.stdout, printed.output
            done[name] = folder
        return done[name]

    return serve


@pytest.mark.parametrize("name", JOBS)
def test_a_run_leaves_the_whole_folder(files, served, name):
    job, out = parse_job(JOBS[name]), served(name)
    setup = prepare(job)
    links = isinstance(setup.task, LinkPredictionTask)
    assert {path.name for path in out.iterdir()} == (FOLDER if links else FOLDER - {"request.json"})
    if links:  # the same edges can be asked for again
        again = prepare(replace(job, request=ForgetStored(str(out / "request.json"))))
        assert torch.equal(again.split.forget.pairs, setup.split.forget.pairs)
    unit, score = ("edges", "probability") if links else ("nodes", "accuracy")
    case = json.loads((out / "audit.json").read_text())["cases"][0]
    assert case["forgotten"].endswith(f": {setup.split.forget.examples} of {setup.total} training {unit}")
    rows = {row["model"]: row["figures"] for row in case["rows"]}
    assert list(rows) == ["original", "retrained", "retrained-2", *job.methods]
    for model, figures in rows.items():
        assert figures.keys() >= (LINK_FIGURES if links else set()) | {f"forget_{score}", f"holdout_{score}"}
        assert "karate" in name or "membership_auc" in figures, "of 3 held-out edges nothing can be said"
        assert all(value["mean"] is None or np.isfinite(value["mean"]) for value in figures.values()), model
    delivered = load_weights(setup.task.new_model(), out / "model.safetensors").eval()
    kept = rows[job.deliver]
    assert setup.task.evaluate(delivered, setup.split.forget)[score] == pytest.approx(kept[f"forget_{score}"]["mean"], rel=1e-4)
    assert kept[f"forget_{score}"]["ideal"] == rows["retrained"][f"forget_{score}"]["mean"]
    original = load_weights(setup.task.new_model(), out / "models" / "original.safetensors").eval()
    wanted = setup.task.evaluate(original, setup.task.as_trained(setup.split).forget)[score]
    assert rows["original"][f"forget_{score}"]["mean"] == pytest.approx(wanted, rel=1e-4), "as it was used before the request"
    assert case["forgotten"].partition(":")[0] in (out / "report.html").read_text()
    fits = [json.loads(line)["fit"] for line in (out / "history.jsonl").read_text().splitlines()]
    assert "original/fit" in fits and f"{job.deliver}/{job.deliver}/fit" in fits


@pytest.mark.parametrize("name", ["links of the karate club", "nodes of a list of edges"])
def test_a_run_is_audited_by_command(files, served, name):
    out = served(name)
    models, method = out / "models", "d2dgn"
    references = ("--original", models / "original.safetensors", "--retrained", models / "retrained.safetensors")
    audited = call("audit", out / "job.yaml", "--weights", models / f"{method}.safetensors", *references, "--json")
    assert audited.exit_code == 0, audited.output
    figures = json.loads(audited.stdout)
    rows = {row["model"]: row["figures"] for row in json.loads((out / "audit.json").read_text())["cases"][0]["rows"]}
    wanted = ["link_auc", "deleted_retained_auc", "forget_js"] if "links" in name else ["forget_accuracy", "forget_kl", "tow"]
    for metric in wanted:
        assert figures[metric]["value"] == pytest.approx(rows[method][metric]["mean"], rel=1e-5)
        assert figures[metric]["ideal"] == pytest.approx(rows[method][metric]["ideal"], rel=1e-5)


def test_good_weights_are_used_and_not_trained_again(files):
    setup = prepare(parse_job(JOBS["links of the karate club"]))
    write_weights("w.safetensors", setup.task.new_model().state_dict())
    text = JOBS["links of the karate club"].replace("name: gcn,", "name: gcn, weights: w.safetensors,")
    run(parse_job(text + "retrained: 0\n"), "out")
    kept, given = read_weights("out/models/original.safetensors")[0], read_weights("w.safetensors")[0]
    assert all(torch.equal(kept[name], given[name]) for name in given)
    rows = json.loads(Path("out/audit.json").read_text())["cases"][0]["rows"]
    assert [row["model"] for row in rows] == ["original", "d2dgn", "unlink"] and rows[1]["figures"]["link_auc"]["ideal"] is None


class Killed(Exception):
    """The process ends here."""


def test_a_killed_run_goes_on_where_it_was(files, served, monkeypatch):
    name = "links of an npz file"
    job, through = parse_job(JOBS[name] + "engine: {checkpoint_steps: 5}\n"), served(name)
    divergence = LinkPredictionTask.divergence
    calls = []

    def dies(self, *args):
        calls.append(args)
        if len(calls) > 15:
            raise Killed
        return divergence(self, *args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(LinkPredictionTask, "divergence", dies)
        run(job, "out")
    before = {path: path.stat().st_mtime_ns for path in Path("out/work").rglob("result.safetensors")}
    assert len(before) == 3, "the original and both retrained models"
    run(job, "out")
    again, wanted = (read_weights(folder / "model.safetensors")[0] for folder in (Path("out"), through))
    assert all(torch.equal(again[key], wanted[key]) for key in wanted)
    assert figures_of(Path("out")) == figures_of(through) and not Path("out/work").exists()


def figures_of(folder: Path) -> dict[tuple[str, str], float]:
    """All figures but times."""
    rows = json.loads((folder / "audit.json").read_text())["cases"][0]["rows"]
    return {
        (row["model"], metric): value["mean"]
        for row in rows
        for metric, value in row["figures"].items()
        if "seconds" not in metric and "time" not in metric and "speed" not in metric
    }


# ---- the command line -------------------------------------------------------------------------------------------------------


def test_a_faulty_job_on_a_graph_ends_with_code_2_and_writes_nothing(files):
    for text, message in (
        (of("{edges: lots}"), "job.yaml, line 3, request: edges is the share of them to forget"),
        (of("{edges: 0.1, where: nowhere}"), "job.yaml, line 3, request: edges are drawn from"),
        (of("{label: law}"), "class 'law' is not known"),
    ):
        Path("job.yaml").write_text(text)
        done = call("run", "job.yaml", "--out", "out")
        assert done.exit_code == 2 and message in " ".join(done.stderr.split()) and "Traceback" not in done.output
        assert not Path("out").exists()


def test_methods_for_nodes_are_refused_on_links(files):
    text = of("{edges: 0.1}", methods="[megu]", more=SHORT, model=SMALL)
    with pytest.raises(ExpungeError, match="megu"):
        run(parse_job(text), "out")


def test_a_bad_job_is_one_that_a_user_can_mend():
    with pytest.raises(BadJob):
        parse_job(of("{edges: many}"))
    assert parse_job(of("{edges: 2}")).methods == {"unlink": Unlink()}


def test_a_third_column_of_listed_edges_is_a_relation_or_nothing(files):
    Path("weighed.csv").write_text("source,target,weight\np0,p1,0.5\n")
    Path("triples.csv").write_text("head,tail,relation\nn0,n1,knows\n")
    assert graph_request_from({"edges_in": "weighed.csv"}) == ForgetEdgeList((("p0", "p1"),))
    assert graph_request_from({"edges_in": "triples.csv"}) == ForgetEdgeList((("n0", "n1", "knows"),))
    Path("single.csv").write_text("source\np0\n")
    with pytest.raises(BadSetting, match="has one column; expected both ends"):
        graph_request_from({"edges_in": "single.csv"})


def test_listed_nodes_have_no_seed():
    with pytest.raises(BadSetting, match="nodes that are listed are not drawn"):
        graph_request_from({"nodes": [3, 4], "seed": 7})


@pytest.mark.parametrize("field", ["train: 10", "size: 8", "target: x", "holdout_share: 0.5"])
def test_settings_of_other_data_are_refused_on_graphs(field):
    with pytest.raises(BadSetting, match=f"line 1, data.{(name := field.partition(':')[0])}: {name} is for rows, and"):
        prepared("{edges: 0.1}", data=f"{{name: karate, {field}}}")


def test_the_place_of_a_fault_is_the_field_that_was_written():
    text = of("{edges: 0.1}", methods="[{method: d2dgn, destroyer: nobody}]")
    assert "'random', 'negative-edges'" in fault(text, 4, "methods.0.destroyer")
