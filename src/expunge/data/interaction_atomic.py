"""Interactions as libraries of recommenders keep them: RecBole's atomic files, and folders of MMRec.

Sources: W. X. Zhao and others. "RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation
Algorithms", CIKM 2021, arXiv 2011.01731. X. Zhou. "MMRec: Simplifying Multimodal Recommendation", ACM Multimedia Asia 2023,
arXiv 2302.03497.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from expunge.data.interaction_choices import ITEM, Choices, column_of, is_number, read_choices, read_rows, source_of
from expunge.data.interaction_features import checked_features, files_in, modality, read_array, text_features
from expunge.data.interaction_source import InteractionSource
from expunge.data.interaction_tables import with_files
from expunge.errors import BadFile

TEXT = "text"
_TYPES = ("token", "token_seq", "float", "float_seq")


def read_atomic(
    path: str | Path,
    features: Mapping[str, str | Path] | str | Path | None = None,
    minimum_rating: float | None = None,
) -> InteractionSource:
    """Read a file of pairs that ends in ``.inter``, and what lies beside it.

    Values are separated by tabs; names in the header may end in a type (``user_id:token``). Where there is a column `x_label`
    it says which pairs are to train on (0), to validate on (1) and to test on (2). A `timestamp` is ignored for now.

    Args:
        path: the file; or a folder that holds just one such file. Beside it may lie files ``NAME_feat.npy``, whose rows are in
            the order of the items' numbers, which then are what the ids of items must be; or a file of the same name that ends
            in ``.item``: its columns of type token and token_seq make the modality `text`, each of type float_seq one of its
            own name, and float ones are not used.
        features: take these instead, with rows in the order of the sorted ids; see
            :func:`~expunge.data.interaction_tables.read_pair_table`.
        minimum_rating: pairs count as chosen that are rated at least so; all when None.

    Returns:
        users numbered in the order of their sorted ids; items likewise, or by their numbers where files of features ask for it.

    Raises:
        BadFile: if a file is not such a file, or features are not as many as the items.
        BadSetting: if ratings are asked for and there are none, or nobody rated so high.
    """
    path = _file(Path(path))
    choices = read_choices(path, minimum_rating, tabs=True)
    if features is not None:
        return with_files(path.stem, choices, features)
    files, described = files_in(path.parent), path.with_suffix(".item")
    if files:
        arrays = {name: read_array(file) for name, file in files.items()}
        choices, items = _by_number(choices, files, arrays)
        found, notes = {}, []
        for name, file in files.items():
            found[name], note = checked_features(name, arrays[name], len(items), "in the order of their numbers", str(file))
            notes.append(note)
        return source_of(path.stem, choices, items, found, *notes)
    items = choices.chosen
    return source_of(path.stem, choices, items, read_item_file(described, items) if described.is_file() else None)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.inter"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise BadFile(f"{path} holds {len(found)} files that end in .inter ({names}); expected one, or the file itself")
    return found[0]


def _by_number(choices: Choices, files: Mapping[str, Path], arrays: Mapping[str, np.ndarray]) -> tuple[Choices, list[str]]:
    """Items called by their numbers, and all their names; there are as many as the pairs name."""
    first, file = next(iter(files.items()))
    for place, name in enumerate(choices.items):
        if not is_number(name) or int(name) < 0:
            raise BadFile(
                f"{choices.path}, line {choices.lines[place]:,}: item '{name}' is no number from 0, but the rows of "
                f"{file.name} are in the order of the items' numbers; expected numbers, or other files as features"
            )
    highest, rows = max(map(int, choices.items)), arrays[first].shape[0] if arrays[first].ndim else 0
    if highest + 1 != rows:
        raise BadFile(
            f"{file} has {rows:,} rows, but {choices.path.name} names {highest + 1:,} items (0 to {highest:,}); "
            "expected one row for each, in the order of their numbers"
        )
    return replace(choices, items=[str(int(name)) for name in choices.items]), [str(number) for number in range(rows)]


def read_item_file(path: Path, items: Sequence[str]) -> dict[str, np.ndarray]:
    """What a file ``.item`` says about items, by modality, one row for each of `items`; see :func:`read_atomic`.

    Raises:
        BadFile: if a column has no type, an item has two lines, or the numbers of a column are not as many in each; it names
            the line.
    """
    lines = read_rows(path, tabs=True)
    _, header = next(lines)
    names, types = zip(*(name.partition(":")[::2] for name in header), strict=True)
    for name, kind in zip(header, types, strict=True):
        if kind not in _TYPES:
            raise BadFile(f"{path}: column '{name}' has no type; expected one of {', '.join(_TYPES)} after a colon")
    own = column_of(path, names, *ITEM)
    texts = [place for place, kind in enumerate(types) if kind.startswith("token") and place != own]
    numbers = [place for place, kind in enumerate(types) if kind == "float_seq"]
    place_of = {name: place for place, name in enumerate(items)}
    seen: dict[str, int] = {}
    written = [""] * len(items)
    values: dict[int, dict[int, tuple[int, list[float]]]] = {place: {} for place in numbers}
    for number, line in lines:
        item = line[own]
        if item in seen:
            raise BadFile(
                f"{path}, line {number:,}: item '{item}' was in line {seen[item]:,} already; expected one line for each"
            )
        seen[item] = number
        if (at := place_of.get(item)) is None:
            continue
        written[at] = " ".join(line[place] for place in texts)
        for place in numbers:
            values[place][at] = number, _numbers(path, number, names[place], line[place])
    found = {modality(names[place], str(path)): _matrix(path, names[place], values[place], len(items)) for place in numbers}
    words = text_features(written, least=2) if texts else None
    return found if words is None else {TEXT: words} | found


def _numbers(path: Path, number: int, name: str, text: str) -> list[float]:
    try:
        return [float(value) for value in re.split(r"[\s,]+", text) if value]
    except ValueError:
        raise BadFile(f"{path}, line {number:,}: column '{name}' is '{text[:40]}'; expected numbers") from None


def _matrix(path: Path, name: str, values: Mapping[int, tuple[int, list[float]]], items: int) -> np.ndarray:
    """One row for each item; 0 where its line is missing or empty."""
    filled = {place: found for place, found in values.items() if found[1]}
    if not filled:
        raise BadFile(f"{path}: column '{name}' holds no numbers for any of {items:,} items")
    width = len(next(iter(filled.values()))[1])
    matrix = np.zeros((items, width), dtype=np.float32)
    for place, (number, row) in filled.items():
        if len(row) != width:
            raise BadFile(
                f"{path}, line {number:,}: column '{name}' holds {len(row)} numbers; expected {width} as in the others"
            )
        matrix[place] = row
    return matrix
