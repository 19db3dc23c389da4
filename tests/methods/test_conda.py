"""ConDa by hand, at its limits, by the size of what it dampens, and what it refuses."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, WrongTask
from expunge.federated import Contributions
from expunge.methods import ConDa
from tiny import class_split, same_weights, task
from tiny_federations import LEAVES, played


def recorded(changes: dict[str, torch.Tensor]) -> Contributions:
    """Contributions of clients who each changed one layer by so much in one round."""
    sums = Contributions({"weight": torch.zeros(1, 4)})
    for client, change in changes.items():
        sums.add(client, {"weight": torch.zeros(1, 4)}, {"weight": change.reshape(1, 4)})
    return sums


def layer() -> nn.Module:
    model = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 4.0]]))
    return model


A = torch.tensor([1.0, 1.0, 1.0, 0.0])
B = torch.tensor([1.0, 3.0, 2.0, 0.0])
GOES = torch.tensor([10.0, 4.0, 2.0, 0.0])  # others' mean is 1, 2, 1.5, 0: q = 0.1, 0.5, 0.75, 0/0
THREE = {"a": A, "b": B, "goes": GOES}


def test_a_worked_example():
    done = ConDa(alpha=0.6).take_out(layer(), recorded(THREE), ["goes"])
    torch.testing.assert_close(done.model.weight, torch.tensor([[0.1, -1.0, 3.0, 4.0]]))
    assert done.cutoff == 0.6 and done.share == 0.5 and done.shares == {"weight": 0.5}


def test_factor_and_upper_bound():
    done = ConDa(alpha=0.6, lambda_=4.0, upper=1.5).take_out(layer(), recorded(THREE), ["goes"])
    torch.testing.assert_close(done.model.weight, torch.tensor([[0.4, -3.0, 3.0, 4.0]]))  # 4 * 0.5 is cut to 1.5
    assert (
        ConDa(alpha=9.0, lambda_=9.0).take_out(layer(), recorded(THREE), ["goes"]).model.weight.abs() <= layer().weight.abs()
    ).all()


def test_compared_with_all_a_client_stands_out_less():
    means = recorded(THREE).of(["a", "b", "goes"])["weight"]
    ratio = means / GOES
    done = ConDa(alpha=0.6, compare="all").take_out(layer(), recorded(THREE), ["goes"])
    expected = torch.where(ratio < 0.6, ratio * layer().weight, layer().weight)
    torch.testing.assert_close(done.model.weight.detach(), expected.detach())
    assert ratio[0, 0] == pytest.approx(0.4)  # 1/3 + 2/3 * 0.1


def test_several_leave_by_their_mean():
    done = ConDa(alpha=0.6).take_out(layer(), recorded(THREE), ["goes", "b"])
    ratio = A / ((GOES + B) / 2)
    torch.testing.assert_close(
        done.model.weight.detach()[0], torch.where(ratio < 0.6, ratio * layer().weight[0], layer().weight[0]).detach()
    )


def test_the_released_code_dampens_what_the_client_changed_least():
    done = ConDa(alpha=1.4, upper=2.0, direction="released-code").take_out(layer(), recorded(THREE), ["goes"])
    torch.testing.assert_close(done.model.weight, torch.tensor([[1.0, -2.0, 3.0 * 4 / 3, 4.0]]))


@pytest.mark.parametrize("method", [ConDa(alpha=0.0), ConDa(budget=0.0)])
def test_nothing_is_dampened_at_the_lower_limit(method):
    done = method.take_out(layer(), recorded(THREE), ["goes"])
    assert done.share == 0 and same_weights(done.model, layer())


def test_weights_that_nobody_or_only_others_changed_stay():
    idle = torch.tensor([0.0, 0.0, 2.0, 0.0])
    done = ConDa(budget=1.0).take_out(layer(), recorded({"a": A, "b": B, "goes": idle}), ["goes"])
    torch.testing.assert_close(done.model.weight, torch.tensor([[1.0, -2.0, 2.25, 4.0]]))
    assert same_weights(ConDa().take_out(layer(), recorded({"a": A, "goes": 0 * A}), ["goes"]).model, layer())


@pytest.mark.parametrize(("budget", "share"), [(0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (1.0, 0.75)])
def test_a_budget_dampens_so_many_weights_those_that_stand_out_most_first(budget, share):
    done = ConDa(budget=budget).take_out(layer(), recorded(THREE), ["goes"])
    assert done.share == share  # of the fourth nobody knows
    changed = (done.model.weight != layer().weight)[0]
    assert changed.tolist() == [share > place / 4 for place in range(3)] + [False]


def test_the_fence_is_that_of_the_quartiles():
    generator = torch.Generator().manual_seed(0)
    logs = torch.randn(4001, generator=generator)
    stays, goes = {"w": logs.exp()}, {"w": torch.ones(4001)}
    low, high = torch.quantile(logs, torch.tensor([0.25, 0.75])).tolist()
    assert ConDa().cutoff(stays, goes) == pytest.approx(math.exp(low - (high - low)), rel=1e-5)
    assert ConDa(fence=1.5).cutoff(stays, goes) == pytest.approx(math.exp(low - 1.5 * (high - low)), rel=1e-5)
    assert ConDa(fence=0).cutoff(stays, goes) == pytest.approx(math.exp(low), rel=1e-5)


def test_the_fence_takes_no_notice_of_how_much_is_learned():
    sums = recorded(THREE)
    once, twice = (ConDa(fence=0.2).cutoff(sums.of(["a", "b"]), {"weight": size * GOES.reshape(1, 4)}) for size in (1, 2))
    assert once == pytest.approx(2 * twice)  # the ratio halves, and so does the cut-off: the same weights are dampened


def test_more_are_dampened_the_higher_the_cut_off():
    model, split = played()
    shares = [ConDa(alpha=alpha).take_out(model, split.contributions, [LEAVES]).share for alpha in (0.0, 0.1, 0.3, 1.0, 10.0)]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] > 0.9


def test_the_order_of_clients_is_all_one():
    other = recorded({"goes": GOES, "b": B, "a": A})
    one, two = (ConDa(alpha=0.6).take_out(layer(), sums, ["goes"]) for sums in (recorded(THREE), other))
    assert same_weights(one.model, two.model)


def test_buffers_and_what_is_not_tracked_stay():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    sums = Contributions({"0.weight": torch.zeros(4, 4)})
    sums.add("a", {"0.weight": torch.zeros(4, 4)}, {"0.weight": torch.ones(4, 4)})
    sums.add("goes", {"0.weight": torch.zeros(4, 4)}, {"0.weight": 100 * torch.ones(4, 4)})
    done = ConDa(alpha=0.5).take_out(model, sums, ["goes"]).model.state_dict()
    torch.testing.assert_close(done["0.weight"], model.state_dict()["0.weight"] / 100)
    assert all(torch.equal(done[name], value) for name, value in model.state_dict().items() if name != "0.weight")


def test_a_client_that_implanted_something_is_forgotten():
    model, split = played()
    before, after = (
        task().evaluate(each, split.wanted)["accuracy"]
        for each in (model, ConDa()(model, task(), split, Engine(progress=False)))
    )
    assert before > 0.9 and after < before - 0.5


def test_rounds_are_played_on_without_the_client():
    model, split = played()
    dampened = ConDa()(model, task(), split, Engine(progress=False))
    recovered = ConDa(rounds=1)(model, task(), split, engine := Engine(progress=False))
    assert not same_weights(dampened, recovered)
    assert [row["client_passes"] for row in engine.history] == [0.0, 3]


def test_refusals():
    model, split = played()
    for leaving, message in (
        (["nobody"], "nobody never took part"),
        ([], "no client is named"),
        (list(split.contributions.clients), "all 4 clients leave"),
    ):
        with pytest.raises(BadRequest, match=message):
            ConDa().take_out(model, split.contributions, leaving)
    with pytest.raises(BadRequest, match="of another model: this one has no 'weight'"):
        ConDa().take_out(model, recorded(THREE), ["goes"])
    with pytest.raises(BadRequest, match=r"another model: 'weight' has shape \(1, 4\), in the model \(2, 4\)"):
        ConDa().take_out(nn.Linear(4, 2, bias=False), recorded(THREE), ["goes"])
    with pytest.raises(BadRequest, match="kept no contributions"):
        ConDa()(model, task(), replace(split, contributions=None), Engine(progress=False))
    with pytest.raises(WrongTask, match="serves a ClientSplit, not a Split"):
        ConDa()(copy.deepcopy(model), task(), class_split(), Engine(progress=False))


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": -1.0},
        {"alpha": 0.1, "budget": 0.1},
        {"budget": 1.5},
        {"fence": -1.0},
        {"lambda_": -1.0},
        {"upper": 0.0},
        {"rounds": -1},
        {"compare": "some"},
        {"direction": "up"},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(BadSetting, match=r"^conda: "):
        ConDa(**settings)
