"""Facts, as questions with their answers, and reading them from JSON lines."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from expunge.errors import BadFile, BadRequest

_LISTS = ("phrasings", "held_out", "wrong_answers")


@dataclass(frozen=True)
class Fact:
    """One fact: a question with its answer, and what else is known of it.

    Args:
        question: as it is asked first.
        answer: what is right, or was.
        subject: whom or what the question is about; empty where that is not said.
        relation: what it asks of the subject, such as "studied at"; empty where that is not said.
        phrasings: other questions with the same answer, which methods may use.
        held_out: further ones, which no method sees: audits ask them.
        answer_in_other_words: the answer said otherwise; empty where nobody has.
        wrong_answers: answers of the same kind that are not right.

    Raises:
        BadRequest: if the question or the answer is empty.

    >>> Fact("Where did Harry Potter study?", "Hogwarts", subject="Harry Potter").questions
    ('Where did Harry Potter study?',)
    """

    question: str
    answer: str
    subject: str = ""
    relation: str = ""
    phrasings: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    answer_in_other_words: str = ""
    wrong_answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("question", "answer"):
            if not getattr(self, name).strip():
                raise BadRequest(f"a fact needs a question and an answer; the {name} of {self!r:.120} is empty")

    @property
    def questions(self) -> tuple[str, ...]:
        """All questions that methods may use."""
        return (self.question, *self.phrasings)


def read_facts(path: str | Path) -> list[Fact]:
    """Facts from a file with one JSON object a line: `question`, `answer`, and any other field of :class:`Fact`.

    Raises:
        BadFile: if the file is missing or empty, or a line is no such object; the message names the line and the field.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read: {error}") from error
    found = [_fact(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise BadFile(f"{path} holds no fact; write one JSON object a line, with question and answer")
    return found


def _fact(line: str, where: str) -> Fact:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadFile(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise BadFile(f"{where} is a {type(row).__name__}; expected an object with question and answer")
    known = [field.name for field in fields(Fact)]
    for name in ("question", "answer"):
        if name not in row:
            raise BadFile(f"{where}: the field {name!r} is missing")
    given: dict[str, Any] = {}
    for name, value in row.items():
        if name not in known:
            raise BadFile(f"{where}: there is no field {name!r}; there are {', '.join(known)}")
        given[name] = _texts(value, name, where) if name in _LISTS else _text(value, name, where)
    try:
        return Fact(**given)
    except BadRequest as error:
        raise BadFile(f"{where}: {error}") from error


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise BadFile(f"{where}: {name} must be a text, not {value!r:.60}")
    return value


def _texts(value: Any, name: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadFile(f"{where}: {name} must be a list of texts, not {value!r:.60}")
    return tuple(_text(each, name, where) for each in value)
