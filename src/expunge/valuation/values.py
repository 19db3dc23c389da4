"""What a valuation finds: a number for each training point, what it cost, and a rule for points that it never saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from expunge.errors import BadSetting

Array = np.ndarray


@dataclass(frozen=True)
class Cost:
    """What it took.

    Args:
        trainings: models that were trained; what was found before and kept is not counted.
        seconds: by the clock.
        cpu_seconds: of all threads of this process.
    """

    trainings: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Values:
    """Worth of training points.

    Args:
        method: the name of the method.
        values: shape (n,); the more, the better for the metric. Methods differ in scale: compare ranks, not numbers.
        cost: of finding them.
        rule: values of other points, from inputs and targets as they were given to `fit`.
        clusters: which cluster each point is in, shape (n,), for methods that make some.
        cluster_values: worth of each cluster, shape (k,).
        facts: what else the method has to say, for reports.
    """

    method: str
    values: Array
    cost: Cost
    rule: Callable[[Array, Array], Array] = field(repr=False)
    clusters: Array | None = None
    cluster_values: Array | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    def value_of(self, X: Array, y: Array) -> Array:
        """Values of points that the method never saw, shape (n,); nothing is trained.

        Raises:
            BadSetting: if there isn't a target for each row.
        """
        if len(X) != len(y):
            raise BadSetting(f"every row needs one target: there are {len(X):,} rows and {len(y):,} targets")
        return self.rule(X, y)

    def order(self) -> Array:
        """Rows from the least to the most valuable; of equal ones the first in the data comes first."""
        return np.argsort(self.values, kind="stable")
