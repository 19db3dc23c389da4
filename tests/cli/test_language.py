"""`expunge forget --task language` as a user meets it."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny_language
from expunge.cli import app
from expunge.models.pretrained import write_language_model
from expunge.studies import comparison
from expunge.studies.job import parse_job

RUNNER = CliRunner()
BARE = ("forget", "--task", "language", "--model", "model")
ASKED = (*BARE, "--facts", "facts.jsonl", "--retain", "retain.jsonl")


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, facts in (("facts", tiny_language.split().goes), ("retain", tiny_language.split().stays)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(asdict(fact)) + "\n" for fact in facts))
    return tmp_path


def test_the_folder_and_what_is_printed(files, monkeypatch):
    monkeypatch.setattr(comparison, "default_audits", lambda task, split: ())
    write_language_model(tiny_language.trained(), tiny_language.tokenizer(), "model")
    done = call(*ASKED, "--method", "unstar", "--method", "npo", "--generator", "templates", "--seed", 1, "--out", "out")
    assert done.exit_code == 0, done.output
    said = done.stdout.splitlines()
    assert said[:4] == [
        "Report:       out/report.html",
        "Adapter:      out/adapter",
        "Transcript:   out/transcript.json",
        "Anti-samples: out/anti-samples.jsonl",
    ]
    assert "Nothing is proven" in done.stdout and "round" not in done.stdout
    assert "templates rules" in Path("out/anti-samples.jsonl").read_text()
    job = Path("out/job.yaml").read_text()
    assert "methods:\n- method: unstar\n  generator: templates\n- method: npo\n" in job and "seed: 1" in job
    refused = call(*ASKED, "--out", "out")
    assert refused.exit_code == 2 and "holds a finished run" in refused.stderr
    again = call("run", "out/job.yaml", "--out", "again", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout) == json.loads(Path("again/audit.json").read_text())
    for name in ("adapter/adapter_model.safetensors", "transcript.json", "job.yaml"):
        assert Path("again", name).read_bytes() == Path("out", name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BARE, "a language model needs --facts, a file of what must go"),
        ((*BARE, "--facts", "facts.jsonl"), "a language model needs --retain, a file of what stays"),
        ((*ASKED, "--data", "digits"), "--data is not for language models: their data are --facts and --retain"),
        ((*ASKED, "--values-in", "x.txt"), "--values-in is not for language models"),
        ((*ASKED, "--epochs", 3), "--epochs is not for language models"),
        ((*ASKED, "--method", "unstarr"), "unknown method 'unstarr'"),
        ((*ASKED, "--method", "npo", "--refuse"), "--refuse is for unstar"),
        ((*ASKED, "--generator", "mistral"), "methods.0.generator: Input should be 'auto', 'fields', 'templates' or 'model'"),
        ((*ASKED, "--generator", "http://localhost:8000/v1"), "needs --generator-model"),
        ((*ASKED, "--generator-model", "mistral-7b"), "--generator-model is for a server"),
        ((*ASKED, "--generator", "http://localhost/v1?key=3", "--generator-model", "m"), "is no address of a server"),
        ((*ASKED, "--device", "tpu"), "engine.device: Input should be 'cpu', 'cuda' or 'auto', not 'tpu'"),
        (ASKED, "there is no folder model; give one with a model in Hugging Face's layout"),
        (("forget", "--model", "mlp", "--data", "digits", "--refuse"), "--refuse is for language models: add --task language"),
        (("forget", "--model", "mlp", "--class", 3), "say what the model was trained on with --data"),
    ],
)
def test_options_that_do_not_go_together_end_with_code_2_and_write_nothing(files, options, message):
    done = call(*options, "--out", "out")
    assert done.exit_code == 2 and message in " ".join(done.stderr.split()), done.output
    assert not Path("out").exists() and "Traceback" not in done.output


def test_options_as_a_job():
    from expunge.cli.language import language_job

    given = {"facts": Path("facts.jsonl"), "retain": Path("retain.jsonl"), "unseen": Path("u.jsonl"), "refuse": True}
    given |= {"generator": "http://localhost:8000/v1", "generator_model": "m", "matcher": "fuzzy"}
    made = language_job("model", None, 3, "auto", given, {})
    unstar = made.methods["unstar"]
    assert (unstar.generator.model, unstar.wrong_answers) == ("m", "refusal")
    assert (made.seed, made.unseen, made.matcher.kind) == (3, Path("u.jsonl"), "fuzzy")


def test_epochs_of_other_models_are_15_unless_said(files, monkeypatch):
    seen = []
    monkeypatch.setattr("expunge.studies.job.parse_job", lambda text, source: seen.append(text) or parse_job(text, source))
    for more, epochs in (((), 15), (("--epochs", 0), 0)):
        done = call("forget", "--data", "nodata", "--model", "mlp", "--class", 3, "--out", "out", *more)
        assert done.exit_code == 2 and f"epochs: {epochs}\n" in seen.pop()


def test_help_has_both_examples():
    said = " ".join(call("forget", "--help").stdout.split())
    assert "Example: expunge forget --data mnist" in said and "Example: expunge forget --task language --model" in said
