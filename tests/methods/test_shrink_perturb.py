"""Shrink and perturb: the blend by hand, and that it lies between fine-tuning and training from fresh weights."""

import copy

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Finetune, Retrain, ShrinkPerturb
from expunge.methods.shrink_perturb import blended
from expunge.optimizers import Optimizer
from expunge.split import Split
from tiny import band_split, class_split, original, regression_original, regression_task, same_weights, task

TRAINING = {"epochs": 3, "optimizer": Optimizer("adam", 5e-3), "schedule": "cosine"}


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))


@pytest.fixture(scope="module")
def trained():
    return regression_original(Engine(progress=False))


def finetuned(model, parts):
    """Fine-tuning that draws the batches that shrink-perturb draws."""
    engine = Engine(progress=False)
    with engine.scope("shrink-perturb"):
        return Finetune(**TRAINING).unlearn(copy.deepcopy(model), regression_task(), parts, engine)


def fresh():
    engine = Engine(progress=False)
    with engine.scope("shrink-perturb"):
        return engine.new_model(regression_task().new_model, "fresh")


def test_a_blend_is_a_weighted_mean_of_the_weights():
    trained, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    with torch.no_grad():
        trained.weight.copy_(torch.tensor([[10.0, -4.0]])), trained.bias.fill_(1.0)
        fresh.weight.copy_(torch.tensor([[0.0, 8.0]])), fresh.bias.fill_(-1.0)
    blend = blended(trained, fresh, 0.75)
    assert blend.weight.tolist() == [[7.5, -1.0]] and blend.bias.tolist() == [0.5]


def test_a_blend_leaves_both_models_alone():
    trained, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    before = copy.deepcopy(trained), copy.deepcopy(fresh)
    blend = blended(trained, fresh, 0.5)
    nn.init.zeros_(blend.weight)
    assert same_weights(trained, before[0]) and same_weights(fresh, before[1])


def test_buffers_stay_those_of_the_trained_model():
    trained, fresh = normalised(), normalised()
    trained(torch.randn(64, 8) * 3 + 1)  # moves the running statistics
    blend = blended(trained, fresh, 0.3)
    for name, value in trained.named_buffers():
        assert torch.equal(dict(blend.named_buffers())[name], value)
    assert not torch.equal(trained[1].running_mean, fresh[1].running_mean)
    torch.testing.assert_close(blend[1].weight, 0.3 * trained[1].weight + 0.7 * fresh[1].weight)


def test_keeping_all_is_fine_tuning(trained):
    parts = band_split()
    result = ShrinkPerturb(keep=1.0, **TRAINING)(trained, regression_task(), parts, Engine(progress=False))
    assert same_weights(result, finetuned(trained, parts))
    assert not same_weights(result, trained)


def test_keeping_nothing_is_training_from_fresh_weights(trained):
    parts = band_split()
    result = ShrinkPerturb(keep=0.0, **TRAINING)(trained, regression_task(), parts, Engine(progress=False))
    assert same_weights(result, finetuned(fresh(), parts))
    other = regression_original(Engine(seed=9, progress=False))
    assert same_weights(result, ShrinkPerturb(keep=0.0, **TRAINING)(other, regression_task(), parts, Engine(progress=False)))


def test_training_begins_at_the_blend(trained):
    parts = band_split()
    result = ShrinkPerturb(keep=0.6, **TRAINING)(trained, regression_task(), parts, Engine(progress=False))
    assert same_weights(result, finetuned(blended(trained, fresh(), 0.6), parts))


def test_what_goes_is_never_looked_at(trained):
    parts = band_split()
    other = Split(class_split().forget, parts.retain)
    first, second = (ShrinkPerturb()(trained, regression_task(), given, Engine(progress=False)) for given in (parts, other))
    assert same_weights(first, second)


def test_fresh_weights_follow_the_engines_seed(trained):
    first, second, third = (
        ShrinkPerturb()(trained, regression_task(), band_split(), Engine(seed=seed, progress=False)) for seed in (0, 0, 1)
    )
    assert same_weights(first, second) and not same_weights(first, third)


def test_a_class_is_forgotten_and_the_rest_kept():
    parts, model = class_split(), original(Engine(progress=False))
    result = ShrinkPerturb(keep=0.3, epochs=10)(model, task(), parts, Engine(progress=False))
    assert task().evaluate(result, parts.forget)["accuracy"] < 0.35
    assert task().evaluate(result, parts.retain)["accuracy"] > 0.9


def test_frozen_parameters_stay_where_they_are(trained):
    """Training does not mend what the blend does to a part that is not trained."""
    model = copy.deepcopy(trained)
    model[0].requires_grad_(False)
    result = ShrinkPerturb()(model, regression_task(), band_split(), Engine(progress=False))
    assert torch.equal(result[0].weight, model[0].weight)
    assert not torch.equal(result[3].weight, model[3].weight)


def test_settings_follow_the_recipe_of_the_original_unless_they_are_given():
    found = ShrinkPerturb.from_recipe(Retrain(40, Optimizer("adam", 5e-3)))
    assert (found.epochs, found.keep, found.schedule) == (
        ShrinkPerturb().epochs,
        ShrinkPerturb().keep,
        ShrinkPerturb().schedule,
    )
    assert found.optimizer.learning_rate == pytest.approx(ShrinkPerturb().optimizer.learning_rate)
    longer = ShrinkPerturb.from_recipe(Retrain(400, Optimizer("sgd", 0.05, momentum=0.9)), keep=0.2)
    assert (longer.epochs, longer.keep, longer.optimizer.momentum) == (10 * ShrinkPerturb().epochs, 0.2, 0.9)
    assert longer.optimizer.learning_rate == pytest.approx(10 * ShrinkPerturb().optimizer.learning_rate)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": -0.1}, "keep must lie between 0 and 1, not -0.1"),
        ({"keep": 1.1}, "keep must lie between 0 and 1, not 1.1"),
        ({"keep": float("nan")}, "keep must lie between 0 and 1, not nan"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^shrink-perturb: {message}$"):
        ShrinkPerturb(**settings)
