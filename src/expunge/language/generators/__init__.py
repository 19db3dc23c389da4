"""Generators of anti-samples: questions asked otherwise, wrong answers, and reasons for them, behind one protocol."""

from expunge.language.generators.cached import CachedGenerator
from expunge.language.generators.fields import FieldGenerator
from expunge.language.generators.filters import (
    EditDistanceBand,
    EmbeddingBand,
    Filter,
    KeepsSubject,
    LeaksNoAnswer,
    NotNearCorrect,
    filtered,
    normalised,
)
from expunge.language.generators.generator import (
    Generator,
    GeneratorFailed,
    GeneratorGone,
    numbered_list,
    paraphrase_prompt,
    rationale_prompt,
    wrong_answers_prompt,
)
from expunge.language.generators.model import ModelGenerator
from expunge.language.generators.server import ServerGenerator
from expunge.language.generators.templates import TemplateGenerator

__all__ = [
    "CachedGenerator",
    "EditDistanceBand",
    "EmbeddingBand",
    "FieldGenerator",
    "Filter",
    "Generator",
    "GeneratorFailed",
    "GeneratorGone",
    "KeepsSubject",
    "LeaksNoAnswer",
    "ModelGenerator",
    "NotNearCorrect",
    "ServerGenerator",
    "TemplateGenerator",
    "filtered",
    "normalised",
    "numbered_list",
    "paraphrase_prompt",
    "rationale_prompt",
    "wrong_answers_prompt",
]
