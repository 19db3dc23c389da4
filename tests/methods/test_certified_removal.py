"""Certified removal: that the certificate holds, and that its noise is what it says."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from contracts import CONTRACTS, World, works_on_any_task_or_names_those_it_takes
from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.methods.certified_removal import CertifiedRemoval, Objective, conjugate_gradients, leak, noise_scale
from expunge.models.sgc import SGC
from expunge.tasks import NodeClassificationTask
from tiny import class_split, original, same_weights, task
from tiny_graphs import RECIPE, link_split, link_task, node_original, node_parts, node_split


def run(method, world, seed=0):
    read, split, model = world
    return method(model, read, split, Engine(seed, progress=False))


def nodes():
    return linear_task(), node_split(), node_original(Engine(progress=False)).eval()


def test_other_tasks_are_refused():
    method = CertifiedRemoval()
    reason = f"{method.why_not}$"
    for world in (
        (task(), class_split(), original(Engine(progress=False))),
        (link_task(), link_split(), link_task().new_model()),
    ):
        kind = type(world[0]).__name__
        with pytest.raises(WrongTask, match=f"^certified-removal works on NodeClassificationTask, not on {kind}: {reason}"):
            run(method, world)


def linear_task():
    return NodeClassificationTask(lambda: SGC(8, 4), classes=4)


def linear_original(engine):
    with engine.scope("original"):
        return RECIPE.train(linear_task(), node_parts().training(), engine)


LINEAR = World(linear_task, node_split, linear_original, tensors=False)
EXACT = CertifiedRemoval(epsilon=math.inf, regularisation=1e-2, steps=20)


@pytest.mark.parametrize("contract", [each for each in CONTRACTS if each is not works_on_any_task_or_names_those_it_takes])
def test_contract(contract):
    contract(CertifiedRemoval(regularisation=1e-2), LINEAR)


def weights(model):
    return torch.cat([model.head.weight.T, model.head.bias[None]]).detach().double()


def optimum(stream):
    """The result of training to the end, by plain gradient descent."""
    objective = Objective.of(SGC(8, 4), stream, 1e-2)
    found = torch.zeros(9, 4, dtype=torch.float64)
    for _ in range(20_000):
        gradient = objective.gradient(found)
        found = found - 1.5 * gradient
        if gradient.norm() < 1e-9:
            return found
    raise AssertionError("gradient descent has not arrived")


def test_one_step_from_the_optimum_lands_near_to_that_of_retraining_and_more_steps_on_it():
    parts = node_parts()
    split = parts.without(parts.train[[2, 9]])
    start, retrained = optimum(parts.training()), optimum(split.retain)
    model = SGC(8, 4)
    with torch.no_grad():
        model.head.weight.copy_(start[:8].T)
        model.head.bias.copy_(start[8])
    one, many = (replace(EXACT, steps=steps)(model, linear_task(), split, Engine(progress=False)) for steps in (1, 20))
    before, after = ((weights(each) - retrained).norm() for each in (model, one))
    assert before > 0.1 and after < 0.1 * before
    assert (weights(many) - retrained).norm() < 1e-5


def test_the_distance_that_is_certified_is_never_below_the_true_one():
    split, model = node_split(), linear_original(Engine(progress=False))
    retrained = optimum(split.retain)
    for steps in (1, 2, 3):
        method = replace(EXACT, steps=steps)
        found = method.certificate(model, split)
        result = method(model, linear_task(), split, Engine(progress=False))
        assert (weights(result) - retrained).norm() <= found.distance + 1e-5
        assert found.distance == found.residual / 1e-2 and found.noise == 0.0
    assert found.distance < method.certificate(SGC(8, 4), split).distance  # a worse start needs more steps


def test_noise_is_added_as_the_certificate_says():
    split, model = node_split(), linear_original(Engine(progress=False))
    noisy = replace(EXACT, epsilon=0.5, delta=1e-3, steps=1)
    found = noisy.certificate(model, split)
    assert found.noise == noise_scale(found.distance, 0.5, 1e-3) > 0 and (found.epsilon, found.delta) == (0.5, 1e-3)
    without = weights(replace(EXACT, steps=1)(model, linear_task(), split, Engine(progress=False)))
    drawn = torch.cat(
        [weights(noisy(model, linear_task(), split, Engine(seed, progress=False))) - without for seed in range(20)]
    )
    assert drawn.std().item() == pytest.approx(found.noise, rel=0.1) and abs(drawn.mean().item()) < 0.15 * found.noise


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-5), (1.0, 1e-4), (1.0, 0.3), (8.0, 1e-6), (50.0, 1e-9)])
def test_the_noise_just_satisfies_the_condition(epsilon, delta):
    scale = noise_scale(3.0, epsilon, delta)
    assert leak(3.0 / scale, epsilon) <= delta and leak(3.0 / (0.999 * scale), epsilon) > delta
    assert noise_scale(6.0, epsilon, delta) == pytest.approx(2 * scale)
    if epsilon <= 1 and delta < 0.01:  # the classical formula, which is only an upper bound
        assert 0.5 < scale / (3.0 * math.sqrt(2 * math.log(1.25 / delta)) / epsilon) < 1


def test_the_condition_is_the_privacy_of_two_gaussians():
    """sup over T of P(T) - e^epsilon Q(T), by a sum over a fine grid."""
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    for ratio, epsilon in itertools.product((0.3, 1.0, 2.5), (0.1, 1.0, 3.0)):
        first, second = (torch.exp(-((grid - centre) ** 2) / 2) / math.sqrt(2 * math.pi) for centre in (ratio, 0.0))
        worst = torch.trapezoid((first - math.exp(epsilon) * second).clamp_min(0), grid).item()
        assert leak(ratio, epsilon) == pytest.approx(worst, abs=1e-6)


def test_infinite_epsilon_and_no_distance_need_no_noise():
    assert noise_scale(3.0, math.inf, 1e-5) == 0.0 == noise_scale(0.0, 1.0, 1e-5)
    split, model = node_split(), linear_original(Engine(progress=False))
    assert same_weights(*(run(EXACT, (linear_task(), split, model), seed) for seed in (0, 1)))


def test_steps_are_halved_where_a_whole_one_would_overshoot():
    objective = Objective.of(SGC(8, 4), node_split().retain, 1e-2)
    found = 30 * torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [objective.value(found)]
    for _ in range(15):
        found = objective.newton_step(found)
        values.append(objective.value(found))
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(values))
    assert objective.gradient(found).norm() < 1e-9


def test_the_gradient_is_that_of_the_objective():
    objective = Objective.of(SGC(8, 4), node_split().retain, 1e-2)
    start = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_(True)
    loss = nn.functional.cross_entropy(objective.rows @ start, objective.labels) + 5e-3 * start.square().sum()
    assert loss.item() == pytest.approx(objective.value(start.detach()))
    torch.testing.assert_close(objective.gradient(start.detach()), torch.autograd.grad(loss, start)[0])


def test_conjugate_gradients_solve():
    matrix = torch.diag(torch.linspace(1, 50, 20)).double() + 0.1
    target = torch.ones(20, 2, dtype=torch.float64)
    torch.testing.assert_close(matrix @ conjugate_gradients(lambda v: matrix @ v, target, 1e-12), target)
    assert not conjugate_gradients(lambda v: matrix @ v, 0 * target).any()


def test_a_model_without_bias_is_served():
    model, split = SGC(8, 4, bias=False), node_split()
    result = EXACT(model, linear_task(), split, Engine(progress=False))
    assert result.state_dict().keys() == {"head.weight"} and not same_weights(result, model)
    assert EXACT.certificate(model, split).residual < 1e-8


def test_what_goes_is_never_looked_at():
    split, model = node_split(), linear_original(Engine(progress=False))
    other = replace(split, forget=replace(split.forget, nodes=split.forget.nodes[:1]))
    method = CertifiedRemoval(regularisation=1e-2)
    assert same_weights(*(run(method, (linear_task(), each, model)) for each in (split, other)))


def test_other_networks_are_refused():
    with pytest.raises(BadSetting, match=r"^certified-removal: the certificate is of sgc, .* not of GCN$"):
        run(CertifiedRemoval(), nodes())
    with pytest.raises(BadSetting, match=r"^certified-removal: the certificate is of sgc, .* not of GCN$"):
        CertifiedRemoval().certificate(nodes()[2], node_split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be above 0, not 0.0"),
        ({"delta": 1.0}, "delta must lie between 0 and 1, not 1.0"),
        ({"delta": 0.0}, "delta must lie between 0 and 1, not 0.0"),
        ({"regularisation": 0.0}, "regularisation must be above 0, not 0.0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^certified-removal: {message}$"):
        CertifiedRemoval(**settings)
