"""The recommendation study: what it plans, what it refuses, and small runs on made choices."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_interactions as tiny
from expunge import Engine
from expunge.data import load_interactions
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.methods import METHODS, EdgeDrop, Finetune, MMRecUN, ResetRows, Retrain
from expunge.optimizers import Optimizer
from expunge.studies import STUDIES, recommendation, recommendation_scenarios
from expunge.studies.comparison import ORIGINAL, RETRAINED, SECOND
from expunge.studies.recommendation import KINDS, RecommendationStudy
from expunge.studies.recommendation_scenarios import (
    RECIPE,
    SLOW,
    TIKTOK_RECIPE,
    methods_for,
    request_for,
)

FOUR = ["MGCN, 5 % of users", "MGCN, 5 % of items", "MGCN, 5 % of pairs", "MGCN, image of 5 % of items"]
BRIEF = Retrain(epochs=8, optimizer=Optimizer("adam", 2e-2), schedule="constant")


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """Planted tastes in a file of arrays in the working directory; and a list of pairs without anything else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    clicks = tiny.clicks()
    user, item = clicks.pairs.T.numpy()
    features = {f"{name}_feat": values.numpy() for name, values in clicks.features.items()}
    np.savez("made.npz", train_user=user, train_item=item, **features)
    Path("chosen.csv").write_text("user,item\n" + "".join(f"p{u},f{i}\n" for u, i in clicks.pairs.tolist()))
    return tmp_path


@pytest.fixture
def brief(monkeypatch):
    """A recipe of few epochs, and few methods; all else is the study's own."""
    few = {"mmrecun": MMRecUN(cycles=1, reverse_epochs=1, forward_epochs=1), "reset-rows": ResetRows()}
    chosen = {"features": {"edge-drop": EdgeDrop()}}
    monkeypatch.setattr(recommendation_scenarios, "RECIPE", BRIEF)
    monkeypatch.setattr(recommendation_scenarios, "methods_for", lambda forget, recipe, without: chosen.get(forget, few))


@pytest.fixture
def found(made, monkeypatch):
    """Both public sets are where they are looked for; small ones, under their names."""
    whole = load_interactions("made.npz")

    def load(name):
        if name not in ("movielens-latest-small", "tiktok"):
            return load_interactions(name)
        return replace(whole, name=name, note=f"This is {name}.")

    monkeypatch.setattr(recommendation, "load_interactions", load)


# ---- what is planned --------------------------------------------------------------------------------------------------------


def test_it_is_known_by_its_files_name():
    assert STUDIES["recommendation"] is RecommendationStudy and RecommendationStudy.name == "recommendation"
    assert RecommendationStudy.default_data == "movielens-latest-small"


def test_without_movielens_the_planted_tastes_are_used_and_that_is_said(monkeypatch, never_trains):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    fallen = (
        "movielens-latest-small was not found (EXPUNGE_DATA), so the embedded planted tastes were used; "
        "figures on them mean little."
    )
    plan = RecommendationStudy().plan(None, "quick")
    assert plan.data == "tastes" and plan.notes == [fallen]
    words = "5 % of the users of tastes: 15 users with 288 of 6,029 training pairs"
    assert plan.forgotten == {"MGCN, 5 % of users": words}
    assert RecommendationStudy().plan("tastes", "quick").notes == [], "whoever asks for it knows"
    full = RecommendationStudy().plan(None, "full")
    assert full.data == "tastes" and list(full.forgotten) == FOUR
    assert full.notes == [fallen, "tiktok was not found (EXPUNGE_DATA), and was left out."]


def test_interactions_of_the_users_own_are_planned_alike(made, never_trains):
    plan = RecommendationStudy().plan("made.npz", "full")
    assert plan.data == "made" and list(plan.forgotten) == FOUR and plan.notes == []
    everything, split = _draw("users")
    of_all = f"of {everything.examples:,} training pairs"
    goes = split.forget.examples
    assert plan.forgotten[FOUR[0]] == f"5 % of the users of made: 3 users with {goes} {of_all}"
    items = _draw("items")[1].forget
    assert len(items.pairs[:, 1].unique()) == 4
    assert plan.forgotten[FOUR[1]] == f"5 % of the items of made: 4 items with {items.examples} {of_all}"
    assert plan.forgotten[FOUR[2]] == f"5 % of the pairs of made: {int(0.05 * everything.examples)} {of_all}"
    films = _draw("features")[1].forget.examples
    words = f"the image features of 5 % of the items of made: 4 items with {films} {of_all}, which stay"
    assert plan.forgotten[FOUR[3]] == words


def _draw(forget, seed=0, **options):
    source = load_interactions("made.npz")
    return recommendation_scenarios.recommendation(source, "mgcn", forget, 0.05, **options).draw(seed)


def test_the_full_budget_asks_the_same_of_tiktok(found, never_trains):
    plan = RecommendationStudy().plan(None, "full")
    assert plan.data == "movielens-latest-small+tiktok"
    assert list(plan.forgotten) == FOUR + [f"{title} of tiktok" for title in FOUR]
    assert plan.notes == ["This is movielens-latest-small.", "This is tiktok."]
    for title, settings in ((title, plan.settings[title]) for title in plan.forgotten):
        assert settings["recipe"] == repr(TIKTOK_RECIPE if title.endswith("tiktok") else RECIPE)
    assert all(" of tiktok: " in words for title, words in plan.forgotten.items() if title.endswith("tiktok"))
    assert list(RecommendationStudy().plan(None, "quick").forgotten) == FOUR[:1]
    alone = RecommendationStudy().plan("tiktok", "full")
    assert alone.data == "tiktok" and list(alone.forgotten) == FOUR
    assert alone.settings[FOUR[0]]["recipe"] == repr(TIKTOK_RECIPE)


def test_one_case_that_is_asked_for_is_one_case(found, never_trains):
    plan = RecommendationStudy(forget="pairs").plan(None, "full")
    assert plan.data == "movielens-latest-small" and list(plan.forgotten) == FOUR[2:3]
    assert plan.notes == ["This is movielens-latest-small."], "tiktok is not missed"


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ({"fraction": 0.1}, ["MGCN, 10 % of users"]),
        ({"fraction": 3.0}, ["MGCN, 3 of users"]),
        ({"forget": "items", "fraction": 0.025}, ["MGCN, 2.5 % of items"]),
        ({"forget": "features"}, FOUR[3:]),
        ({"forget": "features", "modality": "text"}, ["MGCN, text of 5 % of items"]),
        ({"modality": "text", "network": "freedom"}, ["FREEDOM, text of 5 % of items"]),
        ({"network": "vbpr"}, [title.replace("MGCN", "VBPR") for title in FOUR]),
        ({"network": "bpr-mf"}, [title.replace("MGCN", "BPR-MF") for title in FOUR[:3]]),
    ],
)
def test_options_choose_what_must_go_and_of_which_network(made, never_trains, options, titles):
    plan = RecommendationStudy(**options).plan("made.npz", "full")
    assert list(plan.forgotten) == titles
    if options.get("fraction") == 3.0:
        assert plan.forgotten[titles[0]].startswith("3 users of made: 3 users with ")


def test_where_nothing_is_known_of_items_a_network_without_features_is_studied(made, never_trains):
    plan = RecommendationStudy().plan("chosen.csv", "full")
    assert list(plan.forgotten) == [title.replace("MGCN", "LIGHT-GCN") for title in FOUR[:3]]


def test_settings_are_plain_values_that_say_what_was_chosen(made):
    plan = RecommendationStudy().plan("made.npz", "full")
    assert json.loads(json.dumps(plan.settings)) == plan.settings
    assert plan.settings.keys() == {*FOUR, "made", "budget"} and plan.settings["budget"] == "full"
    assert plan.settings["made"] == repr(load_interactions("made.npz").interactions)
    size = sum(parameter.numel() for parameter in plan.network.parameters())
    for title, forget in zip(FOUR, KINDS, strict=True):
        chosen = plan.settings[title]
        assert chosen["network"] == f"mgcn, {size:,} parameters" and chosen["recipe"] == repr(RECIPE)
        assert chosen["methods"] == {name: repr(each) for name, each in methods_for(forget, RECIPE, SLOW).items()}


# ---- methods ----------------------------------------------------------------------------------------------------------------


def test_every_row_is_a_method_of_the_library_for_the_task():
    for methods in (methods_for(forget, RECIPE) for forget in KINDS):
        assert {
            "level-scores",
            "edge-drop",
            "scif",
            "ifru",
            "rec-eraser",
            "shrink-perturb",
            "blindspot",
            "finetune",
            "ssd",
        } <= methods.keys()
        for name, method in methods.items():
            assert METHODS[method.name] is type(method) and name.startswith(method.name)
            assert isinstance(tiny.task(), method.takes)


def test_a_case_leaves_out_what_says_nothing_there():
    gone, items, pairs, features = (methods_for(forget, RECIPE).keys() for forget in KINDS)
    assert gone == items and gone - pairs == {"reset-rows"} and not pairs - gone
    turned = {name for name in gone if name.startswith("mmrecun")} | {"amun", "gradient-ascent", "neggrad-plus"}
    assert gone - features == turned and len(turned) == 12 and not features - gone


def test_many_cases_go_without_what_is_slow_and_a_large_set_without_the_parts_of_mmrecun(made, monkeypatch):
    def rows(budget: str) -> list[set[str]]:
        plan = RecommendationStudy().plan("made.npz", budget)
        return [set(plan.settings[title]["methods"]) for title in plan.forgotten]

    every = set(methods_for("users", RECIPE))
    assert rows("quick") == [every] and rows("full")[0] == every - set(SLOW)
    monkeypatch.setattr(recommendation_scenarios, "MANY", 10)
    assert rows("quick") == [every - {"mmrecun-long", "mmrecun-reverse", "mmrecun-forward"}]


def test_rates_follow_the_recipe():
    for recipe in (RECIPE, TIKTOK_RECIPE):
        methods = methods_for("users", recipe)
        rate = recipe.optimizer.learning_rate
        turns = [method for method in methods.values() if isinstance(method, MMRecUN)]
        assert len(turns) == 9
        assert all(each.forward_optimizer == recipe.optimizer for each in turns)
        assert all(each.reverse_optimizer.learning_rate == pytest.approx(2.5 * rate) for each in turns)
        assert methods["finetune"] == Finetune(recipe.epochs // 5, recipe.optimizer, recipe.schedule)
        assert methods["rec-eraser"].epochs == recipe.epochs
    assert methods_for("users", RECIPE)["mmrecun"] == MMRecUN(), "its defaults are for the recipe of MovieLens"


@pytest.mark.parametrize("forget", ["users", "pairs", "features"])
def test_every_method_serves_its_request(made, forget):
    recipe = Retrain(epochs=1, optimizer=BRIEF.optimizer, schedule="constant")
    _, split = _draw(forget)
    model = tiny.task().new_model()
    for name, method in methods_for(forget, recipe).items():
        quick = {"iterations": 2} if name in ("scif", "ifru") else {"cycles": 1} if name.startswith("mmrecun") else {}
        quick |= {"max_examples": 2} if name == "ssd" else {"epochs": 1} if hasattr(method, "epochs") else {}
        found = replace(method, **quick)(model, tiny.task(), split, Engine(progress=False))
        assert all(value.isfinite().all() for value in found.state_dict().values()), name


# ---- draws ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forget", ["users", "items", "pairs", "features"])
def test_each_seed_draws_anew(made, forget):
    (_, first), (_, same), (_, other) = (_draw(forget, seed) for seed in (0, 0, 1))
    for name in ("forget", "holdout", "validation_forget"):
        ours, again, theirs = (getattr(each, name).pairs for each in (first, same, other))
        assert torch.equal(ours, again) and not torch.equal(ours, theirs)
    everything, split = _draw(forget, 3)
    stays = forget == "features"
    assert split.retain.examples + (0 if stays else split.forget.examples) == everything.examples
    assert split.retain.interactions.whole is everything.interactions
    assert everything.batch_size == split.retain.batch_size == 2048


def test_each_seed_lets_others_go(made):
    """Not just the same ones of another draw of what is held out."""
    for forget, column in (("users", 0), ("items", 1), ("features", 1)):
        first, other = (_draw(forget, seed)[1].forget.pairs[:, column].unique() for seed in (0, 1))
        assert not torch.equal(first, other)
    assert [request_for("pairs", 0.05, seed, "").seed for seed in (0, 7)] == [0, 7]


def test_a_published_split_stays_and_what_goes_is_drawn(made):
    whole = load_interactions("made.npz")
    parts = whole.split(0)
    published = replace(whole, interactions=parts.train, validation=parts.validation, test=parts.test)
    scenario = recommendation_scenarios.recommendation(published, "mgcn", "users", 0.05)
    (one, first), (other, second) = (scenario.draw(seed) for seed in (0, 1))
    assert torch.equal(one.pairs, other.pairs) and not torch.equal(first.forget.pairs, second.forget.pairs)


# ---- what is refused before anything is trained -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "data", "kind", "message"),
    [
        ({"forget": "films"}, "made.npz", BadSetting, "study recommendation: --forget is users, items, pairs or features, not"),
        ({"forget": "item"}, None, BadSetting, "study recommendation: --forget is users, items, pairs or features, not 'item'"),
        (
            {"forget": "users", "modality": "image"},
            "made.npz",
            BadSetting,
            "study recommendation: --modality is for --forget features, not for --forget users",
        ),
        ({"modality": "audio"}, "made.npz", BadRequest, "there are no features 'audio' to forget; there are image, text"),
        ({"forget": "features"}, "chosen.csv", BadSetting, "study recommendation: light-gcn reads no features, so none can be"),
        ({"forget": "features", "network": "bpr-mf"}, "made.npz", BadSetting, "study recommendation: bpr-mf reads no features"),
        ({"fraction": 0.0}, "made.npz", BadRequest, "the fraction to forget must lie between 0 and 1"),
        ({"fraction": 2.5}, "made.npz", BadRequest, "the fraction to forget must lie between 0 and 1, or be a whole number"),
        ({"fraction": 999.0}, "made.npz", BadRequest, "999 users to forget were asked for, but only 60"),
        ({"network": "gcn"}, "made.npz", BadSetting, "there is no recommender 'gcn'"),
        ({"network": "mgcn"}, "chosen.csv", BadSetting, "this network reads features of items, and there are none"),
        ({}, "movielens-latest-small", BadFile, "MovieLens latest-small: file ml-latest-small/ratings.csv was looked for"),
        ({}, "tiktok", BadFile, "TikTok: file tiktok.npz was looked for"),
        ({}, "nowhere.npz", BadFile, "file not found: nowhere.npz"),
        ({}, "digits", BadSetting, "there are no interactions 'digits'"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_training(made, never_trains, options, data, kind, message):
    with pytest.raises(kind) as caught:
        RecommendationStudy(**options).run(data=data, folder="work")
    assert str(caught.value).startswith(message)
    assert not Path("work").exists()


# ---- a run ------------------------------------------------------------------------------------------------------------------


def timeless(studied) -> list[dict]:
    """All figures but times, which no two runs share."""
    return [row for row in studied.json["rows"] if "seconds" not in row["metric"]]


def test_a_small_study_from_a_file_to_its_json_and_its_report(made, brief):
    lines = []
    studied = RecommendationStudy().run(data="made.npz", folder="out", say=lines.append)
    title = FOUR[0]
    assert lines == [
        f"seed 0: {title}: training the original",
        f"seed 0: {title}: retraining twice, 2 methods, audits",
    ]
    (case,) = studied.evidence.cases
    assert case.title == title and case.score_name == "pair_auc"
    assert [row.name for row in case.rows] == [ORIGINAL, RETRAINED, SECOND, "mmrecun", "reset-rows"]
    found = {(row["method"], row["metric"].removeprefix(f"{title}/")): row for row in studied.json["rows"]}
    for row in case.rows:
        for metric in ("recall", "ndcg", "forget_recall", "list_overlap", "neighbour_recall", "membership_auc"):
            value = found[row.name, metric]
            assert 0 <= value["mean"] <= 1 and value["n"] == 1
        assert found[row.name, "recall"]["ideal"] == found[RETRAINED, "recall"]["mean"]
    assert found[ORIGINAL, "forget_recall"]["mean"] > 1.3 * found[RETRAINED, "forget_recall"]["mean"], "it has learned"
    assert found[RETRAINED, "list_overlap"]["mean"] == 1 > found[SECOND, "list_overlap"]["mean"]
    assert studied.evidence.command == "expunge study recommendation --budget quick --seeds 1 --data made.npz"
    report = studied.write(Path("out"), Path("study.json"))
    assert json.loads(Path("study.json").read_text()) == studied.json
    page = report.read_text()
    assert title in page and "5 % of the users of made: 3 users" in page
    assert len(list(Path("out").rglob("result.safetensors"))) == 5, "the original, two retrained models and the methods"


def test_one_that_was_done_is_not_done_again_and_the_command_repeats_it(made, brief):
    study = RecommendationStudy(fraction=4.0, forget="features", modality="text", network="vbpr")
    first = study.run(data="made.npz", folder="out", budget="full")
    command = first.evidence.command.split()
    assert command[:3] == ["expunge", "study", "recommendation"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options == {
        "--budget": "full",
        "--seeds": "1",
        "--data": "made.npz",
        "--fraction": "4.0",
        "--forget": "features",
        "--modality": "text",
        "--network": "vbpr",
    }
    again = RecommendationStudy(float(options["--fraction"]), options["--forget"], options["--modality"], options["--network"])
    assert again == study

    made_before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("result.safetensors")}
    assert len(made_before) == 4
    assert timeless(again.run(data="made.npz", folder="out", budget="full")) == timeless(first)
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("result.safetensors")} == made_before


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")
def test_the_public_sets_are_studied(never_trains):
    plan = RecommendationStudy().plan(None, "full")
    titles = [title.replace("image", "text") for title in FOUR]
    assert plan.data == "movielens-latest-small+tiktok"
    assert list(plan.forgotten) == titles + [f"{title} of tiktok" for title in FOUR]
    assert plan.forgotten[titles[0]].startswith("5 % of the users of movielens-latest-small: 30 users with ")
