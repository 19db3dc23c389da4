"""Kookmin: which weights are drawn afresh, how slowly the others move, and the limits."""

import copy

import pytest
import torch
from torch import nn

from expunge.data import split_by
from expunge.data.digits import read_digits
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Finetune, Kookmin, Retrain
from expunge.methods.kookmin import Slowed, convolutions, smallest
from expunge.models import build
from expunge.optimizers import Optimizer
from expunge.requests import ForgetClass
from expunge.split import Batches
from expunge.tasks import ClassificationTask
from tiny import class_split, original, same_weights, task

TRAINING = {"epochs": 2, "optimizer": Optimizer("adam", 5e-3), "schedule": "cosine"}


def picture_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def run(method, model):
    return method(model, task(), class_split(), Engine(progress=False))


def as_finetuning(model):
    engine = Engine(progress=False)
    with engine.scope("kookmin"), engine.seeded("method"):
        return Finetune(**TRAINING).unlearn(copy.deepcopy(model), task(), class_split(), engine)


def test_convolutions_are_chosen_and_matrices_where_there_are_none(trained):
    assert convolutions(picture_network()) == ["0.weight", "2.weight"]
    assert convolutions(trained) == ["0.weight", "3.weight"]
    trained_head = copy.deepcopy(trained)
    trained_head[0].requires_grad_(False)
    assert convolutions(trained_head) == ["3.weight"]


def test_the_smallest_share_is_chosen():
    values = torch.tensor([[4.0, -0.1, 2.0], [-3.0, 0.2, 1.0]])
    assert smallest(values, 0.5).tolist() == [[False, True, False], [False, True, True]]
    assert not smallest(values, 0.0).any() and smallest(values, 1.0).all()


def test_weights_are_drawn_afresh_where_the_gradients_agree(trained):
    """Without a step to speak of, what has changed is what was redrawn: and there the gradients of both parts are near."""
    result = run(Kookmin(share=0.25, epochs=1, optimizer=Optimizer("sgd", 1e-12)), trained)
    split = class_split()
    gaps = {}
    for name in ("forget", "retain"):
        inputs, labels = (torch.cat(each) for each in zip(*getattr(split, name), strict=True))
        loss = task().losses(trained.eval()(inputs), (inputs, labels)).mean()
        gaps[name] = torch.autograd.grad(loss, trained[3].weight)[0]
    redrawn = (result[3].weight - trained[3].weight).abs() > 1e-6
    assert redrawn.sum() == round(0.25 * redrawn.numel())
    gap = (gaps["forget"] - gaps["retain"]).abs()
    assert gap[redrawn].mean() < 0.3 * gap[~redrawn].mean()
    assert torch.allclose(result[3].bias, trained[3].bias, atol=1e-6)


def test_nothing_redrawn_and_nothing_slowed_is_fine_tuning(trained):
    assert same_weights(run(Kookmin(share=0.0, others=1.0, **TRAINING), trained), as_finetuning(trained))


def test_others_can_be_held(trained):
    result = run(Kookmin(share=0.0, others=0.0, **TRAINING), trained)
    assert torch.equal(result[0].weight, trained[0].weight) and torch.equal(result[3].weight, trained[3].weight)
    assert not torch.equal(result[0].bias, trained[0].bias)


def test_everything_redrawn_forgets_the_weights_it_had(trained):
    other = copy.deepcopy(trained)
    with torch.no_grad():
        other[0].weight.normal_(), other[3].weight.normal_()
    method = Kookmin(share=1.0, **TRAINING)
    assert same_weights(run(method, trained), run(method, other))


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_steps_are_cut_whatever_the_optimizer(kind):
    recipe, factor = Optimizer(kind, 0.1), torch.tensor([1.0, 0.1, 0.0])
    plain, slowed = (nn.Parameter(torch.tensor([1.0, 2.0, 3.0])) for _ in range(2))
    for value, build_it in ((plain, recipe), (slowed, Slowed(recipe, [factor]))):
        optimizer = build_it([value])
        value.grad = torch.tensor([1.0, -2.0, 0.5])
        optimizer.step()
    before = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(slowed.detach() - before, factor * (plain.detach() - before))


def test_a_class_of_digits_is_forgotten_and_the_rest_kept():
    source = read_digits()
    digits = ClassificationTask(build("small-cnn", source), classes=10)
    split = split_by(ForgetClass(3), source.train, source.holdout, batch_size=64)
    engine = Engine(progress=False)
    model = Retrain(epochs=8, optimizer=Optimizer("adam", 5e-3)).train(digits, Batches(source.train, 64), engine)
    result = Kookmin(share=0.6)(model, digits, split, engine)
    assert digits.evaluate(model, split.forget)["accuracy"] > 0.95
    assert digits.evaluate(result, split.forget)["accuracy"] < 0.2
    assert digits.evaluate(result, split.retain)["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 1.5}, "share must lie between 0 and 1, not 1.5"),
        ({"others": -0.1}, "others must be 0 or more, not -0.1"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^kookmin: {message}$"):
        Kookmin(**settings)
