"""Synthetic tables: generators that make them, and one score that says whether they are any good."""

from expunge.tabular.generators import (
    CTGAN,
    GENERATORS,
    SMOTE,
    TVAE,
    WGANGP,
    Bootstrap,
    GaussianCopula,
    Generator,
    IndependentColumns,
    TabDDPM,
)
from expunge.tabular.monitor import ScoreMonitor
from expunge.tabular.schema import TableSchema
from expunge.tabular.score import Comparison, Reference, Score
from expunge.tabular.tabsyndex import TabSynDex

__all__ = [
    "CTGAN",
    "GENERATORS",
    "SMOTE",
    "TVAE",
    "WGANGP",
    "Bootstrap",
    "Comparison",
    "GaussianCopula",
    "Generator",
    "IndependentColumns",
    "Reference",
    "Score",
    "ScoreMonitor",
    "TabDDPM",
    "TabSynDex",
    "TableSchema",
]
