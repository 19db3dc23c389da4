"""Pairs from tables, and the features of their items from files of arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from expunge.data.interaction_choices import ITEM, Choices, column_if_there, in_order, read_choices, read_rows, source_of
from expunge.data.interaction_features import feature_files, read_features
from expunge.data.interaction_source import InteractionSource
from expunge.errors import BadFile

ITEM_LISTS = ("items.csv", "items.txt")


def read_pair_table(
    path: str | Path,
    features: Mapping[str, str | Path] | str | Path | None = None,
    minimum_rating: float | None = None,
) -> InteractionSource:
    """Read pairs from a table, and the features of its items from files of arrays.

    Args:
        path: UTF-8 with a header and one pair a line, separated by tabs where the name ends in ``.tsv``, else by commas (or
            semicolons, if the header has no comma). The columns `user` and `item` hold ids, any texts; they may also be
            called user_id, userId, uid, item_id, itemId, movieId, product_id and the like. Of the others only `rating` is
            read, where a rating must be high enough; a `timestamp` is ignored for now.
        features: for each modality, by name, a file ``.npy`` with one row for each item; or a folder with a file
            ``NAME.npy`` or ``NAME_feat.npy`` for each. Their rows are in the order of the sorted ids: as numbers where all
            ids are whole numbers, else as texts. Another order, and items that nobody chose, are stated in a file
            ``items.csv`` or ``items.txt`` with one id a line, in that folder or beside the table.
        minimum_rating: pairs count as chosen that are rated at least so; all pairs when None.

    Returns:
        users and items numbered in the order of their sorted ids, or items in that of their list.

    Raises:
        BadFile: if a file is not such a file, a user or an item is empty, or features are not as many as the items.
        BadSetting: if ratings are asked for and there are none, or nobody rated so high.
    """
    path = Path(path)
    choices = read_choices(path, minimum_rating)
    if features is None:
        return source_of(path.stem, choices, choices.chosen)
    return with_files(path.stem, choices, features)


def with_files(name: str, choices: Choices, features: Mapping[str, str | Path] | str | Path) -> InteractionSource:
    """Pairs, with features from files whose rows are in the order of a list of items, or else of all sorted ids in the file.

    Without a list only items with a pair are kept, that is some that are rated high enough.
    """
    files = feature_files(features)
    folders = [Path(features).expanduser()] if isinstance(features, str | Path) else []
    path = _item_list([*folders, choices.path.parent], choices.path)
    if path is not None:
        items = _all_listed(choices, path)
        return source_of(name, choices, items, *read_features(files, len(items), f"in the order of {path}"))
    ids, items = in_order(choices.items), choices.chosen
    kept = set(items)
    found, note = read_features(files, len(ids), "in the order of their sorted ids")
    rows = np.flatnonzero([name in kept for name in ids])
    return source_of(name, choices, items, {name: values[rows] for name, values in found.items()}, note)


def _item_list(folders: Sequence[Path], table: Path) -> Path | None:
    """A list of items in one of some folders."""
    files = [folder / name for folder in folders for name in ITEM_LISTS]
    return next((file for file in files if file.is_file() and file.resolve() != table.resolve()), None)


def _all_listed(choices: Choices, path: Path) -> list[str]:
    """The items in a list, among which are all with a pair."""
    items = read_item_list(path)
    if absent := set(choices.chosen).difference(items):
        place = next(place for place, item in enumerate(choices.items) if item in absent)
        raise BadFile(
            f"{choices.path}, line {choices.lines[place]:,}: item '{choices.items[place]}' is not listed in {path}; "
            f"expected all items there ({len(absent):,} of {len(choices.items):,} are not)"
        )
    return items


def read_item_list(path: Path) -> list[str]:
    """The ids of all items in the order of their features, one a line; of a CSV file with several columns those under `item`.

    Raises:
        BadFile: if an id is empty or stands there twice, or there is none.
    """
    rows = list(read_rows(path, tabs=path.suffix.lower() == ".txt"))
    header = rows[0][1]
    place = column_if_there(path, header, *ITEM)
    if place is None and len(header) > 1:
        raise BadFile(f"{path} has {len(header)} columns ({', '.join(header)}), none of which is named 'item' or item_id")
    found: dict[str, int] = {}
    for number, line in rows if place is None else rows[1:]:
        item = line[place or 0]
        if not item or item in found:
            again = f"item '{item}' was in line {found[item]:,} already" if item else "the item is empty"
            raise BadFile(f"{path}, line {number:,}: {again}; expected the id of each item once")
        found[item] = number
    if not found:
        raise BadFile(f"{path} lists no items: expected one id a line")
    return list(found)
