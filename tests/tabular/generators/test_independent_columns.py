"""Columns drawn by themselves: their distributions are kept, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadRequest
from expunge.tabular import IndependentColumns
from expunge.tabular.generators.marginals import NumberMarginal, written_range
from expunge.tabular.schema import TableSchema

N = 20_000
FIVE = 5 * 0.5 / np.sqrt(N)  # standard errors of a share of N draws, at most


def table(n=500, seed=0):
    draw = np.random.default_rng(seed)
    size = draw.normal(0, 1, n)
    return pd.DataFrame(
        {
            "size": size,
            "twice": 2 * size,
            "zeros": np.where(draw.random(n) < 0.7, 0.0, draw.exponential(10, n)),
            "whole": draw.poisson(3, n),
            "gaps": np.where(draw.random(n) < 0.3, np.nan, size),
            "sort": np.where(size > 0, "large", "small"),
            "rare": np.where(np.arange(n) < 5, "rare", "frequent"),
        }
    )


@pytest.fixture(scope="module")
def sample():
    return IndependentColumns().fit(table()).sample(N)


def largest_difference(first, second):
    """Of two distribution functions."""
    places = np.unique(np.concatenate([first, second]))
    return np.abs(np.searchsorted(np.sort(first), places, "right") / len(first)
                  - np.searchsorted(np.sort(second), places, "right") / len(second)).max()  # fmt: skip


@pytest.mark.parametrize("name", ["size", "zeros", "whole", "gaps"])
def test_numbers_keep_their_distribution(sample, name):
    assert largest_difference(table()[name].dropna().to_numpy(), sample[name].dropna().to_numpy()) < FIVE


@pytest.mark.parametrize("name", ["sort", "rare"])
def test_categories_keep_their_shares(sample, name):
    shares = table()[name].value_counts(normalize=True)
    assert (sample[name].value_counts(normalize=True) - shares).abs().max() < FIVE


def test_repeated_values_and_gaps_keep_their_shares(sample):
    assert abs((sample["zeros"] == 0).mean() - (table()["zeros"] == 0).mean()) < FIVE
    assert abs(sample["gaps"].isna().mean() - table()["gaps"].isna().mean()) < FIVE
    assert set(sample["whole"]) == set(table()["whole"])


def test_columns_are_independent(sample):
    bound = 5 / np.sqrt(N)
    assert abs(sample["size"].corr(sample["twice"])) < bound
    assert abs((sample["sort"] == "large").astype(float).corr(sample["size"])) < bound
    assert abs(sample["gaps"].isna().astype(float).corr(sample["size"])) < bound


def test_conditions_are_exact_in_their_column_and_touch_no_other():
    sample = IndependentColumns().fit(table()).sample(N, {"zeros": (1, 20), "rare": "rare", "gaps": None})
    real = table()["zeros"]
    assert largest_difference(real[real.between(1, 20)].to_numpy(), sample["zeros"].to_numpy()) < FIVE
    assert (sample["rare"] == "rare").all() and sample["gaps"].isna().all()
    assert largest_difference(table()["size"].to_numpy(), sample["size"].to_numpy()) < FIVE


def test_a_number_between_those_of_the_real_table_is_refused():
    real = pd.DataFrame({"size": [1, 2, 8, 9] * 5})
    with pytest.raises(BadRequest, match="no value from 4 to 7"):
        IndependentColumns().fit(real).sample(5, {"size": (4, 7)})


def test_few_distinct_values_are_all_kept_with_their_shares():
    values = np.array([0.0, 0, 0, 0, 1, 1, 5, np.nan])
    marginal = NumberMarginal.of(values)
    assert marginal.gap_share == 1 / 8
    assert marginal.at(np.array([0.01, 0.56, 0.58, 0.85, 0.86, 0.99])).tolist() == [0, 0, 1, 1, 5, 5]
    assert marginal.between(1, 1) == pytest.approx((4 / 7, 6 / 7))
    assert marginal.between(-3, 0.5) == pytest.approx((0, 4 / 7))
    assert marginal.between(0.2, 0.8) == pytest.approx((4 / 7, 4 / 7))


def test_many_distinct_values_are_kept_as_quantiles_but_for_those_that_repeat():
    draw = np.random.default_rng(0)
    values = np.where(draw.random(50_000) < 0.3, 2.5, draw.gamma(2, 2, 50_000))
    marginal = NumberMarginal.of(values)
    assert len(np.unique(marginal.values)) <= 600
    low, high = marginal.between(2.5, 2.5)
    assert high - low == pytest.approx((values == 2.5).mean(), abs=1e-12)
    shares = np.linspace(0.001, 0.999, 999)
    found = np.searchsorted(np.sort(values), marginal.at(shares), "right") / len(values)
    outside = (shares < low) | (shares > high)
    assert np.abs(found - shares)[outside].max() < 0.003


def test_shares_of_a_range_and_quantiles_are_inverse_to_each_other():
    marginal = NumberMarginal.of(np.random.default_rng(0).normal(size=5_000))
    low, high = marginal.between(-0.5, 1.25)
    assert marginal.at(np.array([low, high])) == pytest.approx([-0.5, 1.25], abs=1e-9)
    assert marginal.between(-99, 99) == (0, 1)


def test_a_range_is_narrowed_to_what_the_table_writes():
    real = pd.DataFrame({"price": [0.1, 0.3, 9.9], "day": ["2024-01-01", "2024-01-05", "2024-01-09"]})
    price, day = TableSchema.infer(real, kinds={"price": "number"}).numbers
    assert written_range(price, 0.3, 0.7) == pytest.approx((0.3, 0.7, 0.05))
    assert written_range(price, 0.21, 0.79) == pytest.approx((0.3, 0.7, 0.05))
    assert written_range(day, day.low + 0.5, day.low + 2.9) == (day.low + 1, day.low + 2, 0.5)
    assert written_range(price, -np.inf, np.inf) == (0.1, 9.9, 0.05)
    least, most, _ = written_range(price, 0.31, 0.39)
    assert least > most
