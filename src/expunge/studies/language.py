"""Unlearning facts from language models: questions that must go unanswered, and what stands near them.

Data: `quick` has personas, 40 people with 6 facts each, made up anew for each seed, of whom 6 facts must go, and a Llama of
about one million parameters that is taught them; `full` adds TOFU, the questions on 2 and on 10 of its last 20 authors, where
its files are there. Any questions go in their place, and a model of one's own that knows them:

    expunge study language --facts facts.jsonl --retain retain.jsonl --model PATH

Nobody can retrain a model of one's own here: there is no gold then, and figures that need one are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.data.facts import Fact, read_facts
from expunge.data.tofu import read_tofu
from expunge.errors import BadFile, BadSetting
from expunge.studies.language_methods import language_methods
from expunge.studies.language_scenarios import (
    LanguageScenario,
    check_options,
    persona_scenario,
    questions_world,
    tofu_scenario,
)
from expunge.studies.study import Budget, ComparisonStudy, Plan


@dataclass(frozen=True)
class LanguageStudy(ComparisonStudy):
    """See the module.

    Args:
        facts: file with facts to forget, see :func:`expunge.data.facts.read_facts`.
        retain: file with facts that stay.
        model: folder of a model that knows them; a small one is taught them when None.
    """

    facts: str | None = None
    retain: str | None = None
    model: str | None = None

    default_data: ClassVar[str] = "personas"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        check_options(self.facts, self.retain, self.model)
        if data not in (None, "personas", "tofu"):
            raise BadSetting(
                f"study language: --data is personas or tofu, not {data!r}; other questions go by --facts and --retain"
            )
        scenarios, notes = self._scenarios(data, budget)
        return Plan(
            "questions" if self.facts else data or self.default_data,
            scenarios,
            {"budget": budget},
            notes,
            scenarios[0].original or scenarios[0].world(0)[0].new_model(),
        )

    def _scenarios(self, data: str | None, budget: Budget) -> tuple[Sequence[LanguageScenario], Sequence[str]]:
        """What is compared, and what is to be said of it."""
        if self.facts is not None and self.retain is not None:
            return [self._own(read_facts(self.facts), read_facts(self.retain))], []
        own = [] if data == "tofu" else [persona_scenario()]
        if data != "tofu" and budget == "quick":
            return own, []
        if data != "tofu" and not _tofu_is_there():
            return own, ["TOFU was not found (EXPUNGE_DATA), and was left out."]
        sets = [tofu_scenario("forget01")] + ([tofu_scenario("forget05")] if budget == "full" else [])
        return [*own, *sets], []

    def _own(self, goes: Sequence[Fact], stays: Sequence[Fact]) -> LanguageScenario:
        model, tokenizer = None, None
        if self.model is not None:
            from expunge.models.pretrained import read_language_model

            model, tokenizer = read_language_model(self.model)
        return LanguageScenario(
            f"{len(goes):,} facts",
            lambda seed: questions_world(goes, stays, model, tokenizer),
            f"{len(goes):,} facts of {self.facts}, of {len(goes) + len(stays):,}",
            methods=language_methods(all(fact.subject and fact.subject in fact.question for fact in goes)),
            original=model,
        )


def _tofu_is_there() -> bool:
    try:
        read_tofu(forget="forget01")
    except BadFile:
        return False
    return True
