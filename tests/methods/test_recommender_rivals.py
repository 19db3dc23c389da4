"""EdgeDrop, ResetRows and AmUn: what they leave alone and what they change."""

import copy

import pytest
import torch

import tiny_interactions as tiny
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.interactions import Interactions, Removal
from expunge.methods import AmUn, EdgeDrop, ResetRows, Retrain
from expunge.methods.amun import Flipped
from expunge.optimizers import Optimizer
from expunge.rows import nothing_left, reset, rows_of
from tiny import same_weights
from tiny_rivals import KINDS, Own, changed_rows, mean_margin, split_for, unlearned

# ---- edge-drop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_edge_drop_keeps_the_weights_and_answers_change_with_the_interactions(kind):
    task, split = tiny.task(), split_for(kind)
    result = unlearned(EdgeDrop(), kind)
    assert same_weights(result, tiny.trained()) and result is not tiny.trained()
    whole = task.as_trained(split)
    assert torch.equal(task.collect(result, whole.holdout), task.collect(tiny.trained(), whole.holdout))
    assert not torch.equal(task.collect(result, split.holdout), task.collect(tiny.trained(), whole.holdout))


# ---- reset-rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("users", {"user_rows": [1, 6, 11]}),
        ("items", {"item_rows": [0, 5, 10, 15], "modal.image": [0, 5, 10, 15], "modal.text": [0, 5, 10, 15]}),
        ("pairs", {}),
        ("features", {"modal.image": [0, 5, 10, 15]}),
    ],
)
def test_reset_rows_changes_the_rows_of_what_goes_alone(kind, expected):
    assert changed_rows(tiny.trained(), unlearned(ResetRows(), kind)) == expected


def test_reset_rows_are_fresh_ones_and_trained_features_zero():
    result = unlearned(ResetRows(), "items")
    engine = Engine(0, progress=False)
    with engine.scope("reset-rows"):
        fresh = engine.new_model(tiny.task().new_model, "fresh rows")
    rows = [0, 5, 10, 15]
    assert torch.equal(result.item_rows[rows], fresh.item_rows[rows])
    assert not result.modal["image"][rows].any() and result.modal["image"].any()
    assert not same_weights(unlearned(ResetRows(), "items", seed=1), result)


def test_who_loses_every_pair_is_reset_as_well():
    train = tiny.parts().train
    removal = Removal(rows=(train.pairs[:, 0] == 7).nonzero().flatten())
    split = tiny.parts().without(removal)
    result = ResetRows()(tiny.trained(), tiny.task(), split, Engine(progress=False))
    changed = changed_rows(tiny.trained(), result)
    assert changed["user_rows"] == [7] and 7 not in split.retain.interactions.gone_users
    left = split.retain.interactions
    assert changed.get("item_rows", []) == ((train.popularity > 0) & (left.popularity == 0)).nonzero().flatten().tolist()


def test_rows_of_a_module_of_the_users_own_are_found_by_their_number():
    left = split_for("users").retain.interactions
    model, fresh = Own(), Own()
    before = copy.deepcopy(model)
    assert changed_rows(before, reset(model, fresh, left)) == {"of_users.weight": [1, 6, 11]}
    left = split_for("items").retain.interactions
    changed = changed_rows(before, reset(copy.deepcopy(before), fresh, left))
    assert changed == {"of_items.weight": [0, 5, 10, 15], "bias": [0, 5, 10, 15]}


def test_rows_that_cannot_be_told_apart_must_be_named():
    square = Interactions.of(5, 5, [[0, 1], [1, 2], [2, 2]])
    left = square.without_users(torch.tensor([0]))
    with pytest.raises(BadSetting, match=r"those of single users: there are 5 users and as many items; .* `user_rows`"):
        reset(Own(5, 5), Own(5, 5), left)
    with pytest.raises(BadSetting, match=r"no parameter has 7 rows"):
        rows_of(Own(5, 6), Interactions.of(7, 6, [[0, 0]]))
    named, fresh = Own(5, 5), Own(5, 5)
    for each in (named, fresh):
        each.user_rows, each.item_rows = ["of_users.weight"], ["of_items.weight", "bias"]
    before = copy.deepcopy(named)
    gone = nothing_left(left)
    assert (gone.users.tolist(), gone.items.tolist()) == ([0], [1])  # nobody is left who chose item 1
    assert changed_rows(before, reset(named, fresh, left)) == {"of_users.weight": [0], "of_items.weight": [1], "bias": [1]}
    for wrong in (["of_nobody"], ["scale"], "of_users.weight"):
        named.user_rows = wrong
        with pytest.raises(BadSetting, match=r"Own.user_rows is .*; expected a list of names of parameters with one row"):
            reset(named, fresh, left)


# ---- amun ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
def test_amun_lowers_what_goes_and_more_so_the_heavier_it_weighs(kind):
    split = split_for(kind)
    settings = {"epochs": 10, "optimizer": Optimizer("adam", 1e-2)}
    found = [
        mean_margin(unlearned(AmUn(forget_weight=weight, **settings), kind, "light-gcn"), split.forget, "light-gcn")
        for weight in (0.0, 0.3, 0.9)
    ]
    assert found[0] > found[1] + 0.05 and found[1] > found[2]


def test_what_goes_stands_in_the_place_of_the_negative():
    train = tiny.parts().train
    several = (train.activity >= 3).nonzero().flatten()
    split = tiny.parts().without(Removal(users=several[:1], rows=train.starts[several[1:]]))
    left = split.forget.interactions
    stream = Flipped(left, split.forget.pairs, batch_size=7)
    batches = list(stream.epoch(torch.Generator().manual_seed(0)))
    users, partners, negatives = (torch.cat([batch[place] for batch in batches]) for place in range(3))
    pairs = torch.stack([users, negatives.flatten()], 1)
    assert len(batches) == len(stream) and torch.equal(
        left.key(pairs).sort().values, left.key(split.forget.pairs).sort().values
    )
    has = left.activity[users] > 0
    beside = torch.stack([users, partners], 1)
    assert left.has(beside[has]).all() and set(users[~has].tolist()) == {int(several[0])} and has.any()
    assert not torch.isin(left.key(beside), left.key(split.forget.pairs)).any()
    again = torch.cat([batch.items for batch in stream.epoch(torch.Generator().manual_seed(1))])
    assert not torch.equal(again, partners)


def test_amun_refuses_where_all_pairs_stay():
    with pytest.raises(BadRequest, match=r"^amun: features go and all pairs stay"):
        unlearned(AmUn(), "features")


def test_amun_follows_a_recipe():
    made = AmUn.from_recipe(Retrain(epochs=20, optimizer=Optimizer("adam", 0.1)), forget_weight=0.4)
    assert (made.epochs, made.optimizer.learning_rate, made.forget_weight) == (3, 0.1, 0.4)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_weights_of_amun_that_make_no_sense_are_refused(weight):
    with pytest.raises(BadSetting, match=f"^amun: forget_weight must lie between 0 and 1, not {weight}$"):
        AmUn(forget_weight=weight)
