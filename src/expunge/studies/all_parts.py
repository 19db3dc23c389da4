"""The parts of the study of everything: for each system one request, or one set of data, with its method and its best rivals.

Rivals are those that came nearest in the studies of the single systems. Each part is the first case of such a study, on the
same draws and with the same settings, but for fewer rows, and of searched networks for fewer folds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from expunge.data.whole_tables import WHOLE_TABLES
from expunge.engine import Engine
from expunge.errors import BadFile
from expunge.report.all_study import HEADLINE, MISSED, RATIO
from expunge.report.evidence import Case, Row
from expunge.report.search_study import RANDOM
from expunge.report.verdict import failures
from expunge.studies.classification import ClassificationStudy
from expunge.studies.comparison import ORIGINAL, RETRAINED, to_case
from expunge.studies.continual import ContinualStudy
from expunge.studies.diffusion import DiffusionStudy
from expunge.studies.federated import FederatedStudy
from expunge.studies.graph import GraphStudy
from expunge.studies.language import LanguageStudy
from expunge.studies.recommendation import RecommendationStudy
from expunge.studies.regression import RegressionStudy
from expunge.studies.search_cells import compared as cells_compared
from expunge.studies.search_scenarios import FOUND, CellScenario, Drawn, clips, digits
from expunge.studies.study import Budget, ComparisonStudy
from expunge.studies.tabular import TabularStudy, described
from expunge.studies.tabular import compared as tables_compared
from expunge.studies.tabular_scenarios import SPLIT
from expunge.studies.valuation import ValuationStudy
from expunge.studies.valuation import compared as values_compared

Say = Callable[[str], None]
Rows = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Found:
    """What one seed of a part found, as plain values.

    Args:
        words: what was asked.
        rows: figures by row: the headline, and what there is of checks missed and time as a share of retraining.
    """

    words: str
    rows: Rows


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """One system's part.

    Args:
        name: for `--data`.
        system: the published system.
        figure: the headline, in words.
        ours: the row of the system's method.
        before, target: rows that it is held against: what was there before, and what is ideal.
        minutes: about, on one core; the longest begin first.
        rising: whether more of the figure is better, whatever the target.
    """

    name: str
    system: str
    figure: str
    ours: str
    before: str
    target: str
    minutes: float
    rising: bool = False

    @abstractmethod
    def find(self, engine: Engine, budget: Budget, say: Say) -> Found:
        """All rows for one seed."""


@dataclass(frozen=True, kw_only=True)
class Compared(Part):
    """The first case of a study of models that forget.

    Args:
        study: with the rows of the quick budget; the full one has all.
        metric: of the headline.
    """

    study: ComparisonStudy
    metric: str
    before: str = ORIGINAL
    target: str = RETRAINED

    def find(self, engine: Engine, budget: Budget, say: Say) -> Found:
        study = self.study if budget == "quick" else replace(self.study, methods=None)
        case = study.chosen(None, "quick").cases[0]
        compared = case.compare(engine, say)
        found = to_case([compared], case.title, case.forgotten)
        return Found(case.forgotten, {row.name: self._figures(row, found) for row in found.rows})

    def _figures(self, row: Row, case: Case) -> dict[str, float]:
        missed = failures(row, case)
        values = {
            HEADLINE: row.mean(self.metric),
            RATIO: row.mean("seconds_ratio"),
            MISSED: None if missed is None or row.name == RETRAINED else len(missed),
        }
        return {name: float(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Valued(Part):
    """The digits of the study of what data are worth."""

    few: ClassVar[Sequence[str]] = ("ecoval", "tmc-shapley", "knn-shapley", "data-oob", "banzhaf", "random-values")

    def find(self, engine: Engine, budget: Budget, say: Say) -> Found:
        scenario = ValuationStudy().scenarios("digits", "quick")[0][0]
        drawn = scenario.draw(engine.seed, engine)
        methods = _some(scenario.methods, self.few, budget)
        found = values_compared(drawn, methods, engine, say)
        words = f"{len(drawn.train.y):,} digits, of which {int(drawn.train.wrong.sum())} are labelled wrongly"
        rows = {
            name: {
                HEADLINE: row.figures["auroc"],
                RATIO: row.figures["cpu_seconds"] / found[self.target].figures["cpu_seconds"],
            }
            for name, row in found.items()
        }
        return Found(words, rows)


@dataclass(frozen=True, kw_only=True)
class Tables(Part):
    """The white wines of the study of synthetic tables, or the patients where these are not there."""

    few: ClassVar[Sequence[str]] = ("independent-columns", "gaussian-copula", "ctgan", "tvae")

    def find(self, engine: Engine, budget: Budget, say: Say) -> Found:
        scenario = TabularStudy().scenarios("wine" if WHOLE_TABLES["wine"].available else "diabetes", "quick")[0][0]
        found = tables_compared(replace(scenario, generators=_some(scenario.generators, self.few, budget)), engine, say)
        return Found(described(scenario), {name: {HEADLINE: row.figures["total"]} for name, row in found.items()})


@dataclass(frozen=True, kw_only=True)
class Searched(Part):
    """Folds of the synthetic micro-expressions, or the digits where the faces are not there."""

    few: ClassVar[Sequence[str]] = ("hand-cnn", "hand-cnn-8", "hand-cnn-16", "small-resnet")
    folds: ClassVar[int] = 2  # of the quick budget

    def find(self, engine: Engine, budget: Budget, say: Say) -> Found:
        whole = self._scenario()
        scenario = replace(
            whole,
            searches={FOUND: whole.searches[FOUND]},
            hands=_some(whole.hands, self.few, budget),
            randoms=1,
            draw=partial(_folds_of, whole, self.folds if budget == "quick" else None),
        )
        found = cells_compared(scenario, engine, say)[0]
        best = max((found[name] for name in scenario.hands), key=lambda row: row.figures["accuracy"])
        rows = {
            name: {HEADLINE: row.figures["accuracy"], RATIO: row.figures["macs"] / best.figures["macs"]}
            for name, row in found.items()
            if "accuracy" in row.figures
        }
        return Found(scenario.words(), rows | {self.target: {HEADLINE: best.figures["accuracy"], RATIO: 1.0}})

    def _scenario(self) -> CellScenario:
        try:
            return clips("quick")
        except BadFile:
            return digits("quick")


def _folds_of(scenario: CellScenario, count: int | None, seed: int) -> Drawn:
    drawn = scenario.draw(seed)
    return replace(drawn, folds=drawn.folds[:count])


def _some(rows: Mapping[str, Any], few: Sequence[str], budget: Budget) -> dict[str, Any]:
    return {name: row for name, row in rows.items() if budget == "full" or name in few}


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Compared(
            name="classification",
            system="the ground",
            study=ClassificationStudy(methods="shrink-perturb,finetune,neggrad-plus,scrub,salun"),
            metric="tow",
            figure="a class of images: tug of war, 1 is ideal",
            ours="shrink-perturb",
            minutes=3,
        ),
        Compared(
            name="regression",
            system="Deep Regression Unlearning",
            study=RegressionStudy(methods="blindspot,shrink-perturb,finetune,neggrad-plus,scrub"),
            metric="tow",
            figure="a band of prices: tug of war, 1 is ideal",
            ours="blindspot",
            minutes=3,
        ),
        Compared(
            name="graph",
            system="D2DGN",
            study=GraphStudy(methods="d2dgn,gnndelete,gif,shrink-perturb,neggrad-plus"),
            metric="deleted_unseen_auc",
            figure="edges of a graph: AUC, deleted edges against unseen",
            ours="d2dgn",
            minutes=4,
        ),
        Compared(
            name="recommendation",
            system="MMRecUN",
            study=RecommendationStudy(methods="mmrecun,level-scores,rec-eraser,amun,finetune"),
            metric="forget_recall",
            figure="users of a recommender: recall of what they chose",
            ours="mmrecun",
            minutes=8,
        ),
        Compared(
            name="federated",
            system="ConDa",
            study=FederatedStudy(methods="conda,pga,fed-osd,continue-without"),
            metric="backdoor",
            figure="a client: share of patches that open its backdoor",
            ours="conda",
            minutes=6,
        ),
        Compared(
            name="continual",
            system="UniCLUN",
            study=ContinualStudy(methods="uniclun,der++-bad-teacher,er-bad-teacher,joint"),
            metric="holdout_accuracy",
            figure="tasks of a stream: accuracy on those that stay",
            ours="uniclun",
            minutes=12,
        ),
        Compared(
            name="language",
            system="UnSTAR",
            study=LanguageStudy(methods="unstar,npo,sim-npo,whp"),
            metric="facts_held_out",
            figure="facts: share still told, asked in new words",
            ours="unstar",
            minutes=10,
        ),
        Compared(
            name="diffusion",
            system="Unlearning or Concealment?",
            study=DiffusionStudy(methods="salun-unasked,esd-x,uce,sdd"),
            metric="unasked_area",
            figure="a concept of images: how much of it comes back",
            ours="salun-unasked",
            minutes=12,
        ),
        Valued(
            name="valuation",
            system="EcoVal",
            figure="wrong labels: AUROC of finding them; cost beside TMC-Shapley's",
            ours="ecoval",
            before="random-values",
            target="tmc-shapley",
            minutes=1.5,
        ),
        Tables(
            name="tabular",
            system="TabSynDex",
            figure="a synthetic table: its score, beside that of real rows",
            ours="gaussian-copula",
            before="independent-columns",
            target=SPLIT,
            minutes=5,
        ),
        Searched(
            name="search",
            system="EmoNAS",
            figure="moving faces: accuracy; cost is multiply-accumulates",
            ours=FOUND,
            before=RANDOM,
            target="best by hand",
            rising=True,
            minutes=10,
        ),
    )
}
