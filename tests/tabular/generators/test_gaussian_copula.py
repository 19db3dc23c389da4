"""The Gaussian copula: what it keeps of a table whose law is known."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr, truncnorm

from expunge.data.table import read_frame
from expunge.errors import BadRequest
from expunge.tabular import GaussianCopula, TabSynDex
from tabular.mixed import mixed

N = 20_000


def normals(rho, n=6_000, seed=0):
    draw = np.random.default_rng(seed)
    return draw.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n).T


def pair(rho, n=6_000):
    """Two numbers with skewed distributions, whose ranks are those of two normal variables."""
    first, second = normals(rho, n)
    return pd.DataFrame({"income": np.exp(first), "age": norm.cdf(second) * 80})


def rank_correlation(table):
    return spearmanr(table.iloc[:, 0], table.iloc[:, 1]).statistic


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.3, 0.9])
def test_the_correlation_of_two_normal_variables_is_recovered(rho):
    generator = GaussianCopula().fit(pair(rho))
    assert generator._correlation[0, 1] == pytest.approx(np.corrcoef(normals(rho))[0, 1], abs=0.04)
    sample = generator.sample(N)
    assert rank_correlation(sample) == pytest.approx(6 / np.pi * np.arcsin(rho / 2), abs=0.05)


def test_marginals_are_kept():
    real, sample = pair(0.6), GaussianCopula().fit(pair(0.6)).sample(N)
    for name in real:
        shares = np.searchsorted(np.sort(real[name]), np.quantile(sample[name], np.linspace(0.01, 0.99, 99))) / len(real)
        assert np.abs(shares - np.linspace(0.01, 0.99, 99)).max() < 0.022  # 5 standard errors are 0.018


def test_repeats_and_dependence_are_kept_together():
    first, second = normals(0.7)
    real = pd.DataFrame({"gain": np.where(first < 0.8, 0.0, np.exp(first).round(3)), "size": second})
    sample = GaussianCopula().fit(real).sample(N)
    assert (sample["gain"] == 0).mean() == pytest.approx((real["gain"] == 0).mean(), abs=0.02)
    means = [table.loc[table["gain"] > 0, "size"].mean() for table in (real, sample)]
    assert means[1] == pytest.approx(means[0], abs=0.08)
    assert sample["gain"].corr(sample["size"]) == pytest.approx(real["gain"].corr(real["size"]), abs=0.05)


def test_a_category_in_any_order_keeps_the_means_of_a_number_and_the_shares():
    first, second = normals(0.75)
    real = pd.DataFrame({"size": first, "class": np.array(["n", "a", "z", "c"])[np.digitize(second, [-1, 0, 1])]})
    sample = GaussianCopula().fit(real).sample(N)
    means = [table.groupby("class")["size"].mean() for table in (real, sample)]
    assert (means[0] - means[1]).abs().max() < 0.1
    shares = [table["class"].value_counts(normalize=True) for table in (real, sample)]
    assert (shares[0] - shares[1]).abs().max() < 0.02


def test_two_categories_keep_their_table():
    first, second = normals(-0.6)
    cut = [np.digitize(values, [-0.7, 0.6]) for values in (first, second)]
    real = pd.DataFrame({"one": np.array(["b", "c", "a"])[cut[0]], "two": np.array(["y", "z", "x"])[cut[1]]})
    sample = GaussianCopula().fit(real).sample(N)
    tables = [pd.crosstab(table["one"], table["two"], normalize=True) for table in (real, sample)]
    assert (tables[0] - tables[1]).abs().max(axis=None) < 0.02


def test_gaps_keep_their_rate_and_what_they_depend_on():
    first, second = normals(0.5)
    real = pd.DataFrame({"income": np.exp(first), "age": second})
    real["income"] = real["income"].mask(second > 0.8)
    sample = GaussianCopula().fit(real).sample(N)
    gap = sample["income"].isna()
    assert gap.mean() == pytest.approx(real["income"].isna().mean(), abs=0.02)
    assert sample.loc[gap, "age"].mean() > 1 and sample.loc[~gap, "age"].mean() < 0


def test_gaps_of_categories_are_one_value_more():
    first, second = normals(0.7)
    classes = np.where(np.abs(second) > 1, None, np.where(second > 0, "high", "low")).astype(object)
    real = pd.DataFrame({"size": first, "class": pd.Series(classes).mask(second > 1)})
    sample = GaussianCopula().fit(real).sample(N)
    assert sample["class"].isna().mean() == pytest.approx(real["class"].isna().mean(), abs=0.02)


def test_a_range_of_a_number_moves_the_others_as_theory_says():
    generator = GaussianCopula().fit(pair(0.8, 20_000))
    low, high = np.exp(1.0), np.exp(1.5)
    sample = generator.sample(N, {"income": (low, high)})
    assert sample["income"].between(low, high).all()
    latent = norm.ppf((sample["age"] / 80).clip(1e-9, 1 - 1e-9))
    assert latent.mean() == pytest.approx(0.8 * truncnorm.mean(1.0, 1.5), abs=0.04)
    assert latent.std() == pytest.approx(np.sqrt(1 - 0.64 + 0.64 * truncnorm.var(1.0, 1.5)), abs=0.03)


def test_a_single_value_can_be_set_where_rejection_would_never_find_it():
    generator = GaussianCopula().fit(pair(0.8).assign(age=lambda table: table["age"].round(4)))
    sample = generator.sample(500, {"age": 71.1234})
    assert (sample["age"] == 71.1234).all() and len(sample) == 500
    assert sample["income"].median() > 2


def test_conditions_on_rare_categories_and_several_columns_are_met():
    real = mixed(1_000).assign(rare=["rare"] * 2 + ["frequent"] * 998)
    sample = (
        GaussianCopula().fit(real).sample(300, {"rare": "rare", "height": (185, 187), "weight": (80, 85.5), "city": "Oslo"})
    )
    assert (sample["rare"] == "rare").all() and (sample["city"] == "Oslo").all()
    assert sample["height"].between(185, 187).all() and sample["weight"].between(80, 85.5).all()


def test_a_value_between_those_of_the_real_table_is_refused():
    real = pd.DataFrame({"size": [1, 2, 8, 9] * 5, "weight": np.arange(20)})
    with pytest.raises(BadRequest, match="no value from 3 to 7"):
        GaussianCopula().fit(real).sample(5, {"size": (3, 7)})
    with pytest.raises(BadRequest, match=r"no value from 2\.2 to 2\.8"):
        GaussianCopula().fit(real).sample(5, {"weight": (2.2, 2.8)})


def test_no_rows_are_kept():
    generator = GaussianCopula().fit(mixed(3_000))
    tensors, _ = generator._state()
    assert max(tensor.numel() for tensor in tensors.values()) < 3_000
    kept = set(tensors["number.0.values"].tolist())
    assert len(kept) <= 1_000 and kept <= set(mixed(3_000)["height"])


def test_more_columns_than_rows_are_no_trouble():
    real = pd.DataFrame(np.random.default_rng(0).normal(size=(15, 40)).round(4), columns=[f"column {at}" for at in range(40)])
    sample = GaussianCopula().fit(real).sample(50)
    assert sample.shape == (50, 40) and not sample.isna().any(axis=None)


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")
@pytest.mark.parametrize(("name", "categorical"), [("adult", ()), ("whitewines", ("quality",))])
def test_real_tables_score_well(name, categorical):
    real = read_frame(Path(os.environ["EXPUNGE_DATA"]) / "tabular" / f"{name}.csv")
    score = TabSynDex(categorical=categorical, mode="paper")
    found = score.score(real, GaussianCopula().fit(real, categorical=categorical).sample(len(real)))
    assert found.total > 0.9
    assert found.components["correlation"] > 0.76
