"""Basic statistics: how near mean, median and standard deviation of each column are to the real ones.

    paper, official   S_basic = 1 - 1/(3 n) sum over columns and statistics of min(|R - F| / |R + eps|, 1)
    robust            S_basic = 1 - 1/n sum over columns of their error;
                      number:    the mean of |mean_R - mean_F| / sd_R, |median_R - median_F| / sd_R, |sd_R - sd_F| / sd_R and,
                                 where there are gaps, |g_R - g_F| / sqrt(g (1 - g)), g being the share of gaps; each at most 1
                      category:  the total variation 1/2 sum over categories of |p_R - p_F|

An error relative to the statistic itself explodes where a mean or median is near 0, and depends on where a column's zero
lies; one relative to the real spread doesn't, and is blind to units. Numbers of categories have no mean: their shares are
compared.
"""

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.scoring.pair import Mode, Pair, Part, as_numbers, relative_error


def basic(pair: Pair, mode: Mode) -> Part:
    """The part of basic statistics."""
    if mode != "robust":
        errors = relative_error(_statistics(as_numbers(pair.real)), _statistics(as_numbers(pair.synthetic)))
        errors = np.where(np.isnan(errors), 1.0, errors)  # a column that is all gaps has no statistics
        columns = 1 - errors.mean(0)
        return Part(float(1 - errors.mean()), dict(zip(pair.names, columns.tolist(), strict=True)))
    found = dict(zip((each.name for each in pair.schema.numbers), _number_errors(pair), strict=True))
    found |= dict(zip((each.name for each in pair.schema.categories), _variations(pair.real, pair.synthetic), strict=True))
    scores = {name: float(1 - found[name]) for name in pair.names}
    return Part(float(np.mean(list(scores.values()))), scores)


def _statistics(values: Array) -> Array:
    """Mean, median and population standard deviation of each column, shape (3, n); not a number where all are gaps."""
    known = ~np.isnan(values).all(0)
    found = np.full((3, values.shape[1]), np.nan)
    if np.isnan(values).any():
        found[:, known] = [each(values[:, known], axis=0) for each in (np.nanmean, np.nanmedian, np.nanstd)]
        return found
    return np.stack([values.mean(0), np.median(values, axis=0), values.std(0)])


def _number_errors(pair: Pair) -> Array:
    """Of each column of numbers the mean of its errors, shape (p,)."""
    real, synthetic = _statistics(pair.real.numbers), _statistics(pair.synthetic.numbers)
    spread = real[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(real - synthetic) / spread
        constant = np.abs(real - synthetic) > 1e-9 * np.maximum(np.abs(real[0]), np.abs(synthetic[0]))
    errors = np.where(spread <= 1e-12 * np.abs(real[0]), constant, errors)
    errors = np.clip(np.where(np.isnan(errors), 1.0, errors), 0, 1)
    gaps_real, gaps_synthetic = (np.isnan(each.numbers).mean(0) for each in (pair.real, pair.synthetic))
    share = (gaps_real + gaps_synthetic) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        gap_errors = np.clip(np.nan_to_num(np.abs(gaps_real - gaps_synthetic) / np.sqrt(share * (1 - share)), posinf=1.0), 0, 1)
    return np.where(share > 0, (errors.sum(0) + gap_errors) / 4, errors.mean(0))


def _variations(real: Coded, synthetic: Coded) -> list[float]:
    """Of each column of categories the total variation; a gap is a category."""
    found = []
    for place, size in enumerate(np.maximum(real.sizes, synthetic.sizes)):
        shares = [np.bincount(each.codes[:, place], minlength=size) / len(each) for each in (real, synthetic)]
        found.append(float(np.abs(shares[0] - shares[1]).sum() / 2))
    return found
