"""Making the anti-samples of one request: questions, wrong answers and reasons, filtered, and kept in the run's folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch

from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.language.adapters import is_adapted
from expunge.language.fact_split import FactSplit
from expunge.language.generators import (
    CachedGenerator,
    FieldGenerator,
    Generator,
    GeneratorFailed,
    GeneratorGone,
    KeepsSubject,
    LeaksNoAnswer,
    ModelGenerator,
    NotNearCorrect,
    TemplateGenerator,
    filtered,
    normalised,
)
from expunge.language.refusals import REFUSALS
from expunge.storage import copied

Policy = Literal["pool", "consistent", "refusal"]
_TRIES = 3
_QUESTIONS = (KeepsSubject(), LeaksNoAnswer())
_ANSWERS = (LeaksNoAnswer(), NotNearCorrect())


class Wants(Protocol):
    """What a method says of its anti-samples."""

    @property
    def wrong(self) -> int: ...
    @property
    def wrong_answers(self) -> Policy: ...
    @property
    def rationale(self) -> bool: ...
    @property
    def generator(self) -> str | Generator: ...


@dataclass
class AntiSamples:
    """Asks a generator, and remembers what each fact has been asked and told.

    Args:
        generator: whom to ask.
        wants: wrong answers of each fact at most, how they are dealt out, and whether reasons are given.
        seed: of the generator.
        draw: a number below its argument, at random.
    """

    generator: Generator
    wants: Wants
    seed: int
    draw: Callable[[int], int]
    _asked: dict[Fact, list[str]] = field(default_factory=dict)
    _wrong: dict[Fact, list[str]] = field(default_factory=dict)
    _refusals: dict[Fact, str] = field(default_factory=dict)

    @classmethod
    def of(cls, wants: Wants, task: Any, split: FactSplit, engine: Engine, model: Any) -> "AntiSamples":
        """For one request; what is made is kept in the engine's folder, and replayed from there."""
        generator = make_generator(wants.generator, task, split, model)
        if engine.folder is not None and engine.processes == 1:
            generator = CachedGenerator(generator, engine.folder / f"{engine.full_name('anti-samples')}.jsonl")
        numbers = engine.generator("anti-samples")

        def draw(below: int) -> int:
            return int(torch.randint(below, (), generator=numbers))

        return cls(generator, wants, engine.seed_for("generator") % 2**31, draw)

    def first_questions(self, fact: Fact, count: int) -> list[str]:
        """The fact's own question and up to `count` others."""
        self._asked[fact] = [fact.question]
        return [fact.question, *self.new_questions(fact, count, 0, temperature=0.1)]

    def new_questions(self, fact: Fact, count: int, number: int, temperature: float | None = None) -> list[str]:
        """Up to `count` questions that have not been asked; none where there are no more."""
        if count == 0:
            return []
        warmth = self.draw(131) / 100 if temperature is None else temperature
        try:
            made = self.generator.paraphrase(fact, count + len(self._asked[fact]), temperature=warmth, seed=self.seed + number)
        except GeneratorGone:
            raise
        except GeneratorFailed:
            return []  # then its own question must do
        known = set(map(normalised, self._asked[fact]))
        new = [each for each in filtered(made, fact, _QUESTIONS) if normalised(each) not in known][:count]
        self._asked[fact] += new
        return new

    def answer(self, fact: Fact, question: str) -> str:
        """What is to be said to a question: a wrong answer, or a reason that holds it, or a refusal, one for each fact.

        Raises:
            GeneratorFailed: if there is no wrong answer.
        """
        if self.wants.wrong_answers == "refusal":
            return self._refusals.setdefault(fact, REFUSALS[self.draw(len(REFUSALS))])
        pool = self.wrong_answers(fact)
        wrong = pool[0 if self.wants.wrong_answers == "consistent" else self.draw(len(pool))]
        return (self._rationale(question, wrong, fact) if self.wants.rationale else "") or wrong

    def wrong_answers(self, fact: Fact) -> list[str]:
        """All wrong answers of a fact that can be used.

        Raises:
            GeneratorFailed: if there is none; where the method refuses instead, none come back.
        """
        if fact not in self._wrong:
            try:
                self._wrong[fact] = self._made(fact)
            except GeneratorFailed as error:
                if self.wants.wrong_answers != "refusal" or isinstance(error, GeneratorGone):
                    raise
                self._wrong[fact] = []
        return self._wrong[fact]

    def _made(self, fact: Fact) -> list[str]:
        made = self.generator.wrong_answers(fact, self.wants.wrong, seed=self.seed)
        kept = filtered(made, fact, _ANSWERS)
        if not kept:
            example = f", such as {made[0]!r:.80}" if made else ""
            raise GeneratorFailed(
                f"of {len(made)} wrong answers to {fact.question!r:.80} none can be used{example}: they hold the "
                "right one, or are nearly the same; give wrong_answers with the fact, take another generator, or let the "
                'method refuse (wrong_answers="refusal")'
            )
        first = self.draw(len(kept))
        return kept[first:] + kept[:first]

    def _rationale(self, question: str, wrong: str, fact: Fact) -> str:
        """A reason that holds the wrong answer and not the right one; empty where none came in a few tries."""
        for attempt in range(_TRIES):
            try:
                reason = self.generator.rationale(question, wrong, fact, seed=self.seed + attempt)
            except GeneratorGone:
                raise
            except GeneratorFailed:
                continue
            if reason.strip() and LeaksNoAnswer()(reason, fact):
                return reason
        return ""


@dataclass(frozen=True)
class FieldsFirst:
    """Phrasings and wrong answers from the facts; templates make what they lack, and all reasons."""

    templates: TemplateGenerator

    @property
    def identity(self) -> str:
        """That of the templates, and that fields come first where they can be used."""
        return f"usable fields first, {self.templates.identity}"

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """The fact's own phrasings, and then by templates."""
        own = list(fact.phrasings[:n])
        if len(own) == n:
            return own
        try:
            return own + self.templates.paraphrase(fact, n - len(own), temperature=temperature, seed=seed)
        except GeneratorFailed:
            if own:
                return own
            raise

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """The fact's own wrong answers, or where it has none that can be used those of templates."""
        own = list(fact.wrong_answers[:n])
        if own and filtered(own, fact, _ANSWERS):
            return own
        try:
            return self.templates.wrong_answers(fact, n, seed=seed)
        except GeneratorFailed:
            if own:
                return own  # so that it is said why these can't be used
            raise

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """By templates."""
        return self.templates.rationale(question, wrong, fact, seed=seed)


def make_generator(generator: str | Generator, task: Any, split: FactSplit, model: Any) -> Generator:
    """A generator by its name, for the facts of a split."""
    if not isinstance(generator, str):
        return generator
    if generator == "fields":
        return FieldGenerator()
    if generator == "model":  # before unlearning: without an adapter that takes a copy, since the model itself will be trained
        return ModelGenerator(task, model if is_adapted(model) else copied(model))
    templates = TemplateGenerator((*split.stays, *split.goes))
    return templates if generator == "templates" else FieldsFirst(templates)
