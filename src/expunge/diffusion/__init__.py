"""Diffusion models: concepts that must go, images with noise, and how images are drawn."""

from expunge.diffusion.concept_split import ConceptSplit, concept_split
from expunge.diffusion.concepts import Concepts, numbered, prompted, token_encoder
from expunge.diffusion.noised import NoisedImages
from expunge.diffusion.sampling import Sampling, seeds_for

__all__ = [
    "ConceptSplit",
    "Concepts",
    "NoisedImages",
    "Sampling",
    "concept_split",
    "numbered",
    "prompted",
    "seeds_for",
    "token_encoder",
]
