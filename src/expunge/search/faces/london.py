"""The Face Research Lab London Set, cut small: 102 consenting adults, neutral and smiling, with landmarks.

Found as `faces/london_128.npz` in the folder that the environment variable ``EXPUNGE_DATA`` names; arrays `neutral` and
`smiling` (102, 128, 128) of bytes, `landmarks` (102, 189, 2) of the neutral picture in pixels, `person`, `age` and `gender`.

Reference: L. M. DeBruine, B. C. Jones. "Face Research Lab London Set", figshare 2017, CC BY 4.0.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from expunge.data.published import PublicSet, file_in
from expunge.errors import BadFile
from expunge.search.faces.face_set import FaceSet

CLASSES = ("neutral", "smiling")
LICENCE = "CC BY 4.0"
ATTRIBUTION = (
    "Face Research Lab London Set by Lisa DeBruine and Benedict Jones (2017), CC BY 4.0; cut, turned, reduced and made grey. "
    "The persons consented to studies and to the illustration of research: never try to find out who they are, and never let "
    "them advertise a product."
)
LONDON = PublicSet(
    "faces",
    "Face Research Lab London Set (128 x 128)",
    "doi.org/10.6084/m9.figshare.5047666, and with landmarks at github.com/debruine/webmorphR.stim",
    CLASSES,
    (1, 128, 128),
    (204, 0),
)
FILE = "london_128.npz"


@dataclass(frozen=True, eq=False)
class London:
    """The set in memory.

    Args:
        neutral: shape (n, H, W), bytes.
        smiling: shape (n, H, W), bytes; row by row the same persons.
        landmarks: shape (n, 189, 2), x and y in pixels of the neutral picture, float32; the first two are the pupils.
        persons: number of each person, shape (n,) of strings.
        age: in years, shape (n,); NaN where it is not known.
        gender: shape (n,) of strings.
    """

    neutral: np.ndarray
    smiling: np.ndarray
    landmarks: np.ndarray
    persons: np.ndarray
    age: np.ndarray
    gender: np.ndarray

    def expressions(self) -> FaceSet:
        """All 2 n pictures, neutral and smiling in turn, shape (1, H, W), between 0 and 1."""
        pixels = torch.from_numpy(np.stack([self.neutral, self.smiling], 1).reshape(-1, 1, *self.neutral.shape[1:]))

        def read(row: int) -> Tensor:
            return pixels[row].float().div_(255)

        labels = np.tile(np.arange(2), len(self.persons))
        persons = self.persons.repeat(2)
        return FaceSet(
            "London faces",
            read,
            labels,
            CLASSES,
            np.array([f"person {person}, {CLASSES[label]}" for person, label in zip(persons, labels, strict=True)]),
            persons=persons,
            columns={"age": self.age.repeat(2), "gender": self.gender.repeat(2)},
            licence=LICENCE,
            note=ATTRIBUTION,
        )


def read_london(path: str | Path | None = None) -> London:
    """Read the set from a file, a folder that holds it, or the folder of public sets.

    Raises:
        BadFile: if it is not there, is damaged, or its arrays are not as they should be.
    """
    folder = Path(path) if path is not None else LONDON.folder(FILE)
    if not folder.is_file():
        folder = file_in(folder, (FILE,), LONDON if path is None else None)
    try:
        with np.load(folder, allow_pickle=False) as arrays:
            absent = {"neutral", "smiling", "landmarks", "person", "age", "gender"} - set(arrays.files)
            if absent:
                raise BadFile(f"{folder} has no array {', '.join(sorted(absent))}; it has {', '.join(arrays.files)}")
            found = London(
                arrays["neutral"], arrays["smiling"], arrays["landmarks"], arrays["person"], arrays["age"], arrays["gender"]
            )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(f"{folder} cannot be read as npz: {error}") from error
    _check(found, folder)
    return found


def _check(found: London, path: str | os.PathLike[str]) -> None:
    count = len(found.persons)
    for name, values in (("neutral", found.neutral), ("smiling", found.smiling)):
        if values.ndim != 3 or len(values) != count or values.dtype != np.uint8 or values.shape != found.neutral.shape:
            raise BadFile(f"{path}: {name} must be bytes of shape ({count}, H, W), not {values.dtype} {values.shape}")
    if found.landmarks.ndim != 3 or len(found.landmarks) != count or found.landmarks.shape[2] != 2:
        raise BadFile(f"{path}: landmarks must be of shape ({count}, points, 2), not {found.landmarks.shape}")
    for name, values in (("age", found.age), ("gender", found.gender)):
        if values.shape != (count,):
            raise BadFile(f"{path}: {name} must be of shape ({count},), not {values.shape}")
