"""Exact matches and what is expected of them, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.measures.matches import matches


def letters(text: str) -> pd.DataFrame:
    return pd.DataFrame({"a": list(text), "b": "same"})


def test_matches_by_hand(coded):
    # of the real rows a and b stand twice, the other six once
    real, synthetic, holdout = letters("aabbcdefgh"), letters("aacxxxxxxx"), letters("acdxyzuvwq")
    found = matches(*coded(real, synthetic, holdout))
    assert found.by_holdout
    assert (found.all.value, found.all.expected) == (pytest.approx(0.3), pytest.approx(0.3))
    assert found.rare.value == pytest.approx(0.1)
    # without a holdout: the four rows that have a twin
    assert matches(*coded(real, synthetic)).all.expected == pytest.approx(0.4)
    # real rows that meet one other: 4 of 10; synthetic rows that meet another: 9 of 10; one more of two more each
    assert found.rare.expected == pytest.approx((5 / 12 * 10 / 12) ** 0.5)


def test_numbers_are_equal_as_the_real_table_writes_them(coded):
    real = pd.DataFrame({"x": np.arange(10) / 4})
    near, far = real + 0.004, real + 0.006
    assert matches(*coded(real, near)).all.value == 1.0
    assert matches(*coded(real, far)).all.value == 0.0
    minus = pd.DataFrame({"x": [-0.001] * 10})
    assert matches(*coded(real, minus)).all.value == 1.0  # minus zero is zero


def test_dates_are_equal_by_the_day_or_the_second(coded):
    days = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=10).strftime("%Y-%m-%d")})
    late = pd.DataFrame({"when": pd.date_range("2024-01-01T06:00", periods=10, freq="D").strftime("%Y-%m-%dT%H:%M:%S")})
    assert matches(*coded(days, late)).all.value == 1.0
    later = late.assign(when=late["when"].str.replace("06:00:00", "06:00:01"))
    assert matches(*coded(late, late)).all.value == 1.0
    assert matches(*coded(late, later)).all.value == 0.0


def test_gaps_equal_gaps_and_unknown_values_equal_no_real_one(coded):
    real = pd.DataFrame({"x": [np.nan, *range(11)], "c": [None, *"aaaaabbbbbb"]})
    assert matches(*coded(real, real)).all.value == 1.0
    assert matches(*coded(real, real.assign(c="new"))).all.value == 0.0


def test_the_order_of_rows_and_columns_does_not_matter(draw, coded):
    real = draw(200, 0)
    synthetic = pd.concat([real[:30], draw(170, 1)])
    one = matches(*coded(real, synthetic))
    two = matches(*coded(real.sample(frac=1, random_state=0)[list(reversed(real.columns))], synthetic[::-1]))
    assert one.all.value == two.all.value == pytest.approx(0.15)
    assert one.rare == two.rare


def test_twins_of_the_real_table_do_not_hide_copies(coded):
    """A table in which a quarter of the rows have a twin; a tenth of the synthetic rows are copied from it."""
    generator = np.random.default_rng(0)
    real = pd.DataFrame(generator.normal(size=(700, 2)).round(6), columns=["x", "y"])
    real = pd.concat([real, real[:100]])
    new = pd.DataFrame(generator.normal(size=(720, 2)).round(6), columns=["x", "y"])
    found = matches(*coded(real, pd.concat([real[600:680], new])))
    assert found.all.value < found.all.expected  # 10 % against 25 %
    assert found.rare.value == pytest.approx(0.1)
    assert found.rare.excess > 0.05 and found.rare.deviations > 4


def test_a_generator_of_typical_rows_is_not_blamed(coded):
    """It makes only the most frequent rows: many matches, hardly one that is rare."""
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, 301)
    real, synthetic = (
        pd.DataFrame({"c": generator.choice(size, 2000, p=weights[:size] / weights[:size].sum()).astype(str), "d": "x"})
        for size in (300, 20)
    )
    found = matches(*coded(real, synthetic))
    assert found.all.value == 1.0
    assert found.rare.value == 0.0
