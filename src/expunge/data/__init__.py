"""Where data comes from: embedded sets, real files that the user has, folders of images, and the user's own code."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from expunge.data import cifar, idx
from expunge.data.cifar import CIFAR10
from expunge.data.columns import read_columns, read_values
from expunge.data.digits import read_digits
from expunge.data.folder import read_folder
from expunge.data.idx import FASHION_MNIST, MNIST
from expunge.data.published import PublicSet
from expunge.data.records import (
    Records,
    Source,
    classes_of,
    columns_of,
    length,
    numbered_classes,
    take,
    targets_of,
    with_columns,
)
from expunge.data.splitting import split_by
from expunge.errors import BadFile, BadSetting, ExpungeError
from expunge.importing import import_callable, is_import_string, working_directory_importable

__all__ = [
    "DATASETS",
    "Records",
    "Source",
    "available",
    "classes_of",
    "columns_of",
    "load",
    "read_columns",
    "read_values",
    "split_by",
    "take",
    "targets_of",
]

DATASETS: dict[str, str] = {
    "digits": "1,797 handwritten digits of 8x8 pixels, 10 classes; embedded in scikit-learn, always there",
    "mnist": "70,000 handwritten digits of 28x28 pixels, 10 classes; the user's files in $EXPUNGE_DATA/mnist",
    "fashion-mnist": "70,000 clothes of 28x28 pixels, 10 classes; the user's files in $EXPUNGE_DATA/fashion-mnist",
    "cifar10": "60,000 colour photographs of 32x32 pixels, 10 classes; the user's files in $EXPUNGE_DATA/cifar10",
}

_PUBLIC: dict[str, tuple[PublicSet, str, Callable[[Path, PublicSet], Source], Callable[[Path, PublicSet], Any]]] = {
    "mnist": (MNIST, idx.FILES[0], idx.read_source, idx.find_files),
    "fashion-mnist": (FASHION_MNIST, idx.FILES[0], idx.read_source, idx.find_files),
    "cifar10": (CIFAR10, cifar.TRAIN_FILES[0], cifar.read_source, cifar.find_files),
}


def load(
    name_or_path: str | Path,
    *,
    size: int = 32,
    grayscale: bool = False,
    train: int | None = None,
    holdout: int | None = None,
    columns: str | Path | None = None,
) -> Source:
    """Load data by its name, from a folder, or from the user's own function.

    Args:
        name_or_path: one of :data:`DATASETS`; a folder of images by class, or one that holds idx files or CIFAR-10's
            binary files; or an import string ``package.module:function`` of a function that returns a :class:`Source`
            or a pair (train, holdout) of datasets. A name comes before a folder of the same name, which is reached as
            ``./name``.
        size: height and width in pixels to which images in folders are brought; the other sources have their own.
        grayscale: read images in folders as shades of grey.
        train: take only the first so many training rows.
        holdout: take only the first so many rows that are held out.
        columns: a CSV file with a header and one line for each row of the whole training set. Where the data has a
            column `file` (folders of images have) and the CSV file too, lines are matched by it and may be in any
            order.

    Raises:
        BadFile: if a file is missing or not what it should be.
        BadSetting: if the data is not known, or has fewer rows than are to be taken.

    >>> load("digits", train=100).train[0][0].shape
    torch.Size([1, 8, 8])
    """
    source = _read(name_or_path, size, grayscale)
    if columns is not None:
        source = replace(source, train=_with_file(source.train, Path(columns)))
    for part, count in (("train", train), ("holdout", holdout)):
        if count is not None:
            source = replace(source, **{part: _take(source, part, count)})  # type: ignore[arg-type]
    return source


def available(name: str) -> bool:
    """Whether all files of one of :data:`DATASETS` are there (they are not opened), or `name` is a folder.

    >>> available("digits"), available("no such data")
    (True, False)
    """
    if name == "digits":
        return True
    if name not in _PUBLIC:
        return Path(name).is_dir()
    public, first_file, _, find_files = _PUBLIC[name]
    try:
        find_files(public.folder(first_file), public)
    except BadFile:
        return False
    return True


def _read(name_or_path: str | Path, size: int, grayscale: bool) -> Source:
    name = str(name_or_path)
    if name == "digits":
        return read_digits()
    if name in _PUBLIC:
        public, first_file, read_source, _ = _PUBLIC[name]
        return read_source(public.folder(first_file), public)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _read_path(path, size, grayscale)
    if is_import_string(name):
        return _read_import(name)
    if path.exists():
        raise BadFile(f"{path} is a file; expected a folder of images by class, of idx files or of CIFAR-10's binary files")
    close = difflib.get_close_matches(name, DATASETS, n=1)
    raise BadSetting(
        f"there is no data '{name}'{f' (did you mean {close[0]}?)' if close else ''}: it is no folder, "
        f"no import string 'package.module:function', and none of {', '.join(DATASETS)}"
    )


def _read_path(path: Path, size: int, grayscale: bool) -> Source:
    if idx.holds_idx(path):
        return idx.read_source(path)
    if cifar.holds_cifar(path):
        return cifar.read_source(path, None)
    return read_folder(path, size, grayscale)


def _read_import(name: str) -> Source:
    function = import_callable(name)
    with working_directory_importable():
        try:
            found = function()
        except ExpungeError:
            raise
        except Exception as error:
            raise BadSetting(f"{name!r}: calling it failed: {type(error).__name__}: {error}") from error
    if isinstance(found, Source):
        return found
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise BadSetting(f"{name!r} returned a {type(found).__name__}; expected a Source or a pair (train, holdout)")
    for part in found:
        if not hasattr(part, "__getitem__"):
            raise BadSetting(f"{name!r} returned a {type(part).__name__} in its pair; expected two datasets with __getitem__")
        length(part)
    classes = classes_of(found[0]) or numbered_classes(targets_of(found[0]))
    return Source(name.partition(":")[2], found[0], found[1], classes)


def _with_file(train: Dataset[Any], path: Path) -> Dataset[Any]:
    present = columns_of(train)
    found = read_columns(path, None)
    if "file" not in present or "file" not in found:
        return with_columns(train, read_columns(path, length(train)))
    place = {file: line for line, file in enumerate(found["file"].tolist())}
    if len(place) < len(found["file"]):
        raise BadFile(f"{path}: {len(found['file']) - len(place):,} files are listed more than once; one line a file")
    absent = [file for file in present["file"].tolist() if file not in place]
    if absent:
        raise BadFile(f"{path} has no line for {len(absent):,} of {length(train):,} training files, such as {absent[0]}")
    lines = np.array([place[file] for file in present["file"].tolist()])
    return with_columns(train, {name: values[lines] for name, values in found.items() if name != "file"})


def _take(source: Source, part: str, count: int) -> Dataset[Any]:
    try:
        return take(source.train if part == "train" else source.holdout, count)
    except BadSetting as error:
        raise BadSetting(f"{source.name}, {part}: {error}") from None
