"""Requests served one after another: what is handed on, and the rule that says when to retrain instead."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import tiny
import tiny_language
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import NPO, SISA, Finetune
from expunge.optimizers import Optimizer
from expunge.sisa import ShardedTraining
from expunge.split import Batches, Split
from expunge.studies.sequences.drift import drifts
from expunge.studies.sequences.forgetting import RetrainRule, SequenceHistory, Served, forget_in_sequence
from expunge.studies.sequences.requests import RequestSequence, drawn_rows, facts_in_sequence, rows_in_sequence
from expunge.studies.sequences.scenarios import WhereKnown
from expunge.tasks import ClassificationTask
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
