"""How good answers are: the metrics of a utility. The more, the better.

accuracy     share of right answers
log-loss     minus the mean of -ln p(right class)
probability  mean of p(right class)
r2           1 - squared error / variance of the validation targets
"""

from typing import Any

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.points import Array, Points

METRICS = ("accuracy", "log-loss", "probability", "r2")
_SMALLEST = 1e-12  # probability, in a logarithm


def score(metric: str, answers: Array, valid: Points) -> Array:
    """The metric of m models' answers.

    Args:
        answers: probabilities, shape (m, v, classes), or real numbers, shape (m, v).

    Returns:
        shape (m,).
    """
    if metric == "r2":
        errors = np.square(answers - valid.targets).sum(1)
        return np.asarray(1 - errors / np.square(valid.targets - valid.targets.mean()).sum())
    if metric == "accuracy":
        return np.asarray((answers.argmax(2) == valid.targets).mean(1))
    right = answers[:, np.arange(len(valid)), valid.targets]
    return np.asarray(right.mean(1) if metric == "probability" else np.log(right.clip(_SMALLEST)).mean(1))


def baseline(metric: Any, points: Points, valid: Points) -> float:
    """The metric of a model that was trained on nothing."""
    classes = len(points.classes)
    if callable(metric):
        return _scored_baseline(metric, points, valid)
    if metric == "r2":
        return float(score("r2", np.full((1, len(valid)), points.targets.mean()), valid)[0])
    return float(-np.log(classes) if metric == "log-loss" else 1 / classes)


def _scored_baseline(scorer: Any, points: Points, valid: Points) -> float:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    model = DummyClassifier(strategy="uniform", random_state=0) if len(points.classes) else DummyRegressor()
    named = [part.classes[part.targets] if len(part.classes) else part.targets for part in (points, valid)]
    return float(scorer(model.fit(points.flat, named[0]), valid.flat, named[1]))


def check_metric(metric: Any, real: bool) -> None:
    """Refuse what is no metric of such targets."""
    if callable(metric):
        return
    if metric not in METRICS:
        raise BadSetting(f"utility: metric must be one of {', '.join(METRICS)}, or a scorer of scikit-learn, not {metric!r}")
    if real != (metric == "r2"):
        kind = "real numbers" if real else "classes"
        raise BadSetting(f"utility: {metric} is no metric of a model that answers with {kind}")
