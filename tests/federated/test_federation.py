"""Rounds that are played in one process, against the same rounds written out, and what does not depend on what."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged
from expunge.federated import Contributions, Federation, dirichlet
from expunge.optimizers import Optimizer
from expunge.split import Batches, one_epoch
from tiny import blobs, network, same_weights

STEP = Optimizer("sgd", 0.05, momentum=0.5)


def loss(model: nn.Module, batch) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def engine(seed: int = 0) -> Engine:
    return Engine(seed, progress=False)


def clients(count: int = 3) -> dict[str, Batches]:
    data = blobs()
    parts = dirichlet(data.tensors[1].numpy(), count, 0.5, fewest=12)
    return {f"c{index}": Batches(data, 16, rows) for index, rows in enumerate(parts)}


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))


def written_out(model: nn.Module, streams: dict, rounds: int, seed: int = 0, uniform: bool = False) -> nn.Module:
    """FedAvg, in as few words as it can be said."""
    draws = engine(seed)
    for number in range(1, rounds + 1):
        models, sizes = [], []
        for name, stream in streams.items():
            local = copy.deepcopy(model).train()
            steps = torch.optim.SGD(local.parameters(), 0.05, momentum=0.5)
            for batch in one_epoch(stream, draws.generator("client", name, number, "order")):
                steps.zero_grad()
                loss(local, batch).mean().backward()
                steps.step()
            models.append(local.state_dict())
            sizes.append(1 if uniform else len(stream.indices))
        mean = {
            name: sum(size * state[name] for size, state in zip(sizes, models, strict=True)) / sum(sizes)
            if value.is_floating_point()
            else max(state[name] for state in models)
            for name, value in model.state_dict().items()
        }
        model = copy.deepcopy(model)
        model.load_state_dict(mean)
    return model


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_rounds_are_those_that_are_written_out(weighting):
    federation = Federation(clients(), rounds=3, optimizer=STEP, weighting=weighting)
    model = plain()
    before = copy.deepcopy(model)
    found = federation.play(model, loss, engine())
    wanted = written_out(model, clients(), 3, uniform=weighting == "uniform")
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert same_weights(model, before) and not found.training


def test_the_same_seed_plays_the_same_rounds_and_rounds_can_be_played_in_parts():
    federation = Federation(clients(), rounds=4, optimizer=STEP)
    torch.manual_seed(1)
    start = network()
    whole = federation.play(start, loss, engine())
    assert same_weights(federation.play(start, loss, engine()), whole)
    assert not same_weights(federation.play(start, loss, engine(1)), whole)
    half = federation.play(start, loss, engine(), rounds=2)
    assert same_weights(federation.play(half, loss, engine(), rounds=2, first=3), whole)
    assert not same_weights(federation.play(half, loss, engine(), rounds=2), whole), "rounds have draws of their own"


def test_a_clients_draws_do_not_depend_on_who_else_takes_part():
    sent = []
    for federation in (Federation(clients(), rounds=1), Federation(clients(), rounds=1).without(["c1"])):
        federation.play(plain(), loss, engine(), [lambda round, before, models: sent.append(models)])
    assert sent[0].keys() == {"c0", "c1", "c2"} and sent[1].keys() == {"c0", "c2"}
    assert all(torch.equal(sent[0]["c2"][name], sent[1]["c2"][name]) for name in sent[0]["c2"])


def test_watchers_are_told_what_a_round_began_with_and_who_sent_what():
    model, told = plain(), []
    sums = Contributions(dict(model.named_parameters()))
    found = Federation(clients(), rounds=2, optimizer=STEP).play(
        model, loss, engine(), [sums.watch, lambda *of_round: told.append(of_round)]
    )
    assert [number for number, _, _ in told] == [1, 2] and sums.rounds == {"c0": 2, "c1": 2, "c2": 2}
    assert all(torch.equal(told[0][1][name], value) for name, value in model.state_dict().items())
    assert not all(torch.equal(told[1][1][name], value) for name, value in found.state_dict().items())
    name = "0.weight"
    wanted = sum((sent["c1"][name] - before[name]).abs() for _, before, sent in told) / 2
    torch.testing.assert_close(sums.of(["c1"])[name], wanted)


def test_of_a_fraction_others_are_asked_in_each_round_and_all_in_turn():
    federation = Federation(clients(5), rounds=12, fraction=0.4)
    rounds = [federation.asked(number, engine()) for number in range(1, 13)]
    assert all(len(asked) == 2 for asked in rounds) and len(set(rounds)) > 3
    assert set().union(*rounds) == set(federation.clients)
    assert Federation(clients(3), fraction=0.01).asked(1, engine()) in {("c0",), ("c1",), ("c2",)}
    sums = Contributions(dict(network().named_parameters()))
    federation.play(network(), loss, engine(), [sums.watch], rounds=3)
    assert sum(sums.rounds.values()) == 6


def test_who_leaves_is_not_trained_on():
    federation = Federation(clients(), rounds=2, optimizer=STEP)
    left = {name: stream for name, stream in clients().items() if name != "c0"}
    found = federation.without(["c0"]).play(plain(), loss, engine())
    assert same_weights(found, Federation(left, rounds=2, optimizer=STEP).play(plain(), loss, engine()))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(BadRequest, match="there is no client d; there are c0, c1, c2"):
        Federation(clients()).without(["d"])
    with pytest.raises(BadRequest, match="all 3 clients would leave; to forget everybody, delete the model"):
        Federation(clients()).without(["c0", "c1", "c2"])
    for settings, message in (
        ({"clients": {}}, "at least one client"),
        ({"rounds": 0}, "rounds must be at least 1, not 0"),
        ({"local_epochs": 0}, "local_epochs must be at least 1"),
        ({"fraction": 0.0}, r"fraction must lie in \(0, 1\], not 0.0"),
        ({"weighting": "equal"}, "weighting is 'examples' or 'uniform', not 'equal'"),
    ):
        with pytest.raises(BadSetting, match=message):
            Federation(**{"clients": clients()} | settings)
    wild = Federation(clients(), rounds=5, optimizer=Optimizer("sgd", 1e20))
    with pytest.raises(Diverged, match=r"client c\d ended round \d with values that are not finite"):
        wild.play(plain(), loss, engine())
