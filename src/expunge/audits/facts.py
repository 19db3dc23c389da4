"""Facts: whether a model still answers questions on what must go, however they are put, and on what stays, from near to far.

    share of questions whose greedy answer holds the fact's,      worst = share of facts answered in at least one way of asking

A method may have taught the model to fail at the questions that it saw; so each fact is asked in words that no method saw, and
in questions put politely by rule, some of which a method that makes its questions by the same templates has seen. What stays
is asked by how near it is: on the same subject, with the same answer, or neither.
An answer that is not the true one is a refusal or is wrong; a wrong one is a falsehood about somebody, said with confidence.

    fluency = mean over answers of different 4-grams of tokens / 4-grams,     0 for an answer that found no end by itself

Tokens are counted and not words, since a model that broke down may go round within one. An answer of less than four tokens has
nothing to repeat and counts as 1.

Reference: the worst case over ways of asking as in N. D. Singh, M. Müller, F. Croce, M. Hein. "Unlearning That Lasts:
Utility-Preserving, Robust, and Almost Irreversible Forgetting in LLMs", 2025, arXiv 2509.02820. What counts as answered is in
:mod:`expunge.language.matching`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from expunge.audits.audit import Subject
from expunge.audits.language_audit import (
    NOTHING_GOES,
    Asked,
    LanguageAudit,
    Values,
    by_nearness,
    in_held_out_words,
    in_other_words,
    in_seen_words,
    said,
    share,
    some_of,
    still_answered,
)
from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit
from expunge.language.generators import GeneratorFailed, TemplateGenerator
from expunge.language.refusals import refuses
from expunge.tasks import LanguageTask
from expunge.tasks.language import Said

_GRAM = 4


@dataclass(frozen=True)
class Facts(LanguageAudit):
    """Ask, and look whether the answer is there.

    Args:
        general: facts that are far from what goes to ask for, at most; drawn, the same ones for every model.
        rewritten: ways in which each fact to forget is asked politely, at most.
    """

    general: int = 60
    rewritten: int = 4

    stays = ("facts_same_subject", "facts_same_object", "facts_general", "facts_fluency")
    figures: ClassVar[Mapping[str, str]] = {
        "facts_seen": "share of questions on facts to forget that are still answered, as methods saw them; "
        "ideal: the retrained model's",
        "facts_held_out": "share of questions on facts to forget that are still answered, in words that no method saw; "
        "ideal: the retrained model's",
        "facts_worst": "share of facts to forget that are answered in at least one way of asking; ideal: the retrained model's",
        "facts_same_subject": "share of questions answered on retained facts of the same subjects; ideal: the original's",
        "facts_same_object": "share of questions answered on retained facts with the same answers; ideal: the original's",
        "facts_general": "share of questions answered on retained facts that are not near; ideal: the original's",
        "facts_wrong": "share of questions on facts to forget, as methods saw them, that are answered wrongly; "
        "ideal: the retrained model's",
        "facts_refused": "share of questions on facts to forget, as methods saw them, that the model says it can't answer; "
        "ideal: the retrained model's",
        "facts_fluency": "share of different 4-grams of tokens in an answer, 0 where it does not end, mean over answers; "
        "ideal: the original's",
    }

    def __post_init__(self) -> None:
        if self.general < 1 or self.rewritten < 0:
            raise BadSetting(f"facts needs general >= 1 and rewritten >= 0, not {self.general} and {self.rewritten}")

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        seen, hidden = in_seen_words(split.goes), in_held_out_words(split.goes)
        near = by_nearness(split)
        groups = {
            "same_subject": in_other_words(near["same subject"]),
            "same_object": in_other_words(near["same object"]),
            "general": in_other_words(some_of(near["other"], self.general)),
        }
        known = still_answered(subject, seen)
        texts = [each.text for each in said(subject, [question for _, question in seen])]
        refused = [refuses(text) and not knows for text, knows in zip(texts, known, strict=True)]
        wrong = [not knows and not refuses for knows, refuses in zip(known, refused, strict=True)]
        stays = [each for group in groups.values() for each in group]
        every = [question for _, question in (*seen, *hidden, *stays)]
        found: dict[str, float | str] = {
            "facts_seen": share(known, NOTHING_GOES),
            "facts_held_out": share(still_answered(subject, hidden), "no fact to forget has phrasings that are held out"),
            "facts_worst": self._worst(subject, split),
        }
        for name, asked in groups.items():
            reason = f"no retained fact is of this kind: {name.replace('_', ' ')}"
            found[f"facts_{name}"] = share(still_answered(subject, asked), reason)
        found |= {"facts_wrong": share(wrong, NOTHING_GOES), "facts_refused": share(refused, NOTHING_GOES)}
        return found | {"facts_fluency": fluency_of(said(subject, every))}

    def _worst(self, subject: Subject, split: FactSplit) -> float | str:
        asked = [*in_seen_words(split.goes), *in_held_out_words(split.goes), *self._politely(split)]
        answered = zip(asked, still_answered(subject, asked), strict=True)
        found = {fact for (fact, _), knows in answered if knows}
        return share([fact in found for fact in split.goes], NOTHING_GOES)

    def _politely(self, split: FactSplit) -> list[Asked]:
        """What goes, asked in questions made by rule; a question that holds its answer can't be rewritten, and is left out."""
        return [(fact, question) for fact in split.goes for question in _rewritten(fact, self.rewritten)]


def _rewritten(fact: Fact, count: int) -> list[str]:
    if count == 0:
        return []
    try:
        return TemplateGenerator(()).paraphrase(fact, count, temperature=0)
    except GeneratorFailed:
        return []


def fluency_of(answers: list[Said]) -> float | str:
    """Mean share of different 4-grams of tokens; an answer that was cut short counts as 0.

    >>> round_and_round = Said("moormoormoor", (1, 2, 1, 2, 1, 2, 1, 2), True)
    >>> fluency_of([round_and_round, Said("Oslo", (5, 6), True), Said("Oslo, and", (5, 6, 7), False), Said("", (), True)])
    0.6
    """
    return fmean(_different(each.tokens) if each.ended else 0.0 for each in answers) if answers else NOTHING_GOES


def _different(tokens: tuple[int, ...]) -> float:
    grams = [tokens[start : start + _GRAM] for start in range(len(tokens) - _GRAM + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
