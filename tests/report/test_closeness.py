"""Closeness to the retrained model: by hand, and at its ends."""

import math

import pytest

from expunge.report.closeness import closeness
from expunge.report.verdict import limits

GOLD = {"forget_accuracy": 0.10, "holdout_forget_accuracy": 0.12, "holdout_accuracy": 0.90, "membership_auc": 0.50}


def test_by_hand(make):
    """5 points are allowed on what goes, 1 on what stays, 0.02 of AUC: 10 points, 4 points and 0.02 off."""
    method = make.row("half", forget_accuracy=0.20, holdout_accuracy=0.86, membership_auc=0.52)
    assert closeness(method, make.case(method)) == pytest.approx((1 / 2 + 1 + 1 / 4 + 1) / 4)


def test_within_all_that_is_allowed_it_is_1_and_never_more(make):
    for metric in GOLD:
        edge = make.row("edge", **{metric: GOLD[metric] - limits(make.case())[metric]})
        assert closeness(edge, make.case(edge)) == 1
    gold = make.case().role("retrained")
    assert closeness(gold, make.case()) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_is_no_number_or_is_missing_counts_nothing(make, value):
    method = make.row("broken", membership_auc=value)
    assert closeness(method, make.case(method)) == pytest.approx(3 / 4)


def test_the_nearer_the_higher(make):
    found = [make.row(str(gap), forget_accuracy=0.10 + gap) for gap in (0.05, 0.06, 0.3, 0.9)]
    values = [closeness(row, make.case(*found)) for row in found]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4 and min(values) > 3 / 4


def test_without_a_retrained_model_nothing_is_judged(make):
    method = make.row("alone")
    assert closeness(method, make.case(method, gold=None)) is None
