"""Paths of three steps: what they weigh, counted by hand, one by one, and from the whole matrix."""

import math

import pytest
import torch

import tiny_interactions as tiny
from expunge.interactions import Interactions
from expunge.interactions.paths import paths


def by_hand() -> Interactions:
    """Users 0, 1, 2 have 2, 2, 3 items; items 0, 1, 2, 3 have 2, 2, 2, 1 users."""
    return Interactions.of(3, 4, [[0, 0], [0, 1], [1, 0], [1, 2], [2, 1], [2, 2], [2, 3]])


def every_pair(clicks: Interactions) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(clicks.users), torch.arange(clicks.items))


def one_by_one(clicks: Interactions, user: int, item: int) -> float:
    """Each step from x to y weighs 1 / sqrt(degree of x * degree of y)."""
    known, total = clicks.pairs.tolist(), 0.0
    for middle in (i for u, i in known if u == user):
        for other in (u for u, i in known if i == middle and [u, item] in known):
            total += 1 / (clicks.popularity[middle].item() * clicks.activity[other].item())
    return total / math.sqrt(clicks.activity[user] * clicks.popularity[item]) if total else 0.0


@pytest.mark.parametrize(
    ("pair", "weight"),
    [
        ([0, 2], 1 / 8 + 1 / 12),  # over item 0 and user 1; over item 1 and user 2
        ([1, 1], 1 / 8 + 1 / 12),  # over item 0 and user 0; over item 2 and user 2
        ([0, 3], 1 / 2 / math.sqrt(6) / math.sqrt(3)),  # over item 1 and user 2
        ([2, 0], 2 * (1 / math.sqrt(6) / 4)),  # over item 1 and user 0; over item 2 and user 1
    ],
)
def test_paths_counted_by_hand(pair, weight):
    assert paths(by_hand(), torch.tensor([pair])).item() == pytest.approx(weight, rel=1e-6)


def test_they_are_the_third_power_of_the_operator():
    clicks = tiny.parts().train
    dense = torch.linalg.matrix_power(clicks.operator.dense().double(), 3)
    pairs = every_pair(clicks)
    found = paths(clicks, pairs)
    assert found.dtype == torch.float32 and found.shape == (len(pairs),) and (found > 0).float().mean() > 0.5
    torch.testing.assert_close(found.double(), dense[pairs[:, 0], clicks.users + pairs[:, 1]], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("block", [1, 139, 141, 7 * 140, 2**24])
def test_it_does_not_matter_how_many_are_worked_on_at_once(block):
    clicks = tiny.parts().train
    pairs = every_pair(clicks)
    mixed = pairs[torch.randint(len(pairs), (500,), generator=torch.Generator().manual_seed(0))]  # in no order, some repeated
    assert len(mixed.unique(dim=0)) < len(mixed)
    wanted = paths(clicks, pairs)[mixed[:, 0] * clicks.items + mixed[:, 1]]
    torch.testing.assert_close(paths(clicks, mixed, block), wanted, rtol=1e-6, atol=1e-8)


def test_no_path_weighs_nothing():
    apart = Interactions.of(4, 4, [[0, 0], [1, 0], [2, 1], [2, 2]])
    nowhere = torch.tensor([[0, 1], [1, 2], [2, 0], [3, 0], [0, 3], [3, 3]])  # user 3 and item 3 are in no pair
    assert paths(apart, nowhere).tolist() == [0.0] * 6
    assert paths(apart, torch.empty(0, 2, dtype=torch.long)).shape == (0,)
    nobody = Interactions.of(2, 2, [])
    assert paths(nobody, torch.tensor([[0, 1]])).tolist() == [0.0]


def test_what_the_rest_says_of_a_pair_that_has_gone():
    """It weighs only paths over others, and less than with the pair itself, which leads to and fro."""
    clicks = tiny.parts().train
    for row in (0, 57, 300):
        pair = clicks.pairs[row : row + 1]
        left = clicks.without(torch.tensor([row]))
        found = paths(left, pair).item()
        assert found == pytest.approx(one_by_one(left, *pair[0].tolist()), rel=1e-5)
        assert found < paths(clicks, pair).item()
    alone = Interactions.of(2, 2, [[0, 0], [1, 1]])
    assert paths(alone, alone.pairs).tolist() == [1.0, 1.0]
    assert paths(alone.without(torch.tensor([0])), alone.pairs).tolist() == [0.0, 1.0]
