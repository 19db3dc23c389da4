"""Zero Retrain Forgetting: hand-worked values, bounds, and real networks."""

import math

import pytest
import torch
from torch import nn

from expunge.audits import References, Subject, ZeroRetrain
from expunge.errors import BadSetting

LABELS = {"forget": [0, 1], "retain": [0], "holdout": [1]}


def constant(p: float) -> nn.Module:
    """Answers class 1 with probability `p`, whatever it is asked; its inputs are row numbers."""
    model = nn.Embedding(4, 2)
    model.weight = nn.Parameter(torch.tensor([[1 - p, p]]).log().repeat(4, 1))
    return model


def js(p: float, q: float) -> float:
    """Jensen-Shannon divergence of two coins, in units of log 2."""

    def kl(a: float, b: float) -> float:
        return sum(x * math.log(x / y) for x, y in ((a, b), (1 - a, 1 - b)) if x > 0)

    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / (2 * math.log(2))


def test_a_model_that_says_what_ignorant_networks_say_is_at_1(stage):
    made = stage(LABELS, classes=2, factory=lambda: constant(0.5))
    assert ZeroRetrain()(made.subject(torch.zeros(4, 2)))["zrf"].value == pytest.approx(1.0)


def test_values_by_hand_with_the_forget_set_alone(stage):
    made = stage(LABELS, classes=2, factory=lambda: constant(0.5))
    said = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.01, 0.99], [0.99, 0.01]]).log()  # only the first two are to forget
    value = ZeroRetrain()(made.subject(said))["zrf"].value
    assert value == pytest.approx(1 - (js(0.1, 0.5) + 0.0) / 2, rel=1e-5)
    certain = torch.tensor([[200.0, 0.0], [0.0, 200.0], [0.0, 0.0], [0.0, 0.0]])
    assert ZeroRetrain()(made.subject(certain))["zrf"].value == pytest.approx(1 - js(0.0, 0.5), rel=1e-5)


def test_a_model_that_contradicts_the_ignorant_networks_is_at_0(stage):
    made = stage(LABELS, classes=2, factory=lambda: constant(1e-30))
    assert ZeroRetrain()(made.subject(torch.tensor([[-200.0, 200.0]] * 4)))["zrf"].value == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("networks", [1, 2, 4])
def test_the_mean_over_so_many_ignorant_networks_is_taken(stage, networks):
    made_of = []

    def factory() -> nn.Module:
        made_of.append((0.1, 0.3, 0.6, 0.8)[len(made_of)])
        return constant(made_of[-1])

    made = stage(LABELS, classes=2, factory=factory)
    value = ZeroRetrain(networks=networks)(made.subject(torch.zeros(4, 2)))["zrf"].value
    assert len(made_of) == networks
    assert value == pytest.approx(1 - sum(js(0.5, p) for p in made_of) / networks, rel=1e-5)


def test_the_ideal_is_the_golds_value_and_none_without_one(stage):
    made = stage(LABELS, classes=2, factory=lambda: constant(0.5))
    subject, gold = made.subject(torch.zeros(4, 2)), made.subject(torch.tensor([[0.9, 0.1]] * 4).log())
    assert ZeroRetrain()(subject, References(retrained=(gold, subject)))["zrf"].ideal == pytest.approx(
        1 - js(0.1, 0.5), rel=1e-5
    )
    assert ZeroRetrain()(subject, References(original=gold))["zrf"].ideal is None


def test_an_untrained_network_is_high_a_trained_one_low_and_both_within_bounds(blobs):
    made = blobs()
    fresh = made.subject(made.engine.new_model(made.task.new_model, "another"))
    knows = made.original()
    with torch.no_grad():
        knows.model[2].weight.mul_(10)  # and is very sure of it
    high, low = (ZeroRetrain()(subject)["zrf"].value for subject in (fresh, knows))
    assert 0.9 < high < 1.0 and 0.0 < low < 0.75


def test_the_ignorant_networks_are_drawn_from_the_engines_seed_alone(blobs):
    def zrf(seed: int, global_seed: int) -> float:
        made = blobs(seed=seed)
        subject = made.subject(made.trained(made.retain))
        torch.manual_seed(global_seed)
        return ZeroRetrain(networks=1)(subject)["zrf"].value

    assert zrf(0, 7) == zrf(0, 8) != zrf(1, 7)


def test_several_ignorant_networks_are_not_one(blobs):
    made = blobs()
    subject = Subject("same", made.trained(made.retain), made.task, made.split, made.engine)
    one, three = (ZeroRetrain(networks=count)(subject)["zrf"].value for count in (1, 3))
    assert one != pytest.approx(three, abs=1e-6)


def test_no_ignorant_network_at_all_is_refused(stage):
    made = stage(LABELS, classes=2, factory=lambda: constant(0.5))
    with pytest.raises(BadSetting, match="networks"):
        ZeroRetrain(networks=0)(made.subject(torch.zeros(4, 2)))
