"""Splits of interactions: parts that share nothing, and for each kind of request what goes, what stays and how it is read."""

from functools import cache

import pytest
import torch

from expunge.data.interaction_splits import InteractionSplit, split_interactions
from expunge.errors import BadRequest, BadSetting
from expunge.interactions import Interactions, Removal
from expunge.split import stream_digest
from expunge.tasks import RecommendationTask
from tiny_interactions import clicks

KINDS = ("users", "items", "pairs", "features")
STREAMS = ("forget", "retain", "holdout", "holdout_forget", "validation_forget")


@cache
def parts() -> InteractionSplit:
    """A quarter held out for each part, so that pairs of all items are among them."""
    return split_interactions(clicks(), 0.25, 0.25, batch_size=256)


def removal(kind: str) -> Removal:
    """Three users, four items, thirty pairs, or the pictures of four items."""
    items = torch.tensor([0, 5, 10, 15])
    return {
        "users": Removal(users=torch.tensor([1, 6, 11])),
        "items": Removal(items=items),
        "features": Removal(features={"image": items}),
        "pairs": Removal(rows=torch.arange(30) * 7),
    }[kind]


def steps(*counts: int) -> Interactions:
    """User u chose the first counts[u] items."""
    return Interactions.of(len(counts), max(counts), [[user, item] for user, n in enumerate(counts) for item in range(n)])


def held(part: torch.Tensor, users: int) -> list[int]:
    return torch.bincount(part[:, 0], minlength=users).tolist()


def as_set(pairs: torch.Tensor) -> set[tuple[int, ...]]:
    found = set(map(tuple, pairs.tolist()))
    assert len(found) == len(pairs)
    return found


# ---- what is held out -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "validation", "test"),
    [
        ((0.1, 0.1), [0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 1, 2]),
        ((0.1, 0.3), [0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 3, 7]),
        ((0.05, 0.9), [0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 2, 8, 21]),  # one is left to train on
        ((0.95, 0.04), [0, 0, 0, 1, 2, 8, 22], [0, 0, 0, 1, 1, 1, 1]),
    ],
)
def test_how_many_pairs_of_each_user_are_held_out(shares, validation, test):
    counts = (0, 1, 2, 3, 4, 10, 24)
    split = split_interactions(steps(*counts), *shares)
    assert held(split.validation, 7) == validation and held(split.test, 7) == test
    left = [n - one - two for n, one, two in zip(counts, validation, test, strict=True)]
    assert split.train.activity.tolist() == left and all(n >= 1 for n, whole in zip(left, counts, strict=True) if whole)


def test_every_pair_is_in_one_part():
    for seed in range(5):
        whole, split = clicks(), split_interactions(clicks(), 0.15, 0.25, seed)
        sets = [as_set(part) for part in (split.train.pairs, split.validation, split.test)]
        assert sum(map(len, sets)) == len(whole) and set().union(*sets) == as_set(whole.pairs)
        assert split.train.features is whole.features and (split.train.users, split.train.items) == (whole.users, whole.items)
        assert split.train.whole is split.train  # the whole must not bring held-out pairs back
        keys = split.train.keys
        assert torch.equal(keys, keys.unique())  # sorted, each once
        assert torch.equal(torch.as_tensor(split.known), whole.keys)


def test_splits_are_drawn_by_their_seed_and_evenly():
    one, same, other = (split_interactions(clicks(), seed=seed) for seed in (3, 3, 4))
    for part in ("validation", "test"):
        assert torch.equal(getattr(one, part), getattr(same, part)) and not torch.equal(
            getattr(one, part), getattr(other, part)
        )
    state, counts = torch.get_rng_state(), torch.zeros(2, 10)
    for seed in range(400):
        split = split_interactions(steps(10, 10), seed=seed)
        counts[split.test[:, 0], split.test[:, 1]] += 1
    assert torch.equal(torch.get_rng_state(), state)
    assert ((counts - 40).abs() < 5 * (400 * 0.09) ** 0.5).all()


@pytest.mark.parametrize(
    ("interactions", "shares", "message"),
    [
        (steps(1, 2, 2), (0.1, 0.1), r"Interactions\(3 users, 2 items, 5 pairs\) has too few pairs to hold out 0\.1 and 0\.1"),
        (steps(9), (0, 0.1), "must be shares that leave something to train on, not 0 and 0.1"),
        (steps(9), (0.5, 0.5), "not 0.5 and 0.5"),
        (steps(9), (0.1, float("nan")), "not 0.1 and nan"),
    ],
)
def test_shares_that_leave_nothing_are_refused(interactions, shares, message):
    with pytest.raises(BadSetting, match=message):
        split_interactions(interactions, *shares)


def test_a_model_is_trained_on_all_training_pairs_and_on_nothing_where_nothing_is_asked_for():
    split = parts()
    stream = split.training()
    assert stream.interactions is split.train and stream.pairs is split.train.pairs and stream.batch_size == 256
    nothing = Interactions.of(split.train.users, split.train.items, [])
    assert split.training(nothing).examples == 0 and split.training(nothing).interactions is nothing


# ---- requests ---------------------------------------------------------------------------------------------------------------


def goes(kind: str, pairs: torch.Tensor) -> torch.Tensor:
    """Which pairs the small requests concern, worked out from what they name."""
    asked = removal(kind)
    if kind == "users":
        return torch.tensor([user in asked.users.tolist() for user in pairs[:, 0].tolist()])
    if kind in ("items", "features"):
        items = (asked.items if kind == "items" else asked.features["image"]).tolist()
        return torch.tensor([item in items for item in pairs[:, 1].tolist()])
    rows = as_set(parts().train.pairs[asked.rows])
    return torch.tensor([tuple(pair) in rows for pair in pairs.tolist()])


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_and_what_stays(kind):
    split, whole = parts().without(removal(kind)), parts().train
    gone = goes(kind, whole.pairs)
    assert as_set(split.forget.pairs) == as_set(whole.pairs[gone]) and 0 < gone.sum() < len(gone)
    left = split.retain.interactions
    stays = as_set(whole.pairs) if kind == "features" else as_set(whole.pairs[~gone])
    assert as_set(split.retain.pairs) == stays == as_set(left.pairs)
    assert all(getattr(split, part).interactions is left for part in STREAMS) and left.whole is whole
    assert split.kind == (kind in ("users", "items"))
    assert (split.retain.batch_size, split.forget.batch_size) == (256, 256)
    named = removal(kind)
    assert left.served.logical_not().nonzero().flatten().tolist() == named.users.tolist()
    assert left.offered.logical_not().nonzero().flatten().tolist() == named.items.tolist()


def test_features_go_with_items_or_alone():
    whole = parts().train
    items = removal("items").items
    left = parts().without(removal("items")).retain.interactions
    assert not any(values[items].any() for values in left.features.values()) and whole.features["image"][items].any(1).all()
    left = parts().without(removal("features")).retain.interactions
    assert not left.features["image"][items].any() and torch.equal(left.features["text"], whole.features["text"])
    others = torch.ones(whole.items, dtype=torch.bool)
    others[items] = False
    assert torch.equal(left.features["image"][others], whole.features["image"][others])
    assert left.offered.all() and left.served.all()


@pytest.mark.parametrize("kind", KINDS)
def test_unseen_pairs_like_those_that_go_are_told_apart(kind):
    asked, split = parts(), parts().without(removal(kind))
    if kind == "pairs":
        losers = asked.train.pairs[removal("pairs").rows, 0].tolist()

        def like(pairs: torch.Tensor) -> torch.Tensor:
            return torch.tensor([user in losers for user in pairs[:, 0].tolist()])
    else:

        def like(pairs: torch.Tensor) -> torch.Tensor:
            return goes(kind, pairs)

    assert as_set(split.holdout_forget.pairs) == as_set(asked.test[like(asked.test)])
    assert as_set(split.validation_forget.pairs) == as_set(asked.validation[like(asked.validation)])
    assert len(split.holdout_forget.pairs) and len(split.validation_forget.pairs)
    holdout = asked.test[~like(asked.test)] if kind in ("users", "items") else asked.test
    assert as_set(split.holdout.pairs) == as_set(holdout)


@pytest.mark.parametrize("kind", KINDS)
def test_no_pair_of_any_part_is_a_negative_where_models_are_judged(kind):
    split, asked = parts().without(removal(kind)), parts()
    known = set().union(*map(as_set, (asked.train.pairs, asked.validation, asked.test)))
    for part in STREAMS:
        (batch,) = list(getattr(split, part))
        drawn = {
            (user, item) for user, items in zip(batch.users.tolist(), batch.negatives.tolist(), strict=True) for item in items
        }
        assert drawn and not drawn & known
        assert torch.equal(batch.negatives, next(iter(getattr(split, part))).negatives)  # the same each time


def test_training_draws_negatives_without_looking_at_what_is_held_out():
    """Training must not know what is held out, not even by never drawing it."""
    split, asked = parts().without(removal("users")), parts()
    held_out = as_set(torch.cat([asked.validation, asked.test]))
    chosen = {"retain": as_set(split.retain.interactions.pairs), "forget": as_set(asked.train.pairs)}
    for name, known in chosen.items():
        drawn = set()
        for seed in range(30):
            for batch in getattr(split, name).epoch(torch.Generator().manual_seed(seed)):
                drawn |= set(zip(batch.users.tolist(), batch.negatives.flatten().tolist(), strict=True))
        assert drawn & held_out and not drawn & known


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_audited_on_the_interactions_before_the_request(kind):
    split = parts().without(removal(kind))
    before = RecommendationTask(lambda: torch.nn.Identity()).as_trained(split)
    for part in STREAMS:
        then, now = getattr(before, part), getattr(split, part)
        assert then.interactions is parts().train and torch.equal(then.pairs, now.pairs)
        assert torch.equal(next(iter(then)).negatives, next(iter(now)).negatives)  # all models are asked the same


def test_a_user_who_loses_all_pairs_one_by_one_is_still_served():
    whole = parts().train
    rows = (whole.pairs[:, 0] == 4).nonzero().flatten()
    split = parts().without(Removal(rows=rows))
    left = split.retain.interactions
    assert left.activity[4] == 0 and left.served[4] and as_set(split.forget.pairs) == as_set(whole.pairs[rows])
    assert not split.kind and (split.holdout_forget.pairs[:, 0] == 4).all() and len(split.holdout.pairs) == len(parts().test)


def test_requests_that_differ_are_told_apart():
    one, same, other = (parts().without(Removal(users=torch.tensor(users))) for users in ([1, 2], [1, 2], [1, 3]))
    for part in ("forget", "retain", "holdout"):
        digests = [stream_digest(getattr(split, part)) for split in (one, same, other)]
        assert digests[0] == digests[1] != digests[2]


def test_requests_that_cannot_be_served_are_refused():
    split = parts()
    with pytest.raises(BadRequest, match="nothing is named that is there"):
        split.without(Removal())
    for everything in (
        Removal(users=torch.arange(split.train.users)),
        Removal(items=torch.arange(split.train.items)),
        Removal(rows=torch.arange(len(split.train))),
    ):
        with pytest.raises(BadRequest, match=rf"none of the {len(split.train):,} pairs would stay"):
            split.without(everything)


def test_a_split_is_made_of_any_parts():
    train = steps(3, 2)
    split = InteractionSplit(train, torch.tensor([[1, 2]]), torch.tensor([[1, 2]]), batch_size=2)
    assert len(split.training()) == 3 and split.without(Removal(users=torch.tensor([0]))).holdout.examples == 1
