"""Intrinsic weights: the quality of a point as one of its kind, above 0, whatever else there is.

confidence   probability of its label, by models that didn't train on it (`folds` folds); of real numbers exp(-error / mean)
neighbours   share of its nearest points that have its label; of real numbers exp(-distance to their mean target / mean)
centroid     exp(-distance to its cluster's centre / mean distance)
uniform      1
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from expunge.valuation.clusters import Clusters
from expunge.valuation.game import Game
from expunge.valuation.points import Array, Points

Weighing = Literal["confidence", "neighbours", "centroid", "uniform"]
WEIGHINGS = ("confidence", "neighbours", "centroid", "uniform")
LEAST = 1e-6  # so that shares of a cluster's value exist
_NEAREST = 10
Rule = Callable[[Points, Array, Array], Array]  # from points, embedded points and their clusters


def weigh(how: Weighing, game: Game, embedded: Array, clusters: Clusters, folds: int) -> tuple[Array, Rule]:
    """Weights of the training points, shape (n,), and the rule that weighs others."""
    ways = {"confidence": _confidence, "neighbours": _neighbours, "centroid": _centroid, "uniform": _uniform}
    weights, rule = ways[how](game, embedded, clusters, folds)
    return weights.clip(min=LEAST), lambda *points: rule(*points).clip(min=LEAST)


def out_of_fold(game: Game, folds: int) -> tuple[Array, Rule]:
    """What models say of each point that they didn't train on, as a weight; and what a model of all points says of others."""
    fold = np.empty(len(game), dtype=np.int64)
    groups = game.points.targets if len(game.points.classes) else np.zeros(len(game))
    shuffled = game.generator("folds").permutation(len(game))
    fold[shuffled[np.argsort(groups[shuffled], kind="stable")]] = np.arange(len(game)) % folds
    masks = np.concatenate([fold != np.arange(folds)[:, None], np.ones((1, len(game)), bool)])
    ask = game.train(masks)
    answers = ask(game.points.inputs)[fold, np.arange(len(game))]
    mean = 1.0 if len(game.points.classes) else float(np.abs(answers - game.points.targets).mean()) or 1.0

    def rule(points: Points, embedded: Array, members: Array) -> Array:
        return _liking(ask(points.inputs)[-1], points, mean)

    return _liking(answers, game.points, mean), rule


def _liking(answers: Array, points: Points, mean: float) -> Array:
    if len(points.classes):
        return np.asarray(answers[np.arange(len(points)), points.targets], dtype=float)
    return np.asarray(np.exp(-np.abs(answers - points.targets) / mean))


def _confidence(game: Game, embedded: Array, clusters: Clusters, folds: int) -> tuple[Array, Rule]:
    return out_of_fold(game, folds)


def _neighbours(game: Game, embedded: Array, clusters: Clusters, folds: int) -> tuple[Array, Rule]:
    from sklearn.neighbors import NearestNeighbors

    count = min(_NEAREST, len(game) - 1)
    model, targets = NearestNeighbors(n_neighbors=count).fit(embedded), game.points.targets

    def shares(points: Points, nearest: Array) -> Array:
        if len(points.classes):
            return np.asarray((targets[nearest] == points.targets[:, None]).mean(1))
        apart = np.abs(targets[nearest].mean(1) - points.targets)
        return np.asarray(np.exp(-apart / (np.abs(targets - targets.mean()).mean() or 1.0)))

    def rule(points: Points, asked: Array, members: Array) -> Array:
        return shares(points, model.kneighbors(asked, return_distance=False))

    return shares(game.points, model.kneighbors(return_distance=False)), rule


def _centroid(game: Game, embedded: Array, clusters: Clusters, folds: int) -> tuple[Array, Rule]:
    apart = clusters.distances(embedded, clusters.members)
    mean = apart.mean() or 1.0

    def rule(points: Points, asked: Array, members: Array) -> Array:
        return np.exp(-clusters.distances(asked, members) / mean)

    return np.exp(-apart / mean), rule


def _uniform(game: Game, embedded: Array, clusters: Clusters, folds: int) -> tuple[Array, Rule]:
    return np.ones(len(game)), lambda points, asked, members: np.ones(len(points))
