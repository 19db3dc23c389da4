"""Distances to the closest record and near-copies: their expectations hold for new rows, and copies exceed them."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.measures.records import Share, closest_records, share_of

MODULE = import_module("expunge.tabular.measures.records")


def points(n: int, seed: int, columns: int = 3) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, columns))
    return pd.DataFrame({f"x{place}": values[:, place] for place in range(columns)})


def test_distances_by_hand(coded):
    real = pd.DataFrame({"x": np.arange(0.0, 110, 10)})  # 0 to 100
    synthetic = pd.DataFrame({"x": np.arange(0.0, 110, 10) + np.array([*[1] * 9, 2, 0])})
    found = closest_records(*coded(real, synthetic))
    assert found.synthetic.median == pytest.approx(0.01)
    assert found.synthetic.lowest == pytest.approx(0.005)  # between 0 and 1/100
    assert found.between.median == pytest.approx(0.1)
    # 1 is five times nearer than 10 is, 2 is not
    assert found.near_copies.value == pytest.approx(10 / 11)
    assert (found.nearer, found.to_holdout) == (None, None)


def test_the_share_of_nearer_rows_by_hand_with_ties(coded):
    real = pd.DataFrame({"x": np.arange(10.0)})
    holdout = real + 0.5
    synthetic = pd.DataFrame({"x": [0.1, 1.1, 2.1, 3.4, 4.25, 5.25, 6.4, 7.4, 8.4, 4.4]})
    found = closest_records(*coded(real, synthetic, holdout)).nearer
    assert found.value == pytest.approx((3 + 2 / 2) / 10)
    # each nearest row is alone but the holdout's 4.5, which only one row is nearest to as well: weights 1 for 8 rows
    assert found.error == pytest.approx(8**0.5 / 20)


def test_the_error_of_the_share_counts_rows_with_one_neighbour_once(coded):
    real, holdout = points(200, 0), points(200, 1)
    one = pd.concat([real[:1]] * 100)
    found = closest_records(*coded(real, one, holdout)).nearer
    assert found.value == 1.0
    assert found.deviations == pytest.approx(1.0)  # a hundred copies of one row are one draw


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("columns", [1, 3])
def test_new_rows_are_as_near_as_expected(coded, columns, seed):
    real, synthetic, holdout = (points(400, 10 * seed + part, columns) for part in range(3))
    found = closest_records(*coded(real, synthetic, holdout))
    assert abs(found.nearer.deviations) < 3
    assert found.near_copies.deviations < 3
    if columns > 1:  # in one column distances of neighbours depend on one another, and scatter more
        assert found.synthetic.median == pytest.approx(found.between.median, rel=0.25)


def test_errors_of_the_share_are_as_large_as_they_say(coded):
    frames = [points(150, seed) for seed in range(90)]
    found = [closest_records(*coded(*frames[place : place + 3])).nearer.deviations for place in range(0, 90, 3)]
    assert 0.6 < np.std(found) < 1.4


def test_an_equally_large_part_of_the_larger_table_is_compared(coded):
    real, synthetic, holdout = points(900, 0), points(300, 1), points(100, 2)
    assert abs(closest_records(*coded(real, synthetic, holdout)).nearer.deviations) < 3


def test_perturbed_copies_are_near_copies(coded):
    real = points(400, 0)
    noisy = real + 0.002 * np.random.default_rng(1).normal(size=real.shape)
    found = closest_records(*coded(real, noisy, points(400, 2)))
    assert found.near_copies.value > 0.9 and found.near_copies.deviations > 20
    assert found.nearer.value > 0.95 and found.nearer.deviations > 10


def test_rows_in_the_midst_are_not_near_copies(coded):
    """They are nearer to real rows than those to one another, but not to one of them."""
    real = points(400, 0)
    found = closest_records(*coded(real, 0.3 * points(400, 1)))
    assert found.synthetic.median < 0.8 * found.between.median
    assert found.near_copies.deviations < 3


def test_what_is_expected_by_hand():
    copied, within, alike = (
        np.repeat([True, False], [3, 7]),
        np.repeat([True, False], [1, 7]),
        np.repeat([True, False], [4, 14]),
    )
    found = share_of(copied, within, alike, np.arange(10))
    assert found.value == 0.3
    assert found.expected == pytest.approx((2 / 10 * 5 / 20) ** 0.5)
    assert found.error == pytest.approx((found.expected * (1 - found.expected) * (1 / 10 + 1 / 8)) ** 0.5)
    assert share_of(copied, within, alike, np.zeros(10)).error > found.error
    assert Share(0.5, 0.5, 0.0).deviations == 0 and Share(0.6, 0.5, 0.0).deviations == np.inf


def test_large_tables_are_sampled_by_seed(coded, monkeypatch):
    monkeypatch.setattr(MODULE, "QUERIES", 50)
    monkeypatch.setattr(MODULE, "REFERENCES", 80)
    three = coded(points(200, 0), points(300, 1), points(250, 2))
    assert closest_records(*three, seed=1).rows == (50, 80, 80)
    assert closest_records(*three, seed=1) == closest_records(*three, seed=1) != closest_records(*three, seed=2)
