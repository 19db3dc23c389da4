"""Synthetic tables: which generator makes the best ones, by TabSynDex and by the field's other measures, and which copies.

Data: concrete, white wine and Adult, with what `EXPUNGE_DATA` holds of them; the diabetes patients of scikit-learn where it
holds none. Every generator learns the same rows.

    expunge study tabular --data people.csv --target income
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from expunge.data.table import read_frame
from expunge.data.whole_tables import WHOLE_TABLES
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored
from expunge.report.study_json import plain
from expunge.report.tabular_study import SPLIT, agreement, tabular_evidence
from expunge.studies.machine import machine
from expunge.studies.study import Budget, FigureStudy
from expunge.studies.tabular_scenarios import Drawn, TabularScenario, all_generators, halves, made
from expunge.tabular import TabSynDex

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

_OWN = ("concrete", "wine", "adult")
_ANYWHERE = "diabetes"
_FEWEST = 100  # rows


@dataclass(frozen=True)
class TabularStudy(FigureStudy):
    """See the module.

    Args:
        target: of a table, the column that models are trained to predict; no ML part without it.
    """

    target: str | None = None

    default_data: ClassVar[str] = "wine"

    def compared(
        self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Callable[[str], None]
    ) -> tuple[FigureEvidence, str]:
        scenarios, notes = self.scenarios(data, budget)
        found: dict[str, list[dict[str, Scored]]] = {scenario.name: [] for scenario in scenarios}
        for engine in engines:
            for scenario in scenarios:
                with engine.scope(scenario.name):
                    rows = compared(scenario, engine, partial(_said, say, f"seed {engine.seed}, {scenario.name}"))
                found[scenario.name].append(rows)
        cases = [FigureCase(each.name, described(each), found[each.name]) for each in scenarios]
        settings = {
            each.name: {name: repr(make(each.draw(0).classes)) for name, make in each.generators.items()} for each in scenarios
        }
        title, command = f"Study tabular on {' and '.join(found)}", self.command(data, budget, len(engines))
        return tabular_evidence(title, cases, notes, command, machine(engines[-1]), settings), "-".join(found)

    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """Of the CPU, to learn the table."""
        return [case.mean(method, "fit_cpu_seconds")]

    def more(self, evidence: FigureEvidence) -> dict[str, Any]:
        """Whether scores agree with other figures."""
        return {"agreement": {case.title: plain(agreement(case)) for case in evidence.cases}}

    def scenarios(self, data: str | None, budget: Budget) -> tuple[list[TabularScenario], list[str]]:
        """Which tables, and what a reader must know of them."""
        if data is None and self.target is not None:
            raise BadSetting("study tabular: --target is a column of a table; name the table with --data")
        if data is not None and data not in WHOLE_TABLES:
            frame = read_frame(Path(data).expanduser()).reset_index(drop=True)
            return [_scenario(Path(data).stem, frame, TabSynDex(target=self.target), budget)], []
        if data is None:
            names = [name for name in _OWN if WHOLE_TABLES[name].available] or [_ANYWHERE]
            missing = [name for name in _OWN if name not in names]
        else:
            names, missing = [data], []
        notes = [f"{', '.join(missing)} were not found (EXPUNGE_DATA), and were left out."] if missing else []
        return [self._known(name, budget) for name in names], notes

    def _known(self, name: str, budget: Budget) -> TabularScenario:
        table = WHOLE_TABLES[name]
        score = TabSynDex(categorical=table.categorical, target=self.target or table.target)
        return _scenario(name, table.read().reset_index(drop=True), score, budget)


def _scenario(name: str, frame: "pd.DataFrame", score: TabSynDex, budget: Budget) -> TabularScenario:
    if len(frame) < _FEWEST:
        raise BadSetting(f"study tabular: {name} has {len(frame):,} rows; expected at least {_FEWEST}")
    score.schema(frame)  # refuses what can't be scored, before hours of training
    return TabularScenario(name, frame, score, all_generators(len(frame), budget))


def described(scenario: TabularScenario) -> str:
    """What was learned, and what for."""
    learned = len(scenario.draw(0).train)
    target = f", of which models predict {scenario.score.target}" if scenario.score.target else ""
    return f"{learned:,} rows of {len(scenario.frame.columns)} columns are learned{target}"


def compared(scenario: TabularScenario, engine: Engine, say: Callable[[str], None]) -> dict[str, Scored]:
    """Each generator's row for one seed."""
    drawn = scenario.draw(engine.seed)
    key = f"{_digest(drawn)} {drawn.score!r} {engine.device}"
    say(SPLIT)
    found = {SPLIT: Scored(**engine.remember(SPLIT, key, partial(halves, drawn)))}
    for name, make in scenario.generators.items():
        say(f"{name} ({len(found)} of {len(scenario.generators)})")
        chosen = f"{key} {make(drawn.classes)!r}"
        with engine.scope(name):
            found[name] = Scored(**engine.remember("row", chosen, partial(made, drawn, make, engine)))
    return found


def _digest(drawn: Drawn) -> str:
    """Tells what a seed dealt out from all else."""
    digest = hashlib.sha256()
    for table in (drawn.train, drawn.holdout):
        coded = drawn.coded(table)
        for values in (coded.numbers, coded.codes):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _said(say: Callable[[str], None], where: str, line: str) -> None:
    say(f"{where}: {line}")
