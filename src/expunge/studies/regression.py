"""Unlearning where targets are real numbers: a band of prices, random rows, and with the full budget sentences and forecasts.

Data: California housing, the first 8,000 training rows (all in `full`), a multilayer perceptron, homes up to 100,000 USD; a
tenth of 2,000 rows that a network has learned by heart. `full` adds STS-B (pairs of similarity below 2, a shared LSTM) and
ETTh1 (every window that holds an hour of winter, TiDE with quantiles). Any table goes in their place: `expunge study
regression --data FILE.csv --target COLUMN --forget "COLUMN <= VALUE"`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from expunge.data import Source, available, load
from expunge.data.records import length
from expunge.errors import BadSetting
from expunge.requests import Request, parse_comparison
from expunge.studies.scenarios import ROWS_BY_HEART, Scenario, band, first_rows, forecast, pairs, records
from expunge.studies.study import Budget, ComparisonStudy, Plan

__all__ = ["RegressionStudy"]

HOUSING_ROWS = {"quick": 8_000, "full": 20_640}
SHADOWS = {"quick": 8, "full": 32}


@dataclass(frozen=True)
class RegressionStudy(ComparisonStudy):
    """See the module.

    Args:
        target: the column of a table to predict.
        forget: what must go of it: a comparison, such as "price <= 100000".
    """

    target: str | None = None
    forget: str | None = None

    default_data: ClassVar[str] = "california-housing"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        scenarios = self._scenarios(data, budget)
        names = list(dict.fromkeys(scenario.source.name for scenario in scenarios))
        return Plan(
            "+".join(names),
            scenarios,
            {"budget": budget},
            list(dict.fromkeys(scenario.source.note for scenario in scenarios if scenario.source.note)),
            scenarios[0].task.new_model(),
        )

    def _scenarios(self, data: str | None, budget: Budget) -> Sequence[Scenario]:
        if data is None:
            if self.target or self.forget:
                raise BadSetting("study regression: --target and --forget are for a table that --data names")
            return _published(budget) if available(self.default_data) else _embedded(budget)
        if data == self.default_data and not (self.target or self.forget):
            return _housing(budget)
        if data in _OTHERS and not self.target:
            return (_OTHERS[data](self.forget),)
        if self.forget is None:
            raise BadSetting(f'study regression: say what must go of {data}: --forget "COLUMN <= VALUE"')
        source = load(data, target=self.target)
        if source.target is None:
            raise BadSetting(f"{source.name} has classes, not real-numbered targets; see study classification")
        return _table(source, parse_comparison(self.forget), budget)


def _published(budget: Budget) -> Sequence[Scenario]:
    others = [] if budget == "quick" else [name for name in ("stsb", "etth1") if available(name)]
    return (*_housing(budget), *(_OTHERS[name](None) for name in others))


def _housing(budget: Budget) -> Sequence[Scenario]:
    source = first_rows(load("california-housing"), HOUSING_ROWS[budget])
    return _table(source, parse_comparison("median_house_value <= 100000"), budget, "homes up to 100,000 USD")


def _stsb(forget: str | None = None) -> Scenario:
    request = parse_comparison(forget or "score < 2")
    return pairs(f"STS-B, {request.describe()}" if forget else "STS-B, similarity below 2", load("stsb"), request)


def _etth1(forget: str | None = None) -> Scenario:
    request = parse_comparison(forget or "winter = yes", kind=True)
    return forecast(f"ETTh1, {request.describe()}" if forget else "ETTh1, winter", load("etth1"), request)


_OTHERS = {"stsb": _stsb, "etth1": _etth1}


def _embedded(budget: Budget) -> Sequence[Scenario]:
    source = load("diabetes")
    note = "California housing was not found (EXPUNGE_DATA), so the embedded diabetes were used; figures on them mean less."
    noted = replace(source, note=f"{note} {source.note}".strip())
    return _table(noted, parse_comparison("progression <= 75"), budget, "progression up to 75")


def _table(source: Source, request: Request, budget: Budget, title: str = "") -> Sequence[Scenario]:
    few, shadows = first_rows(source, ROWS_BY_HEART), SHADOWS[budget]
    return (
        band(title or request.describe(), source, request, shadows if budget == "full" else 0),
        records(f"random 10 % of {length(few.train):,} rows", few, shadows),
    )
