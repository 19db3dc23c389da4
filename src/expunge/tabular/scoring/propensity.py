"""Propensity: whether a logistic regression can tell which table a row is from.

With p the probability that it finds for each of the N rows of both tables, c the share of synthetic ones and k its
parameters:

    pMSE  = 1/N sum (p - c)^2
    pMSE0 = (k - 1) (1 - c)^2 c / N                             expected of tables of one distribution

    paper, official   S_pMSE = alpha^( - |1 - pMSE / pMSE0| ),  alpha = 1.2
    robust            S_pMSE = 1 - max(0, pMSE - pMSE0) / (c (1 - c) - pMSE0)

Reference: J. Snoke, G. Raab, B. Nowok, C. Dibben, A. Slavkovic, "General and specific utility measures for synthetic data",
JRSS A 181 (2018), arXiv 1604.06651. The published form is 0.83 for a table beside itself, whose ratio is 0, and next to 0
for whatever a large sample tells apart at all: the ratio grows with N. robust is the share of the variance of "which table"
that the model does not explain, beyond chance: 1 for the same distribution, 0 for tables that it tells apart wholly,
whatever N.

``official`` reads codes of categories as numbers; the others give each category but the first an input of its own. The
model is blind to how columns go together.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from expunge.tabular.coded import Array, Coded
from expunge.tabular.scoring.features import Features
from expunge.tabular.scoring.pair import Mode, Pair, Part, as_numbers

_STEPS = 100
_UNPENALISED = 1e6  # C of scikit-learn: the expectation is one of maximum likelihood


def propensity(pair: Pair, mode: Mode, alpha: float = 1.2, most: int = 100_000, seed: int = 0) -> Part:
    """The part of propensity scores; of at most `most` rows of each table, drawn by the seed.

    robust tells nothing where chance alone would explain all of the variance: with far more inputs than rows.
    """
    said: tuple[str, ...] = ()
    if max(len(pair.real), len(pair.synthetic)) > most:
        generator = np.random.default_rng(seed)
        parts = [
            each.rows(generator.permutation(len(each))[:most]) if len(each) > most else each
            for each in (pair.real, pair.synthetic)
        ]
        pair = Pair(*parts)
        said = (f"pMSE is of {len(pair.real):,} real and {len(pair.synthetic):,} synthetic rows, drawn at random.",)
    inputs = _codes(pair) if mode == "official" else _inputs(pair)
    labels = np.repeat([0, 1], [len(pair.real), len(pair.synthetic)])
    strength = _UNPENALISED if mode == "robust" else 1.0
    chances = _probabilities(inputs, labels, strength)
    share = len(pair.synthetic) / len(labels)
    found = float(np.square(chances - share).mean())
    expected = inputs.shape[1] * (1 - share) ** 2 * share / len(labels)
    whole = share * (1 - share)
    if mode == "robust":
        if whole <= expected:
            said = (*said, f"{len(labels):,} rows are too few for {inputs.shape[1]:,} inputs: pMSE can't be told.")
            return Part(None, details={"pmse": found, "pmse_expected": expected}, warnings=said)
        value = 1 - max(0.0, found - expected) / (whole - expected)
    else:
        value = alpha ** -abs(1 - found / expected)
    return Part(float(np.clip(value, 0, 1)), details={"pmse": found, "pmse_expected": expected}, warnings=said)


def _inputs(pair: Pair) -> Array:
    both = Coded(
        pair.schema,
        np.concatenate([pair.real.numbers, pair.synthetic.numbers]),
        np.concatenate([pair.real.codes, pair.synthetic.codes]),
        pair.synthetic.unknown,
    )
    return Features.of(pair)(both, drop_first=True)


def _codes(pair: Pair) -> Array:
    """Both tables' columns as numbers, scaled by the real range; gaps, which the released code refuses, by the real median."""
    real, synthetic = as_numbers(pair.real), as_numbers(pair.synthetic)
    low, high, median = np.nanmin(real, axis=0), np.nanmax(real, axis=0), np.nanmedian(real, axis=0)
    values = np.concatenate([real, synthetic])
    return np.asarray((np.where(np.isnan(values), median, values) - low) / np.where(high > low, high - low, 1.0))


def _probabilities(inputs: Array, labels: Array, strength: float) -> Array:
    """That each row is synthetic. Solved tightly: the score of alike tables is far more sensitive than the fit."""
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # tables that are told apart wholly have no finite solution
        return np.asarray(model.fit(inputs, labels).predict_proba(inputs)[:, 1])
