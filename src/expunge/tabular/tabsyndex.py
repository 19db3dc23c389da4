"""TabSynDex: one score from 0 to 1 for a synthetic table, and five parts that say why.

    TabSynDex = 1/5 (S_basic + S_corr + S_ml + S_cr + S_pMSE)

The parts stand in :mod:`expunge.tabular.scoring`: `basic` (statistics of columns), `correlation`, `ml` (efficacy),
`support` (coverage) and `pmse` (propensity), each by the formulas of three modes:

    robust    the published idea with its faults mended; the default. A table scores 1 beside itself, units and codes play no
              part, a constant column or a lost category spoils nothing but its own share
    paper     the published formulas, with categories encoded as categories and the target that was meant
    official  what the released code computes, fault for fault; see :mod:`expunge.tabular.scoring.official`

No score says anything on privacy: a copy of the real table scores best. Read it beside :meth:`TabSynDex.reference`: what
real rows score against real rows, and what a table scores whose columns are right and don't go together.

Reference: V. Chundawat, A. Tarun, M. Mandal, M. Lahoti, P. Narang, "TabSynDex: A Universal Metric for Robust Evaluation of
Synthetic Tabular Data", IEEE Transactions on Artificial Intelligence, 2022, arXiv 2207.05295.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from expunge.data.table_inputs import check_column, is_numeric
from expunge.errors import BadFile, BadSetting
from expunge.tabular.coded import Coded, check_squares, code
from expunge.tabular.schema import Kind, TableSchema, check_names
from expunge.tabular.score import COMPONENTS, Comparison, Reference, Score
from expunge.tabular.scoring.basic import basic
from expunge.tabular.scoring.correlation import correlation
from expunge.tabular.scoring.efficacy import paper_efficacy, robust_efficacy
from expunge.tabular.scoring.official import DEFECTS, official_efficacy
from expunge.tabular.scoring.pair import Mode, Pair, Part, Task
from expunge.tabular.scoring.propensity import propensity
from expunge.tabular.scoring.support import support

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

_REAL, _SYNTHETIC, _HOLDOUT = "the real table", "the synthetic table", "the holdout table"


@dataclass(frozen=True)
class TabSynDex:
    """Scores synthetic tables. Mixed columns, texts, dates, gaps and tables of different sizes are welcome.

    Args:
        categorical: columns whose numbers name categories; texts and numbers of two values do anyway.
        target: the column to predict; without it there is no ML part, and the total is the mean of the other four.
        task: "regression" or "classification"; what the target's kind suggests when None.
        mode: "robust", "paper" or "official".
        kinds: what some columns are, whatever their values look like; see :mod:`expunge.tabular.schema`.
        components: which parts to compute, "all" or some of `basic`, `correlation`, `ml`, `support`, `pmse`.
        alpha: base of S_pMSE, above 1; robust has none.
        beta: what a bin counts at most, at least 1; robust counts 1.
        bins: intervals of a number in the support, at least 1.
        ml_rows: rows of each table that models learn from, at most; official takes all.
        propensity_rows: rows of each table in S_pMSE, at most.
        defects: of official: which faults of the released code to keep, of "target" and "labels".
        seed: of all that is drawn.

    Raises:
        BadSetting: if a setting makes no sense.
    """

    categorical: Sequence[str] = ()
    target: str | None = None
    task: Task | None = None
    mode: Mode = "robust"
    kinds: Mapping[str, Kind] | None = None
    components: Collection[str] | Literal["all"] = "all"
    alpha: float = 1.2
    beta: float = 2.0
    bins: int = 20
    ml_rows: int | None = 5_000
    propensity_rows: int = 100_000
    defects: Collection[str] = DEFECTS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise BadSetting(f"mode must be one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        if self.task is not None and self.task not in get_args(Task):
            raise BadSetting(f"task must be regression or classification, not {self.task!r}")
        if self.task is not None and self.target is None:
            raise BadSetting(f"the task is {self.task}, but there is no target: say which column to predict")
        self._check_components()
        if foreign := set(self.defects) - set(DEFECTS):
            raise BadSetting(f"unknown defect {sorted(foreign)[0]!r}; there are {', '.join(sorted(DEFECTS))}")
        for name, least, below in (
            ("alpha", 1.0, True),
            ("beta", 1.0, False),
            ("bins", 1, False),
            ("propensity_rows", 10, False),
        ):
            value = getattr(self, name)
            if not (value > least or (value == least and not below)):
                raise BadSetting(f"{name} must be {'above' if below else 'at least'} {least:g}, not {value}")
        if self.ml_rows is not None and self.ml_rows < 10:
            raise BadSetting(f"ml_rows must be at least 10, not {self.ml_rows}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The parts to compute."""
        return COMPONENTS if self.components == "all" else tuple(self.components)

    def schema(self, real: "pd.DataFrame") -> TableSchema:
        """What the columns of the real table are to this score.

        Raises:
            BadFile: if a column that is named is not there, or the target can't be what `task` says.
            BadSetting: if kinds make no sense.
        """
        check_names(real, _REAL)
        kinds = dict(self.kinds or {})
        told = {*self.categorical, *kinds}
        if self.mode == "official":  # which knows of no other categories than those it is told of
            kinds |= {name: "number" for name in real if name not in told and real[name].dtype.kind in "iuf"}
        if self.target is not None:
            check_column(real, self.target, _REAL)
            if self.task == "classification" and self.target not in kinds:
                kinds[self.target] = "category"
            elif self.task == "regression" and self.target not in told and is_numeric(real[self.target]):
                kinds[self.target] = "number"  # though it may have two values only
        found = TableSchema.infer(real, self.categorical, kinds, _REAL)
        if self.target is not None and self.task == "classification":
            told.add(self.target)
        schema = TableSchema(tuple(replace(column, stated=column.name in told) for column in found))
        if self.target is not None:
            self._check_target(schema)
        return schema

    def score(self, real: "pd.DataFrame", synthetic: "pd.DataFrame", holdout: "pd.DataFrame | None" = None) -> Score:
        """Score a synthetic table.

        Args:
            real: the real table; columns of any order.
            synthetic: has the same columns, in any order; more are passed over.
            holdout: real rows that the generator never saw; robust judges models on them.

        Raises:
            BadFile: if columns are missing, or have values that are no numbers where the real table has numbers, or a table has
                fewer than 10 rows.
            BadSetting: as :meth:`schema`.
        """
        schema = self.schema(real)
        extra = [str(name) for name in synthetic if name not in schema.names]
        pair = Pair(code(real, schema, _REAL), code(synthetic, schema, _SYNTHETIC))
        found = self.score_coded(pair, None if holdout is None else code(holdout, schema, _HOLDOUT))
        if not extra:
            return found
        said = f"Passed over, as the real table lacks them: columns {', '.join(extra)}."
        return replace(found, warnings=(said, *found.warnings))

    def score_coded(self, pair: Pair, holdout: Coded | None = None) -> Score:
        """Score tables that are coded by one schema.

        Raises:
            BadFile: if no column can be scored, or numbers are too large for a variance.
        """
        if not pair.scored:
            raise BadFile("no column can be scored: all are identifiers or empty")
        for coded, where in ((pair.real, _REAL), (pair.synthetic, _SYNTHETIC)):
            check_squares(coded, where)
        started, parts = time.perf_counter(), self._parts(pair, holdout)
        found = {name: parts[name]() if name in self.wanted else Part(None) for name in COMPONENTS}
        known = [part.value for part in found.values() if part.value is not None]
        warnings = [warning for part in found.values() for warning in part.warnings]
        if not known:
            warnings.append("No part could be told: the total of 0 says nothing.")
        return Score(
            total=float(np.mean(known)) if known else 0.0,
            components={name: part.value for name, part in found.items()},
            mode=self.mode,
            columns={name: part.columns for name, part in found.items() if part.columns},
            details={name: part.details for name, part in found.items() if part.details},
            names=pair.names,
            associations=found["correlation"].matrices,
            warnings=(*self._remarks(pair), *warnings),
            rows=(len(pair.real), len(pair.synthetic)),
            seconds=time.perf_counter() - started,
        )

    def reference(self, real: "pd.DataFrame", holdout: "pd.DataFrame | None" = None) -> Reference:
        """What the real table scores against itself, in halves, drawn anew, and with each column shuffled.

        Raises:
            BadFile: as :meth:`score`; half of the rows must be enough.
            BadSetting: as :meth:`schema`.
        """
        schema = self.schema(real)
        whole = code(real, schema, _REAL)
        held = None if holdout is None else code(holdout, schema, _HOLDOUT)
        if len(whole) < 20:
            raise BadFile(f"the real table has {len(whole)} rows; a reference needs at least 20, as each half is a table")
        generator = np.random.default_rng(self.seed)
        order, again = generator.permutation(len(whole)), generator.integers(len(whole), size=len(whole))
        shuffled = Coded(
            schema,
            generator.permuted(whole.numbers, axis=0),
            generator.permuted(whole.codes, axis=0),
            whole.unknown,
        )
        half = len(whole) // 2
        return Reference(
            self.score_coded(Pair(whole.rows(order[half:]), whole.rows(order[:half])), held),
            self.score_coded(Pair(whole, whole.rows(again)), held),
            self.score_coded(Pair(whole, shuffled), held),
        )

    def compare(self, real: "pd.DataFrame", synthetic: "pd.DataFrame", holdout: "pd.DataFrame | None" = None) -> Comparison:
        """The score beside its reference, and by the published formulas beside theirs.

        Raises:
            BadFile: as :meth:`score` and :meth:`reference`.
            BadSetting: as :meth:`schema`.
        """
        score, reference = self.score(real, synthetic, holdout), self.reference(real, holdout)
        if self.mode == "paper":
            return Comparison(score, reference)
        published = replace(self, mode="paper")
        return Comparison(score, reference, published.score(real, synthetic, holdout), published.reference(real, holdout))

    def _parts(self, pair: Pair, holdout: Coded | None) -> dict[str, Callable[[], Part]]:
        return {
            "basic": lambda: basic(pair, self.mode),
            "correlation": lambda: correlation(pair, self.mode),
            "ml": lambda: self._efficacy(pair, holdout),
            "support": lambda: support(pair, self.mode, self.beta, self.bins),
            "pmse": lambda: propensity(pair, self.mode, self.alpha, self.propensity_rows, self.seed),
        }

    def _efficacy(self, pair: Pair, holdout: Coded | None) -> Part:
        if self.target is None:
            return Part(None, warnings=("There is no target, so no ML part: the total is the mean of the other parts.",))
        task = self.task or _task(pair.schema, self.target)
        if self.mode == "official":
            return official_efficacy(pair, self.target, task, self.defects)
        if self.mode == "paper":
            return paper_efficacy(pair, self.target, task, self.ml_rows, self.seed)
        return robust_efficacy(pair, self.target, task, self.ml_rows, self.seed, holdout)

    def _check_components(self) -> None:
        if isinstance(self.components, str) and self.components != "all":
            raise BadSetting(f"components are 'all' or a list, not the text {self.components!r}; write [{self.components!r}]")
        if not self.wanted:
            raise BadSetting(f"no component is wanted; name some of {', '.join(COMPONENTS)}")
        if foreign := set(self.wanted) - set(COMPONENTS):
            raise BadSetting(f"unknown component {sorted(foreign)[0]!r}; there are {', '.join(COMPONENTS)}")

    def _check_target(self, schema: TableSchema) -> None:
        """Refuse a target that models can't learn."""
        column = schema[str(self.target)]
        if column.kind in ("identifier", "empty"):
            raise BadFile(f"target '{column.name}' is {'empty' if column.kind == 'empty' else 'another text in every row'}")
        if self.task == "regression" and column.kind == "category":
            numbers = all(isinstance(value, int | float) for value in column.values)
            hint = "; leave it out of the categorical columns" if numbers else "; its task is classification"
            raise BadSetting(f"target '{column.name}' holds categories, and can't be learned by regression{hint}")
        if self.task == "classification" and column.kind != "category":
            hint = "name it among the categorical columns" if column.kind == "number" else "its task is regression"
            raise BadSetting(f"target '{column.name}' is a {column.kind}, and can't be learned by classification; {hint}")
        if column.kind == "category" and column.values and any(isinstance(each, float) for each in column.values):
            raise BadFile(
                f"target '{column.name}' has numbers that are not whole, which name no classes; its task is regression"
            )

    def _remarks(self, pair: Pair) -> list[str]:
        found = [
            f"Column '{column.name}' is {'empty' if column.kind == 'empty' else 'an identifier'}, and not scored."
            for column in pair.schema.left_out
        ]
        for column, unknown in zip(pair.schema.categories, pair.synthetic.unknown, strict=True):
            if unknown:
                shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else "")
                found.append(f"Column '{column.name}' has values that the real table lacks: {shown}.")
        return found


def _task(schema: TableSchema, target: str) -> Task:
    return "classification" if schema[target].kind == "category" else "regression"
