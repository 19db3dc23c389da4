"""Clips: a video file, or a folder of frames, as a tensor of shape (T, C, H, W).

Frames of a folder are read by Pillow. Videos need OpenCV, which is asked for only here.
"""

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from expunge.data.folder import SUFFIXES
from expunge.errors import BadFile, BadSetting, MissingExtra


def read_video(
    path: str | Path,
    first: int = 0,
    count: int | None = None,
    grayscale: bool = True,
    size: int | tuple[int, int] | None = None,
) -> Tensor:
    """The frames of a video file, float32 between 0 and 1, shape (T, 1 or 3, H, W).

    Args:
        path: a video that OpenCV can decode.
        first: index of the first frame to take, counted from 0.
        count: number of frames to take; None for all that follow. Only these are held in memory.
        grayscale: one channel (luma), or red, green, blue.
        size: side of a square, or (height, width), that each frame is averaged or stretched to; None leaves it as it is.

    Raises:
        MissingExtra: if OpenCV is not installed.
        BadFile: if the file is not there, is no video that can be decoded, or ends before the frames that are asked for.
        BadSetting: if `first`, `count` or `size` makes no sense.
    """
    _check_range(first, count)
    path, shape = Path(path), _shape(size)
    cv2 = _opencv()
    if not path.is_file():
        raise BadFile(f"video not found: {path}")
    frames = [_resized(_to_tensor(frame), shape) for frame in _decoded(cv2, path, first, count, grayscale)]
    if not frames:
        raise BadFile(f"{path}: no frame could be decoded from index {first} on; it is damaged, no video, or shorter")
    if count is not None and len(frames) < count:
        raise BadFile(
            f"{path} ends after frame {first + len(frames) - 1}; frames {first} to {first + count - 1} were asked for"
        )
    return torch.stack(frames)


def read_frames(
    folder: str | Path,
    first: int | None = None,
    last: int | None = None,
    grayscale: bool = True,
    size: int | tuple[int, int] | None = None,
) -> Tensor:
    """The images of a folder as a clip, float32 between 0 and 1, shape (T, 1 or 3, H, W).

    They are taken in the order of the last number in their names, so that img10 comes after img2; images without a number
    come first, by name.

    Args:
        folder: holds the frames of one clip, and nothing else that is an image.
        first: number in the name of the first frame to take; None for the lowest.
        last: number in the name of the last frame to take, itself taken; None for the highest.
        grayscale: one channel (luma), or red, green, blue.
        size: as for :func:`read_video`.

    Raises:
        BadFile: if there is no such frame, an image cannot be read, or one is of another size than the first.
        BadSetting: if `size` makes no sense.
    """
    return read_frame_files(frame_files(folder, first, last), grayscale, size)


def read_frame_files(paths: Sequence[str | Path], grayscale: bool = True, size: int | tuple[int, int] | None = None) -> Tensor:
    """The images `paths`, in this order, as a clip; see :func:`read_frames`.

    Raises:
        BadFile: if there are none, one cannot be read, or one is of another size than the first.
        BadSetting: if `size` makes no sense.
    """
    if not paths:
        raise BadFile("a clip needs at least one frame, and no files were named")
    shape, frames, original = _shape(size), [], None
    for path in map(Path, paths):
        frame = read_frame(path, grayscale)
        original = original or frame.shape
        if frame.shape != original:
            raise BadFile(
                f"{path} has {frame.shape[2]} x {frame.shape[1]} pixels, and {Path(paths[0])} has {original[2]} x "
                f"{original[1]}: the frames of a clip must be of one size"
            )
        frames.append(_resized(frame, shape))
    return torch.stack(frames)


def read_frame(path: str | Path, grayscale: bool = True) -> Tensor:
    """One image in its own size, float32 between 0 and 1, shape (1 or 3, H, W); 16 bits are kept.

    Raises:
        BadFile: if it is not there, is damaged, or is no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):
                deep = torch.from_numpy(np.asarray(image).astype(np.float32) / 65535)[None]
                return deep if grayscale else deep.expand(3, -1, -1).clone()
            if image.mode in ("I", "F"):
                raise ValueError(f"its pixels are of mode {image.mode}, whose range is not known; save it with 8 or 16 bits")
            return _to_tensor(np.array(image.convert("L" if grayscale else "RGB")))
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise BadFile(f"{path} cannot be read as an image: {error}; replace or remove the file") from error


def frame_files(folder: str | Path, first: int | None = None, last: int | None = None) -> list[Path]:
    """The images of a folder in the order of the last number in their names, those from number `first` to `last` only.

    Raises:
        BadFile: if the folder is not there, or no image is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadFile(f"folder of frames not found: {folder}")
    numbered = sorted(
        (frame_number(path), path.name, path)
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    low, high = (-1 if first is None else first), (np.inf if last is None else last)
    found = [path for number, _, path in numbered if low <= number <= high]
    if not found:
        span = "" if first is None and last is None else f" from number {first} to {last}"
        raise BadFile(f"{folder} holds no frames{span}: it has {len(numbered):,} images ({', '.join(sorted(SUFFIXES))})")
    return found


def frame_number(path: Path) -> int:
    """The last number in the name of a file, without its suffix; -1 if there is none.

    >>> frame_number(Path("006_1_05562.jpg")), frame_number(Path("apex.png"))
    (5562, -1)
    """
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else -1


def _opencv() -> ModuleType:
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise MissingExtra("reading a video needs OpenCV: pip install 'expunge[video]', or give a folder of frames") from error


def _decoded(cv2: ModuleType, path: Path, first: int, count: int | None, grayscale: bool) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    try:
        # Seeking lands on key frames with some codecs, so the frames before are decoded and dropped.
        for _ in range(first):
            if not capture.grab():
                return
        taken = 0
        while count is None or taken < count:
            there, frame = capture.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY if grayscale else cv2.COLOR_BGR2RGB)
            taken += 1
    finally:
        capture.release()


def _check_range(first: int, count: int | None) -> None:
    if first < 0:
        raise BadSetting(f"first must be the index of a frame, 0 or more, not {first}")
    if count is not None and count < 1:
        raise BadSetting(f"count must be at least 1 frame, not {count}")


def _shape(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    shape = (size, size) if isinstance(size, int) else size
    if shape is not None and min(shape) < 1:
        raise BadSetting(f"size must be at least 1 pixel, not {size}")
    return shape


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """Bytes (H, W) or (H, W, 3) as float32 between 0 and 1, shape (1 or 3, H, W)."""
    planes = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(planes).float().div_(255)


def _resized(frame: Tensor, shape: tuple[int, int] | None) -> Tensor:
    """Anti-aliased, and never rounded: eight bits would wipe out the smallest motions."""
    if shape is None or tuple(frame.shape[1:]) == shape:
        return frame
    return interpolate(frame[None], shape, mode="bilinear", antialias=True, align_corners=False)[0]
