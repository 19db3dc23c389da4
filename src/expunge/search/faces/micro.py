"""Micro-expressions of CASME II, SAMM and SMIC, merged as the Micro-Expression Grand Challenge of 2019 merges them.

A CSV says where each clip begins, peaks and ends, and folders hold the frames; numbers are those in the frames' names:

    dataset,subject,clip,onset,apex,offset,label
    CASME II,sub01,EP02_01f,46,59,86,positive            CASME II/sub01/EP02_01f/reg_img46.jpg ...

An apex that is not annotated (all of SMIC) is left empty. Labels are those of the composite, or those of a set's own table,
which are merged: happiness is positive; sadness, disgust, contempt, fear, anger and repression are negative. Persons are named
with their set before them, since the sets number theirs alike.

References: J. See, M. H. Yap, J. Li, X. Hong, S.-J. Wang. "MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge", FG
2019. W.-J. Yan et al. "CASME II: An Improved Spontaneous Micro-Expression Database and the Baseline Evaluation", PLoS ONE 2014.
A. K. Davison, C. Lansley, N. Costen, K. Tan, M. H. Yap. "SAMM: A Spontaneous Micro-Facial Movement Dataset", IEEE Transactions
on Affective Computing 2018. X. Li, T. Pfister, X. Huang, G. Zhao, M. Pietikainen. "A Spontaneous Micro-expression Database:
Inducement, Collection and Baseline", FG 2013.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from expunge.errors import BadFile, BadSetting
from expunge.search.faces.clips import frame_files, frame_number, read_frame_files
from expunge.search.faces.dynamic_image import dynamic_image
from expunge.search.faces.face_set import FaceSet

CLASSES = ("negative", "positive", "surprise")
MERGED: dict[str, str] = {
    **{name: name for name in CLASSES},
    **{str(number): name for number, name in enumerate(CLASSES)},
    "happiness": "positive",
    **dict.fromkeys(("sadness", "disgust", "contempt", "fear", "anger", "repression"), "negative"),
}
COLUMNS = ("dataset", "subject", "clip", "onset", "apex", "offset", "label")
SOURCES = {
    "CASME II": "casme.psych.ac.cn",
    "SAMM": "helward.mmu.ac.uk/STAFF/M.Yap/dataset.php",
    "SMIC": "www.oulu.fi/cmvs/node/41319",
}
LICENCE = "each set for research only, under an agreement with its owners; nothing of it may be passed on"
_UNKNOWN = frozenset({"", "/", "-1", "nan", "na", "n/a"})


@dataclass(frozen=True)
class _Clip:
    frames: tuple[Path, ...]
    person: str
    dataset: str
    label: int
    apex: int


def read_micro(table: str | Path, frames: str | Path | None = None, grayscale: bool = True, size: int | None = None) -> FaceSet:
    """Read the table; clips are opened when asked for, shape (T, 1 or 3, H, W), between 0 and 1, the onset first.

    Args:
        table: the CSV, with the columns of :data:`COLUMNS` in any order; others are passed over.
        frames: folder that holds dataset/subject/clip/frame; None for the folder of the table.
        grayscale: one channel, or red, green, blue.
        size: side in pixels that frames are stretched to; None leaves them as they are.

    Raises:
        BadFile: if the table, a folder or a frame is not there, or a row is not as it should be; the message names the row.
        BadSetting: if `size` is not at least 1.
    """
    table = Path(table)
    if size is not None and size < 1:
        raise BadSetting(f"size must be at least 1 pixel, not {size}")
    if not table.is_file():
        where = "; ".join(f"{name} at {address}" for name, address in SOURCES.items())
        raise BadFile(f"table of clips not found: {table}. The owners give the sets out: {where}. Terms: {LICENCE}")
    clips = _clips(table, table.parent if frames is None else Path(frames))
    unknown = sum(clip.apex < 0 for clip in clips)
    return FaceSet(
        "micro-expressions",
        lambda row: read_frame_files(clips[row].frames, grayscale, size),
        np.array([clip.label for clip in clips], dtype=np.int64),
        CLASSES,
        np.array([str(clip.frames[0].parent) for clip in clips]),
        persons=np.array([clip.person for clip in clips]),
        apex=np.array([clip.apex for clip in clips]),
        columns={"dataset": np.array([clip.dataset for clip in clips])},
        licence=LICENCE,
        note=f"{unknown:,} of {len(clips):,} clips have no annotated apex." if unknown else "",
    )


def dynamic_images(
    clips: FaceSet, crop: Callable[[Tensor], Tensor] | None = None, onset_apex: bool = False, **how: str
) -> Tensor:
    """The dynamic image of each clip, shape (n, C, H, W), one clip in memory at a time.

    Args:
        clips: a set whose rows are clips (T, C, H, W).
        crop: cuts the face out of a clip first, so that all are of one size; see :func:`expunge.search.faces.crop_face`.
        onset_apex: pool up to the apex only, as :func:`expunge.search.faces.dynamic_image` does for its segment.
        how: `mode` and `normalise` of :func:`expunge.search.faces.dynamic_image`.

    Raises:
        BadFile: if a clip cannot be read.
        BadSetting: if an apex that is needed is not known, or the images are of different shapes.
    """
    images: list[Tensor] = []
    for row in range(len(clips)):
        clip = clips.read(row)
        clip = clip if crop is None else crop(clip)
        if onset_apex:
            apex = -1 if clips.apex is None else int(clips.apex[row])
            if apex < 0:
                raise BadSetting(f"{clips.names[row]}: the apex is not known; pool the whole clip, or leave such clips out")
            images.append(dynamic_image(clip, segment="onset-apex", apex=apex, **how))  # type: ignore[arg-type]
        else:
            images.append(dynamic_image(clip, **how))  # type: ignore[arg-type]
        if images[-1].shape != images[0].shape:
            raise BadSetting(
                f"{clips.names[row]} has shape {tuple(images[-1].shape)}, and {clips.names[0]} has {tuple(images[0].shape)}; "
                "give the reader a size, or cut the faces out"
            )
    return torch.stack(images)


def _clips(table: Path, root: Path) -> list[_Clip]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            if absent := [name for name in COLUMNS if name not in reader.fieldnames]:
                raise BadFile(f"{table} has no column {' or '.join(absent)}; expected {', '.join(COLUMNS)}")
            found = [
                _clip({name: (row[name] or "").strip() for name in COLUMNS}, root, f"{table}, line {reader.line_num}")
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{table} cannot be read: {error}") from error
    if not found:
        raise BadFile(f"{table} has no rows below its header")
    return found


def _clip(row: dict[str, str], root: Path, where: str) -> _Clip:
    for name in ("dataset", "subject", "clip"):
        if row[name] in ("", ".", "..") or "/" in row[name] or "\\" in row[name]:
            raise BadFile(f"{where}: {name} is '{row[name]}'; expected the name of one folder")
    label = MERGED.get(row["label"].lower())
    if label is None:
        expected = ", ".join(MERGED)
        raise BadFile(f"{where}: label '{row['label']}' is not known; expected one of {expected}. Leave other clips out")
    onset, offset = (_number(row[name], f"{where}: {name}") for name in ("onset", "offset"))
    if not onset <= offset:
        raise BadFile(f"{where}: the onset, frame {onset}, lies after the offset, frame {offset}")
    folder = root / row["dataset"] / row["subject"] / row["clip"]
    try:
        frames = frame_files(folder, onset, offset)
    except BadFile as error:
        raise BadFile(f"{where}: {error}") from None
    numbers = [frame_number(path) for path in frames]
    if len(set(numbers)) < len(numbers):
        raise BadFile(f"{where}: {folder} has two frames of one number, such as {_twice(numbers)}")
    for name, number in (("onset", onset), ("offset", offset)):
        if number not in numbers:
            raise BadFile(f"{where}: the frame of the {name}, number {number}, is not in {folder}")
    return _Clip(
        tuple(frames),
        f"{row['dataset']}/{row['subject']}",
        row["dataset"],
        CLASSES.index(label),
        _apex(row["apex"], numbers, f"{where}: apex"),
    )


def _apex(text: str, numbers: list[int], where: str) -> int:
    """The index of the frame that the text names, among those of the clip; -1 if it says none."""
    if text.lower() in _UNKNOWN:
        return -1
    number = _number(text, where)
    if number not in numbers:
        raise BadFile(f"{where} is frame {number}, which is not among frames {numbers[0]} to {numbers[-1]} of the clip")
    return numbers.index(number)


def _number(text: str, where: str) -> int:
    try:
        value = float(text)
        if value != int(value) or value < 0:
            raise ValueError
    except (ValueError, OverflowError):
        raise BadFile(f"{where} is '{text}'; expected the number of a frame") from None
    return int(value)


def _twice(numbers: list[int]) -> int:
    return next(number for number in numbers if numbers.count(number) > 1)
