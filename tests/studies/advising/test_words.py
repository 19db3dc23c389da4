"""What advice says: the sentence that leads, for each thing that may come out."""

from expunge.studies.advising.policy import Played, Tried
from expunge.studies.advising.words import Grounds, reasons

FAST, SLOW = Tried("fast", 2.0, 1.0, True, "meets every check"), Tried("slow", 12.0, 1.0, True, "meets every check")
NEAR = Tried("near", 3.0, 0.9, False, "accuracy is 10.0 %, retrained 0.0 %")


def words(nearest, retrain=False, floor=None, held=True, tells=True, untried=(), **others):
    played = Played((nearest,) if nearest else (), untried, "time was up")
    settings = {"at_hand": "retain", "whole": False, "blind": False, "unit": 10.0 if held else None} | others
    return reasons(Grounds(played, nearest, retrain, floor, held, tells, **settings))


def test_what_meets_all_is_taken():
    assert words(FAST) == (
        "Take fast: of the one method that was tried it meets every check. It took 20 % of the time of retraining.",
    )


def test_what_is_as_near_as_a_second_retrained_model_is_taken_with_what_it_misses():
    assert words(NEAR, floor=0.8, untried=("other",)) == (
        "Take near: of the one method that was tried none meets every check, and it is the nearest, with a closeness of 0.90, "
        "as near as a second retrained model with 0.80; 1 is within all that is allowed. "
        "It took 30 % of the time of retraining.",
        "near misses: accuracy is 10.0 %, retrained 0.0 %.",
        "Not all were tried: time was up.",
    )


def test_retraining_is_advised_with_the_reason():
    assert words(None, retrain=True)[0] == "Retrain: no method could be tried."
    assert words(NEAR, retrain=True)[0].startswith(
        "Retrain: of the one method that was tried none meets every check; the nearest"
    )
    assert words(SLOW, retrain=True)[0].endswith("slow meets every check, but took no less time, and retraining is exact.")


def test_what_proves_nothing_says_so():
    assert words(FAST, tells=False)[-1].startswith("The original meets every check as well")
    unproven = words(NEAR, held=False, tells=False, at_hand="part", blind=True)
    assert "only a part of the data that stays is at hand" in unproven[2] and unproven[3].startswith("More than single records")
    assert "answers with the class that went" in words(NEAR, held=False, tells=False, whole=True)[2]
    assert words(FAST, at_hand="forget")[-1].startswith("The retrained models were made for the proof alone")
