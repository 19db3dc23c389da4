"""The Anamnesis Index: a ratio of relearn times."""

import pytest

from expunge.audits import Anamnesis, Figure, References, Relearning
from expunge.optimizers import Optimizer

RELEARNING = Relearning(cap=60, optimizer=Optimizer("adam", 0.03))
AUDIT = Anamnesis(RELEARNING)


def index(audit, subject, original, *golds) -> Figure:
    found = audit(subject, References(original, golds))
    assert found.keys() == {"anamnesis_index"} and found["anamnesis_index"].ideal == 1.0
    return found["anamnesis_index"]


def test_the_gold_itself_is_at_1_and_the_original_at_0(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    assert index(AUDIT, gold, original, gold) == Figure(1.0, 1.0)
    assert index(AUDIT, original, original, gold) == Figure(0.0, 1.0)


def quick_and_slow(made, original):
    """Of some retrained models the two that need the fewest and the most steps."""
    golds = sorted((made.gold(seed) for seed in range(1, 6)), key=lambda gold: RELEARNING.steps(gold, original))
    quick, slow = golds[0], golds[-1]
    assert 0 < RELEARNING.steps(quick, original) < RELEARNING.steps(slow, original) - 1
    return quick, slow


def test_it_is_the_ratio_to_the_mean_of_all_retrained_models(blobs):
    made = blobs()
    original = made.original()
    quick, slow = quick_and_slow(made, original)
    few, many = (RELEARNING.steps(gold, original) for gold in (quick, slow))
    assert index(AUDIT, quick, original, slow).value == pytest.approx(few / many)
    assert index(AUDIT, slow, original, quick).value == pytest.approx(many / few)
    assert index(AUDIT, slow, original, quick, slow, quick).value == pytest.approx(many / ((few + many + few) / 3))


def test_it_is_not_defined_where_the_retrained_models_need_no_step(blobs):
    made = blobs()
    original = made.original()
    found = index(AUDIT, made.gold(), original, made.original())
    assert found.value is None
    assert found.note == "not defined: the retrained models know the forget set as well as the original does"


def test_one_of_two_retrained_models_that_needs_no_step_still_counts_in_the_mean(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    assert index(AUDIT, gold, original, gold, made.original()) == Figure(2.0, 1.0)


@pytest.mark.parametrize("who", ["subject", "gold"])
def test_a_count_at_the_cap_is_noted_whose_ever_it_was(blobs, who):
    made = blobs()
    original = made.original()
    quick, slow = quick_and_slow(made, original)
    few = RELEARNING.steps(quick, original)
    audit = Anamnesis(Relearning(cap=few + 1, optimizer=RELEARNING.optimizer))
    subject, reference = (slow, quick) if who == "subject" else (quick, slow)
    found = index(audit, subject, original, reference)
    assert found.note == f"a count met the cap of {few + 1} steps"
    assert found.value == pytest.approx((few + 1) / few if who == "subject" else few / (few + 1))
    assert index(audit, quick, original, quick).note == ""


def test_it_takes_the_counts_that_the_relearning_audit_made(blobs):
    """One relearning setting gives one count, so that two audits of one report do not contradict each other."""
    made = blobs()
    original, gold, second = made.original(), made.gold(), made.gold(2)
    references = References(original, (gold, second))
    found = RELEARNING(gold, references)["relearn_steps"]
    assert index(AUDIT, gold, original, gold, second).value == pytest.approx(found.value / found.ideal)


def test_without_the_original_or_without_a_retrained_model_there_is_no_figure(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    assert AUDIT(gold, References(original)) == {}
    assert AUDIT(gold, References(retrained=(gold,))) == {}


def test_of_errors_it_is_the_same_ratio(gauge):
    """Rows move by 1/4 a step towards their targets, as in the tests of relearning: 3 and 2 down to 1 in 8 and 4 steps."""
    made = gauge({"forget": [0.0, 0.0], "retain": [0.0, 0.0]})
    original, gold, subject = (made.predicting({"forget": [error, -error]}) for error in (1.0, 2.0, 3.0))
    audit = Anamnesis(Relearning(margin=0.0, cap=20, optimizer=Optimizer("sgd", 1.0)))
    assert audit(subject, References(original, (gold,)))["anamnesis_index"].value == pytest.approx(2.0)
    assert audit(original, References(original, (gold,)))["anamnesis_index"].value == 0.0
