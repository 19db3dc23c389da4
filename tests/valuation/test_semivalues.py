"""Semivalues by walks and by draws: against their definition over all subsets."""

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from expunge.errors import BadSetting
from expunge.valuation import RidgeRegression, Utility
from expunge.valuation.banzhaf import Banzhaf
from expunge.valuation.beta_shapley import BetaShapley, place_weights
from expunge.valuation.distributional_shapley import DistributionalShapley
from expunge.valuation.game import Game
from expunge.valuation.leave_one_out import LeaveOneOut
from expunge.valuation.tmc_shapley import TMCShapley
from expunge.valuation.walks import Truncation, walk
from valuation.games import blob_utility, blobs, exact, exact_shapley, line

WHOLE = Truncation(0.0, patience=1000)


def test_tmc_shapley_converges_to_exact_values():
    utility, points = blob_utility(), blobs(6)
    found = TMCShapley(utility, 3000, WHOLE).fit(*points)
    assert found.values == pytest.approx(exact_shapley(utility.on(*points)), abs=0.005)
    assert found.cost.trainings <= 2**6 - 1


@pytest.mark.parametrize("permutations", [1, 7])
def test_tmc_shapley_shares_out_all_utility_when_nothing_is_cut(permutations):
    utility, points = blob_utility(), blobs(9)
    game = utility.on(*points)
    assert TMCShapley(utility, permutations, WHOLE).fit(*points).values.sum() == pytest.approx(game.full - game.empty, abs=1e-9)


def test_truncation_zeroes_the_tail_of_a_walk_and_nothing_before():
    game = blob_utility().on(*blobs(12))
    orders = np.stack([game.generator("test", each).permutation(12) for each in range(5)])
    whole = np.diff(walk(game, np.eye(12, dtype=bool), orders, WHOLE), axis=1)
    cut = np.diff(walk(game, np.eye(12, dtype=bool), orders, Truncation(0.2, stride=3)), axis=1)
    for full, part in zip(whole, cut, strict=True):
        length = np.flatnonzero(part).max() + 1
        assert part[:length] == pytest.approx(full[:length], abs=1e-12)
        assert game.empty + part.sum() == pytest.approx(game.full, abs=0.2 * game.full)
    assert (cut == 0).any()


def test_truncation_saves_trainings():
    points = blobs(40)
    cut, whole = (TMCShapley(blob_utility(), 3, each).fit(*points).cost.trainings for each in (Truncation(0.1), WHOLE))
    assert cut < 0.8 * whole <= 3 * 40 + 1


@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (16, 1), (1, 4), (2.5, 3)])
def test_beta_weights_are_those_of_a_beta_binomial_distribution(alpha, beta):
    assert place_weights(9, alpha, beta) == pytest.approx(9 * betabinom.pmf(np.arange(9), 8, beta, alpha), abs=1e-12)


def test_beta_weights_of_many_points_are_finite_and_one_on_average():
    weights = place_weights(50_000, 16, 1)
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    assert (np.diff(weights) <= 0).all()


@pytest.mark.parametrize(("alpha", "beta"), [(16, 1), (1, 4)])
def test_beta_shapley_converges_to_exact_values(alpha, beta):
    utility, points = blob_utility(), blobs(6)
    expected = exact(utility.on(*points).utilities, 6, betabinom.pmf(np.arange(6), 5, beta, alpha))
    assert BetaShapley(utility, alpha, beta, 6000, 0.0, WHOLE).fit(*points).values == pytest.approx(expected, abs=0.01)


def test_beta_one_one_is_tmc_shapley():
    points = blobs(30)
    first = TMCShapley(blob_utility(), 4, WHOLE).fit(*points).values
    assert BetaShapley(blob_utility(), 1, 1, 4, truncation=WHOLE).fit(*points).values == pytest.approx(first, abs=1e-9)


def test_beta_shapley_after_tmc_shapley_trains_nothing_anew(tmp_path):
    points = blobs(12)
    TMCShapley(blob_utility(folder=tmp_path), 4, WHOLE).fit(*points)
    assert BetaShapley(blob_utility(folder=tmp_path), permutations=4, truncation=WHOLE).fit(*points).cost.trainings == 0


def test_beta_shapley_leaves_out_large_subsets_that_hardly_count():
    points = blobs(100)
    found = BetaShapley(blob_utility(), permutations=5, truncation=WHOLE).fit(*points)
    assert found.cost.trainings <= 5 * 30 + 1


def test_banzhaf_converges_to_exact_values():
    utility, points = blob_utility(), blobs(6)
    expected = exact(utility.on(*points).utilities, 6, binom.pmf(np.arange(6), 5, 0.5))
    found = Banzhaf(utility, 20_000).fit(*points)
    assert found.values == pytest.approx(expected, abs=0.01)
    assert found.cost.trainings <= 2**6 - 1


@pytest.mark.parametrize("subsets", [2, 3, 40])
def test_banzhaf_has_each_point_in_half_of_the_subsets(subsets, monkeypatch):
    asked, found = [], Game.utilities
    monkeypatch.setattr(Game, "utilities", lambda game, masks: asked.append(masks) or found(game, masks))
    values = Banzhaf(blob_utility(), subsets).fit(*blobs(30)).values
    assert len(asked) == 1 and asked[0].shape == (subsets, 30) and np.isfinite(values).all()
    assert (asked[0].sum(0) == subsets // 2).all() and len(np.unique(asked[0].sum(1))) > 1


def test_distributional_shapley_of_sets_as_large_as_the_data_is_the_shapley_value():
    utility, points = blob_utility(), blobs(6)
    found = DistributionalShapley(utility, 6000, largest=6).fit(*points).values
    assert found == pytest.approx(exact_shapley(utility.on(*points)), abs=0.005)


def test_distributional_shapley_of_small_sets_is_the_semivalue_of_their_sizes():
    utility, points = blob_utility(), blobs(6)
    expected = exact(utility.on(*points).utilities, 6, [1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert DistributionalShapley(utility, 6000, largest=3).fit(*points).values == pytest.approx(expected, abs=0.005)


def test_distributional_shapley_of_single_points_is_what_each_does_alone():
    utility, points = blob_utility(), blobs(8)
    game = utility.on(*points)
    alone = game.utilities(np.eye(8, dtype=bool)) - game.empty
    assert DistributionalShapley(utility, 2, largest=1).fit(*points).values == pytest.approx(alone, abs=1e-12)


def test_distributional_shapley_trains_once_for_a_point_and_draw():
    found = DistributionalShapley(blob_utility(), 3, largest=10).fit(*blobs(25))
    assert found.cost.trainings <= 3 * 26


def test_leave_one_out_is_the_difference_that_a_point_makes():
    utility = Utility(RidgeRegression(), valid=line(30, 1), metric="r2")
    X, y = line(12)
    game = utility.on(X, y)
    expected = [game.full - game.utilities(np.arange(12)[None] != i)[0] for i in range(12)]
    found = LeaveOneOut(utility).fit(X, y)
    assert found.values == pytest.approx(expected, abs=1e-12)
    assert found.cost.trainings == 13


def test_leave_one_out_of_ridge_has_the_closed_form():
    """Sherman-Morrison: theta without i = theta - A^-1 x_i (y_i - x_i theta) / (1 - h_i)."""
    (X, y), (Xv, yv) = line(12), line(30, 1)
    utility = Utility(RidgeRegression(0.5, intercept=False), valid=(Xv, yv), metric="r2")
    inverse = np.linalg.inv(X.T @ X + 0.5 * np.eye(3))
    theta = inverse @ X.T @ y

    def r2(weights):
        return 1 - np.square(Xv @ weights - yv).sum() / np.square(yv - yv.mean()).sum()

    without = [theta - inverse @ x * (t - x @ theta) / (1 - x @ inverse @ x) for x, t in zip(X, y, strict=True)]
    assert LeaveOneOut(utility).fit(X, y).values == pytest.approx([r2(theta) - r2(each) for each in without], abs=1e-6)


def test_equal_points_have_equal_exact_shapley_values():
    X, y = blobs(7)
    X[4], y[4] = X[1], y[1]
    values = exact_shapley(blob_utility().on(X, y))
    assert values[4] == pytest.approx(values[1], abs=1e-4)


@pytest.mark.parametrize("method", [LeaveOneOut, TMCShapley, BetaShapley, Banzhaf, DistributionalShapley])
def test_real_targets_are_valued(method):
    utility = Utility(RidgeRegression(), valid=line(30, 1), metric="r2")
    found = method(utility).fit(*line(20))
    assert np.isfinite(found.values).all()
    assert found.values.std() > 0
    assert found.value_of(*line(5, 2)).shape == (5,)


@pytest.mark.parametrize("method", [TMCShapley, BetaShapley, Banzhaf, DistributionalShapley])
def test_one_seed_gives_one_answer_and_another_another(method):
    points = blobs(12)
    first, again, other = (method(blob_utility(seed=seed)).fit(*points).values for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda utility: TMCShapley(utility, 0), "tmc-shapley: permutations must be at least 1, not 0"),
        (lambda utility: BetaShapley(utility, permutations=0), "beta-shapley: permutations must be at least 1, not 0"),
        (lambda utility: BetaShapley(utility, alpha=0.5), "beta-shapley: alpha must be at least 1, not 0.5"),
        (lambda utility: BetaShapley(utility, beta=float("nan")), "beta-shapley: beta must be at least 1, not nan"),
        (lambda utility: BetaShapley(utility, negligible=1.0), "negligible must be at least 0 and less than 1, not 1.0"),
        (lambda utility: Banzhaf(utility, 1), "banzhaf: subsets must be at least 2, not 1"),
        (lambda utility: DistributionalShapley(utility, 0), "subsets must be at least 1, not 0"),
        (lambda utility: DistributionalShapley(utility, largest=0), "largest must be at least 1, not 0"),
    ],
)
def test_wrong_settings_are_refused_and_named(make, said):
    with pytest.raises(BadSetting, match=said):
        make(blob_utility())


def test_sets_larger_than_the_data_are_refused():
    with pytest.raises(BadSetting, match="largest is 13, and there are only 12 points"):
        DistributionalShapley(blob_utility(), largest=13).fit(*blobs(12))
