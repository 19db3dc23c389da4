"""CIFAR-10 from its binary version: records of one label byte and 3,072 pixel bytes (red, green, blue planes of 32x32).

Source: A. Krizhevsky. "Learning Multiple Layers of Features from Tiny Images", technical report, University of
Toronto, 2009.
"""

from pathlib import Path

import numpy as np
import torch

from expunge.data.published import PublicSet, missing, read_failed, sample_note
from expunge.data.records import Records, Source
from expunge.errors import BadFile

CIFAR10 = PublicSet(
    "cifar10",
    "CIFAR-10 (binary version)",
    "www.cs.toronto.edu/~kriz/cifar.html",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    (3, 32, 32),
    (50_000, 10_000),
)
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES_FILE = "batches.meta.txt"
_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS


def holds_cifar(folder: Path) -> bool:
    """Whether `folder` has a file of CIFAR-10, be it of the version for Python, which is then refused by name."""
    return any((folder / name).is_file() for name in (*TRAIN_FILES, TEST_FILE, "data_batch_1"))


def find_files(folder: Path, public: PublicSet | None = CIFAR10) -> tuple[list[Path], Path]:
    """The paths of the training files, those of the five that are there, and of the test file.

    Raises:
        BadFile: if there is no training file or no test file.
    """
    train = [path for name in TRAIN_FILES if (path := folder / name).is_file()]
    test = folder / TEST_FILE
    if not train and (folder / "data_batch_1").is_file():
        raise BadFile(
            f"{folder} holds the Python version of CIFAR-10, which is pickled and can run foreign code when it is "
            f"opened; take the binary version (files {TRAIN_FILES[0]} and so on) from {CIFAR10.address}"
        )
    if not train:
        raise missing(public, f"{TRAIN_FILES[0]} (and up to {TRAIN_FILES[-1]})", folder)
    if not test.is_file():
        raise missing(public, TEST_FILE, folder)
    return train, test


def read_source(folder: Path, public: PublicSet | None = CIFAR10) -> Source:
    """Read a folder of CIFAR-10 files: those training files that are there, each with any number of records.

    Inputs have shape (n, 3, 32, 32), float32 between 0 and 1. Rows keep the order of the files.

    Raises:
        BadFile: if a file is missing, cut short, or holds something else.
    """
    train_files, test_file = find_files(folder, public)
    classes = _read_classes(folder / CLASSES_FILE)
    train = _records(np.concatenate([read_batch(path) for path in train_files]), classes)
    holdout = _records(read_batch(test_file), classes)
    name = public.name if public else folder.resolve().name
    return Source(name, train, holdout, classes, sample_note(CIFAR10, len(train), len(holdout)), CIFAR10.shape)


def read_batch(path: Path) -> np.ndarray:
    """Read one file of records; shape (records, 3,073) of unsigned bytes, the label first.

    Raises:
        BadFile: if the file is cut short or has a label above 9.
    """
    try:
        content = np.frombuffer(bytearray(path.read_bytes()), dtype=np.uint8)
    except OSError as error:
        raise read_failed(path, error) from error
    whole, rest = divmod(len(content), _RECORD)
    if rest or not whole:
        raise BadFile(
            f"{path} is cut short or foreign: expected records of {_RECORD:,} bytes, found {len(content):,} bytes, "
            f"that is {whole:,} records and {rest:,} bytes of the next; copy the file again"
        )
    records = content.reshape(whole, _RECORD)
    foreign = np.flatnonzero(records[:, 0] >= len(CIFAR10.classes))
    if len(foreign):
        raise BadFile(
            f"{path}: record {foreign[0]:,} has label {records[foreign[0], 0]}; expected 0..9. "
            "It is not a file of CIFAR-10's binary version (one label byte, 3,072 pixel bytes)"
        )
    return records


def _read_classes(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return CIFAR10.classes
    try:
        names = tuple(name for line in path.read_text(encoding="utf-8").splitlines() if (name := line.strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error
    if len(names) != len(CIFAR10.classes):
        raise BadFile(f"{path} lists {len(names):,} class names; expected {len(CIFAR10.classes)}, one a line")
    return names


def _records(records: np.ndarray, classes: tuple[str, ...]) -> Records:
    inputs = torch.from_numpy(records[:, 1:]).float().div_(255).reshape(-1, 3, 32, 32)
    return Records(inputs, torch.from_numpy(records[:, 0]).long(), classes=classes)
