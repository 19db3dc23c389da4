"""Gaussian copula: a normal distribution tells how columns hang together, each column's own distribution what their values are.

    z ~ N(0, R),      x_j = F_j^-1(Phi(z_j))

F_j is a number's quantile function, or the shares of a category's values one after the other: value v is drawn where Phi(z_j)
falls into its block. Three things make blocks carry dependence:

- Values of a category have no order, so one is looked for: the one along which its rows differ most in all other columns (the
  first axis of a correspondence analysis against them).
- A row only tells that z_j lies in a block. Correlating places within blocks would make R too weak; R_jk is the one under which
  scores s_j of blocks correlate as they do in the real table:

      mean s_j s_k = sum_m c_jm c_km R_jk^m,      c_jm = E[s_j(z) h_m(z)],      h_m the normalised Hermite polynomials

  which has one solution, for s rises. Blocks of a number are its distinct values, and these, standardised, are their scores,
  so that plain correlations are kept; of ordered categories s_j = E[z_j | block]. As a few far values can ask for anything,
  R_jk stays within 0.2 of what such block means, that is ranks, say of numbers.
- A gap of a category is one value more. Gaps of a number are blocks of a latent variable of their own, yes or no; R between
  numbers is of the rows that have both.

R is then moved to the nearest that is positive definite, by its eigenvalues. Conditions are exact: the latent variables that
they touch are drawn from the truncated normal distribution (Gibbs sampling where there are several), all others given these.
One axis a category is what the copula can't go beyond: of categories with many values it keeps a part of the dependence.

Reference: N. Patki, R. Wedge, K. Veeramachaneni. "The Synthetic Data Vault", DSAA 2016, doi 10.1109/DSAA.2016.49, for tables.
The series: H. O. Lancaster. "Some Properties of the Bivariate Normal Distribution Considered in the Form of a Contingency
Table", Biometrika 44, 1957.
Needs: nothing. It keeps no rows, but single values: quantiles, and what many rows share, are values of the real table.
Costs: sorts, and a matrix of d x d for d columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.tabular.coded import Array, Coded
from expunge.tabular.generators.generator import Conditions, Generator, Monitor, known
from expunge.tabular.generators.latent import Blocks, correlation, ordered, truncated
from expunge.tabular.generators.marginals import Marginals, written_range
from expunge.tabular.schema import TableSchema


@dataclass
class GaussianCopula(Generator):
    """Marginals joined by a normal distribution. It has no settings.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": range(100), "twice": range(0, 200, 2), "kind": ["a"] * 50 + ["b"] * 50})
    >>> sample = GaussianCopula().fit(table).sample(1000, {"kind": "b", "size": (20, 99)})
    >>> bool(sample["size"].corr(sample["twice"]) > 0.99), bool(sample["size"].median() > 60)
    (True, True)
    """

    def _fit(self, real: Coded, engine: Engine, monitor: Monitor | None) -> None:
        numbers = [Blocks.of_numbers(values) for values in real.numbers.T]
        gaps = [Blocks.of_gaps(values) for values in real.numbers[:, _gapped(real.schema)].T]
        categories, self._orders = ordered([*numbers, *gaps], real.codes)
        self._marginals = Marginals.of(real)
        self._correlation = correlation([*numbers, *gaps, *categories])

    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        return self._rows(_normal(self._correlation, n, generator))

    def _sample_given(self, n: int, generator: np.random.Generator, conditions: Conditions) -> Coded:
        bounds = self._bounds(conditions)
        touched = np.array(list(bounds))
        others = np.setdiff1d(np.arange(len(self._correlation)), touched)
        inner = self._correlation[np.ix_(touched, touched)]
        spare = n + n // 100 + 10  # a place that is rounded out of its block costs its row
        latent = np.empty((spare, len(self._correlation)))
        latent[:, touched] = truncated(inner, list(bounds.values()), spare, generator)
        if len(others):
            slopes = np.linalg.solve(inner, self._correlation[np.ix_(touched, others)])
            rest = self._correlation[np.ix_(others, others)] - self._correlation[np.ix_(others, touched)] @ slopes
            latent[:, others] = latent[:, touched] @ slopes + _normal(rest, spare, generator)
        rows = self._rows(latent)
        for place, (low, high) in conditions.numbers.items():
            if not np.isnan(low):
                least, most, _ = written_range(self.schema.numbers[place], low, high)
                rows.numbers[:, place] = rows.numbers[:, place].clip(least, most)
        there = np.flatnonzero(conditions.satisfied(rows))
        if len(there) < n:
            raise BadRequest(f"{self.name} made {len(there):,} of {n:,} rows with {conditions}; ask for less at once")
        return rows.rows(there[:n])

    def _bounds(self, conditions: Conditions) -> dict[int, Array]:
        """By latent variable that conditions touch the shares that its place may be in, shape (intervals, 2)."""
        found, gapped, count = {}, _gapped(self.schema), len(self.schema.numbers)
        for place, (low, high) in conditions.numbers.items():
            share = 1 - self._marginals.numbers[place].gap_share
            if place in gapped:
                found[count + gapped.index(place)] = np.array([[share, 1.0]] if np.isnan(low) else [[0.0, share]])
            if not np.isnan(low):
                found[place] = np.array([self._marginals.shares_given(place, low, high)])
        for place, wanted in conditions.codes.items():
            order, ends = self._orders[place], self._ends(place)
            blocks = np.stack([np.append(0.0, ends[:-1]), ends], axis=1)
            found[count + len(gapped) + place] = blocks[np.isin(order, wanted)]
        return found

    def _ends(self, place: int) -> Array:
        """Where the blocks of a category end, in their order."""
        ends = np.cumsum(self._marginals.categories[place][self._orders[place]])
        return np.append(ends[:-1], 1.0)

    def _rows(self, latent: Array) -> Coded:
        shares, count, gapped = ndtr(latent), len(self.schema.numbers), _gapped(self.schema)
        numbers = np.empty((len(latent), count))
        for place, marginal in enumerate(self._marginals.numbers):
            numbers[:, place] = marginal.at(shares[:, place])
        for at, place in enumerate(gapped):
            numbers[shares[:, count + at] > 1 - self._marginals.numbers[place].gap_share, place] = np.nan
        codes = np.empty((len(latent), len(self._orders)), np.int64)
        for place, order in enumerate(self._orders):
            codes[:, place] = order[np.searchsorted(self._ends(place)[:-1], shares[:, count + len(gapped) + place])]
        return known(self.schema, numbers, codes)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        orders = {f"order.{place}": torch.from_numpy(order) for place, order in enumerate(self._orders)}
        return {"correlation": torch.from_numpy(self._correlation), **orders, **self._marginals.state()}, {}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self._marginals = Marginals.restored(self.schema, tensors)
        self._correlation = tensors["correlation"].numpy()
        self._orders = [tensors[f"order.{place}"].numpy() for place in range(len(self.schema.categories))]


def _gapped(schema: TableSchema) -> list[int]:
    """Places of number columns with gaps."""
    return [place for place, column in enumerate(schema.numbers) if column.gap_count]


def _normal(covariance: Array, n: int, generator: np.random.Generator) -> Array:
    """Draws of a normal distribution around 0, shape (n, d); the covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((generator.standard_normal((n, len(values))) * np.sqrt(values.clip(0))) @ vectors.T)
