"""Distances to the retrained model, of probabilities written by hand."""

import math

import pytest
import torch

from expunge.audits import Distance, References

LABELS = {"forget": [0, 1], "retain": [0], "holdout": [1], "holdout_forget": [0]}


def speaking(made, *probabilities):
    """Two classes; the probability of class 1 for the examples of forget, retain, holdout and holdout_forget."""
    return made.subject(torch.tensor([[1 - p, p] for p in probabilities]).log())


def test_both_distances_by_hand_on_forget_and_holdout(stage):
    made = stage(LABELS, classes=2)
    gold, subject = speaking(made, 0.5, 0.9, 0.1, 0.25, 0.1), speaking(made, 0.75, 0.9, 0.6, 0.5, 0.6)
    found = Distance()(subject, References(retrained=(gold,)))
    from_gold = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)  # KL(gold || subject), not the reverse
    assert found.keys() == set(Distance.figures)
    assert found["forget_kl"].value == pytest.approx((from_gold + 0.0) / 2, rel=1e-5)
    assert found["forget_activation_distance"].value == pytest.approx((0.25 * math.sqrt(2) + 0.0) / 2, rel=1e-5)
    assert found["holdout_kl"].value == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-5)
    assert found["holdout_activation_distance"].value == pytest.approx(0.25 * math.sqrt(2), rel=1e-5)
    assert all(figure.ideal == 0.0 for figure in found.values())


def test_the_gold_is_at_distance_0_from_itself_and_a_second_one_is_not(stage):
    made = stage(LABELS, classes=2)
    gold, second = speaking(made, 0.5, 0.9, 0.1, 0.25, 0.1), speaking(made, 0.4, 0.8, 0.1, 0.3, 0.1)
    references = References(retrained=(gold, second))
    assert [figure.value for figure in Distance()(gold, references).values()] == pytest.approx([0.0] * 4, abs=1e-7)
    assert all(figure.value > 1e-3 for figure in Distance()(second, references).values())


def test_without_a_retrained_model_there_are_no_figures(stage):
    made = stage(LABELS, classes=2)
    subject = speaking(made, 0.5, 0.9, 0.1, 0.25, 0.1)
    assert Distance()(subject, References(original=subject)) == {}


def test_a_split_without_holdout_has_the_forget_figures_alone(stage):
    made = stage({"forget": [0, 1], "retain": [0]}, classes=2)
    gold = speaking(made, 0.5, 0.9, 0.1)
    assert Distance()(gold, References(retrained=(gold,))).keys() == {"forget_kl", "forget_activation_distance"}
