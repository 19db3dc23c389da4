"""How values are judged: closed cases of detection, curves and stability."""

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.valuation.evaluation import SHARES, curves, detect, stability
from valuation.games import blob_utility, blobs


def test_values_that_know_find_all_and_their_opposite_none():
    wrong = np.arange(40) < 6
    values = np.where(wrong, -1.0, 1.0) + 0.01 * np.arange(40)
    found = detect(values, wrong)
    assert (found.auroc, found.precision, found.f1) == (1.0, 1.0, 1.0)
    assert (detect(-values, wrong).auroc, detect(-values, wrong).precision) == (0.0, 0.0)


def test_detection_by_hand():
    values, wrong = np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, True, False])
    found = detect(values, wrong)
    assert found.auroc == 0.75 and found.precision == 0.5


def test_equal_values_are_chance():
    assert detect(np.zeros(10), np.arange(10) < 5).auroc == 0.5


@pytest.mark.parametrize("wrong", [np.zeros(4, bool), np.ones(4, bool)])
def test_detection_needs_right_and_wrong_labels(wrong):
    with pytest.raises(BadSetting, match="right and wrong labels"):
        detect(np.arange(4.0), wrong)


def test_curves_begin_and_end_where_they_must():
    X, y = blobs(50)
    game = blob_utility().on(X, y)
    found = curves(game, np.random.default_rng(0).normal(size=50))
    assert found.removal_high[0] == found.removal_low[0] == found.addition_high[-1] == found.addition_low[-1] == game.full
    # what is left when the best tenths have gone are the worst, and they are what comes first of the least valuable
    np.testing.assert_array_equal(found.removal_high, found.addition_low[::-1])
    np.testing.assert_array_equal(found.removal_low, found.addition_high[::-1])
    assert len(found.removal_high) == len(SHARES)


def test_curves_of_points_that_do_harm_rise_as_they_go():
    X, y = blobs(80)
    turned = np.arange(80) < 24
    game = blob_utility().on(X, np.where(turned, 1 - y, y))
    found = curves(game, np.where(turned, -1.0, 1.0))
    assert found.removal_low[3] > found.removal_low[0] > found.removal_high[3]


def test_stability_is_one_for_equal_ranks_and_minus_one_for_opposite_ones():
    values = np.random.default_rng(0).normal(size=20)
    assert stability([values, np.exp(values)]) == pytest.approx(1.0)
    assert stability([values, -values]) == pytest.approx(-1.0)
    assert np.isnan(stability([values]))
