import math

import pytest

from expunge.report.verdict import (
    best,
    can_tell,
    cautions,
    failures,
    limits,
    matching,
    outcome,
    state,
    verdict,
)

GOLD = {"forget_accuracy": 0.10, "holdout_forget_accuracy": 0.12, "holdout_accuracy": 0.90, "membership_auc": 0.50}


def missed(case, method):
    return [failure.metric for failure in failures(method, case)]


@pytest.mark.parametrize("metric", GOLD)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_distance_of_exactly_the_tolerance_passes_and_a_hair_more_fails(make, metric, sign):
    tolerance = limits(make.case())[metric]
    at_the_edge = make.row("edge", **{metric: GOLD[metric] + sign * tolerance})
    beyond = make.row("beyond", **{metric: GOLD[metric] + sign * (tolerance + 1e-6)})
    case = make.case(at_the_edge, beyond)
    assert missed(case, at_the_edge) == []
    assert missed(case, beyond) == [metric]


def test_every_tolerance_has_words_and_a_meaning_on_both_sides(make):
    for metric, ideal in GOLD.items():
        high, low = make.row("high", **{metric: ideal + 0.08}), make.row("low", **{metric: ideal - 0.08})
        case = make.case(high, low)
        (above,), (below,) = failures(high, case), failures(low, case)
        assert above.words == below.words != ""
        assert above.meaning and below.meaning and above.meaning != below.meaning
    assert set(GOLD) == set(limits(case))


def test_what_is_not_judged_does_not_fail(make):
    method = make.row("odd", retain_accuracy=0.2, forget_kl=99.0)
    assert failures(method, make.case(method)) == ()


def test_a_figure_that_is_not_a_number_is_a_miss_not_a_pass(make):
    method = make.row("broken", membership_auc=math.nan)
    case = make.case(method)
    assert missed(case, method) == ["membership_auc"]
    assert "not a number" in verdict(case)


def test_a_missing_figure_is_not_a_pass(make):
    method = make.row("half", membership_auc=None)
    case = make.case(method)
    assert failures(method, case) is None
    assert state(method, case) == outcome(case) == "not proven"
    assert verdict(case) == "Nothing is proven: half lacks membership_auc."


def test_a_missing_figure_does_not_hide_a_miss(make):
    method = make.row("half", membership_auc=None, forget_accuracy=0.9)
    assert missed(make.case(method), method) == ["forget_accuracy"]


def test_a_figure_that_the_retrained_model_lacks_is_not_judged(make):
    case = make.case(make.row("fine", membership_auc=0.9))
    gold = make.row("retrained", "retrained", membership_auc=None)
    case = type(case)(case.title, case.forgotten, (case.rows[0], gold, case.methods[0]))
    assert "membership_auc" not in limits(case)
    assert state(case.methods[0], case) == "matches"


def test_one_method_that_passes(make):
    case = make.case(make.row("scrub", seconds_ratio=0.08))
    assert verdict(case) == (
        "After scrub these checks cannot tell the model from a retrained one; it was 12 times as fast as retraining."
    )
    assert outcome(case) == "matches"


def test_one_method_that_fails_says_where(make):
    case = make.case(make.row("finetune", forget_accuracy=0.62, membership_auc=0.58, seconds_ratio=0.5))
    assert verdict(case) == (
        "finetune differs from retraining: accuracy on the forgotten data is 62.0 %, retrained 10.0 %; "
        "the membership attack's AUC is 0.580, retrained 0.500. It was 2.0 times as fast as retraining."
    )
    assert outcome(case) == "differs"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(1.0, "took as long as retraining"), (1.5, "took 1.5 times as long as retraining"), (None, None), (0.0, None)],
)
def test_no_speed_is_claimed_that_is_none(make, ratio, words):
    sentence = verdict(make.case(make.row("scrub", seconds_ratio=ratio)))
    assert "fast" not in sentence
    assert words is None or words in sentence


def test_without_a_retrained_model_nothing_is_proven(make):
    method = make.row("scrub")
    case = make.case(method, gold=False)
    assert failures(method, case) is None
    assert verdict(case).startswith("Nothing is proven: no retrained model")
    assert outcome(case) == "not proven"
    assert cautions(case, seeds=1) == []


def test_without_methods_nothing_is_proven(make):
    case = make.case()
    assert verdict(case).startswith("Nothing is proven")
    assert best(case) is None


def test_many_methods_are_counted_and_those_that_match_are_named_fastest_first(make):
    slow, fast = make.row("slow", seconds_ratio=0.5), make.row("fast", seconds_ratio=0.1)
    bad = make.row("bad", holdout_accuracy=0.7, seconds_ratio=0.01)
    case = make.case(slow, bad, fast)
    assert [row.name for row in matching(case)] == ["fast", "slow"]
    assert verdict(case) == (
        "2 of 3 methods match the retrained model on every check: fast and slow. "
        "The fastest of them, fast, was 10 times as fast as retraining."
    )
    assert best(case) is fast


def test_one_of_many_and_none_of_many(make):
    good, bad, worse = (
        make.row("good"),
        make.row("bad", forget_accuracy=0.3),
        make.row("worse", forget_accuracy=0.3, tow=0.1),
    )
    assert verdict(make.case(good, bad)).startswith("1 of 2 methods matches the retrained model on every check: good")
    case = make.case(make.row("worst", forget_accuracy=0.3, holdout_accuracy=0.3), worse, bad)
    assert verdict(case) == "None of 3 methods matches the retrained model on every check."
    assert best(case) is worse  # as few misses as "bad", whose agreement is not known


def test_checks_that_the_original_passes_prove_nothing(make):
    case = make.case(make.row("nothing-done"))
    same = make.row("original", "original", forget_accuracy=0.1, holdout_forget_accuracy=0.12, membership_auc=0.5)
    blind = type(case)(case.title, case.forgotten, (same, *case.rows[1:]))
    assert can_tell(case) and not can_tell(blind)
    assert outcome(blind) == "not proven"
    assert "prove nothing" in verdict(blind)
    assert any("The original model" in caution for caution in cautions(blind, seeds=2))
    assert not any("The original model" in caution for caution in cautions(case, seeds=2))


def test_cautions_speak_of_the_noise_floor_of_seeds_and_of_many_tries(make):
    case = make.case(make.row("a"), make.row("b"))
    far = make.row("retrained-2", "noise floor", membership_auc=0.57)
    noisy = type(case)(case.title, case.forgotten, (*case.rows[:2], far, *case.rows[3:]))
    assert cautions(make.case(make.row("a")), seeds=2) == []
    assert ["0.570" in each for each in cautions(noisy, seeds=2)] == [True, False]
    assert any("one seed" in each for each in cautions(case, seeds=1))
    assert any("2 methods were tried" in each for each in cautions(case, seeds=2))
    alone = type(case)(case.title, case.forgotten, (*case.rows[:2], case.methods[0]))
    assert any("Only one model was retrained" in each for each in cautions(alone, seeds=2))


@pytest.mark.parametrize(("steps", "warned"), [(3.0, True), (9.0, True), (10.0, False), (30.0, False), (None, False)])
def test_a_match_that_relearns_much_sooner_is_called_out(make, steps, warned):
    case = make.case(make.row("quick", relearn_steps=steps))
    gold = make.row("retrained", "retrained", relearn_steps=20.0)
    timed = type(case)(case.title, case.forgotten, (case.rows[0], gold, *case.rows[2:]))
    assert any("quick" in each and "relearning" in each for each in cautions(timed, seeds=2)) == warned
    failing = make.row("quick", relearn_steps=steps, forget_accuracy=0.9)
    differs = type(case)(case.title, case.forgotten, (case.rows[0], gold, case.rows[2], failing))
    assert not any("relearning" in each for each in cautions(differs, seeds=2))


def test_another_score_is_not_written_as_percent(make):
    rows = [
        make.row(name, role, forget_r2=value) for name, role, value in (("retrained", "retrained", 0.2), ("m", "method", 0.9))
    ]
    case = type(make.case())("t", "f", tuple(rows), score_name="r2")
    assert "r2 on the forgotten data is 0.900, retrained 0.200" in verdict(case)
