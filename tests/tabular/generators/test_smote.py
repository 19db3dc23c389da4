"""Rows between neighbours of one class."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadSetting
from expunge.tabular import SMOTE, TableSchema
from expunge.tabular.coded import code
from expunge.tabular.generators.smote import _directions, _embedded, _masses, _neighbours


def two_classes(n=60, seed=0):
    """Two clouds that overlap, three numbers with many decimals."""
    draw = np.random.default_rng(seed)
    labels = np.where(np.arange(n) % 3 == 0, "rare", "frequent")
    numbers = draw.normal(size=(n, 3)) + (labels == "rare")[:, None] * 0.7
    return pd.DataFrame(numbers, columns=list("xyz")).assign(label=labels)


def distance_to_segments(points, starts, ends):
    """From each point to each segment, shape (points, segments)."""
    along = ends - starts
    length = np.maximum((along**2).sum(1), 1e-30)
    share = (((points[:, None] - starts) * along).sum(2) / length).clip(0, 1)
    return np.linalg.norm(points[:, None] - starts - share[..., None] * along, axis=2)


def nearest_of(real, k):
    """By all distances of standardised numbers: the k nearest rows of each row, shape (n, k)."""
    points = ((real - real.mean()) / real.std()).to_numpy()
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :k]


@pytest.mark.parametrize("k", [1, 4])
def test_rows_lie_on_segments_between_neighbors_of_one_class(k):
    real = two_classes()
    sample = SMOTE(neighbours=k, target="label").fit(real).sample(300)
    # distances are standardised by the whole table
    scaled = (real[["x", "y", "z"]] - real[["x", "y", "z"]].mean()) / real[["x", "y", "z"]].std(ddof=0)
    for label, rows in sample.groupby("label"):
        there = (real["label"] == label).to_numpy()
        points = scaled[there].to_numpy()
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        np.fill_diagonal(distances, np.inf)
        second = np.argsort(distances, axis=1)[:, :k].ravel()
        plain = real.loc[there, ["x", "y", "z"]].to_numpy()
        found = distance_to_segments(rows[["x", "y", "z"]].to_numpy(), np.repeat(plain, k, axis=0), plain[second])
        assert found.min(1).max() < 1e-6


def test_without_a_target_neighbours_may_be_of_another_class():
    real = two_classes()
    assert SMOTE(neighbours=3).fit(real)._neighbours.shape == (60, 3)
    labels = real["label"].to_numpy()
    assert (labels[SMOTE(neighbours=3).fit(real)._neighbours] != labels[:, None]).any()
    assert (labels[SMOTE(neighbours=3, target="label").fit(real)._neighbours] == labels[:, None]).all()


def test_places_on_a_segment_are_uniform():
    points = np.repeat([[0.0, 0.0], [1.0, 3.0]], 15, axis=0)
    real = pd.DataFrame(points, columns=["x", "y"]).assign(x=np.linspace(0, 1, 30), y=np.linspace(0, 3, 30))
    found = SMOTE(neighbours=29).fit(real)
    draw = np.random.default_rng(0)
    sample = found._sample(40_000, draw).numbers
    assert np.allclose(sample[:, 1], 3 * sample[:, 0])
    # of independent ends on a uniform grid and a uniform weight the variance is 2/3 of the ends'
    assert sample[:, 0].var() / real["x"].var(ddof=0) == pytest.approx(2 / 3, abs=0.04)


def test_neighbours_are_the_nearest_rows_but_the_row_itself():
    real = two_classes()[["x", "y", "z"]]
    found = _neighbours(_embedded(code(real, TableSchema.infer(real), "the table")), np.zeros(60), 4)
    assert [set(row) for row in found] == [set(row) for row in nearest_of(real, 4)]


def test_a_category_that_differs_adds_one_to_the_squared_distance():
    real = pd.DataFrame({"x": np.arange(12.0), "kind": list("aab") * 4, "sort": list("abcdef") * 2})
    points = _embedded(code(real, TableSchema.infer(real), "the table")).astype(float)
    step = 1 / real["x"].std(ddof=0)
    assert ((points[0] - points[1]) ** 2).sum() == pytest.approx(step**2 + 1, rel=1e-5)
    assert ((points[0] - points[2]) ** 2).sum() == pytest.approx(4 * step**2 + 2, rel=1e-5)
    assert ((points[0] - points[6]) ** 2).sum() == pytest.approx(36 * step**2, rel=1e-5)


def test_of_many_categories_each_two_are_about_one_apart():
    points = _directions(300).astype(float)
    distances = ((points[:, None] - points) ** 2).sum(2)
    assert points.shape == (300, 64) and (distances.diagonal() == 0).all()
    assert np.abs(distances[~np.eye(300, dtype=bool)] - 1).max() < 0.7
    assert distances[~np.eye(300, dtype=bool)].std() < 0.15


def test_categories_and_their_combinations_keep_their_shares():
    draw = np.random.default_rng(1)
    real = pd.DataFrame({"x": draw.normal(size=400), "kind": draw.choice(["a", "b", "c"], 400, p=[0.9, 0.07, 0.03])})
    real["sort"] = np.where(real["kind"] == "c", "only with c", "other")
    sample = SMOTE().fit(real).sample(20_000)
    shares = real["kind"].value_counts(normalize=True)
    assert (sample["kind"].value_counts(normalize=True) - shares).abs().max() < 0.015
    assert ((sample["kind"] == "c") == (sample["sort"] == "only with c")).all()


def test_a_category_that_no_neighbour_has_keeps_its_share():
    real = pd.DataFrame({"x": [*np.linspace(0, 1, 59), 1_000.0], "kind": [*"ab" * 29, "a", "far"]})
    sample = SMOTE(neighbours=2).fit(real).sample(20_000)
    assert abs((sample["kind"] == "far").mean() - 1 / 60) < 0.005


def test_a_number_on_which_much_weight_lies_keeps_its_share():
    draw = np.random.default_rng(2)
    gain = np.where(draw.random(500) < 0.8, 0, draw.integers(1_000, 9_000, 500))
    real = pd.DataFrame({"x": draw.normal(size=500), "gain": gain})
    sample = SMOTE().fit(real).sample(20_000)
    assert abs((sample["gain"] == 0).mean() - (gain == 0).mean()) < 0.015
    assert sample["gain"][sample["gain"] > 0].min() >= gain[gain > 0].min()
    assert len(set(sample["gain"]) - set(gain)) > 100, "no gain lies between two others"


def test_weight_lies_on_values_that_stand_out_and_not_on_all_of_few():
    assert _masses(np.array([0.0] * 30 + list(range(1, 71)) + [np.nan])).tolist() == [0.0]
    assert _masses(np.repeat(np.arange(7.0), 20)).tolist() == []


def test_numbers_are_gaps_where_the_first_rows_are():
    draw = np.random.default_rng(3)
    real = pd.DataFrame({"x": draw.normal(size=300), "y": draw.normal(size=300)})
    real.loc[draw.random(300) < 0.3, "y"] = np.nan
    sample = SMOTE().fit(real).sample(20_000)
    assert abs(sample["y"].isna().mean() - real["y"].isna().mean()) < 0.02
    assert not sample["x"].isna().any()


def test_classes_of_one_and_of_two_rows_are_served():
    real = two_classes(40)
    real.loc[0, "label"], real.loc[[1, 2], "label"] = "alone", "pair"
    sample = SMOTE(target="label").fit(real).sample(2_000)
    alone = sample[sample["label"] == "alone"]
    assert len(alone) and np.allclose(alone[["x", "y", "z"]], real.loc[0, ["x", "y", "z"]].astype(float), atol=1e-6)
    pair = sample.loc[sample["label"] == "pair", ["x", "y", "z"]].to_numpy()
    ends = real.loc[[1, 2], ["x", "y", "z"]].to_numpy(float)
    assert len(pair) and distance_to_segments(pair, ends[:1], ends[1:]).max() < 1e-6


def test_classes_keep_their_shares():
    sample = SMOTE(target="label").fit(two_classes()).sample(10_000)
    assert abs((sample["label"] == "rare").mean() - 1 / 3) < 0.025


def test_wrong_settings_are_refused():
    with pytest.raises(BadSetting, match="neighbours must be at least 1, not 0"):
        SMOTE(neighbours=0)
    for target in ("x", "nothing"):
        with pytest.raises(BadSetting, match="the target must be a column of categories"):
            SMOTE(target=target).fit(two_classes())


def test_a_fit_that_failed_leaves_nothing_behind():
    generator = SMOTE(target="label").fit(two_classes())
    with pytest.raises(BadSetting):
        generator.fit(two_classes().drop(columns="label"))
    with pytest.raises(BadSetting, match="not fitted"):
        generator.sample(3)
