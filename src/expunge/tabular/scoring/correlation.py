"""Correlation: whether columns go together in the synthetic table as they do in the real one.

With r and s the associations of the real and of the synthetic table (:mod:`expunge.tabular.scoring.association`) and
sln(x) = sign(x) ln|x|:

    paper, official   S_corr = 1 - 1/(n^2 - n) sum_{i != j} min( |sln r_ij - sln s_ij| / |sln r_ij + eps|, 1 )
    robust            S_corr = 1 - sum_{i != j} min(|t(r_ij) - t(s_ij)|, m_ij) / sum_{i != j} m_ij,
                      m_ij = max(|t(r_ij)|, |t(s_ij)|),
                      t(x) = sign(x) max(0, 1 - ln|x| / ln tau_ij)

The logarithm makes weak associations count beside strong ones. Of the published form's relative errors those of the weakest
pairs are the largest, where only chance tells the tables apart, and a perfect association divides by nothing. t is 0 for
what is weaker than tau_ij, in whichever direction, and 1 for a perfect association; tau_ij is 0.05, or what columns that
don't go together stay below in 997 of 1,000 tables of that size. Pairs without any association in either table don't count,
so that they can't lift a score. ``official`` gives 0 where an association is exactly 0, as the released code does;
``paper`` takes it for 1e-6.
"""

import numpy as np

from expunge.tabular.coded import Array
from expunge.tabular.scoring.association import associations
from expunge.tabular.scoring.pair import EPSILON, Mode, Pair, Part, relative_error

WEAKEST = 0.05


def correlation(pair: Pair, mode: Mode) -> Part:
    """The part of correlations; None where there is one column only."""
    if len(pair.scored) < 2:
        return Part(None, warnings=("One column is scored: there is nothing that it could go together with.",))
    both = [associations(each, corrected=mode == "robust") for each in (pair.real, pair.synthetic)]
    real, synthetic = (each.values for each in both)
    if mode == "robust":
        weakest = np.maximum(WEAKEST, np.maximum(both[0].chance, both[1].chance))
        return _robust(real, synthetic, weakest, pair)
    if mode == "paper":
        floored = [np.where(np.abs(each) < EPSILON, EPSILON, each) for each in (real, synthetic)]
    else:
        floored = [real, synthetic]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.sign(each) * np.log(np.abs(each)) for each in floored]
    errors = relative_error(logs[0], logs[1])
    if mode == "paper":
        np.fill_diagonal(errors, 0)
    count = len(pair.scored)
    value = 1 - errors.sum() / (count**2 - count)
    columns = 1 - (errors.sum(0) + errors.sum(1)) / (2 * (count - 1))
    warnings: tuple[str, ...] = ()
    if np.isnan(value):
        warnings = (
            "An association is exactly 0, as with a column of one value: the released code then gives 0 for all correlations.",
        )
    return Part(
        float(np.nan_to_num(value)), _named(pair, np.nan_to_num(columns)), warnings=warnings, matrices=(real, synthetic)
    )


def _robust(real: Array, synthetic: Array, weakest: Array, pair: Pair) -> Part:
    first, second = _strength(real, weakest), _strength(synthetic, weakest)
    most = np.maximum(np.abs(first), np.abs(second))
    np.fill_diagonal(most, 0)
    errors = np.minimum(np.abs(first - second), most)
    total = most.sum()
    both, errors_both = most.sum(0) + most.sum(1), errors.sum(0) + errors.sum(1)
    columns = 1 - np.divide(errors_both, both, out=np.zeros_like(both), where=both > 0)
    value = 1 - errors.sum() / total if total > 0 else 1.0
    return Part(float(value), _named(pair, columns), matrices=(real, synthetic))


def _strength(values: Array, weakest: Array) -> Array:
    """-1 to 1; 0 for all that is weaker than `weakest`."""
    size, least = np.maximum(np.abs(values), weakest), np.minimum(weakest, 1 - EPSILON)
    return np.sign(values) * np.maximum(1 - np.log(size) / np.log(least), 0)


def _named(pair: Pair, columns: Array) -> dict[str, float]:
    return dict(zip(pair.names, columns.tolist(), strict=True))
