"""MNIST, Fashion-MNIST, and whatever else comes as idx files, plain or compressed by gzip.

An idx file is two zero bytes, one byte for the type of the values (8: unsigned bytes), one byte for the number of
dimensions, each dimension as four bytes (highest first), and then the values, last dimension fastest.

Sources: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11), 1998. H. Xiao, K. Rasul, R. Vollgraf. "Fashion-MNIST: a Novel Image Dataset for
Benchmarking Machine Learning Algorithms", 2017, arXiv 1708.07747.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch

from expunge.data.published import PublicSet, missing, read_failed, sample_note
from expunge.data.records import Records, Source, numbered_classes
from expunge.errors import BadFile

MNIST = PublicSet(
    "mnist",
    "MNIST",
    "yann.lecun.com/exdb/mnist",
    tuple(str(digit) for digit in range(10)),
    (1, 28, 28),
    (60_000, 10_000),
)
FASHION_MNIST = PublicSet(
    "fashion-mnist",
    "Fashion-MNIST",
    "github.com/zalandoresearch/fashion-mnist",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    (1, 28, 28),
    (60_000, 10_000),
)
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_GZIP_START = b"\x1f\x8b"
_CHUNK = 1 << 20  # bytes read at once: a header may promise more than memory holds


def holds_idx(folder: Path) -> bool:
    """Whether at least one of the four files is in `folder`."""
    return any((folder / (name + end)).is_file() for name in FILES for end in ("", ".gz"))


def find_files(folder: Path, public: PublicSet | None = None) -> tuple[Path, ...]:
    """The paths of the four files; where one is there both plain and compressed, the plain one.

    Raises:
        BadFile: if one is missing.
    """
    found = []
    for name in FILES:
        path = next((path for end in ("", ".gz") if (path := folder / (name + end)).is_file()), None)
        if path is None:
            raise missing(public, f"{name} or {name}.gz", folder)
        found.append(path)
    return tuple(found)


def read_source(folder: Path, public: PublicSet | None = None) -> Source:
    """Read the four files of a folder.

    Inputs have shape (n, 1, height, width), float32 between 0 and 1; for a `public` set its own height and width.
    Classes of a set that is not known are called by their number.

    Raises:
        BadFile: if a file is missing, cut short, or not what it should be, or if two do not belong together.
    """
    files = find_files(folder, public)
    train, train_labels = _read_pair(files[0], files[1], public)
    holdout, holdout_labels = _read_pair(files[2], files[3], public)
    if train.shape[1:] != holdout.shape[1:]:
        raise BadFile(f"{files[2]} holds images of {_size(holdout)}, but {files[0]} of {_size(train)}: they must be alike")
    classes = public.classes if public else numbered_classes(np.concatenate([train_labels, holdout_labels]))
    return Source(
        public.name if public else folder.resolve().name,
        _records(train, train_labels, classes),
        _records(holdout, holdout_labels, classes),
        classes,
        sample_note(public, len(train), len(holdout)) if public else "",
        (1, *train.shape[1:]),
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read one idx file of unsigned bytes; the result has `dimensions` dimensions.

    Whether it is compressed is told by its first bytes, not by its name.

    Raises:
        BadFile: if the file is not of this format, or shorter or longer than its header says.
    """
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP_START
            file.seek(0)
            if not compressed:
                return _parse(path, file, dimensions)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse(path, cast(IO[bytes], unpacked), dimensions)
    except EOFError:
        raise BadFile(f"{path} is cut short: the gzip stream ends before its end mark; copy the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(f"{path} is damaged: {error}; copy the file again") from error
    except OSError as error:
        raise read_failed(path, error) from error


def _parse(path: Path, file: IO[bytes], dimensions: int) -> np.ndarray:
    magic, expected = file.read(4), bytes((0, 0, 8, dimensions))
    if magic != expected:
        found = f"starts with the bytes {magic.hex()}" if magic else "is empty"
        raise BadFile(
            f"{path} {found}; expected {expected.hex()}, an idx file of unsigned bytes in {dimensions} "
            f"dimension{'s' if dimensions > 1 else ''} ({'images' if dimensions == 3 else 'labels'})"
        )
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise BadFile(f"{path} is cut short: it ends inside its header of {4 + 4 * dimensions} bytes")
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    if 0 in shape:
        raise BadFile(f"{path} is empty: its header states the size {_by(shape)}; expected at least one value")
    return _values(path, file, shape)


def _values(path: Path, file: IO[bytes], shape: tuple[int, ...]) -> np.ndarray:
    promised, content = math.prod(shape), bytearray()
    while len(content) <= promised and (chunk := file.read(_CHUNK)):
        content += chunk
    says = f"its header states {_by(shape)}, that is {promised:,} bytes of values"
    if len(content) < promised:
        raise BadFile(f"{path} is cut short: {says}, found {len(content):,}; copy the file again")
    if len(content) > promised:
        raise BadFile(f"{path} is too long: {says}, but more follow; it is damaged or of another format")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read_pair(images_path: Path, labels_path: Path, public: PublicSet | None) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise BadFile(
            f"{labels_path} holds {len(labels):,} labels, but {images_path} {len(images):,} images: "
            "there must be one label for each image; take both files from the same set"
        )
    if public and images.shape[1:] != public.shape[1:]:
        raise BadFile(
            f"{images_path} holds images of {_size(images)}; those of {public.title} have {_by(public.shape[1:])} pixels"
        )
    if public and labels.max() >= len(public.classes):
        row = int(np.argmax(labels >= len(public.classes)))
        raise BadFile(
            f"{labels_path}: label {row:,} is {labels[row]}; those of {public.title} are 0..{len(public.classes) - 1}"
        )
    return images, labels


def _records(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Records:
    inputs = torch.from_numpy(images).unsqueeze(1).float().div_(255)
    return Records(inputs, torch.from_numpy(labels).long(), classes=classes)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(f"{size:,}" for size in shape)


def _size(images: np.ndarray) -> str:
    return f"{_by(images.shape[1:])} pixels"
