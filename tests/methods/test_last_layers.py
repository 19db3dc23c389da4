"""CF-k and EU-k: what is trained, what is not touched, and the two ends of k."""

import copy

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import CFK, EUK, Finetune, Retrain
from expunge.methods.cf_k import layers
from expunge.methods.eu_k import renewed
from expunge.optimizers import Optimizer
from expunge.tasks import ClassificationTask
from tiny import RECIPE, class_split, original, same_weights, task

TRAINING = {"epochs": 3, "optimizer": Optimizer("sgd", 5e-2, weight_decay=0.1, momentum=0.9), "schedule": "cosine"}


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Dropout(0.1), nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 8), nn.Linear(8, 4)
    )


def normalised_task() -> ClassificationTask:
    return ClassificationTask(normalised, classes=4)


@pytest.fixture(scope="module")
def trained():
    return RECIPE(normalised(), normalised_task(), class_split(), Engine(progress=False))


def run(method, model):
    return method(model, normalised_task(), class_split(), Engine(progress=False))


def as_if(name, method, model, kind=normalised_task):
    """What another method makes of the same random numbers."""
    engine = Engine(progress=False)
    with engine.scope(name), engine.seeded("method"):
        return method.unlearn(copy.deepcopy(model), kind(), class_split(), engine)


@pytest.mark.parametrize("method", [CFK(k=2, **TRAINING), EUK(k=2, **TRAINING)], ids=lambda method: method.name)
def test_all_but_the_last_layers_stay_bit_for_bit(method, trained):
    result = run(method, trained)
    before, after = trained.state_dict(), result.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"5.weight", "5.bias", "6.weight", "6.bias"}
    assert all(value.requires_grad for value in result.parameters())


@pytest.mark.parametrize("k", [4, 9])
def test_all_layers_are_fine_tuning(k, trained):
    assert same_weights(run(CFK(k=k, **TRAINING), trained), as_if("cf-k", Finetune(**TRAINING), trained))


def test_all_layers_afresh_are_retraining(trained):
    assert same_weights(run(EUK(k=4, **TRAINING), trained), as_if("eu-k", Retrain(**TRAINING), trained))


def test_the_front_is_read_as_in_evaluation(trained):
    """Training the last layer is training it alone on features that neither dropout nor batches disturb."""
    method, split, engine = CFK(k=1, **TRAINING), class_split(), Engine(progress=False)
    front = trained[:6].eval()

    class OnFeatures(ClassificationTask):
        def outputs(self, model, batch):
            return model(front(batch[0]).detach())

    with engine.scope("cf-k"), engine.seeded("method"):
        expected = Finetune(**TRAINING).unlearn(
            copy.deepcopy(trained[6]), OnFeatures(lambda: nn.Linear(8, 4), classes=4), split, engine
        )
    torch.testing.assert_close(run(method, trained)[6].weight, expected.weight)


def test_layers_are_modules_with_trainable_parameters_of_their_own():
    model = normalised()
    assert layers(model) == [model[1], model[2], model[5], model[6]]
    model[6].requires_grad_(False)
    assert layers(model)[-1] is model[5]


def test_frozen_layers_do_not_count_and_stay_frozen(trained):
    model = copy.deepcopy(trained)
    model[6].requires_grad_(False)
    for method in (CFK(k=1, **TRAINING), EUK(k=1, **TRAINING)):
        result = run(method, model)
        assert torch.equal(result[6].weight, model[6].weight) and not torch.equal(result[5].weight, model[5].weight)
        assert [value.requires_grad for value in result.parameters()] == [value.requires_grad for value in model.parameters()]


def test_renewed_layers_are_fresh_in_parameters_and_statistics(trained):
    fresh = normalised()
    result = renewed(trained, fresh, 3)
    for place in (2, 5, 6):
        assert same_weights(result[place], fresh[place])
    assert same_weights(result[1], trained[1]) and not same_weights(trained[2], fresh[2])


def test_fresh_layers_say_nothing_of_the_class_that_goes_and_their_training_keeps_the_rest():
    split, model = class_split(), original(Engine(progress=False))
    result = EUK.from_recipe(RECIPE)(model, task(), split, Engine(progress=False))
    assert task().evaluate(result, split.forget)["accuracy"] < 0.1
    assert task().evaluate(result, split.retain)["accuracy"] > 0.95


def test_one_layer_drifts_away_from_the_class_that_goes():
    split, model = class_split(), original(Engine(progress=False))
    result = CFK(epochs=30, optimizer=Optimizer("adam", 2e-2))(model, task(), split, Engine(progress=False))
    assert task().evaluate(result, split.forget)["accuracy"] < 0.5
    assert task().evaluate(result, split.retain)["accuracy"] > 0.95


def test_settings_follow_the_recipe_unless_they_are_given():
    recipe = Retrain(7, Optimizer("sgd", 0.3), "constant", 1.0)
    assert EUK.from_recipe(recipe, k=2, epochs=3) == EUK(2, 3, Optimizer("sgd", 0.3), "constant", 1.0)


@pytest.mark.parametrize("kind", [CFK, EUK])
def test_settings_that_make_no_sense_are_refused(kind):
    with pytest.raises(BadSetting, match=f"^{kind.name}: k must be at least 1, not 0$"):
        kind(k=0)
    with pytest.raises(BadSetting, match=f"^{kind.name}: epochs must be 0 or more, not -1$"):
        kind(epochs=-1)
