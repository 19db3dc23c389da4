"""Unlearning in recommenders: users, items, single pairs, and what is known of items in one modality.

Data: MovieLens latest-small, films that people gave 4 stars or more, with titles, tags and genres. `quick` has MGCN and forgets
5 % of the users; `full` adds 5 % of the items, of the pairs, and the first modality of 5 % of the items, and all four on TikTok
where its file is there, without the methods that take as long as several trainings. Any interactions go in their place:

    expunge study recommendation --data pairs.csv --forget items --fraction 0.05
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from expunge.data.interaction_files import load_interactions
from expunge.data.interaction_source import InteractionSource
from expunge.errors import BadFile, BadSetting
from expunge.studies.drawn_scenario import DrawnScenario
from expunge.studies.recommendation_scenarios import SEES_FEATURES, Forget, recommendation
from expunge.studies.study import Budget, ComparisonStudy, Plan

__all__ = ["RecommendationStudy"]

FRACTION = 0.05
KINDS: tuple[Forget, ...] = get_args(Forget)
EMBEDDED, SECOND_DATA = "tastes", "tiktok"


@dataclass(frozen=True)
class RecommendationStudy(ComparisonStudy):
    """See the module. With `fraction`, `forget` or `modality` there is one case.

    Args:
        fraction: share of the users, items, training pairs or items with features to forget; from 1 on, how many.
        forget: "users", "items", "pairs", or "features" of one modality.
        modality: whose features to forget, such as "image"; the first one when None.
        network: one of the recommenders, or an import string; MGCN when None, and LightGCN where there are no features.
    """

    fraction: float | None = None
    forget: str | None = None
    modality: str | None = None
    network: str | None = None

    default_data: ClassVar[str] = "movielens-latest-small"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        wanted = self._wanted()
        sources, notes = self._sources(data, budget, wanted)
        scenarios = [
            scenario
            for place, source in enumerate(sources)
            for scenario in self._scenarios(source, budget, wanted, f" of {source.name}" if place else "")
        ]
        return Plan(
            "+".join(source.name for source in sources),
            scenarios,
            {source.name: repr(source.interactions) for source in sources} | {"budget": budget},
            [note for note in (*notes, *(source.note for source in sources)) if note],
            scenarios[0].task.new_model(),
        )

    def _wanted(self) -> Forget | None:
        """The one case that the options ask for; None where they ask for none."""
        if self.forget is not None and self.forget not in KINDS:
            raise BadSetting(f"study recommendation: --forget is users, items, pairs or features, not {self.forget!r}")
        if self.modality is not None and self.forget not in (None, "features"):
            raise BadSetting(f"study recommendation: --modality is for --forget features, not for --forget {self.forget}")
        if self.forget is not None:
            return self.forget
        if self.modality is not None:
            return "features"
        return None if self.fraction is None else "users"

    def _sources(
        self, data: str | None, budget: Budget, wanted: Forget | None
    ) -> tuple[Sequence[InteractionSource], Sequence[str]]:
        """What is studied, and what is to be said of it."""
        if data is not None:
            return [load_interactions(data)], []
        first, note = _found(self.default_data), ""
        if first is None:
            note = (
                f"{self.default_data} was not found (EXPUNGE_DATA), so the embedded planted tastes were used; "
                "figures on them mean little."
            )
        sources, notes = [first or load_interactions(EMBEDDED)], [note]
        if budget == "full" and wanted is None:
            second = _found(SECOND_DATA)
            sources += [] if second is None else [second]
            notes += [f"{SECOND_DATA} was not found (EXPUNGE_DATA), and was left out."] if second is None else []
        return sources, notes

    def _scenarios(
        self, source: InteractionSource, budget: Budget, wanted: Forget | None, place: str
    ) -> Sequence[DrawnScenario]:
        network = self.network or ("mgcn" if source.interactions.features else "light-gcn")
        fraction = FRACTION if self.fraction is None else self.fraction
        if wanted == "features" and network not in SEES_FEATURES:
            raise BadSetting(
                f"study recommendation: {network} reads no features, so none can be forgotten; "
                f"take one of {', '.join(SEES_FEATURES)} on interactions with features"
            )
        kinds: Sequence[Forget] = (wanted or "users",) if wanted or budget == "quick" else KINDS
        read = kinds if network in SEES_FEATURES else [kind for kind in kinds if kind != "features"]
        slow = len(kinds) == 1
        return [recommendation(source, network, kind, fraction, self.modality, place, slow) for kind in read]


def _found(name: str) -> InteractionSource | None:
    try:
        return load_interactions(name)
    except BadFile:
        return None
