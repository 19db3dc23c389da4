"""Estimators of scikit-learn, trained one by one through joblib, on as many cores or machines as it is given.

Where Ray is installed (extra `distributed`), a valuation inside `joblib.parallel_config(backend="ray")` spreads its trainings
over a cluster, once `ray.util.joblib.register_ray()` has been called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.learner import Ask, Learner
from expunge.valuation.points import Array, Points


@dataclass(frozen=True)
class Estimator(Learner):
    """Any classifier or regressor of scikit-learn's interface.

    Args:
        model: is cloned for each training.
        jobs: processes; None follows joblib's own `parallel_config`.
    """

    model: Any
    jobs: int | None = None

    def key(self) -> Any:
        return self.model

    def train(self, points: Points, masks: Array) -> Ask:
        models = self._each(_trained, points, masks, points.targets)

        def ask(asked: Array) -> Array:
            return np.stack(self._in_parallel(_answers, [(model, asked, len(points.classes)) for model in models]))

        return ask

    def answers(self, points: Points, masks: Array, asked: Array) -> Array:
        return np.stack(self._each(_trained_and_asked, points, masks, asked))

    def scores(self, points: Points, masks: Array, valid: Points, scorer: Any) -> Array:
        """What a scorer `(estimator, X, y) -> float` of scikit-learn says, shape (m,); it sees classes by their names."""
        return np.array(self._each(_scored, points, masks, valid, scorer))

    def _each(self, work: Any, points: Points, masks: Array, *rest: Any) -> list[Any]:
        return self._in_parallel(work, [(self.model, points, mask, *rest) for mask in masks])

    def _in_parallel(self, work: Any, each: list[Any]) -> list[Any]:
        from joblib import Parallel, delayed

        return list(Parallel(n_jobs=self.jobs)(delayed(work)(*arguments) for arguments in each))


def _trained(model: Any, points: Points, mask: Array, targets: Array) -> Any:
    """A clone of the model, trained on what the mask shows; a constant one where that is of one class."""
    from sklearn.base import clone
    from sklearn.dummy import DummyClassifier

    X, y = points.flat[mask], targets[mask]
    one_class = len(points.classes) > 0 and len(np.unique(y)) == 1
    chosen = DummyClassifier(strategy="most_frequent") if one_class else clone(model)
    with _told(model, f"training {{}} on {int(mask.sum()):,} of {len(mask):,} points"):
        return chosen.fit(X, y)


def _answers(trained: Any, asked: Array, classes: int) -> Array:
    flat = asked.reshape(len(asked), -1)
    with _told(trained, "asking {}"):
        if not classes:
            return np.asarray(trained.predict(flat), dtype=float)
        found = np.zeros((len(asked), classes))
        if hasattr(trained, "predict_proba"):
            found[:, trained.classes_] = trained.predict_proba(flat)
        elif hasattr(trained, "classes_"):
            found[np.arange(len(asked)), trained.predict(flat)] = 1.0
        else:
            raise TypeError("it has no classes_, so it is no classifier, and targets are classes")
        return found


def _trained_and_asked(model: Any, points: Points, mask: Array, asked: Array) -> Array:
    return _answers(_trained(model, points, mask, points.targets), asked, len(points.classes))


def _scored(model: Any, points: Points, mask: Array, valid: Points, scorer: Any) -> float:
    def named(part: Points) -> Array:
        return part.classes[part.targets] if len(part.classes) else part.targets

    trained = _trained(model, points, mask, named(points))
    with _told(model, f"scoring {{}} that was trained on {int(mask.sum()):,} of {len(mask):,} points"):
        return float(scorer(trained, valid.flat, named(valid)))


@contextmanager
def _told(model: Any, doing: str) -> Iterator[None]:
    """What a user's estimator or scorer raises becomes an error that says when."""
    try:
        yield
    except BadSetting:
        raise
    except Exception as error:
        words = doing.format(type(model).__name__)
        raise BadSetting(f"{words} failed: {type(error).__name__}: {error}") from error
