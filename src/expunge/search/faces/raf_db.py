"""RAF-DB, basic expressions, from its folder: aligned faces found on the web, seven expression classes.

    EmoLabel/list_patition_label.txt      train_00001.jpg 5
    Image/aligned/                        train_00001_aligned.jpg

The spelling "patition" is the owners'. Nobody is named, so folds by person cannot be made; the official parts stand in the
files' names.

Reference: S. Li, W. Deng, J. Du. "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in
the Wild", CVPR 2017.
"""

from pathlib import Path

import numpy as np
import torch

from expunge.data.folder import read_image
from expunge.errors import BadFile, BadSetting
from expunge.search.faces.face_set import FaceSet

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # numbered from 1 in the file
ADDRESS = "www.whdeng.cn/RAF/model1.html"
LICENCE = "for non-commercial research only, on request to the owners by an academic address; the pictures come from the web"
LIST = "list_patition_label.txt"


def read_raf_db(root: str | Path, size: int = 100, grayscale: bool = False) -> FaceSet:
    """Read the list; pictures are opened when asked for, shape (1 or 3, size, size), between 0 and 1.

    Args:
        root: the folder as it is unpacked, or its `basic` folder; list and folder `aligned` may also lie directly in it.
        size: side in pixels; the owners' are of 100.
        grayscale: one channel, or red, green, blue.

    Raises:
        BadFile: if the list or the pictures are not there, or a line of the list is not as it should be.
        BadSetting: if `size` is not at least 1.
    """
    root = Path(root)
    if size < 1:
        raise BadSetting(f"size must be at least 1 pixel, not {size}")
    listed = _first(root, (f"EmoLabel/{LIST}", LIST, f"basic/EmoLabel/{LIST}"))
    aligned = _first(root, ("Image/aligned", "aligned", "basic/Image/aligned"))
    paths, labels, parts = [], [], []
    try:
        lines = listed.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{listed} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            path, label, part = _entry(line, f"{listed}, line {number}", aligned)
            paths.append(path)
            labels.append(label)
            parts.append(part)
    if not paths:
        raise BadFile(f"{listed} has no lines such as 'train_00001.jpg 5'")
    return FaceSet(
        "RAF-DB",
        lambda row: torch.from_numpy(read_image(paths[row], size, grayscale).copy()).float().div_(255),
        np.array(labels, dtype=np.int64),
        CLASSES,
        np.array([path.name for path in paths]),
        parts=np.array(parts),
        licence=LICENCE,
    )


def _first(root: Path, places: tuple[str, ...]) -> Path:
    found = next((path for place in places if (path := root / place).exists()), None)
    if found is None:
        raise BadFile(
            f"RAF-DB: {' or '.join(places)} was looked for in {root}, and is not there; the owners give the set out at "
            f"{ADDRESS}. Terms: {LICENCE}"
        )
    return found


def _entry(line: str, where: str, aligned: Path) -> tuple[Path, int, str]:
    fields = line.split()
    if len(fields) != 2 or fields[1] not in map(str, range(1, len(CLASSES) + 1)):
        raise BadFile(f"{where} is '{line.strip()}'; expected a file and a class from 1 to {len(CLASSES)}")
    name = Path(fields[0])
    part = name.stem.split("_")[0]
    if part not in ("train", "test") or name.name != fields[0]:
        raise BadFile(f"{where}: file '{name}' belongs to no part; expected a name such as train_00001.jpg or test_0001.jpg")
    path = aligned / f"{name.stem}_aligned{name.suffix}"
    if not path.is_file():
        raise BadFile(f"{where}: picture {path} is not there")
    return path, int(fields[1]) - 1, part
