"""The forecaster: the last hour, a linear model of the lookback and a network beside it."""

import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.models import TiDE


def moved(model: TiDE) -> TiDE:
    """The network with weights in `head` and `skip`, which start at zero."""
    for parameter in (*model.skip.parameters(), *model.head.parameters()):
        nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("shape", [(8, 3), (8, 1), (1, 3)])
def test_an_untrained_network_repeats_the_last_value_of_the_first_channel(shape):
    torch.manual_seed(0)
    model, inputs = TiDE(shape, 4), torch.randn(5, *shape)
    assert torch.equal(model(inputs), inputs[:, -1, 0, None].expand(5, 4))


def test_the_horizon_and_its_quantiles_are_flat():
    torch.manual_seed(0)
    model, inputs = moved(TiDE((168, 7), 24 * 3)).eval(), torch.randn(5, 168, 7)
    outputs = model(inputs)
    assert outputs.shape == (5, 72) and outputs.isfinite().all()
    one_by_one = torch.cat([model(single[None]) for single in inputs])
    assert torch.allclose(outputs, one_by_one, atol=1e-5)


def test_the_outputs_are_the_formula():
    torch.manual_seed(0)
    model, inputs = moved(TiDE((8, 3), 4)).eval(), torch.randn(5, 8, 3)
    last, changes = inputs[:, -1, :1], inputs.clone()
    changes[:, :, 0] -= last
    changes = changes.flatten(1)
    assert torch.allclose(model(inputs), last + model.head(model.body(changes)) + model.skip(changes), atol=1e-5)


def test_the_level_of_the_first_channel_shifts_all_outputs_by_itself_and_others_do_not():
    torch.manual_seed(0)
    model, inputs = moved(TiDE((8, 3), 4)).eval(), torch.randn(5, 8, 3)
    levels = torch.tensor([2.0, -1.0, 30.0, 0.0, 5.0])[:, None, None]
    shifts = model(inputs + levels * torch.tensor([1.0, 0, 0])) - model(inputs)
    assert torch.allclose(shifts, levels[:, 0].expand(5, 4), atol=1e-4)
    assert not torch.allclose(model(inputs + levels * torch.tensor([0, 1.0, 0])), model(inputs), atol=1e-1)


def test_a_block_is_the_formula():
    torch.manual_seed(0)
    block = TiDE((8, 3), 4, hidden=16, dropout=0.0).body[0]
    inputs = torch.randn(5, 24)
    w1, w2, w3 = block.residual[0], block.residual[2], block.shortcut
    summed = w2(torch.relu(w1(inputs))) + w3(inputs)
    deviations = summed - summed.mean(1, keepdim=True)
    expected = deviations / (summed.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(block(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_every_parameter_learns(blocks):
    torch.manual_seed(0)
    model = TiDE((8, 3), 4, blocks=blocks)
    assert len(model.body) == blocks
    optimizer, inputs = torch.optim.SGD(model.parameters(), lr=1e-3), torch.randn(8, 8, 3)
    for _ in range(2):  # at the first step the head is zero and lets no gradient through to the blocks
        optimizer.zero_grad()
        model(inputs).square().sum().backward()
        optimizer.step()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TiDE((8,), 4), r"TiDE needs series of shape \(hours, channels\); the inputs' shape is \(8,\)"),
        (lambda: TiDE((8, 0), 4), "TiDE needs inputs with at least one value"),
        (lambda: TiDE((8, 3), 4)(torch.zeros(2, 3, 8)), r"TiDE was built for inputs of shape \(8, 3\), not \(3, 8\)"),
        (lambda: TiDE((8, 3), 0), "outputs must be a whole number from 1, not 0"),
        (lambda: TiDE((8, 3), 4, hidden=0), "hidden must be a whole number from 1, not 0"),
        (lambda: TiDE((8, 3), 4, blocks=0), "blocks must be a whole number from 1, not 0"),
        (lambda: TiDE((8, 3), 4, dropout=-0.1), "dropout must be 0 or more and below 1, not -0.1"),
    ],
)
def test_what_is_no_series_is_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()
