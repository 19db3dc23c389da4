"""expunge takes people's data out of trained models and proves that it is gone."""

from expunge.engine import Engine
from expunge.split import Split
from expunge.studies import audit, forget

__all__ = ["Engine", "Split", "audit", "forget"]
