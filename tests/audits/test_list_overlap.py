"""Likeness of lists to the retrained model's, and popularity of what is in them, by hand."""

import pytest
import torch

from expunge.audits import Figure, ListOverlap, References
from expunge.audits.list_overlap import overlap, percentiles, shared
from expunge.interactions import Removal

#   0 chosen by three users, 1 by two, 2 by one, 3 and 4 by nobody; the third user's pair goes with the user
TRAIN = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 2)]
GONE = Removal(users=torch.tensor([3]))


def test_overlap_is_what_both_lists_have_of_what_either_has():
    ours = torch.tensor([[3, 1, 2], [3, 1, 2], [3, 1, 2], [4, -1, -1], [-1, -1, -1], [-1, -1, -1]])
    theirs = torch.tensor([[2, 3, 1], [5, 1, 6], [7, 8, 9], [4, 5, -1], [0, 1, 2], [-1, -1, -1]])
    assert shared(ours, theirs).tolist() == [3, 1, 0, 1, 0, 0]
    assert overlap(ours, theirs).tolist() == pytest.approx([1, 1 / 5, 0, 1 / 2, 0, 1])


def test_popularity_is_the_place_among_all_that_is_offered():
    popularity, offered = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0]), torch.tensor([True] * 5)
    assert percentiles(popularity, offered).tolist() == pytest.approx([0.9, 0.7, 0.5, 0.2, 0.2])
    offered[0] = False
    assert percentiles(popularity, offered)[1:].tolist() == pytest.approx([3.5 / 4, 2.5 / 4, 1 / 4, 1 / 4])


def test_both_figures_by_hand(shop):
    made = shop(4, 5, TRAIN, [], GONE)
    #   without what they chose the lists are 1 2 | 2 3 | 2 3, and those of the other model 4 3 | 2 4 | 3 2
    subject = made.subject([[0, 9, 8, 2, 1], [0, 0, 9, 8, 1], [0, 0, 9, 8, 1], [0, 0, 0, 0, 9]])
    gold = made.subject([[0, 1, 2, 8, 9], [0, 0, 9, 1, 8], [0, 0, 8, 9, 1], [9, 0, 0, 0, 0]])
    found = ListOverlap(k=2)(subject, References(retrained=(gold,)))
    #   the place of 0 and 1 is 0.9 and 0.7, of 2, 3 and 4, whose pairs are gone or never were, (0 + 3) / 10
    assert found == {
        "list_overlap": Figure(pytest.approx((0 + 1 / 3 + 1) / 3), 1.0),
        "popularity_drift": Figure(pytest.approx((0.7 + 5 * 0.3) / 6), pytest.approx(0.3)),
    }
    assert ListOverlap(k=2)(gold, References(retrained=(gold,)))["list_overlap"] == Figure(1.0, 1.0)


def test_who_went_and_who_has_nothing_left_is_not_asked(shop):
    made = shop(4, 5, TRAIN, [], Removal(rows=torch.tensor([5]), users=torch.tensor([2])))
    same = [[0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    subject, gold = made.subject([*same, [9] * 5, [0, 1, 2, 3, 4]]), made.subject([*same, [0, 9, 9, 9, 9], [4, 3, 2, 1, 0]])
    assert ListOverlap(k=1)(subject, References(retrained=(gold,)))["list_overlap"].value == 1.0


def test_without_a_retrained_model_only_popularity_is_known(shop):
    made = shop(4, 5, TRAIN, [], GONE)
    found = ListOverlap(k=1)(made.subject([[0, 0, 0, 0, 1]] * 4))
    assert found == {"popularity_drift": Figure(pytest.approx(0.3), None)}


def test_a_model_that_lost_its_users_recommends_what_everybody_chose(shop):
    """With 1 the most popular of what user 0 did not choose."""
    made = shop(4, 5, TRAIN, [], GONE)
    popular = made.subject(made.split.retain.interactions.popularity.expand(4, 5))
    rare = made.subject(-made.split.retain.interactions.popularity.expand(4, 5))
    high, low = (ListOverlap(k=1)(each)["popularity_drift"].value for each in (popular, rare))
    assert high == pytest.approx((0.7 + 0.3 + 0.3) / 3) and low == pytest.approx(0.3)
