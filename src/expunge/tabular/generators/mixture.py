"""Variational mixture of normal distributions on a line: how many it needs, it finds out itself.

    p(x) = sum_k w_k N(x; mu_k, 1/lambda_k),     w from a Dirichlet process (stick-breaking), mu_k and lambda_k normal-gamma

Updates, with responsibilities r and counts c of the values:

    N_k = sum_i c_i r_ik                          nu_k = 1 + N_k                beta_k = 1 + N_k
    mu_k = (m_0 + sum_i c_i r_ik x_i) / beta_k    s_k^2 = (v_0 + N_k S_k + N_k / beta_k (xbar_k - m_0)^2) / nu_k
    ln r_ik = E[ln w_k] + (E[ln lambda_k] - nu_k (x_i - mu_k)^2 / (nu_k s_k^2) - 1 / beta_k) / 2 + constant

Values that are alike are counted, not repeated, so that a column of a million rows and 200 distinct values costs 200 rows.

Reference: D. Blei, M. Jordan. "Variational Inference for Dirichlet Process Mixtures", Bayesian Analysis 1(1), 2006.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, logsumexp

from expunge.tabular.coded import Array

_CONCENTRATION = 1e-3  # of the Dirichlet process: how readily a mode is opened
_LEAST_VARIANCE = 1e-6  # in variances of the column
_ROUNDS = 200
_TOLERANCE = 1e-4  # largest change of a responsibility after which nothing moves any more
_MOST_POINTS = 2_000
_LEAST_WEIGHT = 0.005  # of a mode that is kept


@dataclass(frozen=True)
class Mixture:
    """Modes of a column: weights, means and standard deviations, each of shape (K,)."""

    weights: Array
    means: Array
    deviations: Array

    def responsibilities(self, values: Array) -> Array:
        """How probable each mode is for each value: shape (n,) -> (n, K)."""
        scaled = (values[:, None] - self.means) / self.deviations
        density = np.log(self.weights) - np.log(self.deviations) - scaled**2 / 2
        return np.exp(density - logsumexp(density, axis=1, keepdims=True))


def fit_mixture(values: Array, most: int) -> Mixture:
    """Find the modes of a column.

    Args:
        values: shape (n,), without gaps; not all alike.
        most: modes at most.
    """
    points, counts = _points(values)
    centre, spread = np.average(points, weights=counts), values.std()
    scaled = (points - centre) / spread
    responsible = _equal_parts(counts, min(most, len(points)))
    for _ in range(_ROUNDS):
        sizes, means, variances = _modes(scaled, counts, responsible)
        updated = _responsibilities(scaled, sizes, means, variances)
        moved = np.abs(updated - responsible).max()
        responsible = updated
        if moved < _TOLERANCE:
            break
    sizes, means, variances = _modes(scaled, counts, responsible)
    kept = sizes >= _LEAST_WEIGHT * sizes.sum()
    return Mixture(sizes[kept] / sizes[kept].sum(), means[kept] * spread + centre, np.sqrt(variances[kept]) * spread)


def _points(values: Array) -> tuple[Array, Array]:
    """Distinct values and how often each occurs; of very many, evenly spaced order statistics."""
    points, counts = np.unique(values, return_counts=True)
    if len(points) <= _MOST_POINTS:
        return points, counts.astype(np.float64)
    places = (np.arange(_MOST_POINTS) + 0.5) / _MOST_POINTS
    points, counts = np.unique(np.quantile(values, places), return_counts=True)
    return points, counts * (len(values) / _MOST_POINTS)


def _equal_parts(counts: Array, modes: int) -> Array:
    """Where the search starts: parts of the sorted values that hold about as many rows each."""
    middles = (np.cumsum(counts) - counts / 2) / counts.sum()
    return np.eye(modes)[np.minimum((middles * modes).astype(int), modes - 1)]


def _modes(points: Array, counts: Array, responsible: Array) -> tuple[Array, Array, Array]:
    """Sizes, means and variances of the modes of standardised points: m_0 = 0, v_0 = 1."""
    held = counts[:, None] * responsible
    sizes = held.sum(axis=0) + 10 * np.finfo(np.float64).eps
    centres = points @ held / sizes
    scatter = (held * (points[:, None] - centres) ** 2).sum(axis=0) + sizes * _LEAST_VARIANCE
    shrunk = sizes / (1 + sizes)
    return sizes, shrunk * centres, (1 + scatter + shrunk * centres**2) / (1 + sizes)


def _responsibilities(points: Array, sizes: Array, means: Array, variances: Array) -> Array:
    after = sizes.sum() - np.cumsum(sizes)
    opened, passed = 1 + sizes, _CONCENTRATION + after
    both = digamma(opened + passed)
    weights = digamma(opened) - both
    weights[1:] += np.cumsum(digamma(passed) - both)[:-1]
    freedom = 1 + sizes
    precision = np.log(2) + digamma(freedom / 2) - np.log(freedom * variances)
    distance = (points[:, None] - means) ** 2 / variances
    density = weights + (precision - distance - 1 / (1 + sizes)) / 2
    return np.exp(density - logsumexp(density, axis=1, keepdims=True))
