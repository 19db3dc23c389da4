"""Column shapes and pair trends against figures worked out by hand, and what they must not depend on."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from expunge.errors import BadSetting
from expunge.tabular.coded import Coded
from expunge.tabular.measures.fidelity import cramers_v, fidelity, number_shape, table_overlap

NAN = np.nan


def test_the_shape_of_a_number_by_hand():
    # F_real is 1/4 1/2 3/4 1 at 1 2 3 4; F_synthetic 0 0 0 1/2 there: they are 3/4 apart at 3
    assert number_shape(np.array([1.0, 2, 3, 4]), np.array([4.0, 5, 4, 5])) == pytest.approx(0.25)
    assert number_shape(np.array([1.0, 1, 2]), np.array([2.0, 1, 1])) == 1.0
    assert number_shape(np.array([1.0, 2]), np.array([3.0, 4])) == 0.0


def test_the_shape_of_a_number_is_that_of_scipy(draw):
    real, synthetic = (np.random.default_rng(seed).normal(seed / 5, 1, 200).round(1) for seed in (0, 1))
    assert number_shape(real, synthetic) == pytest.approx(1 - ks_2samp(real, synthetic).statistic)


def test_gaps_count_in_shapes():
    values = np.array([1.0, 2, 3, 4])
    assert number_shape(values, np.array([1.0, 2, 3, 4, NAN])) == pytest.approx(0.8)
    assert number_shape(values, np.full(3, NAN)) == 0.0
    assert number_shape(np.full(2, NAN), np.full(3, NAN)) == 1.0
    assert number_shape(np.array([1.0, NAN]), np.array([5.0, NAN])) == 0.0


def test_the_overlap_of_categories_by_hand():
    # shares 1/2 1/4 1/4 0 against 1/4 1/4 0 1/2: half of 1/4 + 0 + 1/4 + 1/2
    assert table_overlap(np.array([0, 0, 1, 2]), np.array([0, 1, 3, 3])) == pytest.approx(0.5)
    assert table_overlap(np.array([0, 1]), np.array([2, 3])) == 0.0
    assert table_overlap(np.array([7, 7]), np.array([7])) == 1.0


def test_cramers_v_by_hand():
    # n = 20, cells 8 2 | 2 8, expected 5 each: chi^2 = 4 * 9 / 5 = 7.2, and V = sqrt(7.2 / 20)
    first = np.repeat([0, 0, 1, 1], [8, 2, 2, 8])
    second = np.repeat([0, 1, 0, 1], [8, 2, 2, 8])
    assert cramers_v(first, second) == pytest.approx(0.36**0.5)
    assert cramers_v(first, np.zeros(20, int)) == 0.0
    assert cramers_v(np.tile([0, 1], 10), np.repeat([0, 1], 10)) == pytest.approx(0.0)


def test_the_trend_of_two_numbers_by_hand(coded):
    up = pd.DataFrame({"x": np.arange(12.0), "y": 2 * np.arange(12.0) + 5})
    down = up.assign(y=-up["y"])
    found = fidelity(*coded(up, down)).trends["x", "y"]
    assert found.strength == pytest.approx(1.0)
    assert found.value == pytest.approx(0.0)
    found = fidelity(*coded(down, up)).trends["x", "y"]
    assert (found.strength, found.related) == (pytest.approx(-1.0), True)
    half = pd.DataFrame({"x": [-1.0, 1, -1, 1, 0, 0, 0, 0, 0, 0], "y": [-1.0, 1, 1, -1, 0, 0, 0, 0, 0, 0]})
    assert fidelity(*coded(up, half)).trends["x", "y"].value == pytest.approx(0.5)


def test_the_trend_of_categories_by_hand(coded):
    real = pd.DataFrame({"a": list("uuuuuvvvvv"), "b": list("sssssttttt")})
    crossed = pd.DataFrame({"a": list("uuuuuvvvvv"), "b": list("ssssttttss")})
    # us 5 vt 5 against us 4 ut 1 vt 3 vs 2, of 10 each: 1 - (1 + 1 + 2 + 2) / 20
    found = fidelity(*coded(real, crossed)).trends["a", "b"]
    assert (found.value, found.strength, found.related) == (pytest.approx(0.7), pytest.approx(1.0), True)


def test_a_number_that_meets_a_category_is_cut_by_the_real_range(coded):
    real = pd.DataFrame({"x": np.arange(20.0), "c": list("ab") * 10})
    shifted = real.assign(x=real["x"] + 100)
    assert fidelity(*coded(real, shifted)).trends["x", "c"].value == 0.0
    # 20 values 0..19, bins of width 1.9: a value moved within its bin doesn't count, one that leaves it does
    within, beyond = real.copy(), real.copy()
    within.loc[0, "x"], beyond.loc[0, "x"] = 1.8, 2.0
    assert fidelity(*coded(real, within)).trends["x", "c"].value == pytest.approx(1.0)
    assert fidelity(*coded(real, beyond)).trends["x", "c"].value == pytest.approx(0.95)


def test_only_related_pairs_count_for_quality(coded):
    generator = np.random.default_rng(0)
    x = generator.normal(size=400)
    real = pd.DataFrame({"x": x, "y": x + 0.1 * generator.normal(size=400), "z": generator.normal(size=400)})
    torn = real.assign(y=real["y"].sample(frac=1, random_state=1).to_numpy())
    found = fidelity(*coded(real, torn))
    assert [pair for pair, trend in found.trends.items() if trend.related] == [("x", "y")]
    assert found.trend == found.trends["x", "y"].value < 0.6
    assert found.trend_of_all > 0.75
    assert found.quality == pytest.approx((1 + found.trend) / 2)


def test_a_table_compared_with_itself_is_perfect_and_uniform_noise_is_not(draw, coded):
    real = draw(600, 0)
    generator = np.random.default_rng(1)
    noise = pd.DataFrame(
        {
            name: generator.uniform(real[name].min(), real[name].max(), 600)
            if real[name].dtype.kind == "f"
            else generator.choice(real[name].dropna().unique(), 600)
            for name in real
        }
    )
    itself, strange = (fidelity(*coded(real, each)) for each in (real, noise))
    assert set(itself.shapes.values()) == {1.0}
    assert {trend.value for trend in itself.trends.values()} == {1.0}
    assert itself.quality == 1.0
    assert strange.quality < 0.75
    assert len(itself.trends) == 15


def test_the_order_of_rows_and_columns_does_not_matter(draw, coded):
    real, synthetic = draw(300, 0), draw(200, 1)
    one = fidelity(*coded(real, synthetic))
    mixed = real.sample(frac=1, random_state=0)[list(reversed(real.columns))]
    two = fidelity(*coded(mixed, synthetic.sample(frac=1, random_state=1)))
    assert two.shapes == pytest.approx(one.shapes)
    assert {frozenset(pair): trend.value for pair, trend in two.trends.items()} == pytest.approx(
        {frozenset(pair): trend.value for pair, trend in one.trends.items()}
    )


def test_the_unit_of_numbers_and_the_names_of_categories_do_not_matter(draw, coded):
    real, synthetic = draw(300, 0), draw(200, 1)
    names = {"north": "Z", "south": "A", "west": "M"}
    changed = [each.assign(pay=each["pay"] * -4 + 1024, town=each["town"].map(names)) for each in (real, synthetic)]
    one, two = fidelity(*coded(real, synthetic)), fidelity(*coded(*changed))
    assert two.shapes == pytest.approx(one.shapes)
    numbers = {"age", "pay", "height"}
    for pair, trend in one.trends.items():
        if set(pair) <= numbers or "pay" not in pair:  # bins of the mirrored number are closed at their other ends
            assert two.trends[pair].value == pytest.approx(trend.value)


def test_unknown_values_are_apart_from_all_others(coded):
    real = pd.DataFrame({"a": list("uuuuuvvvvv"), "b": list("ssssssssst")})
    synthetic = real.assign(a=list("uuuuuwwwww"))
    found = fidelity(*coded(real, synthetic))
    assert found.shapes == {"a": pytest.approx(0.5), "b": 1.0}
    assert found.trends["a", "b"].value == pytest.approx(0.5)


def test_unknown_values_of_the_second_column_are_taken_for_no_other_pair(coded):
    real = pd.DataFrame({"a": list("uuuuuvvvvv"), "b": list("sssssttttt")})
    synthetic = real.assign(a="u", b="new")
    assert fidelity(*coded(real, synthetic)).trends["a", "b"].value == 0.0


def test_gaps_of_a_number_are_no_bin_of_its_values(coded):
    real = pd.DataFrame({"x": np.arange(20.0), "c": list("ab") * 10})
    missing = real.assign(x=real["x"].where(real["x"] < 18))  # the last bin is from 17.1 on
    assert fidelity(*coded(real, missing)).trends["x", "c"].value == pytest.approx(0.9)


def test_constant_columns_have_no_trend(coded):
    real = pd.DataFrame({"x": np.arange(10.0), "y": np.arange(10.0) ** 2, "z": np.full(10, 3.0)})
    assert set(fidelity(*coded(real, real)).trends) == {("x", "y")}
    flat = real.assign(y=7.1)
    found = fidelity(*coded(real, flat)).trends["x", "y"]
    assert found.value == pytest.approx(1 - found.strength / 2)
    alone = fidelity(*coded(real[["x"]], real[["x"]]))
    assert (alone.trend, alone.trend_of_all, alone.quality) == (None, None, 1.0)


def test_correlations_far_from_zero_are_exact(coded):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 100)).round(3)
    y = (y + x).round(3)
    near, far = (pd.DataFrame({"x": x + shift, "y": y - shift}) for shift in (0, 1e9))
    ours, theirs = (fidelity(*coded(each, each)).trends["x", "y"].strength for each in (near, far))
    assert ours == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert theirs == pytest.approx(ours, abs=1e-5)


def test_correlations_use_the_rows_that_have_both(coded):
    table = pd.DataFrame({"x": [1.0, 2, 3, 4, NAN, 100, 5, 6, 7, 8], "y": [2.0, 1, 4, 3, 50, NAN, 6, 5, 8, 7]})
    both = table.dropna()
    assert fidelity(*coded(table, table)).trends["x", "y"].strength == pytest.approx(np.corrcoef(both["x"], both["y"])[0, 1])


def test_tables_that_can_not_be_compared_are_refused(draw, coded):
    (one,), (other,) = coded(draw(50, 0)), coded(draw(50, 1))
    with pytest.raises(BadSetting, match="different schemas"):
        fidelity(one, other)
    with pytest.raises(BadSetting, match="has 1 row; expected at least 2"):
        fidelity(one, one.rows(np.array([0])))
    names = pd.DataFrame({"name": [f"person {row}" for row in range(60)]})
    (nothing,) = coded(names)
    assert isinstance(nothing, Coded)
    with pytest.raises(BadSetting, match="all are identifiers or empty"):
        fidelity(nothing, nothing)
