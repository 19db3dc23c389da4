"""Whether what a model said holds an answer: does it still know?

Both texts are brought into the same form first: Unicode NFKC, lower case, punctuation and symbols to blanks, articles dropped,
"zero" to "twelve" as digits. Then the answer must occur as whole words ("exact"), or all of its content words, anywhere and in
any order ("words"), or something that is spelled much like it ("fuzzy").

The published code of UnSTAR asks less: that any word of the answer is like any word of what was said. The answer "University of
Oslo" is then known wherever there is an "of", so that questions seem known forever. Here the whole answer must be there, or all
of it that means something.

What this cannot see:

- meaning. "No, Varchi was from Italy" is not matched by the answer "Italian", though it gives it away: list what else would,
  such as "Italy", as aliases. And "Varchi was not Italian" is matched, though it denies it.
- other writings: "US" and "U.S.", "1,000" and "1000", "13" and "thirteen". They too are for aliases.
- what only articles, number words and symbols tell apart: "vitamin A" is looked for as "vitamin", "C++" as "C", and "one of
  them" holds the answer "1".
- slips of spelling from other words, where words are short: to the fuzzy matcher "art" and "cart" are 86 % alike.
- words in scripts that put no blanks between them.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR
2025, arXiv 2410.17050.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from expunge.errors import BadSetting, MissingExtra

Kind = Literal["exact", "words", "fuzzy"]

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = frozenset({"a", "an", "the"})
# Not among them: "no" and "not", "before" and "after", which turn an answer round, nor "us" and "i", which are names as well.
_PRONOUNS = "he she they we you it me him her them my your his hers its our their this that these those there then so than if"
_VERBS = "am is are was were be been being do does did has have had"
_LINKS = "and or but as of at by for from in into on to with about through during who whom whose which what where when how"
_STOP_WORDS = _ARTICLES.union(_PRONOUNS.split(), _VERBS.split(), _LINKS.split())


@dataclass(frozen=True)
class Matcher:
    """How closely what was said must hold an answer.

    Args:
        kind: "exact" wants the whole answer, word for word; "words" its content words, in any order, as answers that are whole
            sentences need; "fuzzy" the whole answer, but for slips of spelling in words without digits.
        threshold: for "fuzzy", what likeness must exceed, 0 to 100: 200 times the length of the longest common subsequence of
            letters, by the letters of both. 80 is that of the published code.

    Raises:
        BadSetting: if there is no such kind, or the threshold is not between 0 and 100.

    >>> Matcher("fuzzy", threshold=90)
    Matcher(kind='fuzzy', threshold=90)
    """

    kind: Kind = "exact"
    threshold: float = 80

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise BadSetting(f"there is no matcher {self.kind!r}; there are {', '.join(get_args(Kind))}")
        if not 0 <= self.threshold <= 100:
            raise BadSetting(f"threshold is {self.threshold}; expected a likeness between 0 and 100")

    def finds(self, answer: Sequence[str], said: Sequence[str]) -> bool:
        """Whether the words that were said hold those of an answer, both as :func:`words_of` gives them."""
        if not _ARTICLES.issuperset(answer):
            answer, said = _without(_ARTICLES, answer), _without(_ARTICLES, said)
        if self.kind == "words":
            return set(said).issuperset(_without(_STOP_WORDS, answer) or answer)
        whole = f" {' '.join(answer)} " in f" {' '.join(said)} "
        return whole or (self.kind == "fuzzy" and _likeness(answer, said) > self.threshold)


def still_known(answer: str, said: str, matcher: Matcher = Matcher(), aliases: Iterable[str] = ()) -> bool:
    """Whether what a model said holds the answer, or one of its aliases.

    Args:
        answer: what is right.
        said: the model's answer, of any length.
        matcher: how closely it must be there.
        aliases: other writings of the answer that count as much.

    Raises:
        BadSetting: if the answer or an alias has no word to look for, or the aliases are a text instead of several.
        MissingExtra: if the matcher is "fuzzy" and rapidfuzz is not installed.

    >>> still_known("the University of Oslo", "He studied at University of Oslo, in Norway.")
    True
    >>> still_known("University of Oslo", "He is a professor of law at the University of Bergen.")
    False
    >>> said = "No, Varchi was from Italy."
    >>> still_known("Italian", said), still_known("Italian", said, aliases=["Italy"])
    (False, True)
    """
    if isinstance(aliases, str):
        raise BadSetting(f"aliases are several texts; put {aliases!r:.40} into a list, or its letters count as aliases")
    heard = words_of(said)
    wanted = {text: words_of(text) for text in (answer, *aliases)}
    for text, words in wanted.items():
        if not words:
            raise BadSetting(f"the answer {text!r} has no word to look for")
    return any(matcher.finds(words, heard) for words in wanted.values())


def words_of(text: str) -> list[str]:
    """The words of a text, in the form in which they are compared: NFKC, lower case, no punctuation, numbers to 12 as digits.

    >>> words_of("Twelve “Years” at St. Mary’s")
    ['12', 'years', 'at', 'st', 'mary', 's']
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # Not by \w: it leaves out the marks that are vowels in many scripts.
    spaced = "".join(" " if unicodedata.category(letter)[0] in "PS" else letter for letter in plain)
    return [_DIGITS.get(word, word) for word in spaced.split()]


def _without(dropped: frozenset[str], words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in dropped]


def _likeness(answer: Sequence[str], said: Sequence[str]) -> float:
    """Of the answer and the likest stretch of as many words, 0 to 100.

    Words with digits must be the same: two dates that differ by a year are spelled much alike, and mean something else.
    """
    try:
        from rapidfuzz import fuzz
    except ImportError as error:
        raise MissingExtra("fuzzy matching needs rapidfuzz: pip install 'expunge[language]'") from error
    size = len(answer)
    stretches = [said[start : start + size] for start in range(max(len(said) - size, 0) + 1)]
    alike = [each for each in stretches if _with_digits(each) == _with_digits(answer)]
    return max((fuzz.ratio(" ".join(answer), " ".join(each)) for each in alike), default=0.0)


def _with_digits(words: Sequence[str]) -> list[str]:
    return [word for word in words if any(letter.isdigit() for letter in word)]
