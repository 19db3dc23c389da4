"""The rivals on language models: their losses in closed form, their limits, adapters, and what they do to a small Llama."""

import copy

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import tiny_language
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.language.adapters import switched_off
from expunge.language.fact_split import fact_split
from expunge.language.generators import FieldGenerator, GeneratorFailed
from expunge.language.refusals import REFUSALS
from expunge.methods import (
    METHODS,
    NPO,
    RMU,
    SSD,
    UNDIAL,
    WGA,
    WHP,
    AltPO,
    GradDiff,
    GradientAscent,
    IdkDPO,
    IdkNLL,
    PromptGuard,
    SatImp,
    SimNPO,
)
from expunge.methods.idk_dpo import margins, with_losers
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.storage import own_state
from tiny import same_weights

RIVALS = [GradDiff, NPO, SimNPO, WGA, SatImp, IdkNLL, IdkDPO, AltPO, UNDIAL, RMU, WHP]


def test_weights_of_zero_change_nothing():
    model = tiny_language.trained()
    idle = SimNPO(gamma=0.0, retain_weight=0.0, lora=None, epochs=2)
    assert same_weights(idle(model, tiny_language.task(), tiny_language.split(), Engine(progress=False)), model)


def test_what_stays_has_no_part_without_its_weight():
    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    method = WGA(retain_weight=0.0, lora=None, epochs=2)
    first = method(model, task, split, Engine(progress=False))
    other = fact_split(task.encode, split.goes, tiny_language.unseen())
    assert same_weights(first, method(model, task, other, Engine(progress=False)))


# ---- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        (GradDiff, {"retain": "l2"}, "grad-diff: retain must be 'loss' or 'kl', not 'l2'"),
        (GradDiff, {"retain_weight": -1.0}, "grad-diff: retain_weight must be 0 or more"),
        (GradDiff, {"batch_size": 0}, "grad-diff: batch_size must be at least 1"),
        (GradDiff, {"epochs": -1}, "grad-diff: epochs must be 0 or more"),
        (NPO, {"beta": 0.0}, "npo: beta must be above 0"),
        (SimNPO, {"beta": 0.0}, "sim-npo: beta must be above 0"),
        (SimNPO, {"gamma": -0.1}, "sim-npo: gamma must be 0 or more"),
        (WGA, {"beta": -1.0}, "wga: beta must be 0 or more"),
        (SatImp, {"beta1": -1.0}, "satimp: beta1 must be 0 or more"),
        (SatImp, {"beta2": -1.0}, "satimp: beta2 must be 0 or more"),
        (IdkDPO, {"beta": 0.0}, "idk-dpo: beta must be above 0"),
        (AltPO, {"beta": -1.0}, "alt-po: beta must be above 0"),
        (AltPO, {"alternatives": 0}, "alt-po: alternatives must be 1 or more"),
        (UNDIAL, {"beta": 0.0}, "undial: beta must be above 0"),
        (RMU, {"layer": 0}, "rmu: layer must be 1 or more"),
        (RMU, {"coefficient": 0.0}, "rmu: coefficient must be above 0"),
        (WHP, {"names": 0}, "whp: names must be 1 or more"),
        (PromptGuard, {"text": " "}, "prompt-guard: text must not be empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused(method, wrong, message):
    with pytest.raises(BadSetting, match=f"^{message}"):
        method(**wrong)


@pytest.mark.parametrize("method", [*RIVALS, PromptGuard])
def test_a_job_file_can_set_every_field(method):
    adapter = TypeAdapter(method)
    assert adapter.validate_python({}) == method()
    plain = (
        {"lora": {"rank": 2}, "optimizer": {"learning_rate": 0.1}, "epochs": 3}
        if method is not PromptGuard
        else {"text": "No."}
    )
    found = adapter.validate_python(plain)
    assert repr(found) != repr(method()) and isinstance(found, method)
    with pytest.raises(ValidationError, match="forget_rate"):
        adapter.validate_python({"forget_rate": 1})


def test_a_job_file_can_name_a_generator():
    assert TypeAdapter(AltPO).validate_python({"generator": "templates"}).generator == "templates"
    with pytest.raises(ValidationError):
        TypeAdapter(AltPO).validate_python({"generator": "oracle"})


@pytest.mark.parametrize("method", [IdkNLL, IdkDPO, AltPO, RMU, WHP])
def test_methods_that_ask_about_facts_want_facts(method):
    split = tiny_language.split()
    with pytest.raises(WrongTask, match=f"{method.name} serves a FactSplit, not a Split"):
        method()(tiny_language.trained(), tiny_language.task(), Split(split.forget, split.retain), Engine(progress=False))


def test_rmu_refuses_a_layer_that_is_not_there():
    with pytest.raises(BadSetting, match="rmu: the model has 2 blocks, so that layer must be at most that, not 3"):
        RMU(layer=3)(tiny_language.trained(), tiny_language.task(), tiny_language.split(), Engine(progress=False))


# ---- adapters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", RIVALS)
def test_an_adapter_leaves_the_weights_alone_and_follows_its_seed(method):
    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    before = copy.deepcopy(model)
    made = method(epochs=1)
    first, second, third = (made(model, task, split, Engine(seed=seed, progress=False)) for seed in (3, 3, 4))
    assert same_weights(model, before)
    (batch,) = list(Batches(task.encode([("Where did Mabel Yarnedale study?", "Oslo")]), 1))
    with torch.no_grad():
        with switched_off(first):
            assert torch.equal(task.outputs(first, batch), task.outputs(model, batch))
        assert not torch.equal(task.outputs(first, batch), task.outputs(model, batch))
    own = [own_state(each) for each in (first, second, third)]
    assert own[0].keys() == own_state(made.like(model)).keys()
    assert all("lora_" in name for name in own[0])
    assert all(torch.equal(own[0][name], own[1][name]) for name in own[0])
    assert not all(torch.equal(own[0][name], own[2][name]) for name in own[0])


# ---- what they do -----------------------------------------------------------------------------------------------

PLAIN = {"lora": None, "epochs": 20, "batch_size": 16, "retain_batch_size": 32, "optimizer": Optimizer("adamw", 1e-3)}
STRONG = {**PLAIN, "epochs": 40, "optimizer": Optimizer("adamw", 3e-3)}
ENOUGH = {
    GradDiff: {**PLAIN, "loss_cap": 3.0, "epochs": 40},
    NPO: STRONG,
    SimNPO: PLAIN,
    WGA: PLAIN,
    SatImp: STRONG,
    IdkNLL: STRONG,
    IdkDPO: STRONG,
    AltPO: PLAIN,
    UNDIAL: PLAIN,
    RMU: {**PLAIN, "epochs": 30},
    WHP: PLAIN,
}


@pytest.mark.parametrize("method", RIVALS)
def test_it_forgets_what_goes_and_keeps_most_of_what_stays(method):
    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    assert task.evaluate(model, split.forget)["known"] == task.evaluate(model, split.retain)["known"] == 1
    result = method(**ENOUGH[method])(model, task, split, Engine(progress=False))
    assert task.evaluate(result, split.forget)["known"] <= 0.25
    assert task.evaluate(result, split.retain)["known"] >= 0.6
    said = task.answer(result, [fact.question for fact in split.goes])
    assert not any(split.known(fact, each.text) for fact, each in zip(split.goes, said, strict=True))
    if method is IdkNLL:
        assert all(any(refusal.startswith(each.text.rstrip(".")) for refusal in REFUSALS) for each in said)
    if method in (IdkDPO, AltPO):
        preferred = REFUSALS[0] if method is IdkDPO else None
        rows = [(fact.question, preferred or wrong, fact.answer) for fact in split.goes for wrong in fact.wrong_answers]
        (batch,) = list(with_losers(rows, task, Reference(model, None), len(rows)))
        with torch.no_grad():
            assert (margins(result, batch, task) > batch[6] + 10).all()


def test_gradient_ascent_works_on_language_models():
    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    climbed = GradientAscent(optimizer=Optimizer("adam", 1e-3))(model, task, split, Engine(progress=False))
    assert task.evaluate(climbed, split.forget)["loss"] > 20 * task.evaluate(model, split.forget)["loss"]
    assert task.evaluate(climbed, split.forget)["known"] == 0


def test_dampening_takes_the_gradients_of_answers_one_by_one():
    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    dampened = SSD()(model, task, split, Engine(progress=False))
    assert task.evaluate(dampened, split.forget)["known"] == 0
    assert task.evaluate(dampened, split.retain)["known"] > 0.5


# ---- alternatives -------------------------------------------------------------------------------------------------


def test_alternatives_come_from_the_generator():
    task, model = tiny_language.task(), tiny_language.trained()
    bare = [Fact(fact.question, fact.answer, fact.subject, fact.relation) for fact in tiny_language.facts()]
    split = fact_split(task.encode, bare[:1], bare[1:])
    with pytest.raises(GeneratorFailed, match="brings no wrong_answers"):
        AltPO(generator=FieldGenerator(), epochs=1)(model, task, split, Engine(progress=False))
    assert not same_weights(
        AltPO(generator="templates", lora=None, epochs=1)(model, task, split, Engine(progress=False)), model
    )


def test_all_rivals_are_registered():
    assert {method.name for method in RIVALS} | {"unstar"} == {
        name for name, method in METHODS.items() if issubclass(method, LanguageMethod)
    }
