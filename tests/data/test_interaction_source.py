"""Sources of interactions: names and published splits that must fit, and leaving out who has few pairs."""

import pytest
import torch

from expunge.data.interaction_source import InteractionSource, with_at_least
from expunge.errors import BadSetting
from expunge.interactions import Interactions

SMALL = Interactions.of(3, 4, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 3]], {"image": [[1.0], [2], [3], [4]]})


def published(**parts):
    made = {"validation": torch.tensor([[1, 2]]), "test": torch.tensor([[0, 3], [2, 0]]), **parts}
    return InteractionSource("small", SMALL, **made)


# ---- what must fit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InteractionSource("a", SMALL, users=("x", "y")), "a has 3 users, but 2 names of users; expected one for each"),
        (lambda: InteractionSource("a", SMALL, items=("x",) * 4), "a: two items have one name"),
        (lambda: published(test=None), "small: a published split has pairs to validate on and pairs to test on; one of them"),
        (lambda: published(validation=None), "one of them is missing"),
        (lambda: published(test=torch.tensor([[0, 4]])), "a pair names item 4, but there are 4"),
        (lambda: published(test=torch.tensor([[3, 0]])), "a pair names user 3, but there are 3"),
        (lambda: published(test=torch.tensor([0, 3])), r"the pairs for testing are torch.int64 of shape \(2,\)"),
        (lambda: published(validation=torch.zeros(0, 2).long()), r"the pairs for validation are torch.int64 of shape \(0, 2\)"),
        (lambda: published(test=torch.tensor([[0.0, 3.0]])), "the pairs for testing are torch.float32"),
        (lambda: published(test=torch.tensor([[0, 3], [0, 3]])), "small: 1 repeated pair for testing; expected each once"),
        (
            lambda: published(test=torch.tensor([[0, 3], [1, 1], [0, 0]])),
            "2 pairs both for testing and to train on; expected no pair in two",
        ),
        (lambda: published(validation=torch.tensor([[2, 0]])), "1 pair both for validation and to test on"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()


def test_a_published_split_is_used_and_else_one_is_drawn():
    source = published()
    split = source.split(seed=5, batch_size=3)
    assert split.train is SMALL and split.test is source.test and split.validation is source.validation
    assert len(split.training()) == 2
    drawn = [InteractionSource("small", SMALL).split(seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert all(len(split.train) == 4 and (len(split.validation), len(split.test)) == (1, 1) for split in drawn)
    assert torch.equal(drawn[0].test, drawn[1].test) and len({tuple(split.test[0].tolist()) for split in drawn}) > 1
    assert drawn[0].batch_size == 2048 and drawn[0].train.features["image"] is SMALL.features["image"]


# ---- who has few pairs ------------------------------------------------------------------------------------------------------


def core_by_hand(pairs, count):
    """The pairs that are left, found by taking away one user or item after the other."""
    pairs = set(pairs)
    while True:
        few = [
            (column, name)
            for column in (0, 1)
            for name in {pair[column] for pair in pairs}
            if sum(pair[column] == name for pair in pairs) < count
        ]
        if not few:
            return pairs
        column, name = few[0]
        pairs = {pair for pair in pairs if pair[column] != name}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_what_is_left_has_enough_pairs_and_is_as_much_as_can_be(count):
    drawn = torch.rand(30, 25, generator=torch.Generator().manual_seed(count)) < 0.05 * count
    whole = Interactions.of(30, 25, drawn.nonzero(), {"image": torch.arange(25.0).unsqueeze(1) + 1})
    source = InteractionSource("a", whole, tuple(f"u{n}" for n in range(30)), tuple(f"i{n}" for n in range(25)))
    left = with_at_least(source, count)
    found = left.interactions
    expected = core_by_hand(map(tuple, whole.pairs.tolist()), count)
    assert {(left.users[user], left.items[item]) for user, item in found.pairs.tolist()} == {
        (f"u{user}", f"i{item}") for user, item in expected
    }
    assert 0 < len(found) < len(whole) and min(found.activity.min(), found.popularity.min()) >= count
    assert [f"i{int(value) - 1}" for value in found.features["image"][:, 0]] == list(left.items)
    users, items, pairs = 30 - found.users, 25 - found.items, len(whole) - len(found)
    assert (
        left.note == f"{users} user{'s' * (users != 1)} and {items} item{'s' * (items != 1)} with fewer than {count} pairs "
        f"were left out, with {pairs} pairs."
    )


def test_held_out_pairs_count_and_go_too():
    left = with_at_least(published(), 2)
    # All pairs together: user 0 has 4, user 1 has 3, user 2 has 2; items 0 to 3 have 3, 2, 2, 2.
    assert left.interactions is SMALL and left.note == ""
    source = published(test=torch.tensor([[0, 3], [1, 3], [2, 0]]), validation=torch.tensor([[1, 2], [2, 1]]))
    left = with_at_least(source, 3)
    assert (left.interactions.users, left.interactions.items) == (3, 3) and left.items == ("0", "1", "3") and left.users == ()
    assert left.interactions.pairs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2]]
    assert left.validation.tolist() == [[2, 1]] and left.test.tolist() == [[0, 2], [1, 2], [2, 0]]
    assert left.interactions.features["image"].tolist() == [[1], [2], [4]]


def test_with_one_everybody_stays():
    source = InteractionSource("a", Interactions.of(3, 3, [[0, 0]]), note="Said.")
    assert with_at_least(source, 1) is source
    star = InteractionSource("a", Interactions.of(4, 2, [[0, 0], [1, 0], [0, 1], [1, 1]]), note="Said.")
    left = with_at_least(star, 2)
    assert left.interactions.users == 2 and left.users == ()
    assert left.note == "Said. 2 users and 0 items with fewer than 2 pairs were left out, with 0 pairs."


def test_counts_that_leave_nothing_are_refused():
    with pytest.raises(BadSetting, match="small: nothing is left where users and items have at least 9 pairs; ask for fewer"):
        with_at_least(InteractionSource("small", SMALL), 9)
    for count in (0, 2.5, True, None):
        with pytest.raises(BadSetting, match=f"minimum_count must be a whole number from 1, not {count}"):
            with_at_least(published(), count)
