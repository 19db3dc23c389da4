"""What the score can't tell: fidelity, detection, coverage, usefulness for models, and privacy of a synthetic table."""

from expunge.tabular.measures.c2st import TwoSampleTest, two_sample_test
from expunge.tabular.measures.disclosure import Disclosure, disclosure
from expunge.tabular.measures.fidelity import Fidelity, fidelity
from expunge.tabular.measures.figure import Figure
from expunge.tabular.measures.matches import Matches, matches
from expunge.tabular.measures.measures import Measures, measure
from expunge.tabular.measures.membership import MembershipAttack, membership_attack
from expunge.tabular.measures.precision_recall import PrecisionRecall, precision_recall
from expunge.tabular.measures.privacy import Privacy, privacy
from expunge.tabular.measures.records import ClosestRecords, closest_records
from expunge.tabular.measures.train_test import TrainTest, train_test

__all__ = [
    "ClosestRecords",
    "Disclosure",
    "Fidelity",
    "Figure",
    "Matches",
    "Measures",
    "MembershipAttack",
    "PrecisionRecall",
    "Privacy",
    "TrainTest",
    "TwoSampleTest",
    "closest_records",
    "disclosure",
    "fidelity",
    "matches",
    "measure",
    "membership_attack",
    "precision_recall",
    "privacy",
    "train_test",
    "two_sample_test",
]
