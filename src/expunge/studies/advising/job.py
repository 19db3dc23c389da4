"""Advice on a job: from its data to a folder with the advised model and the reasons. Killed and started again, it goes on."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.storage import write_text
from expunge.studies.advising.advising import ADVICE, Advice, Wanted, advise
from expunge.studies.advising.candidates import AtHand
from expunge.studies.comparison import trained
from expunge.studies.job import Job, job_text, parse_job
from expunge.studies.machine import fitting_threads
from expunge.studies.run import Setup, forgotten_words, prepare
from expunge.studies.run_folder import JOB, check_folder, clear_folder


@dataclass(frozen=True)
class AdviceJob:
    """A job to be advised on.

    Args:
        job: what to forget of which model.
        named: whether it names the methods to choose from; else all are candidates.
    """

    job: Job
    named: bool


def read_advice_job(path: str | Path) -> AdviceJob:
    """Read a job file in which `methods` may be left out, or `[auto]`, to choose from all.

    Raises:
        BadJob: naming file, line and field.
    """
    text = job_text(path)
    methods = _methods(text)
    if methods is None:
        text = f"{text.rstrip()}\nmethods: [auto]\n"
    return AdviceJob(parse_job(text, str(path)), methods not in (None, ["auto"]))


def advise_job(
    asked: AdviceJob,
    folder: str | Path,
    *,
    at_hand: AtHand = "retain",
    seconds: float | None = None,
    wanted: Wanted = "matches",
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Advice:
    """Advise on `asked` and leave the advised model, the report and advice.json in `folder`.

    Args:
        overwrite: replace a finished run, or a run of another job, that is in the folder.
        command: how a reader gets this report again.
        say: told what is being done, a line at a time.

    Raises:
        BadFile: if the folder holds something that would be lost.
    """
    job, folder = asked.job, Path(folder)
    setup = prepare(job)
    if at_hand == "part" and setup.original is None:
        raise BadSetting(
            "with a part of the data at hand the model cannot be trained again: give its weights as model: {weights: FILE}"
        )
    with fitting_threads(setup.task.new_model()):
        text = f"{job.text.rstrip()}\n# advise: at hand {at_hand}, wanted {wanted}, budget {seconds} s\n"
        return _serve(asked, setup, folder, text, at_hand, seconds, wanted, overwrite, command, say)


def _serve(
    asked: AdviceJob,
    setup: Setup,
    folder: Path,
    text: str,
    at_hand: AtHand,
    seconds: float | None,
    wanted: Wanted,
    overwrite: bool,
    command: str,
    say: Callable[[str], None],
) -> Advice:
    job, settings = asked.job, asked.job.engine
    engine = Engine(
        job.seed,
        settings.device,
        settings.precision,
        folder / "work",
        settings.checkpoint_seconds,
        settings.checkpoint_steps,
    )
    if (folder / ADVICE).exists() and not overwrite:
        raise BadFile(f"{folder} holds a finished run; give another folder with --out, or replace it with --overwrite")
    check_folder(folder, text, overwrite)
    if overwrite:
        clear_folder(folder, text)
        (folder / ADVICE).unlink(missing_ok=True)
    write_text(folder / JOB, text)
    original, took = setup.original, None
    if original is None:
        say("training the original")
        original, took = trained(setup.task, setup.everything, job.training, engine)
    advice = advise(
        original,
        setup.task,
        setup.split,
        retrain=job.training if job.retrained else None,
        at_hand=at_hand,
        engine=engine,
        seconds=seconds,
        wanted=wanted,
        candidates=job.methods if asked.named else None,
        golds=job.retrained or 1,
        original_seconds=took,
        forgotten=forgotten_words(job, setup),
        say=say,
    )
    title = job.title or f"Advice on forgetting {job.request.describe(setup.total)} of {setup.source.name}"
    advice.report(folder, advice.evidence(title, yaml.safe_load(text), command))
    shutil.rmtree(folder / "work", ignore_errors=True)
    return advice


def _methods(text: str) -> object:
    """What a job's text names as methods; None where it names none, or is no job."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return "unread"  # the reader of jobs says what is wrong
    return content.get("methods") if isinstance(content, dict) else "unread"
