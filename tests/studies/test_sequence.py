"""Requests served one after another: what is handed on, how far it drifts, when to retrain, and the study of it."""

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import tiny
import tiny_language
from expunge.data import Source
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import NPO, SISA, Finetune, Retrain
from expunge.optimizers import Optimizer
from expunge.report.figure_study import FigureCase, Scored
from expunge.report.sequence_study import LIMITS, in_time, rule_words
from expunge.sisa import ShardedTraining
from expunge.split import Batches, Split
from expunge.studies import STUDIES, sequence, sequence_scenarios
from expunge.studies.drift import drifts
from expunge.studies.in_sequence import RetrainRule, SequenceHistory, Served, forget_in_sequence
from expunge.studies.request_sequence import RequestSequence, drawn_rows, facts_in_sequence, rows_in_sequence
from expunge.studies.sequence import SequenceStudy
from expunge.studies.sequence_scenarios import SETS, Begun, SequenceScenario, WhereKnown, images, scenarios_of
from expunge.tasks import ClassificationTask, RegressionTask
from tiny import RECIPE, blobs, same_weights, task

FAST = Finetune(epochs=2, optimizer=Optimizer("adam", 1e-2))


def requests(count: int = 4, each: int = 6) -> RequestSequence:
    return rows_in_sequence(drawn_rows(160, count, each), blobs(), blobs(20, seed=1), 16)


@pytest.fixture(scope="module")
def original() -> nn.Module:
    return tiny.original(Engine(progress=False))


# ---- serving -----------------------------------------------------------------------------------------------------------------


def test_each_request_goes_on_from_what_the_last_one_left(original):
    asked, engine = requests(3), Engine(progress=False)
    before = copy.deepcopy(original)
    history = forget_in_sequence(original, task(), asked, FAST, engine)
    assert same_weights(before, original) and [each.request for each in history.served] == [1, 2, 3]
    model = original
    for number, found in enumerate(history.models, 1):
        with (again := Engine(progress=False)).scope(f"request-{number}"):
            model = FAST(model, task(), asked.step(number), again)
        assert same_weights(model, found)
    assert history.model is history.models[-1] and not same_weights(history.models[0], history.models[1])


def test_a_method_that_does_nothing_leaves_the_model_alone(original):
    history = forget_in_sequence(original, task(), requests(3), Finetune(epochs=0), Engine(progress=False))
    assert all(same_weights(original, model) for model in history.models)
    assert len({each.score for each in history.served}) == 1 == len({history.score, history.served[0].score})


def test_shards_in_sequence_are_what_training_without_all_of_it_gives():
    training, asked = ShardedTraining(shards=3, slices=2, epochs=3, optimizer=Optimizer("adam", 1e-2)), requests(3)
    assert isinstance(asked.everything, Batches)
    ensemble = training.train(task(), asked.everything, Engine(seed=1, progress=False))
    history = forget_in_sequence(ensemble, task(), asked, SISA(), Engine(seed=5, progress=False))
    for number, model in enumerate(history.models, 1):
        left = asked.step(number).retain
        assert isinstance(left, Batches)
        assert same_weights(model, training.train(task(), left, Engine(seed=1, progress=False)))


def test_retraining_in_sequence_drifts_no_farther_than_chance(original):
    asked, engine = requests(3), Engine(progress=False)
    history = forget_in_sequence(original, task(), asked, RECIPE, engine)
    golds = [RECIPE(original, task(), asked.together(3), Engine(seed=seed, progress=False)) for seed in (7, 8, 9)]
    exact, damaged = drifts([history.model, tiny.network().eval()], golds, task(), asked.together(3))
    assert 0.5 < exact["drift"] < 1.6 and damaged["drift"] > 3


class Killed(Exception):
    pass


class Mortal(ClassificationTask):
    """Dies at a call of its training loss."""

    def __init__(self, at: int) -> None:
        super().__init__(tiny.network, classes=4)
        self.left = at

    def losses(self, outputs: Any, batch: Any) -> Any:
        if torch.is_grad_enabled():
            self.left -= 1
            if self.left == 0:
                raise Killed
        return super().losses(outputs, batch)


@pytest.mark.parametrize("steps", [7, 30, 50])
def test_a_killed_sequence_ends_with_the_same_weights(original, tmp_path, steps):
    asked = requests(3)
    whole = forget_in_sequence(original, task(), asked, FAST, Engine(progress=False))
    with pytest.raises(Killed):
        forget_in_sequence(original, Mortal(steps), asked, FAST, Engine(progress=False, folder=tmp_path, checkpoint_steps=4))
    again = Mortal(10**6)
    history = forget_in_sequence(original, again, asked, FAST, Engine(progress=False, folder=tmp_path, checkpoint_steps=4))
    total = sum(len(asked.step(number).retain) * FAST.epochs for number in (1, 2, 3))  # type: ignore[arg-type]
    assert same_weights(whole.model, history.model) and 10**6 - again.left <= total - steps + 4
    assert [replace(each, seconds=0.0) for each in whole.served] == [replace(each, seconds=0.0) for each in history.served]
    third = Mortal(1)
    finished = forget_in_sequence(original, third, asked, FAST, Engine(progress=False, folder=tmp_path))
    assert finished.served == history.served and same_weights(finished.model, whole.model)
    fourth = Mortal(10**6)
    longer = forget_in_sequence(original, fourth, requests(4), FAST, Engine(progress=False, folder=tmp_path))
    assert longer.served[:3] == history.served and 10**6 - fourth.left == len(requests(4).step(4).retain) * FAST.epochs  # type: ignore[arg-type]


def test_once_it_is_due_the_next_request_is_served_by_retraining(original):
    asked = requests(4, each=20)
    silent_rule = RetrainRule(None, None, None, None)
    silent = forget_in_sequence(original, task(), asked, FAST, Engine(progress=False), rule=silent_rule)
    assert not any(each.due or each.retrained for each in silent.served)
    always = replace(silent_rule, seconds=0.0)
    history = forget_in_sequence(
        original, task(), asked, FAST, Engine(progress=False), rule=always, retrain=RECIPE, retraining_seconds=1.0
    )
    assert [each.retrained for each in history.served] == [False, True, False, True] and history.served[0].due
    assert history.baseline == history.served[-1].score and history.since == ()
    asked_only = forget_in_sequence(original, task(), asked, FAST, Engine(progress=False), rule=always, retraining_seconds=1.0)
    assert not any(each.retrained for each in asked_only.served) and all(each.due for each in asked_only.served)
    told = replace(silent_rule, drift=2.0)
    known = forget_in_sequence(original, task(), asked, FAST, Engine(progress=False), rule=told, drift_after={1: 1.4})
    assert [bool(each.due) for each in known.served] == [False, False, True, True]  # 1.4, 1.8, 2.2, 2.6


def test_a_method_whose_result_has_another_form_is_refused(original):
    class Guarded(Finetune):
        adapter = True

    with pytest.raises(BadSetting, match="another form, which the next request cannot go on from"):
        forget_in_sequence(original, task(), requests(2), Guarded(), Engine(progress=False))


@pytest.mark.parametrize("wrap", [lambda method: method, WhereKnown], ids=["method", "where known"])
def test_an_adapter_is_worked_into_the_weights_for_the_next_request(wrap, tmp_path):
    told, model, facts = tiny_language.task(), tiny_language.trained(), tiny_language.facts()
    asked = facts_in_sequence(told.encode, [facts[:1], facts[10:11]], facts[1:9], tiny_language.unseen())
    method = wrap(NPO(epochs=2, optimizer=Optimizer("adamw", 1e-2)))
    found = [forget_in_sequence(model, told, asked, method, Engine(progress=False, folder=tmp_path)) for _ in range(2)]
    keys = model.state_dict().keys()
    assert all(each.state_dict().keys() == keys for history in found for each in history.models)
    assert same_weights(found[0].model, found[1].model) and not same_weights(found[0].model, found[0].models[0])
    assert not same_weights(found[0].models[0], model)


class Refuses(Finetune):
    def unlearn(self, student: nn.Module, task: Any, split: Split, engine: Engine) -> nn.Module:
        raise BadRequest("it knows nothing of that")


def test_what_the_model_cannot_tell_any_more_leaves_it_as_it_is(original):
    asked, willing = requests(2), WhereKnown(Refuses())
    with pytest.raises(BadRequest, match="knows nothing of that"):
        forget_in_sequence(original, task(), asked, Refuses(), Engine(progress=False))
    history = forget_in_sequence(original, task(), asked, willing, Engine(progress=False))
    assert same_weights(history.model, original) and history.model is not original
    others = forget_in_sequence(original, task(), asked, WhereKnown(FAST), Engine(progress=False))
    assert same_weights(others.model, forget_in_sequence(original, task(), asked, FAST, Engine(progress=False)).model)


# ---- drift -------------------------------------------------------------------------------------------------------------------


class Says(nn.Module):
    """One number for every input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.value.expand(len(inputs), 1)


def of_rows(rows: int) -> Batches:
    return Batches(TensorDataset(torch.zeros(rows, 1), torch.zeros(rows, 1)), 2)


def test_drift_by_hand():
    """Golds at 0 and 2 are 2 apart; a model at 5 is 5 and 3 from them, 4 in the mean: twice chance."""
    told = RegressionTask(lambda: Says(0.0), "l2")
    split = Split(of_rows(3), of_rows(2), of_rows(5))
    golds = [Says(0.0), Says(2.0)]
    found = drifts([Says(5.0), Says(1.0)], golds, told, split)
    assert found[0] == pytest.approx({"forget": 2.0, "holdout": 2.0, "drift": 2.0})
    assert found[1]["drift"] == pytest.approx(0.5)
    three = drifts([Says(5.0)], [*golds, Says(4.0)], told, split)[0]
    assert three["drift"] == pytest.approx((5 + 3 + 1) / 3 / ((2 + 4 + 2) / 3))
    assert "holdout" not in drifts([Says(1.0)], golds, told, Split(of_rows(3), of_rows(2)))[0]


def test_drift_where_retrained_models_agree_or_are_too_few():
    told, split = RegressionTask(lambda: Says(0.0), "l2"), Split(of_rows(3), of_rows(2), of_rows(5))
    same, other = drifts([Says(1.0), Says(2.0)], [Says(1.0), Says(1.0)], told, split)
    assert same["drift"] == 1.0 and other["drift"] == math.inf
    with pytest.raises(BadSetting, match="takes 2 retrained models or more, not 1"):
        drifts([Says(1.0)], [Says(1.0)], told, split)


# ---- the rule ----------------------------------------------------------------------------------------------------------------


def history(*served: Served, score: float = 0.8, **settings: Any) -> SequenceHistory:
    return SequenceHistory(score, served=served, **settings)


def only(**limit: float) -> RetrainRule:
    return RetrainRule(**({"seconds": None, "score": None, "membership": None, "drift": None} | limit))  # type: ignore[arg-type]


def test_the_budget_of_seconds():
    rule, took = only(seconds=1.0), [Served(number, 3.0, 0.8) for number in (1, 2, 3, 4)]
    asked = [rule.due(history(*took[:count], retraining_seconds=10.0)) for count in (1, 2, 3, 4)]
    assert asked[:3] == [None] * 3 and asked[3] == "unlearning has taken 1.2 times as long as a retraining (limit 1)"
    assert rule.due(history(*took)) is None  # what a retraining takes isn't known
    assert rule.due(history(*took[:3], retraining_seconds=9.0)) is not None  # as long is long enough
    anew = [replace(each, retrained=each.request == 2) for each in took]
    assert rule.due(history(*anew, retraining_seconds=6.1)) is None  # two since then
    assert rule.due(history(*anew, retraining_seconds=6.0)) is not None


def test_the_score():
    rule = only(score=0.05)
    assert rule.due(history(Served(1, 1.0, 0.77))) is None and rule.due(history(Served(1, 1.0, 0.9))) is None
    assert rule.due(history(Served(1, 1.0, 0.74))) == "the score on unseen data is 7.5 % worse than it was (limit 5 %)"
    error = {"higher_is_better": False, "score": 2.0}
    assert rule.due(history(Served(1, 1.0, 2.08), **error)) is None and rule.due(history(Served(1, 1.0, 1.0), **error)) is None
    assert rule.due(history(Served(1, 1.0, 2.12), **error)) is not None
    assert rule.due(history(Served(1, 1.0, math.nan))) is not None
    lower = Served(1, 1.0, 0.6, retrained=True)
    assert rule.due(history(lower, Served(2, 1.0, 0.58))) is None  # beside the model that was retrained, not the first one


def test_the_attack_on_either_side_and_beyond_chance():
    rule = only(membership=0.03)

    def asked(auc: float | None, chance: float) -> str | None:
        return rule.due(history(Served(1, 1.0, 0.8, auc, chance)))

    assert asked(0.54, 0.01) is None and asked(0.46, 0.01) is None and asked(None, 0.0) is None
    assert "looks familiar" in str(asked(0.56, 0.01)) and "looks strange" in str(asked(0.44, 0.01))
    assert asked(0.56, 0.02) is None  # of so few it is no more than chance


def test_drift_is_drawn_on_as_a_line():
    """2.5 points above chance after 1 of 4 requests, 1.25 a request after two of them."""
    rule = only(drift=3.0)
    one, others = Served(1, 1.0, 0.8, drift=1.5), [Served(number, 1.0, 0.8) for number in (2, 3, 4, 5)]
    asked = [rule.due(history(one, *others[:count])) for count in range(5)]
    assert asked[:4] == [None] * 4 and asked[4] == "the drift is expected to be 3.5 (limit 3)"
    measured = replace(others[0], drift=3.5)
    assert rule.due(history(one, measured)) == "the drift is 3.5 (limit 3)"
    later = Served(3, 1.0, 0.8, retrained=True)
    assert rule.due(history(one, measured, later, others[2])) is None  # that was before the last retraining
    assert rule.due(history()) is None and rule.due(history(*others)) is None


@pytest.mark.parametrize("limit", [{"drift": 0.5}, {"score": -0.1}, {"seconds": -1.0}, {"membership": math.nan}])
def test_limits_that_make_no_sense(limit):
    with pytest.raises(BadSetting, match=f"retrain rule: {next(iter(limit))} must be at least"):
        RetrainRule(**limit)


def test_how_often_it_was_in_time():
    found = [
        {"fails_at": [5.0, 5.0, math.inf], "fires_at": [5.0, 6.0, math.inf]},
        {"fails_at": [math.inf], "fires_at": [3.0]},
    ]
    assert in_time(found, "fires_at") == {"failed": 2, "in_time": 1, "never_failed": 2, "needlessly": 1}


def test_it_fails_from_where_it_stays_farther_than_chance():
    def fails(*farthest: float, chance: float = 0.5) -> float:
        places = range(1, len(farthest) + 1)
        figures = {f"farthest_{place}": value for place, value in zip(places, farthest, strict=True)}
        figures |= {f"missed_{place}": float(value > 1) for place, value in zip(places, farthest, strict=True)}
        second = {f"farthest_{place}": chance for place in places}
        return sequence._scored(figures, second, list(places)).figures["fails_at"]

    assert fails(0.9, 1.1, 2.0) == 2 and fails(1.1, 0.9, 2.0) == 3 and fails(2.0, 2.0, 0.9) == math.inf
    assert fails(1.5, 1.8, 2.5, chance=2.0) == 3 and fails(1.5, 1.8, chance=2.0) == math.inf


def test_what_the_rule_did_in_words():
    def case(*seeds: tuple[float, float]) -> FigureCase:
        rows = [
            {
                "method": Scored(
                    {"fails_at": fails, "fires_at": fires}
                    | {f"{limit}_fires_at": math.inf for limit in LIMITS}
                    | {"drift_fires_at": fires}
                )
            }
            for fails, fires in seeds
        ]
        return FigureCase("title", "words", rows)

    never = math.inf
    assert rule_words(case((5, 2))) == [
        "method: the verdict fails from request 5 on; the rule says to retrain after request 2, first for the drift."
    ]
    assert rule_words(case((never, never))) == ["method: the verdict does not fail; the rule does not say to retrain."]
    (several,) = rule_words(case((10, never), (never, 3)))
    assert "fails from request 10, never on" in several and "after request never, 3, first for the drift" in several


# ---- the study ---------------------------------------------------------------------------------------------------------------


def small(title: str = "blobs") -> SequenceScenario:
    source = Source(title, blobs(), blobs(20, seed=1), tuple("abcd"))

    def begin(engine: Engine) -> Begun:
        asked = rows_in_sequence(drawn_rows(160, 3, 6, engine.seed), source.train, source.holdout, 16)
        return Begun(task(), tiny.original(engine), 1.0, asked)

    usual = images(replace(source, name="digits"))
    return SequenceScenario(title, "words", begin, RECIPE, {"finetune": FAST, "retrain": RECIPE}, usual.audits, (1, 3))


def test_the_study_on_a_small_case(monkeypatch, tmp_path):
    monkeypatch.setattr(sequence, "scenarios_of", lambda name, budget: [small()])
    studied = SequenceStudy().run(data="digits", folder=tmp_path)
    report = studied.write(tmp_path, tmp_path / "study.json")
    found = json.loads((tmp_path / "study.json").read_text())
    assert (
        found["data"] == "blobs" and found["seeds"] == 1 and set(found["rule"]["sequences"]["blobs"]) == {"finetune", "retrain"}
    )
    rows = {(row["method"], row["metric"]): row["mean"] for row in found["rows"]}
    names = {"original", "retrained", "retrained-2", "finetune", "retrain", "finetune, at once", "retrain, at once"}
    assert {row["method"] for row in found["rows"]} == names
    assert rows["retrained", "farthest_3"] == 0.0 and rows["retrained", "drift_3"] is None
    assert 0.5 < rows["retrain", "drift_3"] < 2 and rows["retrain", "seconds_ratio"] > 1.5
    text = report.read_text()
    assert (
        "Requests one after another" in text
        and ("the verdict fails from request" in text or "the verdict does not fail" in text)
        and "<svg" in text
    )
    again = SequenceStudy().run(data="digits", folder=tmp_path)
    assert again.json["rows"] == studied.json["rows"]


def test_which_cases_there_are(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    assert STUDIES["sequence"] is SequenceStudy
    study = SequenceStudy()
    monkeypatch.setattr(sequence, "scenarios_of", lambda name, budget: [replace(small(), title=name)])
    found, notes = study.scenarios(None, "quick")
    assert [each.title for each in found] == ["digits", "diabetes", "karate", "tastes", "clients"]
    assert notes[0] == "mnist was not found (EXPUNGE_DATA); digits stands in its place." and len(notes) == 4
    assert study.scenarios(None, "full")[0][-1].title == "personas"


def test_what_is_asked_of_each(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    for name in ("digits", "diabetes", "karate", "tastes", "clients", "personas"):
        for quick, full in zip(scenarios_of(name, "quick"), scenarios_of(name, "full"), strict=True):
            assert set(quick.checkpoints) <= set(full.checkpoints) == set(range(1, 11)) and len(quick.methods) >= 2
            assert quick.settings()["retrained after"] == list(quick.checkpoints)
    with pytest.raises(BadSetting, match=f"study sequence has no data 'cats'; there are {', '.join(SETS)}"):
        scenarios_of("cats", "quick")


def test_every_seed_draws_its_own_requests(monkeypatch):
    brief = Retrain(epochs=1, optimizer=Optimizer("adam", 1e-3))
    for name in ("IMAGE_RECIPE", "BY_HEART", "LINK_RECIPE", "RANKING_RECIPE"):
        monkeypatch.setattr(sequence_scenarios, name, brief)
    monkeypatch.setattr(sequence_scenarios, "LINK_EPOCHS", 1)
    for name in ("digits", "diabetes", "karate", "tastes"):
        (scenario,) = scenarios_of(name, "quick")
        begun = [scenario.begin(Engine(seed, progress=False)) for seed in (0, 0, 1)]
        assert [each.requests.requests for each in begun] == [10, 10, 10]
        goes = [
            [tuple(part.flatten().tolist()) for batch in each.requests.together(10).forget for part in batch[:1]]
            for each in begun
        ]
        assert goes[0] == goes[1] != goes[2]
