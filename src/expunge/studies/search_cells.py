"""One seed of a set of images in the study of searches: every search, cells drawn by chance, and networks that people made.

Each cell is trained anew on all training images of its fold, by the same recipe as its rivals. Right and wrong are counted over
the tests of all folds. Networks are timed one after another, when all are trained.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.modes import evaluating
from expunge.report.figure_study import Scored
from expunge.report.search_study import RANDOM
from expunge.search import Genotype, MobileNetV3Small, cost_report, search, train
from expunge.search.faces import scores
from expunge.split import Batches
from expunge.studies.search_scenarios import REFERENCE, CellScenario, Drawn
from expunge.studies.searching import batch_size_for

Say = Callable[[str], None]
Build = Callable[[], nn.Module]
_AT_ONCE = 256


@dataclass(frozen=True)
class Cells:
    """What one search found: a genotype and its facts for each fold."""

    genotypes: tuple[Genotype, ...]
    facts: tuple[dict[str, Any], ...]


def compared(scenario: CellScenario, engine: Engine, say: Say) -> tuple[dict[str, Scored], dict[str, Cells]]:
    """Each row for one seed, and what the searches found."""
    drawn = scenario.draw(engine.seed)
    key = f"{drawn.digest()} {scenario.space!r} {engine.device}"
    found = {name: searched(scenario, drawn, name, engine, key, say) for name in scenario.searches}
    builds: dict[str, list[Build]] = {
        name: [partial(scenario.space.build, genotype) for genotype in cells.genotypes] for name, cells in found.items()
    }
    generator = engine.generator("random cells")
    chances = [f"{RANDOM}-{place + 1}" for place in range(scenario.randoms)]
    for name in chances:
        builds[name] = [partial(scenario.space.build, scenario.space.random(generator))] * len(drawn.folds)
    builds |= {name: [build] * len(drawn.folds) for name, build in scenario.hands.items()}
    rows = {name: trained(scenario, drawn, name, each, engine, key, say) for name, each in builds.items()}
    builds.setdefault(REFERENCE, [partial(MobileNetV3Small, drawn.shape, len(drawn.classes))])
    named = {name: [_named(build) for build in each] for name, each in builds.items()}
    costs = engine.remember("costs", f"{drawn.shape} {engine.device} {named}", partial(costs_of, builds, drawn))
    for name, cost in costs.items():
        share = {"latency_share": cost["latency"] / costs[REFERENCE]["latency"]}
        rows[name] = rows.get(name, {}) | cost | share
    scored = {name: _of_search(rows[name], cells) for name, cells in found.items()}
    scored |= {RANDOM: by_chance([rows[name] for name in chances])} if chances else {}
    return scored | {name: Scored(rows[name]) for name in (*scenario.hands, REFERENCE)}, found


def searched(scenario: CellScenario, drawn: Drawn, name: str, engine: Engine, key: str, say: Say) -> Cells:
    """A search in every fold, which sees that fold's training images alone."""
    genotypes, facts = [], []
    for number, fold in enumerate(drawn.folds):
        say(f"{name} searches, fold {number + 1} of {len(drawn.folds)}")
        with engine.scope(f"{name}-{number}"):
            chosen = f"{key} {_chosen(scenario, name)} fold {number}"
            values = engine.remember("found", chosen, partial(_search, scenario, drawn, name, fold, engine))
        genotypes.append(Genotype.from_json(values["genotype"]))
        facts.append(values)
    return Cells(tuple(genotypes), tuple(facts))


def _chosen(scenario: CellScenario, name: str) -> str:
    """All settings of a search, those too that its own words leave out."""
    method = scenario.searches[name]
    hidden = [getattr(method, "augment", None), getattr(getattr(method, "recipe", None), "augment", None)]
    return f"{method!r} {hidden} batches of {scenario.recipe.batch_size}"


def _search(scenario: CellScenario, drawn: Drawn, name: str, fold: Any, engine: Engine) -> dict[str, Any]:
    size = batch_size_for(len(fold.weights), scenario.recipe.batch_size)
    data = tuple(Batches(TensorDataset(*drawn.part(rows)), size) for rows in (fold.weights, fold.architecture))
    clock = _Clock(engine)
    found = search(scenario.space, data, scenario.searches[name], engine)
    shown = [row["search"] for row in found.history if "search" in row]
    return {
        "genotype": found.genotype.as_json(),
        "steps": found.steps,
        "decided": min(found.decidedness.values()) if found.decidedness else None,
        "course": [min(each["decidedness"].values()) for each in shown],
        "course_steps": [each["architecture_steps"] for each in shown],
        "cpu_seconds": clock.seconds(),
    }


class _Clock:
    """CPU seconds of this process since it was made; not known where a part was done by one that was killed."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.earlier, self.started = engine, engine.resumed_seconds, time.process_time()

    def seconds(self) -> float | None:
        """None where they aren't known."""
        return time.process_time() - self.started if self.engine.resumed_seconds == self.earlier else None


def _mean(values: Sequence[float | None]) -> float:
    """Of those that are known; not a number where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def trained(
    scenario: CellScenario, drawn: Drawn, name: str, builds: Sequence[Build], engine: Engine, key: str, say: Say
) -> dict[str, float]:
    """A network in every fold: what it tells of the tests, and the CPU time of a training."""
    told, seconds = [], []
    for number, (fold, build) in enumerate(zip(drawn.folds, builds, strict=True)):
        say(f"training {name}, fold {number + 1} of {len(drawn.folds)}")
        with engine.scope(f"{name}-{number}"):
            chosen = f"{key} {scenario.recipe!r} {scenario.recipe.augment!r} {_named(build)} fold {number}"
            values = engine.remember("told", chosen, partial(_train, scenario, drawn, fold, build, engine))
        told += values["told"]
        seconds.append(values["cpu_seconds"])
    right = drawn.labels[np.concatenate([fold.test for fold in drawn.folds])]
    judged = scores(right, np.array(told), drawn.classes)
    return {
        "accuracy": judged.accuracy,
        "uf1": judged.uf1,
        "uar": judged.uar,
        "train_cpu_seconds": _mean(seconds),
    }


def _named(build: Build) -> str:
    """A network in words, with its genotype if it has one."""
    network = build()
    genotype = getattr(network, "genotype", None)
    return f"{type(network).__name__} {sum(each.numel() for each in network.parameters())} {genotype!r}"


def _train(scenario: CellScenario, drawn: Drawn, fold: Any, build: Build, engine: Engine) -> dict[str, Any]:
    network = engine.new_model(build)
    recipe = scenario.recipe
    batches = Batches(TensorDataset(*drawn.part(fold.train)), batch_size_for(len(fold.train), recipe.batch_size))
    clock = _Clock(engine)
    train(network, batches, engine, recipe)
    seconds = clock.seconds()
    images, _ = drawn.part(fold.test)
    with torch.no_grad(), evaluating(network):
        told = torch.cat([network(part.to(engine.device)).argmax(1).cpu() for part in images.split(_AT_ONCE)])
    return {"told": told.tolist(), "cpu_seconds": seconds}


def costs_of(builds: Mapping[str, Sequence[Build]], drawn: Drawn) -> dict[str, dict[str, float]]:
    """What each network costs, the mean over folds, measured one after another."""
    found = {}
    for name, each in builds.items():
        costs = [cost_report(build(), drawn.shape) for build in dict.fromkeys(each)]
        found[name] = {
            "parameters": float(np.mean([cost.parameters for cost in costs])),
            "most_parameters": float(max(cost.parameters for cost in costs)),
            "macs": float(np.mean([cost.macs for cost in costs])),
            "latency": float(np.mean([cost.latency_seconds[1, 1] for cost in costs])),
        }
    return found


def by_chance(rows: Sequence[Mapping[str, float]]) -> Scored:
    """Cells drawn by chance as one row: means, and the deviation of accuracy between them."""
    means = {name: float(np.mean([each[name] for each in rows])) for name in rows[0]}
    accuracies = [each["accuracy"] for each in rows]
    spread = {"deviation": float(np.std(accuracies, ddof=1))} if len(rows) > 1 else {}
    return Scored(
        means | spread, {"accuracy": accuracies, **{name: [each[name] for each in rows] for name in ("macs", "latency")}}
    )


def _of_search(figures: dict[str, float], cells: Cells) -> Scored:
    facts = cells.facts
    found = {"search_cpu_seconds": _mean([each["cpu_seconds"] for each in facts])}
    if facts[0]["decided"] is not None:
        found |= {name: float(np.mean([each[name] for each in facts])) for name in ("decided", "steps")}
    course = {
        "decided": np.mean([each["course"] for each in facts], 0).tolist(),
        "steps": facts[0]["course_steps"],
        "decided_each": [each["decided"] for each in facts],
    }
    return Scored(figures | found, course if course["steps"] else {})
