"""Interactions by their names, from files, and from the user's own code.

Source of the copy of TikTok: Y. Jiang, L. Xia, W. Wei, D. Luo, K. Lin, C. Huang. "DiffMM: Multi-Modal Diffusion Model for
Recommendation", ACM Multimedia 2024, arXiv 2406.11781.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from expunge.data.interaction_atomic import read_atomic
from expunge.data.interaction_features import ENDING, UNREADABLE, checked_features, modality
from expunge.data.interaction_source import InteractionSource, unknown_features, with_at_least
from expunge.data.interaction_tables import read_pair_table
from expunge.data.movielens import MOVIELENS, RATINGS, read_movielens
from expunge.data.published import PublicSet, missing
from expunge.data.table import SUFFIXES
from expunge.data.tastes import read_tastes
from expunge.errors import BadFile, BadSetting, ExpungeError
from expunge.importing import call_imported, is_import_string
from expunge.interactions import Interactions
from expunge.requests.request import counted

INTERACTION_SETS: dict[str, str] = {
    "tastes": "300 users with planted tastes, 400 items, features image and text; made by expunge, always there",
    "movielens-latest-small": "609 people, 6,298 films they like, text and genres; the user's files in $EXPUNGE_DATA/recommend",
    "tiktok": "9,308 people, 6,710 videos, image and audio, a published split; the user's file in $EXPUNGE_DATA/recommend",
}

TIKTOK = PublicSet(
    "recommend",
    "TikTok",
    "https://github.com/HKUDS/DiffMM (Datasets/tiktok; tiktok.npz holds it as arrays train_user, train_item, valid_user, "
    "valid_item, test_user, test_item, image_feat, audio_feat and shape)",
    (),
    (),
    (59_541, 6_130),
)
_FOLDER = "ml-latest-small"
_PARTS = ("train", "valid", "test")

Form = Literal["named", "import", "movielens", "atomic", "table", "arrays", "unknown"]


def load_interactions(
    name_or_path: str | Path,
    *,
    features: Mapping[str, str | Path] | str | Path | None = None,
    minimum_rating: float | None = None,
    minimum_count: int = 1,
) -> InteractionSource:
    """Load interactions by their name, from files, or from the user's own function.

    Args:
        name_or_path: one of :data:`INTERACTION_SETS`; a folder of MovieLens, that is with `ratings.csv` and `movies.csv`
            (:func:`~expunge.data.movielens.read_movielens`); a file that ends in ``.inter`` or a folder that holds one, as
            RecBole and MMRec have them (:func:`~expunge.data.interaction_atomic.read_atomic`); a table of pairs that ends in
            ``.csv`` or ``.tsv`` (:func:`~expunge.data.interaction_tables.read_pair_table`); a file of arrays that ends in
            ``.npz`` (:func:`read_pair_arrays`); or an import string ``package.module:function`` of a function that returns an
            :class:`InteractionSource` or an :class:`~expunge.interactions.Interactions`. A name comes before a file of the
            same name, which is reached as ``./name``. Timestamps are ignored for now.
        features: features of the items in a table or a file ``.inter``: for each modality a file ``.npy``, or a folder of them.
        minimum_rating: pairs count as chosen that are rated at least so. All count when None; of MovieLens those of 4 stars.
        minimum_count: leave out who has fewer pairs, users and items, again and again until nobody has (the k-core); with 1
            nobody is left out.

    Raises:
        BadFile: if a file is missing or not what it should be.
        BadSetting: if the set is not known, is given a setting that is not for it, or nothing would be left.

    >>> load_interactions("tastes").interactions.users
    300
    """
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    form = _form(name, path)
    if features is not None and form not in ("table", "atomic"):
        raise BadSetting(f"{name} takes no files of features (given: {features}); only .csv, .tsv and .inter files do")
    if minimum_rating is not None and not (form in ("table", "atomic", "movielens") or name == "movielens-latest-small"):
        raise BadSetting(f"{name} holds no ratings, so none can be at least {minimum_rating}")
    if minimum_rating is not None and (isinstance(minimum_rating, bool) or not math.isfinite(minimum_rating)):
        raise BadSetting(f"minimum_rating must be a finite number, not {minimum_rating}")
    source = with_at_least(_read(form, name, path, features, minimum_rating), minimum_count)
    return replace(source, note=f"{source.note} {unknown_features(source.interactions)}".strip())


def _form(name: str, path: Path) -> Form:
    suffix = path.suffix.lower()
    if name in INTERACTION_SETS:
        return "named"
    if is_import_string(name) and not path.exists():
        return "import"
    if path.is_dir():
        return "movielens" if (path / RATINGS).is_file() else "atomic"
    if suffix == ".inter":
        return "atomic"
    return "table" if suffix in SUFFIXES else "arrays" if suffix == ".npz" else "unknown"


def _read(
    form: Form,
    name: str,
    path: Path,
    features: Mapping[str, str | Path] | str | Path | None,
    minimum_rating: float | None,
) -> InteractionSource:
    match form:
        case "named":
            return _read_named(name, minimum_rating)
        case "import":
            return _read_import(name)
        case "movielens":
            return read_movielens(path, minimum_rating)
        case "atomic":
            return read_atomic(path, features, minimum_rating)
        case "table":
            return read_pair_table(path, features, minimum_rating)
        case "arrays":
            return read_pair_arrays(path)
    raise _unknown(name, path)


def _read_named(name: str, minimum_rating: float | None) -> InteractionSource:
    if name == "tastes":
        return read_tastes()
    if name == "tiktok":
        folder = TIKTOK.folder("tiktok.npz")
        if not (folder / "tiktok.npz").is_file():
            raise missing(TIKTOK, "tiktok.npz", folder)
        return read_pair_arrays(folder / "tiktok.npz")
    folder = MOVIELENS.folder(f"{_FOLDER}/{RATINGS}")
    if not (folder / _FOLDER / RATINGS).is_file():
        raise missing(MOVIELENS, f"{_FOLDER}/{RATINGS}", folder)
    return read_movielens(folder / _FOLDER, minimum_rating, name, MOVIELENS)


def _read_import(name: str) -> InteractionSource:
    found = call_imported(name)
    if isinstance(found, InteractionSource):
        return found
    if isinstance(found, Interactions):
        return InteractionSource(name.partition(":")[2], found)
    raise BadSetting(f"{name!r} returned a {type(found).__name__}; expected an InteractionSource or Interactions")


def _unknown(name: str, path: Path) -> ExpungeError:
    if path.exists():
        return BadFile(f"{path} holds no interactions: expected a file that ends in .csv, .tsv, .inter or .npz")
    close = difflib.get_close_matches(name, INTERACTION_SETS, n=1)
    return BadSetting(
        f"there are no interactions '{name}'{f' (did you mean {close[0]}?)' if close else ''}: it is no file that ends in "
        f".csv, .tsv, .inter or .npz, no folder, no import string 'package.module:function', and none of "
        f"{', '.join(INTERACTION_SETS)}"
    )


# ---- arrays -------------------------------------------------------------------------------------------------------------


def read_pair_arrays(path: str | Path) -> InteractionSource:
    """Read interactions from a file of arrays:

        train_user, train_item  numbers of the user and the item of each pair, (n,) each
        valid_user, valid_item  pairs to validate on, and
        test_user, test_item    to test on, in the split that the owners publish; both may be missing
        NAME_feat               features of the items in the modality NAME, (I, d); there may be several or none
        shape                   how many users and items there are, (2,); without it, as many as are named

    Raises:
        BadFile: if the file is not such a file; it names the array that is not as it should be.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    there = [part for part in _PARTS if f"{part}_user" in arrays or f"{part}_item" in arrays]
    if there not in (["train"], list(_PARTS)):
        raise BadFile(
            f"{path} holds pairs of {', '.join(there) or 'no part'}; expected arrays train_user and train_item, and for a "
            "published split valid_user, valid_item, test_user and test_item too"
        )
    parts = [_pairs(path, arrays, part) for part in there]
    users, items = _shape(path, arrays, parts)
    for part, pairs in zip(there, parts, strict=True):
        for place, (what, size) in enumerate((("user", users), ("item", items))):
            values = pairs[:, place]
            if not 0 <= values.min() <= values.max() < size:
                strange = values.min() if values.min() < 0 else values.max()
                raise BadFile(f"{path}: {part}_{what} names {what} {strange:,}, but there are {size:,} (0 to {size - 1:,})")
    features, notes = {}, []
    for array in arrays:
        if array.endswith(ENDING):
            name = modality(array.removesuffix(ENDING), f"{path}: {array}")
            where = f"{path}: {array}"
            features[name], note = checked_features(name, arrays[array], items, "in the order of their numbers", where)
            notes.append(note)
    made = [Interactions.of(users, items, pairs) for pairs in parts]
    if repeated := sum(map(len, parts)) - sum(map(len, made)):
        notes.append(f"{counted(repeated, 'repeated pair')} {'was' if repeated == 1 else 'were'} merged.")
    whole = Interactions.of(users, items, made[0].pairs, features)
    held = (made[1].pairs, made[2].pairs) if len(made) > 1 else (None, None)
    try:
        return InteractionSource(path.stem, whole, validation=held[0], test=held[1], note=" ".join(filter(None, notes)))
    except BadSetting as error:
        raise BadFile(f"{path}: {error}") from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    name = None
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise ValueError("it is a single array")
        wanted = {f"{part}_{what}" for part in _PARTS for what in ("user", "item")} | {"shape"}
        found = {}
        with opened as file:
            for name in file.files:
                if name in wanted or name.endswith(ENDING):
                    found[name] = file[name]
                    if not isinstance(found[name], np.ndarray):  # numpy gives the bytes of what is no array
                        raise ValueError("it is no array")
        return found
    except UNREADABLE as error:
        where = f"{path}: array {name}" if name else str(path)
        raise BadFile(f"{where} cannot be read: {error}; expected a whole .npz file without pickled objects") from error


def _pairs(path: Path, arrays: Mapping[str, np.ndarray], part: str) -> np.ndarray:
    """The pairs of one part, int64, shape (n, 2)."""
    columns = []
    for what in ("user", "item"):
        name = f"{part}_{what}"
        if name not in arrays:
            raise BadFile(f"{path} has no array {name}; it has {', '.join(arrays)}")
        values = arrays[name]
        if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values):
            raise BadFile(f"{path}: {name} is {values.dtype} of shape {values.shape}; expected whole numbers of shape (pairs,)")
        columns.append(values.astype(np.int64))
    if len(columns[0]) != len(columns[1]):
        raise BadFile(f"{path}: {part}_user has {len(columns[0]):,} values, but {part}_item has {len(columns[1]):,}")
    return np.stack(columns, 1)


def _shape(path: Path, arrays: Mapping[str, np.ndarray], parts: list[np.ndarray]) -> tuple[int, int]:
    if "shape" not in arrays:
        return tuple(int(size) for size in np.concatenate(parts).max(0) + 1)  # type: ignore[return-value]
    shape = arrays["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 1:
        raise BadFile(f"{path}: shape is {shape.tolist()}; expected how many users and items there are")
    return int(shape[0]), int(shape[1])
