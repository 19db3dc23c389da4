"""Light networks by search: found cells beside cells drawn by chance and networks that people made, and persons who withdraw.

Data: the embedded digits; photographs of CIFAR-10 and the London faces, where `EXPUNGE_DATA` holds them; and synthetic
micro-expressions on the London faces, with controls that say what an input without motion, or a single frame, tells already.
The last tables are of persons who are forgotten from the network that was found for those clips. All of it runs unless `data`
names one of `SETS`.

    expunge study search --data digits
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from expunge.data import available
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored
from expunge.report.search_study import RANDOM, by_hand, chance_words, decided_words, hand_words, over_chance, search_evidence
from expunge.report.study_json import plain
from expunge.search.faces import MicroSettings, control_scores, read_london
from expunge.search.faces.linear import COMPONENTS, PENALTY
from expunge.search.gradient_search import GradientSearch
from expunge.studies.machine import machine
from expunge.studies.search_cells import compared
from expunge.studies.search_forgetting import Augmented, forgotten, methods_for
from expunge.studies.search_scenarios import CLIPS, FOLDS, FOUND, CellScenario, cifar10, clips, digits, london
from expunge.studies.study import Budget, FigureStudy

CONTROLS = "controls of the synthetic clips"
LEAVING = {"a person withdraws": 1, "ten persons withdraw": 10}
SETS: dict[str, Callable[[Budget], CellScenario]] = {"digits": digits, "cifar10": cifar10, "london": london, "clips": clips}

Say = Callable[[str], None]


@dataclass(frozen=True)
class SearchStudy(FigureStudy):
    """See the module."""

    default_data: ClassVar[str] = "digits"

    def compared(self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Say) -> tuple[FigureEvidence, str]:
        scenarios, notes = self.scenarios(data, budget)
        found: dict[str, list[dict[str, Scored]]] = {}
        for engine in engines:
            for scenario in scenarios:
                for title, rows in _cases(scenario, engine, partial(_said, say, f"seed {engine.seed}, {scenario.title}")):
                    found.setdefault(title, []).append(rows)
        words = {scenario.title: scenario.words() for scenario in scenarios} | _WORDS
        cases = [FigureCase(title, words[title], rows) for title, rows in found.items()]
        evidence = search_evidence(
            f"Study search on {', '.join(scenario.title for scenario in scenarios)}",
            cases,
            {case.title: remarks for case in cases if (remarks := _remarks(case, scenarios))},
            notes,
            self.command(data, budget, len(engines)),
            machine(engines[-1]),
            {scenario.title: scenario.settings() for scenario in scenarios} | _forgetting_settings(scenarios),
        )
        return evidence, "-".join(scenario.title.replace(" ", "-") for scenario in scenarios)

    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """Of the CPU to train a network, or of the clock to make one."""
        found = [case.mean(method, metric) for metric in ("train_cpu_seconds", "seconds")]
        return [value for value in found if not np.isnan(value)]

    def more(self, evidence: FigureEvidence) -> dict[str, Any]:
        """Each search beside chance, and found cells beside people's networks."""
        of_chance = {
            case.title: {name: over_chance(case, name) for name in case.methods if _searched(case, name)}
            for case in evidence.cases
            if RANDOM in case.methods
        }
        hands = {case.title: {FOUND: by_hand(case, FOUND)} for case in evidence.cases if FOUND in case.methods}
        return {"over_chance": plain(of_chance), "by_hand": plain(hands)}

    def scenarios(self, data: str | None, budget: Budget) -> tuple[list[CellScenario], list[str]]:
        """Which sets of images, and what a reader must know of them."""
        if data is not None and data not in SETS:
            raise BadSetting(f"study search has no data {data!r}; there are {', '.join(SETS)}")
        if data is not None:
            return [SETS[data](budget)], []
        there = [name for name in SETS if _there(name)]
        missing = [name for name in SETS if name not in there]
        notes = [f"{', '.join(missing)} were not found (EXPUNGE_DATA), and were left out."] if missing else []
        return [SETS[name](budget) for name in there], notes


_WORDS = {
    CONTROLS: "a linear model, trained on the same folds, told the clips as each input shows them",
    "a person withdraws": "the clips of one training person, three a seed, go from the network found in the first fold; "
    "the retrained one keeps the architecture, in whose choice that person had a part",
    "ten persons withdraw": "the clips of ten training persons, thirty a seed, go from that network; the retrained one keeps "
    "the architecture",
}


def _there(name: str) -> bool:
    if name in ("digits", "cifar10"):
        return available(name)
    try:
        read_london()
    except BadFile:
        return False
    return True


def _cases(scenario: CellScenario, engine: Engine, say: Say) -> list[tuple[str, dict[str, Scored]]]:
    """The tables of a set of images for one seed."""
    with engine.scope("".join(letter if letter.isalnum() else "-" for letter in scenario.title)):
        rows, cells = compared(scenario, engine, say)
        if scenario.title != CLIPS:
            return [(scenario.title, rows)]
        say("controls")
        tables = [(scenario.title, rows), (CONTROLS, _controls(engine))]
        genotype = cells[FOUND].genotypes[0]
        return tables + [(title, forgotten(scenario, genotype, count, engine, say)) for title, count in LEAVING.items()]


def _controls(engine: Engine) -> dict[str, Scored]:
    """What a linear model tells of each input."""

    def find() -> dict[str, dict[str, float]]:
        found = control_scores(faces.neutral, faces.landmarks, FOLDS, engine.seed, engine.seed)
        return {
            name: {"accuracy": each.accuracy, "uf1": each.uf1, "uar": each.uar, "chance": float(1 / len(each.classes))}
            for name, each in found.items()
        }

    faces = read_london()
    read = hashlib.sha256(faces.neutral.tobytes() + faces.landmarks.tobytes()).hexdigest()
    values = engine.remember("controls", f"{read} {FOLDS} folds {MicroSettings()} {COMPONENTS} {PENALTY} {engine.seed}", find)
    return {name: Scored(each) for name, each in values.items()}


def _remarks(case: FigureCase, scenarios: list[CellScenario]) -> list[str]:
    """What the figures of a case say."""
    scenario = next((each for each in scenarios if each.title == case.title), None)
    if scenario is None:
        return []
    by_gradients = {name: each for name, each in scenario.searches.items() if isinstance(each, GradientSearch)}
    return [
        *(chance_words(case, name, scenario.randoms) for name in scenario.searches if RANDOM in case.methods),
        *(decided_words(case, name, method.warn_below) for name, method in by_gradients.items()),
        *(hand_words(case, FOUND) if FOUND in case.methods else ()),
    ]


def _forgetting_settings(scenarios: list[CellScenario]) -> dict[str, Any]:
    of_clips = [each for each in scenarios if each.title == CLIPS]
    methods = methods_for(Augmented.from_recipe(of_clips[0].recipe)) if of_clips else {}
    return {"forgetting": {name: repr(method) for name, method in methods.items()}} if methods else {}


def _searched(case: FigureCase, name: str) -> bool:
    return "search_cpu_seconds" in case.seeds[0][name].figures


def _said(say: Say, where: str, line: str) -> None:
    say(f"{where}: {line}")
