"""Requests one after another: how errors add up on one model, and when to retrain instead.

Ten requests are served in turn, each by what the last one left, on every kind of model: images, a table, nodes and edges of a
graph, users of a recommender, clients of a federation, facts of a language model. After some of them the model is held
against two that were retrained without all that went so far, and beside it the same method that serves all of it at once.
Data: MNIST, California housing, Cora and MovieLens where `EXPUNGE_DATA` holds them, or what is embedded in their place; digits
that are dealt out to clients; and, asked for by name or with the full budget, facts on people.

    expunge study sequence --data digits

A user's own sequence is served by :func:`forget_in_sequence`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from expunge.data import available
from expunge.data.graph_files import load_graph
from expunge.data.interaction_files import load_interactions
from expunge.engine import Engine
from expunge.errors import BadFile
from expunge.report.evidence import Case, Row
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored
from expunge.report.rules import rules
from expunge.report.sequence_study import LIMITS, rule_found, rule_words, sequence_evidence
from expunge.report.sequence_study_plots import AT_ONCE
from expunge.report.study_json import plain
from expunge.report.verdict import failures
from expunge.split import Split, stream_digest
from expunge.storage import weights_hash
from expunge.studies.comparison import RETRAINED, SECOND, Comparison, compare, to_case
from expunge.studies.machine import machine
from expunge.studies.sequences.drift import drifts
from expunge.studies.sequences.forgetting import RetrainRule, SequenceHistory, forget_in_sequence
from expunge.studies.sequences.scenarios import EMBEDDED, QUICK, Begun, SequenceScenario, scenarios_of
from expunge.studies.study import Budget, FigureStudy

RULE = RetrainRule()

Say = Callable[[str], None]


@dataclass(frozen=True)
class SequenceStudy(FigureStudy):
    """See the module."""

    default_data: ClassVar[str] = "mnist"

    def compared(self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Say) -> tuple[FigureEvidence, str]:
        scenarios, notes = self.scenarios(data, budget)
        found: dict[str, list[dict[str, Scored]]] = {}
        for engine in engines:
            for scenario in scenarios:
                rows = run(scenario, engine, partial(_said, say, f"seed {engine.seed}, {scenario.title}"))
                found.setdefault(scenario.title, []).append(rows)
        words = {scenario.title: scenario.words for scenario in scenarios}
        cases = [FigureCase(title, words[title], rows) for title, rows in found.items()]
        evidence = sequence_evidence(
            f"Study sequence on {', '.join(words)}",
            cases,
            {case.title: rule_words(case) for case in cases},
            notes,
            self.command(data, budget, len(engines)),
            machine(engines[-1]),
            {"rule": repr(RULE)} | {scenario.title: scenario.settings() for scenario in scenarios} | {"budget": budget},
        )
        return evidence, "-".join(title.replace(", ", "-").replace(" ", "-") for title in words)

    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """Of all requests together; of models that are retrained, of a single retraining."""
        value = case.mean(method, "seconds")
        return [] if math.isnan(value) else [value]

    def more(self, evidence: FigureEvidence) -> dict[str, Any]:
        """For each sequence when the verdict first failed and when the rule fired, and how often the rule was in time."""
        return {"rule": plain(rule_found(evidence.cases))}

    def scenarios(self, data: str | None, budget: Budget) -> tuple[list[SequenceScenario], list[str]]:
        """Which cases, and what a reader must know of their data."""
        if data is not None:
            return scenarios_of(data, budget), []
        chosen = [name if _there(name) else EMBEDDED[name] for name in QUICK]
        names = list(dict.fromkeys([*chosen, *(["personas"] if budget == "full" else [])]))
        missing = [name for name in QUICK if name not in chosen]
        notes = [f"{name} was not found (EXPUNGE_DATA); {EMBEDDED[name]} stands in its place." for name in missing]
        return [scenario for name in names for scenario in scenarios_of(name, budget)], notes


def _there(name: str) -> bool:
    """Whether data are there, embedded or in the folder of data."""
    readers: Mapping[str, Callable[[str], Any]] = {"cora": load_graph, "movielens-latest-small": load_interactions}
    if name not in readers:
        return name not in EMBEDDED or available(name)
    try:
        readers[name](name)
    except BadFile:
        return False
    return True


# ---- one case, one seed ------------------------------------------------------------------------------------------------------


def run(scenario: SequenceScenario, engine: Engine, say: Say) -> dict[str, Scored]:
    """Serve all requests by every method, and hold the model against retrained ones after some of them.

    Returns:
        figures by the name of the row: the original, the retrained models, each method one by one, and each at once.
    """
    with engine.scope("".join(letter if letter.isalnum() else "-" for letter in scenario.title)):
        say("training the original")
        begun = scenario.begin(engine)
        histories = {}
        for name, method in scenario.methods.items():
            say(f"{begun.requests.requests} requests by {name}")
            with engine.scope(name):
                histories[name] = forget_in_sequence(begun.original, begun.task, begun.requests, method, engine)
        found: dict[str, dict[str, float]] = {}
        for number in scenario.checkpoints:
            say(f"after request {number}: retraining twice, all at once, audits")
            with engine.scope(f"after-{number}"):
                _examine(scenario, begun, histories, number, engine, found)
    for name, history in histories.items():
        found[name] |= _fired(history, found, name, scenario.checkpoints[0])
    return {name: _scored(figures, found[SECOND], scenario.checkpoints) for name, figures in found.items()}


def _examine(
    scenario: SequenceScenario,
    begun: Begun,
    histories: Mapping[str, SequenceHistory],
    number: int,
    engine: Engine,
    found: dict[str, dict[str, float]],
) -> None:
    """Add to `found` the figures of all models after a request."""
    split = begun.requests.together(number)
    one_by_one = {
        name: (history.models[number - 1], sum(each.seconds for each in history.served[:number]))
        for name, history in histories.items()
    }
    comparison = compare(
        begun.original,
        begun.task,
        split,
        {**scenario.methods, **{f"{name}{AT_ONCE}": method for name, method in scenario.methods.items()}},
        engine,
        retrain=scenario.retrain,
        audits=scenario.audits,
        original_seconds=begun.seconds,
        made=one_by_one,
    )
    case, apart = to_case([comparison], scenario.title, scenario.words), _drifts(comparison, split, engine)
    for row in case.rows:
        figures = found.setdefault(row.name, {})
        figures |= _figures(row, case, number)
        figures |= {f"drift_{number}": apart[row.name]["drift"]} if row.name in apart else {}


def _drifts(comparison: Comparison, split: Split, engine: Engine) -> dict[str, dict[str, float]]:
    """Of all models but the retrained ones, whose drift is 1 by definition; a restarted run reads them."""
    golds = [comparison.subjects[name] for name in (RETRAINED, SECOND)]
    named = {name: each for name, each in comparison.subjects.items() if name not in (RETRAINED, SECOND)}

    def find() -> dict[str, dict[str, float]]:
        models = [each.model for each in named.values()]
        return dict(zip(named, drifts(models, [each.model for each in golds], golds[0].task, split), strict=True))

    weights = " ".join(weights_hash(each.model) for each in (*golds, *named.values()))
    found: dict[str, dict[str, float]] = engine.remember("drift", f"{weights} {stream_digest(split)}", find)
    return found


def _figures(row: Row, case: Case, number: int) -> dict[str, float]:
    """What is told of a model after a request: how far it is from the retrained one in the verdict's own units."""
    missed = failures(row, case)
    found = {f"farthest_{number}": farthest(row, case), f"missed_{number}": math.nan if missed is None else float(len(missed))}
    for metric, value in {"forgotten": _first(row, case, _FORGOTTEN), "unseen": _first(row, case, _UNSEEN)}.items():
        if value is not None:
            found |= {metric: value}
    for metric in ("membership_auc", "seconds", "seconds_ratio"):
        if (value := row.mean(metric)) is not None:
            found |= {metric: value}
    return found


_FORGOTTEN = ("deleted_retained_auc", "forget_recall", "facts_held_out", "forget_{score}")
_UNSEEN = ("link_auc", "recall", "facts_general", "holdout_{score}")


def _first(row: Row, case: Case, metrics: Sequence[str]) -> float | None:
    """The first of some metrics that a row has."""
    values = (row.mean(metric.format(score=case.score_name)) for metric in metrics)
    return next((value for value in values if value is not None), None)


def farthest(row: Row, case: Case) -> float:
    """The largest distance from the retrained model's figures, as a multiple of what is allowed: above 1 the verdict fails."""
    found = []
    for metric, rule in rules(case).items():
        value, limit = row.mean(metric), rule.limit(case)
        if value is None or not limit:
            continue
        distance = rule.distance(value, case) / limit
        found.append(math.inf if math.isnan(distance) else distance)
    return max(found, default=math.nan)


def _fired(history: SequenceHistory, found: Mapping[str, Mapping[str, float]], name: str, first: int) -> dict[str, float]:
    """After which request the rule, and each of its limits alone, says that retraining is due; infinite where it never does.

    The rule is told the drift after the first comparison alone, as by an owner who retrained once to know it.
    """
    seconds = found[RETRAINED]["seconds"]
    served = [replace(each, drift=found[name][f"drift_{first}"] if each.request == first else None) for each in history.served]
    known = replace(history, retraining_seconds=seconds, served=tuple(served))

    def fires(rule: RetrainRule) -> float:
        return next((float(k) for k in range(1, len(served) + 1) if rule.due(known.until(k))), math.inf)

    alone = {
        limit: RetrainRule(**{each: getattr(RULE, each) if each == limit else None for each in LIMITS}) for limit in LIMITS
    }
    return {"fires_at": fires(RULE)} | {f"{limit}_fires_at": fires(rule) for limit, rule in alone.items()}


def _scored(figures: dict[str, float], second: Mapping[str, float], checkpoints: Sequence[int]) -> Scored:
    """Figures with the checkpoint from which on the verdict fails, and the curves of drift and of distance over requests.

    It fails where a check is missed and the second retrained model is nearer. What fails once and matches again was chance: of
    few examples one more or less is soon too many.
    """
    missed = [
        figures[f"missed_{number}"] > 0 and figures[f"farthest_{number}"] > second[f"farthest_{number}"]
        for number in checkpoints
    ]
    matched = max((place for place, fails in enumerate(missed, 1) if not fails), default=0)
    fails = float(checkpoints[matched]) if matched < len(missed) else math.inf
    curves = {"requests": [float(number) for number in checkpoints]}
    for kind in ("drift", "farthest"):
        curves[kind] = [figures.get(f"{kind}_{number}", math.nan) for number in checkpoints]
    return Scored(figures | {"fails_at": fails, "missed": figures[f"missed_{checkpoints[-1]}"]}, curves)


def _said(say: Say, where: str, line: str) -> None:
    say(f"{where}: {line}")
