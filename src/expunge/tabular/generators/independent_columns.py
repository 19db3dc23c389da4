"""Independent columns: each column is drawn by itself from its distribution in the real table; the floor of all generators.

    p(x_1, ..., x_m) = p_1(x_1) * ... * p_m(x_m)

p_j of a category, and of a number with at most 1,000 distinct values, is its empirical distribution. Other numbers keep the
values that at least 0.2 % of rows share with these shares, and are linear between 500 quantiles elsewhere. Gaps come at their
rate. What a score gives such a table, it gives without a look at how columns hang together.

Reference: none; it is the product of the marginal distributions, which a table has whose columns were shuffled one by one.
Needs: nothing. It keeps values of single columns, which may tell of persons where a value is rare.
Costs: a sort of each number column.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from expunge.engine import Engine
from expunge.tabular.coded import Array, Coded
from expunge.tabular.generators.generator import Conditions, Generator, Monitor, known
from expunge.tabular.generators.marginals import Marginals, written_range


@dataclass
class IndependentColumns(Generator):
    """Columns drawn one by one. It has no settings.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1, 2, 2, 3, 9] * 4, "kind": ["a", "a", "b", "b", "b"] * 4})
    >>> sample = IndependentColumns().fit(table).sample(1000, {"size": (2, 5)})
    >>> sorted(set(sample["size"])), sorted(set(sample["kind"]))
    ([2, 3], ['a', 'b'])
    """

    def _fit(self, real: Coded, engine: Engine, monitor: Monitor | None) -> None:
        self._marginals = Marginals.of(real)

    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        return self._drawn(n, generator, {}, {})

    def _sample_given(self, n: int, generator: np.random.Generator, conditions: Conditions) -> Coded:
        return self._drawn(n, generator, conditions.numbers, conditions.codes)

    def _drawn(
        self,
        n: int,
        generator: np.random.Generator,
        ranges: Mapping[int, tuple[float, float]],
        wanted: Mapping[int, tuple[int, ...]],
    ) -> Coded:
        numbers = np.empty((n, len(self.schema.numbers)))
        for place in range(numbers.shape[1]):
            numbers[:, place] = self._numbers(place, n, generator, ranges.get(place))
        codes = np.empty((n, len(self.schema.categories)), np.int64)
        for place, shares in enumerate(self._marginals.categories):
            given = self._marginals.codes_given(place, wanted[place]) if place in wanted else shares
            codes[:, place] = generator.choice(len(given), n, p=given)
        return known(self.schema, numbers, codes)

    def _numbers(self, place: int, n: int, generator: np.random.Generator, given: tuple[float, float] | None) -> Array:
        marginal = self._marginals.numbers[place]
        if given is None:
            return np.where(generator.random(n) < marginal.gap_share, np.nan, marginal.at(generator.random(n)))
        if np.isnan(given[0]):
            return np.full(n, np.nan)
        least, most, _ = written_range(self.schema.numbers[place], *given)
        return marginal.at(generator.uniform(*self._marginals.shares_given(place, *given), n)).clip(least, most)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self._marginals.state(), {}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self._marginals = Marginals.restored(self.schema, tensors)
