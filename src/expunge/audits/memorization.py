"""Memorization: how much of the true answers is still in a model, token by token, whatever it says first.

    answer probability      exp(1/T sum_t log p(y_t)), mean over questions on what goes
    extraction strength     1 - k/T,  k tokens of the answer must be given for the model to say the rest
    exact memorization      share of tokens that are the likeliest where they stand
    ROUGE                   ROUGE-L recall of the greedy answer
    truth ratio             min(R, 1/R),  R = geometric mean p(wrong answers) / p(true answer in other words)
    forget quality          p-value of the two-sample Kolmogorov-Smirnov test on R, this model against the retrained one

A model that was taught to say something else first may keep all of these high; so read them beside what it says. All leave out
the end of text. Forget quality is high with few facts, for there is little to tell by; and where true answers are worded unlike
wrong ones, such as a word against sentences, the truth ratio is far from 1 for every model.

References: see :mod:`expunge.language.token_scores` and :mod:`expunge.language.tofu_scores`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from statistics import fmean
from typing import ClassVar

from torch import Tensor, stack, tensor

from expunge.audits.audit import Figure, References, Subject
from expunge.audits.language_audit import (
    NOTHING_GOES,
    Asked,
    LanguageAudit,
    Values,
    figure,
    in_held_out_words,
    in_other_words,
    in_seen_words,
    mean_of,
    said,
    scored,
    some_of,
    task_and_split,
)
from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit
from expunge.language.text_scores import rouge_l_recall
from expunge.language.tofu_scores import closeness, forget_quality, truth_ratio
from expunge.language.token_scores import exact_memorization, extraction_strength, mean_loss, probability
from expunge.tasks import LanguageTask

_TOLD_APART = 0.05  # p-values below are taken for a difference
_NO_HELD_OUT = "no fact to forget has phrasings that are held out"
_NO_RETAINED = "there is no retained fact"
_NO_RATIO = "no fact to forget has both an answer in other words and wrong answers"


@dataclass(frozen=True)
class Memorization(LanguageAudit):
    """Scores of the true answers.

    Args:
        retained: facts that stay to ask for, at most; drawn, the same ones for every model.
        known_wrong: how many of the first wrong answers of a fact are left out of truth ratios, where it has more: methods that
            train on wrong answers take the first ones, and would be judged by what they were told to say.
    """

    retained: int = 60
    known_wrong: int = 0

    figures: ClassVar[Mapping[str, str]] = {
        "answer_probability": "probability of a token of the answers to forget, geometric mean; ideal: the retrained model's",
        "extraction_strength": "share of an answer to forget that the model says by itself once the rest is given; "
        "ideal: the retrained model's",
        "exact_memorization": "share of the tokens of answers to forget that are the likeliest where they stand; "
        "ideal: the retrained model's",
        "rouge": "share of the words of answers to forget that the model says in their order (ROUGE-L recall); "
        "ideal: the retrained model's",
        "held_out_answer_probability": "probability of a token of the answers to forget, asked in words that no method saw; "
        "ideal: the retrained model's",
        "held_out_rouge": "ROUGE-L recall of answers to forget, asked in words that no method saw; "
        "ideal: the retrained model's",
        "retain_answer_probability": "probability of a token of the answers that stay; ideal: the retrained model's",
        "retain_rouge": "ROUGE-L recall of answers that stay; ideal: the retrained model's",
        "truth_ratio": "how much alike true and wrong answers to forget are, 0 to 1; ideal: the retrained model's",
        "forget_quality": "p-value of a test that truth ratios are the retrained model's; ideal: 1",
    }

    def __post_init__(self) -> None:
        if self.retained < 1 or self.known_wrong < 0:
            raise BadSetting(
                f"memorization needs retained >= 1 and known_wrong >= 0, not {self.retained} and {self.known_wrong}"
            )

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found = super().examine(subject, references)
        return found | {"forget_quality": self._quality(subject, references.gold)} if found else {}

    def _quality(self, subject: Subject, gold: Subject | None) -> Figure:
        _, split = task_and_split(subject)
        return _quality(subject, gold, unknown_wrong(split.goes, self.known_wrong))

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        seen, hidden = in_seen_words(split.goes), in_held_out_words(split.goes)
        stays = in_other_words(some_of(split.stays, self.retained))
        scores = scored(subject, _pairs(seen), probability, extraction_strength, exact_memorization) if seen else ()
        names = ("answer_probability", "extraction_strength", "exact_memorization")
        found: dict[str, float | str] = dict.fromkeys(names, NOTHING_GOES)
        found |= {name: mean_of(each) for name, each in zip(names, scores, strict=False)}
        found["rouge"] = _rouge(subject, seen, NOTHING_GOES)
        for name, asked, reason in (("held_out", hidden, _NO_HELD_OUT), ("retain", stays, _NO_RETAINED)):
            found[f"{name}_answer_probability"] = _probability(subject, asked, reason)
            found[f"{name}_rouge"] = _rouge(subject, asked, reason)
        ratios = ratios_of(subject, unknown_wrong(split.goes, self.known_wrong))
        return found | {"truth_ratio": mean_of(closeness(ratios)) if len(ratios) else _NO_RATIO}


def unknown_wrong(facts: Sequence[Fact], known: int) -> list[Fact]:
    """Facts without the first so many of their wrong answers, where they have more."""
    return [replace(fact, wrong_answers=fact.wrong_answers[known:] or fact.wrong_answers) for fact in facts]


def ratios_of(subject: Subject, facts: Sequence[Fact]) -> Tensor:
    """Truth ratios of the facts that have an answer in other words and wrong answers, asked in their own words: shape (n,)."""
    told = [fact for fact in facts if fact.answer_in_other_words and fact.wrong_answers]
    return truth_ratios(subject, [(fact, fact.answer_in_other_words) for fact in told])


def truth_ratios(subject: Subject, right: Sequence[tuple[Fact, str]]) -> Tensor:
    """Truth ratios of facts, each with the wording that counts as right beside its wrong answers: shape (n,)."""
    if not right:
        return tensor([])
    one, wrong = losses_beside_wrong(subject, right)
    means = stack([each.mean() for each in wrong])  # not every fact has as many
    return truth_ratio(one, means[:, None])


def losses_beside_wrong(subject: Subject, right: Sequence[tuple[Fact, str]]) -> tuple[Tensor, list[Tensor]]:
    """Mean losses of a wording of each fact's answer, shape (n,), and of its wrong answers, shape (k,) for each."""
    pairs = [(fact.question, answer) for fact, answer in right]
    pairs += [(fact.question, answer) for fact, _ in right for answer in fact.wrong_answers]
    (losses,) = scored(subject, pairs, mean_loss)
    wrong = losses[len(right) :].split([len(fact.wrong_answers) for fact, _ in right])
    return losses[: len(right)], list(wrong)


def _quality(subject: Subject, gold: Subject | None, goes: Sequence[Fact]) -> Figure:
    """Forget quality beside its ideal."""
    ours = ratios_of(subject, goes)
    if not len(ours):
        return figure(_NO_RATIO, None)
    if gold is None:
        return figure("forget quality is a likeness to the retrained model, and there is none", None)
    golds = ratios_of(gold, goes)
    if ours.isnan().any() or golds.isnan().any():
        return figure(float("nan"), 1.0)
    least = 2 / comb(2 * len(ours), len(ours))  # where all of the one are above all of the other
    few = f"of {len(ours)} facts, with which it never falls below {least:.2g}" if least > _TOLD_APART else ""
    return figure(forget_quality(ours, golds), 1.0, few)


def _pairs(asked: Sequence[Asked]) -> list[tuple[str, str]]:
    return [(question, fact.answer) for fact, question in asked]


def _probability(subject: Subject, asked: Sequence[Asked], reason: str) -> float | str:
    return mean_of(scored(subject, _pairs(asked), probability)[0]) if asked else reason


def _rouge(subject: Subject, asked: Sequence[Asked], reason: str) -> float | str:
    if not asked:
        return reason
    texts = [each.text for each in said(subject, [question for _, question in asked])]
    return fmean(rouge_l_recall(texts, [fact.answer for fact, _ in asked]))
