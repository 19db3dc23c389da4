"""Where data comes from: embedded sets, real files that the user has, folders of images, and the user's own code."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from expunge.data import adult, cifar, etth, faces, housing, idx, stsb
from expunge.data.adult import ADULT
from expunge.data.cifar import CIFAR10
from expunge.data.class_table import read_any_table, read_class_table
from expunge.data.columns import read_columns, read_values
from expunge.data.diabetes import read_diabetes
from expunge.data.digits import read_digits
from expunge.data.etth import ETTH1, ETTH2
from expunge.data.folder import read_folder
from expunge.data.graph_files import GRAPHS, load_graph
from expunge.data.graph_source import GraphSource, from_pyg
from expunge.data.graph_splits import LinkSplit, NodeSplit, split_links, split_nodes
from expunge.data.housing import HOUSING
from expunge.data.idx import FASHION_MNIST, MNIST
from expunge.data.interaction_files import INTERACTION_SETS, load_interactions
from expunge.data.interaction_source import InteractionSource
from expunge.data.interaction_splits import InteractionSplit, split_interactions
from expunge.data.published import PublicSet
from expunge.data.records import (
    Records,
    Source,
    Target,
    classes_of,
    columns_of,
    length,
    numbered_classes,
    take,
    targets_of,
    with_columns,
)
from expunge.data.splitting import split_by
from expunge.data.stsb import STSB
from expunge.data.table import HELD_OUT, SUFFIXES, Schema, read_schema, read_table
from expunge.errors import BadFile, BadSetting
from expunge.importing import call_imported, is_import_string

__all__ = [
    "DATASETS",
    "GRAPHS",
    "INTERACTION_SETS",
    "GraphSource",
    "InteractionSource",
    "InteractionSplit",
    "LinkSplit",
    "NodeSplit",
    "Records",
    "Schema",
    "Source",
    "Target",
    "available",
    "classes_of",
    "columns_of",
    "from_pyg",
    "load",
    "load_graph",
    "load_interactions",
    "read_class_table",
    "read_columns",
    "read_schema",
    "read_table",
    "read_values",
    "split_by",
    "split_interactions",
    "split_links",
    "split_nodes",
    "take",
    "targets_of",
]

DATASETS: dict[str, str] = {
    "digits": "1,797 handwritten digits of 8x8 pixels, 10 classes; embedded in scikit-learn, always there",
    "mnist": "70,000 handwritten digits of 28x28 pixels, 10 classes; the user's files in $EXPUNGE_DATA/mnist",
    "fashion-mnist": "70,000 clothes of 28x28 pixels, 10 classes; the user's files in $EXPUNGE_DATA/fashion-mnist",
    "cifar10": "60,000 colour photographs of 32x32 pixels, 10 classes; the user's files in $EXPUNGE_DATA/cifar10",
    "diabetes": "442 patients, 10 numbers each, how far the disease went in a year; embedded in scikit-learn, always there",
    "california-housing": "20,640 blocks of houses and their median value; the user's file in $EXPUNGE_DATA/tabular",
    "adult": "32,561 people and whether they earn more than 50,000 US dollars a year; the user's file in $EXPUNGE_DATA/tabular",
    "stsb": "7,249 pairs of sentences and how alike they are; the user's files in $EXPUNGE_DATA/stsb",
    "etth1": "two years of hours of a transformer, to forecast its oil temperature; the user's file in $EXPUNGE_DATA/ettsmall",
    "etth2": "the same of a second transformer; the user's file in $EXPUNGE_DATA/ettsmall",
}

_EMBEDDED: dict[str, Callable[[], Source]] = {"digits": read_digits, "diabetes": read_diabetes}


@dataclass(frozen=True)
class _Public:
    """How a public set is found and read, given its folder; `first_file` is named when there is no folder to look in."""

    public: PublicSet
    first_file: str
    read_source: Callable[[Path, PublicSet], Source]
    find_files: Callable[[Path, PublicSet], Any]

    def folder(self) -> Path:
        return self.public.folder(self.first_file)


_PUBLIC = {
    "mnist": _Public(MNIST, idx.FILES[0], idx.read_source, idx.find_files),
    "fashion-mnist": _Public(FASHION_MNIST, idx.FILES[0], idx.read_source, idx.find_files),
    "cifar10": _Public(CIFAR10, cifar.TRAIN_FILES[0], cifar.read_source, cifar.find_files),
    "california-housing": _Public(HOUSING, housing.FILES[0], housing.read_source, housing.find_files),
    "adult": _Public(ADULT, adult.FILES[0], adult.read_source, adult.find_files),
    "stsb": _Public(STSB, stsb.FILES[0], stsb.read_source, stsb.find_files),
    "etth1": _Public(ETTH1, "ETTh1.csv", etth.read_source, etth.find_files),
    "etth2": _Public(ETTH2, "ETTh2.csv", etth.read_source, etth.find_files),
}


def load(
    name_or_path: str | Path,
    *,
    size: int = 32,
    grayscale: bool = False,
    train: int | None = None,
    holdout: int | None = None,
    columns: str | Path | None = None,
    target: str | None = None,
    holdout_share: float | None = None,
    classes: bool | None = False,
) -> Source:
    """Load data by its name, from a folder, from a table, or from the user's own function.

    Args:
        name_or_path: one of :data:`DATASETS`; a folder of images by class, of faces whose file names hold the age, or one
            that holds idx files or CIFAR-10's binary files; a table, whose name ends in ``.csv`` or ``.tsv`` (see
            :func:`read_table`); or an import string ``package.module:function`` of a function that returns a
            :class:`Source` or a pair (train, holdout) of datasets. A name comes before a folder of the same name, which
            is reached as ``./name``.
        size: height and width in pixels to which images in folders are brought; the other sources have their own.
        grayscale: read images in folders as shades of grey.
        train: take only the first so many training rows. Inputs and targets that were standardised stay as they are: by
            all training rows.
        holdout: take only the first so many rows that are held out.
        columns: a CSV file with a header and one line for each row of the whole training set. Where the data has a
            column `file` (folders of images have) and the CSV file too, lines are matched by it and may be in any
            order.
        target: the column of a table that is to be predicted; tables need one, other data has its own.
        holdout_share: share of the rows of a table that are held out; one in five when None.
        classes: whether the values in the target of a table are names of classes, be they texts or whole numbers; None says
            that texts are, and numbers aren't. Other data knows what its targets are.

    Raises:
        BadFile: if a file is missing or not what it should be.
        BadSetting: if the data is not known, or has fewer rows than are to be taken; if a table is given no target, or
            other data a setting that is for tables.

    >>> load("digits", train=100).train[0][0].shape
    torch.Size([1, 8, 8])
    """
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    if _is_table(name, path):
        read = {False: read_table, True: read_class_table, None: read_any_table}[classes]
        source = read(path, target, HELD_OUT if holdout_share is None else holdout_share)
    else:
        source = _read(name, path, size, grayscale)
        _refuse_of_tables(name, target=target, holdout_share=holdout_share)
    if columns is not None:
        source = replace(source, train=_with_file(source.train, Path(columns)))
    for part, count in (("train", train), ("holdout", holdout)):
        if count is not None:
            source = replace(source, **{part: _take(source, part, count)})  # type: ignore[arg-type]
    return source


def available(name: str) -> bool:
    """Whether all files of one of :data:`DATASETS` are there (they are not opened), or `name` is a folder or a table.

    >>> available("digits"), available("no such data")
    (True, False)
    """
    if name in _EMBEDDED:
        return True
    if name not in _PUBLIC:
        path = Path(name).expanduser()
        return path.is_dir() or (path.is_file() and _is_table(name, path))
    known = _PUBLIC[name]
    try:
        known.find_files(known.folder(), known.public)
    except BadFile:
        return False
    return True


def _is_table(name: str, path: Path) -> bool:
    return name not in DATASETS and path.suffix.lower() in SUFFIXES and not path.is_dir()


def _refuse_of_tables(name: str, **settings: object) -> None:
    for setting, value in settings.items():
        if value is not None:
            raise BadSetting(
                f"{name} takes no {setting} (given: {value}); only tables do, files whose names end in "
                f"{' or '.join(sorted(SUFFIXES))}"
            )


def _read(name: str, path: Path, size: int, grayscale: bool) -> Source:
    if name in _EMBEDDED:
        return _EMBEDDED[name]()
    if name in _PUBLIC:
        known = _PUBLIC[name]
        return known.read_source(known.folder(), known.public)
    if path.is_dir():
        return _read_path(path, size, grayscale)
    if is_import_string(name):
        return _read_import(name)
    if path.exists():
        raise BadFile(
            f"{path} is a file; expected a folder of images by class, of idx files or of CIFAR-10's binary files, "
            f"or a table whose name ends in {' or '.join(sorted(SUFFIXES))}"
        )
    if name in GRAPHS:
        raise BadSetting(f"{name} is a graph: ask for edges or nodes of it to be forgotten, or read it with load_graph")
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
    if faces.holds_faces(path):
        return faces.read_faces(path, size, grayscale)
    return read_folder(path, size, grayscale)


def _read_import(name: str) -> Source:
    found = call_imported(name)
    if isinstance(found, Source):
        return found
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise BadSetting(f"{name!r} returned a {type(found).__name__}; expected a Source or a pair (train, holdout)")
    for part in found:
        if not hasattr(part, "__getitem__"):
            raise BadSetting(f"{name!r} returned a {type(part).__name__} in its pair; expected two datasets with __getitem__")
        length(part)
    targets = targets_of(found[0])
    classes = classes_of(found[0]) or numbered_classes(targets)
    target = Target() if not classes and np.issubdtype(targets.dtype, np.floating) else None
    return Source(name.partition(":")[2], found[0], found[1], classes, target=target)


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
