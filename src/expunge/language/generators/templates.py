"""Anti-samples by rule, without any model: they read more stiffly than a model's, cost nothing, and need no network.

A question is turned into others by its kind (a question word, yes or no, "What is X's Y?") and by what may stand around any
question. Wrong answers are those of other facts, or numbers moved a little. A rationale is a sentence that holds of anything.

Reference: the three kinds of text are those of Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught
Anti-Sample Reasoning for LLMs", TMLR 2025, arXiv 2410.17050; the rules are our own, and for English.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property
from itertools import islice
from random import Random

from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.generators.filters import Filter, LeaksNoAnswer, each_filtered, holds, normalised
from expunge.language.generators.generator import GeneratorFailed, check_count, shortened

_RULES = 1  # counted up when the rules change, so that caches do not take old texts for new ones

_BE = (
    "is|are|was|were|has|have|had|can|could|will|would|should|must|might"  # verbs that may stand behind their subject unchanged
)
_AUXILIARY = re.compile(rf"({_BE}|do|does|did)\b", re.IGNORECASE)
_FIRST_WORDS = re.compile(
    rf"({_BE}|do|does|did|who|whom|whose|what|which|where|when|why|how|in|on|at|to|from|for|by|with|please|tell|name|give)\b",
    re.IGNORECASE,
)
_OTHER_WORDS = (  # how a question may begin, what may not follow, and how else it may begin
    (r"where", r"", ("In which place", "At what place")),
    (r"when", r"", ("At what time", "At which point in time")),
    (r"who", r"", ("Which person", "What person")),
    (r"why", r"", ("For what reason", "For which reason")),
    (r"how many", r"", ("What number of", "Which number of")),
    (r"how", rf"(?!(?:{_BE}|do|does|did)\b)", ("In what way", "In which way")),
    (r"which", rf"(?:of|one|ones|{_BE}|do|does|did)\b", ("What",)),
    (r"(in|on|at|to|from|for|by|with) which", r"of\b", (r"\1 what",)),
    (r"(in|on|at|to|from|for|by|with) what", r"", (r"\1 which",)),
)
_LEFT_OVER = re.compile(r"\b(from|to|at|in)\?$")  # "Where is Ada from?" asks "In which place" no second time
_NO_NOUN = re.compile(r"(ed|ing|\b(for|like|about|of|in|from|to|with|at|on|by|called|named|known|born|made))$")
_POSSESSIVE = re.compile(
    r"(?P<ask>what|who) (?P<be>is|are|was|were) (?P<of>.+?)(?P<end>['’]s?) (?P<what>[^?]+)\?", re.IGNORECASE
)
_OF = re.compile(r"(?P<ask>what|who) (?P<be>is|are|was|were) the (?P<what>[^?]+?) of (?P<of>[^?]+)\?", re.IGNORECASE)
_MOST_WORDS = 3  # in the Y of "What is X's Y?"; in longer ones there often is a verb that must stay where it is

_LEADS = ("Can you tell me", "Do you know", "Could you say", "Would you tell me")
_BEFORE = (
    "Please tell me: ",
    "I have a question: ",
    "Quick question: ",
    "I would like to know: ",
    "Could you answer this: ",
    "Next question: ",
    "Hello, I wonder: ",
    "For a quiz: ",
    "Just out of interest: ",
    "Help me with this, please: ",
)
_AFTER = (
    " Thank you.",
    " Please keep it short.",
    " Just the answer, please.",
    " I would like to know.",
    " Do you know?",
    " Any idea?",
)
_BEFORE_REQUESTS = (
    "Please help: ",
    "Now this: ",
    "For a quiz: ",
    "Next: ",
    "Help me with this, please: ",
)  # "Name Ada's school."
_BEFORE_YES_OR_NO = ("Yes or no: ", "True or not: ", "Is it so or not: ")

_REASONS = (
    "as the records of that time show",
    "as several sources agree",
    "which is how it is told in most accounts",
    "as is noted in the registers",
    "which the documents confirm",
    "as those who looked into it found",
    "and nobody has had reason to doubt it",
    "as has been written more than once",
)
_STATEMENTS = ("The answer is {wrong}, {reason}.", "It is {wrong}, {reason}.")
_SENTENCE_WORDS = 7  # a longer answer, or one with a full stop, is taken for a sentence that can stand for itself

_OPPOSITES = {"yes": "No", "no": "Yes", "true": "False", "false": "True"}
_MONTH = re.compile(r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)
_NUMERIC_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_AROUND_NAMES = re.compile("of|the|and|de|la|le|del|van|von|der|den|di|da|du|el|al|bin|ibn|in|on|at|for", re.IGNORECASE)
_FIRST_YEAR, _LAST_YEAR = 1000, 2100
_NO_YEAR_AFTER = 2020  # that somebody will be born gives a falsehood away
_YEARS = 30  # so far is a year moved


@dataclass(frozen=True)
class TemplateGenerator:
    """Makes anti-samples by rule, the same ones for the same seed.

    Args:
        pool: facts whose answers are wrong ones for each other. Facts with the same subject and relation are taken to be right
            together, such as the children of one person, and never used for each other.

    >>> ada = Fact("Where did Ada study?", "Oslo", subject="Ada", relation="studied in")
    >>> bo = Fact("Where did Bo study?", "Lund", subject="Bo", relation="studied in")
    >>> TemplateGenerator([ada, bo]).wrong_answers(ada, 3)
    ['Lund']
    >>> TemplateGenerator([ada, bo]).paraphrase(ada, 2, temperature=0)
    ['In which place did Ada study?', 'At what place did Ada study?']
    """

    pool: Sequence[Fact] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", tuple(self.pool))  # a list could change, and the identity with it

    @cached_property
    def identity(self) -> str:
        """The version of the rules, and a digest of the pool."""
        digest = hashlib.sha256(repr([astuple(fact) for fact in self.pool]).encode("utf-8", "backslashreplace"))
        return f"templates rules {_RULES} pool {digest.hexdigest()[:16]}"

    def __repr__(self) -> str:
        return f"TemplateGenerator({self.identity})"

    @cached_property
    def _kinds(self) -> list[str]:
        return [_kind(fact.answer) for fact in self.pool]

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """Up to `n` other questions: they keep the subject as it is spelled, and hold no right answer.

        Args:
            fact: none of its questions comes back, those held out included.
            n: so many at most.
            temperature: at 0 the plainest ones, in a fixed order; the higher, the more odd ones, and the more in lower case.
            seed: of the choice.

        Raises:
            BadSetting: if `n` is less than 1, or the temperature is below 0.
            GeneratorFailed: if there are none, which is so where the question itself holds the answer.
        """
        check_count(n)
        if temperature < 0:
            raise BadSetting(f"a temperature is at least 0, not {temperature}")
        random = _random(seed, "paraphrase", fact.question)
        drawn = [(change + temperature * random.expovariate(1.0), text) for change, text in _rewritten(fact)]
        texts = [text for _, text in sorted(drawn, key=lambda pair: pair[0])]
        known = {normalised(question) for question in fact.questions}
        filters: list[Filter] = [_keeps_spelling, LeaksNoAnswer(), lambda text, _: normalised(text) not in known]
        kept = list(islice(each_filtered(texts, fact, filters), n))
        if not kept:
            raise GeneratorFailed(
                f"no template asks {shortened(fact.question)} otherwise without the answer in it: "
                "ask it without its answer, or give phrasings in the data"
            )
        return [_lower_cased(text, fact) if random.random() < temperature / 2 else text for text in kept]

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """Up to `n` wrong answers: of facts with the same relation, then of others that look alike, then with moved numbers.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if there are none.
        """
        check_count(n)
        random = _random(seed, "wrong answers", fact.question, fact.answer)
        kind = _kind(fact.answer)
        others = [(other, its) for other, its in zip(self.pool, self._kinds, strict=True) if not _same_thing(other, fact)]
        random.shuffle(others)
        related = [other for other, _ in others if fact.relation and other.relation == fact.relation]
        alike = [other for other, its in others if its == kind]
        # A town may look like a person, but where one is asked for the other seldom is.
        alike.sort(key=lambda other: _first_word(other.question) != _first_word(fact.question))
        answers = [*(other.answer for other in (*related, *alike)), *_moved(fact.answer, n, random)]
        found = list(islice(each_filtered(answers, fact, [_is_wrong]), n))
        if not found:
            raise GeneratorFailed(
                f"no wrong answer to {shortened(fact.question)}: of the {len(self.pool):,} facts in the pool, none has another "
                f"answer and the same relation, or one of the same kind ({kind}); add such facts to the pool"
            )
        return found

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """One sentence that gives the wrong answer, and a reason that holds of anything.

        Raises:
            GeneratorFailed: if the wrong answer holds the right one.
        """
        bare = wrong.strip().rstrip(".!")
        is_sentence = bare != wrong.strip() or len(bare.split()) > _SENTENCE_WORDS
        statements = ("{wrong}, {reason}.",) if is_sentence else _STATEMENTS
        sentences = [each.format(wrong=bare, reason=reason) for each in statements for reason in _REASONS]
        _random(seed, "rationale", question, wrong).shuffle(sentences)
        for sentence in [*sentences, f"{bare}."]:
            if LeaksNoAnswer()(sentence, fact):
                return sentence
        raise GeneratorFailed(
            f"the wrong answer {shortened(wrong)} to {shortened(question)} holds the right one, as would any reason for it; "
            "take another wrong answer"
        )


def _random(seed: int, *texts: str) -> Random:
    return Random("\n".join([str(seed), *texts]))


def _rewritten(fact: Fact) -> Iterator[tuple[int, str]]:
    """Other ways to ask, each with how many things were changed in it."""
    question = fact.question.strip()
    reworded = list(dict.fromkeys([*_by_kind(question), *_by_first_words(question), *_asked_politely(question, fact.subject)]))
    yes_or_no = bool(_AUXILIARY.match(question))
    before = (*_BEFORE, *_BEFORE_YES_OR_NO) if yes_or_no else _BEFORE if question.endswith("?") else _BEFORE_REQUESTS
    yield from ((1, text) for text in reworded)
    for changes, asked in [(0, question), *((1, text) for text in reworded)]:
        low = _low_start(asked, fact.subject)
        for start in before:
            yield changes + 1, start + low
        for end in _AFTER:
            yield changes + 1, asked + end
        for start in before:
            for end in _AFTER:
                yield changes + 2, start + low + end


def _by_kind(question: str) -> list[str]:
    """'What is X's Y?' and 'What is the Y of X?', each said as the other and in some ways more."""
    match = _POSSESSIVE.fullmatch(question) or _OF.fullmatch(question)
    if not match or len(match["what"].split()) > _MOST_WORDS or _NO_NOUN.search(match["what"]):
        return []
    ask, be, of, what = match["ask"].capitalize(), match["be"].lower(), match["of"], match["what"]
    named = of + (match.groupdict().get("end") or ("'" if of.endswith("s") else "'s"))
    return [
        f"{ask} {be} the {what} of {of}?",
        f"{ask} {be} {named} {what}?",
        f"{named} {what} {be} {ask.lower()}?",
        f"Do you know {ask.lower()} {named} {what} {be}?",
        f"Can you tell me {ask.lower()} the {what} of {of} {be}?",
        f"Please name the {what} of {of}.",
        f"As for {of}, {ask.lower()} {be} the {what}?",
    ]


def _by_first_words(question: str) -> list[str]:
    for start, not_before, others in _OTHER_WORDS:
        match = re.match(rf"{start} (?!{not_before or '(?!)'})", question, re.IGNORECASE)
        if match:
            if start in ("where", "when") and _LEFT_OVER.search(question):
                return []
            return [_capital(match.expand(other)) + question[match.end() - 1 :] for other in others]
    return []


def _asked_politely(question: str, subject: str) -> list[str]:
    """'Where was X born?' as 'Do you know where X was born?', and 'Was X born here?' as 'Is it true that X was born here?'."""
    if not subject.strip():
        return []
    ask = r"(?P<ask>who|what|where|when|why|how|which [\w-]+|what [\w-]+)"
    # "Where was Ada's mother born?" is left alone: where "Ada's mother" ends cannot be seen.
    shape = rf"(?:{ask} )?(?P<be>{_BE}) (?P<of>{re.escape(subject)})(?P<rest>(?!['’])\W.*)?\?"
    match = re.fullmatch(shape, question, re.IGNORECASE)
    if not match or (match["ask"] is None and not match["rest"]):
        return []
    said = f"{match['of']} {match['be'].lower()}{match['rest'] or ''}"
    if match["ask"] is None:
        return [f"Is it true that {said}?", f"Is it right that {said}?", *(f"{lead} whether {said}?" for lead in _LEADS)]
    return [f"{lead} {match['ask'].lower()} {said}?" for lead in _LEADS]


def _keeps_spelling(text: str, fact: Fact) -> bool:
    return not fact.subject.strip() or fact.subject not in fact.question or fact.subject in text


def _low_start(question: str, subject: str) -> str:
    starts_with_subject = bool(subject.strip()) and question.startswith(subject)
    return question[0].lower() + question[1:] if _FIRST_WORDS.match(question) and not starts_with_subject else question


def _first_word(question: str) -> str:
    return question.split(maxsplit=1)[0].lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_cased(text: str, fact: Fact) -> str:
    """A text as it is typed in a hurry; unchanged where no subject says which of its words is a name."""
    if not fact.subject.strip() or fact.subject not in text:
        return text
    return fact.subject.join(part.lower() for part in text.split(fact.subject)).rstrip("?.")


def _same_thing(other: Fact, fact: Fact) -> bool:
    same_subject = bool(fact.subject and fact.relation) and (other.subject, other.relation) == (fact.subject, fact.relation)
    return same_subject or other.question.strip().lower() == fact.question.strip().lower()


def _is_wrong(answer: str, fact: Fact) -> bool:
    right = [each for each in (fact.answer, fact.answer_in_other_words) if each.strip()]
    return not any(holds(answer, each) or holds(each, answer) for each in right)


def _kind(answer: str) -> str:
    """What an answer looks like: of two that look alike, each can stand for the other."""
    text = answer.strip().rstrip(".")
    words = text.split()
    if normalised(text) in _OPPOSITES:
        return "yes or no"
    if re.fullmatch(r"\d{4}", text) and _FIRST_YEAR <= int(text) <= _LAST_YEAR:
        return "year"
    if len(words) <= 5 and re.search(r"\d", text) and (_MONTH.search(text) or _NUMERIC_DATE.search(text)):
        return "date"
    if re.match(r"[^\w\s]?\s?\d", text) and len(words) <= 3:
        return "number"
    large = [word for word in words if not _AROUND_NAMES.fullmatch(word)]
    if large and len(words) <= 6 and not re.search(r"[.!?]\s*$", answer.strip()) and all(_is_name(word) for word in large):
        return "name"
    return "text"


def _is_name(word: str) -> bool:
    letters = [letter for letter in word if letter.isalnum()]
    return bool(letters) and (letters[0].isupper() or letters[0].isdigit())


def _moved(answer: str, n: int, random: Random) -> list[str]:
    """The answer with other numbers in it, or its opposite; nothing where it has neither. Some may be alike."""
    opposite = _OPPOSITES.get(normalised(answer))
    if opposite:
        return [opposite]
    places = list(_NUMBER.finditer(answer))
    if not places:
        return []
    if _kind(answer) == "date":
        # Only the year, or else the day, lest there be a thirteenth month: the longest number, and of equals the last.
        places = [max(places, key=lambda place: (len(place[0]), place.start()))]
    return [_with_other_numbers(answer, places, random) for _ in range(4 * n)]


def _with_other_numbers(answer: str, places: list[re.Match[str]], random: Random) -> str:
    text = answer
    for place in reversed(places):
        text = text[: place.start()] + _other_number(place[0], _kind(answer) == "date", random) + text[place.end() :]
    return text


def _other_number(written: str, in_date: bool, random: Random) -> str:
    """Another number with as many digits, and with its points and commas where they were."""
    digits = re.sub(r"\D", "", written)
    value = int(digits)
    lowest, highest = (0 if len(digits) == 1 or digits[0] == "0" else 10 ** (len(digits) - 1)), 10 ** len(digits) - 1
    if written == digits and len(digits) == 4 and _FIRST_YEAR <= value <= _LAST_YEAR:
        low, high = value - _YEARS, min(value + _YEARS, max(value, _NO_YEAR_AFTER))
    elif in_date and len(digits) <= 2:
        low, high = 1, 28  # days that every month has
    else:
        low, high = value - max(5, value // 2), value + max(5, value // 2)
    chosen = random.randrange(max(low, lowest), min(high, highest))
    chosen += chosen >= value  # all but the value itself
    rest = iter(str(chosen).zfill(len(digits)))
    return "".join(next(rest) if letter.isdigit() else letter for letter in written)
