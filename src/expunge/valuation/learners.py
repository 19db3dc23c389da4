"""What a utility trains: many models at once where that can be, else one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.valuation.estimators import Estimator
from expunge.valuation.learner import Ask, Learner
from expunge.valuation.logistic import Logistic
from expunge.valuation.network import Network
from expunge.valuation.points import Array, Points
from expunge.valuation.ridge import RidgeRegression

_LOGITS = 4_000_000  # numbers that one batch of models works on: more no longer stay in a processor's cache
_LARGEST_C = 100.0  # above, an almost free model is far from its solution where gradients are small: scikit-learn trains it
_MOST = 0.9  # share of the points in use, above which leaving out the others saves nothing


@dataclass(frozen=True)
class Batched(Learner):
    """Models that are trained all at once.

    Args:
        model: of which kind.
        device: where.
    """

    model: Logistic | RidgeRegression | Network
    device: str = "cpu"

    together: ClassVar[int] = 256

    def key(self) -> Any:
        return self.model

    def train(self, points: Points, masks: Array) -> Ask:
        if (not len(points.classes)) != isinstance(self.model, RidgeRegression):
            kind = "classes" if len(points.classes) else "real numbers"
            raise BadSetting(f"utility: {type(self.model).__name__} can't learn targets that are {kind}")
        used = np.asarray(masks.any(0))
        if used.mean() < _MOST:
            points, masks = points.at(used), masks[:, used]
        classes = max(len(points.classes), 1)
        together = max(_LOGITS // (len(points) * classes), 1)
        centre = (
            points.flat.mean(0, dtype=float) if self._centred else np.zeros(points.flat.shape[1])
        )  # single precision follows
        inputs = self._tensor(points.flat - centre)
        parts = [self._at_once(points, inputs, masks[start : start + together]) for start in range(0, len(masks), together)]

        def ask(asked: Array) -> Array:
            questions = self._tensor(asked.reshape(len(asked), -1) - centre)
            few = max(_LOGITS // (min(together, len(masks)) * classes), 1)
            return np.concatenate([torch.cat([part(some) for some in questions.split(few)], 1).cpu().numpy() for part in parts])

        return ask

    @property
    def _centred(self) -> bool:
        """Whether the model is the same when all inputs are moved."""
        return isinstance(self.model, Network) or self.model.intercept

    def _at_once(self, points: Points, inputs: Tensor, masks: Array) -> Callable[[Tensor], Tensor]:
        weights = self._tensor(masks)
        if isinstance(self.model, RidgeRegression):
            return self.model.train(inputs, torch.as_tensor(points.targets, dtype=torch.float64, device=self.device), weights)
        return self.model.train(inputs, torch.as_tensor(points.targets, device=self.device), len(points.classes), weights)

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=self.device)


def learner_for(model: Any, device: str, jobs: int | None) -> Learner:
    """The fastest learner that trains what `model` says.

    scikit-learn's `LogisticRegression` and `Ridge` with no more than their penalty and intercept set are trained at once.
    """
    if isinstance(model, Logistic | RidgeRegression | Network):
        return Batched(model, device)
    if isinstance(model, Learner):
        return model
    if not hasattr(model, "fit"):
        raise BadSetting(f"utility: a model is trained with fit(X, y), and {type(model).__name__} has no such method")
    alike = _alike(model)
    return Estimator(model, jobs) if alike is None else Batched(alike, device)


def _alike(model: Any) -> Logistic | RidgeRegression | None:
    """What trains the same model as an estimator does, at once; None where nothing does."""
    from sklearn.linear_model import LogisticRegression, Ridge

    free = {"random_state", "n_jobs", "verbose", "warm_start", "copy_X", "tol", "max_iter", "solver", "C", "alpha"}
    free |= {"fit_intercept"}
    if type(model) not in (LogisticRegression, Ridge):
        return None
    usual = type(model)().get_params()
    if any(value != usual[name] for name, value in model.get_params().items() if name not in free):
        return None
    if isinstance(model, Ridge):
        positive = isinstance(model.alpha, int | float) and model.alpha > 0
        return RidgeRegression(float(model.alpha), model.fit_intercept) if positive else None
    if model.solver == "liblinear" or model.C > _LARGEST_C:
        return None
    return Logistic(float(model.C), model.fit_intercept, min(float(model.tol), Logistic.tolerance))
