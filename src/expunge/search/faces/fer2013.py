"""FER2013 from its one CSV file: 48 x 48 grey faces found on the web, seven expression classes.

    emotion,pixels,Usage
    0,70 80 82 ... 109,Training

Nobody is named, so folds by person cannot be made; the official parts are Training, PublicTest and PrivateTest. Some hundred
test images are training images too, and some copies have different labels: ask :meth:`FaceSet.duplicates`.

Reference: I. J. Goodfellow et al. "Challenges in Representation Learning: A Report on Three Machine Learning Contests", ICONIP
2013, arXiv 1307.0414.
"""

import csv
import warnings
from pathlib import Path

import numpy as np
import torch

from expunge.errors import BadFile
from expunge.search.faces.face_set import FaceSet

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
PARTS = {"Training": "train", "PublicTest": "public test", "PrivateTest": "private test"}
ADDRESS = "www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge"
LICENCE = "given out by the contest's owners under Kaggle's competition rules; the pictures come from the web, without consent"
SIDE = 48


def read_fer2013(path: str | Path) -> FaceSet:
    """Read the file, or `fer2013.csv` in a folder; pictures have shape (1, 48, 48), between 0 and 1.

    All pixels are held in memory as bytes, 83 MB for the 35,887 rows of the complete set.

    Raises:
        BadFile: if the file is not there, or a row is not as it should be; the message names the row.
    """
    path = Path(path)
    path = path / "fer2013.csv" if path.is_dir() else path
    if not path.is_file():
        raise BadFile(
            f"FER2013: file {path} was looked for, and is not there; the owners publish it at {ADDRESS}. Terms: {LICENCE}"
        )
    labels, parts, pixels = [], [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            if absent := {"emotion", "pixels", "Usage"} - set(reader.fieldnames):
                raise BadFile(f"{path} has no column {' or '.join(sorted(absent))}; expected emotion, pixels and Usage")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                labels.append(_label(row["emotion"], where))
                parts.append(_part(row["Usage"], where))
                pixels.append(_pixels(row["pixels"], where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} cannot be read: {error}") from error
    if not labels:
        raise BadFile(f"{path} has no rows below its header")
    images = torch.from_numpy(np.stack(pixels))
    names = np.array([f"{path.name}, row {row}" for row in range(len(labels))])
    return FaceSet(
        "FER2013",
        lambda row: images[row].float().div_(255),
        np.array(labels, dtype=np.int64),
        CLASSES,
        names,
        parts=np.array(parts),
        licence=LICENCE,
    )


def _label(text: str | None, where: str) -> int:
    if text is None or text.strip() not in map(str, range(len(CLASSES))):
        raise BadFile(f"{where}: emotion is '{text}'; expected 0 to {len(CLASSES) - 1}")
    return int(text)


def _part(text: str | None, where: str) -> str:
    if text is None or text.strip() not in PARTS:
        raise BadFile(f"{where}: Usage is '{text}'; expected {', '.join(PARTS)}")
    return PARTS[text.strip()]


def _pixels(text: str | None, where: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's word for text that is no number
        try:
            values = np.fromstring(text or "", dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError) as error:
            raise BadFile(f"{where}: pixels are not whole numbers with spaces between") from error
    if len(values) != SIDE * SIDE:
        raise BadFile(f"{where} has {len(values):,} pixels; expected {SIDE} x {SIDE} = {SIDE * SIDE:,}")
    if values.min() < 0 or values.max() > 255:
        raise BadFile(f"{where}: pixels run from {values.min()} to {values.max()}; expected 0 to 255")
    return values.astype(np.uint8).reshape(1, SIDE, SIDE)
