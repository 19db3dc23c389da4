"""Like with like: weights that give groups the same share on both sides, and areas that they are taken into."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from expunge.matching import group_weights, matched_auc, matching_weights


def groups(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def shares(of: torch.Tensor, weights: np.ndarray) -> dict[int, float]:
    """The share of the weight that each group has, groups without any left out."""
    found = {int(group): weights[of.numpy() == group].sum() / weights.sum() for group in of.unique()}
    return {group: pytest.approx(share) for group, share in found.items() if share}


def test_weights_by_hand():
    # Members: 3 of group 0, 1 of group 1. Others: 1 of group 0, 3 of group 1: shares 3/4 and 1/4 of a weight of 4.
    weights = group_weights(groups(0, 0, 0, 1), groups(0, 1, 1, 1))
    assert weights == pytest.approx([1, 1, 1, 1, 3, 1 / 3, 1 / 3, 1 / 3])


def test_sides_that_are_alike_weigh_nothing_anew():
    assert group_weights(groups(0, 1, 1, 7), groups(7, 1, 0, 1)).tolist() == [1.0] * 8


def test_a_group_without_another_side_has_no_weight_and_the_rest_still_matches():
    members, others = groups(0, 0, 1, 5, 5, 5), groups(0, 1, 1, 9)
    weights = group_weights(members, others)
    goes, unseen = weights[:6], weights[6:]
    assert goes.tolist() == [1, 1, 1, 0, 0, 0] and unseen[3] == 0
    assert shares(members, goes) == {0: 2 / 3, 1: 1 / 3}
    assert shares(others, unseen) == {0: 2 / 3, 1: 1 / 3}


@pytest.mark.parametrize("others", [(2, 3), ()])
def test_without_any_group_on_both_sides_nothing_weighs(others):
    weights = group_weights(groups(0, 1, 1), torch.tensor(others, dtype=torch.long))
    assert weights.tolist() == [0.0] * (3 + len(others))
    assert matched_auc(torch.ones(3), torch.zeros(len(others)), weights) == 0.5


def test_any_mix_is_matched():
    generator = torch.Generator().manual_seed(0)
    members, others = (torch.randint(6, (count,), generator=generator) for count in (50, 400))
    weights = group_weights(members, others)
    assert shares(members, weights[:50]) == shares_of_counts(members) == shares(others, weights[50:])
    assert weights[50:].mean() == pytest.approx(1.0)


def shares_of_counts(of: torch.Tensor) -> dict[int, float]:
    counts = of.bincount()
    return {group: float(count) / len(of) for group, count in enumerate(counts) if count}


def test_weights_of_one_side_have_mean_1_and_the_wanted_shares():
    weights = matching_weights(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1, 2]))
    assert weights.sum() == pytest.approx(5) and weights[4] == 0
    assert weights[2] / weights[[0, 1, 3]].sum() == pytest.approx(3)


# ---- areas --------------------------------------------------------------------------------------------------------------


def test_an_area_by_hand():
    # Pairs (member, other), each of weight 1: (2, 1) won, (2, 2) tied, (0, 1) and (0, 2) lost.
    assert matched_auc(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 2.0]), np.ones(4)) == pytest.approx(1.5 / 4)
    # The first other weighs 3, the second 1: of a weight of 8, 3 is won and 1 tied.
    assert matched_auc(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 2.0]), np.array([1, 1, 3.0, 1])) == pytest.approx(3.5 / 8)


@pytest.mark.parametrize(("members", "expected"), [([5.0, 6.0], 1.0), ([-5.0, -6.0], 0.0), ([0.0, 0.0], 0.5)])
def test_members_that_are_always_higher_always_lower_or_the_same(members, expected):
    assert matched_auc(torch.tensor(members), torch.zeros(3), np.ones(5)) == expected


def test_without_weights_it_is_the_plain_area_and_orders_alone_count():
    generator = torch.Generator().manual_seed(0)
    members, others = torch.randn(40, generator=generator) + 0.5, torch.randn(60, generator=generator)
    plain = roc_auc_score([1] * 40 + [0] * 60, torch.cat([members, others]).numpy())
    assert matched_auc(members, others, np.ones(100)) == pytest.approx(plain)
    assert matched_auc(members.exp(), others.exp(), np.ones(100)) == pytest.approx(plain)
    assert matched_auc(others, members, np.ones(100)) == pytest.approx(1 - plain)
    assert matched_auc(members, others, np.full(100, 7.0)) == pytest.approx(plain)


def test_what_weighs_nothing_has_no_say():
    members, others = torch.tensor([1.0, -99.0]), torch.tensor([0.0, 99.0])
    assert matched_auc(members, others, np.array([1.0, 0.0, 1.0, 0.0])) == 1.0


def test_a_mix_of_hard_and_easy_groups_is_not_taken_for_membership():
    """Values follow from the group alone; what goes is mostly easy, what was held out mostly hard."""
    goes, unseen = groups(*[1] * 90, *[0] * 10), groups(*[1] * 10, *[0] * 90)
    assert matched_auc(goes.float(), unseen.float(), np.ones(200)) == pytest.approx(0.9)
    assert matched_auc(goes.float(), unseen.float(), group_weights(goes, unseen)) == pytest.approx(0.5)
    learned = goes + 0.5  # by heart: each member above all others of its group
    assert matched_auc(learned, unseen.float(), group_weights(goes, unseen)) > 0.7


def test_a_loss_that_is_no_number_does_not_stop_the_audit():
    found = matched_auc(torch.tensor([float("nan"), 1.0]), torch.tensor([-1.0, -2.0]), np.ones(4))
    assert found == 1.0, "it counts as 0"
    assert matched_auc(torch.tensor([float("inf")]), torch.tensor([5.0]), np.ones(2)) == 1.0
