"""TOFU: questions on 200 authors whom nobody ever met, to unlearn some of them; a language model knows them from here alone.

Each author has 20 questions. The owners publish one JSON object a line: `full.json` holds all, author after author;
`forget01.json`, `forget05.json` and `forget10.json` hold the last 1, 5 and 10 % of it, `retain99.json`, `retain95.json` and
`retain90.json` what is left. Files that end in `_perturbed` add to questions another wording, another wording of the answer,
and wrong answers. Two files ask for what was never taught here and should stay: authors who live or lived, and the world.

Source: P. Maini, Z. Feng, A. Schwarzschild, Z. C. Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious Unlearning for LLMs",
COLM 2024, arXiv 2401.06121.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from expunge.data.facts import Fact
from expunge.data.published import PublicSet, read_failed
from expunge.errors import BadFile, BadSetting

TOFU = PublicSet("tofu", "TOFU", "huggingface.co/datasets/locuslab/TOFU", (), (), (4_000, 0))
QUESTIONS = 20  # for each author
FULL, RETAIN_ASKED = "full.json", "retain_perturbed.json"
REAL_AUTHORS, WORLD_FACTS = "real_authors_perturbed.json", "world_facts_perturbed.json"
RETAIN = {"forget01": "retain99.json", "forget05": "retain95.json", "forget10": "retain90.json"}
_ALL_FORGET = "forget10_perturbed.json"  # holds forget01 and forget05 too
_PLAIN = ("question", "answer")
_TEXTS = (*_PLAIN, "paraphrased_question", "paraphrased_answer")
_TOLD_APART = (*_PLAIN, "perturbed_answer")
_PERTURBED = (*_TEXTS, "perturbed_answer")

_Pair = tuple[str, str]  # question and answer: one question is asked of two authors in the same words


@dataclass(frozen=True)
class Tofu:
    """One task of TOFU: which authors must go, and all that is asked afterwards.

    In `forget`, `retain` and `retain_asked` the subject of a fact is "author 1" to "author 200", numbered as in `full.json`.

    Args:
        forget: all questions on the authors who must go; with another phrasing, an answer in other words and wrong answers.
        retain: all questions on the other authors; with the same additions where the owners publish them.
        retain_asked: those of `retain` that metrics ask, all with the additions.
        real_authors: questions on writers of this world, with wrong answers and without a subject.
        world_facts: questions on the world, likewise.
    """

    forget: tuple[Fact, ...]
    retain: tuple[Fact, ...]
    retain_asked: tuple[Fact, ...]
    real_authors: tuple[Fact, ...]
    world_facts: tuple[Fact, ...]


@dataclass(frozen=True)
class _Row:
    """One line of a file, and where it stands, for errors."""

    path: Path
    line: int
    fact: Fact

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.line:,}"

    @property
    def what(self) -> str:
        return f"the question {self.fact.question!r:.80}"

    @property
    def pair(self) -> _Pair:
        return self.fact.question, self.fact.answer


def read_tofu(folder: str | Path | None = None, forget: Literal["forget01", "forget05", "forget10"] = "forget10") -> Tofu:
    """Read one task of TOFU from the files that its owners publish.

    The paraphrased question becomes the one entry of `phrasings`, the perturbed answers become `wrong_answers`. Real authors
    and the world come without an answer in other words, so that field stays empty there.

    Args:
        folder: holds the files; ``$EXPUNGE_DATA/tofu`` when None.
        forget: which authors must go: the last 2, 10 or 20 of the 200.

    Raises:
        BadFile: if a file is missing, a line is damaged or lacks a field, or the files do not belong together: every question
            of `full.json` is either to be forgotten or retained, and no other is.
        BadSetting: if `forget` is none of the three.
    """
    if forget not in RETAIN:
        raise BadSetting(f"TOFU has no task {forget!r}; it has {', '.join(RETAIN)}")
    folder = TOFU.folder(FULL) if folder is None else Path(folder).expanduser()
    forget_file, retain_file = f"{forget}_perturbed.json", RETAIN[forget]
    for name in (FULL, forget_file, _ALL_FORGET, retain_file, RETAIN_ASKED, REAL_AUTHORS, WORLD_FACTS):
        if not (folder / name).is_file():
            raise TOFU.missing(name, folder)
    authors = _authors(folder / FULL)
    goes, stays = _read(folder / forget_file, _PERTURBED), _read(folder / retain_file, _PLAIN)
    asked, others = _read(folder / RETAIN_ASKED, _PERTURBED), _read(folder / _ALL_FORGET, _PERTURBED)
    for row in (*goes, *stays, *asked, *others):
        if row.pair not in authors:
            raise BadFile(f"{row.where}: {row.what} with this answer is not in {folder / FULL}")
    _check_parts(goes, stays, authors)
    retained = {row.pair for row in stays}
    for row in _once(asked).values():
        if row.pair not in retained:
            raise BadFile(f"{row.where}: {row.what} with this answer is not in {folder / retain_file}")
    added = {row.pair: row for row in (*others, *asked)}
    return Tofu(
        _of_authors(goes, authors),
        _of_authors([added.get(row.pair, row) for row in stays], authors),
        _of_authors(asked, authors),
        tuple(row.fact for row in _read(folder / REAL_AUTHORS, _TOLD_APART)),
        tuple(row.fact for row in _read(folder / WORLD_FACTS, _TOLD_APART)),
    )


def by_author(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The facts of each author, both in the order in which they come; those without a subject stand under "".

    >>> facts = [Fact("Who?", "Ada", "author 1"), Fact("Where?", "Oslo", "author 2"), Fact("When?", "1815", "author 1")]
    >>> {author: [fact.answer for fact in found] for author, found in by_author(facts).items()}
    {'author 1': ['Ada', '1815'], 'author 2': ['Oslo']}
    """
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact.subject, []).append(fact)
    return found


def _authors(path: Path) -> dict[_Pair, str]:
    """Whom each question with its answer is about: the file names nobody, but each author has the next 20 lines."""
    rows = _read(path, _PLAIN)
    if len(rows) % QUESTIONS:
        raise BadFile(
            f"{path} ends at line {rows[-1].line:,}, after {len(rows):,} questions; expected {QUESTIONS} for each author: "
            "it is cut short or has lines too many; copy it again"
        )
    return {pair: f"author {1 + place // QUESTIONS}" for place, pair in enumerate(_once(rows))}


def _check_parts(goes: list[_Row], stays: list[_Row], authors: Collection[_Pair]) -> None:
    """Every question of the full set is to be forgotten or retained, and only once."""
    parts = _once([*goes, *stays])
    if absent := [question for question, answer in authors if (question, answer) not in parts]:
        ends = " and ".join(f"{rows[-1].path}, which ends at line {rows[-1].line:,}," for rows in (goes, stays))
        raise BadFile(
            f"{ends} together lack {len(absent):,} of the {len(authors):,} questions of {FULL}, such as {absent[0]!r:.80}; "
            "one of the two is cut short: copy it again"
        )


def _once(rows: Iterable[_Row]) -> dict[_Pair, _Row]:
    found: dict[_Pair, _Row] = {}
    for row in rows:
        if found.setdefault(row.pair, row) is not row:
            raise BadFile(
                f"{row.where}: {row.what} stands with the same answer in {found[row.pair].where} already; expected it once"
            )
    return found


def _of_authors(rows: Iterable[_Row], authors: Mapping[_Pair, str]) -> tuple[Fact, ...]:
    return tuple(replace(row.fact, subject=authors[row.pair]) for row in rows)


def _read(path: Path, needed: tuple[str, ...]) -> list[_Row]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")  # a text may hold other line ends of Unicode
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error
    rows = [
        _Row(path, number, _fact(line, f"{path}, line {number:,}", needed))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not rows:
        raise BadFile(f"{path} is empty: expected one JSON object a line, with {', '.join(needed)}")
    return rows


def _fact(line: str, where: str, needed: tuple[str, ...]) -> Fact:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadFile(f"{where} is not JSON: {error}; the file is cut short or damaged: copy it again") from error
    if not isinstance(values, dict):
        raise BadFile(f"{where} is a {type(values).__name__}; expected an object with {', '.join(needed)}")
    for name in needed:
        if name not in values:
            raise BadFile(f"{where}: the field {name!r} is missing; expected {', '.join(needed)}")
    wrong = values.get("perturbed_answer", [])
    if not isinstance(wrong, list) or ("perturbed_answer" in needed and not wrong):
        raise BadFile(f"{where}: perturbed_answer must be a list of at least one text, not {wrong!r:.60}")
    given = {name: _text(values[name], name, where) for name in _TEXTS if name in values}
    return Fact(
        given["question"],
        given["answer"],
        phrasings=(given["paraphrased_question"],) if "paraphrased_question" in given else (),
        answer_in_other_words=given.get("paraphrased_answer", ""),
        wrong_answers=tuple(_text(each, "each perturbed_answer", where) for each in wrong),
    )


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadFile(f"{where}: {name} must be a text that is not empty, not {value!r:.60}")
    return value
