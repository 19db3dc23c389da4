"""The folder of a run: what was asked, what came out, and the proof."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from expunge.audits import AUDITS, Audit
from expunge.engine import Engine
from expunge.report.evidence import Case, Evidence
from expunge.report.page import write_report
from expunge.report.verdict import failures, verdict
from expunge.storage import write_json, write_text, write_weights
from expunge.studies.machine import machine


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


def write_results(folder: Path, evidence: Evidence, model: nn.Module, engine: Engine) -> Path:
    """Write model, audit, history and report; returns the report's path. Only the main process writes."""
    report = folder / "report.html"
    if engine.is_main:
        write_weights(folder / "model.safetensors", model.state_dict())
        write_text(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in engine.history))
        write_report(evidence, report)
        write_json(folder / "audit.json", audit_json(evidence))  # last: its presence says that the folder is whole
    return report


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
    rows = []
    for row in case.rows:
        missed = failures(row, case)
        rows.append(
            {
                "model": row.name,
                "role": row.role,
                "failures": None if missed is None else [str(failure) for failure in missed],
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
