"""The folder of a run: what was asked, what came out, and the proof."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from expunge.audits import AUDITS, Audit
from expunge.engine import Engine
from expunge.errors import BadFile
from expunge.report.conclusion import conclusions
from expunge.report.evidence import Case, Evidence
from expunge.report.page import write_report
from expunge.report.statement import Served, write_statement
from expunge.report.verdict import failures, verdict
from expunge.split import stream_digest
from expunge.storage import weights_hash, write_json, write_text, write_weights
from expunge.studies.comparison import ORIGINAL, Comparison
from expunge.studies.machine import machine
from expunge.studies.recommendation_job import INDEX

JOB, AUDIT, STATEMENT = "job.yaml", "audit.json", "statement.html"
TRANSCRIPT, ANTI_SAMPLES = "transcript.json", "anti-samples"  # of language models; a file for each method that makes some
_FOLDERS = ("work", "models", "model", "adapter")
_FILES = ("model.safetensors", "history.jsonl", "report.html", STATEMENT, "request.json", INDEX, TRANSCRIPT, JOB)


def evidence_of(
    cases: Sequence[Case],
    title: str,
    settings: Mapping[str, Any],
    engine: Engine,
    notes: Sequence[str] = (),
    command: str = "",
    seeds: int = 1,
    audits: Sequence[Audit] = (),
) -> Evidence:
    """Put cases together with what a reader needs to judge them; `audits` are those that are not the library's own."""
    asked = [audit.figures for audit in AUDITS.values()] + [audit.figures for audit in audits]
    explanations = {metric: text for figures in asked for metric, text in figures.items()}
    return Evidence(title, tuple(cases), explanations, settings, machine(engine), tuple(notes), command, seeds)


def served(comparison: Comparison, name: str) -> Served:
    """What a statement says of the model of one row: hashes before and after, and a digest of the data."""
    before, after = comparison.subjects[ORIGINAL].model, comparison.subjects[name]
    data = hashlib.sha256(stream_digest(after.split).encode()).hexdigest()
    return Served(name, weights_hash(before), weights_hash(after.model), data)


def write_results(folder: Path, evidence: Evidence, model: nn.Module, engine: Engine, done: Served | None = None) -> Path:
    """Write model, audit, history, report and statement; returns the report's path. Only the main process writes."""
    if engine.is_main:
        write_weights(folder / "model.safetensors", model.state_dict())
    return write_record(folder, evidence, engine, done)


def write_record(folder: Path, evidence: Evidence, engine: Engine, done: Served | None = None) -> Path:
    """Write audit, history, report and statement; returns the report's path. Only the main process writes."""
    report = folder / "report.html"
    if engine.is_main:
        write_text(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in engine.history))
        write_report(evidence, report)
        write_statement(evidence, folder / STATEMENT, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", done)
        write_json(folder / AUDIT, audit_json(evidence))  # last: its presence says that the folder is whole
    return report


def check_folder(folder: Path, job: str, overwrite: bool) -> None:
    """See that a run may write into a folder.

    Args:
        job: the text of the job.
        overwrite: whether what is there may be replaced.

    Raises:
        BadFile: if a finished run, or the beginning of another job, would be lost, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise BadFile(f"{folder} is a file; give a folder for the run")
    if is_free(folder, job) or overwrite:
        return
    state = "a finished run" if (folder / AUDIT).exists() else "the beginning of another job"
    raise BadFile(f"{folder} holds {state}; give another folder with --out, or replace it with --overwrite")


def is_free(folder: Path, job: str) -> bool:
    """Whether nothing of a run is there, or only the beginning of this one."""
    begun = folder / JOB
    return not (folder / AUDIT).exists() and (not begun.exists() or begun.read_text() == job)


def clear_folder(folder: Path, job: str) -> None:
    """Remove another run's files; the beginning of this one is kept, to go on from."""
    if not is_free(folder, job):
        empty_folder(folder)


def empty_folder(folder: Path) -> None:
    """Remove all that a run leaves."""
    (folder / AUDIT).unlink(missing_ok=True)  # first: without it the folder does not count as whole
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in [*(folder / name for name in _FILES), *folder.glob(f"{ANTI_SAMPLES}*.jsonl")]:
        path.unlink(missing_ok=True)


def audit_json(evidence: Evidence) -> dict[str, Any]:
    """The audit for machines: every figure of every model with ideal, interval and note; its score on each class or band."""
    return {
        "title": evidence.title,
        "cases": [_case_json(case) for case in evidence.cases],
        "explanations": dict(evidence.explanations),
        "settings": dict(evidence.settings),
        "machine": dict(evidence.machine),
        "notes": list(evidence.notes),
        "command": evidence.command,
    }


def _case_json(case: Case) -> dict[str, Any]:
    rows, proven = [], conclusions(case)
    for row in case.rows:
        missed = failures(row, case)
        rows.append(
            {
                "model": row.name,
                "role": row.role,
                "failures": None if missed is None else [str(failure) for failure in missed],
                "proven": proven[row.name].words if row.name in proven else None,
                "figures": {
                    metric: {
                        "mean": value.mean,
                        "std": value.std,
                        "n": value.n,
                        "ideal": value.ideal,
                        "interval": value.interval,
                        "note": value.note,
                    }
                    for metric, value in row.values.items()
                },
                "groups": {} if row.curves is None else dict(row.curves.group_scores),
            }
        )
    return {"title": case.title, "forgotten": case.forgotten, "verdict": verdict(case), "rows": rows}
