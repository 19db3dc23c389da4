"""Generators of tables: each learns a table and makes rows like its rows."""

from expunge.registry import by_name
from expunge.tabular.generators.bootstrap import Bootstrap
from expunge.tabular.generators.ctgan import CTGAN
from expunge.tabular.generators.gaussian_copula import GaussianCopula
from expunge.tabular.generators.generator import Conditions, Generator, Monitor
from expunge.tabular.generators.independent_columns import IndependentColumns
from expunge.tabular.generators.smote import SMOTE
from expunge.tabular.generators.tab_ddpm import TabDDPM
from expunge.tabular.generators.tvae import TVAE
from expunge.tabular.generators.wgan_gp import WGANGP

GENERATORS: dict[str, type[Generator]] = by_name(
    (
        IndependentColumns,
        Bootstrap,
        SMOTE,
        GaussianCopula,
        TVAE,
        CTGAN,
        WGANGP,
        TabDDPM,
    )
)

__all__ = [
    "CTGAN",
    "GENERATORS",
    "SMOTE",
    "TVAE",
    "WGANGP",
    "Bootstrap",
    "Conditions",
    "GaussianCopula",
    "Generator",
    "IndependentColumns",
    "Monitor",
    "TabDDPM",
]
