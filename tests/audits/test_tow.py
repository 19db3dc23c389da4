"""Tug of war: a product that can be worked out by hand."""

import pytest

from expunge.audits import References, ToW

LABELS = {"forget": [0, 0, 0, 0], "retain": [1, 1, 2, 2, 2], "holdout": [1, 2], "holdout_forget": [0, 0]}


def tow(subject, *golds) -> float:
    found = ToW()(subject, References(retrained=golds))
    assert found.keys() == {"tow"} and found["tow"].ideal == 1.0
    return found["tow"].value


def test_the_product_by_hand(stage):
    made = stage(LABELS)
    subject = made.answering({"forget": [0, 0, 1, 1], "retain": [1, 1, 2, 2, 2], "holdout": [1, 1]})  # 0.50, 1.0, 0.5
    gold = made.answering({"forget": [0, 1, 1, 1], "retain": [1, 1, 2, 1, 1], "holdout": [1, 2]})  # 0.25, 0.6, 1.0
    assert tow(subject, gold) == pytest.approx((1 - 0.25) * (1 - 0.4) * (1 - 0.5))
    assert tow(gold, subject) == pytest.approx(tow(subject, gold)), "the sign of a difference does not matter"


def test_it_is_1_when_accuracies_are_the_golds_though_the_answers_differ(stage):
    made = stage(LABELS)
    gold = made.answering({"forget": [0, 1, 1, 1], "holdout": [1, 1]})
    alike = made.answering({"forget": [2, 2, 2, 0], "holdout": [0, 2]})
    assert tow(gold, gold) == 1.0
    assert tow(alike, gold) == 1.0


def test_it_is_0_for_a_model_that_is_wrong_where_the_gold_is_right(stage):
    made = stage(LABELS)
    assert tow(made.answering({"retain": [0] * 5}), made.answering({})) == 0.0


def test_unseen_examples_of_the_forget_kind_do_not_enter(stage):
    made = stage(LABELS)
    assert tow(made.answering({"holdout_forget": [1, 1]}), made.answering({})) == 1.0


def test_the_first_retrained_model_is_what_it_is_held_against(stage):
    made = stage(LABELS)
    right, wrong = made.answering({}), made.answering({"forget": [1, 1, 1, 1]})
    assert tow(right, right, wrong) == 1.0 and tow(right, wrong, right) == 0.0


def test_a_split_without_holdout_multiplies_what_there_is(stage):
    made = stage({"forget": [0, 0], "retain": [1, 1]})
    assert tow(made.answering({"forget": [0, 1], "retain": [1, 0]}), made.answering({})) == pytest.approx(0.25)


def test_without_a_retrained_model_there_is_no_figure(stage):
    made = stage(LABELS)
    assert ToW()(made.answering({}), References(original=made.answering({}))) == {}
