"""Small games whose values are known: exact semivalues over all subsets, and digits with flipped labels."""

from itertools import combinations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from expunge.valuation.logistic import Logistic
from expunge.valuation.utility import Utility


def blobs(count, seed=0, classes=2, features=3):
    """Points of overlapping classes, all of which occur."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % classes
    return generator.normal(size=(count, features)) + 1.5 * np.eye(classes, features)[y], y


def line(count, seed=0):
    """Inputs, and real targets that grow with the first two of them."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(count, 3))
    return X, 2 * X[:, 0] - X[:, 1] + 0.3 * generator.normal(size=count)


def blob_utility(metric="probability", classes=2, **settings):
    return Utility(Logistic(tolerance=1e-5), valid=blobs(40, 1, classes), metric=metric, **settings)


def exact(utilities, count, weights):
    """Semivalues by their definition: `utilities` of all subsets, asked for as rows of 0 and 1.

    Args:
        weights: of subsets of 0 .. count - 1 other points, summing to 1.
    """
    masks = (np.arange(2**count)[:, None] >> np.arange(count)) % 2 == 1
    found = utilities(masks)
    values = np.zeros(count)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        for size in range(count):
            subsets = np.array([sum(1 << j for j in chosen) for chosen in combinations(others, size)])
            values[i] += weights[size] * (found[subsets | (1 << i)] - found[subsets]).mean()
    return values


def exact_shapley(game):
    return exact(game.utilities, len(game), np.full(len(game), 1 / len(game)))


def flipped_digits(count=150, share=0.15, seed=0):
    """Training points with some wrong labels, which those are, and clean validation points."""
    X, y = load_digits(return_X_y=True)
    X, rest, y, rest_y = train_test_split(X / 16, y, train_size=count, stratify=y, random_state=seed)
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(count) < round(share * count)
    y = np.where(wrong, (y + generator.integers(1, 10, count)) % 10, y)
    return X, y, wrong, (rest[:300], rest_y[:300])


def detection(values, wrong):
    """AUROC of low values among wrong labels."""
    return roc_auc_score(wrong, -values)
