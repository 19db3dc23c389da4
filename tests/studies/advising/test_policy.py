"""What advice tries, in which order, and when it stops: on candidates made by hand."""

import pytest

from expunge.methods import METHODS
from expunge.studies.advising.policy import Candidate, Tally, Tried, candidate, in_order, play
from expunge.studies.advising.table import MEASURED

FOUR = [Candidate("a", 0.1, 0.5), Candidate("b", 0.2, 0.5), Candidate("c", 0.3, 0.5), Candidate("d", 0.4, 0.5)]


def lookup(closeness, seconds=1.0, met=(), asked=None):
    """Tries that were thought out before; `asked` hears their names."""

    def try_one(name):
        if asked is not None:
            asked.append(name)
        return Tried(name, seconds, closeness.get(name, 0.0), name in met, "")

    return try_one


def names(played):
    return [each.name for each in played.tried]


def test_odds_and_cost_by_hand():
    """Here 3 of 4, elsewhere 1 of 2 at a quarter: (3 + 0.25 + 2 x 0.2) / (4 + 0.5 + 2); the cost is what it is here."""
    table = {"class": {"x": Tally(4, 3, 0.2)}, "nodes": {"x": Tally(2, 1, 0.8)}}
    here = candidate("x", "class", table, cost=9.0)
    assert here.cost == 0.2 and here.odds == pytest.approx(3.65 / 6.5)
    guessed = candidate("x", "class", table, cost=9.0, recommended=True)
    assert guessed.odds == pytest.approx(4.65 / 7.5)


def test_what_was_never_tried_here_goes_by_what_became_of_it_elsewhere():
    table = {"nodes": {"x": Tally(2, 2, 0.4)}, "links": {"x": Tally(0, 0, 0.2)}}
    found = candidate("x", "class", table, cost=9.0)
    assert found.cost == pytest.approx(0.3) and found.odds == pytest.approx((0.5 + 0.4) / (0.5 + 2))
    assert candidate("y", "class", table, cost=9.0) == Candidate("y", 9.0, 0.2), "of which nothing is known, the guess"


def test_what_promises_most_for_its_cost_comes_first():
    """A success is found at the least expected cost: 0.1 + 0.7 x 0.5 before 0.5 + 0.1 x 0.1, by 0.1 / 0.3 < 0.5 / 0.9."""
    slow, cheap = Candidate("slow", 0.5, 0.9), Candidate("cheap", 0.1, 0.3)

    def expected(first, second):
        return first.cost + (1 - first.odds) * second.cost

    assert in_order([slow, cheap]) == [cheap, slow] and expected(cheap, slow) < expected(slow, cheap)
    better = Candidate("cheap", 0.1, 0.03)
    assert in_order([slow, better]) == [slow, better] and expected(slow, better) < expected(better, slow)


def test_it_stops_at_what_was_wanted():
    asked = []
    played = play(FOUR, lookup({"b": 1.0}, met=("b",), asked=asked), cap=1.0)
    assert asked == ["a", "b"] and played.untried == ("c", "d") and played.nearest.name == "b"


def test_told_to_go_on_it_takes_the_fastest_that_meets_all():
    tries = {"a": (5.0, False, 1.0), "b": (3.0, True, 1.0), "c": (2.0, True, 1.0), "d": (1.0, False, 1.0)}
    played = play(FOUR, lambda name: Tried(name, tries[name][0], tries[name][2], tries[name][1], ""), cap=1.0, stop=False)
    assert names(played) == list("abcd") and played.nearest.name == "c"


@pytest.mark.parametrize(("cap", "tried"), [(0.05, "a"), (0.3, "ab"), (0.59, "ab"), (0.6, "abc"), (1.0, "abcd")])
def test_none_is_begun_beyond_the_share_of_trying_all(cap, tried):
    """Costs 0.1, 0.2, 0.3, 0.4 of 1; the first one is always tried."""
    played = play(FOUR, lookup({}), cap=cap)
    assert names(played) == list(tried) and len(played.tried) + len(played.untried) == 4


def test_what_took_longer_than_expected_counts_as_long_as_it_took():
    """Of 10 s of retraining the first was to take 1 s and took 5: 0.5 + 0.2 is more than 0.4 of 0.5 + 0.9."""
    slow = play(FOUR, lookup({}, seconds=5.0), cap=0.4, unit=10.0)
    assert names(slow) == ["a"]
    assert names(play(FOUR, lookup({}, seconds=1.0), cap=0.4, unit=10.0)) == ["a", "b"]


def test_what_the_budget_is_too_small_for_is_passed_over():
    """A unit is 10 s: a takes 1 s, so that b and its figures fit in what is left of 4 s, and c and d don't."""
    played = play(FOUR, lookup({"a": 0.5}, seconds=1.0), cap=1.0, seconds=4.0, unit=10.0, asking=0.5)
    assert names(played) == ["a", "b"] and played.untried == ("c", "d") and "budget" in played.end
    none = play(FOUR, lookup({}), cap=1.0, seconds=1.4, unit=10.0, asking=0.5)
    assert names(none) == [] and none.nearest is None


def test_what_is_passed_over_is_no_part_of_the_cost_of_trying_all():
    order = [Candidate("first", 0.3, 1.0), Candidate("dear", 0.5, 0.5), Candidate("last", 0.2, 0.1)]
    played = play(order, lookup({}, seconds=0.3), cap=0.9, seconds=0.6, unit=1.0)
    assert names(played) == ["first"] and "90 %" in played.end  # 0.3 + 0.2 is more than 0.9 of what can be tried, 0.5


def test_without_a_measure_of_retraining_it_follows_from_what_was_tried():
    """a took 1 s and was to take 0.1 of a retraining, so that b takes 2 s, and c and d more than the 2 s that are left then."""
    played = play(FOUR, lookup({}, seconds=1.0), cap=1.0, seconds=3.9)
    assert names(played) == ["a", "b"], "b was expected to take 2 s of the 2.9 that were left, and took 1"


def test_the_nearest_is_taken_where_none_meets_all():
    assert play(FOUR, lookup({"a": 0.5, "b": 0.9, "c": 0.7}), cap=1.0).nearest.name == "b"


def test_the_table_knows_methods_by_their_names():
    for kind, tallies in MEASURED.items():
        assert tallies.keys() <= METHODS.keys(), kind
        assert all(0 <= each.hits <= each.tries and each.cost >= 0 for each in tallies.values()), kind
