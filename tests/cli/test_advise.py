"""`expunge advise`: from a job file to the advice, its table, its files and its errors."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from expunge.cli import app
from expunge.methods import METHODS
from expunge.storage import read_weights

HEAD = """\
data: {name: digits, train: 300}
model: {name: mlp, arguments: {hidden: [16]}}
training: {epochs: 6, optimizer: {learning_rate: 0.01}}
request: {class: 3}
"""
NAMED = HEAD + "methods: [neggrad-plus, {method: finetune, epochs: 0, label: idle}]\n"
FILES = {"job.yaml", "model.safetensors", "audit.json", "history.jsonl", "report.html", "advice.json"}


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(NAMED)
    Path("any.yaml").write_text(HEAD)
    return tmp_path


def call(*words, code=0):
    found = CliRunner().invoke(app, ["advise", *map(str, words)], env={"COLUMNS": "160"})
    assert found.exit_code == code, found.output + found.stderr
    return found


def test_named_methods_are_tried_and_the_advice_is_said_and_written(job):
    done = call("job.yaml", "--out", "out", "--wanted", "nearest")
    assert {path.name for path in Path("out").iterdir()} >= FILES and not Path("out/work").exists()
    advice = json.loads(Path("out/advice.json").read_text())
    assert {each["method"] for each in advice["tried"]} == {"neggrad-plus", "idle"}
    said = " ".join(done.stdout.split())
    assert all(" ".join(sentence.split()) in said for sentence in advice["why"])
    assert all(each["method"] in done.stdout for each in advice["tried"]) and "trying neggrad-plus" in done.stderr
    (idle,) = (each for each in advice["tried"] if each["method"] == "idle")
    assert idle["verdict"].startswith("accuracy on the forgotten data is")
    roles = [row["role"] for row in json.loads(Path("out/audit.json").read_text())["cases"][0]["rows"]]
    assert roles == ["original", "retrained", "noise floor", "method", "method"]
    assert read_weights("out/model.safetensors")[0]
    again = call("job.yaml", "--out", "out", code=2)
    assert "out holds a finished run; give another folder" in " ".join(again.stderr.split())
    told = json.loads(call("job.yaml", "--out", "out", "--wanted", "nearest", "--overwrite", "--json").stdout)
    assert told["take"] == advice["take"] and told["closeness"] == advice["closeness"]


def test_without_methods_all_that_fit_are_candidates(job):
    """Those that need nothing but what goes are few, and each is tried."""
    advice = json.loads(
        call("any.yaml", "--out", "out", "--at-hand", "forget", "--seconds", 1e-9, "--json", code=2).stdout or "{}"
    )
    assert advice == {}
    told = json.loads(call("any.yaml", "--out", "kept", "--seconds", 1e-9, "--json").stdout)
    assert told["take"] == "retrain" and told["tried"] == [], "nothing fits in so small a budget, and retraining is possible"
    assert {"scrub", "shrink-perturb", "unsir"} <= told["left_out"].keys() <= METHODS.keys()
    Path("auto.yaml").write_text(HEAD + "methods: [auto]\n")
    auto = json.loads(call("auto.yaml", "--out", "auto", "--seconds", 1e-9, "--json").stdout)
    assert auto["left_out"] == told["left_out"]


def test_without_retrained_models_nothing_is_proven(job):
    Path("job.yaml").write_text(NAMED + "retrained: 0\n")
    done = call("job.yaml", "--out", "out")
    advice = json.loads(Path("out/advice.json").read_text())
    assert advice["matches"] is None and advice["retrain_seconds"] is None
    assert "Nothing is proven" in done.stdout and "Nothing is proven" in Path("out/report.html").read_text()


def test_errors_say_what_to_do(job):
    part = call("job.yaml", "--at-hand", "part", "--out", "out", code=2)
    assert "give its weights as model: {weights: FILE}" in " ".join(part.stderr.split())
    assert not Path("out").exists(), "it was refused before anything was written"
    assert "job file not found: none.yaml" in call("none.yaml", code=2).stderr
    assert "seconds is a number above 0" in " ".join(
        call("job.yaml", "--seconds", "-1", "--out", "less", code=2).stderr.split()
    )
    Path("odd.yaml").write_text(HEAD + "methods: [forgetall]\n")
    assert "odd.yaml, line 5, methods.0: unknown method 'forgetall'" in " ".join(call("odd.yaml", code=2).stderr.split())


def test_a_part_of_the_data_is_enough_where_the_weights_are_there(job):
    call("job.yaml", "--out", "first", "--wanted", "nearest")
    Path("part.yaml").write_text(NAMED.replace("hidden: [16]}}", "hidden: [16]}, weights: first/model.safetensors}"))
    told = json.loads(call("part.yaml", "--at-hand", "part", "--out", "part", "--json").stdout)
    assert told["matches"] is None and any("only a part of the data" in sentence for sentence in told["why"])
    assert torch.isfinite(next(iter(read_weights("part/model.safetensors")[0].values()))).all()
