"""The reference networks: their sizes counted by hand, their shapes, and what they refuse."""

import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.models import MLP, MODELS, ResNet18, SmallCNN


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def conv(before: int, after: int, side: int, bias: bool) -> int:
    return before * after * side**2 + (after if bias else 0)


def resnet_parameters(channels: int, classes: int, stages: list[int]) -> int:
    """Counted by hand: convolutions without bias, two numbers for each channel of a batch normalisation."""
    total, before = conv(channels, stages[0], 3, False) + 2 * stages[0], stages[0]
    for stage in stages:
        total += conv(before, stage, 3, False) + 3 * conv(stage, stage, 3, False) + 4 * 2 * stage
        if before != stage:
            total += conv(before, stage, 1, False) + 2 * stage
        before = stage
    return total + before * classes + classes


def test_parameter_counts():
    assert parameters(ResNet18((3, 32, 32), 10)) == 11_173_962 == resnet_parameters(3, 10, [64, 128, 256, 512])
    quarter = ResNet18((3, 32, 32), 10, width=0.25)
    assert parameters(quarter) == 701_466 == resnet_parameters(3, 10, [16, 32, 64, 128])
    small = conv(1, 16, 5, True) + conv(16, 32, 3, True) + (32 * 7 * 7 * 64 + 64) + (64 * 10 + 10)
    assert parameters(SmallCNN((1, 28, 28), 10)) == small
    assert parameters(MLP((1, 8, 8), 10, hidden=(20, 30))) == 64 * 20 + 20 + 20 * 30 + 30 + 30 * 10 + 10
    assert parameters(MLP((14,), 2, hidden=())) == 14 * 2 + 2


@pytest.mark.parametrize("network", [MLP, SmallCNN, ResNet18])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 7), (1, 1, 1)])
def test_images_of_any_size_give_one_logit_a_class(network, shape):
    model = (network(shape, 7, width=0.125) if network is ResNet18 else network(shape, 7)).eval()
    inputs = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(inputs)
    assert logits.shape == (4, 7) and logits.isfinite().all()
    one_by_one = torch.cat([model(single[None]) for single in inputs])
    assert torch.allclose(logits, one_by_one, atol=1e-5)


@pytest.mark.parametrize(("name", "features"), [("mlp", 128), ("small-cnn", 64), ("resnet18", 512)])
def test_the_last_layer_is_linear_and_reads_the_features(name, features):
    model = MODELS[name]((3, 16, 16), 5).eval()
    seen = []
    model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    logits = model(torch.ones(2, 3, 16, 16))
    assert isinstance(model.head, nn.Linear) and list(model.modules())[-1] is model.head
    assert seen[0].shape == (2, features)
    assert torch.equal(logits, model.head(seen[0]))


def test_the_resnet_keeps_the_image_in_its_stem_and_halves_it_three_times():
    model, sides = ResNet18((3, 32, 32), 10, width=0.125), []
    for layer in model.body[:-2]:
        layer.register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[1:])))
    model(torch.rand(2, 3, 32, 32))
    stages = [(8, 32, 32)] * 3 + [(8, 32, 32)] * 2 + [(16, 16, 16)] * 2 + [(32, 8, 8)] * 2 + [(64, 4, 4)] * 2
    assert sides == stages


def test_a_residual_block_adds_its_input():
    block = ResNet18((3, 8, 8), 10, width=0.125).eval().body[3]
    for parameter in block.residual.parameters():
        nn.init.zeros_(parameter)
    inputs = torch.rand(2, 8, 8, 8)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize("network", [SmallCNN, ResNet18, MLP])
def test_every_parameter_learns(network):
    torch.manual_seed(0)
    model = network((1, 8, 8), 3)
    model(torch.rand(8, 1, 8, 8)).square().sum().backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmallCNN((14,), 2), r"SmallCNN needs images of shape .*; the inputs' shape is \(14,\); use mlp"),
        (lambda: ResNet18((8, 8), 2), "ResNet18 needs images of shape"),
        (lambda: MLP((), 2), "MLP needs inputs with at least one value"),
        (lambda: MLP((3, 0), 2), "MLP needs inputs with at least one value"),
        (lambda: MLP((3,), 0), "classes must be a whole number from 1, not 0"),
        (lambda: MLP((3,), 2, hidden=(4, -1)), "hidden must be a whole number from 1, not -1"),
        (lambda: SmallCNN((1, 8, 8), 2, width=0), "width must be a whole number from 1, not 0"),
        (lambda: ResNet18((1, 8, 8), 2, width=0.001), "be at least 1/64, not 0.001"),
        (lambda: ResNet18((1, 8, 8), 2, width=-1), "be at least 1/64, not -1"),
        (lambda: ResNet18((1, 8, 8), 2, width=float("inf")), "not inf"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()
