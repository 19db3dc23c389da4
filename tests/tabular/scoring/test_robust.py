"""The mended form: what it must not mind, and what it must."""

import numpy as np
import pandas as pd
import pytest

from expunge.tabular import TabSynDex
from tabular.scored import again, people, shuffled, uniform

SCORE = TabSynDex(target="happy")


def parts(score, real, fake):
    return np.array([value for value in score.score(real, fake).components.values()], dtype=float)


def test_identical_tables_score_one():
    real = people()
    assert SCORE.score(real, real).total >= 0.999
    assert SCORE.score(real, real.iloc[::-1].reset_index(drop=True)).total >= 0.999


@pytest.mark.parametrize("seed", range(3))
def test_noise_scores_low_and_real_rows_high(seed):
    real = people(1_000, seed)
    reference = SCORE.reference(real)
    assert reference.split.total > 0.85 and reference.bootstrap.total > 0.9
    assert SCORE.score(real, uniform(real, seed)).total < 0.6  # two towns and two moods are noise in part anyway
    below = [reference.split.components[part] - reference.shuffled.components[part] for part in ("correlation", "ml")]
    assert min(below) > 0.3


def test_units_and_zero_points_play_no_part():
    real, fake = people(), again(people(seed=1))
    moved = [table.assign(age=table["age"] * 365.25 - 1_000, income=table["income"] / 1e6) for table in (real, fake)]
    assert parts(SCORE, *moved) == pytest.approx(parts(SCORE, real, fake), abs=0.005)


def test_standardised_columns_score_as_they_did_where_the_paper_falls():
    real = people(1_000)
    fake = again(real)
    names = ["age", "income", "noise"]
    mean, spread = real[names].mean(), real[names].std()
    standard = [pd.concat([(table[names] - mean) / spread, table[["job", "town", "happy"]]], axis=1) for table in (real, fake)]
    assert TabSynDex(components=["basic"]).score(*standard).total == pytest.approx(
        TabSynDex(components=["basic"]).score(real, fake).total
    )
    paper = TabSynDex(components=["basic"], mode="paper")
    assert paper.score(*standard).total < paper.score(real, fake).total - 0.1


def test_names_of_categories_and_the_order_of_rows_and_columns_play_no_part():
    real, fake = people(), again(people(seed=1))
    renamed = [
        table.replace({"job": {"chief": "z", "none": "a"}, "town": {"north": "S", "south": "N"}}) for table in (real, fake)
    ]
    assert parts(SCORE, *renamed)[[0, 1, 3, 4]] == pytest.approx(parts(SCORE, real, fake)[[0, 1, 3, 4]], abs=1e-6)
    light = TabSynDex(components=["basic", "correlation", "support", "pmse"])
    mixed = fake.sample(frac=1, random_state=0)[list(reversed(fake.columns))]
    assert light.score(real, mixed).total == pytest.approx(light.score(real, fake).total, abs=1e-6)


def test_a_constant_column_spoils_nothing():
    real, fake = people(), again(people())
    flat = [table.assign(flat=3.0, same="x") for table in (real, fake)]
    before, after = SCORE.score(real, fake), SCORE.score(*flat)
    assert after.components["correlation"] == pytest.approx(before.components["correlation"])
    assert after.columns["basic"]["flat"] == after.columns["support"]["flat"] == after.columns["basic"]["same"] == 1
    assert after.components["pmse"] == pytest.approx(before.components["pmse"], abs=0.01)
    other = SCORE.score(flat[0], flat[1].assign(flat=4.0))
    assert other.columns["basic"]["flat"] == pytest.approx(1 / 3)  # its spread is right
    assert other.columns["support"]["flat"] == 0


def test_a_lost_category_costs_its_own_share():
    real = people(1_000)
    rare = real["job"].to_numpy().copy()
    rare[:8] = "pirate"
    real["job"] = rare
    fake = again(real[real["job"] != "pirate"], 3)
    fake = pd.concat([fake, fake.iloc[:8]], ignore_index=True)
    found = SCORE.score(real, fake)
    assert found.columns["support"]["job"] == pytest.approx(0.75, abs=0.03)  # one of four
    assert found.total > 0.88
    assert any("'job' lost 1" in warning for warning in found.warnings)


def test_too_much_of_one_bin_does_not_pay_for_another():
    real = pd.DataFrame({"x": np.repeat(["a", "b"], 50), "y": np.arange(100.0)})
    fake = real.assign(x="a")
    robust, paper = (
        TabSynDex(components=["support"], mode=mode).score(real, fake).columns["support"]["x"] for mode in ("robust", "paper")
    )
    assert (robust, paper) == (0.5, 1.0)


def test_size_plays_no_part():
    real = people(2_000)
    few, many = again(real.iloc[:500], 1), pd.concat([again(real.iloc[:500], 1)] * 6, ignore_index=True)
    light = TabSynDex(components=["basic", "correlation", "support", "pmse"])
    assert light.score(real, few).total == pytest.approx(light.score(real, many).total, abs=0.05)


def test_gaps_that_went_are_seen():
    real = people(1_000)
    generator = np.random.default_rng(0)
    real.loc[generator.random(1_000) < 0.3, "income"] = np.nan
    real["town"] = real["town"].where(generator.random(1_000) < 0.8, None)
    filled = again(real).fillna({"income": real["income"].mean(), "town": "north"})
    kept, lost = SCORE.score(real, again(real)), SCORE.score(real, filled)
    for part in ("basic", "support"):
        assert kept.columns[part]["income"] > lost.columns[part]["income"] + 0.02
        assert kept.columns[part]["town"] > lost.columns[part]["town"] + 0.02
    assert kept.components["pmse"] > lost.components["pmse"] + 0.1
    assert kept.total > 0.9


def test_associations_that_chance_makes_do_not_count():
    generator = np.random.default_rng(0)
    real, fake = (
        pd.DataFrame(
            {
                "x": generator.normal(size=600),
                "y": generator.normal(size=600),
                "many": generator.integers(0, 60, 600).astype(str),
                "few": generator.choice(["a", "b", "c"], 600),
            }
        )
        for _ in range(2)
    )
    light = TabSynDex(components=["correlation"])
    assert light.score(real, fake).total > 0.8
    assert TabSynDex(components=["correlation"], mode="paper").score(real, fake).total < 0.75


def test_a_reversed_association_scores_nothing():
    generator = np.random.default_rng(0)
    x = generator.normal(size=500)
    real, fake = (pd.DataFrame({"x": x, "y": sign * x + generator.normal(size=500)}) for sign in (1, -1))
    assert TabSynDex(components=["correlation"]).score(real, fake).total == 0


def test_columns_shuffled_keep_columns_and_lose_what_goes_together():
    found = SCORE.score(people(1_000), shuffled(people(1_000))).components
    assert found["basic"] == pytest.approx(1) and found["support"] == pytest.approx(1)
    assert found["correlation"] < 0.2 and found["ml"] < 0.3


def test_the_propensity_part_does_not_sink_with_the_number_of_rows():
    scores = {}
    for count in (500, 5_000):
        real = people(count)
        fake = again(real).assign(noise=lambda table: table["noise"] + 0.4)
        scores[count] = [TabSynDex(components=["pmse"], mode=mode).score(real, fake).total for mode in ("robust", "paper")]
    assert scores[500][0] == pytest.approx(scores[5_000][0], abs=0.05)
    assert scores[5_000][1] < 0.2 * scores[500][1]


def test_more_inputs_than_rows_tell_no_propensity_and_spoil_nothing():
    draw = np.random.default_rng(0)
    wide = pd.DataFrame({f"c{column}": [f"v{row % 17}" for row in draw.permutation(20)] for column in range(8)})
    found = TabSynDex().score(wide, wide)
    assert found.components["pmse"] is None and found.total == 1
    assert any("40 rows are too few for 136 inputs" in said for said in found.warnings)


def test_tiny_units_hide_no_difference():
    real, fake = people()[["age", "income"]], people(seed=1)[["age", "income"]] + 1_000
    score = TabSynDex(components=["basic"])
    assert score.score(real * 1e-18, fake * 1e-18).total == pytest.approx(score.score(real, fake).total)


@pytest.mark.parametrize("seed", range(3))
def test_a_table_teaches_as_much_as_itself(seed):
    real, holdout = people(120, seed), people(200, seed + 10)
    for target in ("happy", "income"):
        for rows in (60, 5_000):
            score = TabSynDex(target=target, components=["ml"], ml_rows=rows, seed=seed)
            assert score.score(real, real).total == score.score(real, real, holdout).total == 1
