"""Unlearning methods: one file each, named after the method."""

from expunge.methods.bad_teacher import BadTeacher
from expunge.methods.finetune import Finetune
from expunge.methods.gradient_ascent import GradientAscent
from expunge.methods.method import Method
from expunge.methods.neggrad_plus import NegGradPlus
from expunge.methods.random_labels import RandomLabels
from expunge.methods.retrain import Retrain
from expunge.methods.salun import SalUn
from expunge.methods.scrub import SCRUB
from expunge.methods.ssd import SSD
from expunge.registry import by_name

METHODS = by_name(
    (
        Retrain,
        Finetune,
        GradientAscent,
        NegGradPlus,
        RandomLabels,
        BadTeacher,
        SCRUB,
        SSD,
        SalUn,
    )  # in the papers' order
)

__all__ = [
    "METHODS",
    "SCRUB",
    "SSD",
    "BadTeacher",
    "Finetune",
    "GradientAscent",
    "Method",
    "NegGradPlus",
    "RandomLabels",
    "Retrain",
    "SalUn",
]
