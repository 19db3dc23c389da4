"""Valuations: what each training point is worth for a model and a metric."""

from expunge.registry import by_name
from expunge.valuation.banzhaf import Banzhaf
from expunge.valuation.beta_shapley import BetaShapley
from expunge.valuation.confidence import Confidence
from expunge.valuation.data_oob import DataOOB
from expunge.valuation.distributional_shapley import DistributionalShapley
from expunge.valuation.ecoval import EcoVal
from expunge.valuation.knn_shapley import KNNShapley
from expunge.valuation.lava import LAVA
from expunge.valuation.leave_one_out import LeaveOneOut
from expunge.valuation.logistic import Logistic
from expunge.valuation.method import ValuationMethod
from expunge.valuation.network import Network
from expunge.valuation.random_values import RandomValues
from expunge.valuation.ridge import RidgeRegression
from expunge.valuation.tmc_shapley import TMCShapley
from expunge.valuation.torch_task import TorchTask
from expunge.valuation.utility import Utility
from expunge.valuation.values import Cost, Values
from expunge.valuation.walks import Truncation

VALUATIONS: dict[str, type[ValuationMethod]] = by_name(
    (
        EcoVal,
        TMCShapley,
        BetaShapley,
        Banzhaf,
        DistributionalShapley,
        LeaveOneOut,
        KNNShapley,
        DataOOB,
        LAVA,
        Confidence,
        RandomValues,
    )
)

__all__ = [
    "LAVA",
    "VALUATIONS",
    "Banzhaf",
    "BetaShapley",
    "Confidence",
    "Cost",
    "DataOOB",
    "DistributionalShapley",
    "EcoVal",
    "KNNShapley",
    "LeaveOneOut",
    "Logistic",
    "Network",
    "RandomValues",
    "RidgeRegression",
    "TMCShapley",
    "TorchTask",
    "Truncation",
    "Utility",
    "ValuationMethod",
    "Values",
]
