"""Fisher information and mean gradients, against loops of plain autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expunge.errors import BadSetting
from expunge.gradients import diagonal_fisher, mean_gradient


def losses(model, batch):
    inputs, labels = batch
    return F.cross_entropy(model(inputs), labels, reduction="none")


def linear() -> nn.Module:
    return nn.Linear(5, 3)


def convolution() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def batch_norm() -> nn.Module:
    """With running statistics and an affine map that are not those of a fresh layer."""
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2.0)
        model[1].weight.uniform_(0.5, 2.0)
    return model


NETWORKS = [(linear, 5), (convolution, 16), (batch_norm, 5)]


def made(build, width: int, sizes: tuple[int, ...]):
    """A network and a stream with batches of these sizes."""
    torch.manual_seed(0)
    model = build()
    batches = [(torch.randn(size, width), torch.randint(0, 3, (size,))) for size in sizes]
    return model, batches


def gradient(model, loss) -> dict[str, torch.Tensor]:
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def one_by_one(model, batches) -> dict[str, torch.Tensor]:
    """(1/n) sum_i (d loss_i / d theta)^2, an example at a time."""
    squares = [
        {name: value.square() for name, value in gradient(model, losses(model, (x[None], y[None])).sum()).items()}
        for inputs, labels in batches
        for x, y in zip(inputs, labels, strict=True)
    ]
    return {name: torch.stack([each[name] for each in squares]).mean(0) for name in squares[0]}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-7)


# ---- Fisher information -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize(("build", "width"), NETWORKS)
def test_fisher_of_single_examples_is_the_mean_of_their_squared_gradients(build, width, vectorized):
    model, batches = made(build, width, (4, 4, 3))
    found = diagonal_fisher(model, losses, batches, vectorized=vectorized)
    assert_same(found, one_by_one(model.eval(), batches))
    assert all((value >= 0).all() and (value > 0).any() for value in found.values())


@pytest.mark.parametrize(("build", "width"), NETWORKS)
def test_fisher_of_single_examples_does_not_depend_on_the_batching(build, width):
    model, (whole,) = made(build, width, (12,))
    parts = list(zip(whole[0].split(5), whole[1].split(5), strict=True))
    assert_same(diagonal_fisher(model, losses, parts), diagonal_fisher(model, losses, [whole]))


@pytest.mark.parametrize(("build", "width"), NETWORKS)
def test_the_approximation_is_the_squared_gradient_of_each_batchs_mean_averaged_over_batches(build, width):
    model, batches = made(build, width, (4, 4, 2))
    found = diagonal_fisher(model, losses, batches, per_example=False)
    model.eval()
    squares = [gradient(model, losses(model, batch).mean()) for batch in batches]
    assert_same(found, {name: sum(each[name].square() for each in squares) / 3 for name in found})


@pytest.mark.parametrize(("build", "width"), NETWORKS)
def test_both_agree_on_batches_of_one_and_differ_on_larger_ones(build, width):
    model, batches = made(build, width, (1,) * 6)
    assert_same(
        diagonal_fisher(model, losses, batches, per_example=False), diagonal_fisher(model, losses, batches, per_example=True)
    )
    model, batches = made(build, width, (30,))
    exact, rough = (diagonal_fisher(model, losses, batches, per_example=choice) for choice in (True, False))
    for name, value in exact.items():
        assert (value >= rough[name] - 1e-9).all(), "Jensen: the square of a mean is at most the mean of squares"
        assert value.sum() > 3 * rough[name].sum()


@pytest.mark.parametrize(("most", "batches_used"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (100, 3), (None, 3)])
@pytest.mark.parametrize("per_example", [True, False])
def test_it_stops_once_so_many_examples_were_seen(most, batches_used, per_example):
    model, batches = made(linear, 5, (4, 4, 4))
    found = diagonal_fisher(model, losses, batches, per_example, max_examples=most)
    assert_same(found, diagonal_fisher(model, losses, batches[:batches_used], per_example))
    if batches_used < 3:
        whole = diagonal_fisher(model, losses, batches, per_example)
        assert not torch.allclose(found["weight"], whole["weight"])


@pytest.mark.parametrize("per_example", [True, False])
def test_the_fisher_of_nothing_is_refused_and_the_mode_is_put_back(per_example):
    model = linear().train()
    with pytest.raises(BadSetting, match="Fisher information of an empty stream is not defined"):
        diagonal_fisher(model, losses, [], per_example)
    assert model.training


@pytest.mark.parametrize("per_example", [True, False])
def test_only_trainable_parameters_are_measured(per_example):
    model, batches = made(batch_norm, 5, (6, 3))
    whole = diagonal_fisher(model, losses, batches, per_example)
    model[0].requires_grad_(False)
    found = diagonal_fisher(model, losses, batches, per_example)
    assert found.keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert_same(found, {name: whole[name] for name in found})


def test_a_parameter_that_the_loss_never_meets_has_no_information():
    model, batches = made(batch_norm, 5, (6,))
    model.unused = nn.Parameter(torch.ones(2))
    model.forward = lambda inputs: model[3](model[2](model[1](model[0](inputs))))
    assert diagonal_fisher(model, losses, batches)["unused"].tolist() == [0.0, 0.0]


# ---- mean gradient ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "width"), NETWORKS)
def test_the_mean_gradient_is_that_of_the_mean_over_all_examples(build, width):
    model, batches = made(build, width, (4, 4, 1))  # a mean of the batches' means would be another
    found = mean_gradient(model, losses, batches)
    everything = tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
    assert_same(found, gradient(model.eval(), losses(model, everything).mean()))


def test_the_gradient_of_nothing_is_refused():
    with pytest.raises(BadSetting, match="gradient over an empty stream is not defined"):
        mean_gradient(linear(), losses, [])


def test_the_mean_gradient_names_only_trainable_parameters():
    model, batches = made(batch_norm, 5, (6,))
    model[0].requires_grad_(False)
    assert mean_gradient(model, losses, batches).keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}


def test_the_mean_gradient_of_a_parameter_that_the_loss_never_meets_is_0():
    model, batches = made(batch_norm, 5, (6,))
    model.unused = nn.Parameter(torch.ones(2))
    model.forward = lambda inputs: model[3](model[2](model[1](model[0](inputs))))
    assert mean_gradient(model, losses, batches)["unused"].tolist() == [0.0, 0.0]


# ---- both leave the model alone -----------------------------------------------------------------------------------------

MEASURES = [
    diagonal_fisher,
    lambda model, losses, batches: diagonal_fisher(model, losses, batches, per_example=False),
    mean_gradient,
]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("training", [True, False])
def test_weights_statistics_gradients_and_mode_are_left_as_they_were(measure, training):
    model, batches = made(batch_norm, 5, (6, 3))
    model.train(training)
    losses(model, batches[0]).mean().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {name: value.grad.clone() for name, value in model.named_parameters()}
    found = measure(model, losses, batches)
    assert model.training is training and model[1].training is training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in model.named_parameters():
        assert torch.equal(value.grad, gradients[name]) and value.requires_grad
        assert not found[name].requires_grad


@pytest.mark.parametrize("measure", MEASURES)
def test_dropout_and_batch_statistics_do_not_enter(measure):
    """Measured in evaluation mode: twice the same, and the same from either mode."""
    model, batches = made(lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)), 5, (6,))
    model[1].running_mean.normal_()
    assert_same(measure(model.train(), losses, batches), measure(model.eval(), losses, batches))


def fails(model, batch):
    raise ArithmeticError


@pytest.mark.parametrize(
    "measure",
    [
        *MEASURES[:2],
        mean_gradient,
    ],
)
def test_the_mode_is_put_back_after_an_error(measure):
    model, batches = made(linear, 5, (2,))
    model.train()
    with pytest.raises(ArithmeticError):
        measure(model, fails, batches)
    assert model.training


@pytest.mark.parametrize("measure", MEASURES)
def test_a_layer_that_is_frozen_in_evaluation_mode_stays_so(measure):
    model, batches = made(batch_norm, 5, (6,))
    model.train()
    model[1].eval()
    measure(model, losses, batches)
    assert model.training and not model[1].training
