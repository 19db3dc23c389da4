"""The reference networks: their sizes counted by hand, their shapes, and what they refuse."""

import copy

import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.models import MLP, MODELS, AllCNN, NormCNN, PairLSTM, ResNet18, SmallCNN, TiDE


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


def all_cnn_parameters(channels: int, outputs: int, first: int, second: int) -> int:
    """Counted by hand: two convolutions to `first` channels, six to `second`, the last of them 1x1."""
    convolutions = conv(channels, first, 3, False) + conv(first, first, 3, False) + conv(first, second, 3, False)
    convolutions += 4 * conv(second, second, 3, False) + conv(second, second, 1, False)
    return convolutions + 2 * (2 * first + 6 * second) + second * outputs + outputs


def test_parameter_counts():
    assert parameters(AllCNN((3, 32, 32), 1)) == 1_618_273 == all_cnn_parameters(3, 1, 96, 192)
    assert parameters(AllCNN((3, 32, 32), 1, width=0.25)) == 102_169 == all_cnn_parameters(3, 1, 24, 48)
    lstm, dense = (5 * 28 + 28) + 7 * 28, (3 * 7 * 7 + 7) + (7 * 7 + 7)
    assert parameters(PairLSTM((2, 9), 2, vocabulary=50, embedding=5, hidden=7)) == 50 * 5 + lstm + dense + (7 * 2 + 2)
    first = 2 * (24 * 16 + 16) + (16 * 16 + 16) + 2 * 16
    second = 3 * (16 * 16 + 16) + 2 * 16
    assert parameters(TiDE((8, 3), 4, hidden=16)) == first + second + (24 * 4 + 4) + (16 * 4 + 4)
    assert parameters(ResNet18((3, 32, 32), 10)) == 11_173_962 == resnet_parameters(3, 10, [64, 128, 256, 512])
    quarter = ResNet18((3, 32, 32), 10, width=0.25)
    assert parameters(quarter) == 701_466 == resnet_parameters(3, 10, [16, 32, 64, 128])
    small = conv(1, 16, 5, True) + conv(16, 32, 3, True) + (32 * 7 * 7 * 64 + 64) + (64 * 10 + 10)
    assert parameters(SmallCNN((1, 28, 28), 10)) == small
    norms = conv(1, 32, 3, False) + conv(32, 64, 3, False) + conv(64, 128, 3, False) + 2 * (32 + 64 + 128)
    assert parameters(NormCNN((1, 14, 14), 10)) == 94_186 == norms + 128 * 10 + 10
    assert parameters(MLP((1, 8, 8), 10, hidden=(20, 30))) == 64 * 20 + 20 + 20 * 30 + 30 + 30 * 10 + 10
    assert parameters(MLP((14,), 2, hidden=())) == 14 * 2 + 2


@pytest.mark.parametrize("network", [MLP, SmallCNN, NormCNN, ResNet18, AllCNN])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 7), (1, 1, 1)])
def test_images_of_any_size_give_one_logit_a_class(network, shape):
    model = (network(shape, 7, width=0.125) if network in (ResNet18, AllCNN) else network(shape, 7)).eval()
    inputs = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(inputs)
    assert logits.shape == (4, 7) and logits.isfinite().all()
    one_by_one = torch.cat([model(single[None]) for single in inputs])
    assert torch.allclose(logits, one_by_one, atol=1e-5)


IMAGES = torch.ones(2, 3, 16, 16)
PAIRS = torch.ones(2, 2, 6, dtype=torch.int64)


@pytest.mark.parametrize(
    ("name", "inputs", "features"),
    [
        ("mlp", IMAGES, 128),
        ("small-cnn", IMAGES, 64),
        ("norm-cnn", IMAGES, 128),
        ("resnet18", IMAGES, 512),
        ("all-cnn", IMAGES, 192),
        ("pair-lstm", PAIRS, 64),
        ("tide", torch.ones(2, 8, 3), 64),
    ],
)
def test_the_last_layer_is_linear_and_reads_the_features(name, inputs, features):
    model = MODELS[name](inputs.shape[1:], 5).eval()
    seen = []
    model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    outputs = model(inputs)
    assert isinstance(model.head, nn.Linear) and list(model.modules())[-1] is model.head
    assert seen[0].shape == (2, features)
    beside_the_head = inputs[:, -1, :1] if name == "tide" else 0
    assert torch.equal(outputs, model.head(seen[0]) + beside_the_head)
    assert torch.equal(copy.deepcopy(model)(inputs), outputs)


def test_the_resnet_keeps_the_image_in_its_stem_and_halves_it_three_times():
    model, sides = ResNet18((3, 32, 32), 10, width=0.125), []
    for layer in model.body[:-2]:
        layer.register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[1:])))
    model(torch.rand(2, 3, 32, 32))
    stages = [(8, 32, 32)] * 3 + [(8, 32, 32)] * 2 + [(16, 16, 16)] * 2 + [(32, 8, 8)] * 2 + [(64, 4, 4)] * 2
    assert sides == stages


def test_all_cnn_halves_the_image_twice():
    model, sides = AllCNN((3, 33, 32), 10, width=0.125), []
    for layer in model.body[:-2]:
        layer.register_forward_hook(lambda module, inputs, output: sides.append(tuple(output.shape[1:])))
    model(torch.rand(2, 3, 33, 32))
    stages = [(12, 33, 32)] * 2 + [(24, 17, 16)] * 3 + [(24, 9, 8)] * 3
    assert sides == [stage for stage in stages for _ in range(3)]


def test_a_residual_block_adds_its_input():
    block = ResNet18((3, 8, 8), 10, width=0.125).eval().body[3]
    for parameter in block.residual.parameters():
        nn.init.zeros_(parameter)
    inputs = torch.rand(2, 8, 8, 8)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize("network", [SmallCNN, NormCNN, ResNet18, MLP, AllCNN])
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
        (lambda: MLP((3,), 0), "outputs must be a whole number from 1, not 0"),
        (lambda: MLP((3,), 2, hidden=(4, -1)), "hidden must be a whole number from 1, not -1"),
        (lambda: SmallCNN((1, 8, 8), 2, width=0), "width must be a whole number from 1, not 0"),
        (lambda: ResNet18((1, 8, 8), 2, width=0.001), "be at least 1/64, not 0.001"),
        (lambda: AllCNN((1, 8, 8), 2, width=0.005), "at least one of 96 channels, so be at least 1/96, not 0.005"),
        (lambda: AllCNN((8, 8), 2), "AllCNN needs images of shape"),
        (lambda: ResNet18((1, 8, 8), 2, width=-1), "be at least 1/64, not -1"),
        (lambda: ResNet18((1, 8, 8), 2, width=float("inf")), "not inf"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()
