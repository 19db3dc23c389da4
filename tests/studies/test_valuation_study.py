"""The valuation study: what it draws, what it finds, and that it goes on where it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import expunge.studies.valuation as study
from expunge.data import load
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.report.valuation_study import COLUMNS
from expunge.studies import STUDIES
from expunge.studies.valuation_scenarios import WRONG, Sizes, ValuationScenario, rivals
from expunge.valuation import Confidence, EcoVal, KNNShapley, RandomValues, TMCShapley

SMALL = Sizes(60, 60, 60, 100)
FEW = {
    "ecoval": lambda utility: EcoVal(utility, subsets=2),
    "confidence": Confidence,
    "tmc-shapley": lambda utility: TMCShapley(utility, permutations=1),
    "knn-shapley": KNNShapley,
    "random-values": RandomValues,
}


@pytest.fixture
def few(monkeypatch):
    """A study of sixty digits by five methods."""
    monkeypatch.setattr(study, "rivals", lambda one_by_one: FEW)
    monkeypatch.setitem(study.SIZES, "digits", SMALL)


def scenario(**changes):
    return replace(ValuationScenario(load("digits"), SMALL, FEW), **changes)


def test_parts_share_no_row_and_some_labels_are_wrong():
    drawn = scenario().draw(3, Engine(3))
    rows = [{point.tobytes() for point in part.X} for part in (drawn.train, drawn.valid, drawn.unseen, drawn.test)]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 280
    assert drawn.train.wrong.sum() == drawn.unseen.wrong.sum() == round(WRONG * 60)
    assert not drawn.valid.wrong.any() and not drawn.test.wrong.any()


def test_wrong_labels_are_of_other_classes_and_the_rest_is_as_it_was():
    drawn, source = scenario().draw(0, Engine(0)), load("digits")
    known = {
        point.numpy().tobytes(): int(label)
        for part in (source.train, source.holdout)
        for point, label in zip(*part.tensors, strict=True)
    }
    true = np.array([known[point.tobytes()] for point in drawn.train.X])
    np.testing.assert_array_equal(true != drawn.train.y, drawn.train.wrong)


def test_each_seed_draws_anew_and_one_seed_the_same():
    first, again, other = (scenario().draw(seed, Engine(seed)).train for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)


def test_small_data_is_divided_into_quarters_and_too_small_data_refused():
    drawn = scenario(sizes=Sizes(600, 500, 600, 5_000)).draw(0, Engine(0))
    assert [len(part.y) for part in (drawn.train, drawn.valid, drawn.unseen, drawn.test)] == [449, 449, 449, 450]
    few = load("digits", train=100, holdout=20)
    with pytest.raises(BadRequest, match="at least 160 are needed"):
        scenario(source=few).draw(0, Engine(0))


def test_data_without_classes_is_refused():
    with pytest.raises(BadSetting, match="no classes"):
        scenario(source=load("diabetes")).draw(0, Engine(0))


def test_every_method_has_a_row_with_every_figure(few, tmp_path):
    found = STUDIES["valuation"]().run(seeds=2, data="digits", folder=tmp_path)
    page = found.write(tmp_path, tmp_path / "study.json").read_text(encoding="utf-8")
    rows = json.loads((tmp_path / "study.json").read_text())["rows"]
    assert {row["method"] for row in rows} == set(FEW)
    assert {row["metric"] for row in rows} == {column.metric for column in COLUMNS}
    by = {(row["method"], row["metric"]): row["mean"] for row in rows}
    assert all(value is not None for value in by.values())
    assert by["knn-shapley", "auroc"] > 0.85 > 0.7 > by["random-values", "auroc"]
    assert by["tmc-shapley", "cpu_share"] == 1.0
    assert by["confidence", "trainings"] == 6
    assert "knn-shapley" in page and page.count("<svg") == 2 and "--seeds 2" in page
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    found.show(console)
    assert "confidence" in console.export_text()


def test_a_study_that_was_killed_goes_on_with_the_rows_it_has(few, tmp_path, monkeypatch):
    kept = {}

    def once(method, self, game):
        kept[method.__name__] = kept.get(method.__name__, 0) + 1
        return original(self, game)

    original = KNNShapley.find
    monkeypatch.setattr(KNNShapley, "find", lambda self, game: once(KNNShapley, self, game))
    first = STUDIES["valuation"]().run(data="digits", folder=tmp_path)
    runs = kept["KNNShapley"]
    again = STUDIES["valuation"]().run(data="digits", folder=tmp_path)
    assert kept["KNNShapley"] == runs == 2  # two seeds for the stability of ranks
    assert first.json["rows"] == again.json["rows"]


def test_a_row_of_other_settings_is_found_anew(few, tmp_path, monkeypatch):
    first = STUDIES["valuation"]().run(data="digits", folder=tmp_path)
    monkeypatch.setitem(FEW, "ecoval", lambda utility: EcoVal(utility, subsets=3))
    other = STUDIES["valuation"]().run(data="digits", folder=tmp_path)
    trainings = [found.evidence.cases[0].mean("ecoval", "trainings") for found in (first, other)]
    assert trainings[0] < trainings[1]


def test_a_table_is_studied_by_its_column_of_classes(few, tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, 2))
    lines = [f"{a:.4f},{b:.4f},{'rich' if a + b > 0 else 'poor'}" for a, b in x]
    (tmp_path / "people.csv").write_text("a,b,income\n" + "\n".join(lines) + "\n")
    found = STUDIES["valuation"](target="income").run(data=str(tmp_path / "people.csv"))
    assert found.evidence.title == "Study valuation on people"
    assert "--target income" in found.evidence.command


def test_without_adults_file_the_study_says_so(few, monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    scenarios, notes = STUDIES["valuation"]().scenarios(None, "quick")
    assert [each.source.name for each in scenarios] == ["digits"]
    assert "adult was not found" in notes[0]


def test_a_target_without_a_table_is_refused():
    with pytest.raises(BadSetting, match="name the table with --data"):
        STUDIES["valuation"](target="income").run()


def test_a_class_that_too_few_rows_have_is_named(tmp_path):
    lines = [f"{x:.3f},{'rare' if index < 2 else 'usual'}" for index, x in enumerate(np.random.default_rng(0).normal(size=300))]
    lines += [f"{x:.3f},other" for x in np.random.default_rng(1).normal(size=100)]
    (tmp_path / "t.csv").write_text("x,kind\n" + "\n".join([*lines, "1.0,rare"]) + "\n")
    with pytest.raises(BadRequest, match="class rare of t is too rare"):
        for seed in range(8):
            source = load(tmp_path / "t.csv", target="kind", classes=True)
            scenario(source=source, sizes=Sizes(60, 60, 60, 100)).draw(seed, Engine(seed))


def test_no_seeds_are_refused():
    with pytest.raises(BadSetting, match="at least 1 seed"):
        STUDIES["valuation"]().run(seeds=0)


def test_all_rivals_stand_in_the_table():
    assert {"ecoval", "confidence", "knn-shapley", "data-oob", "lava", "tmc-shapley-one-by-one"} <= set(rivals(True))
