"""Language models: facts that must go, questions that ask for them, and what a model says of them."""

from expunge.data.facts import Fact, read_facts
from expunge.language.adapters import LoRA, load_adapter, merged, save_adapter
from expunge.language.fact_split import FactSplit, fact_split
from expunge.language.generators import (
    CachedGenerator,
    FieldGenerator,
    Generator,
    ModelGenerator,
    ServerGenerator,
    TemplateGenerator,
)
from expunge.language.matching import Matcher

__all__ = [
    "CachedGenerator",
    "Fact",
    "FactSplit",
    "FieldGenerator",
    "Generator",
    "LoRA",
    "Matcher",
    "ModelGenerator",
    "ServerGenerator",
    "TemplateGenerator",
    "fact_split",
    "load_adapter",
    "merged",
    "read_facts",
    "save_adapter",
]
