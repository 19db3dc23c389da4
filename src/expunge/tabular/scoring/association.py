"""How strongly columns go together: Pearson's r of numbers, the correlation ratio, Theil's U of categories.

    r(x, y)  Pearson's correlation, over rows where both values are known
    eta      sqrt( sum_c n_c (mean_c - mean)^2 / sum (x - mean)^2 ) of a number x by the categories c
    U(x|y)   (H(x) - H(x|y)) / H(x), of two columns of categories; how much y tells of x

All come from counts and sums over categories; no loop goes over rows. A column of one value goes with nothing: its
associations are 0. What chance adds to eta and U, which are never below 0, can be taken off: eta^2 becomes 1 - (1 - eta^2)
(n - 1) / (n - k) for k categories (T. L. Kelley, PNAS 21, 1935), and the mutual information loses (k_x - 1) (k_y - 1) / 2n
(G. A. Miller, 1955). U, on the scale of a squared correlation, then gives its root.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from expunge.tabular.coded import Array, Coded

_RARE = 0.003  # how often chance alone makes an association that counts


@dataclass(frozen=True)
class Associations:
    """How strongly columns go together, in the order of the table; in row x and column y what y tells of x.

    Args:
        values: shape (n, n), -1 to 1.
        chance: shape (n, n): what columns that don't go together stay below in 997 of 1,000 tables, if what chance adds was
            taken off.
    """

    values: Array
    chance: Array


def associations(coded: Coded, corrected: bool = False) -> Associations:
    """Associations of all scored columns.

    Args:
        coded: the table.
        corrected: whether to take off what chance adds, and to take the root of U.
    """
    numbers, categories = coded.schema.numbers, coded.schema.categories
    p, q = len(numbers), len(categories)
    found, chance = np.eye(p + q), np.zeros((p + q, p + q))
    found[:p, :p] = _pearson(coded.numbers)
    chance[:p, :p] = np.sqrt(chdtri(1, _RARE) / len(coded))
    for place in range(q):
        ratios = _correlation_ratios(coded.codes[:, place], coded.numbers, corrected)
        found[p + place, :p] = found[:p, p + place] = ratios
        kinds = len(np.unique(coded.codes[:, place]))
        chance[p + place, :p] = chance[:p, p + place] = np.sqrt(_beyond(kinds - 1) / len(coded))
    counts = [np.bincount(codes) for codes in coded.codes.T]
    for first in range(q):
        for second in range(first):
            shared = _shared(coded.codes[:, first], coded.codes[:, second], counts[first], counts[second], corrected)
            for x, y in ((first, second), (second, first)):
                entropy = _entropy(counts[x])
                found[p + x, p + y] = _theil(shared, entropy, corrected)
                free = int((np.count_nonzero(counts[x]) - 1) * (np.count_nonzero(counts[y]) - 1))
                chance[p + x, p + y] = np.sqrt(min(_beyond(free) / (2 * len(coded) * entropy), 1)) if entropy else 1.0
    constant = [*(np.ptp(column[~np.isnan(column)]) == 0 if (~np.isnan(column)).any() else True for column in coded.numbers.T)]
    constant += [np.count_nonzero(each) < 2 for each in counts]
    found[constant, :] = found[:, constant] = 0
    order = [each.name for each in (*numbers, *categories)]
    wanted = [order.index(each.name) for each in coded.schema if each.name in order]
    return Associations(found[np.ix_(wanted, wanted)], np.minimum(chance, 1)[np.ix_(wanted, wanted)])


def _beyond(free: int) -> float:
    """How far above its mean chi-squared of so many degrees of freedom rarely comes."""
    return float(chdtri(free, _RARE) - free) if free else 0.0


def _pearson(numbers: Array) -> Array:
    """Shape (p, p); 0 where rows in common are of one value."""
    known = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        means = np.where(known, numbers, 0).sum(0) / np.maximum(known.sum(0), 1)
    centred = np.where(known, numbers - means, 0)
    spread = np.sqrt(np.square(centred).mean(0))
    centred = centred / np.where(spread > 0, spread, 1)
    if known.all():
        found = centred.T @ centred / len(numbers)
    else:
        mask = known.astype(np.float64)
        count = np.maximum(mask.T @ mask, 1)
        first, squares = centred.T @ mask / count, np.square(centred).T @ mask / count  # of row's column, where both are known
        variance = np.clip(squares - np.square(first), 0, None)
        below = np.sqrt(variance * variance.T)
        products = centred.T @ centred / count - first * first.T
        found = np.divide(products, below, out=np.zeros_like(products), where=below > 1e-12)
    found = np.clip(found, -1, 1)
    np.fill_diagonal(found, 1)
    return found


def _correlation_ratios(codes: Array, numbers: Array, corrected: bool) -> Array:
    """The correlation ratio of each column of numbers by one of categories, shape (p,)."""
    found = np.zeros(numbers.shape[1])
    for place, column in enumerate(numbers.T):
        known = ~np.isnan(column)
        values, groups = (column, codes) if known.all() else (column[known], codes[known])
        if len(values) < 2:
            continue
        values = values - values.mean()
        total = np.square(values).sum()
        count, sums = np.bincount(groups), np.bincount(groups, values)
        some = count > 0
        squared = (np.square(sums[some]) / count[some]).sum() / total if total > 0 else 0.0
        kinds = np.count_nonzero(some)
        if corrected:
            squared = 1 - (1 - squared) * (len(values) - 1) / (len(values) - kinds) if len(values) > kinds else 0.0
        found[place] = np.sqrt(np.clip(squared, 0, 1))
    return found


def _entropy(counts: Array) -> float:
    """In nats, of counts of any shape."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _shared(first: Array, second: Array, first_counts: Array, second_counts: Array, corrected: bool) -> float:
    """Mutual information of two columns of categories, in nats."""
    cells = first * len(second_counts) + second
    few = len(first_counts) * len(second_counts) <= 4 * len(first)
    joint = np.bincount(cells) if few else np.unique(cells, return_counts=True)[1]
    found = _entropy(first_counts) + _entropy(second_counts) - _entropy(joint)
    if corrected:
        free = (np.count_nonzero(first_counts) - 1) * (np.count_nonzero(second_counts) - 1)
        found -= free / (2 * len(first))
    return max(found, 0.0)


def _theil(shared: float, entropy: float, corrected: bool) -> float:
    if entropy == 0:
        return 1.0
    found = min(shared / entropy, 1.0)
    return float(np.sqrt(found)) if corrected else found
