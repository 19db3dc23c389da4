"""CK+ from its folders: posed expressions of 118 persons, each a sequence from neutral to the peak; 327 have a class.

    as published   Emotion/S005/001/S005_001_00000011_emotion.txt          3.0000000e+00
                   cohn-kanade-images/S005/001/S005_001_00000001.png       the sequence, the peak last
    CK+48          anger/S010_004_00000017.png                             the last three frames of each, 48 x 48

Three neighbouring frames of a sequence are nearly one picture: divide by person, never by picture. The person is the first
part of a file's name.

Reference: P. Lucey, J. F. Cohn, T. Kanade, J. Saragih, Z. Ambadar, I. Matthews. "The Extended Cohn-Kanade Dataset (CK+): A
Complete Dataset for Action Unit and Emotion-Specified Expression", CVPR Workshops 2010.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from expunge.data.folder import SUFFIXES, read_image
from expunge.errors import BadFile, BadSetting
from expunge.search.faces.clips import frame_files, read_frame_files
from expunge.search.faces.face_set import FaceSet

CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
NUMBERS = dict(zip((1, 2, 3, 4, 5, 6, 7), CLASSES, strict=True))  # 0, neutral, is given to no sequence
FOLDERS = {"happy": "happiness", "sad": "sadness", "angry": "anger"}  # other names that copies of CK+48 use
ADDRESS = "www.jeffcohn.net/Resources"
LICENCE = "for research only, under an agreement with the owners; only some persons may be shown in print"
_NAME = re.compile(r"(S\d+)_(\d+)_(\d+)", re.IGNORECASE)


def read_ck_plus(root: str | Path, size: int = 48, grayscale: bool = True, last: int = 3, clips: bool = False) -> FaceSet:
    """Read a folder of either layout; pictures are opened when asked for, between 0 and 1.

    Args:
        root: as published it holds `Emotion` and `cohn-kanade-images`; as CK+48 a folder for each class.
        size: side in pixels that pictures are stretched to.
        grayscale: one channel, or red, green, blue.
        last: as published, how many frames of each sequence are taken, the peak last; 0 for all.
        clips: whether a row is a clip (T, C, size, size) of these frames, or each frame is a row (C, size, size).

    Raises:
        BadFile: if the folders are not there, or a label or a name is not as it should be.
        BadSetting: if `size` or `last` makes no sense, or clips are wanted of CK+48.
    """
    root = Path(root)
    if size < 1 or last < 0:
        raise BadSetting(f"size must be at least 1 pixel and last 0 frames or more, not {size} and {last}")
    if (root / "Emotion").is_dir():
        found = _sequences(root, last)
        groups = found if clips else [([path], label) for paths, label in found for path in paths]
    elif clips:
        raise BadSetting(f"{root} has no folder Emotion, so it is CK+48, whose pictures are no clips; leave clips out")
    else:
        groups = _class_folders(root)
    matches = [_parts(paths[-1]) for paths, _ in groups]

    def read(row: int) -> Tensor:
        paths = groups[row][0]
        if clips:
            return read_frame_files(paths, grayscale, size)
        return torch.from_numpy(read_image(paths[0], size, grayscale).copy()).float().div_(255)

    return FaceSet(
        "CK+",
        read,
        np.array([CLASSES.index(label) for _, label in groups], dtype=np.int64),
        CLASSES,
        np.array([paths[-1].name for paths, _ in groups]),
        persons=np.array([person for person, _ in matches]),
        apex=np.array([len(paths) - 1 for paths, _ in groups]) if clips else None,
        columns={"sequence": np.array([sequence for _, sequence in matches])},
        licence=LICENCE,
    )


def _missing(root: Path, what: str) -> BadFile:
    return BadFile(
        f"CK+: {what} was looked for in {root}, and is not there; the owners give the set out at {ADDRESS}. Terms: {LICENCE}"
    )


def _sequences(root: Path, last: int) -> list[tuple[list[Path], str]]:
    """The frames and the class of each sequence that has one."""
    images = root / "cohn-kanade-images"
    if not images.is_dir():
        raise _missing(root, "folder cohn-kanade-images")
    found = []
    for path in sorted((root / "Emotion").glob("*/*/*_emotion.txt")):
        frames = frame_files(images / path.parent.relative_to(root / "Emotion"))
        found.append((frames[-last:], _class(path)))
    if not found:
        raise _missing(root / "Emotion", "a file such as S005/001/S005_001_00000011_emotion.txt")
    return found


def _class(path: Path) -> str:
    try:
        number = float(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read as the number of a class: {error}") from error
    if number not in NUMBERS:
        raise BadFile(f"{path} says class {number:g}; expected 1 to {len(CLASSES)}: {', '.join(CLASSES)}")
    return NUMBERS[int(number)]


def _class_folders(root: Path) -> list[tuple[list[Path], str]]:
    if not root.is_dir():
        raise _missing(root, "the folder")
    found: list[tuple[list[Path], str]] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        label = FOLDERS.get(folder.name.lower(), folder.name.lower())
        if label in CLASSES:
            found += [([path], label) for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise _missing(root, f"folder Emotion, or a folder of pictures such as {CLASSES[0]},")
    return found


def _parts(path: Path) -> Sequence[str]:
    """The person and the sequence that the name of a file says."""
    match = _NAME.match(path.name)
    if match is None:
        raise BadFile(f"{path}: the name says no person; expected one such as S010_004_00000017.png")
    person, sequence, _ = match.groups()
    return person.upper(), f"{person.upper()}_{sequence}"
