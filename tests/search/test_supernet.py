"""Mixed operations, both levels of gradients, and the two optimizers in one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expunge.search import CellSpace, Darts, Genotype, expected_cost
from expunge.search.bilevel import Bilevel, second_order
from expunge.search.halves import HalfBatches
from expunge.search.operations import DARTS_OPERATIONS
from expunge.search.supernet import MixedOperation, over_inputs, shuffle, straight_through
from expunge.search.two_optimizers import TwoOptimizers

SPACE = CellSpace(classes=3, nodes=2, cells=2, channels=4, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))


def batch(seed: int = 0, count: int = 6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("stride", [1, 2])
def test_one_hot_weights_leave_one_operation(stride):
    torch.manual_seed(0)
    mixed, images = MixedOperation(DARTS_OPERATIONS, 4, stride), torch.randn(3, 4, 6, 6)
    for place, weights in enumerate(torch.eye(len(DARTS_OPERATIONS))):
        expected = mixed.operations[place](images)
        assert torch.allclose(mixed(images, weights), expected, atol=1e-6)
        assert torch.equal(mixed(images, weights, drawn=place), expected)


def test_weights_mix_operations():
    torch.manual_seed(0)
    mixed, images = MixedOperation(("none", "skip_connect", "max_pool_3x3"), 4, 1), torch.randn(3, 4, 6, 6)
    expected = 0.3 * images + 0.2 * mixed.operations[2](images)
    assert torch.allclose(mixed(images, torch.tensor([0.5, 0.3, 0.2])), expected, atol=1e-6)


@pytest.mark.parametrize("side", [6, 5])
def test_partial_channels_pass_by_and_are_shuffled(side):
    torch.manual_seed(0)
    images, weights = torch.randn(2, 8, side, side), torch.tensor([0.0, 1.0])
    mixed = MixedOperation(("none", "sep_conv_3x3"), 8, 1, partial=4)
    assert sum(each.numel() for each in mixed.parameters()) == 2 * (2 * 9 + 2 * 2)
    expected = shuffle(torch.cat([mixed.operations[1](images[:, :2]), images[:, 2:]], dim=1), 4)
    assert torch.equal(mixed(images, weights), expected)
    assert torch.equal(mixed(images, weights)[:, 1], images[:, 2])
    strided = MixedOperation(("none", "sep_conv_3x3"), 8, 2, partial=4)(images, weights)
    assert strided.shape == (2, 8, 3, 3)
    assert torch.equal(strided[:, 1, :2, :2], F.max_pool2d(images[:, 2], 2)[:, :2, :2])


def test_edges_are_normalised_over_the_inputs_of_a_node():
    beta = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.0])
    e = torch.e
    expected = torch.tensor([1 / (1 + e), e / (1 + e), e**2 / (e**2 + 2), 1 / (e**2 + 2), 1 / (e**2 + 2)])
    assert torch.allclose(over_inputs(beta, 2), expected)
    torch.manual_seed(0)
    net = CellSpace(classes=2, nodes=1, cells=2, channels=2, operations=("none", "skip_connect")).supernet(1, True)
    with torch.no_grad():
        net.architecture["beta_normal"].copy_(torch.tensor([0.0, 1.0]))
        net.architecture["alpha_normal"].copy_(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    first, second = torch.randn(2, 6, 4, 4), torch.randn(2, 6, 4, 4)
    cell = net.cells[0]
    one, two = cell.inputs(first, second)
    by_hand = 1 / (1 + e) * 0.5 * one + e / (1 + e) * e / (1 + e) * two
    assert torch.allclose(cell(first, second, net.mixture(net.architecture, "normal")), by_hand, atol=1e-6)


def test_gumbel_draws_are_one_hot_follow_alpha_and_let_gradients_through():
    torch.manual_seed(0)
    alpha = torch.tensor([[0.0, 1.0, 2.0]]).repeat(4000, 1).requires_grad_()
    drawn = straight_through(alpha, 1.0)
    assert torch.allclose(drawn.sort(1).values, torch.tensor([0.0, 0.0, 1.0]).expand(4000, 3), atol=1e-6)
    assert torch.allclose(drawn.detach().mean(0), torch.tensor([0.0, 1.0, 2.0]).softmax(0), atol=0.03)
    (drawn * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert (alpha.grad.abs().sum(1) > 0).all()
    net = SPACE.supernet(sampled=True)
    net(batch()[0]).sum().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in net.architecture.values())
    mixture = net.mixture(net.architecture, "normal")
    assert mixture.drawn == mixture.weights.argmax(1).tolist()


def learner(order: int = 1, **settings):
    torch.manual_seed(0)
    return Bilevel(SPACE.supernet(1, True), 10, settings.pop("warmup", 0), order, expected_cost(SPACE, (8, 8)), **settings)


def test_each_term_has_gradients_by_its_own_parameters_alone():
    made = learner()
    terms = made(HalfBatches(batch(0), batch(1)))
    names = [name for name, _ in made.named_parameters()]
    for term, own in (("weights", False), ("architecture", True)):
        found = torch.autograd.grad(terms[term], list(made.parameters()), allow_unused=True, retain_graph=True)
        for name, grad in zip(names, found, strict=True):
            assert (grad is not None and bool(grad.abs().sum() > 0)) == (name.startswith("supernet.architecture.") is own), name


def test_first_order_is_the_plain_gradient_of_the_other_half():
    made = learner()
    halves = HalfBatches(batch(0), batch(1))
    term = made(halves)["architecture"]
    term.backward()
    found = [each.grad.clone() for each in made.supernet.architecture.values()]
    loss = F.cross_entropy(made.supernet(halves.architecture[0]), halves.architecture[1])
    expected = torch.autograd.grad(loss, list(made.supernet.architecture.values()))
    assert torch.allclose(term, loss) and all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found, expected, strict=True))


def test_second_order_follows_one_step_of_the_weights_exactly():
    """Against differentiating twice through the step, in double precision."""
    torch.manual_seed(0)
    w = {"a": torch.randn(4, 3, dtype=torch.double).requires_grad_(), "b": torch.randn(3, dtype=torch.double).requires_grad_()}
    alpha = {"x": torch.randn(3, dtype=torch.double).requires_grad_()}
    (x1, y1), (x2, y2) = [(torch.randn(9, 4, dtype=torch.double), torch.randn(9, dtype=torch.double)) for _ in range(2)]

    def loss_on(x, y):
        return lambda w, alpha: ((torch.tanh(x @ w["a"]) * alpha["x"].softmax(0) * w["b"]).sum(1) - y).square().mean()

    training, validation, rate, decay, velocity = loss_on(x1, y1), loss_on(x2, y2), 0.3, 0.01, torch.ones(3, dtype=torch.double)
    inner = torch.autograd.grad(training(w, alpha), [w["a"], w["b"]], create_graph=True)
    stepped = {
        "a": w["a"] - rate * (inner[0] + decay * w["a"]),
        "b": w["b"] - rate * (inner[1] + decay * w["b"] + 0.9 * velocity),
    }
    exact = torch.autograd.grad(validation(stepped, alpha), alpha["x"])[0]
    optimizer = TwoOptimizers(1, rate, 0.9, decay)([alpha["x"], w["a"], w["b"]])
    optimizer.state[w["b"]]["momentum_buffer"] = velocity
    value, (found,) = second_order(validation, training, w, alpha, optimizer.coming_step, rate)
    first = torch.autograd.grad(validation({k: v.detach() for k, v in stepped.items()}, alpha), alpha["x"])[0]
    assert torch.allclose(found, exact, rtol=1e-4, atol=1e-7) and value.item() == pytest.approx(
        validation(stepped, alpha).item()
    )
    assert (first - exact).norm() > 20 * (found - exact).norm()


def test_second_order_differs_from_first_and_leaves_weights_alone():
    halves, made = HalfBatches(batch(0), batch(1)), learner(order=2)
    made.optimizer = TwoOptimizers(len(made.supernet.architecture), rate=0.5)(made.parameters())
    before = [each.clone() for each in made.parameters()]
    made(halves)["architecture"].backward()
    second = made.supernet.architecture["alpha_normal"].grad
    plain = learner()
    plain(halves)["architecture"].backward()
    assert (second - plain.supernet.architecture["alpha_normal"].grad).abs().max() > 1e-5
    assert all(torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))
    assert all(each.grad is None for name, each in made.named_parameters() if "architecture" not in name)


def test_warmup_is_counted_in_the_state():
    made, halves = learner(warmup=2), HalfBatches(batch(0), batch(1))
    assert ["architecture" in made(halves) for _ in range(3)] == [False, False, True]
    other = learner(warmup=2)
    other.load_state_dict(made.state_dict())
    assert "architecture" in other(halves) and other.architecture_steps == 2


def test_cost_moves_the_architecture_to_what_is_cheap():
    halves, grads = HalfBatches(batch(0), batch(1)), []
    for weight in (0.0, 5.0):
        made = learner(cost_weight=weight)
        made(halves)["architecture"].backward()
        grads.append(made.supernet.architecture["alpha_normal"].grad)
    change = grads[1] - grads[0]
    conv = SPACE.operations.index("sep_conv_3x3")
    assert (change[:, conv] > 0).all() and (change[:, [1, 3]] < 0).all() and change[:, 0].abs().max() < 1e-6


def test_expected_cost_is_the_mean_over_random_genotypes():
    cost = expected_cost(SPACE, (8, 8))
    drawn = [cost.of(SPACE.random(torch.Generator().manual_seed(seed))) for seed in range(3000)]
    assert cost.mean_random == pytest.approx(sum(drawn) / len(drawn), rel=0.02)
    cell = (("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_3x3", 0), ("skip_connect", 2))
    one_hot = torch.full((5, 4), -60.0)
    one_hot[[0, 2], 2], one_hot[[1, 4], 1] = 60.0, 60.0
    edges = torch.tensor([0.5, 0.5, 0.5, 0.0, 0.5])
    p = one_hot.softmax(1)
    assert float(cost({"normal": p, "reduction": p}, {"normal": edges, "reduction": edges})) == pytest.approx(
        cost.of(Genotype(cell, cell))
    )


def test_two_optimizers_in_one_are_two_optimizers():
    torch.manual_seed(0)
    start = [torch.randn(4) for _ in range(4)]

    def parameters():
        return [nn.Parameter(each.clone()) for each in start]

    def gradients(own, step):
        for place, each in enumerate(own):
            passed = place == 0 and step < 2  # the architecture waits at first
            each.grad = None if passed else torch.sin(each.detach() * (step + 1) + place)

    whole, apart = parameters(), parameters()
    recipe = TwoOptimizers(2, rate=0.1, clip_norm=0.5, architecture_rate=0.05)
    both = recipe(whole)
    sgd = torch.optim.SGD(apart[2:], 0.1, 0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(apart[:2], 0.05, (0.5, 0.999), weight_decay=1e-3)
    for step in range(6):
        for group in both.param_groups:  # as the engine's schedule does; the architecture's rate must not follow
            group["lr"] = 0.1 / (step + 1)
        sgd.param_groups[0]["lr"] = 0.1 / (step + 1)
        gradients(whole, step), gradients(apart, step)
        nn.utils.clip_grad_norm_(apart[2:], 0.5)
        both.step(), sgd.step(), adam.step()
        if step == 3:  # through a file and back, as a restart does
            state, rebuilt = both.state_dict(), recipe(whole)
            rebuilt.load_state_dict({"state": state["state"], "param_groups": rebuilt.state_dict()["param_groups"]})
            both = rebuilt
    assert all(torch.equal(a, b) for a, b in zip(whole, apart, strict=True))
    assert {len(slots) for slots in both.state.values()} == {1, 3}


def test_architecture_comes_first_among_parameters():
    made = learner()
    first = list(made.parameters())[: len(made.supernet.architecture)]
    assert [id(each) for each in first] == [id(each) for each in made.supernet.architecture.values()]
    assert Darts().supernet(SPACE).architecture.keys() == {"alpha_normal", "alpha_reduction"}
