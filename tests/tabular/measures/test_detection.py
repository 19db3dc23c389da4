"""Areas with their intervals, and detectors that see what they should and nothing where there is nothing."""

from warnings import catch_warnings, simplefilter

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from expunge.errors import BadSetting
from expunge.tabular.measures.c2st import two_sample_test
from expunge.tabular.measures.roc import auc


def test_the_area_by_hand_and_as_scikit_learn_has_it():
    assert auc(np.array([3.0, 1.0]), np.array([2.0, 0.0])).value == 0.75
    assert auc(np.zeros(4), np.zeros(3)).value == 0.5
    positive, negative = (np.random.default_rng(seed).normal(seed, 1, 50).round(1) for seed in (1, 0))
    wanted = roc_auc_score(np.repeat([1, 0], 50), np.concatenate([positive, negative]))
    assert auc(positive, negative).value == pytest.approx(wanted)


def test_the_interval_is_delongs():
    # 3 above 2 of 2, 1 above 1 of 2: V10 = 1, 1/2, variance 1/8; V01 of 2: 1/2, of 0: 1, variance 1/8
    found = auc(np.array([3.0, 1.0]), np.array([2.0, 0.0]))
    error = 1.959964 * (1 / 16 + 1 / 16) ** 0.5
    assert (found.low, found.high) == (pytest.approx(0.75 - error), 1.0)
    # 5 above 3 of 3, 1 above 1 of 3: V10 = 1, 1/3, variance 2/9; V01 = 1/2, 1/2, 1, variance 1/12
    found = auc(np.array([5.0, 1.0]), np.array([2.0, 3.0, 0.0]))
    assert found.error == pytest.approx((2 / 9 / 2 + 1 / 12 / 3) ** 0.5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth = 0.7602  # of normals one standard deviation apart: Phi(1 / sqrt(2))
    found = [auc(generator.normal(1, 1, 60), generator.normal(0, 1, 80)) for _ in range(400)]
    assert 0.91 < np.mean([each.low <= truth <= each.high for each in found]) < 0.98


@pytest.mark.parametrize("seed", range(2))
def test_another_sample_of_the_population_is_not_told_apart(draw, coded, seed):
    found = two_sample_test(*coded(draw(500, seed), draw(500, seed + 10)), seed=seed)
    assert 0.42 < found.trees.value < 0.58
    assert 0.42 < found.linear.value < 0.58
    assert found.rows == 500


def test_shuffled_columns_are_seen_by_trees_and_not_by_the_line(draw, coded, shuffled):
    real = draw(600, 0)
    found = two_sample_test(*coded(real, shuffled(real, 1)))
    assert found.trees.value > 0.8
    assert found.linear.value < 0.55


def test_shifted_numbers_are_seen_by_both(draw, coded):
    real = draw(300, 0)
    found = two_sample_test(*coded(real, draw(300, 1).assign(age=real["age"] + 30)))
    assert found.trees.low > 0.9 and found.linear.low > 0.9


@pytest.mark.parametrize("change", ["gaps", "unknown values"])
def test_gaps_and_unknown_values_are_seen(draw, coded, change):
    real, other = draw(300, 0), draw(300, 1)
    other = other.assign(pay=np.nan) if change == "gaps" else other.assign(town="abroad")
    found = two_sample_test(*coded(real, other))
    assert found.trees.value > 0.95 and found.linear.value > 0.95


def test_a_copy_does_not_look_worse_than_chance(draw, coded):
    real = draw(300, 0)
    found = two_sample_test(*coded(real, real.sample(frac=1, random_state=0)))
    assert found.trees.value < 0.5


def test_tables_of_one_kind_of_column(draw, coded):
    real, other = draw(200, 0), draw(200, 1)
    for columns in (["age", "pay"], ["job", "town"]):
        assert 0.35 < two_sample_test(*coded(real[columns], other[columns])).trees.value < 0.65


def test_the_seed_decides(draw, coded):
    pair = coded(draw(200, 0), draw(150, 1))
    assert two_sample_test(*pair, seed=3) == two_sample_test(*pair, seed=3) != two_sample_test(*pair, seed=4)


def test_too_few_rows_are_refused(draw, coded):
    real, other = coded(draw(60, 0), draw(60, 1))
    with pytest.raises(BadSetting, match="at least 6 rows of each table, not 5"):
        two_sample_test(real, other.rows(np.arange(5)))
    assert isinstance(two_sample_test(real, other.rows(np.arange(6))).rows, int)


def test_a_number_far_out_does_not_break_the_line(coded):
    generator = np.random.default_rng(0)
    real = pd.DataFrame({"x": generator.normal(size=200), "y": generator.normal(size=200)})
    other = real.assign(x=real["x"] + 1)
    other.loc[0, "y"] = 1e12
    with catch_warnings():
        simplefilter("error")
        found = two_sample_test(*coded(real, other))
    assert found.linear.value > 0.7
