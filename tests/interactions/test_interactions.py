"""Interactions, what is drawn from them, and streams of their pairs."""

import pytest
import torch

import tiny_interactions as tiny
from expunge.errors import BadRequest, BadSetting
from expunge.interactions import Interactions, PairBatches, Removal
from expunge.interactions.item_graph import neighbours_of
from expunge.interactions.negatives import negatives_of


def test_repeated_pairs_are_one_and_unknown_ones_are_refused():
    assert Interactions.of(2, 2, [[1, 1], [0, 0], [1, 1]]).pairs.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(BadSetting, match="names item 2, but there are 2"):
        Interactions.of(2, 2, [[0, 2]])
    with pytest.raises(BadSetting, match="one row for each of 2 items"):
        Interactions.of(2, 2, [[0, 0]], {"image": torch.zeros(3, 4)})


def test_users_and_items_that_go_take_their_pairs_and_features_along():
    clicks = tiny.parts().train
    left = clicks.without_users(torch.tensor([1])).without_items(torch.tensor([5]))
    assert not (left.pairs[:, 0] == 1).any() and not (left.pairs[:, 1] == 5).any()
    assert not left.features["image"][5].any() and clicks.features["image"][5].any()
    assert not left.item_graph("image", 10).dense()[5].any() and not left.item_graph("image", 10).dense()[:, 5].any()
    assert not left.offered[5] and not left.served[1]
    assert left.whole is clicks and left.digest != clicks.digest


def test_neighbours_are_those_of_the_whole_similarity_matrix():
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    features[7] = 0
    places, cosines = neighbours_of(features, 3)
    unit = torch.nn.functional.normalize(features)
    wanted = (unit @ unit.T).topk(3)
    rows = torch.arange(40) != 7
    assert torch.equal(places[rows, 0], wanted.indices[rows, 0]) and torch.allclose(
        cosines[rows], wanted.values[rows], atol=1e-6
    )
    assert not cosines[7].any() and not (places[rows] == 7).any()


@pytest.mark.parametrize("drawn", ["uniform", "popularity"])
def test_negatives_were_not_chosen_and_are_offered(drawn):
    clicks = tiny.parts().train.without_items(torch.tensor([2]))
    users = clicks.pairs[:, 0]
    found = negatives_of(clicks, users, 3, torch.Generator().manual_seed(0), drawn)
    assert not clicks.has(torch.stack([users.repeat_interleave(3), found.flatten()], 1)).any()
    assert not (found == 2).any()


def test_popular_items_are_drawn_more_often_by_popularity():
    clicks = Interactions.of(12, 3, [[user, 0] for user in range(9)] + [[9, 1], [10, 2], [11, 2]])
    asked = torch.full((4000,), 9)
    popular = negatives_of(clicks, asked, 1, torch.Generator().manual_seed(0), "popularity")
    assert abs((popular == 0).float().mean().item() - 9 / 11) < 0.03
    even = negatives_of(clicks, asked, 1, torch.Generator().manual_seed(0))
    assert abs((even == 0).float().mean().item() - 0.5) < 0.03


def test_audits_ask_every_model_the_same_and_leave_held_out_pairs_alone():
    parts = tiny.parts()
    split = parts.without(tiny.removal("items"))  # which are in the pool of the whole
    first, second = (next(iter(stream)) for stream in (split.forget, split.forget.on(parts.train)))
    assert torch.equal(first.negatives, second.negatives) and second.interactions is parts.train
    keys = first.users.unsqueeze(1) * parts.train.items + first.negatives
    assert not torch.isin(keys, parts.known).any()


def test_training_may_draw_held_out_pairs_for_nobody_knows_them():
    parts = tiny.parts()
    stream = PairBatches(parts.train, parts.train.pairs, None, parts.known, 10_000, negatives=20)
    batch = next(stream.epoch(torch.Generator().manual_seed(0)))
    keys = batch.users.unsqueeze(1) * parts.train.items + batch.negatives
    assert torch.isin(keys, parts.train.key(parts.test)).any()
    assert not torch.isin(keys, parts.train.keys).any()


def test_an_epoch_has_every_pair_once():
    stream = tiny.parts().training()
    seen = torch.cat([torch.stack([b.users, b.items], 1) for b in stream.epoch(torch.Generator().manual_seed(0))])
    assert torch.equal(seen[stream.interactions.key(seen).argsort()], stream.pairs) and not torch.equal(seen, stream.pairs)


def test_a_request_that_leaves_nothing_is_refused():
    clicks = tiny.parts().train
    with pytest.raises(BadRequest, match="would stay"):
        Removal(users=torch.arange(clicks.users)).left(clicks)
    with pytest.raises(BadRequest, match="nothing is named"):
        Removal().left(clicks)


def test_who_loses_all_pairs_is_still_served():
    clicks = tiny.parts().train
    left = Removal(rows=(clicks.pairs[:, 0] == 4).nonzero().flatten()).left(clicks)
    assert not left.activity[4] and left.served[4]
