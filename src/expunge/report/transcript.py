"""What a language model said before and after, as a page shows it: part by part, with what became of each answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from expunge.report.evidence import Answered

Mark = Literal["good", "bad", "open"]
SIGNS: dict[Mark, str] = {"good": "✓", "bad": "✗", "open": "–"}


@dataclass(frozen=True)
class Line:
    """One question, with what became of its answer in a word or two."""

    row: Answered
    mark: Mark
    outcome: str

    @property
    def sign(self) -> str:
        """Says the same as the colour."""
        return SIGNS[self.mark]


@dataclass(frozen=True)
class Part:
    """The questions of one part; `wanted` counts those with the outcome that is wanted, of those known before."""

    title: str
    lines: tuple[Line, ...]
    wanted: int
    known: int

    @property
    def count(self) -> str:
        """How many came out as wanted, in words."""
        if not self.known:
            return "none known before"
        return f"{self.wanted} of {self.known} {'gone' if self.lines[0].row.goes else 'still right'}"


def parts(transcript: Sequence[Answered]) -> list[Part]:
    """The transcript part by part."""
    found = []
    for title, rows in groupby(transcript, lambda row: row.part):
        lines = tuple(Line(row, *outcome(row)) for row in rows)
        known = [line for line in lines if line.row.known_before]
        found.append(Part(title, lines, sum(line.mark == "good" for line in known), len(known)))
    return found


def outcome(row: Answered) -> tuple[Mark, str]:
    """What became of an answer.

    >>> outcome(Answered("had to go", True, "Where?", "Oslo", "Oslo", "Lund", True, False))
    ('good', 'gone')
    >>> outcome(Answered("stays", False, "Where?", "Oslo", "Oslo", "Lund", True, False))
    ('bad', 'lost')
    """
    if row.goes and row.known_after:
        return "bad", "still given"
    if row.goes:
        return ("good", "gone") if row.known_before else ("open", "not known before")
    if row.known_after:
        return "good", "still right" if row.known_before else "right now"
    return ("bad", "lost") if row.known_before else ("open", "not known before")
