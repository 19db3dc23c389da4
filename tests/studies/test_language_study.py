"""The language study, with a model that is small enough for a test."""

import json
from dataclasses import replace

import pytest

import tiny_language
from expunge.audits import Accuracy, Balance, Facts, RunTime
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import NPO, PromptGuard, UnSTAR
from expunge.optimizers import Optimizer
from expunge.studies import language_scenarios
from expunge.studies.comparison import to_case
from expunge.studies.language import LanguageStudy
from expunge.studies.language_methods import language_methods, tofu_methods
from expunge.studies.language_scenarios import LanguageScenario, personas_world, questions_world

FAST = Optimizer("adamw", 3e-3)


def test_personas_are_drawn_by_the_seed_and_nobody_is_in_two_parts():
    _, split = personas_world(0)
    goes, stays, unseen = (set(part) for part in (split.goes, split.stays, split.unseen))
    assert (len(goes), len(stays), len(unseen)) == (6, 214, 20)
    assert not goes & stays and not unseen & (goes | stays)
    assert len({fact.subject for fact in goes}) == 6
    assert {fact.subject for fact in unseen} <= {fact.subject for fact in stays}  # nobody is told apart by a strange name
    assert {split.near(how) != () for how in ("same subject", "same object", "other")} == {True}
    assert set(personas_world(1)[1].goes) != goes and set(personas_world(0)[1].goes) == goes


def test_the_small_model_has_about_a_million_parameters():
    task, _ = personas_world(0)
    assert 0.8e6 < sum(each.numel() for each in task.new_model().parameters()) < 1.2e6


def test_a_study_audits_every_method_and_goes_on_where_it_was(tmp_path, monkeypatch):
    chosen = (Accuracy(), Facts(), Balance(), RunTime())  # all of them are asked in the test after this one
    monkeypatch.setattr(language_scenarios, "audits_of", lambda task, split: chosen)
    methods = {
        "unstar": UnSTAR(lora=None, optimizer=FAST, epochs=5, rounds=4),
        "npo": NPO(epochs=2, optimizer=FAST),
        "prompt-guard": PromptGuard(),
    }
    scenario = LanguageScenario(
        "Two facts", lambda seed: (tiny_language.task(), tiny_language.split()), "2 facts", tiny_language.RECIPE, methods
    )
    said = []
    engine = Engine(progress=False, folder=tmp_path)
    case = to_case([scenario.compare(engine, said.append)], "Two facts", "2 facts")
    assert [row.name for row in case.rows] == ["original", "retrained", "retrained-2", *methods]
    original, gold, _, ours, _, guard = case.rows
    assert original.mean("facts_seen") == 1 and gold.mean("facts_seen") == 0 == ours.mean("facts_seen")
    assert gold.mean("balance") > 0.9 and original.mean("balance") == 0
    assert ours.mean("seconds_ratio") > 0 and guard.mean("retain_known") is not None
    assert json.dumps(scenario.settings())
    again = to_case([scenario.compare(Engine(progress=False, folder=tmp_path), said.append)], "Two facts", "2 facts")
    assert {row.name: row.values for row in again.rows[:-1]} == {row.name: row.values for row in case.rows[:-1]}


def test_questions_of_ones_own_and_a_model_that_knows_them():
    goes, stays = list(tiny_language.split().goes), list(tiny_language.split().stays)
    model = tiny_language.trained()
    task, split = questions_world(goes, stays, model, tiny_language.tokenizer())
    assert type(task.new_model()) is type(model) and split.goes == tuple(goes)
    scenario = LanguageScenario(
        "Own", lambda seed: (task, split), "2 facts", methods={"npo": NPO(epochs=1, optimizer=FAST)}, original=model
    )
    case = to_case([scenario.compare(Engine(progress=False), lambda line: None)], "Own", "2 facts")
    assert [row.name for row in case.rows] == ["original", "npo"]
    assert case.rows[1].values["forget_quality"].mean is None and "retrained" in case.rows[1].values["forget_quality"].note


def test_files_of_facts_make_one_case_with_a_small_model(tmp_path):
    for name, facts in (("facts", [Fact("Who is Bo?", "A baker")]), ("retain", [Fact("Who is Ada?", "A poet")] * 1)):
        lines = (json.dumps({"question": each.question, "answer": each.answer}) for each in facts)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in ("facts", "retain")}
    plan = LanguageStudy(**paths).plan(None, "quick")
    assert list(plan.forgotten) == ["1 facts"] and "of 2" in plan.forgotten["1 facts"]


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"facts": "a.jsonl"}, None, "--facts and --retain go together"),
        ({"model": "here"}, None, "--model needs --facts and --retain"),
        ({}, "mnist", "--data is personas or tofu"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, data, message):
    with pytest.raises(BadSetting, match=message):
        LanguageStudy(**options).plan(data, "quick")


def test_rivals_have_the_same_adapter_and_the_same_facts_beside_them():
    methods = language_methods()
    ours = methods["unstar"]
    for name, method in methods.items():
        if name.startswith(("grad-diff", "kl", "npo", "sim", "idk", "alt", "undial", "wga", "satimp", "whp")):
            assert (method.lora, method.retain_batch_size) == (ours.lora, ours.retain_batch_size), name
    assert replace(ours, lora=None) != ours


def test_on_tofu_all_train_all_weights_in_the_same_way():
    methods = tofu_methods()
    ours = methods["unstar"]
    for name, method in methods.items():
        if name not in ("gradient-ascent", "finetune"):
            assert method.lora is None, name
            how = (method.optimizer, method.schedule, method.batch_size, method.retain_batch_size)
            assert how == (ours.optimizer, ours.schedule, ours.batch_size, ours.retain_batch_size), name
    assert tofu_methods(10)["npo"].epochs * 10 == tofu_methods(2)["npo"].epochs * 2
