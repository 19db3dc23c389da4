"""Accuracy on each part, and its gap to the retrained model, of tables written by hand."""

import pytest

from expunge.audits import Accuracy, Figure, References

LABELS = {"forget": [0, 0, 0, 0], "retain": [1, 1, 2, 2, 2], "holdout": [1, 2], "holdout_forget": [0, 0, 0, 0, 0]}


def test_scores_and_gaps_of_all_parts(stage):
    made = stage(LABELS)
    subject = made.answering({"forget": [0, 1, 1, 1], "retain": [1, 1, 2, 2, 1], "holdout": [1, 1], "holdout_forget": [1] * 5})
    gold = made.answering(
        {"forget": [0, 0, 2, 2], "retain": [1, 1, 2, 2, 2], "holdout": [1, 0], "holdout_forget": [0] + [1] * 4}
    )
    found = Accuracy()(subject, References(retrained=(gold,)))
    expected = {"forget": (0.25, 0.5), "retain": (0.8, 1.0), "holdout": (0.5, 0.5), "holdout_forget": (0.0, 0.2)}
    assert found.keys() == {f"{part}_accuracy{end}" for part in expected for end in ("", "_gap")}
    for part, (value, ideal) in expected.items():
        assert found[f"{part}_accuracy"].value == pytest.approx(value)
        assert found[f"{part}_accuracy"].ideal == pytest.approx(ideal)
        assert found[f"{part}_accuracy_gap"].value == pytest.approx(value - ideal)
        assert found[f"{part}_accuracy_gap"].ideal == 0.0


def test_a_batch_that_is_smaller_does_not_weigh_more(stage):
    """Five examples in batches of 4 and 1: a mean of the batches' means would be 0.5, not 0.2 (or 0.8)."""
    made = stage({"forget": [0] * 5, "retain": [1]})
    assert Accuracy()(made.answering({"forget": [1, 1, 1, 1, 0]}))["forget_accuracy"] == Figure(pytest.approx(0.2), None)
    assert Accuracy()(made.answering({"forget": [0, 0, 0, 0, 1]}))["forget_accuracy"] == Figure(pytest.approx(0.8), None)


def test_without_a_retrained_model_there_are_no_ideals_and_no_gaps(stage):
    made = stage(LABELS)
    found = Accuracy()(made.answering({}), References(original=made.answering({"forget": [1] * 4})))
    assert found.keys() == {f"{part}_accuracy" for part in LABELS}
    assert all(figure == Figure(1.0, None) for figure in found.values())


def test_the_gold_stands_at_gap_0_and_the_first_of_several_is_the_gold(stage):
    made = stage(LABELS)
    gold, second = made.answering({"forget": [1, 1, 1, 0]}), made.answering({})
    found = Accuracy()(gold, References(retrained=(gold, second)))
    assert all(found[f"{part}_accuracy_gap"].value == 0.0 for part in LABELS)
    assert Accuracy()(second, References(retrained=(gold, second)))["forget_accuracy_gap"].value == pytest.approx(0.75)


def test_parts_that_the_split_lacks_have_no_figure(stage):
    made = stage({"forget": [0], "retain": [1]})
    gold = made.answering({})
    found = Accuracy()(gold, References(retrained=(gold,)))
    assert found.keys() == {"forget_accuracy", "forget_accuracy_gap", "retain_accuracy", "retain_accuracy_gap"}
