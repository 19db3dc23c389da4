"""What every valuation has in common: fit it to training points, ask it about others."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from expunge.errors import BadSetting
from expunge.registry import Registered
from expunge.valuation.game import Game
from expunge.valuation.points import Array, Points
from expunge.valuation.utility import Utility
from expunge.valuation.values import Cost, Values

_NEIGHBOURS = 5


@dataclass
class Found:
    """What a method found.

    Args:
        values: shape (n,).
        rule: values of other points; that of their nearest neighbours of the same class when None.
        clusters: shape (n,), where there are some.
        cluster_values: shape (k,).
        facts: what else is to be said.
    """

    values: Array
    rule: Callable[[Points], Array] | None = None
    clusters: Array | None = None
    cluster_values: Array | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class ValuationMethod(Registered, ABC):
    """One way to value training points. Fields are its settings; all of them take the utility first.

    Args:
        utility: what points are worth something for.

    Attributes:
        asks_model: whether the utility's model and metric play a part.
        asks_validation: whether its validation set does.
        zero_is_neutral: whether a value below 0 says that a point did harm.
    """

    utility: Utility

    asks_model: ClassVar[bool] = True
    asks_validation: ClassVar[bool] = True
    zero_is_neutral: ClassVar[bool] = True

    def fit(self, X: Any, y: Any) -> Values:
        """Value each training point.

        Args:
            X: shape (n, ...), finite numbers.
            y: shape (n,), classes or real numbers.

        Raises:
            BadSetting: if they can't be valued, and why.
        """
        game = self.utility.on(X, y)
        started, worked = time.monotonic(), time.process_time()
        with game.progress(self.name, self.trainings(game)):
            found = self.find(game)
        cost = Cost(game.trainings, time.monotonic() - started, time.process_time() - worked)
        rule = found.rule or nearest(game.points, found.values)
        self._fitted = Values(
            self.name,
            found.values,
            cost,
            lambda X, y: rule(game.read(X, y)),
            found.clusters,
            found.cluster_values,
            found.facts,
        )
        return self._fitted

    def value_of(self, X: Any, y: Any) -> Array:
        """Values of points that `fit` never saw, shape (n,); nothing is trained.

        Raises:
            BadSetting: before `fit`.
        """
        if not hasattr(self, "_fitted"):
            raise BadSetting(f"{self.name}: fit it to training points first")
        return self._fitted.value_of(X, y)

    @abstractmethod
    def find(self, game: Game) -> Found:
        """Do it."""

    def trainings(self, game: Game) -> int:
        """How many models will be trained, at most."""
        return 0


def nearest(points: Points, values: Array, neighbours: int = _NEIGHBOURS) -> Callable[[Points], Array]:
    """A rule: the mean value of the nearest training points, of those of the same class where targets are classes.

    A class that was not trained on is worth 0.
    """
    from sklearn.neighbors import KNeighborsRegressor

    def rule(asked: Points) -> Array:
        found = np.zeros(len(asked))
        groups = points.targets if len(points.classes) else np.zeros(len(points))
        asked_groups = asked.targets if len(points.classes) else np.zeros(len(asked))
        for group in np.unique(asked_groups):
            rows, where = groups == group, asked_groups == group
            if rows.any():
                model = KNeighborsRegressor(min(neighbours, int(rows.sum()))).fit(points.flat[rows], values[rows])
                found[where] = model.predict(asked.flat[where])
        return found

    return rule
