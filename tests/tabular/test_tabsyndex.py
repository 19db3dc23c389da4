"""TabSynDex as a user meets it: settings, tables of all kinds, and errors that say what to do."""

import json

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadFile, BadSetting
from expunge.tabular import ScoreMonitor, TabSynDex
from expunge.tabular.generators import Generator
from tabular.scored import again, people, shuffled

LIGHT = ("basic", "correlation", "support", "pmse")


def test_the_total_is_the_mean_of_the_parts():
    found = TabSynDex(target="happy").score(people(), again(people()))
    assert list(found.components) == ["basic", "correlation", "ml", "support", "pmse"]
    assert found.total == pytest.approx(np.mean(list(found.components.values())))
    assert json.loads(json.dumps(found.as_json()))["total"] == found.total
    assert found.associations[0].shape == (6, 6)


def test_without_a_target_the_total_is_of_four_and_that_is_said():
    found = TabSynDex().score(people(), again(people()))
    assert found.components["ml"] is None
    assert found.total == pytest.approx(np.mean([value for value in found.components.values() if value is not None]))
    assert any("no target" in warning for warning in found.warnings)


@pytest.mark.parametrize("mode", ["robust", "paper", "official"])
def test_regression_finds_what_can_be_learned(mode):
    real = people(600)
    score = TabSynDex(target="income", mode=mode, components=["ml"])
    assert score.score(real, people(600, seed=1)).total > score.score(real, shuffled(real)).total + 0.05


def test_a_holdout_judges_the_models():
    real, fake = people(300), again(people(300))
    score = TabSynDex(target="happy", components=["ml"])
    other = people(300, seed=1).assign(happy=lambda table: np.where(table["happy"] == "yes", "no", "yes"))
    right, turned = (score.score(real, fake, holdout=table) for table in (people(300, seed=1), other))
    assert right.components["ml"] > 0.9
    assert turned.components["ml"] is None  # what the real table teaches is wrong there: nobody learns anything


def test_compare_holds_score_and_paper_beside_their_references():
    found = TabSynDex(target="happy").compare(people(200), again(people(200)))
    assert found.score.mode == "robust" and found.paper.mode == found.paper_reference.split.mode == "paper"
    assert "columns shuffled" in str(found) and "paper" in str(found)
    assert TabSynDex(target="happy", mode="paper").compare(people(200), again(people(200))).paper is None


def test_the_same_seed_gives_the_same_and_another_another():
    real = people(300)
    first, second, other = (TabSynDex(seed=seed, components=LIGHT).reference(real).split.total for seed in (1, 1, 2))
    assert first == second != other


def test_texts_dates_gaps_and_booleans_are_scored():
    generator = np.random.default_rng(0)
    count = 300
    real = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=count).strftime("%Y-%m-%d"),
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 10**6, count), unit="s"),
            "yes": generator.random(count) < 0.5,
            "gaps": np.where(generator.random(count) < 0.3, np.nan, generator.normal(size=count)),
            "text": np.where(generator.random(count) < 0.3, None, generator.choice(["a", "b"], count)),
            "name": [f"person {each}" for each in range(count)],
            "empty": [None] * count,
        }
    )
    found = TabSynDex(target="yes").score(real, real)
    assert found.total >= 0.999 or found.components["ml"] is None
    assert [value for name, value in found.components.items() if name != "ml"] == pytest.approx([1] * 4, abs=1e-6)
    assert set(found.names) == {"day", "time", "yes", "gaps", "text"}
    assert any("'name' is an identifier" in warning for warning in found.warnings)
    assert any("'empty' is empty" in warning for warning in found.warnings)
    assert TabSynDex(components=LIGHT).score(real, again(real)).total > 0.9


def test_ten_thousand_categories_have_a_stated_treatment():
    generator = np.random.default_rng(0)
    real = pd.DataFrame({"shop": generator.integers(0, 10_000, 30_000).astype(str), "sum": generator.normal(size=30_000)})
    found = TabSynDex(components=LIGHT).score(real, again(real))
    assert found.components["pmse"] > 0.95
    assert 0.5 < found.columns["support"]["shop"] < 0.95


def test_columns_of_one_kind_alone():
    real = people()
    for names in (["age", "income", "noise"], ["job", "town", "happy"], ["age"], ["job"]):
        found = TabSynDex(components=LIGHT).score(real[names], again(real[names]))
        assert found.total > 0.9
        assert (found.components["correlation"] is None) == (len(names) == 1)


def test_more_columns_are_passed_over_and_fewer_refused():
    real = people()
    found = TabSynDex(components=LIGHT).score(real, again(real).assign(index=1, other=2))
    assert any("columns index, other" in warning for warning in found.warnings)
    with pytest.raises(BadFile, match="the synthetic table lacks columns 'age', 'job'"):
        TabSynDex().score(real, real.drop(columns=["age", "job"]))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_synthetic_table_of_nothing_but_one_value_scores_low_and_breaks_nothing(seed):
    real = people(seed=seed)
    for mode in ("robust", "paper", "official"):
        found = TabSynDex(target="happy", mode=mode).score(real, pd.concat([real.iloc[[seed]]] * 50, ignore_index=True))
        assert found.total < 0.5
        assert found.components["ml"] == 0


def test_a_synthetic_table_of_gaps_breaks_nothing():
    real = people()
    gaps = pd.DataFrame({name: [None] * 50 for name in real})
    found = TabSynDex(target="happy").score(real, gaps)
    assert found.total < 0.3 and all(np.isfinite(value) for value in found.components.values())


def test_settings_that_make_no_sense_are_refused():
    for settings, words in (
        ({"mode": "strict"}, "mode must be one of robust, paper, official"),
        ({"task": "ranking", "target": "x"}, "task must be"),
        ({"task": "regression"}, "there is no target"),
        ({"components": ["basic", "beauty"]}, "unknown component 'beauty'"),
        ({"defects": ["all"]}, "unknown defect 'all'"),
        ({"alpha": 1.0}, "alpha must be above 1"),
        ({"beta": 0.5}, "beta must be at least 1"),
        ({"bins": 0}, "bins must be at least 1"),
        ({"ml_rows": 5}, "ml_rows must be at least 10"),
    ):
        with pytest.raises(BadSetting, match=words):
            TabSynDex(**settings)


def test_tables_that_make_no_sense_are_refused():
    real = people()
    for settings, table, fake, error, words in (
        ({"target": "hapy"}, real, real, BadFile, "no column 'hapy'.*did you mean happy"),
        ({"target": "happy", "task": "regression"}, real, real, BadSetting, "its task is classification"),
        ({"target": "income", "task": "classification"}, real, real, BadFile, "not whole"),
        ({"categorical": ["jobs"]}, real, real, BadFile, "no column 'jobs'"),
        ({"categorical": ["job"], "kinds": {"job": "number"}}, real, real, BadSetting, "state one of them"),
        ({"kinds": {"job": "text"}}, real, real, BadSetting, "kind 'text'"),
        ({"kinds": {"job": "number"}}, real, real, BadFile, "column 'job' is '.*expected a finite number"),
        ({}, real.iloc[:1], real, BadFile, "the real table has 1 row; expected at least 10"),
        ({}, real, real.iloc[:9], BadFile, "the synthetic table has 9 rows"),
        ({}, real, real.assign(age="old"), BadFile, "the synthetic table, row 0: column 'age' is 'old'"),
        ({}, real, real.assign(age=np.inf), BadFile, "column 'age' is 'inf'"),
        ({}, real[["age", "age"]], real, BadFile, "two columns 'age'"),
        ({"target": "no"}, real.assign(no=None), real.assign(no=None), BadFile, "target 'no' is empty"),
        ({}, pd.DataFrame({"a": [None] * 20}), real.assign(a=None), BadFile, "no column can be scored"),
    ):
        with pytest.raises(error, match=words):
            TabSynDex(**settings).score(table, fake)
    with pytest.raises(BadFile, match="a reference needs at least 20"):
        TabSynDex().reference(real.iloc[:15])


class Growing(Generator):
    """Rows of a table, the more of them shuffled the longer ago its best epoch is."""

    def __init__(self, real, best):
        super().__init__()
        self.real, self.best, self.epoch = real, best, 0

    def sample(self, n, conditions=None, seed=0):
        table = again(self.real).iloc[:n].reset_index(drop=True)
        bad = int(len(table) * min(abs(self.epoch - self.best) / 20, 1))
        return pd.concat([shuffled(table.iloc[:bad]), table.iloc[bad:]], ignore_index=True)

    def _fit(self, real, engine, monitor): ...
    def _sample(self, n, generator): ...
    def _state(self): ...
    def _restore(self, tensors, facts): ...


def test_a_monitor_scores_every_few_epochs_without_the_ml_part():
    real = people()
    told = []
    monitor = ScoreMonitor(TabSynDex(target="happy"), real, every=4, rows=300, say=told.append)
    generator = Growing(real, best=11)
    scores = []
    for generator.epoch in range(20):
        scores.append(monitor.judge(generator, generator.epoch))
    assert [epoch for epoch, score in enumerate(scores) if np.isfinite(score)] == [3, 7, 11, 15, 19]
    assert monitor.best == 12 and list(monitor.scores) == [4, 8, 12, 16, 20]
    assert monitor.scores[12].components["ml"] is None
    assert len(told) == 5 and told[2].startswith("epoch 12: ")
    with pytest.raises(BadSetting, match="every must be at least 1"):
        ScoreMonitor(TabSynDex(), real, every=0)
    with pytest.raises(BadSetting, match="patience must be at least the 5 epochs from one score to the next, not 3"):
        ScoreMonitor(TabSynDex(), real, patience=3)
    with pytest.raises(BadSetting, match="ML part alone"):
        ScoreMonitor(TabSynDex(target="happy", components=["ml"]), real)


def test_numbers_too_large_for_a_variance_are_refused():
    table = people().assign(income=lambda real: real["income"] * 1e200)
    for real, synthetic, where in ((table, people(), "real"), (people(), table, "synthetic")):
        with pytest.raises(BadFile, match=rf"the {where} table: column 'income' has numbers above 1e\+150.*leave them empty"):
            TabSynDex(components=LIGHT).score(real, synthetic)


def test_a_number_of_two_values_is_learned_by_regression_where_that_is_the_task():
    real = people(300).assign(rate=lambda table: np.where(table["happy"] == "yes", 1.5, 0.5))
    with pytest.raises(BadFile, match="its task is regression"):
        TabSynDex(target="rate").schema(real)
    score = TabSynDex(target="rate", task="regression", components=["ml"])
    assert score.schema(real)["rate"].kind == "number"
    assert score.score(real, again(real)).total > 0.9


@pytest.mark.parametrize("mode", ["robust", "paper", "official"])
def test_where_nothing_can_be_learned_there_is_no_ml_part(mode):
    one = people(100).assign(happy="yes")
    light = TabSynDex(target="happy", categorical=("happy",), mode=mode, components=("basic", "ml"))
    found = light.score(one, people(100))
    assert found.components["ml"] is None and any("one value only" in said for said in found.warnings)
    found = light.score(people(100)[["happy"]], people(100, 1)[["happy"]])
    assert mode == "official" or found.components["ml"] is None
    alone = TabSynDex(target="income", mode=mode, components=("basic", "ml"))
    found = alone.score(people(100)[["income"]], people(100, 1)[["income"]])
    assert found.components["ml"] is None and any("no column besides the target" in said for said in found.warnings)


def test_a_holdout_of_one_class_tells_nothing_and_that_is_said():
    held = people(200, seed=1)
    found = TabSynDex(target="happy", components=("basic", "ml")).score(people(), people(seed=2), held[held["happy"] == "yes"])
    assert found.components["ml"] is None and "All holdout rows have one 'happy': ML efficacy can't be told." in found.warnings


@pytest.mark.parametrize("mode", ["robust", "paper", "official"])
def test_names_of_columns_are_checked_first_whatever_the_mode(mode):
    twice = pd.concat([people(), people()[["age"]]], axis=1)
    with pytest.raises(BadFile, match="two columns 'age'"):
        TabSynDex(mode=mode).score(twice, people())
    with pytest.raises(BadFile, match="a column named 3, which is no text"):
        TabSynDex(mode=mode, target="nowhere").score(people().rename(columns={"age": 3}), people())


def test_parts_that_are_none_are_refused_and_a_total_of_no_part_is_said():
    with pytest.raises(BadSetting, match=r"not the text 'basic'; write \['basic'\]"):
        TabSynDex(components="basic")
    with pytest.raises(BadSetting, match="no component is wanted; name some of basic, "):
        TabSynDex(components=[])
    found = TabSynDex(components=["ml"]).score(people(), people())
    assert found.total == 0 and found.warnings[-1] == "No part could be told: the total of 0 says nothing."
