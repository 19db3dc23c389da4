"""`expunge synthesize`: rows like those of a table, judged, from the command line to the files."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.studies.synthesizing import Synthesis, parse_conditions, synthesize
from expunge.studies.table_scoring import Scoring
from expunge.tabular import Generator, TableSchema
from tabular.scored import people

runner = CliRunner()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    people(300).to_csv(path, index=False)
    return str(path)


def run(*arguments, code=0):
    found = runner.invoke(app, ["synthesize", *map(str, arguments)])
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


def test_rows_are_made_judged_and_written(table, tmp_path):
    said = run(table, "-n", 200, "--target", "happy", "--out", tmp_path / "out")
    made = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert list(made) == list(people()) and len(made) == 200
    assert made["age"].dtype.kind == "i" and set(made["job"]) <= {"chief", "clerk", "none"}
    record = json.loads((tmp_path / "out" / "score.json").read_text())
    assert record["rows"] == {"real": 240, "synthetic": 200, "holdout": 60}
    assert record["made"]["generator"] == "gaussian-copula" and record["made"]["training"] is None
    assert not record["is_copy"] and said.startswith(record["verdict"][0].split(":")[0][:20])
    assert "held back" in said and "generator.safetensors" in said
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_copy_is_refused_praise(table, tmp_path):
    said = run(table, "--generator", "bootstrap", "--out", tmp_path / "out")
    assert "copy" in said.splitlines()[0] and "close to real rows" not in said


def test_a_training_is_watched_and_the_best_epoch_kept(table, tmp_path):
    options = ("--generator", "tvae", "--epochs", 6, "--set", "batch_size=60", "--every", 2, "--target", "happy")
    run(table, "-n", 100, *options, "--out", tmp_path / "out")
    training = json.loads((tmp_path / "out" / "score.json").read_text())["made"]["training"]
    assert list(training["scores"]) == ["2", "4", "6"] and training["epochs"] == 6
    best = max(training["scores"], key=lambda epoch: training["scores"][epoch]["total"])
    assert training["chosen"] == int(best)
    assert set(training["losses"]) == {"reconstruction", "divergence"}
    assert "How the training went" in (tmp_path / "out" / "report.html").read_text()


def test_a_killed_training_goes_on_with_the_scores_of_earlier_epochs(table, tmp_path, monkeypatch):
    wanted = Synthesis("tvae", 50, {"epochs": 6, "batch_size": 60}, every=2)
    whole = synthesize(Path(table), wanted, Scoring(), tmp_path / "whole")
    told = []

    def killed(line):
        told.append(line)
        if line.startswith("epoch 4"):
            raise KeyboardInterrupt

    monkeypatch.setattr("expunge.studies.synthesizing.Engine", partial(Engine, checkpoint_steps=1))
    with pytest.raises(KeyboardInterrupt):
        synthesize(Path(table), wanted, Scoring(), tmp_path / "out", say=killed)
    told.clear()
    again = synthesize(Path(table), wanted, Scoring(), tmp_path / "out", say=told.append)
    assert not any(line.startswith("epoch 2") for line in told)  # it went on after that one
    assert again.made.training.scores.keys() == whole.made.training.scores.keys()
    assert again.score.total == whole.score.total
    assert (tmp_path / "out" / "synthetic.csv").read_text() == (tmp_path / "whole" / "synthetic.csv").read_text()


def test_conditions_are_satisfied_and_judged_beside_rows_that_do(table, tmp_path):
    conditions = ("--condition", "age=30..45", "--condition", "job=chief|clerk")
    said = run(table, "-n", 80, *conditions, "--out", tmp_path / "out")
    made = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert made["age"].between(30, 45).all() and set(made["job"]) == {"chief", "clerk"}
    real = people(300)
    assert json.loads((tmp_path / "out" / "score.json").read_text())["rows"]["real"] <= real["age"].between(30, 45).sum()
    assert "that satisfy the conditions" in said


def test_a_saved_generator_makes_rows_without_training(table, tmp_path):
    run(table, "-n", 50, "--out", tmp_path / "first")
    saved = tmp_path / "first" / "generator.safetensors"
    run(table, "-n", 50, "--load", saved, "--out", tmp_path / "second")
    assert (tmp_path / "first" / "synthetic.csv").read_text() == (tmp_path / "second" / "synthetic.csv").read_text()
    assert Generator.load(saved).name == "gaussian-copula"
    people(100)[["age", "job"]].to_csv(tmp_path / "other.csv", index=False)
    assert "makes other columns" in run(tmp_path / "other.csv", "--load", saved, "--out", tmp_path / "third", code=2)


def test_smote_stays_within_the_classes_of_the_target(table, tmp_path):
    run(table, "-n", 50, "--generator", "smote", "--target", "happy", "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "score.json").read_text())["made"]["settings"]["target"] == "happy"


def test_json_equals_the_record(table, tmp_path):
    said = run(table, "-n", 50, "--json", "--out", tmp_path / "out")
    assert said == (tmp_path / "out" / "score.json").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--generator", "gan"], "unknown generator 'gan'; there are bootstrap, ctgan"),
        (["--set", "epochs=3"], "gaussian-copula has no setting 'epochs'"),
        (["--generator", "tvae", "--set", "epochs=many"], "can't be made|epochs"),
        (["--set", "epochs"], "--set epochs sets nothing"),
        (["--condition", "age"], "condition 'age' is none"),
        (["--condition", "height=3"], "no column 'height'"),
        (["--condition", "job=pirate"], "has no value 'pirate'"),
        (["--condition", "age=200..300"], "never"),
        (["-n", "5"], "at least 10 rows"),
        (["--holdout-share", "1"], "below 1"),
        (["--target", "hapy"], "did you mean happy"),
        (["--load", "none.safetensors"], "not found"),
        (["--load", "none.safetensors", "--epochs", "3"], "leave epochs out"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_learned(table, tmp_path, options, words):
    said = " ".join(run(table, *options, "--out", tmp_path / "out", code=2).split())
    assert any(word in said for word in words.split("|"))
    assert not (tmp_path / "out" / "synthetic.csv").exists()


def test_finished_folders_are_kept(table, tmp_path):
    run(table, "-n", 50, "--out", tmp_path / "out")
    assert "--overwrite" in run(table, "-n", 50, "--out", tmp_path / "out", code=2)
    run(table, "-n", 60, "--out", tmp_path / "out", "--overwrite")
    assert len(pd.read_csv(tmp_path / "out" / "synthetic.csv")) == 60


def test_tables_of_tabs_stay_so(tmp_path):
    people(100).to_csv(tmp_path / "people.tsv", index=False, sep="\t")
    run(tmp_path / "people.tsv", "-n", 20, "--out", tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "synthetic.tsv", sep="\t").columns) == 6


def test_conditions_are_read_by_what_columns_are():
    table = people(100)
    table.loc[:5, "town"] = None
    schema = TableSchema.infer(table)
    found = parse_conditions(["age=30..40", "income=20000", "job=chief", "town="], schema)
    assert found == {"age": ("30", "40"), "income": "20000", "job": "chief", "town": None}
    with pytest.raises(BadRequest, match="no gap"):
        parse_conditions(["age="], schema)
    with pytest.raises(BadSetting, match="is none"):
        parse_conditions(["age:30"], schema)


def test_a_rate_may_be_written_with_an_exponent(table, tmp_path):
    options = ("--generator", "tvae", "--epochs", 1, "--set", "batch_size=200")
    run(table, *options, "--set", "learning_rate=1e-4", "--out", tmp_path / "out")
    assert Generator.load(tmp_path / "out" / "generator.safetensors").learning_rate == 1e-4
    assert "expected a number, not 'fast'" in run(
        table, *options, "--set", "learning_rate=fast", "--out", tmp_path / "other", code=2
    )


def test_the_file_holds_nothing_of_rows_that_were_held_back(tmp_path):
    real = people(60)
    held = np.random.default_rng(0).permutation(60)[:12]
    real.loc[held[0], "job"] = "unheard-of"
    real.to_csv(tmp_path / "people.csv", index=False)
    run(tmp_path / "people.csv", "--seed", 0, "--out", tmp_path / "out")
    assert b"unheard-of" not in (tmp_path / "out" / "generator.safetensors").read_bytes()
    learned = real.drop(index=held)
    found = Generator.load(tmp_path / "out" / "generator.safetensors").schema["income"]
    assert (found.low, found.high) == (pytest.approx(learned["income"].min()), pytest.approx(learned["income"].max()))
