"""Faces whose age stands in their file names, all in one folder, as UTKFace and AgeDB are published.

    UTKFace   [age]_[gender]_[race]_[date].jpg      such as 25_1_2_20170116174525125.jpg.chip.jpg
    AgeDB     [id]_[name]_[age]_[gender].jpg        such as 42_GretaGarbo_31_f.jpg; the id is that of the image

Sources: Z. Zhang, Y. Song, H. Qi. "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017,
arXiv 1702.08423. S. Moschoglou, A. Papaioannou, C. Sagonas, J. Deng, I. Kotsia, S. Zafeiriou. "AgeDB: the First Manually
Collected, In-the-Wild Age Database", CVPR Workshops 2017.
"""

import re
from pathlib import Path

import numpy as np
import torch

from expunge.data.folder import SUFFIXES, read_image
from expunge.data.records import Records, Source, Target
from expunge.errors import BadFile, BadSetting

LAYOUTS = {
    "UTKFace": re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<date>\d+)\..+"),
    "AgeDB": re.compile(r"\d+_(?P<person>.+)_(?P<age>\d{1,3})_(?P<gender>[mf])\.[^.]+", re.IGNORECASE),
}
HELD_OUT = 0.2
SPLIT_SEED = 0
_RECOGNISED = 0.8  # share of the images of a folder whose names must have the layout
_GENDERS = {"0": "male", "1": "female", "m": "male", "f": "female"}

_Face = dict[str, str]  # what the name of a file says, and the name


def holds_faces(folder: Path) -> bool:
    """Whether at least four in five of the images directly in `folder` are named as one of :data:`LAYOUTS`."""
    names = _images(folder)
    return bool(names) and max(map(len, _faces(names).values())) >= _RECOGNISED * len(names)


def read_faces(root: str | Path, size: int = 32, grayscale: bool = False) -> Source:
    """Read all faces of a folder into memory; the target is the age in years.

    Which layout it is, is told by the names; files that do not have it are passed over, and counted in the note. One row in
    five is held out, always the same ones. Of AgeDB the same person may be in both parts.

    Inputs have shape (n, 1 or 3, size, size), float32 between 0 and 1; images are stretched to a square. Targets have shape
    (n, 1), float32, standardised. The columns are `file`, `age`, `gender` ("male" or "female"), and of AgeDB `person`: the
    name without the id, which is another for each image, so that asking for a person finds all their images.

    Raises:
        BadFile: if there are too few faces, all are of one age, or an image cannot be read.
        BadSetting: if `size` is not at least 1.
    """
    root = Path(root)
    if size < 1:
        raise BadSetting(f"size must be at least 1 pixel, not {size}")
    names = _images(root)
    layout, faces = max(_faces(names).items(), key=lambda found: len(found[1]))
    held = max(1, round(HELD_OUT * len(faces)))
    if len(faces) - held < 2:
        raise BadFile(f"{root} has {len(faces)} images named as {' or '.join(LAYOUTS)} name them; expected at least 3")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(faces))
    train, holdout = ([faces[row] for row in rows] for rows in (order[:-held], order[-held:]))
    ages = np.array([int(face["age"]) for face in train])
    if np.ptp(ages) == 0:
        raise BadFile(f"{root}: age is {ages[0]} in every training row; expected values that differ")
    scaling = Target("age", float(ages.mean()), float(ages.std()), "years", lowest=0)
    parts = [_records(root, part, scaling, size, grayscale) for part in (train, holdout)]
    note = f"Files named as those of {layout}; {held:,} of {len(faces):,} are held out, drawn with seed {SPLIT_SEED}."
    if skipped := len(names) - len(faces):
        note += f" {skipped:,} images with other names are passed over."
    return Source(root.resolve().name, parts[0], parts[1], (), note, tuple(parts[0].inputs.shape[1:]), scaling)


def _images(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise BadFile(f"folder of images not found: {folder}")
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _faces(names: list[str]) -> dict[str, list[_Face]]:
    """What the names say that have a layout, for each layout."""
    return {
        layout: [{"file": name, **match.groupdict()} for name in names if (match := pattern.fullmatch(name))]
        for layout, pattern in LAYOUTS.items()
    }


def _records(root: Path, faces: list[_Face], scaling: Target, size: int, grayscale: bool) -> Records:
    pixels = np.empty((len(faces), 1 if grayscale else 3, size, size), dtype=np.uint8)
    for row, face in enumerate(faces):
        pixels[row] = read_image(root / face["file"], size, grayscale)
    ages = np.array([int(face["age"]) for face in faces])
    columns = {
        "file": np.array([face["file"] for face in faces]),
        "age": ages,
        "gender": np.array([_GENDERS[face["gender"].lower()] for face in faces]),
    }
    if "person" in faces[0]:
        columns["person"] = np.array([face["person"] for face in faces])
    targets = torch.tensor([[scaling.scaled(age)] for age in ages.tolist()], dtype=torch.float32)
    return Records(torch.from_numpy(pixels).float().div_(255), targets, columns)
