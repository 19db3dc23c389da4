"""Tug of war: a product that can be worked out by hand."""

import pytest

from expunge.audits import References, ToW
from expunge.data import Target

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


# ---- errors instead of accuracies ---------------------------------------------------------------------------------------

TARGETS = {"forget": [0.0, 0.0], "retain": [0.0, 0.0], "holdout": [0.0, 0.0], "holdout_forget": [0.0, 0.0]}


def test_of_errors_the_difference_is_a_share_of_the_golds(gauge):
    made = gauge(TARGETS)
    gold = made.predicting({"forget": [2.0, 2.0], "retain": [1.0, 1.0], "holdout": [4.0, 0.0]})  # errors 2, 1, 2
    subject = made.predicting({"forget": [3.0, -3.0], "retain": [0.75, 0.75], "holdout": [1.0, 1.0]})  # errors 3, 0.75, 1
    assert tow(subject, gold) == pytest.approx((1 - 1 / 2) * (1 - 0.25 / 1) * (1 - 1 / 2))
    assert tow(gold, subject) == pytest.approx((1 - 1 / 3) * (1 - 0.25 / 0.75) * 0.0)


def test_equal_errors_are_1_though_the_answers_differ(gauge):
    made = gauge(TARGETS)
    gold = made.predicting({part: [1.0, 3.0] for part in TARGETS})
    assert tow(gold, gold) == tow(made.predicting({part: [-2.0, 2.0] for part in TARGETS}), gold) == 1.0


@pytest.mark.parametrize("error", [2.0, 3.0, 1e6])
def test_twice_the_golds_error_and_more_is_0_and_two_of_them_do_not_make_a_positive_number(gauge, error):
    made = gauge(TARGETS)
    gold = made.predicting({part: [1.0, 1.0] for part in TARGETS})
    assert tow(made.predicting({part: [error, error] for part in ("forget", "retain")} | {"holdout": [1.0, 1.0]}), gold) == 0.0


def test_beside_a_gold_without_error_only_no_error_agrees(gauge):
    made = gauge(TARGETS)
    assert tow(made.predicting({}), made.predicting({})) == 1.0
    assert tow(made.predicting({"holdout": [0.0, 0.1]}), made.predicting({})) == 0.0


def test_the_unit_of_the_target_does_not_matter(gauge):
    found = set()
    for scale in (1.0, 1000.0):
        made = gauge(TARGETS, Target("price", mean=5.0, scale=scale))
        gold = made.predicting({part: [1.0, 1.0] for part in TARGETS})
        found.add(round(tow(made.predicting({part: [1.2, 1.2] for part in TARGETS}), gold), 5))
    assert found == {round(0.8**3, 5)}
