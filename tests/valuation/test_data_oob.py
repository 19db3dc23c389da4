"""Data-OOB: agreement with models that never saw the point."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from expunge.errors import BadSetting
from expunge.valuation import RidgeRegression, Utility
from expunge.valuation import data_oob as module
from expunge.valuation.data_oob import DataOOB
from valuation.games import blob_utility, blobs, line


def bags(utility, points, models, fraction=1.0):
    return DataOOB(utility, models, fraction)._bags(utility.on(*points))


def test_values_are_shares_of_right_answers_of_models_without_the_point():
    utility, (X, y) = blob_utility(), blobs(25)
    drawn, game = bags(utility, (X, y), 40), utility.on(X, y)
    right = game.answers(drawn, X).argmax(2) == y
    expected = [right[~drawn[:, i], i].mean() for i in range(25)]
    found = DataOOB(utility, 40).fit(X, y)
    assert found.values == pytest.approx(expected, abs=1e-12)
    assert found.cost.trainings == 40


def test_real_targets_cost_the_square_of_the_error():
    utility, (X, y) = Utility(RidgeRegression(), valid=line(9, 1), metric="r2"), line(25)
    drawn = bags(utility, (X, y), 30)
    errors = np.array([np.square(Ridge().fit(X[bag], y[bag]).predict(X) - y) for bag in drawn])
    expected = [-errors[~drawn[:, i], i].mean() for i in range(25)]
    assert DataOOB(utility, 30).fit(X, y).values == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("real", [False, True])
def test_new_points_are_judged_by_all_models_and_nothing_is_trained(real):
    utility = Utility(RidgeRegression(), valid=line(9, 1), metric="r2") if real else blob_utility()
    points, (new, targets) = line(20) if real else blobs(20), line(50, 5) if real else blobs(50, 5)
    answers = utility.on(*points).answers(bags(utility, points, 30), new)
    agreement = -np.square(answers - targets) if real else answers.argmax(2) == targets
    found = DataOOB(utility, 30).fit(*points)
    assert found.value_of(new, targets) == pytest.approx(agreement.mean(0), abs=1e-9)
    assert found.cost.trainings == 30


def test_a_new_point_with_the_wrong_label_is_worth_less():
    found, (new, labels) = DataOOB(blob_utility(), 30).fit(*blobs(60)), blobs(20, 5)
    assert found.value_of(new, labels).mean() > 0.7 > 0.3 > found.value_of(new, 1 - labels).mean()


def test_results_do_not_depend_on_how_many_models_are_asked_together(monkeypatch):
    points, other = blobs(20), blobs(7, 3)
    whole = DataOOB(blob_utility(), 25).fit(*points)
    monkeypatch.setattr(module, "_ANSWERS", 100)
    parts = DataOOB(blob_utility(), 25).fit(*points)
    assert parts.values == pytest.approx(whole.values, abs=1e-12)
    assert parts.value_of(*other) == pytest.approx(whole.value_of(*other), abs=1e-12)


def test_bags_hold_as_many_rows_as_draws_leave():
    half, whole = (bags(blob_utility(), blobs(400), 20, fraction).mean() for fraction in (0.5, 1.0))
    assert half == pytest.approx(1 - np.exp(-0.5), abs=0.02)
    assert whole == pytest.approx(1 - np.exp(-1), abs=0.02)


def test_points_in_every_bag_are_refused_before_anything_is_trained():
    utility = blob_utility()
    with pytest.raises(BadSetting, match=r"of 30 points are in each of 2 bags, .* take more models, or a smaller fraction"):
        DataOOB(utility, 2).fit(*blobs(30))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": 0}, "models must be at least 1, not 0"),
        ({"fraction": 0.0}, "fraction must lie above 0, and be at most 10, not 0.0"),
        ({"fraction": float("nan")}, "fraction must lie above 0, and be at most 10, not nan"),
    ],
)
def test_wrong_settings_are_refused_and_named(settings, said):
    with pytest.raises(BadSetting, match=f"data-oob: {said}"):
        DataOOB(blob_utility(), **settings)
