"""KNN-Shapley: the recursion is the Shapley value, and new points have exact ones too."""

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.valuation import RidgeRegression, Utility
from expunge.valuation import knn_shapley as module
from expunge.valuation.knn_shapley import KNNShapley
from valuation.games import blob_utility, blobs, exact, line


def vote(X, y, valid, neighbours, masks):
    """The utility by its definition, of each row of `masks`."""
    found = []
    for mask in masks:
        total = 0.0
        for x, target in zip(*valid, strict=True):
            order = np.square(X[mask] - x).sum(1).argsort(kind="stable")
            total += (y[mask][order[:neighbours]] == target).sum() / neighbours
        found.append(total / len(valid[1]))
    return np.array(found)


def brute_force(X, y, valid, neighbours):
    return exact(lambda masks: vote(X, y, valid, neighbours, masks), len(y), np.full(len(y), 1 / len(y)))


@pytest.mark.parametrize("neighbours", [1, 3, 8, 11])
@pytest.mark.parametrize("classes", [2, 3])
def test_values_are_exact_shapley_values(neighbours, classes):
    (X, y), valid = blobs(8, classes=classes), blobs(6, 1, classes)
    found = KNNShapley(Utility(valid=valid), neighbours).fit(X, y)
    assert found.values == pytest.approx(brute_force(X, y, valid, neighbours), abs=1e-10)
    assert found.cost.trainings == 0


@pytest.mark.parametrize("neighbours", [1, 5, 60])
def test_values_sum_to_the_utility_of_all_points(neighbours):
    (X, y), valid = blobs(50), blobs(30, 1)
    values = KNNShapley(Utility(valid=valid), neighbours).fit(X, y).values
    assert values.sum() == pytest.approx(vote(X, y, valid, neighbours, np.ones((1, 50), bool))[0], abs=1e-10)


@pytest.mark.parametrize("neighbours", [1, 3, 20])
def test_a_new_point_has_the_value_that_it_would_have_among_the_others(neighbours):
    (X, y), (new, labels) = blobs(15), blobs(6, 3)
    method = KNNShapley(Utility(valid=blobs(25, 1)), neighbours)
    rule = method.fit(X, y)
    joined = [method.fit(np.vstack([X, each]), np.append(y, label)).values[-1] for each, label in zip(new, labels, strict=True)]
    assert rule.value_of(new, labels) == pytest.approx(joined, abs=1e-10)


def test_a_new_point_comes_after_equally_near_ones():
    X, y = np.arange(8.0)[:, None], np.arange(8) % 2
    method = KNNShapley(Utility(valid=(np.array([[0.0], [2.0], [7.0]]), np.array([0, 0, 1]))), 3)
    rule = method.fit(X, y)
    joined = [method.fit(np.vstack([X, X[i]]), np.append(y, 1 - y[i])).values[-1] for i in range(8)]
    assert rule.value_of(X, 1 - y) == pytest.approx(joined, abs=1e-10)


def test_results_do_not_depend_on_how_many_points_are_sorted_together(monkeypatch):
    (X, y), other = blobs(20), blobs(7, 3)
    method = KNNShapley(Utility(valid=blobs(25, 1)))
    whole = method.fit(X, y)
    values, others = whole.values, whole.value_of(*other)
    monkeypatch.setattr(module, "_DISTANCES", 60)
    parts = method.fit(X, y)
    assert parts.values == pytest.approx(values, abs=1e-12)
    assert parts.value_of(*other) == pytest.approx(others, abs=1e-12)


def test_equal_points_have_equal_values():
    X, y = blobs(12)
    X[7], y[7] = X[2], y[2]
    values = KNNShapley(Utility(valid=blobs(20, 1)), 3).fit(X, y).values
    assert values[7] == pytest.approx(values[2], abs=1e-12)


def test_far_from_the_origin_values_are_the_same():
    (X, y), (Xv, yv) = blobs(12), blobs(20, 1)
    near = KNNShapley(Utility(valid=(Xv, yv)), 3).fit(X, y).values
    assert KNNShapley(Utility(valid=(Xv + 1e6, yv)), 3).fit(X + 1e6, y).values == pytest.approx(near, abs=1e-9)


def test_whole_numbers_of_a_small_type_do_not_overflow():
    generator = np.random.default_rng(0)
    X, Xv = (generator.integers(0, 256, (count, 5), dtype=np.uint8) for count in (12, 9))
    y, yv = np.arange(12) % 2, np.arange(9) % 2
    small = KNNShapley(Utility(valid=(Xv, yv)), 3).fit(X, y).values
    assert small == pytest.approx(KNNShapley(Utility(valid=(Xv.astype(float), yv)), 3).fit(X.astype(float), y).values)


def test_real_targets_are_refused():
    with pytest.raises(BadSetting, match="knn-shapley: neighbours vote for classes, and the targets are real numbers"):
        KNNShapley(Utility(RidgeRegression(), valid=line(9, 1), metric="r2")).fit(*line(12))


def test_no_neighbours_are_refused():
    with pytest.raises(BadSetting, match="knn-shapley: neighbours must be at least 1, not 0"):
        KNNShapley(blob_utility(), 0)
