"""Bootstrap: rows of the real table, drawn with replacement; the ceiling of fidelity, and no privacy at all.

    x = r_I,      I uniform on 1, ..., n

What a score says of such a table is as good as a table of that size can get by it. Every row made is a person's row, gaps and
all: never hand such a table, or the file that `save` writes, to somebody who may not see the real one. It holds all its rows.

Reference: B. Efron. "Bootstrap Methods: Another Look at the Jackknife", The Annals of Statistics 7(1), 1979,
doi 10.1214/aos/1176344552.
Needs: nothing. Costs: memory and a file as large as the table.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.tabular.coded import Array, Coded
from expunge.tabular.generators.generator import Conditions, Generator, Monitor, known


@dataclass
class Bootstrap(Generator):
    """Real rows, drawn with replacement: no privacy. It has no settings.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1, 2, 2, 3, 9] * 4, "kind": ["a", "a", "b", "b", "b"] * 4})
    >>> sample = Bootstrap().fit(table).sample(1000, {"kind": "a"})
    >>> sorted(set(sample["size"]))
    [1, 2]
    """

    def _fit(self, real: Coded, engine: Engine, monitor: Monitor | None) -> None:
        self._rows = real

    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        return self._drawn(np.arange(len(self._rows)), n, generator)

    def _sample_given(self, n: int, generator: np.random.Generator, conditions: Conditions) -> Coded:
        there = np.flatnonzero(conditions.satisfied(self._rows))
        if not len(there):
            raise BadRequest(f"none of the real table's {len(self._rows):,} rows has {conditions}; ask for less at once")
        return self._drawn(there, n, generator)

    def _drawn(self, which: Array, n: int, generator: np.random.Generator) -> Coded:
        return self._rows.rows(which[generator.integers(len(which), size=n)])

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"numbers": torch.from_numpy(self._rows.numbers), "codes": torch.from_numpy(self._rows.codes)}, {}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self._rows = known(self.schema, tensors["numbers"].numpy(), tensors["codes"].numpy())
