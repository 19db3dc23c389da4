"""Seconds, and their ratio to retraining."""

import pytest

from expunge.audits import Figure, References, RunTime

LABELS = {"forget": [0], "retain": [1]}


def test_the_ratio_is_to_the_first_retrained_model(stage):
    made = stage(LABELS)
    golds = made.answering({}, seconds=8.0), made.answering({}, seconds=1.0)
    found = RunTime()(made.answering({}, seconds=2.0), References(retrained=golds))
    assert found == {"seconds": Figure(2.0, 0.0), "seconds_ratio": Figure(0.25, 0.0)}
    assert RunTime()(golds[0], References(retrained=golds))["seconds_ratio"].value == 1.0


@pytest.mark.parametrize("gold_seconds", [None, 0.0])
def test_without_a_known_time_of_retraining_there_is_no_ratio(stage, gold_seconds):
    made = stage(LABELS)
    gold = made.answering({}, seconds=gold_seconds)
    assert RunTime()(made.answering({}, seconds=2.0), References(retrained=(gold,))).keys() == {"seconds"}
    assert RunTime()(made.answering({}, seconds=2.0)).keys() == {"seconds"}


def test_a_model_of_unknown_making_has_no_figures_but_no_time_at_all_is_one(stage):
    made = stage(LABELS)
    gold = made.answering({}, seconds=8.0)
    assert RunTime()(made.answering({}), References(retrained=(gold,))) == {}
    assert RunTime()(made.answering({}, seconds=0.0), References(retrained=(gold,)))["seconds_ratio"].value == 0.0
