"""LAVA: gradients of a transport distance, against linear programming and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from expunge.errors import BadSetting
from expunge.valuation import RidgeRegression, Utility
from expunge.valuation.lava import LAVA, _between, _costs, _sinkhorn, _transform
from valuation.games import blob_utility, blobs, line


def exact_transport(cost, masses):
    """The least cost of moving `masses` to equal ones, by linear programming."""
    rows, columns = cost.shape
    leave = np.kron(np.eye(rows), np.ones(columns))
    arrive = np.kron(np.ones(rows), np.eye(columns))
    wanted = np.concatenate([masses, np.full(columns, 1 / columns)])
    return linprog(cost.ravel(), A_eq=np.vstack([leave, arrive]), b_eq=wanted).fun


def test_potentials_are_those_of_a_plan_with_the_right_masses():
    cost, epsilon = torch.rand(30, 20, generator=torch.Generator().manual_seed(0)).double(), 0.02
    potentials = _sinkhorn(cost, epsilon, 500)
    found = _transform(cost, potentials, epsilon)
    plan = ((found[:, None] + potentials - cost) / epsilon).exp() / 600
    assert plan.sum(1).numpy() == pytest.approx(np.full(30, 1 / 30), abs=1e-9)
    assert plan.sum(0).numpy() == pytest.approx(np.full(20, 1 / 20), abs=0.002)


def test_with_little_entropy_the_distance_is_that_of_linear_programming():
    utility, points = blob_utility(), blobs(15)
    game = utility.on(*points)
    cost = _costs(game.points, game.valid, _between(game.points, game.valid))
    found = LAVA(utility, epsilon=0.005, iterations=2000).fit(*points)
    assert found.facts["distance"] == pytest.approx(exact_transport(cost.numpy(), np.full(15, 1 / 15)), rel=0.05)


def test_values_are_minus_the_slope_of_the_distance_in_a_points_mass():
    utility, points = blob_utility(), blobs(15)
    game = utility.on(*points)
    cost = _costs(game.points, game.valid, _between(game.points, game.valid)).numpy()
    values, step = LAVA(utility, epsilon=0.005, iterations=2000).fit(*points).values, 0.01
    for i in (0, 4, 11):
        more = np.full(15, (1 - 1 / 15 - step) / 14)
        less = np.full(15, (1 - 1 / 15 + step) / 14)
        more[i], less[i] = 1 / 15 + step, 1 / 15 - step
        slope = (exact_transport(cost, more) - exact_transport(cost, less)) / (2 * step)
        assert values[i] == pytest.approx(-slope, abs=0.15 * values.std() + 0.1)


def test_values_of_all_points_sum_to_nothing():
    assert LAVA(blob_utility()).fit(*blobs(30)).values.sum() == pytest.approx(0, abs=1e-9)


def test_the_rule_for_new_points_gives_training_points_their_values():
    points = blobs(30)
    found = LAVA(blob_utility()).fit(*points)
    assert found.value_of(*points) == pytest.approx(found.values, abs=1e-9)


def test_equal_points_have_equal_values():
    X, y = blobs(12)
    X[7], y[7] = X[2], y[2]
    values = LAVA(blob_utility()).fit(X, y).values
    assert values[7] == pytest.approx(values[2], abs=1e-9)


def test_a_new_point_with_the_wrong_label_is_worth_less():
    found = LAVA(blob_utility()).fit(*blobs(60))
    X, y = blobs(20, 5)
    assert (found.value_of(X, y) > found.value_of(X, 1 - y)).mean() > 0.8


def test_without_label_distances_labels_do_not_matter():
    X, y = blobs(30)
    method = LAVA(blob_utility(), label_weight=0.0)
    assert method.fit(X, y).values == pytest.approx(method.fit(X, np.roll(y, 1)).values, abs=1e-9)


def test_a_class_that_training_lacks_is_taken_from_the_validation_set():
    X, y = blobs(30, classes=3)
    kept = y < 2
    found = LAVA(Utility(valid=blobs(30, 1, classes=3))).fit(X[kept], y[kept])
    assert np.isfinite(found.values).all()
    assert found.value_of(X[~kept], y[~kept]).mean() > found.values.max()


def test_a_class_that_only_training_has_is_worth_least():
    X, y = blobs(30, classes=3)
    Xv, yv = blobs(30, 1, classes=3)
    found = LAVA(Utility(valid=(Xv[yv < 2], yv[yv < 2]))).fit(X, y)
    assert found.values[y == 2].mean() < found.values[y < 2].mean()


def test_points_that_are_all_the_same_have_values():
    X, y = np.ones((6, 2)), np.arange(6) % 2
    assert LAVA(Utility(valid=(X, y))).fit(X, y).values == pytest.approx(np.zeros(6), abs=1e-9)


def test_real_targets_are_refused():
    with pytest.raises(BadSetting, match="lava: labels have distances where they are classes"):
        LAVA(Utility(RidgeRegression(), valid=line(9, 1), metric="r2")).fit(*line(12))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label_weight": -1.0}, "label_weight must be 0 or more, not -1.0"),
        ({"epsilon": 0.0}, "epsilon must lie above 0, and be at most 1, not 0.0"),
        ({"epsilon": float("nan")}, "epsilon must lie above 0, and be at most 1, not nan"),
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
    ],
)
def test_wrong_settings_are_refused_and_named(settings, said):
    with pytest.raises(BadSetting, match=f"lava: {said}"):
        LAVA(blob_utility(), **settings)
