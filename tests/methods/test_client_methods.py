"""Rivals that take a client out of a federation: by hand, at their limits, and what each asks of the federation."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged
from expunge.federated.client_split import ClientSplit, losses_of
from expunge.federated.history import History
from expunge.methods import (
    PGA,
    ContinueWithout,
    FedEraser,
    FederatedRetrain,
    FedOSD,
    Method,
    UpdateSubtraction,
    WeightNegation,
)
from expunge.methods.fed_osd import gradient, orthogonal, unlikely
from expunge.methods.pga import sent_at_last
from expunge.optimizers import Optimizer
from tiny import network, same_weights, task
from tiny_federations import LEAVES, federation, played

STAYS = ["client-0", "client-1", "client-2"]


def applied(method: Method, split: ClientSplit | None = None) -> tuple[nn.Module, Engine]:
    model, usual = played()
    engine = Engine(progress=False)
    return method(model, task(), split or usual, engine), engine


def asked_of(engine: Engine) -> tuple[float, float]:
    """Rounds, and passes of clients."""
    return sum(row["rounds"] for row in engine.history), sum(row["client_passes"] for row in engine.history)


def vector(model: nn.Module) -> torch.Tensor:
    return parameters_to_vector(model.parameters()).detach()


def test_what_each_asks_of_the_federation():
    asked = {
        method.name: asked_of(applied(method)[1])
        for method in (
            FederatedRetrain(),
            ContinueWithout(rounds=2),
            FedEraser(every=2),
            PGA(passes=2, far=None, rounds=1),
            WeightNegation(rounds=2),
            FedOSD(steps=4, rounds=1),
            UpdateSubtraction(rounds=2),
        )
    }
    assert asked == {
        "federated-retrain": (6, 18),
        "continue-without": (2, 6),
        "fed-eraser": (2, 6),  # rounds 1, 3 and 5, of which the first takes what was sent
        "pga": (1, 5),  # two passes of who leaves
        "weight-negation": (2, 6),
        "fed-osd": (5, 19),
        "update-subtraction": (2, 6),
    }


def test_retraining_is_the_federation_that_was_never_joined():
    result, _ = applied(FederatedRetrain())
    engine = Engine(progress=False)
    with engine.scope("federated-retrain"), engine.seeded("method"):
        fresh = engine.new_model(network)
        assert same_weights(result, federation().without([LEAVES]).play(fresh, losses_of(task()), engine))


def test_rounds_after_the_original_are_numbered_on():
    model, split = played()
    engine = Engine(progress=False)
    with engine.scope("continue-without"):
        later = split.rest.play(model, losses_of(task()), engine, rounds=2, first=7)
    assert same_weights(applied(ContinueWithout(rounds=2))[0], later)


@pytest.mark.parametrize(
    "method", [ContinueWithout(rounds=0), UpdateSubtraction(share=0.0, rounds=0), FedOSD(steps=0, rounds=0)]
)
def test_nothing_changes_at_the_limit(method):
    assert same_weights(applied(method)[0], played()[0])


def test_one_round_is_replayed_as_the_mean_of_what_the_others_sent():
    _, split = played()
    first = History()
    first.initial, first.updates = split.history.initial, {1: split.history.updates[1]}
    result, engine = applied(FedEraser(), replace(split, history=first))
    for name, value in result.named_parameters():
        mean = torch.stack([first.updates[1][client][name] for client in STAYS]).mean(0)  # all have 40 examples
        torch.testing.assert_close(value.detach(), first.initial[name] + mean)
    assert asked_of(engine) == (0, 0)


def test_clients_are_replayed_with_their_weights():
    _, split = played()
    first = History()
    first.initial, first.updates = split.history.initial, {1: split.history.updates[1]}
    result, _ = applied(FedEraser(), replace(split, history=first, leaving=("client-0", "client-1")))
    small, large = (first.updates[1][client] for client in ("client-2", LEAVES))  # of 40 and 80 examples
    for name, value in result.named_parameters():
        torch.testing.assert_close(value.detach(), first.initial[name] + (small[name] + 2 * large[name]) / 3)


def test_a_replayed_step_is_as_long_as_it_was():
    _, split = played()
    alone = replace(split, leaving=(*STAYS[1:], LEAVES))  # one stays: its step is the model's
    result, _ = applied(FedEraser(every=5), alone)
    first, second = (split.history.updates[number]["client-0"] for number in (1, 6))
    for name, value in result.named_parameters():
        step = value.detach() - split.history.initial[name] - first[name]
        torch.testing.assert_close(step.norm(), second[name].norm())
        assert not torch.allclose(step, second[name])  # the direction is new


def test_a_short_calibration_sees_so_many_batches():
    seen = []

    class Counted(type(task())):
        def losses(self, outputs, batch):
            seen.append(len(batch[0]))
            return super().losses(outputs, batch)

    model, split = played()
    for share, batches in ((0.3, 1), (0.5, 2), (1.0, 3)):  # of 40 examples in batches of 16
        seen.clear()
        counted = Counted(network, classes=4)
        FedEraser(every=5, calibration=share)(model, counted, split, Engine(progress=False))
        assert len(seen) == 3 * batches


def test_ascent_starts_from_what_the_others_sent():
    model, split = played()
    own, others = sent_at_last(model, split)
    sent = split.history.updates[6]
    mixed = {
        name: (80 * own[name] + 120 * others[name]) / 200 for name in own
    }  # who leaves has 80 examples, the others 40 each
    torch.testing.assert_close(mixed, {name: value for name, value in model.state_dict().items() if name in mixed})
    apart = {name: torch.stack([sent[client][name] for client in STAYS]).mean(0) for name in sent[LEAVES]}
    torch.testing.assert_close(
        {name: own[name] - others[name] for name in own}, {name: sent[LEAVES][name] - apart[name] for name in own}
    )
    assert same_weights(applied(PGA(passes=0, rounds=0))[0], _loaded(others))


def _loaded(state: dict[str, torch.Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(state)
    return model


def test_ascent_stays_in_the_ball():
    model, split = played()
    _, others = sent_at_last(model, split)
    start = vector(_loaded(others))
    distances = {}
    for radius in (0.001, 0.01):
        method = PGA(passes=20, radius=radius, far=None, rounds=0, optimizer=Optimizer("sgd", 0.1))
        distances[radius] = (vector(applied(method)[0]) - start).norm()
    torch.testing.assert_close(distances[0.01] / distances[0.001], torch.tensor(10.0).sqrt(), rtol=1e-3, atol=0)
    stopped = PGA(passes=20, radius=0.01, far=0.0, rounds=0, optimizer=Optimizer("sgd", 0.1))
    result, engine = applied(stopped)
    assert asked_of(engine) == (0, 1) and (vector(result) - start).norm() < distances[0.01]  # it stops after one step


@pytest.mark.parametrize(
    ("method", "message"), [(PGA(), "the loss of the ascent is nan in pass 0"), (FedOSD(), "not finite in step 0")]
)
def test_what_is_not_finite_is_told(method, message):
    class Broken(type(task())):
        def outputs(self, model, batch):
            return super().outputs(model, batch) * float("nan")

    model, split = played()
    with pytest.raises(Diverged, match=f"{method.name}: .*{message}"):
        method(model, Broken(network, classes=4), split, Engine(progress=False))


def test_negated_twice_is_as_it_was():
    once = applied(WeightNegation(rounds=0))[0].state_dict()
    model = played()[0].state_dict()
    assert torch.equal(once["0.weight"], -model["0.weight"]) and torch.equal(once["0.bias"], -model["0.bias"])
    assert torch.equal(once["3.weight"], model["3.weight"])
    last = applied(WeightNegation(layers=("3",), rounds=0))[0].state_dict()
    assert torch.equal(last["3.weight"], -model["3.weight"]) and torch.equal(last["0.weight"], model["0.weight"])
    with pytest.raises(BadRequest, match="'1' has no parameters of its own; those that have are 0, 3"):
        applied(WeightNegation(layers=("1",)))


def test_what_a_client_added_is_taken_away():
    model, split = played()
    result = applied(UpdateSubtraction(rounds=0))[0].state_dict()
    for name, value in model.named_parameters():
        added = sum(80 / 200 * split.history.updates[number][LEAVES][name] for number in range(1, 7))
        torch.testing.assert_close(result[name], value.detach() - added)


def test_steepest_descent_costs_the_others_nothing_at_first():
    model, split = played()
    model.eval()
    others = torch.stack([gradient(model, losses_of(task()), split.rest.clients[name]) for name in STAYS])
    wanted = gradient(model, unlikely(task()), split.federation.clients[LEAVES])
    way = orthogonal(wanted, others)
    assert (others @ way).abs().max() < 1e-5 * others.norm() * way.norm()
    assert way @ wanted > 0
    step = vector(model) - vector(applied(FedOSD(steps=1, rounds=0))[0])
    torch.testing.assert_close(step, 0.05 * wanted.norm() / way.norm() * way, rtol=1e-3, atol=1e-6)


def test_recovery_does_not_go_back():
    trained = vector(played()[0])
    unlearned = vector(applied(FedOSD(steps=10, rounds=0))[0])
    recovered = vector(applied(FedOSD(steps=10, rounds=1))[0])
    way = unlearned - trained
    assert not torch.allclose(recovered, unlearned)
    assert ((recovered - unlearned) @ way).abs() < 1e-4 * way.norm() * (recovered - unlearned).norm()


def test_the_loss_of_what_goes_is_low_where_it_is_unlikely():
    logits = torch.tensor([[20.0, -20.0], [-20.0, 20.0], [0.0, 0.0]])
    values = unlikely(task())(lambda _: logits, (None, torch.zeros(3, dtype=torch.int64)))
    torch.testing.assert_close(values, torch.tensor([0.6931472, 0.0, 0.2876821]))


@pytest.mark.parametrize(
    ("method", "history", "message"),
    [
        (FedEraser(), None, "kept no updates of single rounds"),
        (PGA(), None, "sent in the last round, 6"),
        (UpdateSubtraction(), None, "in every round"),
        (UpdateSubtraction(), History(every=2), "in every round"),
    ],
)
def test_what_the_server_did_not_keep(method, history, message):
    with pytest.raises(BadRequest, match=message):
        applied(method, replace(played()[1], history=history))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ContinueWithout, {"rounds": -1}),
        (FedEraser, {"every": 0}),
        (FedEraser, {"calibration": 0.0}),
        (PGA, {"passes": -1}),
        (PGA, {"radius": 0.0}),
        (PGA, {"fresh": 0}),
        (WeightNegation, {"rounds": -1}),
        (FedOSD, {"steps": -1}),
        (FedOSD, {"learning_rate": 0.0}),
        (UpdateSubtraction, {"share": 1.5}),
        (UpdateSubtraction, {"rounds": -1}),
    ],
)
def test_settings_that_make_no_sense(kind, settings):
    with pytest.raises(BadSetting, match=f"^{kind.name}: "):
        kind(**settings)
