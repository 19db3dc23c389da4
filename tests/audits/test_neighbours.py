"""What forgotten data pushed at others: by hand, counted way by way, and on lists written by hand."""

from fractions import Fraction

import pytest
import torch

from expunge.audits import Figure, NeighbourInfluence, References
from expunge.audits.neighbours import neighbours, pushed
from expunge.data.interaction_splits import InteractionSplit
from expunge.errors import BadSetting
from expunge.interactions import Interactions, Removal
from expunge.interactions.ranking import NOTHING

#   user 0 shares item 0 with user 1, who chose 1 and 2 besides, and with user 2, who chose 2 besides; user 3 stands alone
TRAIN = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (3, 4)]


def left_of(shop, removal: Removal) -> Interactions:
    return shop(4, 5, TRAIN, [], removal).split.retain.interactions


def ways(interactions: Interactions) -> dict[tuple[int, int], int]:
    """How many ways lead from each user over an item and another user, or the same, to each item, one by one."""
    chose = {user: [i for u, i in interactions.pairs.tolist() if u == user] for user in range(interactions.users)}
    found: dict[tuple[int, int], int] = {}
    for user, items in chose.items():
        for item in items:
            for others in chose.values():
                for last in others if item in others else ():
                    found[user, last] = found.get((user, last), 0) + 1
    return found


def expected(left: Interactions, user: int, k: int) -> list[int]:
    before, after = ways(left.whole), ways(left)
    closed = set(left.gone_items.tolist())
    mine = {item for u, item in left.whole.pairs.tolist() if u == user} | closed
    every = {item: before.get((user, item), 0) for item in range(left.items) if item not in closed}
    lost = {item: count - after.get((user, item), 0) for item, count in every.items()}
    share = Fraction(sum(lost.values()), sum(every.values()))
    weights = {item: lost[item] - share * every[item] for item in every if item not in mine}
    weights = {item: weight for item, weight in weights.items() if weight > 0}
    ordered = sorted(weights, key=lambda item: (-weights[item], item))[:k]
    return ordered + [NOTHING] * (k - len(ordered))


# ---- who, and what ------------------------------------------------------------------------------------------------------


def test_of_a_user_who_goes_those_are_asked_who_share_an_item(shop):
    left = left_of(shop, Removal(users=torch.tensor([1])))
    assert neighbours(left).tolist() == [0, 2]
    #   at 0 three ways of six are gone: of item 1 the only one, of item 2 one of two, no more than its share; at 2 five of
    #   eleven: of item 1 both
    assert pushed(left, torch.tensor([0, 2]), 3).tolist() == [[1, -1, -1], [1, -1, -1]]


def test_of_an_item_that_goes_those_are_asked_who_had_it(shop):
    left = left_of(shop, Removal(items=torch.tensor([0])))
    assert neighbours(left).tolist() == [1, 2], "user 0 has nothing left"
    #   at 2 half of the ways of item 1 are gone, and half of those of the user's own item 2: no more than its share
    assert pushed(left, torch.tensor([1, 2]), 2).tolist() == [[-1, -1], [-1, -1]]
    more = shop(4, 5, [*TRAIN, (2, 4)], [], Removal(items=torch.tensor([0]))).split.retain.interactions
    #   with item 4 nothing of its ways is gone, and item 1 has lost more than its share
    assert pushed(more, torch.tensor([2]), 2).tolist() == [[1, -1]]


def test_of_a_pair_that_goes_those_are_asked_who_chose_its_item(shop):
    left = left_of(shop, Removal(rows=torch.tensor([3])))  # user 1 and item 2
    assert neighbours(left).tolist() == [1, 2]
    assert pushed(left, torch.tensor([0, 2]), 2).tolist() == [[2, -1], [1, -1]]


def test_what_only_forgotten_data_says_comes_before_what_others_say_as_well(shop):
    """Ten of sixteen ways are gone, so two of two count 2 - 10/8, one of one 1 - 5/8, and two of three 2 - 15/8."""
    train = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 2), (3, 0), (3, 4)]
    removal = Removal(users=torch.tensor([1, 3]))
    left = shop(4, 5, train, [], removal).split.retain.interactions
    before, after = ways(left.whole), ways(left)
    assert [(before[0, item], after.get((0, item), 0)) for item in (2, 3, 4)] == [(3, 1), (2, 0), (1, 0)]
    assert pushed(left, torch.tensor([0]), 3).tolist() == [[3, 4, 2]], "6/8, 3/8 and 1/8"


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
def test_it_is_what_is_found_by_counting_way_by_way(kind):
    generator = torch.Generator().manual_seed(1)
    train = Interactions.of(12, 15, (torch.rand(12, 15, generator=generator) < 0.25).nonzero())
    removals = {
        "users": Removal(users=torch.tensor([2, 7])),
        "items": Removal(items=torch.tensor([1, 4, 9])),
        "pairs": Removal(rows=torch.arange(0, len(train), 6)),
    }
    nothing = train.pairs[:0]
    left = InteractionSplit(train, nothing, nothing).without(removals[kind]).retain.interactions
    users = neighbours(left)
    found = pushed(left, users, 4).tolist()
    assert len(users) > 5 and found == [expected(left, user, 4) for user in users.tolist()]
    assert sum(item != NOTHING for row in found for item in row) > 10


# ---- the figure ---------------------------------------------------------------------------------------------------------


def test_recall_of_what_was_pushed_by_hand(shop):
    made = shop(4, 5, TRAIN, [], Removal(users=torch.tensor([1])))
    #   both were pushed item 1; the lists of two are 1 3 and 3 4, those of the other model 2 1 and 1 3
    subject = made.subject([[0, 9, 1, 8, 2], [0] * 5, [0, 0, 0, 9, 8], [0] * 5])
    gold = made.subject([[0, 8, 9, 1, 2], [0] * 5, [0, 9, 0, 8, 1], [0] * 5])
    found = NeighbourInfluence(k=2)(subject, References(retrained=(gold,)))
    assert found == {"neighbour_recall": Figure(1 / 2, 1.0)}
    assert NeighbourInfluence(k=2)(subject) == {"neighbour_recall": Figure(1 / 2, None)}


def test_a_user_at_whom_nothing_was_pushed_is_not_asked(shop):
    made = shop(
        4, 5, TRAIN, [], Removal(rows=torch.tensor([3]))
    )  # user 1 and item 2: of the two, 1 and 2, 1 knows all there is
    assert NeighbourInfluence(k=1)(made.subject([[0, 1, 0, 0, 0]] * 4))["neighbour_recall"].value == 1.0


def test_where_nothing_was_pushed_at_anybody_there_is_no_figure(shop):
    alone = shop(4, 5, TRAIN, [], Removal(users=torch.tensor([3])))
    assert NeighbourInfluence()(alone.subject([[0] * 5] * 4)) == {}
    pictures = {"image": torch.eye(5)}
    features = shop(4, 5, TRAIN, [], Removal(features={"image": torch.tensor([0])}), pictures)
    assert NeighbourInfluence()(features.subject([[0] * 5] * 4)) == {}


def test_of_many_users_the_same_sample_is_asked_for_every_model(shop):
    train = [(user, item) for user in range(40) for item in (0, 1 + user % 9)]
    made = shop(40, 10, train, [], Removal(users=torch.tensor([0, 9])))
    generator = torch.Generator().manual_seed(0)
    subject, gold = (made.subject(torch.rand(40, 10, generator=generator)) for _ in range(2))
    some, every = NeighbourInfluence(k=3, users=5), NeighbourInfluence(k=3)
    assert some.recall(subject) == some.recall(made.subject(subject.model.table.detach()))
    assert every.recall(subject) != some.recall(subject)
    left = made.split.retain.interactions
    asked = neighbours(left)
    order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))[:5]
    items = pushed(left, asked[order], 3)
    lists = [set(range(10)) - {0, 1 + user % 9} for user in range(40)]
    assert len(asked) == 38 and (items != NOTHING).any()
    shares = []
    for user, wanted in zip(asked[order].tolist(), items.tolist(), strict=True):
        scores = gold.model.table[user].tolist()
        best = sorted(lists[user], key=lambda item: -scores[item])[:3]
        if known := [item for item in wanted if item != NOTHING]:
            shares.append(len(set(best) & set(known)) / len(known))
    assert some.recall(gold) == pytest.approx(sum(shares) / len(shares))


def test_a_sample_of_nobody_is_refused():
    with pytest.raises(BadSetting, match="users must be at least 1, not 0"):
        NeighbourInfluence(users=0)


def test_it_makes_no_difference_how_many_counts_are_worked_on_at_a_time(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    train = Interactions.of(30, 25, (torch.rand(30, 25, generator=generator) < 0.2).nonzero())
    nothing = train.pairs[:0]
    left = InteractionSplit(train, nothing, nothing).without(Removal(users=torch.tensor([3, 8]))).retain.interactions
    users = neighbours(left)
    at_once = pushed(left, users, 5)
    monkeypatch.setattr("expunge.audits.neighbours._BLOCK", 4 * 30)
    assert len(users) > 8 and torch.equal(pushed(left, users, 5), at_once) and (at_once != NOTHING).any()
