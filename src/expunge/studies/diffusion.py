"""Diffusion models that must not draw a concept: who removes it, and who only hides it from the prompt.

Data: the digits that come with scikit-learn, "seven" goes and "one" stands in for it; `full` adds other digits. A small UNet
with a text encoder is trained on them from fresh weights through the classes of diffusers and transformers, and twice more
without the concept. Any images with classes go in their place: `expunge study diffusion --data FOLDER --concept CLASS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.data import load
from expunge.errors import BadSetting
from expunge.studies.diffusion_scenarios import DIGITS, concept_names, concept_scenario
from expunge.studies.drawn_scenario import DrawnScenario
from expunge.studies.study import Budget, ComparisonStudy, Plan

__all__ = ["DiffusionStudy"]


@dataclass(frozen=True)
class DiffusionStudy(ComparisonStudy):
    """See the module.

    Args:
        concept: the class that goes; of digits "seven" when None, of other images the first class.
        anchor: the class that stands in for it; when None, of digits one that looks like it, else the most frequent one.
    """

    concept: str | None = None
    anchor: str | None = None

    default_data: ClassVar[str] = "digits"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        scenarios = self._scenarios(data, budget)
        return Plan(
            data or self.default_data,
            scenarios,
            {"budget": budget},
            [],
            scenarios[0].task.new_model(),
        )

    def _scenarios(self, data: str | None, budget: Budget) -> Sequence[DrawnScenario]:
        source = load(data or self.default_data)
        names = concept_names(source)
        digits = names == tuple(DIGITS)
        wanted = self.concept or ("seven" if digits else names[0])
        for option, name in (("concept", wanted), ("anchor", self.anchor)):
            if name is not None and name not in names:
                raise BadSetting(f"study diffusion: --{option} is one of {', '.join(names)}, not {name!r}")
        concepts = [wanted]
        if digits and budget == "full" and self.concept is None:
            concepts += ["three", "zero"]
        return [concept_scenario(source, each, self.anchor or (DIGITS[each] if digits else None), budget) for each in concepts]
