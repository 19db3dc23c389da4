"""Utility: how good a model is that is trained on some of the points.

    U(S) = metric on the validation set of the model that is trained on S,      U({}) = that of a model that knows nothing

A valuation asks for many subsets S. They are asked for together, as rows of a matrix of 0 and 1: logistic and ridge regressions
and small networks are trained all at once (see :mod:`expunge.valuation.logistic`), other estimators of scikit-learn one by one,
torch tasks by the engine. What was found is kept, in a file where there is a folder, so that a killed run goes on where it was;
trainings are counted.

`U({})` is the metric of a model that finds all C classes equally likely: 1 / C of its answers are right, whatever the classes'
shares. Of real numbers it is a model that always answers the mean of all training targets; a scorer is asked of scikit-learn's
`DummyClassifier` that answers at random, or `DummyRegressor`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from expunge.errors import BadSetting
from expunge.valuation.estimators import Estimator
from expunge.valuation.game import Game
from expunge.valuation.learners import learner_for
from expunge.valuation.metrics import check_metric
from expunge.valuation.points import classes_in, read_points


class Utility:
    """What a valuation asks.

    Args:
        model: a classifier or regressor of scikit-learn, a :class:`Logistic`, :class:`RidgeRegression`, :class:`Network` or
            :class:`TorchTask`; logistic regression when None. scikit-learn's `LogisticRegression` and `Ridge` are trained at
            once, as exactly as a :class:`Logistic` says, whatever their own tolerance and number of steps; wrap one in
            :class:`~expunge.valuation.estimators.Estimator` to have it trained by scikit-learn.
        valid: inputs, shape (v, ...), and targets, shape (v,), that models are judged on. Figures on the same points are
            flattering: keep a third part for those.
        metric: "accuracy", "log-loss" (its negative), "probability" (of the right class), "r2", or a scorer of scikit-learn,
            `scorer(estimator, X, y) -> float`, for its estimators.
        seed: of all that a valuation draws.
        folder: where utilities are kept; nowhere when None.
        device: where models are trained at once.
        jobs: processes for estimators that are trained one by one; None follows joblib's `parallel_config`.

    Raises:
        BadSetting: if model and metric don't fit, or a validation target or input is no number.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        valid: tuple[Any, Any],
        metric: Any = "accuracy",
        seed: int = 0,
        folder: str | Path | None = None,
        device: str = "cpu",
        jobs: int | None = None,
    ) -> None:
        from sklearn.base import is_regressor
        from sklearn.linear_model import LogisticRegression

        if not isinstance(valid, tuple | list) or len(valid) != 2:
            raise BadSetting("utility: valid must be a pair of inputs and targets that models are judged on")
        self.model = LogisticRegression() if model is None else model
        self.metric, self.seed = metric, seed
        self.folder = None if folder is None else Path(folder)
        estimator = self.model.model if isinstance(self.model, Estimator) else self.model
        if callable(metric) and not hasattr(estimator, "fit"):
            raise BadSetting(f"utility: a scorer is asked of an estimator with fit, and not of a {type(estimator).__name__}")
        self.real = metric == "r2" or (callable(metric) and is_regressor(estimator))
        check_metric(metric, self.real)
        if device != "cpu" and not torch.cuda.is_available():
            raise BadSetting(f"utility: device {device!r} was asked for, but this torch sees no CUDA device; use 'cpu'")
        self.learner = Estimator(estimator, jobs) if callable(metric) else learner_for(self.model, device, jobs)
        self.valid = valid

    def on(self, X: Any, y: Any) -> Game:
        """The utility of subsets of these training points.

        Args:
            X: shape (n, ...), finite numbers.
            y: shape (n,), classes under any names, or real numbers.

        Raises:
            BadSetting: if they are no such points, or all of one class, or shaped unlike the validation set.
        """
        classes = None if self.real else classes_in(y, self.valid[1])
        points = read_points(X, y, classes, "training points")
        valid = read_points(*self.valid, classes, "validation set", points)
        if classes is not None and len(np.unique(points.targets)) < 2:
            alone = classes[points.targets[0]]
            raise BadSetting(f"all {len(points):,} training points are of class {alone}: no classifier learns from one class")
        if self.metric == "r2" and np.ptp(valid.targets) == 0:
            raise BadSetting(f"validation set: all targets are {valid.targets[0]:g}, and r2 needs targets that differ")
        return Game(points, valid, self.learner, self.metric, self.seed, self.folder)
