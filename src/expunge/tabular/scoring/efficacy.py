"""ML efficacy: whether models learn from the synthetic table what they learn from the real one.

    paper, official   S_ml = 1 - mean over 4 models and 2 tables (real, synthetic) of min(|u_R - u_F| / |u_R + eps|, 1),
                      with u the micro F1 or the RMSE, on that table, of the model trained on the real (R) or the synthetic
                      (F) table
    robust            S_ml = mean over models that learn something of clip( (u_F - u_0) / (u_R - u_0), 0, 1 ), with u the
                      macro AUC of one class against the others, or R^2, on real rows that neither was trained on;
                      u_0 = 1/2, or 0

Models of numbers: random forest (20 trees of depth 5), lasso, ridge, elastic net; of classes: logistic regression, random
forest (10 trees), decision tree, multilayer perceptron (50, 50). Judged on the rows they were trained on, as published,
trees know their own table by heart; lasso and elastic net with alpha = 1 on a target of 0 to 1 predict a constant. robust
judges on a third table (the holdout, or a quarter of the real rows) and lets lasso and elastic net learn. A model that
learns next to nothing from the real table says nothing.

Both are trained on at most `rows` rows, drawn by the seed; official on all.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.metrics import f1_score, mean_squared_error, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from expunge.tabular.coded import Array, Coded
from expunge.tabular.scoring.features import Features
from expunge.tabular.scoring.pair import Pair, Part, Task, relative_error

STATE = 42
_HELD_OUT = 0.25
_MOST_JUDGED = 10_000  # rows on which a model is judged
_LEAST_LEARNED = 0.02  # above u_0; below, a model says nothing
_FEWEST = 2  # rows of a class, to be held out in proportion; rows to judge by


@dataclass(frozen=True)
class Learnable:
    """Inputs and targets of one table.

    Args:
        inputs: shape (n, d).
        targets: shape (n,): classes, or numbers.
    """

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, which: Array) -> "Learnable":
        """Some rows."""
        return Learnable(self.inputs[which], self.targets[which])


def models(task: Task) -> dict[str, Callable[[], Any]]:
    """The four published models."""
    if task == "regression":
        return {
            "random forest": lambda: RandomForestRegressor(n_estimators=20, max_depth=5, random_state=STATE),
            "lasso": lambda: Lasso(max_iter=5000, random_state=STATE),
            "ridge": lambda: Ridge(alpha=1.0, random_state=STATE),
            "elastic net": lambda: ElasticNet(max_iter=5000, random_state=STATE),
        }
    return {
        "logistic regression": lambda: LogisticRegression(max_iter=5000, random_state=STATE),
        "random forest": lambda: RandomForestClassifier(n_estimators=10, random_state=STATE),
        "decision tree": lambda: DecisionTreeClassifier(random_state=STATE),
        "perceptron": lambda: MLPClassifier([50, 50], learning_rate="adaptive", random_state=STATE),
    }


def published_efficacy(real: Learnable, synthetic: Learnable, task: Task) -> Part:
    """The published form, of inputs and targets however they were encoded."""
    found = {}
    for name, make in models(task).items():
        fitted = [_fitted(make(), each) for each in (real, synthetic)]
        scores = np.array([[_published_score(model, table, task) for table in (real, synthetic)] for model in fitted])
        found[name] = float(1 - relative_error(scores[0], scores[1]).mean())
    return Part(float(np.mean(list(found.values()))), details=found)


def paper_efficacy(pair: Pair, target: str, task: Task, rows: int | None, seed: int) -> Part:
    """The published form with the target that was meant, and inputs that both tables share."""
    features = Features.of(pair)
    real, synthetic = (_learnable(each, features, target, task) for each in (pair.real, pair.synthetic))
    if (fault := _unfit(real, synthetic, task)) is not None:
        return fault
    drawn = tuple(each.rows(_places(len(each), rows, seed)) for each in (real, synthetic))
    sampled = any(len(few) < len(all_) for few, all_ in zip(drawn, (real, synthetic), strict=True))
    low, high = real.targets.min(), real.targets.max()
    if task == "regression" and high > low:
        drawn = tuple(Learnable(each.inputs, (each.targets - low) / (high - low)) for each in drawn)
    found = published_efficacy(drawn[0], drawn[1], task)
    return Part(found.value, details=found.details, warnings=_sampled(sampled, rows))


def robust_efficacy(pair: Pair, target: str, task: Task, rows: int | None, seed: int, holdout: Coded | None = None) -> Part:
    """The mended form."""
    features = Features.of(pair)
    real, synthetic = (_learnable(each, features, target, task) for each in (pair.real, pair.synthetic))
    if (fault := _unfit(real, synthetic, task)) is not None:
        return fault
    places = np.arange(len(real))
    if holdout is None:
        places, held = _held_out(real, task, seed)
        test = real.rows(held)
    else:
        test = _learnable(holdout, features, target, task)
        if len(test) < _FEWEST:
            return Part(None, warnings=("Hardly a holdout row has a known target: ML efficacy can't be told.",))
        if len(np.unique(test.targets)) < 2:
            return Part(None, warnings=(f"All holdout rows have one '{target}': ML efficacy can't be told.",))
    chosen = places[_places(len(places), rows, seed)]
    train, said = real.rows(chosen), len(chosen) < len(places)
    # As many rows, as more would be better by being more; the same ones, so that a table teaches as much as itself.
    same = len(synthetic) == len(real)
    synthetic = synthetic.rows(chosen if same else _places(len(synthetic), len(train), seed))
    test = test.rows(_places(len(test), _MOST_JUDGED, seed))
    if task == "regression":
        center, spread = train.targets.mean(), train.targets.std() or 1.0
        train, synthetic, test = (Learnable(each.inputs, (each.targets - center) / spread) for each in (train, synthetic, test))
    least = 0.5 if task == "classification" else 0.0
    reached = {name: [_judged(make(), each, test, task) for each in (train, synthetic)] for name, make in _mended(task).items()}
    learned = {name: scores for name, scores in reached.items() if scores[0] - least >= _LEAST_LEARNED}
    if not learned:
        return Part(None, warnings=(f"No model learns '{target}' from the real table: ML efficacy can't be told.",))
    found = {name: float(np.clip((of[1] - least) / (of[0] - least), 0, 1)) for name, of in learned.items()}
    details = {
        f"{name}, {where}": of[place] for name, of in reached.items() for place, where in enumerate(("real", "synthetic"))
    }
    return Part(float(np.mean(list(found.values()))), details={**found, **details}, warnings=_sampled(said, rows))


def _mended(task: Task) -> dict[str, Callable[[], Any]]:
    if task == "regression":
        weak = {"max_iter": 5000, "random_state": STATE, "alpha": 0.01}
        return {**models(task), "lasso": lambda: Lasso(**weak), "elastic net": lambda: ElasticNet(**weak)}
    return {
        **models(task),
        "decision tree": lambda: DecisionTreeClassifier(min_samples_leaf=10, random_state=STATE),
        "perceptron": lambda: MLPClassifier([50, 50], max_iter=50, random_state=STATE),
    }


def _learnable(coded: Coded, features: Features, target: str, task: Task) -> Learnable:
    """Rows whose target is known; of classes, one that the real table has."""
    column = coded.schema[target]
    if task == "classification":
        targets = coded.codes[:, [each.name for each in coded.schema.categories].index(target)]
        known = targets < len(column.values)
    else:
        targets = coded.numbers[:, [each.name for each in coded.schema.numbers].index(target)]
        known = ~np.isnan(targets)
    return Learnable(features(coded, skip=target)[known], targets[known])


def _unfit(real: Learnable, synthetic: Learnable, task: Task) -> Part | None:
    """What is to be said where one of the tables can't be learned from."""
    if not real.inputs.shape[1]:
        return Part(None, warnings=("There is no column besides the target: ML efficacy can't be told.",))
    for table, where in ((real, "real"), (synthetic, "synthetic")):
        kinds = len(np.unique(table.targets)) if len(table) else 0
        if kinds < 2:
            says = f"The {where} table's target has {'one value only' if kinds else 'no known value'}"
            if where == "real":
                return Part(None, warnings=(f"{says}: ML efficacy can't be told.",))
            return Part(0.0, warnings=(f"{says}: no model learns anything from it.",))
    return None


def _held_out(real: Learnable, task: Task, seed: int) -> tuple[Array, Array]:
    """Places of three quarters and of a quarter of the rows, of each class alike."""
    stratify = (
        real.targets if task == "classification" and np.unique(real.targets, return_counts=True)[1].min() >= _FEWEST else None
    )
    places = np.arange(len(real))
    try:
        train, test = train_test_split(places, test_size=_HELD_OUT, random_state=seed, stratify=stratify)
    except ValueError:  # more classes than rows held out
        train, test = train_test_split(places, test_size=_HELD_OUT, random_state=seed)
    return train, test


def _places(count: int, most: int | None, seed: int) -> Array:
    """Places of at most so many of `count` rows."""
    if most is None or count <= most:
        return np.arange(count)
    return np.random.default_rng(seed).permutation(count)[:most]


def _sampled(sampled: bool, rows: int | None) -> tuple[str, ...]:
    return (f"ML efficacy is of models trained on {rows:,} rows of each table, drawn at random.",) if sampled else ()


def _fitted(model: Any, table: Learnable) -> Any:
    # Small matrices gain nothing by threads, which wait for each other where another process is busy.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the perceptron's steps are part of the definition
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # whether it is a class, the schema says
        return model.fit(table.inputs, table.targets)


def _published_score(model: Any, table: Learnable, task: Task) -> float:
    predicted = model.predict(table.inputs)
    if task == "classification":
        return float(f1_score(table.targets, predicted, average="micro"))
    return float(np.sqrt(mean_squared_error(table.targets, predicted)))


def _judged(model: Any, train: Learnable, test: Learnable, task: Task) -> float:
    """Macro AUC of one class against the others, or R^2, on rows of a third table."""
    if task == "regression":
        return float(r2_score(test.targets, _fitted(model, train).predict(test.inputs)))
    if len(np.unique(train.targets)) < 2:
        return 0.5
    fitted = _fitted(model, train)
    chances = fitted.predict_proba(test.inputs)
    return _macro_auc(chances, fitted.classes_, test.targets)


def _macro_auc(chances: Array, classes: Sequence[int], targets: Array) -> float:
    """Mean over the classes that some rows have and others don't; 1/2 for one that the model never saw."""
    places, found = {int(each): place for place, each in enumerate(classes)}, []
    for kind in np.unique(targets):
        mine = targets == kind
        if not mine.all():
            found.append(float(roc_auc_score(mine, chances[:, places[int(kind)]])) if int(kind) in places else 0.5)
    return float(np.mean(found)) if found else 0.5
