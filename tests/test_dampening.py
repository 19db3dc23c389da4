"""The dampening kernel, against hand-worked numbers and against the printed rule of Selective Synaptic Dampening."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from expunge.dampening import dampen


def vector(*values: float) -> nn.Module:
    """A model with one parameter, called `theta`."""
    model = nn.Module()
    model.theta = nn.Parameter(torch.tensor(values))
    return model


def dampened(values, reference, target, **settings) -> tuple[list[float], float]:
    model = vector(*values)
    shares = dampen(model, {"theta": torch.tensor(reference)}, {"theta": torch.tensor(target)}, **settings)
    assert shares.keys() == {"theta"}
    return model.theta.tolist(), shares["theta"]


def drawn(seed: int, shape=(400,)) -> torch.Tensor:
    """Importances over many orders of magnitude, like those of a real network."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(3).exp()


def test_a_hand_worked_example():
    #         ratios:  0.1       0.5       0.9        2          0.25
    values, share = dampened(
        [10.0, -10.0, 10.0, 10.0, -4.0],
        reference=[1.0, 1.0, 9.0, 4.0, 1.0],
        target=[10.0, 2.0, 10.0, 2.0, 4.0],
        cutoff=0.9,  # so the third is not below
        constant=2.0,
        upper=0.8,
    )
    # factors:         0.2       0.8       -          -          0.5
    assert values == pytest.approx([2.0, -8.0, 10.0, 10.0, -2.0])
    assert share == pytest.approx(3 / 5)


def test_cutoff_0_changes_nothing_even_where_the_reference_is_0():
    before = [1.0, -2.0, 3.0]
    values, share = dampened(before, reference=[0.0, 1.0, 2.0], target=[5.0, 5.0, 5.0], cutoff=0.0)
    assert values == before
    assert share == 0.0


def test_a_parameter_that_serves_neither_group_or_only_the_reference_is_left_alone():
    values, share = dampened([1.5, -2.5, 3.0], reference=[0.0, 7.0, 1.0], target=[0.0, 0.0, 4.0], cutoff=1e30)
    assert values == pytest.approx([1.5, -2.5, 0.75])
    assert share == pytest.approx(1 / 3)


def test_constant_0_leaves_such_parameters_alone_too():
    """0 * inf and 0 * nan are nan: a factor that must never reach a weight."""
    values, _ = dampened([1.5, -2.5, 3.0], reference=[0.0, 7.0, 1.0], target=[0.0, 0.0, 4.0], cutoff=1e30, constant=0.0)
    assert values == [1.5, -2.5, 0.0]


def test_a_parameter_that_serves_only_the_target_becomes_0():
    values, _ = dampened([5.0], reference=[0.0], target=[1e-20], cutoff=1e-3)
    assert values == [0.0]


def test_the_selection_grows_with_the_cutoff():
    reference, target = drawn(0), drawn(1)
    shares, selected = [], []
    for cutoff in (0.0, 0.01, 0.1, 1.0, 10.0, 1e9):
        model = vector(*torch.ones(400).tolist())
        shares.append(dampen(model, {"theta": reference}, {"theta": target}, cutoff, constant=0.5, upper=0.5)["theta"])
        selected.append(model.theta.detach() != 1.0)
    assert shares == sorted(set(shares)), "each cutoff here should select more"
    assert shares[0] == 0.0 and shares[-1] == 1.0
    assert all((later | ~earlier).all() for earlier, later in pairwise(selected))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("cutoff", [0.5, 3.0, 1e9])
def test_with_upper_1_no_magnitude_grows_and_no_sign_flips(constant, cutoff):
    before = torch.randn(400, generator=torch.Generator().manual_seed(2))
    model = vector(*before.tolist())
    share = dampen(model, {"theta": drawn(0)}, {"theta": drawn(1)}, cutoff, constant)["theta"]
    after = model.theta.detach()
    assert 0 < share <= 1
    assert (after.abs() <= before.abs()).all()
    assert (after * before >= 0).all()
    assert (after != before).any()


def test_upper_is_the_largest_factor():
    values, _ = dampened([1.0, 1.0], reference=[3.0, 1.0], target=[1.0, 2.0], cutoff=10.0, constant=1.0, upper=1.5)
    assert values == pytest.approx([1.5, 0.5])


@pytest.mark.parametrize(("alpha", "strength"), [(10.0, 1.0), (2.5, 0.1), (1.0, 1.0), (0.5, 4.0)])
def test_it_is_the_printed_rule_of_selective_synaptic_dampening(alpha, strength):
    model = nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 3))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    whole = {name: drawn(seed, value.shape) for seed, (name, value) in enumerate(before.items())}
    forget = {name: drawn(10 + seed, value.shape) for seed, (name, value) in enumerate(before.items())}
    expected = {}
    for name, theta in before.items():
        rule = theta * torch.clamp(strength * whole[name] / forget[name], max=1.0)
        expected[name] = torch.where(forget[name] > alpha * whole[name], rule, theta)
    shares = dampen(model, reference=whole, target=forget, cutoff=1 / alpha, constant=strength)
    for name, theta in model.named_parameters():
        torch.testing.assert_close(theta.detach(), expected[name])
        assert shares[name] == pytest.approx((forget[name] > alpha * whole[name]).float().mean().item())
    assert any(not torch.equal(before[name], expected[name]) for name in before)


def test_what_the_target_does_not_name_is_left_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = {"0.weight": torch.ones(3, 3)}
    shares = dampen(model, reference={**one, "0.bias": torch.ones(3)}, target={"0.weight": 10 * torch.ones(3, 3)}, cutoff=1.0)
    assert shares == {"0.weight": 1.0}
    after = model.state_dict()
    torch.testing.assert_close(after.pop("0.weight"), before["0.weight"] / 10)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_it_works_in_place_and_asks_for_no_gradient():
    model = vector(1.0, 2.0)
    theta = model.theta
    dampen(model, {"theta": torch.tensor([1.0, 1.0])}, {"theta": torch.tensor([2.0, 2.0])}, cutoff=1.0)
    assert model.theta is theta and theta.requires_grad and theta.grad is None and theta.is_leaf
