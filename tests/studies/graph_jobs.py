"""Jobs on graphs, spelled out, for the tests of them."""

from typer.testing import CliRunner

from expunge.cli import app
from expunge.studies.job import parse_job
from expunge.studies.run import prepare

RUNNER = CliRunner()
FOLDER = {
    "job.yaml",
    "request.json",
    "model.safetensors",
    "models",
    "audit.json",
    "history.jsonl",
    "report.html",
    "statement.html",
}


def of(request: str, data: str = "{name: karate}", methods: str = "[unlink]", more: str = "", model: str = "{name: gcn}"):
    return f"data: {data}\nmodel: {model}\nrequest: {request}\nmethods: {methods}\n{more}"


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def prepared(request: str, **parts):
    return prepare(parse_job(of(request, **parts)))
