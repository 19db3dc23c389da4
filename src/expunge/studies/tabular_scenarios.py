"""What the study of synthetic tables compares: tables, generators, and the figures of one of them.

Of each table four fifths are learned, drawn by the seed; the rest is the holdout, which no generator sees. The first row is
no generator: one half of what is learned, beside the other. Settings of networks were chosen on other
training seeds (from 100 on), and those of the copula without any, but on the whole tables of wine and Adult: rows that are
held out here were among them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.engine import Engine
from expunge.studies.study import Budget
from expunge.tabular import GENERATORS, SMOTE, Generator, ScoreMonitor, TableSchema, TabSynDex
from expunge.tabular.coded import Coded, code
from expunge.tabular.generators.network_generator import NetworkGenerator
from expunge.tabular.measures.measures import Measures, measure
from expunge.tabular.score import COMPONENTS, Score
from expunge.tabular.scoring.pair import Pair

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

SPLIT = "real-split"
_HELD_OUT = 0.2
_WATCHED = 15  # times that a training is scored
_STEPS: dict[Budget, int] = {"quick": 3_000, "full": 15_000}
_FEWEST_EPOCHS, _MOST_EPOCHS = 40, 600

Make = Callable[[str | None], Generator]  # from the target, if it is a category


@dataclass(frozen=True)
class TabularScenario:
    """One table.

    Args:
        name: what the study calls it.
        frame: all rows.
        score: how tables are scored; knows the target and the categories.
        generators: from the target to the generator, by the name of its row.
    """

    name: str
    frame: "pd.DataFrame"
    score: TabSynDex
    generators: Mapping[str, Make]

    def draw(self, seed: int) -> "Drawn":
        """Deal rows out."""
        order = np.random.default_rng(seed).permutation(len(self.frame))
        held = max(round(_HELD_OUT * len(order)), 20)
        train, holdout = (self.frame.iloc[rows].reset_index(drop=True) for rows in (order[held:], order[:held]))
        return Drawn(train, holdout, self.score.schema(self.frame), replace(self.score, seed=seed))


@dataclass(frozen=True)
class Drawn:
    """What one seed deals out.

    Args:
        train: rows that are learned.
        holdout: rows that no generator sees.
        schema: of the whole table.
        score: how tables are scored.
    """

    train: "pd.DataFrame"
    holdout: "pd.DataFrame"
    schema: TableSchema
    score: TabSynDex

    @property
    def classes(self) -> str | None:
        """The target, if it is a column of categories."""
        target = self.score.target
        return target if target is not None and self.schema[target].kind == "category" else None

    def coded(self, table: "pd.DataFrame") -> Coded:
        """As arrays."""
        return code(table, self.schema, "the table")


def all_generators(rows: int, budget: Budget) -> dict[str, Make]:
    """Every generator, with as much training as so many rows need."""
    found: dict[str, Make] = {}
    for name, kind in GENERATORS.items():
        if kind is SMOTE:
            found[name] = lambda target: SMOTE(target=target)
        elif issubclass(kind, NetworkGenerator):
            found[name] = _network(kind, rows, budget)
        else:
            found[name] = _plain(kind)
    return found


def _plain(kind: type[Generator]) -> Make:
    return lambda target: kind()


def _network(kind: type[NetworkGenerator], rows: int, budget: Budget) -> Make:
    """About as many steps, whatever the size of the table."""
    steps = -(-rows // kind.batch_size)
    epochs = min(max(round(_STEPS[budget] / steps), _FEWEST_EPOCHS), _MOST_EPOCHS)
    return lambda target: kind(epochs=epochs)


def made(drawn: Drawn, make: Make, engine: Engine) -> dict[str, Any]:
    """All figures of one generator, as plain values."""
    generator = make(drawn.classes)
    monitor = None
    if isinstance(generator, NetworkGenerator):
        monitor = ScoreMonitor(drawn.score, drawn.train, every=max(1, generator.epochs // _WATCHED))
    alone = Engine(engine.seed, engine.device_choice, progress=engine.progress)  # rows are kept, and no half-trained networks
    started = time.process_time()
    generator.fit(drawn.train, alone, schema=drawn.schema, monitor=monitor)
    fitted = time.process_time()
    synthetic = generator.sample(len(drawn.train), seed=engine.seed)
    sampled = time.process_time()
    figures = judged(drawn, drawn.train, synthetic)
    figures |= {"fit_cpu_seconds": fitted - started, "sample_cpu_seconds": sampled - fitted}
    curves: dict[str, list[float]] = {}
    if monitor is not None:
        curves = {
            "epoch": [float(epoch) for epoch in monitor.scores],
            "total": [each.total for each in monitor.scores.values()],
        }
    return {"figures": figures, "curves": curves}


def halves(drawn: Drawn) -> dict[str, Any]:
    """The figures of real rows beside real rows."""
    half = len(drawn.train) // 2
    return {"figures": judged(drawn, drawn.train.iloc[half:], drawn.train.iloc[:half]), "curves": {}}


def judged(drawn: Drawn, real: "pd.DataFrame", synthetic: "pd.DataFrame") -> dict[str, float]:
    """All figures of a table."""
    tables = [drawn.coded(each) for each in (real, synthetic, drawn.holdout)]
    pair = Pair(tables[0], tables[1])
    robust = drawn.score.score_coded(pair, tables[2])
    paper = replace(drawn.score, mode="paper").score_coded(pair)
    found = {"total": robust.total, **_parts(robust, ""), "paper_total": paper.total, **_parts(paper, "paper_")}
    return found | measured(measure(tables[0], tables[1], tables[2], drawn.score.target, drawn.score.seed))


def _parts(score: Score, prefix: str) -> dict[str, float]:
    return {f"{prefix}{name}": value for name in COMPONENTS if (value := score.components[name]) is not None}


def measured(measures: Measures) -> dict[str, float]:
    """The field's figures, as far as they can be had."""
    privacy, teaching = measures.privacy, measures.teaching
    found: dict[str, float | None] = {
        "shapes": measures.fidelity.shape,
        "trends": measures.fidelity.trend_of_all,
        "c2st_auc": measures.detection.trees.value,
        "alpha_precision": measures.coverage.precision,
        "beta_recall": measures.coverage.recall,
        "tstr": None if teaching is None else teaching.synthetic if teaching.classes else teaching.synthetic_r2,
        "trtr": None if teaching is None else teaching.real if teaching.classes else teaching.real_r2,
        "exact_matches": privacy.matches.all.value,
        "nearer_real": None if privacy.records.nearer is None else privacy.records.nearer.value,
        "membership": None if privacy.membership.auc is None else privacy.membership.auc.value,
        "copy": float(privacy.is_copy),
    }
    return {name: value for name, value in found.items() if value is not None}
