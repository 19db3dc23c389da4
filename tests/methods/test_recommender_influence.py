"""SCIF and IFRU: that their step is the one to where retraining ends, where that can be computed, and whom it touches."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tiny_interactions as tiny
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.influence import conjugate_gradients, ends
from expunge.interactions import Interactions, PairBatch, Removal
from expunge.methods import IFRU, SCIF
from expunge.methods.ifru import important
from expunge.methods.scif import beside_negatives, preferred
from expunge.models.bpr_mf import BPRMF
from expunge.models.vbpr import VBPR
from expunge.split import Split
from expunge.tasks import RecommendationTask
from expunge.tasks.recommendation import margins
from tiny import same_weights
from tiny_rivals import Own, changed_rows, mean_margin, split_for, unlearned

# ---- influence ----------------------------------------------------------------------------------------------------------


def symmetric(values: list[float]) -> torch.Tensor:
    turn = torch.linalg.qr(torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(0))).Q
    return turn @ torch.diag(torch.tensor(values)) @ turn.T


def test_conjugate_gradients_solve_and_damping_is_added():
    matrix, target = symmetric([9.0, 4.0, 1.0, 0.5, 0.2]), torch.arange(1.0, 6.0)
    for damping in (0.0, 0.7):
        (found,) = conjugate_gradients(lambda vector: [matrix @ vector[0]], [target], damping, tolerance=1e-6)
        torch.testing.assert_close(found, torch.linalg.solve(matrix + damping * torch.eye(5), target), rtol=1e-3, atol=1e-3)
    (still,) = conjugate_gradients(lambda vector: [matrix @ vector[0]], [torch.zeros(5)])
    assert not still.any()


def test_conjugate_gradients_stop_where_it_bends_downwards():
    matrix = torch.diag(torch.tensor([1.0, -5.0]))
    (down,) = conjugate_gradients(lambda vector: [matrix @ vector[0]], [torch.tensor([0.0, 1.0])])
    (both,) = conjugate_gradients(lambda vector: [matrix @ vector[0]], [torch.tensor([9.0, 1.0])])
    assert not down.any() and both[0] == pytest.approx(9, rel=0.2)


def test_both_ends_of_a_spectrum_are_found_where_power_iteration_is_slow():
    matrix = symmetric([*torch.linspace(95, 100, 60).tolist(), -3.0])
    low, high = ends(lambda vector: [matrix @ vector[0]], [torch.zeros(61)], torch.Generator().manual_seed(0))
    assert low == pytest.approx(-3, abs=0.05) and high == pytest.approx(100, abs=0.5)


# ---- scif and ifru: where they land ---------------------------------------------------------------------------------------

PENALTY = 0.02


class Ridge(RecommendationTask):
    """Ranking with a penalty on the rows of users, so that there is one optimum while all else stays."""

    def outputs(self, model, batch):
        self.size = model.user_rows.square().sum()
        return super().outputs(model, batch)

    def losses(self, outputs, batch):
        return super().losses(outputs, batch) + PENALTY / 2 * self.size


def held(network: type = BPRMF) -> nn.Module:
    """Only the rows of users are learned."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network(tiny.parts().train, dim=6, regularisation=0.0).requires_grad_(False).eval()
    model.item_rows.mul_(6)
    model.user_rows.requires_grad_(True)
    return model


def optimum(model: nn.Module, objective) -> nn.Module:
    """Where a function of model and task is least, from the model's weights."""
    task, model = Ridge(held), copy.deepcopy(model)
    steps = torch.optim.LBFGS([model.user_rows], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-7)

    def closure():
        steps.zero_grad()
        loss = objective(task, model)
        loss.backward()
        return loss

    steps.step(closure)
    return model


def summed(batch):
    """The loss of a batch, summed."""
    return lambda task, model: task.losses(task.outputs(model, batch), batch).sum()


def drawn(name: str, left: Interactions, pairs: torch.Tensor, purpose: str = "negatives") -> PairBatch:
    """Pairs beside the negatives that a method draws."""
    engine = Engine(progress=False)
    with engine.scope(name):
        return beside_negatives(pairs, left.whole, 5, engine, purpose)


def few() -> Split:
    """Six pairs of six users."""
    train = tiny.parts().train
    return tiny.parts().without(Removal(rows=train.starts[:-1][torch.tensor([2, 9, 17, 25, 40, 52])]))


def before_and_after(network: type, left: Interactions) -> tuple[nn.Module, nn.Module]:
    """The optimum with what goes, and the one without it."""
    everything = drawn("ifru", left, left.whole.pairs)
    kept = left.has(left.whole.pairs)
    trained = optimum(held(network), summed(everything))
    return trained, optimum(trained, summed(PairBatch(*(part[kept] for part in everything[:3]), left)))


def distance(first: nn.Module, second: nn.Module) -> float:
    return (first.user_rows - second.user_rows).norm().item()


def test_on_a_convex_loss_ifru_lands_where_retraining_does():
    split = few()
    trained, retrained = before_and_after(BPRMF, split.retain.interactions)
    result = IFRU(hops=0, damping=0.0)(trained, Ridge(held), split, Engine(progress=False))
    moved, missed = distance(trained, retrained), distance(result, retrained)
    assert moved > 0.1 and missed < 0.25 * moved
    assert torch.equal(result.item_rows, trained.item_rows)  # they are frozen


def test_where_features_go_it_is_all_spillover():
    """Each pair stays, but is read without its item's picture."""
    split = split_for("features")
    trained, retrained = before_and_after(VBPR, split.retain.interactions)
    result = IFRU(hops=2, keep=1.0, damping=0.0)(trained, Ridge(held), split, Engine(progress=False))
    moved, missed = distance(trained, retrained), distance(result, retrained)
    assert moved > 0.1 and missed < 0.1 * moved


def test_scif_lands_where_the_labels_of_others_lead():
    split = few()
    left = split.retain.interactions
    everything = drawn("scif", left, left.whole.pairs)
    goes = drawn("scif", left, split.forget.pairs, "forget negatives")

    def replaced(task, model):
        label, said = preferred(left, goes), margins(task.outputs(model, goes))
        soft = -(label * F.logsigmoid(said) + (1 - label) * F.logsigmoid(-said)).mean(1).sum()
        return summed(everything)(task, model) - summed(goes)(task, model) + soft + len(goes.users) * PENALTY / 2 * task.size

    trained = optimum(held(), summed(everything))
    wanted = optimum(trained, replaced)
    result = SCIF(damping=0.0)(trained, Ridge(held), split, Engine(progress=False))
    moved, missed = distance(trained, wanted), distance(result, wanted)
    assert moved > 0.1 and missed < 0.1 * moved


def test_the_label_of_others_is_their_share_and_even_where_nobody_is_left():
    clicks = Interactions.of(5, 3, [[0, 0], [1, 0], [2, 0], [3, 1]])
    batch = PairBatch(torch.tensor([4, 4]), torch.tensor([0, 2]), torch.tensor([[1, 2], [0, 1]]), clicks)
    torch.testing.assert_close(preferred(clicks, batch), torch.tensor([[4 / 6, 4 / 5], [0.5, 0.5]]))


# ---- scif and ifru: what they change -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [SCIF(iterations=5), IFRU(hops=0, iterations=5)])
def test_rows_of_what_goes_change_and_nothing_else(method):
    pairs = split_for("users").forget.pairs
    users, items = (column.unique().tolist() for column in pairs.T)
    changed = changed_rows(tiny.trained(), unlearned(method))
    assert changed.keys() == {"user_rows", "item_rows", "modal.image", "modal.text"}
    assert changed["user_rows"] == users and all(changed[name] == items for name in changed if name != "user_rows")


def test_rows_farther_away_are_kept_by_their_importance():
    whole, goes = tiny.parts().train, split_for("users").forget.pairs
    sizes = [sum(map(len, important(whole, goes, hops, keep))) for hops, keep in ((0, 1.0), (1, 0.8), (1, 1.0), (2, 1.0))]
    assert sizes == sorted(set(sizes)) and sizes[-1] <= whole.users + whole.items
    users, items = important(whole, goes, 1, 0.6)
    changed = changed_rows(tiny.trained("light-gcn"), unlearned(IFRU(iterations=5), network="light-gcn"))
    assert changed == {"user_rows": users.tolist(), "item_rows": items.tolist()}


def test_importance_is_the_published_share_of_what_goes():
    """Item 0 loses one of three pairs, item 1 one of one: (1/4, 1/2). A hop on, user 1 hears of item 0 alone."""
    clicks = Interactions.of(3, 2, [[0, 0], [0, 1], [1, 0], [2, 0]])
    users, items = important(clicks, torch.tensor([[0, 0], [0, 1]]), 1, 0.4)
    assert users.tolist() == [0] and items.tolist() == [0, 1]
    users, items = important(clicks, torch.tensor([[0, 0], [0, 1]]), 1, 1.0)
    assert users.tolist() == [0, 1, 2] and items.tolist() == [0, 1]


@pytest.mark.parametrize("method", [SCIF(), IFRU()])
def test_a_request_that_moves_nothing_changes_nothing(method):
    """Matrix factorisation reads no features: where those go, neither loss nor messages are others."""
    assert same_weights(unlearned(method, "features", "bpr-mf"), tiny.trained("bpr-mf"))
    assert not same_weights(unlearned(method, "features", "vbpr"), tiny.trained("vbpr"))


@pytest.mark.parametrize("made", [SCIF, IFRU])
def test_damping_shortens_the_step(made):
    def moved(damping):
        result = unlearned(made(damping=damping), network="light-gcn")
        return (result.user_rows - tiny.trained("light-gcn").user_rows).norm().item()

    assert 1e-3 > moved(1e6) > 0 and moved(10.0) < moved(1.0)


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
@pytest.mark.parametrize("method", [SCIF(), IFRU()])
def test_what_goes_is_ranked_lower_and_the_rest_is_not_destroyed(method, kind):
    task, split = tiny.task("light-gcn"), split_for(kind)
    result = unlearned(method, kind, "light-gcn")
    assert mean_margin(result, split.forget, "light-gcn") < mean_margin(tiny.trained("light-gcn"), split.forget, "light-gcn")
    kept = [task.evaluate(model, split.holdout)[task.score_name] for model in (tiny.trained("light-gcn"), result)]
    assert kept[1] > kept[0] - 0.05


def test_modules_of_the_users_own_are_changed_in_their_rows():
    task = RecommendationTask(Own)
    model = Engine(progress=False).new_model(Own)
    changed = changed_rows(model, IFRU(hops=0)(model, task, split_for("users"), Engine(progress=False)))
    assert changed.keys() == {"of_users.weight", "of_items.weight", "bias"} and changed["of_users.weight"] == [1, 6, 11]


@pytest.mark.parametrize(
    ("made", "settings", "message"),
    [
        (SCIF, {"negatives": 0}, "negatives must be at least 1, not 0"),
        (SCIF, {"iterations": 0}, "iterations must be at least 1, not 0"),
        (IFRU, {"damping": -0.1}, "damping must be 0 or more, not -0.1"),
        (IFRU, {"hops": -1}, "hops must be 0 or more, not -1"),
        (IFRU, {"keep": 0.0}, r"keep must lie in \(0, 1\], not 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(made, settings, message):
    with pytest.raises(BadSetting, match=f"^{made.name}: {message}$"):
        made(**settings)
