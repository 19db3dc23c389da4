"""One run on a language model: a job from its facts to its folder. Killed and started again, it goes on where it was."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from expunge.audits import Audit
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.language.adapters import is_adapted, save_adapter
from expunge.language.fact_split import FactSplit
from expunge.methods import Method
from expunge.models.pretrained import write_language_model
from expunge.report.evidence import Answered, Evidence
from expunge.storage import write_json, write_text
from expunge.studies.comparison import ORIGINAL, Comparison, compare, default_audits, to_case
from expunge.studies.language_job import LanguageJob, LanguageSetup, prepare
from expunge.studies.machine import fitting_threads
from expunge.studies.run_folder import (
    ANTI_SAMPLES,
    JOB,
    TRANSCRIPT,
    check_folder,
    clear_folder,
    empty_folder,
    evidence_of,
    served,
    write_record,
)
from expunge.tasks import LanguageTask

Say = Callable[[str], None]

_GOES, _HELD_OUT = "had to go", "had to go, in words that no method saw"
_STAYS = (("same subject", 5), ("same object", 4), ("other", 12))  # how many of them are asked, 12 in all
_SHOWN = 16  # facts that had to go, on the page
_LARGE = 500_000_000  # parameters, from which on no audit is to copy them
_COPYING = ("relearning", "relearned-half", "balance", "rounding", "anamnesis")
_TOO_LARGE = (
    "The model was not trained again on what it forgot, nor rounded to 4 bits, which would need copies of its weights: whether "
    "the facts come back so is not known."
)


class _Told(list[dict[str, Any]]):
    """A history that tells of each round as it is written down."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def append(self, row: dict[str, Any]) -> None:
        super().append(row)
        if "round" in row:
            near = f", {row['kept']:,} of {row['stays']:,} others kept" if row.get("kept") is not None else ""
            self._say(
                f"round {row['round']}: {row['asked']:,} questions asked, {row['known']:,} still known; "
                f"{row['facts'] - row['known_facts']:,} of {row['facts']:,} facts gone{near}"
            )


def run_language(
    job: LanguageJob, folder: str | Path, overwrite: bool = False, command: str = "", say: Say = lambda line: None
) -> Evidence:
    """Make a language model forget the facts of `job`, and leave everything in `folder`.

    Args:
        overwrite: replace a finished run, or a run of another job, that is in the folder.
        command: how a reader gets this report again.
        say: told a line after each round, and of facts that were not known before.

    Returns:
        what the report shows.

    Raises:
        BadFile: if the folder holds something that would be lost.
        BadRequest: if the model knows none of the facts that it is to forget.
        GeneratorFailed: if no anti-samples could be made; the same call again goes on with those that were.
    """
    folder = Path(folder)
    check_folder(folder, job.text, overwrite)
    setup = prepare(job)
    with fitting_threads(setup.model):
        return _serve(job, setup, folder, overwrite, command, say)


def _serve(job: LanguageJob, setup: LanguageSetup, folder: Path, overwrite: bool, command: str, say: Say) -> Evidence:
    chosen = job.engine
    engine = Engine(
        job.seed, chosen.device, chosen.precision, folder / "work", chosen.checkpoint_seconds, chosen.checkpoint_steps
    )
    engine.history = _Told(say)
    begun = (folder / JOB).exists()
    engine.wait()  # all processes have looked before one writes
    if engine.is_main:
        if overwrite:
            clear_folder(folder, job.text)
        write_text(folder / JOB, job.text)
    engine.wait()
    setup.model.to(engine.device)
    asked = list(_asked(setup.split))
    before = _said(setup.task, setup.model, asked)
    notes = list(_unknown(setup.split, before, asked))
    for note in notes:
        say(note)
    try:
        comparison = compare(setup.model, setup.task, setup.split, job.methods, engine, audits=_audits(setup))
    except BadRequest:
        if engine.is_main and not begun:  # nothing came of it, so nothing stays
            empty_folder(folder)
            with suppress(OSError):
                folder.rmdir()
        raise
    models = {name: subject.model for name, subject in comparison.subjects.items() if name != ORIGINAL}
    after = _said(setup.task, next(iter(models.values())), asked)
    transcript = [_answered(setup.split, *each) for each in zip(asked, before, after, strict=True)]
    if engine.is_main:
        write_json(folder / TRANSCRIPT, [asdict(row) for row in transcript])
        notes += _write_models(models, setup.task.tokenizer, folder)
        notes += _keep_anti_samples(folder, job.methods)
    notes += [_TOO_LARGE] if _is_large(setup.model) else []
    evidence = _evidence(job, setup, comparison, engine, [*_warnings(job.methods), *notes], command)
    evidence = replace(evidence, transcript=tuple(_shown(transcript)))
    write_record(folder, evidence, engine, served(comparison, next(iter(models))))
    if engine.is_main:
        shutil.rmtree(folder / "work", ignore_errors=True)
    return evidence


def _is_large(model: nn.Module) -> bool:
    return sum(each.numel() for each in model.parameters()) > _LARGE


def _audits(setup: LanguageSetup) -> list[Audit]:
    """All that apply; of a large model those alone that need no copy of its weights."""
    found = default_audits(setup.task, setup.split)
    return [each for each in found if not (_is_large(setup.model) and each.name in _COPYING)]


# ---- what is asked, and what is said ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    part: str
    goes: bool
    fact: Fact
    question: str


def _asked(split: FactSplit) -> Iterator[_Asked]:
    """All questions on what goes, those first that methods see, and one on each of some facts that stay, nearest first."""
    yield from (_Asked(_GOES, True, fact, question) for fact in split.goes for question in fact.questions)
    yield from (_Asked(_HELD_OUT, True, fact, question) for fact in split.goes for question in fact.held_out)
    room = _STAYS[-1][1]
    for how, most in _STAYS:
        near = split.near(how)[: min(most, room)]  # type: ignore[arg-type]
        room -= len(near)
        words = {"same subject": "on the same subject", "same object": "with the same answer"}.get(how, "on something else")
        yield from (_Asked(f"stays, {words}", False, fact, fact.question) for fact in near)


def _said(task: LanguageTask, model: nn.Module, asked: Sequence[_Asked]) -> list[str]:
    return [said.text for said in task.answer(model, [each.question for each in asked])]


def _answered(split: FactSplit, asked: _Asked, before: str, after: str) -> Answered:
    known = [split.known(asked.fact, said) for said in (before, after)]
    return Answered(asked.part, asked.goes, asked.question, asked.fact.answer, before, after, *known)


def _shown(transcript: Sequence[Answered]) -> Iterator[Answered]:
    """What the page shows of a transcript: of each part on what went only the first questions."""
    count: dict[str, int] = {}
    for row in transcript:
        count[row.part] = count.get(row.part, 0) + 1
        if not row.goes or count[row.part] <= _SHOWN:
            yield row


def _unknown(split: FactSplit, before: Sequence[str], asked: Sequence[_Asked]) -> Iterator[str]:
    """A note that names the facts of which the model answered no question."""
    known = {id(each.fact) for each, said in zip(asked, before, strict=True) if each.goes and split.known(each.fact, said)}
    names = [repr(fact.question) for fact in split.goes if id(fact) not in known]
    if names:
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        yield (
            f"Not known before, and so not forgotten either: {len(names):,} of the {len(split.goes):,} facts, "
            f"{', '.join(names[:5])}{more}."
        )


# ---- what is left in the folder -----------------------------------------------------------------------------------


def _write_models(models: Mapping[str, nn.Module], tokenizer: Any, folder: Path) -> Iterator[str]:
    """Each as an adapter alone or whole, the first one in the folder itself; a note on those that change no weights."""
    for number, (name, model) in enumerate(models.items()):
        place = folder if number == 0 else folder / "models" / name
        if is_adapted(model):
            save_adapter(model, place / "adapter")
        elif hasattr(type(model), "save_pretrained"):
            write_language_model(model, tokenizer, place / "model")
        else:
            yield f"{name} leaves the weights as they were, so there is no model of it here."


def _keep_anti_samples(folder: Path, methods: Mapping[str, Method]) -> list[str]:
    """Copy what generators made out of the folder for checkpoints; a note that says what is in it."""
    kept = []
    for number, name in enumerate(methods):
        for path in sorted((folder / "work" / name).rglob(f"{ANTI_SAMPLES}.jsonl")):
            file = f"{ANTI_SAMPLES}.jsonl" if number == 0 else f"{ANTI_SAMPLES}-{name}.jsonl"
            shutil.copyfile(path, folder / file)
            kept.append(file)
    private = f"This report and {TRANSCRIPT} show the facts that had to go: keep them as you would keep the facts."
    if not kept:
        return [private]
    files = " and ".join(kept)
    return [private, f"{files}: the facts again, and what was made up on them, which may be false. Do not pass it on."]


def _warnings(methods: Mapping[str, Method]) -> Iterator[str]:
    """A sentence where a method teaches a model what is not true."""
    teach = [
        name
        for name, method in methods.items()
        if hasattr(method, "generator") and getattr(method, "wrong_answers", "pool") != "refusal"
    ]
    if teach:
        yield (
            f"{' and '.join(teach)} taught the model wrong answers: what it says now of what had to go may be false by design. "
            "Where that may not be, as with people who live, let it refuse instead."
        )


def _evidence(
    job: LanguageJob, setup: LanguageSetup, comparison: Comparison, engine: Engine, notes: Sequence[str], command: str
) -> Evidence:
    goes, total = len(setup.split.goes), len(setup.split.goes) + len(setup.split.stays)
    questions = sum(len(fact.questions) for fact in setup.split.goes)
    what = f"{goes:,} fact{'s' if goes != 1 else ''}"
    case = to_case([comparison], what, f"{what} of {total:,}, asked in {questions:,} ways")
    title = job.title or f"Forgetting {what} of {job.model.name}"
    settings = {
        **yaml.safe_load(job.text),
        "length": setup.task.length,
        "new_tokens": setup.task.new_tokens,
        "methods in full": {name: repr(method) for name, method in job.methods.items()},
    }
    return evidence_of([case], title, settings, engine, notes, command)
