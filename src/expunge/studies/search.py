"""Light networks by search: found cells beside cells drawn by chance and networks that people made, and persons who withdraw.

Data: the embedded digits; photographs of CIFAR-10 and the London faces, where `EXPUNGE_DATA` holds them; and synthetic
micro-expressions on the London faces, with controls that say what an input without motion, or a single frame, tells already.
The last tables are of persons who are forgotten from the network that was found for those clips. All of it runs unless `data`
names one of `SETS`.

    expunge study search --data digits
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import nn

from expunge.data import available
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored, figures_json
from expunge.report.search_study import RANDOM, by_hand, chance_words, decided_words, hand_words, over_chance, search_evidence
from expunge.report.study_json import plain
from expunge.search.faces import MicroSettings, control_scores, read_london
from expunge.search.faces.linear import COMPONENTS, PENALTY
from expunge.search.gradient_search import GradientSearch
from expunge.studies.machine import fitting_threads, machine
from expunge.studies.search_cells import compared
from expunge.studies.search_forgetting import Augmented, forgotten, methods_for
from expunge.studies.search_scenarios import CLIPS, FOLDS, FOUND, WIDE, CellScenario, cifar10, clips, digits, london
from expunge.studies.study import Budget, FigureStudied, Study, check_seeds

CONTROLS = "controls of the synthetic clips"
LEAVING = {"a person withdraws": 1, "ten persons withdraw": 10}
SETS: dict[str, Callable[[Budget], CellScenario]] = {"digits": digits, "cifar10": cifar10, "london": london, "clips": clips}

Say = Callable[[str], None]


@dataclass(frozen=True)
class SearchStudy(Study):
    """See the module."""

    default_data: ClassVar[str] = "digits"

    def run(
        self,
        seeds: int = 1,
        budget: Budget = "quick",
        data: str | None = None,
        folder: str | Path | None = None,
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        say: Say = lambda line: None,
    ) -> FigureStudied:
        check_seeds(seeds)
        with fitting_threads(nn.Identity()):
            return self._run(seeds, budget, data, folder, device, say)

    def _run(
        self,
        seeds: int,
        budget: Budget,
        data: str | None,
        folder: str | Path | None,
        device: Literal["cpu", "cuda", "auto"],
        say: Say,
    ) -> FigureStudied:
        scenarios, notes = self.scenarios(data, budget)
        found: dict[str, list[dict[str, Scored]]] = {}
        engine = Engine(0, device)
        for seed in range(seeds):
            work = None if folder is None else Path(folder) / "work" / f"seed-{seed}"
            engine = Engine(seed, device, folder=work)
            for scenario in scenarios:
                for title, rows in _cases(scenario, engine, partial(_said, say, f"seed {seed}, {scenario.title}")):
                    found.setdefault(title, []).append(rows)
        words = {scenario.title: scenario.words() for scenario in scenarios} | _WORDS
        cases = [FigureCase(title, words[title], rows) for title, rows in found.items()]
        evidence = search_evidence(
            f"Study search on {', '.join(scenario.title for scenario in scenarios)}",
            cases,
            {case.title: remarks for case in cases if (remarks := _remarks(case, scenarios))},
            notes,
            self.command(data, budget, seeds),
            machine(engine),
            {scenario.title: scenario.settings() for scenario in scenarios} | _forgetting_settings(scenarios),
        )
        return FigureStudied(evidence, _json(evidence, "-".join(data for data in _names(scenarios)), budget, seeds))

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
        *(words for name in (FOUND, WIDE) if name in case.methods for words in hand_words(case, name)),
    ]


def _forgetting_settings(scenarios: list[CellScenario]) -> dict[str, Any]:
    of_clips = [each for each in scenarios if each.title == CLIPS]
    methods = methods_for(Augmented.from_recipe(of_clips[0].recipe)) if of_clips else {}
    return {"forgetting": {name: repr(method) for name, method in methods.items()}} if methods else {}


def _names(scenarios: list[CellScenario]) -> list[str]:
    return [scenario.title.replace(" ", "-") for scenario in scenarios]


def _json(evidence: FigureEvidence, data: str, budget: Budget, seeds: int) -> dict[str, Any]:
    """As other studies have it; seconds are of the CPU, to train a network, or of the clock, to make one."""
    seconds: dict[str, list[float]] = {}
    for case in evidence.cases:
        for name in case.methods:
            for metric in ("train_cpu_seconds", "seconds"):
                if not np.isnan(value := case.mean(name, metric)):
                    seconds.setdefault(name, []).append(value)
    chance: Mapping[str, Any] = {
        case.title: {
            name: over_chance(case, name) for name in case.methods if "search_cpu_seconds" in case.seeds[0][name].figures
        }
        for case in evidence.cases
        if RANDOM in case.methods
    }
    hands = {
        case.title: {name: by_hand(case, name) for name in (FOUND, WIDE) if name in case.methods}
        for case in evidence.cases
        if FOUND in case.methods
    }
    return {
        "study": "search",
        "data": data,
        "budget": budget,
        "seeds": seeds,
        "machine": plain(evidence.machine),
        "rows": figures_json(evidence),
        "seconds": {name: plain(float(np.mean(values))) for name, values in seconds.items()},
        "over_chance": plain(chance),
        "by_hand": plain(hands),
        "settings": plain(evidence.settings),
    }


def _said(say: Say, where: str, line: str) -> None:
    say(f"{where}: {line}")
