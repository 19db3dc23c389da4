"""What a utility trains: the one interface of all learners."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from expunge.valuation.points import Array, Points

Ask = Callable[[Array], Array]  # from inputs, shape (v, ...), to the answers of m models


class Learner(ABC):
    """Trains on subsets.

    Attributes:
        together: models to train before their utilities are kept.
    """

    together: ClassVar[int] = 16

    def key(self) -> Any:
        """All that its models depend on beside the points, to be pickled: what is kept for one is not taken for another."""
        return self

    @abstractmethod
    def train(self, points: Points, masks: Array) -> Ask:
        """Train one model for each row of `masks`, shape (m, n), bool, none of them empty.

        Returns:
            from inputs, shape (v, ...), to probabilities, shape (m, v, classes), or real numbers, shape (m, v).
        """

    def answers(self, points: Points, masks: Array, asked: Array) -> Array:
        """Train such models and ask them once."""
        return self.train(points, masks)(asked)
