"""Unlearning methods: one file each, named after the method."""

from expunge.methods.bad_teacher import BadTeacher
from expunge.methods.blindspot import Blindspot
from expunge.methods.finetune import Finetune
from expunge.methods.gaussian_amnesiac import GaussianAmnesiac
from expunge.methods.gradient_ascent import GradientAscent
from expunge.methods.method import Method
from expunge.methods.neggrad_plus import NegGradPlus
from expunge.methods.random_labels import RandomLabels
from expunge.methods.retrain import Retrain
from expunge.methods.ridge_downdate import RidgeDowndate
from expunge.methods.salun import SalUn
from expunge.methods.scrub import SCRUB
from expunge.methods.shrink_perturb import ShrinkPerturb
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
        ShrinkPerturb,
        Blindspot,
        GaussianAmnesiac,
        RidgeDowndate,
    )  # in the papers' order
)

__all__ = [
    "METHODS",
    "SCRUB",
    "SSD",
    "BadTeacher",
    "Blindspot",
    "Finetune",
    "GaussianAmnesiac",
    "GradientAscent",
    "Method",
    "NegGradPlus",
    "RandomLabels",
    "Retrain",
    "RidgeDowndate",
    "SalUn",
    "ShrinkPerturb",
]
