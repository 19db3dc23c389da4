"""Evidence made by hand: round figures whose verdicts can be worked out on paper."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from expunge.report.evidence import Case, Curves, Evidence, Role, Row, Value

GOLD = {
    "forget_accuracy": 0.10,
    "holdout_forget_accuracy": 0.12,
    "retain_accuracy": 0.99,
    "holdout_accuracy": 0.90,
    "membership_auc": 0.50,
}
ORIGINAL = GOLD | {"forget_accuracy": 0.99, "holdout_forget_accuracy": 0.88, "membership_auc": 0.71}
ERRORS = {
    "forget_mae": 0.42,
    "holdout_forget_mae": 0.40,
    "retain_mae": 0.12,
    "holdout_mae": 0.20,
    "membership_auc": 0.50,
    "forget_wasserstein": 0.0,
}
ERRORS_BEFORE = ERRORS | {"forget_mae": 0.17, "holdout_forget_mae": 0.35, "membership_auc": 0.60, "forget_wasserstein": 0.25}
LINKS = {
    "forget_probability": 0.86,
    "retain_probability": 0.92,
    "holdout_probability": 0.67,
    "link_auc": 0.917,
    "deleted_retained_auc": 0.652,
    "membership_auc": 0.565,
}
LINKS_BEFORE = LINKS | {"forget_probability": 0.96, "deleted_retained_auc": 0.400, "membership_auc": 0.751}
RANKINGS = {
    "forget_recall": 0.100,
    "unseen_recall": 0.080,
    "recall": 0.200,
    "ndcg": 0.110,
    "list_overlap": 1.0,
    "neighbour_recall": 0.300,
    "membership_auc": 0.520,
    "forget_pair_auc": 0.800,
    "holdout_pair_auc": 0.850,
}
RANKINGS_BEFORE = RANKINGS | {"forget_recall": 0.700, "membership_auc": 0.900, "forget_pair_auc": 0.970}
EXPLANATIONS = {
    "forget_accuracy": "accuracy on what must go; ideal: the retrained model's",
    "membership_auc": "AUC of the loss attack; ideal: the retrained model's",
    "seconds_ratio": "time as a multiple of retraining's; ideal: 0",
    "never_measured": "a metric that no model has",
}


def curves(seed: int, classes: tuple[str, ...] = ("cat", "dog", "ship")) -> Curves:
    draw = random.Random(seed)
    steps = [index / 50 for index in range(51)]
    return Curves(
        roc=(steps, [step**0.7 for step in steps]),
        forget_losses=[draw.lognormvariate(-2, 2) for _ in range(80)],
        unseen_losses=[draw.lognormvariate(-1, 2) for _ in range(80)],
        group_scores={name: round(draw.uniform(0.7, 1), 3) for name in classes},
    )


def row(name: str, role: Role = "method", drawn: Curves | None = None, n: int = 1, **figures: Any) -> Row:
    """A model like the retrained one, but for `figures`: numbers, None, or whole values. A tuple is (mean, std)."""
    return Row(name, role, _values((ORIGINAL if role == "original" else GOLD) | figures, GOLD, n), drawn)


def errors_row(name: str, role: Role = "method", drawn: Curves | None = None, n: int = 1, **figures: Any) -> Row:
    """The same for a model of numbers, which is scored by its error."""
    return Row(name, role, _values((ERRORS_BEFORE if role == "original" else ERRORS) | figures, ERRORS, n), drawn)


def links_row(name: str, role: Role = "method", n: int = 1, **figures: Any) -> Row:
    """The same for a model that predicts links."""
    return Row(name, role, _values((LINKS_BEFORE if role == "original" else LINKS) | figures, LINKS, n))


def rankings_row(name: str, role: Role = "method", drawn: Curves | None = None, n: int = 1, **figures: Any) -> Row:
    """The same for a model that recommends; a figure that is None was not measured."""
    made = (RANKINGS_BEFORE if role == "original" else RANKINGS) | figures
    return Row(name, role, _values({metric: each for metric, each in made.items() if each is not None}, RANKINGS, n), drawn)


def _values(figures: Mapping[str, Any], ideals: Mapping[str, float], n: int) -> dict[str, Value]:
    values = {}
    for metric, figure in figures.items():
        if isinstance(figure, Value):
            values[metric] = figure
        else:
            mean, std = figure if isinstance(figure, tuple) else (figure, 0.0)
            values[metric] = Value(mean, std, n, ideals.get(metric))
    return values


def case(*methods: Row, title: str = "class 3", gold: bool = True, drawn: bool = False) -> Case:
    """Original, retrained, retrained again, and `methods`; without the retrained ones where `gold` is False."""
    retrained = (
        row("retrained", "retrained", seconds_ratio=1.0, seconds=200.0),
        row("retrained-2", "noise floor", forget_accuracy=0.11, seconds_ratio=1.0, seconds=201.0),
    )
    rows = (row("original", "original", seconds_ratio=1.0, seconds=210.0), *(retrained if gold else ()), *methods)
    if drawn:
        rows = tuple(dataclasses.replace(each, curves=curves(index)) for index, each in enumerate(rows))
    return Case(title, f"{title}: 100 of 1,000 training examples", rows)


def errors_case(*methods: Row, chance: float | None = 0.05, unit: str = "", drawn: bool = False) -> Case:
    """Original, retrained, a second retrained one whose Wasserstein distance is `chance`, and `methods`."""
    rows = (
        errors_row("original", "original"),
        errors_row("retrained", "retrained", seconds_ratio=1.0, seconds=200.0),
        errors_row("retrained-2", "noise floor", forget_mae=0.425, forget_wasserstein=chance),
        *methods,
    )
    if drawn:
        rows = tuple(dataclasses.replace(each, curves=answering(index)) for index, each in enumerate(rows))
    return Case("band 2", "targets from 1.2 to 2.5", rows, "mae", higher_is_better=False, unit=unit, loss_unit="")


def links_case(*methods: Row) -> Case:
    """Original, retrained, retrained again, and `methods`, on links."""
    rows = (
        links_row("original", "original"),
        links_row("retrained", "retrained", seconds_ratio=1.0),
        links_row("retrained-2", "noise floor", deleted_retained_auc=0.657, membership_auc=0.570),
        *methods,
    )
    return Case("237 edges", "237 of 4,752 edges", rows, "probability")


def rankings_case(*methods: Row, drawn: bool = False, **figures: Any) -> Case:
    """Original, retrained, retrained again, and `methods`, on recommendations; `figures` are those of the first three."""
    rows = (
        rankings_row("original", "original", **figures),
        rankings_row("retrained", "retrained", **{"seconds_ratio": 1.0} | figures),
        rankings_row("retrained-2", "noise floor", **{"forget_recall": 0.105, "list_overlap": 0.6} | figures),
        *methods,
    )
    if drawn:
        rows = tuple(dataclasses.replace(each, curves=curves(index)) for index, each in enumerate(rows))
    return Case("12 users", "12 of 600 users", rows, "pair_auc")


def features_case(*methods: Row) -> Case:
    """The same where what goes are features of items: all pairs stay."""
    made = rankings_case(*methods, forget_recall=None, neighbour_recall=None, feature_cosine=0.400)
    before = dict(made.rows[0].values) | {"feature_cosine": Value(0.900, 0.0, 1, 0.400)}
    return dataclasses.replace(made, rows=(dataclasses.replace(made.rows[0], values=before), *made.rows[1:]))


def answering(seed: int, classes: tuple[str, ...] = ("0 to 1.2", "1.2 to 2.5")) -> Curves:
    """Curves of a model of numbers: the same examples in each, answered a little differently."""
    targets, noise = random.Random(0), random.Random(seed)
    answers = [targets.uniform(1.2, 2.5) * noise.uniform(0.9, 1.1) for _ in range(80)]
    return dataclasses.replace(curves(seed, classes), forget_answers=answers)


def evidence(*cases: Case, **changes: Any) -> Evidence:
    usual = Evidence(
        title="An audit",
        cases=cases,
        explanations=EXPLANATIONS,
        settings={"recipe": {"epochs": 12, "optimizer": "adam"}, "classes": (3,)},
        machine={"processor": "a processor", "cores": 2},
        command="expunge study something --seeds 2",
        seeds=2,
    )
    return dataclasses.replace(usual, **changes)


@dataclasses.dataclass(frozen=True)
class Making:
    """The functions above, for tests to use."""

    row: Callable[..., Row] = row
    case: Callable[..., Case] = case
    errors_row: Callable[..., Row] = errors_row
    errors_case: Callable[..., Case] = errors_case
    links_row: Callable[..., Row] = links_row
    links_case: Callable[..., Case] = links_case
    rankings_row: Callable[..., Row] = rankings_row
    rankings_case: Callable[..., Case] = rankings_case
    features_case: Callable[..., Case] = features_case
    answering: Callable[..., Curves] = answering
    evidence: Callable[..., Evidence] = evidence
    curves: Callable[..., Curves] = curves


@pytest.fixture(scope="session")
def make() -> Making:
    return Making()
