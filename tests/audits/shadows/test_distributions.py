"""Unlearned against retrained models: the challenge's epsilon and forgetting quality, and KLoM, worked out by hand."""

import math

import numpy as np
import pytest

from expunge.audits.shadows import challenge_score, epsilon_per_example, forgetting_quality, klom
from expunge.errors import BadSetting


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def drawn(shift: float = 0.0, models: int = 256, examples: int = 40, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(models, examples)) + shift, rng.normal(size=(models, examples))


# ---- epsilon ------------------------------------------------------------------------------------------------------------


def test_the_strongest_threshold_counts():
    """Unlearned 1 2 3 8, retrained 2 7 8 9 ; "unlearned below" a threshold, by the values of both sides below:

        threshold over   1: 1 of ours, 0 of theirs       FPR 0: left out
                         2: 2, 1                          FPR 1/4, FNR 1/2: log(3/4) - log(1/2), log(1/2) - log(1/4)
                         3: 3, 1                          FPR 1/4, FNR 1/4: log(3/4) - log(1/4)
                         7: 3, 2                          FPR 1/2, FNR 1/4: log(1/2) - log(1/4), log(3/4) - log(1/2)
                         8: 4, 3                          FNR 0: left out

    Two Gaussians divide them as the threshold over 3 does. Other sides of the thresholds are worse than chance.
    """
    found = epsilon_per_example(column(1, 2, 3, 8), column(2, 7, 8, 9), delta=0.0)
    np.testing.assert_allclose(found, [math.log(3)])


def test_delta_takes_from_what_is_shown():
    found = epsilon_per_example(column(1, 2, 3, 8), column(2, 7, 8, 9), delta=0.1)
    np.testing.assert_allclose(found, [math.log(0.65 / 0.25)])


def test_sides_that_never_meet_are_infinitely_far_apart():
    assert epsilon_per_example(column(1, 2), column(3, 4)).tolist() == [math.inf]
    assert epsilon_per_example(column(3, 4), column(1, 2)).tolist() == [math.inf]


def test_a_wide_and_a_narrow_side_around_one_mean_are_told_apart_by_gaussians():
    """One threshold shows little; beyond both sides of the narrow one lies the wide one alone."""
    wide, narrow = column(-9, -8, 8, 9, 0.1), column(-1, -0.5, 0.5, 1, 0)
    assert np.isfinite(epsilon_per_example(wide, narrow)).all()
    assert epsilon_per_example(column(-9, -8, 8, 9), narrow).tolist() == [math.inf]


def test_equal_sides_show_nothing():
    values = np.arange(12.0).reshape(6, 2)
    assert epsilon_per_example(values, values, delta=0.0).tolist() == [0.0, 0.0]
    assert epsilon_per_example(np.ones((3, 1)), np.ones((5, 1))).tolist() == [0.0]


def test_many_models_of_one_distribution_show_little_and_shifted_ones_more_and_more():
    """The strongest of so many thresholds shows something by chance, the less the more models there are."""
    few, many = (np.median(epsilon_per_example(*drawn(models=models))) for models in (64, 2048))
    assert many < 0.4 < few
    medians = [np.median(epsilon_per_example(*drawn(shift, models=2048))) for shift in (0.0, 1.0, 2.0)]
    assert medians[0] + 1 < medians[1] < medians[2] - 1


def test_numbers_of_models_may_differ_and_their_order_does_not_matter():
    ours, theirs = drawn(0.5)
    found = epsilon_per_example(ours[:100], theirs)
    rng = np.random.default_rng(5)
    np.testing.assert_allclose(epsilon_per_example(rng.permutation(ours[:100]), rng.permutation(theirs)), found)


def test_signals_may_be_moved_and_stretched():
    ours, theirs = drawn(0.5)
    np.testing.assert_allclose(epsilon_per_example(3 * ours + 7, 3 * theirs + 7), epsilon_per_example(ours, theirs))


# ---- forgetting quality -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "points"),
    [(0.0, 1.0), (0.49, 1.0), (0.5, 0.5), (1.0, 0.25), (1.5, 0.125), (6.2, 2 / 2**13), (6.5, 2 / 2**13), (np.inf, 2 / 2**13)],
)
def test_each_half_of_an_epsilon_halves_the_points(epsilon, points):
    assert forgetting_quality([epsilon]) == points


def test_it_is_the_mean_over_examples():
    assert forgetting_quality([0.1, 0.6, 1.1]) == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_retrained_models_have_nearly_all_points_and_others_nearly_none():
    assert forgetting_quality(epsilon_per_example(*drawn(0.0, models=512))) > 0.7
    assert forgetting_quality(epsilon_per_example(*drawn(20.0, models=512))) == 2 / 2**13


def test_lost_accuracy_lowers_the_score():
    assert challenge_score(0.8, (0.9, 0.9), (0.7, 0.7)) == 0.8
    assert challenge_score(0.8, (0.45, 0.9), (0.35, 0.7)) == pytest.approx(0.2)


# ---- KLoM ---------------------------------------------------------------------------------------------------------------


def test_klom_by_hand():
    """Two bins from 0 to 4: ours 3/4 and 1/4, theirs 1/4 and 3/4."""
    found = klom(column(0, 0, 1, 4), column(1, 3, 3, 4), bins=2)
    np.testing.assert_allclose(found, [0.75 * math.log(3) - 0.25 * math.log(3)])


def test_a_bin_that_no_oracle_is_in_has_the_floor():
    found = klom(column(0, 0, 0, 4), column(0, 0, 0, 0), bins=2)
    np.testing.assert_allclose(found, [0.75 * math.log(0.75) + 0.25 * math.log(0.25 / 1e-5)])


def test_margins_are_clipped():
    np.testing.assert_allclose(klom(column(-1e9, 1e9), column(-300, 100)), [0.0])


def test_equal_margins_have_none_and_disjoint_ones_the_most_that_the_floor_allows():
    ours, theirs = drawn()
    assert klom(ours, ours).tolist() == [0.0] * 40
    assert klom(np.ones((3, 1)), np.ones((4, 1))).tolist() == [0.0]
    assert klom(column(1, 1, 1), column(2, 2)).item() == pytest.approx(math.log(1e5))
    assert klom(ours, theirs).mean() < 0.2 < 5.0 < klom(ours + 9, theirs).mean()


def test_klom_is_of_each_example_and_of_no_order():
    ours, theirs = drawn(0.5)
    rng = np.random.default_rng(2)
    found = klom(rng.permutation(ours), rng.permutation(theirs))
    np.testing.assert_allclose(found, klom(ours, theirs), atol=1e-12)
    np.testing.assert_allclose(klom(ours[:, [7]], theirs[:, [7]]), found[[7]], atol=1e-12)


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [epsilon_per_example, klom])
@pytest.mark.parametrize(
    "pair", [(np.zeros((2, 3)), np.zeros((2, 4))), (np.zeros(3), np.zeros(3)), (np.zeros((0, 2)), np.ones((1, 2)))]
)
def test_signals_of_other_examples_or_of_no_models_are_refused(measure, pair):
    with pytest.raises(BadSetting, match=r"signals must have shape \(models, examples\)"):
        measure(*pair)


def test_settings_that_make_no_sense_are_refused():
    ours, theirs = drawn(models=2, examples=1)
    for wrong in (-0.1, 1.0):
        with pytest.raises(BadSetting, match="delta must be"):
            epsilon_per_example(ours, theirs, delta=wrong)
    for settings in ({"bins": 0}, {"clip": 0.0}, {"floor": 0.0}):
        with pytest.raises(BadSetting, match="KLoM needs"):
            klom(ours, theirs, **settings)
    for wrong in ([], [-1.0], [np.nan]):
        with pytest.raises(BadSetting, match="forgetting quality needs"):
            forgetting_quality(wrong)
    with pytest.raises(BadSetting, match="accuracies must be above 0"):
        challenge_score(1.0, (1.0, 0.0), (1.0, 1.0))
