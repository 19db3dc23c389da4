"""Data valuation: does what a point is said to be worth find wrong labels, and say what may go and what must come?

Data: handwritten digits and Adult, with a logistic regression; `full` adds ten thousand images of MNIST, by the features of a
small network.

    expunge study valuation --data people.csv --target income
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from expunge.data import Source, available, load
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored
from expunge.report.valuation_study import valuation_evidence
from expunge.studies.machine import machine
from expunge.studies.study import Budget, FigureStudy
from expunge.studies.valuation_scenarios import ONE_BY_ONE, Drawn, Labelled, Sizes, ValuationScenario, cheap, described, rivals
from expunge.valuation import Utility, ValuationMethod
from expunge.valuation.evaluation import curves, detect, stability

_ANOTHER = 1_000  # added to a seed, for the second valuation of the same points
_MANY, _LARGE = 2_000, 500  # points; numbers of an image
_REFERENCE = "tmc-shapley"  # whose CPU time others' is a share of
SIZES = {"digits": Sizes(300, 500, 300, 697), "mnist": Sizes(10_000, 2_000, 5_000, 10_000)}
USUAL = Sizes(600, 500, 600, 5_000)

Make = Callable[[Utility], ValuationMethod]


@dataclass(frozen=True)
class ValuationStudy(FigureStudy):
    """See the module.

    Args:
        target: of a table, the column of classes.
    """

    target: str | None = None

    default_data: ClassVar[str] = "digits"

    def compared(
        self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Callable[[str], None]
    ) -> tuple[FigureEvidence, str]:
        scenarios, notes = self.scenarios(data, budget)
        cases: dict[str, tuple[str, list[dict[str, Scored]]]] = {}
        for engine in engines:
            for scenario in scenarios:
                with engine.scope(scenario.source.name):
                    drawn = scenario.draw(engine.seed, engine)
                    found = compared(drawn, scenario.methods, engine, partial(_said, say, engine.seed))
                cases.setdefault(scenario.source.name, (described(drawn, scenario.source), []))[1].append(found)
        settings = {each.source.name: {"sizes": repr(each.sizes), "methods": list(each.methods)} for each in scenarios}
        evidence = valuation_evidence(
            f"Study valuation on {' and '.join(cases)}",
            [FigureCase(title, words, rows) for title, (words, rows) in cases.items()],
            notes,
            self.command(data, budget, len(engines)),
            machine(engines[-1]),
            settings,
        )
        return evidence, "-".join(cases)

    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """Of the CPU."""
        return [case.mean(method, "cpu_seconds")]

    def scenarios(self, data: str | None, budget: Budget) -> tuple[list[ValuationScenario], list[str]]:
        """What is valued, and what a reader must know of it."""
        if data is None and self.target is not None:
            raise BadSetting("study valuation: --target is a column of a table; name the table with --data")
        if data is not None:
            source = load(data, target=self.target, classes=True) if self.target else load(data)
            return [_scenario(source, data)], [note for note in [source.note] if note]
        found, notes = [_scenario(load("digits"), "digits")], []
        for name, wanted in (("adult", True), ("mnist", budget == "full")):
            if wanted and not available(name):
                notes.append(f"{name} was not found (EXPUNGE_DATA), and was left out.")
            elif wanted:
                found.append(_scenario(load(name), name))
                notes.append(found[-1].source.note)
        return found, [note for note in notes if note]


def _scenario(source: Source, name: str) -> ValuationScenario:
    """Large images by their features; of many points those methods alone that train few models."""
    sizes = SIZES.get(name, USUAL)
    methods = cheap() if sizes.valued > _MANY else rivals(True)
    return ValuationScenario(source, sizes, methods, len(source.input_shape) == 3 and math.prod(source.input_shape) > _LARGE)


def compared(drawn: Drawn, methods: Mapping[str, Make], engine: Engine, say: Callable[[str], None]) -> dict[str, Scored]:
    """Each method's row for one seed."""
    found = {}
    where = f"{engine.device} {torch.get_num_threads()}"
    next(iter(methods.values()))(_utility(drawn, engine)).fit(drawn.train.X, drawn.train.y)  # the first row pays for no imports
    for name, make in methods.items():
        say(f"{name}: {len(drawn.train.y):,} points")
        key = f"{_chosen(make(_utility(drawn, engine)))} {_digest(drawn)} {where}"
        found[name] = Scored(**engine.remember(name, key, partial(_row, drawn, make, name, engine)))
    reference = found.get(_REFERENCE)
    if reference is not None:
        for row in found.values():
            row.figures["cpu_share"] = row.figures["cpu_seconds"] / reference.figures["cpu_seconds"]
    return found


def _row(drawn: Drawn, make: Make, name: str, engine: Engine) -> dict[str, Any]:
    """All figures of one method, as plain values."""
    method = make(_utility(drawn, engine))
    values = method.fit(drawn.train.X, drawn.train.y)
    found = detect(values.values, drawn.train.wrong)
    unseen = detect(method.value_of(drawn.unseen.X, drawn.unseen.y), drawn.unseen.wrong)
    tested = _utility(drawn, engine, drawn.test).on(drawn.train.X, drawn.train.y)
    lines = curves(tested, values.values)
    kinds = ("removal_high", "removal_low")  # additions are the same models, from the other end
    figures = {
        "auroc": found.auroc,
        "precision_at_k": found.precision,
        "f1": found.f1,
        "unseen_auroc": unseen.auroc,
        **{kind: float(np.mean(getattr(lines, kind))) for kind in kinds},
        "trainings": float(values.cost.trainings),
        "cpu_seconds": values.cost.cpu_seconds,
    }
    if name != ONE_BY_ONE:  # draws what its twin draws
        again = make(_utility(drawn, engine, another=_ANOTHER)).fit(drawn.train.X, drawn.train.y)
        figures["stability"] = stability([values.values, again.values])
    return {"figures": figures, "curves": {kind: getattr(lines, kind).tolist() for kind in kinds}}


def _utility(drawn: Drawn, engine: Engine, judges: Labelled | None = None, another: int = 0) -> Utility:
    part = judges or drawn.valid
    return Utility(valid=(part.X, part.y), seed=engine.seed + another, device=str(engine.device))


def _chosen(method: ValuationMethod) -> str:
    """All settings of a method, and what it trains."""
    settings = {field.name: getattr(method, field.name) for field in fields(method) if field.name != "utility"}
    return f"{method.name} {settings!r} {method.utility.learner!r}"


def _digest(drawn: Drawn) -> str:
    """Tells what a seed dealt out from all else."""
    digest = hashlib.sha256()
    for part in (drawn.train, drawn.valid, drawn.unseen, drawn.test):
        for values in (part.X, part.y):
            digest.update(repr((values.shape, values.dtype.str)).encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _said(say: Callable[[str], None], seed: int, line: str) -> None:
    say(f"seed {seed}: {line}")
