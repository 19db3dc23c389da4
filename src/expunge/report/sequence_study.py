"""The figures of the study of sequences, and what they say: whether errors add up, and whether the rule fired in time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.report.figure_study import Column, FigureCase, FigureEvidence
from expunge.report.sequence_study_plots import AT_ONCE, REFERENCES, drawings

_DRIFT = (
    "drift after request {}: distance of the answers to two retrained models', in units of the distance between these; "
    "1 is chance"
)
_FARTHEST = (
    "largest distance of a judged figure from the retrained model's after request {}, in units of what is allowed; "
    "above 1 the verdict fails"
)

COLUMNS = (
    *(
        Column(f"drift_{number}", f"drift, {number}", 2, "low", _DRIFT.format(number), narrow=number in (1, 10))
        for number in range(1, 11)
    ),
    *(
        Column(f"farthest_{number}", f"farthest, {number}", 2, "low", _FARTHEST.format(number), narrow=number in (1, 10))
        for number in range(1, 11)
    ),
    Column("missed", "checks missed", 1, "low", "checks of the verdict that are missed after the last request", contest=False),
    Column(
        "forgotten",
        "forgotten",
        3,
        "",
        "score on all that went, after the last request: of links the AUC of retained against deleted ones, of recommendations "
        "the recall; the retrained model's is ideal",
        contest=False,
    ),
    Column(
        "unseen", "unseen", 3, "", "score on unseen data after the last request; the retrained model's is ideal", contest=False
    ),
    Column(
        "membership_auc",
        "attack AUC",
        3,
        "",
        "of an attacker who tells all that went from unseen examples by the loss, after the last request",
        contest=False,
    ),
    Column(
        "seconds_ratio", "time ÷ retraining", 2, "low", "wall time of all requests, in units of one retraining", contest=False
    ),
)
READING = (
    "Rows that end in “at once” serve all requests up to then together, from the original; the others serve one after another, "
    "each from what the last one left. Retrained models are without all that went up to then."
)


def sequence_evidence(
    title: str,
    cases: Sequence[FigureCase],
    remarks: Mapping[str, Sequence[str]],
    notes: Sequence[str],
    command: str,
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> FigureEvidence:
    """All that the page shows."""
    return FigureEvidence(
        title,
        "Requests one after another",
        COLUMNS,
        cases,
        READING,
        drawings,
        exempt=REFERENCES,
        notes=notes,
        remarks=remarks,
        command=command,
        machine=machine,
        settings=settings,
    )


def in_turn(case: FigureCase) -> list[str]:
    """The methods that served requests one after another."""
    return [name for name in case.methods if name not in REFERENCES and not name.endswith(AT_ONCE)]


def rule_found(cases: Sequence[FigureCase]) -> dict[str, Any]:
    """Of each sequence and seed the request from which on the verdict failed, and the one after which the rule fired; and
    how often it was in time."""
    sequences = {
        case.title: {
            name: {metric: case.found(name, metric).tolist() for metric in ("fails_at", *FIRES)} for name in in_turn(case)
        }
        for case in cases
    }
    found = [each for methods in sequences.values() for each in methods.values()]
    return {"sequences": sequences, "in_time": {metric: in_time(found, metric) for metric in FIRES}}


FIRES = ("fires_at", "seconds_fires_at", "score_fires_at", "membership_fires_at", "drift_fires_at")


def in_time(sequences: Sequence[Mapping[str, Sequence[float]]], metric: str) -> dict[str, int]:
    """How many sequences failed, in how many of them the rule had fired by then, and in how many that never failed it fired.

    >>> in_time([{"fails_at": [5.0, math.inf], "fires_at": [2.0, 3.0]}, {"fails_at": [2.0], "fires_at": [5.0]}], "fires_at")
    {'failed': 2, 'in_time': 1, 'never_failed': 1, 'needlessly': 1}
    """
    pairs = [pair for each in sequences for pair in zip(each["fails_at"], each[metric], strict=True)]
    failed = [(fails, fires) for fails, fires in pairs if math.isfinite(fails)]
    others = [fires for fails, fires in pairs if not math.isfinite(fails)]
    return {
        "failed": len(failed),
        "in_time": sum(fires <= fails for fails, fires in failed),
        "never_failed": len(others),
        "needlessly": sum(math.isfinite(fires) for fires in others),
    }


def rule_words(case: FigureCase) -> list[str]:
    """What the rule did in a case, a sentence for each method."""
    return [_of_method(case, name) for name in in_turn(case)]


def _of_method(case: FigureCase, name: str) -> str:
    fails, fires = (case.found(name, metric).tolist() for metric in ("fails_at", "fires_at"))
    first = min(LIMITS, key=lambda limit: float(case.found(name, f"{limit}_fires_at").min()))
    why = f", first for {LIMITS[first]}" if math.isfinite(float(case.found(name, f"{first}_fires_at").min())) else ""
    if len(fails) > 1:
        return (
            f"{name}, seed by seed: the verdict fails from request {_places(fails)} on; "
            f"the rule says to retrain after request {_places(fires)}{why}."
        )
    failed = f"the verdict fails from request {fails[0]:g} on" if math.isfinite(fails[0]) else "the verdict does not fail"
    fired = f"says to retrain after request {fires[0]:g}" if math.isfinite(fires[0]) else "does not say to retrain"
    return f"{name}: {failed}; the rule {fired}{why}."


LIMITS = {"seconds": "the time", "score": "the score on unseen data", "membership": "the attack", "drift": "the drift"}


def _places(values: Sequence[float]) -> str:
    """Requests of the seeds, in words."""
    return ", ".join(f"{value:g}" if math.isfinite(value) else "never" for value in values)
