"""Model utility: one number for what a model must not lose, as TOFU has it.

    harmonic mean of {probability, ROUGE, truth ratio} x {retain, real authors, world facts}

of what stays the probability of the answer, of real authors and the world that of the true one among it and the wrong ones;
truth ratios as max(0, 1 - R). Near the worst of the nine, and 0 if one is 0.

Reference: see :mod:`expunge.language.tofu_scores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from expunge.audits.audit import Subject
from expunge.audits.language_audit import LanguageAudit, Values, mean_of, said, scored, some_of
from expunge.audits.memorization import losses_beside_wrong, ratios_of, truth_ratios
from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit
from expunge.language.text_scores import rouge_l_recall
from expunge.language.tofu_scores import UTILITY_PARTS, model_utility, normalised_probability, preference
from expunge.language.token_scores import probability
from expunge.tasks import LanguageTask

_WHAT = {
    "probability": "probability of the true answer",
    "rouge": "ROUGE-L recall of answers",
    "truth_ratio": "preference of the true answer over wrong ones",
}
_OF = {"retain": "what stays", "real_authors": "real authors", "world_facts": "the world"}


def _explained(part: str) -> str:
    of = next(each for each in _OF if part.startswith(each))
    return f"{_WHAT[part.removeprefix(f'{of}_')]}, of questions on {_OF[of]}, 0 to 1; ideal: the original's"


@dataclass(frozen=True)
class ModelUtility(LanguageAudit):
    """The nine parts and their harmonic mean; nothing where the request has no questions on real authors and the world.

    Args:
        questions: of each of the three sets, at most; drawn, the same ones for every model.
    """

    questions: int = 100

    figures: ClassVar[Mapping[str, str]] = {
        "model_utility": "harmonic mean of nine figures of what must stay, 0 to 1; ideal: the original's",
        **{f"utility_{part}": _explained(part) for part in UTILITY_PARTS},
    }
    stays = tuple(figures)

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise BadSetting(f"questions must be at least 1, not {self.questions}")

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        if not split.real_authors or not split.world_facts:
            return {}
        parts: dict[str, float | str] = {}
        for of, facts in (("retain", split.stays), ("real_authors", split.real_authors), ("world_facts", split.world_facts)):
            told = [fact for fact in facts if fact.wrong_answers and (fact.answer_in_other_words or of != "retain")]
            found = self._of_what_stays(subject, told) if of == "retain" else self._of_the_world(subject, told)
            parts |= {f"{of}_{measure}": value for measure, value in found.items()}
        numbers = {name: value for name, value in parts.items() if isinstance(value, float)}
        missing = f"one of its nine parts is missing: {', '.join(name for name in parts if name not in numbers)}"
        finite = all(value == value for value in numbers.values())
        whole = missing if len(numbers) < len(parts) else model_utility(numbers) if finite else float("nan")
        return {"model_utility": whole, **{f"utility_{name}": parts[name] for name in UTILITY_PARTS}}

    def _of_what_stays(self, subject: Subject, told: Sequence[Fact]) -> dict[str, float | str]:
        facts = some_of(told, self.questions)
        if not facts:
            return dict.fromkeys(_WHAT, "no retained fact has both an answer in other words and wrong answers")
        (probabilities,) = scored(subject, [(fact.question, fact.answer) for fact in facts], probability)
        ratios = preference(ratios_of(subject, facts))
        return {"probability": mean_of(probabilities), "rouge": _rouge(subject, facts), "truth_ratio": mean_of(ratios)}

    def _of_the_world(self, subject: Subject, told: Sequence[Fact]) -> dict[str, float | str]:
        facts = some_of(told, self.questions)
        if not facts:
            return dict.fromkeys(_WHAT, "no question of this kind has wrong answers")
        right, wrong = losses_beside_wrong(subject, [(fact, fact.answer) for fact in facts])
        shares = [normalised_probability(one[None], others[None]).item() for one, others in zip(right, wrong, strict=True)]
        ratios = truth_ratios(subject, [(fact, fact.answer_in_other_words or fact.answer) for fact in facts])
        return {
            "probability": fmean(shares),
            "rouge": _rouge(subject, facts),
            "truth_ratio": mean_of(preference(ratios)),
        }


def _rouge(subject: Subject, facts: Sequence[Fact]) -> float:
    texts = [each.text for each in said(subject, [fact.question for fact in facts])]
    return fmean(rouge_l_recall(texts, [fact.answer for fact in facts]))
