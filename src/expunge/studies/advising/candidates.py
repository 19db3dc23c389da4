"""Which methods may be tried on a request, with which settings, and what is left out.

Settings are those of the studies for the same kind of model, which were chosen on other rows than the studies report and follow
from the recipe; of a method that no study has, those that follow from the recipe, or its own defaults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from expunge.errors import WrongTask
from expunge.federated.client_split import ClientSplit
from expunge.methods import METHODS, SISA, CertifiedRemoval, ErrorNoise, FederatedRetrain, GatedTransfer, Method, Retrain
from expunge.split import Split
from expunge.studies import classification, federated_scenarios, graph_scenarios, recommendation_scenarios, scenarios
from expunge.studies.advice import Predicts, recommended
from expunge.tasks import (
    ClassificationTask,
    LinkPredictionTask,
    NodeClassificationTask,
    RecommendationTask,
    RegressionTask,
    Task,
)

AtHand = Literal["retain", "part", "forget", "nothing"]
Kind = Literal["class", "records", "band", "rows", "links", "nodes", "rankings", "clients"]

WITHOUT_DATA: tuple[type[Method], ...] = (ErrorNoise, GatedTransfer)
_EXACT = (Retrain, FederatedRetrain)
_PREPARED: dict[type[Method], str] = {
    SISA: "the model has to have been trained in shards for it",
    CertifiedRemoval: "it bounds what is left in a linear model, with the regularisation that it was trained with",
}


@dataclass(frozen=True)
class Choice:
    """The methods that may be tried, by name, and why others may not."""

    methods: Mapping[str, Method]
    left_out: Mapping[str, str] = field(default_factory=dict)


def kind_of(task: Task[Any], split: Split) -> Kind:
    """What kind of request it is, as far as costs and odds depend on it.

    Raises:
        WrongTask: for models on which advice has no figures to go by.
    """
    if isinstance(split, ClientSplit):
        return "clients"
    if isinstance(task, LinkPredictionTask):
        return "links"
    if isinstance(task, NodeClassificationTask):
        return "nodes"
    if isinstance(task, RecommendationTask):
        return "rankings"
    if isinstance(task, ClassificationTask):
        return "records" if split.holdout_forget is None else "class"
    if isinstance(task, RegressionTask):
        return "rows" if split.holdout_forget is None else "band"
    raise WrongTask(
        f"advice is for classifiers, regressors, graphs, recommenders and federations, not for {type(task).__name__}: try "
        "several methods in one job, or see what `expunge study` found for such models"
    )


def choose(
    task: Task[Any],
    split: Split,
    recipe: Retrain | None,
    at_hand: AtHand,
    given: Mapping[str, Method] | None = None,
) -> Choice:
    """What may be tried of `given`, or of all methods that work on the task and the request.

    Args:
        recipe: what the model was trained with; settings follow from it.
        at_hand: the data that methods may look at.
    """
    found: dict[str, Method] = {}
    out: dict[str, str] = {}
    for name, method in (_all(task, split, recipe) if given is None else given).items():
        if isinstance(method, _EXACT):
            continue
        reason = _unfit(method, task, split, at_hand, asked=given is not None)
        if reason is None:
            found[name] = method
        elif reason:
            out[name] = reason
    return Choice(found, out)


def best_guess(task: Task[Any], split: Split, recipe: Retrain | None) -> Method | None:
    """The method to begin with when nothing is known; None without a recipe, from which its settings follow."""
    if isinstance(split, ClientSplit):
        return federated_scenarios.METHODS["conda"]
    if recipe is None:
        return None
    kind = kind_of(task, split)
    predicts: Predicts | None = kind if kind in ("links", "nodes", "rankings") else None
    return recommended(recipe, kind=split.holdout_forget is not None, predicts=predicts)


def passes(method: Method, recipe: Retrain | None) -> float:
    """Expected cost of a method that was never measured: its passes over data as a share of the recipe's.

    Those that make up their own data take as long whatever the model was trained on, and are expected to take as long as
    retraining.
    """
    if isinstance(method, WITHOUT_DATA):
        return 1.0
    epochs = sum(getattr(method, name, 0) for name in ("epochs", "teacher_epochs"))
    return max(epochs, 1) / max((recipe or Retrain()).epochs, 1)


def _all(task: Task[Any], split: Split, recipe: Retrain | None) -> dict[str, Method]:
    """One setting of every method, by its own name: the recommended one's, the study's, the recipe's, or its defaults."""
    found: dict[str, Method] = {}
    guess = best_guess(task, split, recipe)
    studied = _studied(kind_of(task, split), recipe)
    for method in (*([guess] if guess else ()), *studied):
        found.setdefault(method.name, method)
    for name, kind in METHODS.items():
        if name not in found:
            maker: Any = kind
            found[name] = maker.from_recipe(recipe) if recipe is not None and hasattr(kind, "from_recipe") else maker()
    return found


def _studied(kind: Kind, recipe: Retrain | None) -> Sequence[Method]:
    """The study's methods, in its settings for a model that was trained by `recipe`."""
    if kind == "clients":
        rows: Mapping[str, Any] = federated_scenarios.METHODS
    elif kind in ("class", "records"):
        return classification.METHODS
    elif recipe is None:
        return ()
    elif kind == "links":
        rows = graph_scenarios.link_methods(recipe)
    elif kind == "nodes":
        rows = graph_scenarios.node_methods(recipe)
    elif kind == "rankings":
        rows = recommendation_scenarios.methods_for("users", recipe)
    else:
        rows = scenarios.band_methods(recipe)
    return [method for method in rows.values() if isinstance(method, Method)]


def _unfit(method: Method, task: Task[Any], split: Split, at_hand: AtHand, asked: bool) -> str | None:
    """Why a method cannot be tried; "" where nobody would expect it to, as it is for other models; None where it can."""
    try:
        method.check(task, split)
    except WrongTask as error:
        return str(error) if asked else ""
    if isinstance(split, ClientSplit) and method.splits is not ClientSplit and method.needs_retain:
        return "it needs the data of all who stay in one place"
    if at_hand in ("forget", "nothing") and method.needs_retain:
        return "it needs data that stays"
    if at_hand == "nothing" and not isinstance(method, WITHOUT_DATA):
        return "it needs the data that goes"
    return None if asked else _PREPARED.get(type(method))
