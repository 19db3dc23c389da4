"""Pairs as they stand in text files with a header and one pair a line, and what is made of them."""

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from expunge.data.columns import check_lines
from expunge.data.interaction_features import Features
from expunge.data.interaction_source import InteractionSource, unless_numbers
from expunge.data.published import read_failed
from expunge.errors import BadFile, BadSetting
from expunge.interactions import Interactions
from expunge.requests.request import counted

USER = ("user", "userid", "uid")
ITEM = ("item", "itemid", "iid", "movie", "movieid", "product", "productid")
RATING, LABEL = "rating", "x_label"
_TRAIN, _VALIDATION, _TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Choices:
    """Pairs as they stand in a file.

    Args:
        path: the file.
        users: the id of each user with a pair, in the order in which they first appear.
        items: the id of each item in the file, also of one that nobody rated high enough, likewise.
        lines: the line in which each item first appears, from 1.
        pairs: the places of user and item in those, one row for each line that counts, int64, shape (n, 2).
        labels: to which part of a published split each belongs: 0 training, 1 validation, 2 test; None where it is not said.
        note: on what was left out.
    """

    path: Path
    users: list[str]
    items: list[str]
    lines: list[int]
    pairs: np.ndarray
    labels: np.ndarray | None = None
    note: str = ""

    @property
    def chosen(self) -> list[str]:
        """The ids of the items with a pair, sorted."""
        return in_order([self.items[place] for place in np.unique(self.pairs[:, 1])])


def read_choices(path: Path, minimum_rating: float | None = None, tabs: bool = False) -> Choices:
    """Read the pairs of a table; faults are those of :func:`~expunge.data.interaction_tables.read_pair_table`.

    Args:
        path: what that takes, and a column `x_label` if there is one: to which part of a published split each pair belongs.
        minimum_rating: pairs count that are rated at least so; all when None.
        tabs: values are separated by tabs and never in quotes, and names in the header may end in a type, ``user_id:token``.
    """
    lines = read_rows(path, tabs)
    header = [name.partition(":")[0] if tabs else name for name in next(lines)[1]]
    user, item = column_of(path, header, *USER), column_of(path, header, *ITEM)
    label = column_if_there(path, header, LABEL)
    rating = None if minimum_rating is None else column_if_there(path, header, RATING)
    if minimum_rating is not None and rating is None:
        raise BadSetting(f"{path} has no column 'rating', so no pair can be rated at least {minimum_rating:g}")
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    first: list[int] = []
    places, labels, low = array("q"), array("b"), 0
    for number, line in lines:
        if not line[user] or not line[item]:
            what = "user" if not line[user] else "item"
            raise BadFile(f"{path}, line {number:,}: the {what} is empty; expected an id of a user and one of an item")
        if (place := items.setdefault(line[item], len(items))) == len(first):
            first.append(number)
        if rating is not None and minimum_rating is not None and _rating(path, number, line[rating]) < minimum_rating:
            low += 1
            continue
        if label is not None:
            labels.append(_label(path, number, line[label]))
        places.extend((users.setdefault(line[user], len(users)), place))
    pairs = np.array(places, dtype=np.int64).reshape(-1, 2)
    if not len(pairs):
        if low:
            raise BadSetting(f"{path}: none of {counted(low, 'rating')} is at least {minimum_rating:g}; ask for less")
        raise BadFile(f"{path} is empty: expected a header and one pair a line below it")
    note = f"{low:,} of {low + len(pairs):,} pairs with a rating below {minimum_rating:g} were left out." if low else ""
    return Choices(path, list(users), list(items), first, pairs, None if label is None else np.array(labels), note)


def read_rows(path: Path, tabs: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table that are not empty, the header first, each with its number from 1, split and stripped.

    Args:
        path: UTF-8; separated by tabs where the name ends in ``.tsv``, else by commas, or by semicolons if the header has no
            comma.
        tabs: separated by tabs, quotes being letters like others.

    Raises:
        BadFile: if the file is missing, empty or not text, or a line has another number of values than the header.
    """
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from _rows(path, file, tabs)
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error


def _rows(path: Path, file: TextIO, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    first = file.readline()
    file.seek(0)
    delimiter = "\t" if tabs or path.suffix.lower() == ".tsv" else ";" if ";" in first and "," not in first else ","
    quoted: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if tabs else {}
    reader = csv.reader(file, delimiter=delimiter, strict=True, **quoted)
    header: list[str] = []
    try:
        for line in reader:
            line = [value.strip() for value in line]
            if line in ([], [""]):
                continue
            if not header:
                header = line
                check_lines(path, header, [])
            elif len(line) != len(header):
                check_lines(path, header, [(reader.line_num, line)])
            yield reader.line_num, line
    except csv.Error as error:
        raise BadFile(f"{path}, line {reader.line_num:,}: {error}; expected values in columns") from error
    if not header:
        raise BadFile(f"{path} is empty: expected a header and lines below it")


def plain(name: str) -> str:
    """How a column is called, whatever way it is spelled.

    >>> plain("user_id"), plain("userID"), plain("User-Id")
    ('userid', 'userid', 'userid')
    """
    return re.sub(r"[\s_-]", "", name).lower()


def column_of(path: Path, header: Sequence[str], *spellings: str) -> int:
    """The place of a column that must be there, however it is spelled.

    Raises:
        BadFile: if it is not there, or twice.
    """
    place = column_if_there(path, header, *spellings)
    if place is None:
        raise BadFile(f"{path} has no column '{spellings[0]}' (spelled so or alike): its columns are {', '.join(header)}")
    return place


def column_if_there(path: Path, header: Sequence[str], *spellings: str) -> int | None:
    """The place of a column, however it is spelled; None where it is not there."""
    wanted = {plain(name) for name in spellings}
    found = [place for place, name in enumerate(header) if plain(name) in wanted]
    if len(found) > 1:
        names = " and ".join(f"'{header[place]}'" for place in found)
        raise BadFile(f"{path} has several columns for '{spellings[0]}', {names}; expected one of them")
    return found[0] if found else None


def _rating(path: Path, number: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise BadFile(f"{path}, line {number:,}: the rating is '{text}'; expected a finite number")
    return value


def _label(path: Path, number: int, text: str) -> int:
    if text not in ("0", "1", "2"):
        raise BadFile(f"{path}, line {number:,}: x_label is '{text}'; expected 0 (training), 1 (validation) or 2 (test)")
    return int(text)


def in_order(names: Sequence[str]) -> list[str]:
    """Ids sorted: as numbers where all of them are whole numbers, else as texts.

    >>> in_order(["10", "9"]), in_order(["10", "9", "a"])
    (['9', '10'], ['10', '9', 'a'])
    """
    if all(is_number(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def is_number(text: str) -> bool:
    """Whether a text is a whole number."""
    return text.removeprefix("-").isdecimal()


def source_of(
    name: str, choices: Choices, items: Sequence[str], features: Features | None = None, *notes: str
) -> InteractionSource:
    """Pairs with users numbered in the order of their sorted ids, and items as they are listed; repeated pairs are merged.

    Args:
        items: all that there are to be, among them those of the pairs.
        features: for each modality one row for each of `items`.
        notes: what else is to be said.

    Raises:
        BadFile: if a part of a published split has no pairs.
    """
    users = in_order(choices.users)
    places = [_places(ids, order) for ids, order in ((choices.users, users), (choices.items, items))]
    pairs = np.stack([place[column] for place, column in zip(places, choices.pairs.T, strict=True)], 1)
    parts, note = _parts(choices, pairs[:, 0] * len(items) + pairs[:, 1])
    made = [torch.from_numpy(np.stack(np.divmod(keys, len(items)), 1)) for keys in parts]
    validation, test = made[1:] if len(made) > 1 else (None, None)
    whole = Interactions.of(len(users), len(items), made[0], features)
    said = " ".join(filter(None, (choices.note, note, *notes)))
    return InteractionSource(name, whole, unless_numbers(users), unless_numbers(items), validation, test, said)


def _places(ids: Sequence[str], order: Sequence[str]) -> np.ndarray:
    place = {name: number for number, name in enumerate(order)}
    return np.array([place.get(name, -1) for name in ids], dtype=np.int64)  # an item without a pair may be missing


def _parts(choices: Choices, keys: np.ndarray) -> tuple[list[np.ndarray], str]:
    """The keys of the pairs of each part of a published split, or of all pairs; each once, and in one part only."""
    labels = choices.labels
    if labels is None or not labels.any():
        parts = [np.unique(keys)]
        return parts, _merged(len(keys) - len(parts[0]))
    given = [np.unique(keys[labels == part]) for part in (_TRAIN, _VALIDATION, _TEST)]
    train, test = given[_TRAIN], np.setdiff1d(given[_TEST], given[_TRAIN])
    validation = np.setdiff1d(given[_VALIDATION], np.union1d(train, test))
    for label, part in enumerate((train, validation, test)):
        if not len(part):
            raise BadFile(
                f"{choices.path}: no pair is left whose x_label is {label}; expected pairs to train on (0), to validate on (1) "
                "and to test on (2), or no such column"
            )
    again = sum(map(len, given)) - len(train) - len(validation) - len(test)
    notes = [_merged(len(keys) - sum(map(len, given)))]
    if again:
        stood = "stands" if again == 1 else "stand"
        notes.append(f"{counted(again, 'held-out pair')} that {stood} in another part too {_was(again)} left out.")
    return [train, validation, test], " ".join(filter(None, notes))


def _merged(count: int) -> str:
    return f"{counted(count, 'repeated pair')} {_was(count)} merged." if count else ""


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
