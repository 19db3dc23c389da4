"""Features of items: from files of arrays with a row for each item, and from what is written about them.

Texts become numbers by TF-IDF and a truncated singular value decomposition (latent semantic analysis):

    w_td = (1 + log f_td) ( 1 + log( (1 + n) / (1 + n_t) ) ),   rows w_d scaled to length 1,      x_d = V_k^T w_d

with f_td how often term t stands in the text of item d, n_t in how many of the n texts it does, and V_k the k strongest right
singular vectors of the matrix of all w.

Reference: S. Deerwester, S. Dumais, G. Furnas, T. Landauer, R. Harshman. "Indexing by Latent Semantic Analysis", Journal of
the American Society for Information Science 41(6), 1990.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from expunge.errors import BadFile, BadSetting
from expunge.requests.request import counted

ENDING = "_feat"
WORDS = r"(?u)\b\w\w+\b"
DIMENSION = 64
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError)

Features = Mapping[str, np.ndarray]


def text_features(texts: Sequence[str], dimension: int = DIMENSION, least: int = 1, term: str = WORDS) -> np.ndarray | None:
    """What is written about items, as numbers; see the module.

    Args:
        texts: of each item; may be empty.
        dimension: at most so many numbers for each item; never more than one less than there are terms.
        least: a term counts that stands in at least so many texts; if none does, all count.
        term: a regular expression for one term.

    Returns:
        float32, shape (n, d), 0 for an item without terms; None where no text has any. The same texts give the same numbers.

    >>> text_features(["red shoe", "blue shoe", ""]).shape
    (3, 2)
    """
    from sklearn.decomposition import TruncatedSVD  # a second's import
    from sklearn.feature_extraction.text import TfidfVectorizer

    for fewest in (least, 1):
        try:
            weights = TfidfVectorizer(min_df=fewest, sublinear_tf=True, token_pattern=term).fit_transform(texts)
            break
        except ValueError:  # no term is left
            continue
    else:
        return None
    dimension = min(dimension, weights.shape[1] - 1, len(texts))
    if dimension < 1:
        return np.asarray(weights.toarray(), dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # texts that are all alike
        return np.asarray(TruncatedSVD(dimension, random_state=0).fit_transform(weights), dtype=np.float32)


def feature_files(features: Mapping[str, str | Path] | str | Path) -> dict[str, Path]:
    """The file of each modality: those that a mapping names, or all ``NAME.npy`` and ``NAME_feat.npy`` in a folder.

    Raises:
        BadFile: if the folder is missing, holds none, or two for one modality.
        BadSetting: if a modality cannot be called so.
    """
    if not isinstance(features, str | Path):
        if not features:
            raise BadSetting("features name no file: expected a file .npy for each modality, {image: image.npy}")
        return {modality(name, "features"): Path(path).expanduser() for name, path in features.items()}
    folder = Path(features).expanduser()
    if not folder.is_dir():
        raise BadFile(f"{folder} is no folder: expected one with files NAME.npy, or a file .npy for each modality")
    if not (found := files_in(folder, "")):
        raise BadFile(f"{folder} holds no features: expected files NAME.npy or NAME{ENDING}.npy")
    return found


def files_in(folder: Path, ending: str = ENDING) -> dict[str, Path]:
    """The files ``NAME_feat.npy`` of a folder by NAME; with an empty `ending` all that end in ``.npy``."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{ending}.npy")):
        name = modality(path.stem.removesuffix(ENDING), str(path))
        if name in found:
            raise BadFile(f"{folder} holds two files for {name}: {found[name].name} and {path.name}; expected one")
        found[name] = path
    return found


def modality(name: object, where: str) -> str:
    """The name of a modality, which a network can call its layers by.

    Raises:
        BadSetting: if it cannot; the message begins with `where`.
    """
    if isinstance(name, str) and re.fullmatch(r"\w[\w -]*", name) and not hasattr(nn.ModuleDict, name):
        return name
    raise BadSetting(f"{where}: a modality cannot be called {name!r}; expected letters, digits, - and _, such as image")


def read_features(files: Mapping[str, Path], items: int, order: str) -> tuple[dict[str, np.ndarray], str]:
    """The features in some files, by modality, and what is to be said of them.

    Args:
        files: the file of each modality.
        items: how many rows each must have.
        order: in which order they are, for errors.

    Raises:
        BadFile: if a file is missing, is no array of numbers, or has another number of rows.
    """
    found, notes = {}, []
    for name, path in files.items():
        found[name], note = checked_features(name, read_array(path), items, order, str(path))
        notes.append(note)
    return found, " ".join(filter(None, notes))


def read_array(path: Path) -> np.ndarray:
    """The array in a file ``.npy``; pickled objects are refused.

    Raises:
        BadFile: if there is none.
    """
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    try:
        found = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise BadFile(f"{path} cannot be read: {error}; expected a whole .npy file without pickled objects") from error
    if not isinstance(found, np.ndarray):
        raise BadFile(f"{path} holds several arrays; expected a .npy file with one")
    return found


def checked_features(name: str, values: np.ndarray, items: int, order: str, where: str) -> tuple[np.ndarray, str]:
    """Features as float32 (I, d), and a note on values in them that are no finite numbers: they count as 0, unknown.

    Raises:
        BadFile: if they are no numbers, or have another shape; the message begins with `where`.
    """
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.shape[1]:
        raise BadFile(f"{where} is {values.dtype} of shape {values.shape}; expected numbers of shape (items, features)")
    if len(values) != items:
        raise BadFile(f"{where} has {len(values):,} rows, but there are {items:,} items; expected one row for each, {order}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    foreign = ~np.isfinite(values)
    count = int(foreign[~foreign.all(1)].sum())  # a row of nothing else is an item of which nothing is known
    values[foreign] = 0
    if not count:
        return values, ""
    are, values_count = ("is", "counts") if count == 1 else ("are", "count")
    return values, f"{counted(count, 'value')} in the {name} features that {are} no finite number {values_count} as 0."
