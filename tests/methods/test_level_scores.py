"""LevelScores: what it resets, to which level it brings the pairs that go, and what it leaves where it was."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import tiny_interactions as tiny
from contracts import World, leaves_the_model_alone, same_seed_same_weights
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.interactions import Interactions, Removal
from expunge.methods import LevelScores, level_scores
from expunge.methods.level_scores import (
    beside_strangers,
    distance,
    head_of_lists,
    never_seen_scores,
    of_those_who_stay,
    only_rows,
    scored,
    what_others_say,
)
from expunge.optimizers import Optimizer
from expunge.rows import reset
from expunge.split import Split
from expunge.tasks import RecommendationTask
from expunge.tasks.recommendation import margins
from tiny import same_weights
from tiny_rivals import Own, changed_rows, mean_margin, split_for, unlearned

METHOD = LevelScores(steps=40, keep=30.0, head=20, fresh=0.0, strangers=4, optimizer=Optimizer("adam", 1e-2))
NETWORKS = ("bpr-mf", "light-gcn", "freedom")  # rows alone, passed on to neighbours, and with edges left out in training


def rows_alone(model: nn.Module, task: RecommendationTask, split: Split) -> nn.Module:
    """The model, with fresh rows for all of whom nothing is left."""
    engine = Engine(0, progress=False)
    with engine.scope("level-scores"):
        return reset(copy.deepcopy(model), engine.new_model(task.new_model, "fresh rows"), split.retain.interactions)


def embedded(model: nn.Module, left: Interactions) -> level_scores.Embeddings:
    with torch.no_grad():
        return model.eval().embeddings(left)


def scores(model: nn.Module, pairs: torch.Tensor, left: Interactions) -> torch.Tensor:
    return scored(embedded(model, left), pairs)


def targets(network: str, split: Split) -> torch.Tensor:
    unseen = beside_strangers(split.validation_forget, 4, Engine(0, progress=False))
    return never_seen_scores(embedded(tiny.trained(network), split.retain.interactions), split.forget, unseen)


# ---- rows that are reset -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["users", "items", "features"])
def test_where_no_single_pair_goes_rows_are_reset_and_that_is_all(kind):
    wanted = rows_alone(tiny.trained(), tiny.task(), split_for(kind))
    assert same_weights(unlearned(METHOD, kind), wanted) and not same_weights(wanted, tiny.trained())
    asked = replace(split_for(kind), validation_forget=())  # nothing has to be learned from them
    assert same_weights(METHOD(tiny.trained(), tiny.task(), asked, Engine(0, progress=False)), wanted)


def test_without_steps_rows_are_reset_and_that_is_all():
    train = tiny.parts().train
    split = tiny.parts().without(Removal(rows=torch.cat([torch.tensor([3, 40]), (train.pairs[:, 0] == 7).nonzero().flatten()])))
    asked = replace(split, validation_forget=())
    result = replace(METHOD, steps=0)(tiny.trained(), tiny.task(), asked, Engine(0, progress=False))
    assert same_weights(result, rows_alone(tiny.trained(), tiny.task(), split))
    assert changed_rows(tiny.trained(), result)["user_rows"] == [7]


def mixed() -> tuple[Split, list[list[int]]]:
    """A user goes, an item, all pairs of another user, and single pairs; and the latter of those who stay."""
    train = tiny.parts().train
    every = (train.pairs[:, 0] == 7).nonzero().flatten()
    single = ((train.pairs[:, 0] > 10) & (train.pairs[:, 1] != 5)).nonzero().flatten()[::40]
    removal = Removal(users=torch.tensor([1]), items=torch.tensor([5]), rows=torch.cat([every, single]).unique())
    split = tiny.parts().without(removal)
    popular = split.retain.interactions.popularity
    return split, [pair for pair in train.pairs[single].tolist() if popular[pair[1]]]


def test_of_pairs_that_go_with_a_user_or_an_item_the_rows_are_all():
    split, still = mixed()
    assert len(split.forget.pairs) > len(still) > 5 and of_those_who_stay(split.forget).pairs.tolist() == still
    known = of_those_who_stay(split.validation_forget).pairs
    gone = torch.isin(split.validation_forget.pairs, torch.tensor([1, 7]))[:, 0] | (split.validation_forget.pairs[:, 1] == 5)
    assert known.tolist() == split.validation_forget.pairs[~gone].tolist() and gone.any() and not gone.all()


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_of_those_who_go_stay_fresh_while_others_are_levelled(network):
    split, _ = mixed()
    model, task = tiny.trained(network), tiny.task(network)
    result, wanted = METHOD(model, task, split, Engine(0, progress=False)), rows_alone(model, task, split)
    assert torch.equal(result.user_rows[[1, 7]], wanted.user_rows[[1, 7]])
    assert torch.equal(result.item_rows[5], wanted.item_rows[5]) and not torch.equal(result.item_rows, wanted.item_rows)


def test_no_head_holds_what_is_gone():
    split, _ = mixed()
    left = split.retain.interactions
    found = head_of_lists(tiny.trained(), tiny.task(), torch.arange(2, left.users), left, left.items)
    assert left.offered[found[:, 1]].all() and not left.whole.has(found).any() and len(found) > 100


# ---- the level of what was never seen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_no_target_is_above_the_score_and_a_pair_that_others_speak_for_keeps_more(network):
    split = split_for("pairs")
    pairs = split.forget.pairs
    found, now = targets(network, split), scores(tiny.trained(network), pairs, split.retain.interactions)
    assert (found <= now + 1e-5).all() and (found < now - 0.1).float().mean() > 0.3
    same = tiny.taste_of(pairs[:, 0]) == tiny.taste_of(pairs[:, 1])
    assert 5 < same.sum() < len(pairs) - 5 and found[same].mean() > found[~same].mean() + 0.3


@pytest.mark.parametrize("network", NETWORKS)
def test_pairs_that_score_below_what_was_never_seen_stay_where_they_are(network):
    """Pairs that nobody chose, taken for those that go: about half lie below what is expected of such as they are."""
    split = split_for("pairs")
    pairs = split.forget.pairs.clone()
    pairs[:, 1] = (pairs[:, 1] + 1) % tiny.ITEMS  # of another taste
    left = split.retain.interactions
    aside = replace(split, forget=replace(split.forget, pairs=pairs[~left.whole.has(pairs)]))
    found, now = targets(network, aside), scores(tiny.trained(network), aside.forget.pairs, left)
    at_rest = torch.isclose(found, now, atol=1e-5)
    assert 0.2 < at_rest.float().mean() < 0.8 and (found <= now + 1e-5).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_pairs_height_is_the_mean_of_the_margins_that_the_task_reads(network):
    split, task, model = split_for("pairs"), tiny.task(network), tiny.trained(network)
    drawn = split.forget.fixed(split.forget.avoid)
    wanted = task.collect(model, drawn, lambda outputs, _: margins(outputs).mean(1))
    found = level_scores.above(embedded(model, split.retain.interactions), split.forget)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_a_user_gives_to_all_items_alike_does_not_count():
    """It moves all scores of the user and no order: pairs fall by as much as without it."""
    split, plain = split_for("pairs"), tiny.trained("bpr-mf")
    alike = copy.deepcopy(plain)
    more = torch.randn(tiny.USERS, 1, generator=torch.Generator().manual_seed(0)) * 5
    alike.user_rows.data = torch.cat([plain.user_rows.data, more], 1)
    alike.item_rows.data = torch.cat([plain.item_rows.data, torch.ones(tiny.ITEMS, 1)], 1)
    falls = []
    for model in (plain, alike):
        unseen = beside_strangers(split.validation_forget, 4, Engine(0, progress=False))
        found = never_seen_scores(embedded(model, split.retain.interactions), split.forget, unseen)
        falls.append(found - scores(model, split.forget.pairs, split.retain.interactions))
    torch.testing.assert_close(falls[0], falls[1], rtol=0, atol=1e-2)
    assert (falls[0] < -0.1).any()


def test_others_speak_for_a_pair_when_it_is_gone():
    """Facts of a pair that goes are those of one that was never chosen: the pair itself adds to none of them."""
    clicks = Interactions.of(3, 4, [[0, 0], [0, 1], [1, 0], [1, 2], [2, 1], [2, 2], [2, 3], [0, 2]])
    forget = replace(tiny.parts().without(tiny.removal("pairs")).forget, pairs=torch.tensor([[0, 2]]))
    gone = replace(forget, interactions=clicks.without((clicks.keys == 2).nonzero().flatten()))
    assert what_others_say(gone).tolist() == [pytest.approx([1 / 8 + 1 / 12, 2, 2])]  # paths, users of item 2, items of user 0


@pytest.mark.parametrize("network", NETWORKS)
def test_pairs_that_go_fall_to_their_targets_and_others_stay(network):
    split = split_for("pairs")
    left, pairs = split.retain.interactions, split.forget.pairs
    model, result = tiny.trained(network), unlearned(METHOD, "pairs", network)
    wanted = targets(network, split)
    missed = [(scores(each, pairs, left) - wanted).square().mean() for each in (model, result)]
    margins = [mean_margin(each, split.forget, network) for each in (model, result)]
    assert missed[1] < 0.5 * missed[0] and margins[1] < margins[0] - 0.1

    head = head_of_lists(model, tiny.task(network), pairs[:, 0].unique(), left, 20)
    whole = torch.cartesian_prod(torch.arange(left.users), torch.arange(left.items))
    moved, *others = (
        (scores(result, part, left) - scores(model, part, left)).abs().mean() for part in (pairs, left.pairs, head, whole)
    )
    assert all(other < 0.3 * moved for other in others)


@pytest.mark.parametrize(("term", "parts"), [("retain", "left"), ("head", "head"), ("others", "whole")])
def test_each_term_holds_what_it_is_for(monkeypatch, term, parts):
    """The same fit with a term left out moves that part's scores farther."""
    split = split_for("pairs")
    left, pairs, model, task = split.retain.interactions, split.forget.pairs, tiny.trained("bpr-mf"), tiny.task("bpr-mf")
    head = head_of_lists(model, task, pairs[:, 0].unique(), left, METHOD.head)
    whole = torch.cartesian_prod(torch.arange(left.users), torch.arange(left.items))
    looked_at = {"left": left.pairs, "head": head, "whole": whole}[parts]
    fit, found = Engine.fit, []

    def without_term(engine, student, loss, *rest, **settings):
        def less(network, batch):
            return {name: value for name, value in loss(network, batch).items() if name != term}

        return fit(engine, student, less, *rest, **settings)

    for patched in (False, True):
        if patched:
            monkeypatch.setattr(Engine, "fit", without_term)
        result = unlearned(replace(METHOD, keep=3.0), "pairs", "bpr-mf")  # where no term does the work of the others
        found.append((scores(result, looked_at, left) - scores(model, looked_at, left)).square().mean().item())
    assert found[0] < 0.6 * found[1]


@pytest.mark.parametrize("network", NETWORKS)
def test_where_all_else_weighs_too_much_nothing_moves(network):
    split = split_for("pairs")
    left, pairs = split.retain.interactions, split.forget.pairs
    before = scores(tiny.trained(network), pairs, left)
    moved = [
        (scores(unlearned(replace(METHOD, keep=keep), "pairs", network), pairs, left) - before).abs().mean().item()
        for keep in (30.0, 1e6)
    ]
    assert moved[1] < 0.1 * moved[0]


def test_the_distance_is_that_between_all_scores():
    generator = torch.Generator().manual_seed(0)
    users, items, more_users, more_items = (torch.randn(size, 5, generator=generator) for size in (11, 17, 11, 17))
    now, before = (users, items), (more_users, more_items)
    dense = (users @ items.T - more_users @ more_items.T).square().sum()
    torch.testing.assert_close(distance(now, before), dense, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(distance(now, now), torch.tensor(0.0), rtol=0, atol=1e-2)


def test_the_head_of_a_list_is_the_best_that_a_user_has_not_chosen():
    split, model = split_for("pairs"), tiny.trained("bpr-mf")
    left, users = split.retain.interactions, split.forget.pairs[:, 0].unique()
    found = head_of_lists(model, tiny.task("bpr-mf"), users, left, 6)
    with torch.no_grad():
        table = model.user_rows @ model.item_rows.T
    table[tuple(left.whole.pairs.T)] = -torch.inf  # what goes is in no list: it is to fall
    wanted = torch.stack([users.repeat_interleave(6), table[users].topk(6).indices.flatten()], 1)
    assert torch.equal(found, wanted)
    all_there_are = head_of_lists(model, tiny.task("bpr-mf"), users, left, 1000)
    assert len(all_there_are) == (~left.whole.has(torch.cartesian_prod(users, torch.arange(left.items)))).sum()


# ---- pairs that no model has seen ------------------------------------------------------------------------------------------


def test_strangers_are_items_that_the_same_users_never_chose():
    split, engine = split_for("pairs"), Engine(0, progress=False)
    validation, whole = split.validation_forget, tiny.parts().train
    assert beside_strangers(validation, 0, engine) is validation
    found = beside_strangers(validation, 30, engine).pairs
    count = len(validation.pairs)
    assert len(found) == 31 * count and torch.equal(found[:count], validation.pairs)
    assert torch.equal(found[count:, 0], validation.pairs[:, 0].repeat_interleave(30))
    assert not whole.has(found).any(), "a pair that was trained on, or is to go, is no stranger"
    assert len(found[count:, 1].unique()) > tiny.ITEMS // 2


def test_a_seed_decides_which_strangers_and_nothing_else():
    results = [unlearned(METHOD, "pairs", "bpr-mf", seed) for seed in (0, 1)]
    assert not same_weights(*results)
    without = replace(METHOD, strangers=0)
    assert same_weights(*(unlearned(without, "pairs", "bpr-mf", seed) for seed in (0, 1)))


def test_no_test_pair_is_seen():
    parts = tiny.parts()
    both = [replace(parts, test=test).without(tiny.removal("pairs")) for test in (parts.test, parts.test[:1])]
    results = [METHOD(tiny.trained("bpr-mf"), tiny.task("bpr-mf"), split, Engine(0, progress=False)) for split in both]
    assert same_weights(*results)


# ---- what it leaves alone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", [leaves_the_model_alone, same_seed_same_weights], ids=lambda each: each.__name__)
def test_contracts_hold_where_single_pairs_go(contract):
    contract(METHOD, World(tiny.task, lambda: split_for("pairs"), lambda _: copy.deepcopy(tiny.trained()), tensors=False))


def test_rows_of_users_and_items_change_and_no_other_weight():
    model = copy.deepcopy(tiny.trained())
    held = next(name for name, _ in model.named_parameters() if name not in ("user_rows", "item_rows"))
    model.get_parameter(held).requires_grad_(False)
    result = METHOD(model, tiny.task(), split_for("pairs"), Engine(0, progress=False))
    assert changed_rows(model, result).keys() == {"user_rows", "item_rows"}
    learns = [{name: value.requires_grad for name, value in each.named_parameters()} for each in (model, result)]
    assert learns[0] == learns[1] and not learns[1][held] and sum(learns[1].values()) > 2


def test_what_was_to_be_trained_is_so_again_after_an_error():
    model, left = copy.deepcopy(tiny.trained()), split_for("pairs").retain.interactions
    model.modal["text"].requires_grad_(False)
    before = {name: value.requires_grad for name, value in model.named_parameters()}
    with pytest.raises(ZeroDivisionError), only_rows(model, left):
        assert {name for name, value in model.named_parameters() if value.requires_grad} == {"user_rows", "item_rows"}
        raise ZeroDivisionError
    assert {name: value.requires_grad for name, value in model.named_parameters()} == before


def test_a_fit_that_was_cut_off_goes_on_bit_for_bit(monkeypatch, tmp_path):
    wanted, steps = unlearned(METHOD, "pairs", "bpr-mf"), 0
    honest = level_scores.distance

    def counted(now, before, last):
        nonlocal steps
        steps += 1
        if steps == last:
            raise KeyboardInterrupt
        return honest(now, before)

    def again(last):
        monkeypatch.setattr(level_scores, "distance", lambda now, before: counted(now, before, last))
        engine = Engine(0, folder=tmp_path, checkpoint_steps=3, progress=False)
        return METHOD(tiny.trained("bpr-mf"), tiny.task("bpr-mf"), split_for("pairs"), engine)

    with pytest.raises(KeyboardInterrupt):
        again(last=20)
    assert same_weights(again(last=0), wanted) and steps == 20 + METHOD.steps - 18


# ---- rows that are blended with fresh ones ---------------------------------------------------------------------------------


def test_rows_of_users_move_to_fresh_ones_by_the_share_of_pairs_that_go():
    whole = Interactions.of(4, 4, [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [2, 2]])
    left = whole.without(torch.tensor([0, 1, 2, 4]))  # 3 of 4 of the first user, 1 of 2 of the second, none of the others
    model, fresh = Lone(1.0), Lone(0.0)
    level_scores.blend(model, fresh, left, 1.5)
    assert model.user_rows[:, 0].tolist() == pytest.approx([0.0, 0.25, 1.0, 1.0])
    assert (model.item_rows == 1).all(), "what others have learned of an item stays"
    again = Lone(1.0)
    level_scores.blend(again, fresh, left, 0.0)
    assert (again.user_rows == 1).all()


class Lone(nn.Module):
    """Rows of four users and four items, all alike."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.user_rows, self.item_rows = (nn.Parameter(torch.full((4, 2), value)) for _ in range(2))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_fresher_the_rows_the_less_is_left_of_pairs_that_go(network):
    split = split_for("pairs")
    level = [
        mean_margin(unlearned(replace(METHOD, fresh=fresh, steps=1), "pairs", network), split.forget) for fresh in (0, 1, 4)
    ]
    assert level[0] > level[1] > level[2]


def test_without_single_pairs_fresh_has_no_part_in_it():
    for kind in ("users", "items"):
        assert same_weights(*(unlearned(replace(METHOD, fresh=fresh), kind, "bpr-mf") for fresh in (0.0, 4.0)))


# ---- what it refuses -------------------------------------------------------------------------------------------------------


def test_without_pairs_to_learn_the_level_from_it_refuses():
    with pytest.raises(
        BadRequest, match=r"^level-scores: .* no validation pairs say how pairs that were never seen are scored"
    ):
        METHOD(tiny.trained(), tiny.task(), replace(split_for("pairs"), validation_forget=()), Engine(progress=False))


def test_a_module_without_embeddings_is_refused_where_single_pairs_go():
    task, model = RecommendationTask(Own), Engine(progress=False).new_model(Own)
    with pytest.raises(BadRequest, match=r"^level-scores: Own has no embeddings; take "):
        METHOD(model, task, split_for("pairs"), Engine(progress=False))
    result = METHOD(model, task, split_for("users"), Engine(progress=False))
    assert changed_rows(model, result) == {"of_users.weight": [1, 6, 11]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps must be 0 or more, not -1"),
        ({"keep": -0.5}, "keep must be 0 or more, not -0.5"),
        ({"strangers": -2}, "strangers must be 0 or more, not -2"),
        ({"fresh": -1.0}, "fresh must be 0 or more, not -1.0"),
        ({"head": 0}, "head must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^level-scores: {message}$"):
        LevelScores(**settings)
