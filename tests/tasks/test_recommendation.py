"""Groups of pairs: how popular the item is, and how active the user."""

import pytest
import torch
from torch import nn

from expunge.interactions import Interactions, PairBatch
from expunge.tasks import RecommendationTask

TASK = RecommendationTask(lambda: nn.Embedding(2, 2))


def name_of(chosen: int, choices: int, itself: bool) -> str:
    """The group of user 0 with item 0, which `chosen` others chose, of one who chose `choices` others."""
    pairs = [*([user, 0] for user in range(1, 1 + chosen)), *([0, item] for item in range(1, 1 + choices))]
    pairs += [[0, 0]] * itself
    interactions = Interactions.of(200, 200, torch.tensor(pairs).view(-1, 2))
    one = torch.zeros(1, dtype=torch.long)
    batch = PairBatch(one, one, torch.zeros(1, 1, dtype=torch.long), interactions)
    return TASK.group_name(int(TASK.groups(batch)))


@pytest.mark.parametrize(
    ("chosen", "choices", "name"),
    [
        (0, 0, "item 0, user 0"),
        (1, 2, "item 1-2, user 1-2"),
        (3, 9, "item 3-9, user 3-9"),
        (10, 29, "item 10-29, user 10-29"),
        (30, 99, "item 30-99, user 30-99"),
        (100, 150, "item 100+, user 100+"),
        (5, 20, "item 3-9, user 10-29"),
    ],
)
@pytest.mark.parametrize("itself", [False, True])
def test_a_group_says_how_often_the_item_was_chosen_and_how_much_the_user_chose(chosen, choices, name, itself):
    assert name_of(chosen, choices, itself) == name


def test_every_group_has_a_name_of_its_own():
    names = [TASK.group_name(group) for group in range(36)]
    assert len(set(names)) == 36 and max(map(len, names)) <= 22
