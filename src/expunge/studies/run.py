"""One run: a job from its data to its folder. Killed and started again, it goes on where it was."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from expunge import models
from expunge.data import InteractionSource, Source, classes_of, load, load_interactions, split_by
from expunge.data.graph_source import GraphSource
from expunge.data.records import length
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, WrongTask
from expunge.report.evidence import Evidence
from expunge.requests.graph_request import GraphRequest
from expunge.requests.interaction_request import InteractionRequest
from expunge.requests.request import Request
from expunge.split import Batches, Split
from expunge.storage import load_weights, write_text, write_weights
from expunge.studies.comparison import Comparison, compare, to_case, trained
from expunge.studies.graph_job import graph_parts, graph_task, read_graph, store_request
from expunge.studies.job import Job, TaskSettings
from expunge.studies.machine import fitting_threads
from expunge.studies.recommendation_job import interaction_parts, interaction_task, write_index
from expunge.studies.run_folder import JOB, check_folder, clear_folder, evidence_of, served, write_results
from expunge.tasks import (
    ClassificationTask,
    LinkPredictionTask,
    NodeClassificationTask,
    RecommendationTask,
    RegressionTask,
    Task,
)
from expunge.tasks.regression import band_edges


@dataclass(frozen=True)
class Setup:
    """What a job works on, read and checked."""

    source: Source | GraphSource | InteractionSource
    task: Task[Any]
    split: Split
    everything: Any  # the stream that the original is trained on
    total: int  # examples in it
    original: nn.Module | None  # None when it is to be trained


def prepare(job: Job) -> Setup:
    """Read data, model and weights, and resolve the request; every fault in them is raised here, before any training."""
    try:
        setup = _prepared(job)
    except BadRequest as error:
        raise BadRequest(f"{job.place('request')}: {error}") from error
    try:
        for method in job.methods.values():
            method.check(setup.task, setup.split)
    except WrongTask as error:
        raise WrongTask(f"{job.place('methods')}: {error}") from error
    return setup


def _prepared(job: Job) -> Setup:
    if isinstance(job.request, GraphRequest):
        return _prepare_graph(job, job.request)
    if isinstance(job.request, InteractionRequest):
        return _prepare_interactions(job, job.request)
    return _prepare_rows(job, job.request)


def _prepare_rows(job: Job, request: Request) -> Setup:
    data = job.data
    source = load(
        data.name,
        size=data.size,
        grayscale=data.grayscale,
        train=data.train,
        holdout=data.holdout,
        columns=data.columns,
        target=data.target,
        holdout_share=data.holdout_share,
    )
    task = regression_task(source, job) if source.target is not None else classification_task(source, job)
    classes = tuple(source.classes or classes_of(source.train))
    split = split_by(request, source.train, source.holdout, job.batch_size, classes=classes, validation=job.validation)
    everything = Batches(source.train, job.batch_size)
    return Setup(source, task, split, everything, length(source.train), _original(job, task))


def _prepare_graph(job: Job, request: GraphRequest) -> Setup:
    data, model = job.data, job.model
    assert not isinstance(data.features, dict)  # the job was checked
    source = read_graph(data.name, data.features, data.triples)
    task = graph_task(source, job.task.predict if job.task else None, request, model.name, model.arguments)
    size = job.batch_size if data.fanout else None  # without sampling a step needs the whole graph, whatever is asked of it
    everything, split, total = graph_parts(source, task, request, model.name, job.seed, size, data.fanout)
    return Setup(source, task, split, everything, total, _original(job, task))


def _prepare_interactions(job: Job, request: InteractionRequest) -> Setup:
    data, model = job.data, job.model
    source = load_interactions(
        data.name, features=data.features, minimum_rating=data.minimum_rating, minimum_count=data.minimum_count
    )
    task = interaction_task(source, model.name, model.arguments)
    everything, split, total = interaction_parts(source, request, job.seed, job.batch_size)
    return Setup(source, task, split, everything, total, _original(job, task))


def _original(job: Job, task: Task[Any]) -> nn.Module | None:
    return None if job.model.weights is None else load_weights(task.new_model(), job.model.weights).eval()


def classification_task(source: Source, job: Job) -> ClassificationTask:
    """The task of a source with classes."""
    if job.task is not None:
        raise BadSetting(f"task: the targets of {source.name} are classes; its settings are for targets that are real numbers")
    names = source.classes or classes_of(source.train)
    if len(names) < 2:
        raise BadSetting(f"{source.name} has {len(names)} classes; classification needs at least 2")
    return ClassificationTask(models.build(job.model.name, source, **job.model.arguments), len(names), tuple(names))


def regression_task(source: Source, job: Job) -> RegressionTask:
    """The task of a source whose targets are real numbers."""
    settings = job.task or TaskSettings.model_validate({})
    if "quantiles" in job.model.arguments:
        raise BadSetting(f"model {job.model.name} has no argument 'quantiles'; they are settings of the task")
    quantiles = len(settings.quantiles) if settings.loss == "pinball" else 1
    return RegressionTask(
        models.build(job.model.name, source, quantiles=quantiles, **job.model.arguments),
        settings.loss,
        delta=settings.delta,
        quantiles=settings.quantiles,
        distance=settings.distance,
        target=source.target,
        bands=band_edges(source.train),
    )


def run(job: Job, folder: str | Path, overwrite: bool = False, command: str = "") -> Evidence:
    """Serve the request of `job` and leave everything in `folder`.

    Args:
        overwrite: replace a finished run, or a run of another job, that is in the folder.
        command: how a reader gets this report again.

    Returns:
        what the report shows.

    Raises:
        BadFile: if the folder holds something that would be lost.
    """
    setup = prepare(job)
    with fitting_threads(setup.task.new_model()):
        return _serve(job, setup, Path(folder), overwrite, command)


def _serve(job: Job, setup: Setup, folder: Path, overwrite: bool, command: str) -> Evidence:
    engine = Engine(
        job.seed,
        job.engine.device,
        job.engine.precision,
        folder / "work",
        job.engine.checkpoint_seconds,
        job.engine.checkpoint_steps,
    )
    check_folder(folder, job.text, overwrite)
    engine.wait()  # all processes have looked before one writes
    if engine.is_main:
        if overwrite:
            clear_folder(folder, job.text)
        write_text(folder / JOB, job.text)
        if isinstance(job.request, GraphRequest):
            store_request(folder / "request.json", job.request, setup.split)
    engine.wait()
    original, seconds = setup.original, None
    if original is None:
        original, seconds = trained(setup.task, setup.everything, job.training, engine)
    comparison = compare(
        original,
        setup.task,
        setup.split,
        job.methods,
        engine,
        retrain=job.training if job.retrained else None,
        golds=job.retrained,
        original_seconds=seconds,
    )
    delivered = comparison.subjects[job.deliver].model
    if engine.is_main:
        for name, subject in comparison.subjects.items():
            write_weights(folder / "models" / f"{name}.safetensors", subject.model.state_dict())
    lists = write_index(folder, setup.source, setup.task, delivered, setup.split) if engine.is_main else ""
    evidence = _evidence(job, setup, comparison, engine, command, lists)
    write_results(folder, evidence, delivered, engine, served(comparison, job.deliver))
    if engine.is_main:
        shutil.rmtree(folder / "work", ignore_errors=True)
    return evidence


def _evidence(job: Job, setup: Setup, comparison: Comparison, engine: Engine, command: str, note: str) -> Evidence:
    request = job.request.describe(setup.total)
    case = to_case([comparison], request, forgotten_words(job, setup))
    notes = [each for each in (setup.source.note, note) if each]
    title = job.title or f"Forgetting {request} of {setup.source.name}"
    return evidence_of([case], title, yaml.safe_load(job.text), engine, notes, command)


_UNITS = {LinkPredictionTask: "edges", NodeClassificationTask: "nodes", RecommendationTask: "pairs"}


def forgotten_words(job: Job, setup: Setup) -> str:
    """What had to go, for people."""
    total, gone = setup.total, setup.split.forget.examples  # type: ignore[attr-defined]
    what = job.request.describe(total)
    unit = _UNITS.get(type(setup.task), "examples")
    return f"{what} of {setup.source.name}: {gone:,} of {total:,} training {unit}"
