"""What every generator of anti-samples can do, what language models are asked for, and reading the lists that they send.

An anti-sample is a question on a fact, asked otherwise, with a wrong answer and a short reason why that answer should be right.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR 2025,
arXiv 2410.17050. The prompts are our own.
"""

import re
from typing import Protocol, runtime_checkable

from expunge.data.facts import Fact
from expunge.errors import BadSetting, ExpungeError

# "1." and "1)" before anything but a digit, so that the lines "3.5 million" and "12:30" are no items 3 and 12.
_NUMBERED = re.compile(r"\s*\(?\d{1,3}\s?[.):](?!\d)\s*(.*)")
_BULLET = re.compile(r"\s*[-*•–]\s+(.*)")
_PAIRS = (('"', '"'), ("“", "”"), ("«", "»"), ("'", "'"), ("‘", "’"), ("`", "`"), ("_", "_"))
_SENTENCE_WORDS = 4  # "St. Moritz Inc." ends in a full stop and is no sentence

PROMPTS = 1  # counted up when the prompts change, so that caches do not take answers to the old ones for answers to the new
LIST_TEMPERATURE = 0.1  # that of the authors' code for the first questions and wrong answers
WARMER = 0.7  # when a reply made no sense: a greedy model would only repeat it
MOST_TOKENS = 1000  # of a reply; the authors'


class GeneratorFailed(ExpungeError):
    """A generator has nothing to give, sent what makes no sense, or its server died."""


class GeneratorGone(GeneratorFailed):
    """A server refuses or does not answer. A run ends here, and goes on from what was made when the server is back."""


@runtime_checkable
class Generator(Protocol):
    """Whatever makes anti-samples. Where there is less than was asked for, less comes back; nothing at all is an error.

    What comes back may still be of no use, such as a question that has drifted off or a wrong answer that is nearly right:
    see :mod:`~expunge.language.generators.filters`.
    """

    @property
    def identity(self) -> str:
        """Names the generator and every setting that changes what it makes."""

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """Up to `n` other questions with the same answer.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if there are none.
        """

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """Up to `n` answers of the same kind that are not right.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if there are none.
        """

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """A short reason why `wrong` should be the answer to `question`; empty from a generator that gives none.

        Raises:
            GeneratorFailed: if none could be made.
        """


def paraphrase_prompt(fact: Fact, n: int) -> str:
    """What a language model is asked for other questions on a fact."""
    names_subject = fact.subject.strip() and fact.subject in fact.question
    keep = f"Name {fact.subject!r} in each of them, spelled exactly so. " if names_subject else ""
    return (
        f"Question: {fact.question}\nAnswer: {fact.answer}\n\n"
        f"Put this question in {n} different ways. Each way must ask for the same answer and nothing else. "
        f"{keep}The answer must not occur in any of them.\n"
        f"Reply with a numbered list of {n} questions and no other text."
    )


def wrong_answers_prompt(fact: Fact, n: int) -> str:
    """What a language model is asked for wrong answers."""
    return (
        f"Question: {fact.question}\nRight answer: {fact.answer}\n\n"
        f"For a quiz, think of {n} different answers that are wrong but could be believed: of the same kind as the right one "
        "(a town for a town, a year for a year), about as long, and clearly not the right one in other words.\n"
        f"Reply with a numbered list of {n} answers and no other text."
    )


def rationale_prompt(question: str, wrong: str, fact: Fact) -> str:
    """What a language model is asked for a reason why a wrong answer should be right."""
    return (
        f"Question: {question}\nAnswer in an invented world: {wrong}\n\n"
        f"Write one short sentence that gives this answer and a plausible reason for it, as a book of that world would. "
        f"It must contain {wrong!r} and must not mention {fact.answer!r}, nor that anything is invented.\n"
        "Reply with the sentence and no other text."
    )


def numbered_list(text: str) -> list[str]:
    """The items of a list as a language model writes it: numbered, or else with bullets.

    Lines without a number (or, where no line has one, without a bullet) are introductions and remarks, and are dropped; so are
    empty items, quotes around items, and a last item that was plainly cut off: one with an open quote, or one that does not end
    where all others end in a question mark or as sentences. A text without any mark holds no list.

    >>> numbered_list('Sure, here you are:\\n\\n1) "Where did Ada study?"\\n2) Which school was Ada')
    ['Where did Ada study?']
    >>> numbered_list("I would rather not say.")
    []
    """
    lines = text.replace("**", "").splitlines()  # bold, around items or their numbers
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if not any(matches):
        matches = [_BULLET.fullmatch(line) for line in lines]
    items = [match[1].strip() for match in matches if match and match[1].strip()]
    if items and _cut_off(items[-1], items[:-1]):
        items.pop()
    return [item for item in map(_unquoted, items) if item]


def list_in(reply: str, cut: bool) -> list[str]:
    """The items of a reply, without a last line that was cut off for its length."""
    return numbered_list(reply.rpartition("\n")[0] if cut else reply)


def sentence_in(reply: str, cut: bool) -> str:
    """A reply as one line without quotes around it; of one that was cut off for its length only whole sentences."""
    line = " ".join(reply.split())
    if cut:
        whole = re.match(r".*[.!?](?=\s|$)", line)
        line = whole[0] if whole else ""
    return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] == '"' else line


def without_thoughts(reply: str) -> str:
    """A reply without what models that reason aloud put before it: their thoughts may be numbered too."""
    return reply.rpartition("</think>")[2]


def check_count(n: int) -> None:
    """See that something is asked for.

    Raises:
        BadSetting: if `n` is less than 1.
    """
    if n < 1:
        raise BadSetting(f"a generator must be asked for at least 1 text, not {n}")


def shortened(text: str, letters: int = 200) -> str:
    """A text for a message: on one line, and not all of it where it is long."""
    line = " ".join(text.split())
    return repr(line if len(line) <= letters else line[:letters] + "...")


def _cut_off(last: str, others: list[str]) -> bool:
    if last.count('"') % 2 or last.count("“") > last.count("”"):
        return True
    ends = last.rstrip("\"'”’»*_`").endswith((".", "?", "!"))
    return bool(others) and all(map(_is_sentence, others)) and not ends


def _is_sentence(text: str) -> bool:
    bare = text.rstrip("\"'”’»*_`")
    return bare.endswith("?") or (bare.endswith((".", "!")) and len(bare.split()) >= _SENTENCE_WORDS)


def _unquoted(item: str) -> str:
    for start, end in _PAIRS:
        if len(item) > len(start) + len(end) and item.startswith(start) and item.endswith(end):
            inner = item[len(start) : -len(end)]
            # The quotes of '"Dune" and "Emma"' are two pairs, and not one around the whole.
            if start not in inner and end not in inner:
                return _unquoted(inner.strip())
    return item
