"""Filters on what generators make: each says of one text whether it may stay, and :func:`filtered` puts them together.

They are for what the paper names as failures: questions that drifted off the fact, and wrong answers that are nearly right.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR 2025,
arXiv 2410.17050, section 3.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from expunge.data.facts import Fact
from expunge.errors import BadSetting, MissingExtra

Filter = Callable[[str, Fact], bool]

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SMALL_WORDS = re.compile(
    "a|an|the|this|that|these|those|and|or|but|nor|so|as|of|in|on|at|to|from|by|for|with|about|into|is|are|was|were|be|been|being|"
    "am|do|does|did|has|have|had|will|would|can|could|may|might|shall|should|must|it|its|he|him|his|she|her|hers|they|them|their|"
    "i|me|my|we|us|our|you|your|who|whom|whose|which|what|where|when|why|how|there|here|also|very|s|t"
)


@dataclass(frozen=True)
class KeepsSubject:
    """Keeps questions that name the subject of the fact, in whatever case.

    All stay where the fact has no subject, or where its own question does not name it either.
    """

    def __call__(self, text: str, fact: Fact) -> bool:
        return not fact.subject.strip() or not holds(fact.question, fact.subject) or holds(text, fact.subject)


@dataclass(frozen=True)
class LeaksNoAnswer:
    """Keeps texts that do not hold the right answer, said in either way, as whole words and in whatever case.

    >>> LeaksNoAnswer()("Did Ada study in oslo?", Fact("Where did Ada study?", "Oslo"))
    False
    """

    def __call__(self, text: str, fact: Fact) -> bool:
        return not any(holds(text, answer) for answer in _right(fact))


@dataclass(frozen=True)
class EditDistanceBand:
    """Keeps questions that are neither nearly the fact's own nor far from it.

    Args:
        lowest: smallest share of letters that must change, 0 to 1: Levenshtein distance by the length of the longer text.
        highest: the largest.

    Raises:
        BadSetting: if not 0 <= lowest <= highest <= 1.
        MissingExtra: on the first text, if rapidfuzz is not installed.
    """

    lowest: float
    highest: float

    def __post_init__(self) -> None:
        if not 0 <= self.lowest <= self.highest <= 1:
            raise BadSetting(f"a band of distances lies within 0 and 1, lowest first, not {self.lowest} to {self.highest}")

    def __call__(self, text: str, fact: Fact) -> bool:
        distance = _rapidfuzz().distance.Levenshtein.normalized_distance(normalised(text), normalised(fact.question))
        return bool(self.lowest <= distance <= self.highest)


@dataclass(frozen=True)
class EmbeddingBand:
    """Keeps questions whose embedding lies near that of the fact's own question.

    Args:
        embed: from n texts to n vectors, as anything that numpy can read; shape (n, width).
        lowest: smallest cosine of the angle between the two, -1 to 1.

    Raises:
        BadSetting: if `lowest` is no cosine, or `embed` does not return two vectors for two texts.
    """

    embed: Callable[[Sequence[str]], Any]
    lowest: float

    def __post_init__(self) -> None:
        if not -1 <= self.lowest <= 1:
            raise BadSetting(f"a cosine lies within -1 and 1, not at {self.lowest}")

    def __call__(self, text: str, fact: Fact) -> bool:
        vectors = np.asarray(self.embed([text, fact.question]), dtype=float)
        if vectors.ndim != 2 or len(vectors) != 2:
            raise BadSetting(f"embed must return one vector a text, shape (2, width), not {vectors.shape}")
        lengths = np.linalg.norm(vectors, axis=1)
        # A vector without a length has no direction: it is near nothing.
        return bool(lengths.all() and vectors[0] @ vectors[1] / lengths.prod() >= self.lowest)


@dataclass(frozen=True)
class NotNearCorrect:
    """Keeps wrong answers that are not the right one with other words, letters or endings.

    A text is nearly right if it holds an answer or is held in it; if each word that makes the answer has a word in the text
    that begins alike; or if what the two do not share is spelled nearly alike. Words of the question make an answer only where
    it has no others, and numbers are never nearly alike: 1951 is a good wrong answer to 1950. The meaning is not looked at: a
    right answer in quite other words is only known if the fact has it as `answer_in_other_words`.

    Args:
        threshold: largest similarity of what is not shared, 0 to 100: rapidfuzz's ratio. The default is the authors'.
        stem_letters: so many first letters make two words alike.

    Raises:
        BadSetting: if `threshold` does not lie within 0 and 100, or `stem_letters` is less than 1.
        MissingExtra: on the first text, if rapidfuzz is not installed.

    >>> varchi = Fact("Was Benedetto Varchi Italian?", "Italian")
    >>> NotNearCorrect()("No, Varchi was from Italy", varchi), NotNearCorrect()("No, Varchi was from Spain", varchi)
    (False, True)
    """

    threshold: float = 80
    stem_letters: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 100 or self.stem_letters < 1:
            raise BadSetting(
                f"threshold lies within 0 and 100 and stem_letters is at least 1, not {self.threshold} and {self.stem_letters}"
            )

    def __call__(self, text: str, fact: Fact) -> bool:
        return not any(self._near(text, answer, fact) for answer in _right(fact))

    def _near(self, text: str, answer: str, fact: Fact) -> bool:
        given, right = _counted(text), _counted(answer)
        if not right:  # nothing but punctuation
            return answer.strip() in text
        if holds(given, right) or holds(right, given):
            return True
        asked = set(_counted(f"{fact.question} {fact.subject}").split())
        theirs, ours = _telling(right.split(), asked), _telling(given.split(), asked)
        missing, instead = self._unmatched(theirs, ours), self._unmatched(ours, theirs)
        if not missing:
            return True
        ratio = _rapidfuzz().fuzz.ratio(" ".join(missing), " ".join(instead))
        return bool(ratio > self.threshold) and not any(_has_digit(word) for word in missing)

    def _unmatched(self, words: list[str], others: list[str]) -> list[str]:
        """Those of `words` that no other word is alike."""
        stems = {other[: self.stem_letters] for other in others if len(other) >= self.stem_letters and not _has_digit(other)}
        return [word for word in words if word not in others and word[: self.stem_letters] not in stems]


def filtered(texts: Iterable[str], fact: Fact, filters: Sequence[Filter]) -> list[str]:
    """Those texts that pass all filters, in their order.

    Empty ones are dropped, and those that say the same as one before, but for case, blanks and punctuation. So are the fact's
    own question, and those held out for audits, which would no longer show whether forgetting carries over to them.

    >>> filtered(["Ada's school?", "ada's  SCHOOL", "In Oslo?"], Fact("Where did Ada study?", "Oslo"), [LeaksNoAnswer()])
    ["Ada's school?"]
    """
    return list(each_filtered(texts, fact, filters))


def each_filtered(texts: Iterable[str], fact: Fact, filters: Sequence[Filter]) -> Iterator[str]:
    """What :func:`filtered` returns, one by one, for whoever does not need all."""
    seen = {"", *map(normalised, (fact.question, *fact.held_out))}
    for text in texts:
        plain = normalised(text)
        if plain not in seen and all(passes(text, fact) for passes in filters):
            seen.add(plain)
            yield text


def normalised(text: str) -> str:
    """A text without case and punctuation, and with single blanks; signs such as + and $ stay.

    >>> normalised(" Who's  Ada?")
    'who s ada'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(" " if unicodedata.category(letter)[0] in "PZC" else letter for letter in plain).split())


def holds(text: str, phrase: str) -> bool:
    """Whether a text holds a phrase as whole words, or its plural, but for case, blanks and punctuation."""
    wanted = normalised(phrase)
    if not wanted:
        return phrase.strip() in text
    # Scripts without case are often written without blanks between words too, so there any place will do.
    before = r"(?<!\w)" if _parts_words(wanted[0]) else ""
    after = r"s?(?!\w)" if _parts_words(wanted[-1]) else ""
    return re.search(before + re.escape(wanted) + after, normalised(text)) is not None


def _parts_words(letter: str) -> bool:
    return letter.isdigit() or letter.lower() != letter.upper()


def _right(fact: Fact) -> list[str]:
    return [answer for answer in (fact.answer, fact.answer_in_other_words) if answer.strip()]


def _counted(text: str) -> str:
    words = normalised(text).split()
    return " ".join(str(_NUMBERS.index(word)) if word in _NUMBERS else word for word in words)


def _telling(words: list[str], asked: set[str]) -> list[str]:
    """The words that make an answer: not the small ones, nor those of the question, unless there are no others."""
    large = [word for word in words if not _SMALL_WORDS.fullmatch(word)]
    return [word for word in large if word not in asked] or large or words


def _has_digit(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def _rapidfuzz() -> ModuleType:
    try:
        import rapidfuzz.distance
        import rapidfuzz.fuzz
    except ImportError as error:
        raise MissingExtra("comparing how texts are spelled needs rapidfuzz: pip install 'expunge[language]'") from error
    return rapidfuzz
