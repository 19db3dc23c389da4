"""Mean absolute errors of predictions written by hand, and their gaps to the retrained model."""

import pytest
import torch
from torch import nn

from expunge.audits import Accuracy, Error, Figure, References, Subject
from expunge.data import Target
from expunge.errors import WrongTask
from expunge.tasks import RegressionTask

TARGETS = {"forget": [0.0, 1.0, 2.0], "retain": [1.0, -1.0], "holdout": [0.0, 3.0], "holdout_forget": [2.0, 2.0]}
PRICE = Target("price", mean=200.0, scale=50.0, unit="USD")


def test_errors_and_gaps_of_all_parts_in_the_targets_unit(gauge):
    made = gauge(TARGETS, PRICE)
    subject = made.predicting({"forget": [1.0, 0.0, 3.0], "retain": [1.0, -1.5], "holdout_forget": [2.0, 0.0]})
    gold = made.predicting({"forget": [2.0, 1.0, 2.0], "holdout": [0.0, 2.0], "holdout_forget": [3.0, 1.0]})
    found = Error()(subject, References(retrained=(gold,)))
    #   |error| in stored units:  subject 1 1 1 | 0 .5 | 0 0 | 0 2,   gold 2 0 0 | 0 0 | 0 1 | 1 1;   one is 50 USD
    expected = {"forget": (50.0, 100 / 3), "retain": (12.5, 0.0), "holdout": (0.0, 25.0), "holdout_forget": (50.0, 50.0)}
    assert found.keys() == Error.figures.keys() == {f"{part}_mae{end}" for part in expected for end in ("", "_gap")}
    for part, (value, ideal) in expected.items():
        assert found[f"{part}_mae"].value == pytest.approx(value)
        assert found[f"{part}_mae"].ideal == pytest.approx(ideal)
        assert found[f"{part}_mae_gap"].value == pytest.approx(value - ideal, abs=1e-5)
        assert found[f"{part}_mae_gap"].ideal == 0.0


def test_errors_to_both_sides_do_not_cancel(gauge):
    made = gauge({"forget": [0.0, 0.0], "retain": [0.0]})
    assert Error()(made.predicting({"forget": [1.0, -1.0]}))["forget_mae"] == Figure(1.0, None)


def test_the_error_does_not_depend_on_how_targets_are_stored(gauge):
    """The same prices and predictions in USD, stored under two scalings."""
    prices, answers = torch.tensor([100.0, 250.0, 400.0]), torch.tensor([120.0, 240.0, 340.0])
    for target in (Target("price"), Target("price", mean=250.0, scale=125.0), Target("price", mean=-7.0, scale=0.5)):
        stored, said = ([target.scaled(value) for value in values.tolist()] for values in (prices, answers))
        made = gauge({"forget": stored, "retain": [0.0]}, target)
        assert Error()(made.predicting({"forget": said}))["forget_mae"].value == pytest.approx(30.0, rel=1e-4)


def test_the_error_of_a_vector_is_the_mean_over_its_numbers(gauge):
    made = gauge({"forget": [[0.0, 0.0], [1.0, 1.0]], "retain": [[0.0, 0.0]]})
    assert Error()(made.predicting({"forget": [[1.0, -3.0], [1.0, 1.0]]}))["forget_mae"].value == pytest.approx(1.0)


def test_of_quantiles_the_one_nearest_to_the_median_is_the_answer(gauge):
    made = gauge({"forget": [0.0, 0.0], "retain": [0.0]})
    task = RegressionTask(lambda: nn.Identity(), "pinball", quantiles=(0.1, 0.4, 0.9))
    model = nn.Embedding.from_pretrained(torch.tensor([[-9.0, 1.0, 9.0], [-9.0, -2.0, 9.0], [0.0, 0.0, 0.0]]))
    found = Error()(Subject("quantiles", model, task, made.split, made.engine))
    assert found["forget_mae"].value == pytest.approx(1.5) and found["retain_mae"].value == 0.0


def test_a_batch_that_is_smaller_does_not_weigh_more(gauge):
    """Five examples in batches of 4 and 1: a mean of the batches' means would be 0.5, not 0.2."""
    made = gauge({"forget": [0.0] * 5, "retain": [0.0]})
    assert Error()(made.predicting({"forget": [0.0] * 4 + [1.0]}))["forget_mae"].value == pytest.approx(0.2)


def test_without_a_retrained_model_there_are_no_ideals_and_no_gaps(gauge):
    made = gauge(TARGETS)
    found = Error()(made.predicting({}), References(original=made.predicting({"forget": [9.0] * 3})))
    assert found == {f"{part}_mae": Figure(0.0, None) for part in TARGETS}


def test_the_gold_stands_at_gap_0_and_the_first_of_several_is_the_gold(gauge):
    made = gauge(TARGETS)
    gold, second = made.predicting({"forget": [3.0, 1.0, 2.0]}), made.predicting({})
    found = Error()(gold, References(retrained=(gold, second)))
    assert all(found[f"{part}_mae_gap"].value == 0.0 for part in TARGETS)
    assert Error()(second, References(retrained=(gold, second)))["forget_mae_gap"].value == pytest.approx(-1.0)


def test_parts_that_the_split_lacks_have_no_figure(gauge):
    made = gauge({"forget": [0.0], "retain": [1.0]})
    gold = made.predicting({})
    found = Error()(gold, References(retrained=(gold,)))
    assert found.keys() == {"forget_mae", "forget_mae_gap", "retain_mae", "retain_mae_gap"}


def test_accuracy_says_nothing_of_regression(gauge):
    gold = gauge(TARGETS).predicting({})
    assert Accuracy()(gold, References(retrained=(gold,))) == {}


def test_classification_has_no_error(stage):
    with pytest.raises(WrongTask, match=r"^the audit error works on RegressionTask, not on ClassificationTask$"):
        Error()(stage({"forget": [0], "retain": [1]}).answering({}))
