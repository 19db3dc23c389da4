"""Comparisons: one request, one job, or one study over seeds."""

from expunge.registry import by_name
from expunge.studies.advising import Advice, advise
from expunge.studies.all import AllStudy
from expunge.studies.api import Result, audit, forget
from expunge.studies.classification import ClassificationStudy
from expunge.studies.continual import ContinualStudy
from expunge.studies.diffusion import DiffusionStudy
from expunge.studies.federated import FederatedStudy
from expunge.studies.graph import GraphStudy
from expunge.studies.language import LanguageStudy
from expunge.studies.recommendation import RecommendationStudy
from expunge.studies.regression import RegressionStudy
from expunge.studies.search import SearchStudy
from expunge.studies.sequence import SequenceStudy
from expunge.studies.study import Study
from expunge.studies.tabular import TabularStudy
from expunge.studies.valuation import ValuationStudy

STUDIES = by_name(
    (
        ClassificationStudy,
        RegressionStudy,
        GraphStudy,
        RecommendationStudy,
        FederatedStudy,
        ContinualStudy,
        LanguageStudy,
        DiffusionStudy,
        ValuationStudy,
        TabularStudy,
        SearchStudy,
        SequenceStudy,
        AllStudy,
    )
)

__all__ = ["STUDIES", "Advice", "Result", "Study", "advise", "audit", "forget"]
