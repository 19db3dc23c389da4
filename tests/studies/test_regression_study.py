"""The regression study: what it plans, what it refuses before training, and one small run on a table."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge import Engine, forget
from expunge.audits import AUDITS, LiRA
from expunge.data import Records, Source, Target, load
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.methods import Finetune, Retrain, RidgeDowndate, ShrinkPerturb
from expunge.optimizers import Optimizer
from expunge.requests import ForgetRange, ForgetWhere
from expunge.studies import STUDIES, regression, scenarios
from expunge.studies.comparison import ORIGINAL, RETRAINED, SECOND
from expunge.studies.regression import RegressionStudy
from tiny import RECIPE, band_split, regression_original, regression_task

ON_HOMES = RegressionStudy(target="price", forget="price <= 80")


@pytest.fixture
def homes(tmp_path, monkeypatch) -> Path:
    """300 homes whose price follows their area and age, with noise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    draw = np.random.default_rng(0)
    area, age = draw.normal(size=(2, 300))
    price = 100 + 30 * (area + np.sin(age)) + 3 * draw.normal(size=300)
    lines = [f"{a:.4f},{b:.4f},{city},{c:.3f}" for a, b, c, city in zip(area, age, price, ["Oslo", "Rome"] * 150, strict=True)]
    Path("homes.csv").write_text("\n".join(["area,age,city,price", *lines]) + "\n")
    return tmp_path


@pytest.fixture
def brief(monkeypatch):
    """Recipes of few epochs, two methods and two shadow models; all else is the study's own."""
    methods = {"finetune": Finetune(epochs=1), "shrink-perturb": ShrinkPerturb(epochs=2)}
    monkeypatch.setattr(scenarios, "BAND_RECIPE", Retrain(epochs=6, optimizer=Optimizer("adam", 5e-3)))
    monkeypatch.setattr(scenarios, "BY_HEART", Retrain(epochs=40, optimizer=Optimizer("adam", 5e-3), schedule="constant"))
    monkeypatch.setattr(scenarios, "band_methods", lambda recipe: methods)
    monkeypatch.setattr(scenarios, "record_methods", lambda: methods)
    monkeypatch.setattr(regression, "SHADOWS", {"quick": 2, "full": 4})


# ---- what is planned ----------------------------------------------------------------------------------------------------


def test_it_is_known_by_its_files_name():
    assert STUDIES["regression"] is RegressionStudy and RegressionStudy.name == "regression"


def test_a_table_gives_a_band_and_rows_by_heart(homes, never_trains):
    plan = ON_HOMES.plan("homes.csv", "quick")
    assert plan.data == "homes" and plan.notes == ["60 of 300 rows are held out, drawn with seed 0."]
    assert list(plan.forgotten) == ["rows whose price is at most 80", "random 10 % of 240 rows"]
    gone = (load("homes.csv", target="price").train.columns["price"] <= 80).sum()
    band, rows = plan.forgotten.values()
    assert band == f"rows whose price is at most 80 of homes: {gone} of 240 training examples"
    assert rows == "10 % of the records (24 rows, drawn with seed 0) of homes: 24 of 240 training examples"
    assert plan.network.head.out_features == 1


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_settings_are_plain_values_that_say_what_was_chosen(homes, budget):
    plan = ON_HOMES.plan("homes.csv", budget)
    assert json.loads(json.dumps(plan.settings)) == plan.settings
    assert plan.settings.keys() == {*plan.forgotten, "budget"} and plan.settings["budget"] == budget
    band, rows = (plan.settings[title] for title in plan.forgotten)
    assert band["training rows"] == 240 and band["holdout rows"] == 60 and band["loss"] == "l1"
    assert band["network"].startswith("MLP, 25,") and band["network"].endswith(" parameters")
    assert band["recipe"] == repr(scenarios.BAND_RECIPE) and rows["recipe"] == repr(scenarios.BY_HEART)
    assert band["methods"] == {name: repr(each) for name, each in scenarios.band_methods(scenarios.BAND_RECIPE).items()}
    assert rows["methods"] == {name: repr(each) for name, each in scenarios.record_methods().items()}


def test_lira_runs_on_rows_by_heart_always_and_on_bands_with_the_full_budget(homes):
    def shadows(budget):
        plan = ON_HOMES.plan("homes.csv", budget)
        return [[each.partition(",")[0] for each in plan.settings[title]["audits"]] for title in plan.forgotten]

    quick, full = (f"LiRA(shadows={regression.SHADOWS[budget]}" for budget in ("quick", "full"))
    assert shadows("quick") == [[], [quick]] and shadows("full") == [[full], [full]]


def small_scenarios(budget="full"):
    return RegressionStudy(target="price", forget="price <= 80")._scenarios("homes.csv", budget)


def test_shadow_models_are_trained_in_batches_of_the_size_of_the_originals(homes):
    """They must be of the original's recipe, or they say nothing of it."""
    for scenario in small_scenarios():
        for audit in scenario.audits:
            assert isinstance(audit, LiRA) and audit.batch_size == scenario.batch_size, scenario.title


def test_a_split_reserves_a_tenth_of_what_is_unseen_for_methods(homes):
    band, rows = small_scenarios()
    for split in (band.split(), rows.split()):
        parts = (split.holdout, split.holdout_forget, split.validation_forget)
        assert sum(part.examples for part in parts if part is not None) <= 60
    everything = rows.split()
    assert everything.holdout.examples == 54 and everything.validation_forget.examples == 6
    assert band.split().holdout_forget.examples > 0 and rows.split().holdout_forget is None


def test_methods_of_a_band_follow_the_recipe():
    slow, fast = (scenarios.band_methods(Retrain(epochs=40, optimizer=Optimizer("adam", rate))) for rate in (1e-3, 4e-3))
    assert slow["shrink-perturb"] == ShrinkPerturb.from_recipe(Retrain(epochs=40, optimizer=Optimizer("adam", 1e-3)))
    assert fast["shrink-perturb"].optimizer.learning_rate == pytest.approx(4 * slow["shrink-perturb"].optimizer.learning_rate)
    assert slow["blindspot"].teacher_epochs == 10 and slow["blindspot-half"].teacher_epochs == 5
    assert slow["blindspot-published"] == fast["blindspot-published"], "has no say in what was published"
    assert slow["blindspot-published"].warm_start == 0.0


def source_of(name: str, inputs: torch.Tensor, width: int = 1) -> Source:
    """60 rows, 40 of them to train on; scores 0 to 59, every fourth in winter."""
    score = np.arange(60.0)
    winter = np.where(np.arange(60) % 4, "no", "yes")
    targets = torch.from_numpy(score).float().unsqueeze(1).expand(60, width).clone()
    parts = [
        Records(inputs[rows], (targets[rows] - 5) / 2, {"score": score[rows], "winter": winter[rows]})
        for rows in (slice(0, 60, 3), slice(1, 60, 3))
    ]
    return Source(name, parts[0], parts[1], (), target=Target("score", 5.0, 2.0))


def hours() -> Source:
    return source_of("etth1", torch.randn(60, 12, 2, generator=torch.Generator().manual_seed(0)), width=3)


def sentences() -> Source:
    return source_of("stsb", torch.randint(0, 8192, (60, 2, 16), generator=torch.Generator().manual_seed(0)))


def test_forecasts_have_a_number_for_each_quantile_and_no_method_for_single_ones():
    scenario = scenarios.forecast("winter", hours(), ForgetWhere("winter", ("yes",)))
    task = scenario.task
    assert task.quantiles == scenarios.QUANTILES and scenario.settings()["loss"] == "pinball"
    assert not any(isinstance(each, RidgeDowndate) for each in scenario.methods.values())
    outputs = task.outputs(task.new_model(), next(iter(scenario.split().forget)))
    assert outputs.shape == (5, 3, 3) and task.predictions(outputs).shape == (5, 3)


@pytest.mark.parametrize(("make", "network"), [(sentences, "PairLSTM"), (hours, "TiDE")])
@pytest.mark.parametrize("options", [{}, {"forget": "score < 20"}], ids=["its own request", "another request"])
def test_sentences_and_forecasts_have_their_own_networks_whatever_must_go(monkeypatch, make, network, options):
    monkeypatch.setattr(regression, "load", lambda name, **settings: make())
    source = make()
    plan = RegressionStudy(**options).plan(source.name, "quick")
    assert {settings["network"].partition(",")[0] for settings in plan.settings.values() if settings != "quick"} == {network}


def test_only_the_first_rows_are_learned_by_heart():
    source = load("diabetes")
    few = scenarios.first_rows(source, 50)
    assert len(few.train) == 50 and few.holdout is source.holdout and few.target == source.target
    assert (few.train.columns["row"] == source.train.columns["row"][:50]).all()
    assert scenarios.first_rows(source, 332) is source is scenarios.first_rows(source, 2_000)


def test_without_housing_the_embedded_diabetes_are_used_and_that_is_said(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    plan = RegressionStudy().plan(None, "quick")
    assert plan.data == "diabetes"
    assert plan.notes[0].startswith("California housing was not found (EXPUNGE_DATA), so the embedded diabetes were used;")
    assert list(plan.forgotten) == ["progression up to 75", "random 10 % of 332 rows"]
    assert plan.forgotten["progression up to 75"].startswith("rows whose progression is at most 75 of diabetes: ")


@pytest.mark.parametrize("budget", ["quick", "full"])
def test_the_embedded_data_get_the_budget_that_is_asked_for(monkeypatch, budget):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    given = RegressionStudy(forget="progression <= 75").plan("diabetes", budget).settings.values()
    fallen_back = RegressionStudy().plan(None, budget).settings.values()
    assert list(given) == list(fallen_back)


def test_embedded_data_by_name_may_have_a_request(monkeypatch, never_trains):
    plan = RegressionStudy(forget="bmi >= 30").plan("diabetes", "quick")
    assert plan.data == "diabetes" and next(iter(plan.forgotten)) == "rows whose bmi is at least 30"


# ---- what is refused before anything is trained -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "data", "kind", "message"),
    [
        (
            {"target": "price"},
            "homes.csv",
            BadSetting,
            'study regression: say what must go of homes.csv: --forget "COLUMN <= V',
        ),
        ({}, "diabetes", BadSetting, "study regression: say what must go of diabetes: --forget"),
        ({"target": "price"}, None, BadSetting, "study regression: --target and --forget are for a table that --data names"),
        (
            {"forget": "price <= 80"},
            None,
            BadSetting,
            "study regression: --target and --forget are for a table that --data names",
        ),
        ({"forget": "price <= 80"}, "homes.csv", BadSetting, "homes.csv: state the target, that is the column to predict; "),
        ({"target": "prize", "forget": "price <= 80"}, "homes.csv", BadFile, "homes.csv has no column 'prize' (did you mean"),
        ({"target": "price", "forget": "prize <= 80"}, "homes.csv", BadRequest, "there is no column 'prize'; columns of the"),
        ({"target": "price", "forget": "cheap"}, "homes.csv", BadRequest, "'cheap' cannot be read as a comparison; write it"),
        (
            {"target": "price", "forget": "price < -999"},
            "homes.csv",
            BadRequest,
            "forget set is empty: no row has price < -999 (",
        ),
        ({"target": "price", "forget": "price < 999"}, "homes.csv", BadRequest, "retain set is empty: rows whose price is"),
        ({"forget": "price <= 80"}, "digits", BadSetting, "digits has classes, not real-numbered targets; see study class"),
        ({"target": "bmi", "forget": "progression <= 75"}, "diabetes", BadSetting, "diabetes takes no target (given: bmi)"),
        ({"forget": "price <= 80"}, "nowhere.csv", BadFile, "file not found: nowhere.csv"),
        ({"forget": "price <= 80"}, "nodata", BadSetting, "there is no data 'nodata': it is no folder"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_training(homes, never_trains, options, data, kind, message):
    with pytest.raises(kind) as caught:
        RegressionStudy(**options).run(data=data, folder="work")
    assert str(caught.value).startswith(message)
    assert not Path("work").exists()


def test_no_seeds_are_refused(homes, never_trains):
    with pytest.raises(BadSetting, match=r"^a study needs at least 1 seed, not 0$"):
        ON_HOMES.run(seeds=0, data="homes.csv")


# ---- a run --------------------------------------------------------------------------------------------------------------


def figures(studied) -> dict[tuple[str, str], dict]:
    return {(row["method"], row["metric"]): row for row in studied.json["rows"]}


def timeless(studied) -> list[dict]:
    """All figures but times, which no two runs share."""
    return [row for row in studied.json["rows"] if "seconds" not in row["metric"]]


BAND, ROWS = "rows whose price is at most 80", "random 10 % of 240 rows"


def test_a_small_study_from_a_table_to_its_json_and_its_report(homes, brief):
    lines = []
    studied = ON_HOMES.run(data="homes.csv", say=lines.append)
    found = figures(studied)
    names = [ORIGINAL, RETRAINED, SECOND, "finetune", "shrink-perturb"]
    assert [case.title for case in studied.evidence.cases] == [BAND, ROWS]
    for case in studied.evidence.cases:
        assert [row.name for row in case.rows] == names
        assert (case.score_name, case.higher_is_better) == ("mae", False)
    assert studied.json["study"] == "regression" and studied.json["data"] == "homes" and studied.json["seeds"] == 1
    assert set(studied.json["seconds"]) == set(names) and studied.json["settings"]["budget"] == "quick"
    for title in (BAND, ROWS):
        of_gold = found[RETRAINED, f"{title}/forget_mae"]
        assert of_gold["mean"] == of_gold["ideal"] == found["finetune", f"{title}/forget_mae"]["ideal"] > 0
        assert found[RETRAINED, f"{title}/forget_mae_gap"]["mean"] == 0.0
        assert (
            found[RETRAINED, f"{title}/forget_wasserstein"]["mean"] == 0.0 < found[SECOND, f"{title}/forget_distance"]["mean"]
        )
        assert found[RETRAINED, f"{title}/tow"]["mean"] == 1.0 > found[SECOND, f"{title}/tow"]["mean"]
        assert 0 < found[ORIGINAL, f"{title}/forget_mae"]["mean"] < of_gold["mean"], "the original was trained on them"
    assert 0 < found[ORIGINAL, f"{BAND}/forget_mae"]["mean"] < 60, "in the unit of the prices, which spread by about 36"
    assert f"{ROWS}/lira_auc" in {metric for _, metric in found} and f"{BAND}/lira_auc" not in {metric for _, metric in found}
    assert f"{BAND}/holdout_forget_mae" in {metric for _, metric in found}
    assert not any("accuracy" in metric and "membership" not in metric for _, metric in found)
    assert lines == [
        line
        for title in (BAND, ROWS)
        for line in (f"seed 0: {title}: training the original", f"seed 0: {title}: retraining twice, 2 methods, audits")
    ]
    command = studied.evidence.command
    assert command == (
        "expunge study regression --budget quick --seeds 1 --data homes.csv --target price --forget 'price <= 80'"
    )
    report = studied.write(Path("out"), Path("study.json"))
    assert report == Path("out/report.html") and json.loads(Path("study.json").read_text()) == studied.json
    page = report.read_text()
    assert "MAE" in page and BAND in page and "price" in page


def test_two_seeds_are_averaged(homes, brief, monkeypatch):
    monkeypatch.setattr(regression, "_table", lambda *args: band_alone(*args))
    both = figures(ON_HOMES.run(seeds=2, data="homes.csv"))
    alone = figures(ON_HOMES.run(seeds=1, data="homes.csv"))
    row = both["finetune", "forget_mae"]
    assert row["n"] == 2 and row["std"] > 0 and row["mean"] != alone["finetune", "forget_mae"]["mean"]
    other = 2 * row["mean"] - alone["finetune", "forget_mae"]["mean"]
    assert row["std"] == pytest.approx(abs(other - alone["finetune", "forget_mae"]["mean"]) / 2**0.5, rel=1e-3)


def band_alone(source, request, budget, title=""):
    assert isinstance(request, ForgetRange)
    return (scenarios.band(title or request.describe(), source, request),)


class Killed(Exception):
    """The process ends here."""


def kept_in(folder: Path) -> dict[str, int]:
    """When each file was last written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_a_killed_study_goes_on_where_it_was(homes, brief, monkeypatch):
    """It ends as one that ran through; what was done is neither made nor asked nor written again, shadow models included."""

    def dies(line):
        if line == f"seed 0: {ROWS}: retraining twice, 2 methods, audits":
            raise Killed

    with pytest.raises(Killed):
        ON_HOMES.run(data="homes.csv", folder="out", say=dies)
    before = kept_in(Path("out"))
    results = [path for path in before if path.endswith("result.safetensors")]
    assert len(results) == 5 + 1, "the first case and the second one's original"
    resumed = ON_HOMES.run(data="homes.csv", folder="out")
    after = kept_in(Path("out"))
    assert {path: after[path] for path in before} == before and len(after) > len(before)
    assert timeless(resumed) == timeless(ON_HOMES.run(data="homes.csv"))

    def asked(*of_whom):
        raise AssertionError("its figures were there")

    with monkeypatch.context() as patched:
        patched.setattr(AUDITS["error"], "examine", asked)
        again = ON_HOMES.run(data="homes.csv", folder="out")
        with pytest.raises(AssertionError, match="its figures were there"):
            ON_HOMES.run(data="homes.csv")
    assert kept_in(Path("out")) == after, "nothing was left to do"
    assert again.json["seconds"] == resumed.json["seconds"] and timeless(again) == timeless(resumed)
    assert len([path for path in after if "shadow-" in path]) == 2


def test_other_rows_to_forget_do_not_take_what_was_kept(homes, brief):
    ON_HOMES.run(data="homes.csv", folder="out")
    other = RegressionStudy(target="price", forget="price >= 120")
    assert timeless(other.run(data="homes.csv", folder="out")) == timeless(other.run(data="homes.csv"))


def test_a_table_that_changed_in_between_does_not_take_what_was_kept(homes, brief, monkeypatch):
    monkeypatch.setattr(regression, "_table", lambda *args: band_alone(*args))
    ON_HOMES.run(data="homes.csv", folder="out")
    lines = Path("homes.csv").read_text().splitlines()
    first = lines[1].split(",")
    lines[1] = ",".join([f"{float(first[0]) + 1:.4f}", *first[1:]])
    Path("homes.csv").write_text("\n".join(lines) + "\n")
    assert timeless(ON_HOMES.run(data="homes.csv", folder="out")) == timeless(ON_HOMES.run(data="homes.csv"))


# ---- the three-line use -------------------------------------------------------------------------------------------------


def test_three_lines_forget_a_band_and_report_errors(tmp_path):
    original = regression_original(Engine(progress=False))
    result = forget(original, regression_task(), band_split(), ShrinkPerturb.from_recipe(RECIPE), retrain=RECIPE)
    page = result.report(tmp_path / "out").read_text()
    case = json.loads((tmp_path / "out" / "audit.json").read_text())["cases"][0]
    assert [row["model"] for row in case["rows"]] == [ORIGINAL, RETRAINED, SECOND, "shrink-perturb"]
    metrics = set(case["rows"][0]["figures"])
    assert metrics >= {f"{part}_mae" for part in ("forget", "retain", "holdout", "holdout_forget")} | {"forget_wasserstein"}
    assert not any(metric.endswith("_accuracy") and metric != "membership_accuracy" for metric in metrics)
    of_the_attack = ("attack accuracy", "accuracy of the attack", "membership_accuracy")
    others = functools.reduce(lambda text, words: text.replace(words, ""), of_the_attack, page.lower())
    assert "MAE" in page and "accuracy" not in others
    assert result.figures["forget_mae"].ideal == case["rows"][1]["figures"]["forget_mae"]["mean"] > 0
    assert not any(metric.startswith("lira") for metric in metrics), "it trains models, so it is left out unless asked for"


def test_without_the_recipe_nothing_is_proven(tmp_path):
    original = regression_original(Engine(progress=False))
    result = forget(original, regression_task(), band_split(), Finetune(epochs=1))
    result.report(tmp_path / "out")
    case = json.loads((tmp_path / "out" / "audit.json").read_text())["cases"][0]
    assert case["verdict"].startswith("Nothing is proven: no retrained model")
    assert result.figures["forget_mae"].ideal is None and "forget_wasserstein" not in result.figures


def test_lira_runs_where_it_is_asked_for():
    engine = Engine(progress=False)
    original = regression_original(engine)
    result = forget(
        original, regression_task(), band_split(), Finetune(epochs=1), retrain=RECIPE, audits=[LiRA(shadows=2)], engine=engine
    )
    assert set(result.figures) == {"lira_auc", "lira_tpr"} and 0 <= result.figures["lira_auc"].value <= 1
    fits = {row["fit"] for row in engine.history if "shadow" in row["fit"]}
    assert len(fits) == 2 and all("shadows" in fit for fit in fits)
