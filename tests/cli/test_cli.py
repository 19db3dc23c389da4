"""The command line as a user meets it: what is printed where, exit codes, files."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data import load
from expunge.models import build
from expunge.storage import read_weights, write_weights

RUNNER = CliRunner()
JOB = """\
data: {name: digits, train: 400}
model: {name: mlp, arguments: {hidden: [16]}}
training: {epochs: 8, optimizer: {learning_rate: 0.01}}
request: {class: 3}
methods:
  - neggrad-plus
  - {method: ssd, alpha: 3, label: strong}
deliver: strong
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


FOLDER = {"job.yaml", "model.safetensors", "models", "audit.json", "history.jsonl", "report.html", "statement.html"}


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def test_run_leaves_the_whole_folder(job):
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("out").iterdir()} == FOLDER
    assert Path("out/job.yaml").read_text() == JOB
    models = {path.stem for path in Path("out/models").iterdir()}
    assert models == {"original", "retrained", "retrained-2", "neggrad-plus", "strong"}
    delivered, strong = (read_weights(f"out/{name}.safetensors")[0] for name in ("model", "models/strong"))
    assert all(torch.equal(delivered[name], strong[name]) for name in strong)
    audit = json.loads(Path("out/audit.json").read_text())
    rows = {row["model"]: row for row in audit["cases"][0]["rows"]}
    assert rows["original"]["figures"]["forget_accuracy"]["mean"] > 0.5
    assert rows["retrained"]["figures"]["forget_accuracy"]["mean"] == 0
    assert rows["retrained-2"]["role"] == "noise floor"
    fits = [json.loads(line)["fit"] for line in Path("out/history.jsonl").read_text().splitlines()]
    assert "original/fit" in fits and "neggrad-plus/neggrad-plus/fit" in fits
    assert "report.html" in done.stdout and "class 3" in done.stdout


def test_a_finished_run_is_not_overwritten_unless_that_is_said(job):
    assert call("run", "job.yaml", "--out", "out").exit_code == 0
    before = Path("out/audit.json").read_text()
    refused = call("run", "job.yaml", "--out", "out")
    assert refused.exit_code == 2 and "holds a finished run" in refused.stderr and "--overwrite" in refused.stderr
    assert Path("out/audit.json").read_text() == before
    assert call("run", "job.yaml", "--out", "out", "--overwrite").exit_code == 0


def test_json_goes_to_stdout_alone(job):
    done = call("run", "job.yaml", "--out", "out", "--json")
    assert json.loads(done.stdout) == json.loads(Path("out/audit.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("alpha: 3", "alhpa: 3"), "job.yaml, line 7, methods.1.alhpa: unknown field; there are alpha, dampening"),
        (("alpha: 3", "alpha: much"), "job.yaml, line 7, methods.1.alpha: Input should be a valid number"),
        (("epochs: 8", "epochs: four"), "job.yaml, line 3, training.epochs"),
        (("{class: 3}", "{class: 12}"), "12"),
        (("{class: 3}", "{rows: [400]}"), "400"),
        (("{class: 3}", "{fraction: 1.5}"), "1.5"),
        (("name: digits", "name: nodata"), "nodata"),
        (("name: mlp", "name: mpl"), "there is no model 'mpl'"),
        (("hidden", "hiden"), "no argument 'hiden'"),
        (("deliver: strong", "deliver: weak"), "job.yaml, line 8, deliver: 'weak' is not one of the methods"),
        (("- neggrad-plus", "- negrad"), "job.yaml, line 6, methods.0: unknown method 'negrad'"),
    ],
)
def test_a_faulty_job_ends_with_code_2_and_writes_nothing(job, change, message):
    text = JOB.replace(*change)
    assert text != JOB
    Path("job.yaml").write_text(text)
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not Path("out").exists()
    assert "Traceback" not in done.output


def _pickle(path):
    torch.save({"head.weight": torch.zeros(1)}, path)


def _cut_short(path):
    write_weights(path, _network().state_dict())
    path.write_bytes(path.read_bytes()[:-100])


def _foreign(path):
    write_weights(path, {"elsewhere.weight": torch.zeros(3)})


def _too_wide(path):
    write_weights(path, _network(hidden=[17]).state_dict())


def _network(hidden=(16,)):
    return build("mlp", load("digits"), hidden=list(hidden))()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_pickle, "is a pickle"),
        (_cut_short, "is not a whole safetensors file"),
        (_foreign, "does not fit MLP: it lacks"),
        (_too_wide, "has shape (17, 64), not (16, 64)"),
        (lambda path: None, "weights file not found"),
    ],
    ids=["pickle", "cut short", "foreign", "other shape", "missing"],
)
def test_bad_weights_end_with_code_2_and_write_nothing(job, make, message):
    make(Path("w.safetensors"))
    Path("job.yaml").write_text(JOB.replace("model: {", "model: {weights: w.safetensors, "))
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 2 and message in " ".join(done.stderr.split())
    assert not Path("out").exists()


def test_good_weights_are_used_and_not_trained_again(job):
    write_weights("w.safetensors", _network().state_dict())
    Path("job.yaml").write_text(JOB.replace("model: {", "model: {weights: w.safetensors, "))
    assert call("run", "job.yaml", "--out", "out").exit_code == 0
    kept, given = read_weights("out/models/original.safetensors")[0], read_weights("w.safetensors")[0]
    assert all(torch.equal(kept[name], given[name]) for name in given)


def test_a_cut_short_data_file_ends_with_code_2(job, monkeypatch):
    folder = job / "data" / "mnist"
    folder.mkdir(parents=True)
    monkeypatch.setenv("EXPUNGE_DATA", str(job / "data"))
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / name).write_bytes(b"\x00\x00\x08\x03\x00")
    Path("job.yaml").write_text(JOB.replace("digits", "mnist"))
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 2 and "idx" in done.stderr and not Path("out").exists()


def test_forget_without_a_job_file(job):
    options = ("--data", "digits", "--model", "mlp", "--train", 300, "--epochs", 2, "--out", "out")
    done = call("forget", *options, "--rows", "5,17,204", "--method", "finetune")
    assert done.exit_code == 0, done.output
    assert "3 rows" in done.stdout
    again = call("run", "out/job.yaml", "--out", "again")  # the folder's job file says the same
    assert again.exit_code == 0
    one, two = (read_weights(f"{folder}/model.safetensors")[0] for folder in ("out", "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_forget_by_a_column(job):
    rows = "\n".join(f"{'ann' if row % 100 == 7 else f'u{row}'},{row}" for row in range(1437))
    Path("users.csv").write_text(f"user_id,row\n{rows}\n")
    Path("leavers.txt").write_text("ann\n")
    options = ("--data", "digits", "--model", "mlp", "--train", 300, "--epochs", 2, "--out", "out", "--columns", "users.csv")
    done = call("forget", *options, "--column", "user_id", "--values-in", "leavers.txt", "--method", "finetune")
    assert done.exit_code == 0, done.output
    assert "3 of 300" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "a request is one of"),
        (("--class", "3", "--fraction", "0.1"), "a request is one of"),
        (("--class", "eleven"), "eleven"),
    ],
)
def test_forget_needs_exactly_one_request(job, options, message):
    done = call("forget", "--data", "digits", "--model", "mlp", "--out", "out", *options)
    assert done.exit_code == 2 and message in " ".join(done.stderr.split()) and not Path("out").exists()


# ---- real-numbered targets ----------------------------------------------------------------------------------------------

HOMES = "area,city,gap,price\n" + "".join(
    f"{(row * 7) % 40},{'Oslo' if row % 3 else 'Rome'},{'' if row == 5 else row % 4},{10 * row}\n" for row in range(40)
)


@pytest.fixture
def homes(job):
    Path("homes.csv").write_text(HOMES)
    return job


def test_schema_shows_what_becomes_of_each_column(homes):
    done = call("schema", "homes.csv", "--target", "price")
    assert done.exit_code == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "column  kind      gaps  values      use",
        "area    number       0  0 to 39     standardised",
        "city    category     0  Oslo, Rome  2 inputs of 0 or 1",
        "gap     number       1  0 to 3      standardised, and whether it was missing",
        "price   number       0  0 to 390    target",
    ]
    assert "target" not in call("schema", "homes.csv").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("homes.csv", "--target", "prize"), "homes.csv has no column 'prize' (did you mean price?)"),
        (("nowhere.csv",), "file not found: nowhere.csv"),
    ],
)
def test_schema_of_what_is_not_there_ends_with_code_2(homes, words, message):
    done = call("schema", *words)
    assert done.exit_code == 2 and message in " ".join(done.stderr.split()) and done.stdout == ""


WHERE = ("--data", "diabetes", "--model", "mlp", "--epochs", 2, "--method", "shrink-perturb", "--out", "out")


def test_forget_a_band_of_real_numbers(job):
    done = call("forget", *WHERE, "--where", "progression <= 75")
    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("out").iterdir()} == FOLDER
    summary = " ".join(done.stdout.split())
    assert "rows whose progression is at most 75 of diabetes: 63 of 332 training examples" in summary
    assert "MAE on the forgotten data" in summary or "matches retraining" in summary
    audit = json.loads(Path("out/audit.json").read_text())
    rows = {row["model"]: row["figures"] for row in audit["cases"][0]["rows"]}
    assert set(rows) == {"original", "retrained", "retrained-2", "shrink-perturb"}
    assert rows["retrained"]["forget_wasserstein"]["mean"] == 0 < rows["shrink-perturb"]["forget_wasserstein"]["mean"]
    assert 20 < rows["retrained"]["holdout_mae"]["mean"] < 200, "in the unit of the progression, from 25 to 346"
    assert "forget_accuracy" not in rows["original"] and "lira_auc" not in rows["original"]
    again = call("run", "out/job.yaml", "--out", "again")
    assert again.exit_code == 0
    one, two = (read_weights(f"{folder}/model.safetensors")[0] for folder in ("out", "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_forget_rows_of_a_table(homes):
    options = (
        "--data",
        "homes.csv",
        "--target",
        "price",
        "--model",
        "mlp",
        "--epochs",
        2,
        "--method",
        "finetune",
        "--out",
        "out",
    )
    done = call("forget", *options, "--where", "city = Rome")
    assert done.exit_code == 0, done.output
    assert "rows whose city is 'Rome' of homes: " in " ".join(done.stdout.split())
    job = yaml.safe_load(Path("out/job.yaml").read_text())
    assert job["data"] == {"name": "homes.csv", "target": "price"} and job["request"] == {"where": "city = Rome"}


def test_audit_of_a_regression_model_made_elsewhere(job):
    assert call("forget", *WHERE, "--where", "progression <= 75").exit_code == 0
    models = Path("out/models")
    references = ("--original", models / "original.safetensors", "--retrained", models / "retrained.safetensors")
    done = call("audit", "out/job.yaml", "--weights", models / "shrink-perturb.safetensors", *references, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    rows = json.loads(Path("out/audit.json").read_text())["cases"][0]["rows"]
    kept = next(row for row in rows if row["model"] == "shrink-perturb")["figures"]
    for name in ("forget_mae", "holdout_mae", "membership_auc", "tow", "forget_wasserstein", "forget_relative_difference"):
        assert figures[name]["value"] == pytest.approx(kept[name]["mean"])
        assert figures[name]["ideal"] == pytest.approx(kept[name]["ideal"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*WHERE, "--where", "progres <= 75"), "there is no column 'progres'"),
        ((*WHERE, "--where", "progression"), "'progression' cannot be read as a comparison"),
        ((*WHERE, "--where", "progression <= 0"), "forget set is empty: no row has progression <= 0"),
        ((*WHERE, "--where", "bmi > 30", "--rows", "1"), "a request is one of"),
        ((*WHERE, "--where", "bmi > 30", "--target", "bmi"), "diabetes takes no target (given: bmi)"),
        ((*WHERE, "--class", "3"), "a class cannot be forgotten here"),
        (("--data", "homes.csv", "--model", "mlp", "--where", "price < 50", "--out", "out"), "homes.csv: state the target"),
    ],
)
def test_forget_of_what_is_not_there_ends_with_code_2_and_writes_nothing(homes, options, message):
    done = call("forget", *options)
    assert done.exit_code == 2 and message in " ".join(done.stderr.split())
    assert not Path("out").exists() and "Traceback" not in done.output


def test_an_unknown_setting_of_the_task_ends_with_code_2(homes):
    Path("job.yaml").write_text(
        "data: {name: diabetes}\nmodel: {name: mlp}\nrequest: {where: bmi > 30}\nmethods: [scrub]\ntask: {los: l2}\n"
    )
    done = call("run", "job.yaml", "--out", "out")
    assert done.exit_code == 2 and "job.yaml, line 5, task.los: unknown field" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("classification", "--target", "x"), "study classification has no option --target"),
        (("classification", "--forget", "x < 1"), "study classification has no option --forget"),
        (("regression", "--data", "homes.csv"), 'study regression: say what must go of homes.csv: --forget "COLUMN <= VALUE"'),
        (("regression", "--data", "homes.csv", "--target", "price"), "study regression: say what must go of homes.csv"),
        (("regression", "--data", "homes.csv", "--forget", "price < 50"), "homes.csv: state the target"),
        (("regression", "--forget", "price < 50"), "--target and --forget are for a table that --data names"),
        (("regression", "--data", "digits", "--forget", "x < 1"), "digits has classes, not real-numbered targets"),
        (("recommendation", "--forget", "films"), "--forget is users, items, pairs or features, not 'films'"),
    ],
)
def test_a_study_with_options_that_do_not_fit_ends_with_code_2_and_writes_nothing(homes, options, message):
    done = call("study", *options, "--out", "out", "--json", "study.json")
    assert done.exit_code == 2 and message in " ".join(done.stderr.split())
    assert not Path("out").exists() and not Path("study.json").exists()


def test_audit_of_weights_made_elsewhere(job):
    assert call("run", "job.yaml", "--out", "out").exit_code == 0
    models = Path("out/models")
    references = ("--original", models / "original.safetensors", "--retrained", models / "retrained.safetensors")
    done = call("audit", "job.yaml", "--weights", models / "strong.safetensors", *references, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    rows = json.loads(Path("out/audit.json").read_text())["cases"][0]["rows"]
    strong = next(row for row in rows if row["model"] == "strong")["figures"]
    for name in ("forget_accuracy", "membership_auc", "tow", "forget_kl"):
        assert figures[name]["value"] == pytest.approx(strong[name]["mean"])
        assert figures[name]["ideal"] == pytest.approx(strong[name]["ideal"])
    alone = call("audit", "job.yaml", "--weights", models / "strong.safetensors")
    assert alone.exit_code == 0 and "not known" in alone.stdout and "tow" not in alone.stdout


def test_listings():
    methods = call("methods")
    assert methods.exit_code == 0 and "bad-teacher" in methods.stdout
    assert set(json.loads(call("methods", "--json").stdout)) >= {"retrain", "scrub", "ssd", "salun"}
    one = call("methods", "scrub")
    assert "arXiv 2302.09880" in one.stdout and "max_epochs: 1" in one.stdout
    assert all(task in call("tasks").stdout for task in ("classification", "regression"))
    unknown = call("methods", "scrubb")
    assert unknown.exit_code == 2 and "unknown method 'scrubb'; there are" in unknown.stderr


def test_help_has_an_example():
    for verb in ("run", "forget", "audit", "schema", "value", "score", "search", "study"):
        assert "Example: expunge" in " ".join(call(verb, "--help").stdout.split())


def test_study_writes_its_json(job):
    few = ("--methods", "finetune,ssd")
    done = call("study", "classification", "--data", "digits", *few, "--json", "study.json", "--out", "out")
    assert done.exit_code == 0, done.output
    study = json.loads(Path("study.json").read_text())
    assert set(study) == {"study", "data", "budget", "seeds", "machine", "rows", "seconds", "settings"}
    assert all(set(row) == {"method", "metric", "mean", "std", "n", "ideal"} for row in study["rows"])
    methods = {row["method"] for row in study["rows"]}
    assert methods == {"original", "retrained", "retrained-2", "finetune", "ssd"}
    assert {row["metric"].split("/")[0] for row in study["rows"]} == {"class 3", "random 5 %"}
    assert study["data"] == "digits" and study["seeds"] == 1 and study["seconds"]["retrained"] > 0
    assert Path("out/report.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("nothing",),
            "unknown study 'nothing'; there are all, classification, continual, diffusion, federated, graph, language",
        ),
        (("classification", "--seeds", 0), "at least 1 seed"),
    ],
)
def test_a_study_that_cannot_be(options, message):
    done = call("study", *options)
    assert done.exit_code == 2 and message in done.stderr


def test_the_study_falls_back_on_the_embedded_digits_and_says_so(monkeypatch):
    from expunge.studies.classification import ClassificationStudy

    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    plan = ClassificationStudy().plan(None, "quick")
    assert plan.data == "digits" and "embedded digits were used" in plan.notes[0]


def test_a_concept_and_its_anchor_reach_the_study_of_diffusion():
    done = call("study", "diffusion", "--concept", "eleven")
    assert done.exit_code == 2 and "--concept is one of zero, one" in " ".join(done.output.split())
    done = call("study", "diffusion", "--anchor", "eleven")
    assert done.exit_code == 2 and "--anchor is one of zero, one" in " ".join(done.output.split())
