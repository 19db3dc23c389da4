"""Full ranking against lists and metrics that are worked out by hand, and against the same in plain Python."""

import math

import pytest
import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.interactions.ranking import NOTHING, chosen, hits, metrics, top_items, top_scored

USERS, ITEMS = 13, 17


def drawn(share: float, seed: int = 0) -> Interactions:
    """Pairs drawn at random; user 0 chose nothing, and user 1 all but two items."""
    pairs = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)) < share
    pairs[0], pairs[1] = False, True
    pairs[1, [4, 11]] = False
    return Interactions.of(USERS, ITEMS, pairs.nonzero())


def scores_of(digits: int, seed: int = 0) -> Tensor:
    """Scores of both signs; few digits make many of them equal."""
    return torch.randn(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)).round(decimals=digits)


def by_hand(table: Tensor, known: Interactions, users: Tensor, k: int, offered: bool = True) -> list[list[int]]:
    """Each user's list, one item at a time."""
    lists = []
    for user in users.tolist():
        mine = {item for each, item in known.pairs.tolist() if each == user}
        closed = set(known.gone_items.tolist()) if offered else set()
        left = [item for item in range(known.items) if item not in mine | closed]
        ordered = sorted(left, key=lambda item: (-table[user, item].item(), item))[:k]
        lists.append(ordered + [NOTHING] * (k - len(ordered)))
    return lists


def ranked(table: Tensor, known: Interactions, users: Tensor, k: int, **settings) -> list[list[int]]:
    return top_items(lambda part: table[part], known, users, k, **settings).tolist()


# ---- lists --------------------------------------------------------------------------------------------------------------


def test_a_list_by_hand():
    known = Interactions.of(2, 5, [[0, 1], [1, 0], [1, 4]])
    table = torch.tensor([[0.1, 9.0, 0.3, -1.0, 0.3], [9.0, -2.0, 0.5, -1.0, 9.0]])
    assert ranked(table, known, torch.arange(2), 3) == [[2, 4, 0], [2, 3, 1]]
    assert ranked(table, known, torch.tensor([1, 0, 1]), 2) == [[2, 3], [2, 4], [2, 3]], "in the order of the users"
    items, best = top_scored(lambda part: table[part].clone(), known, torch.arange(2), 4)
    assert items.tolist() == [[2, 4, 0, 3], [2, 3, 1, NOTHING]]
    assert best.tolist() == [pytest.approx([0.3, 0.3, 0.1, -1.0]), [0.5, -1.0, -2.0, -math.inf]]


@pytest.mark.parametrize("digits", [0, 1, 6], ids=["many ties", "some ties", "no ties"])
@pytest.mark.parametrize("k", [1, 3, ITEMS - 1, ITEMS, ITEMS + 5])
@pytest.mark.parametrize("block", [1, 5 * ITEMS, 10**6])
def test_lists_are_those_of_plain_python(digits, k, block):
    known, table = drawn(0.2), scores_of(digits)
    users = torch.tensor([3, 0, 1, 12, 7, 3])
    assert ranked(table, known, users, k, block=block) == by_hand(table, known, users, k)


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("k", [2, ITEMS])
def test_gone_items_are_listed_only_when_asked_for(offered, k):
    known, table = drawn(0.3).without_items(torch.tensor([0, 5, 16])), scores_of(1, seed=1)
    users = torch.arange(USERS)
    found = ranked(table, known, users, k, offered=offered)
    assert found == by_hand(table, known, users, k, offered)
    assert any({0, 5, 16} & set(row) for row in found) != offered


@pytest.mark.parametrize("value", [0.0, -3.5, 2.0, 1e-40], ids=str)
def test_where_all_scores_are_equal_the_first_items_come_first(value):
    known, table = drawn(0.2), torch.full((USERS, ITEMS), value)
    assert ranked(table, known, torch.arange(USERS), 4) == by_hand(table, known, torch.arange(USERS), 4)


def test_a_tie_with_the_first_that_is_left_out_is_seen():
    """In every place: `topk` alone may take either."""
    nothing = Interactions.of(1, 400, torch.empty(0, 2, dtype=torch.long))
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        table = torch.zeros(1, 400)
        table[0, torch.randperm(400, generator=draw)[:30]] = 1.0
        wanted = table[0].nonzero().flatten()[:20].tolist()
        assert ranked(table, nothing, torch.arange(1), 20) == [wanted]


def test_zeros_of_both_signs_infinities_and_tiny_numbers_are_in_order():
    nothing = Interactions.of(1, 9, torch.empty(0, 2, dtype=torch.long))
    table = torch.tensor([[-0.0, 0.0, -1e-42, 1e-42, torch.inf, -1.0, torch.inf, 1.0, -torch.inf]])
    assert ranked(table, nothing, torch.arange(1), 9) == [[4, 6, 7, 3, 0, 1, 2, 5, NOTHING]]


def test_scores_of_other_kinds_of_numbers_are_ranked():
    known, table = drawn(0.2), scores_of(1)
    for kind in (torch.float64, torch.bfloat16):
        assert ranked(table.to(kind), known, torch.arange(USERS), 5) == by_hand(table.to(kind), known, torch.arange(USERS), 5)


def test_a_list_of_nothing_is_refused():
    with pytest.raises(BadSetting, match="k must be at least 1, not 0"):
        ranked(scores_of(1), drawn(0.2), torch.arange(2), 0)


def test_of_no_users_there_are_no_lists():
    assert top_items(lambda part: scores_of(1)[part], drawn(0.2), torch.empty(0, dtype=torch.long), 3).shape == (0, 3)


def test_pairs_of_some_users_with_their_places():
    known = Interactions.of(4, 5, [[0, 1], [0, 4], [2, 0], [3, 2], [3, 3]])
    row, item = chosen(known, torch.tensor([3, 1, 0, 3]))
    assert row.tolist() == [0, 0, 2, 2, 3, 3] and item.tolist() == [2, 3, 1, 4, 2, 3]


# ---- metrics ------------------------------------------------------------------------------------------------------------


def test_metrics_by_hand():
    #   user 0 should get 1, 4, 5 and gets 4, 2, 1: hits at places 1 and 3; user 2 should get 0, and gets 3, 0 and nothing more
    relevant = Interactions.of(3, 6, [[0, 1], [0, 4], [0, 5], [2, 0]])
    lists, users = torch.tensor([[4, 2, 1], [3, 0, NOTHING]]), torch.tensor([0, 2])
    assert hits(lists, users, relevant).tolist() == [[True, False, True], [False, True, False]]
    found = {name: value.tolist() for name, value in metrics(lists, users, relevant, 3).items()}
    log3 = math.log2(3)
    best = 1 + 1 / log3 + 1 / 2
    assert found == {
        "recall": pytest.approx([2 / 3, 1]),
        "precision": pytest.approx([2 / 3, 1 / 3]),
        "ndcg": pytest.approx([(1 + 1 / 2) / best, 1 / log3]),
        "map": pytest.approx([(1 + 2 / 3) / 3, 1 / 2]),
    }
    short = {name: value.tolist() for name, value in metrics(lists, users, relevant, 2).items()}
    assert short == {
        "recall": pytest.approx([1 / 3, 1]),
        "precision": pytest.approx([1 / 2, 1 / 2]),
        "ndcg": pytest.approx([1 / (1 + 1 / log3), 1 / log3]),
        "map": pytest.approx([1 / 2, 1 / 2]),
    }


def test_a_place_without_an_item_hits_nothing():
    """Its number, -1, would be the last item of the user before."""
    relevant = Interactions.of(2, 3, [[0, 2], [1, 0]])
    assert not hits(torch.tensor([[NOTHING]]), torch.tensor([1]), relevant).any()


@pytest.mark.parametrize("k", [1, 4, ITEMS + 3])
def test_metrics_are_those_of_plain_python(k):
    known, relevant = drawn(0.2), drawn(0.35, seed=3)
    users = relevant.activity.nonzero().flatten()
    lists = top_items(lambda part: scores_of(3)[part], known, users, k)
    found = metrics(lists, users, relevant, k)
    for place, user in enumerate(users.tolist()):
        wanted = {item for each, item in relevant.pairs.tolist() if each == user}
        hit = [item in wanted for item in lists[place].tolist()]
        most = min(len(wanted), k)
        expected = {
            "recall": sum(hit) / len(wanted),
            "precision": sum(hit) / k,
            "ndcg": sum(1 / math.log2(rank + 2) for rank in range(k) if hit[rank])
            / sum(1 / math.log2(rank + 2) for rank in range(most)),
            "map": sum(sum(hit[: rank + 1]) / (rank + 1) for rank in range(k) if hit[rank]) / most,
        }
        assert {name: value[place].item() for name, value in found.items()} == pytest.approx(expected)


def test_a_perfect_list_has_the_best_of_all_metrics():
    relevant = Interactions.of(1, 5, [[0, 1], [0, 3]])
    found = metrics(torch.tensor([[3, 1]]), torch.tensor([0]), relevant, 2)
    assert [value.item() for value in found.values()] == pytest.approx([1, 1, 1, 1])
