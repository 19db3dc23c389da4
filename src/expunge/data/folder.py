"""Images in one folder a class: ``root/cat/1.png``, or ``root/train/cat/1.png`` and ``root/holdout/cat/2.png``."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from expunge.data.records import Records, Source
from expunge.data.splitting import stratified_rows, without
from expunge.errors import BadFile, BadSetting

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
HOLDOUT_FOLDERS = ("holdout", "test", "val")
HELD_OUT = 0.2
SPLIT_SEED = 0

_Files = list[tuple[Path, int]]  # the path of an image and the index of its class


def read_folder(root: str | Path, size: int = 32, grayscale: bool = False) -> Source:
    """Read all images below a folder into memory.

    The classes are the names of the folders, sorted. Rows go round the classes (the first file of each by name, then
    the second of each), so that the first rows are a fair sample. Where there is no `holdout`, `test` or `val` folder
    beside `train`, or no `train`, one row in five is held out: each class in its proportion, always the same ones.

    Inputs have shape (n, 1 or 3, size, size), float32 between 0 and 1; images are turned as their EXIF orientation
    says and stretched to a square; transparency is dropped. The columns are `file` (relative to `root`) and `class`.

    Raises:
        BadFile: if there are no classes or images, or an image cannot be read.
        BadSetting: if `size` is not at least 1.
    """
    root = Path(root)
    if size < 1:
        raise BadSetting(f"size must be at least 1 pixel, not {size}")
    train_root = root / "train" if _is_split(root) else root
    classes = _classes(train_root)
    files, note = _files(train_root, classes), ""
    held = next((folder for name in HOLDOUT_FOLDERS if (folder := root / name).is_dir()), None)
    if train_root is not root and held is not None:
        held_files = _files(held, classes)
    else:
        files, held_files, note = _hold_out(root, files)
    parts = [_read(root, _round_robin(part), classes, size, grayscale) for part in (files, held_files)]
    return Source(root.resolve().name, parts[0], parts[1], classes, note, tuple(parts[0].inputs.shape[1:]))


def _is_split(root: Path) -> bool:
    # A class may be called "train": then the folder holds images, not folders.
    train = root / "train"
    return train.is_dir() and bool(_subfolders(train)) and not _images(train)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def _classes(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise BadFile(f"folder of images not found: {root}")
    classes = tuple(folder.name for folder in _subfolders(root))
    if not classes:
        raise BadFile(f"{root} has no folders: expected one folder of images for each class, such as {root / 'cat'}")
    for name in classes:
        if not _images(root / name):
            raise BadFile(f"class folder {root / name} holds no images ({', '.join(sorted(SUFFIXES))})")
    return classes


def _files(root: Path, classes: tuple[str, ...]) -> _Files:
    indices = {name: index for index, name in enumerate(classes)}
    found = []
    for folder in _subfolders(root):
        if folder.name not in indices:
            raise BadFile(f"class folder {folder} has no partner to train on; the classes are {', '.join(classes)}")
        found += [(path, indices[folder.name]) for path in _images(folder)]
    if not found:
        raise BadFile(f"{root} holds no images in folders of the classes {', '.join(classes)}")
    return found


def _round_robin(files: _Files) -> _Files:
    """The first file of each class, then the second of each, and so on."""
    seen: Counter[int] = Counter()
    turns = []
    for path, index in files:
        turns.append((seen[index], index, path))
        seen[index] += 1
    return [(path, index) for _, index, path in sorted(turns)]


def _hold_out(root: Path, files: _Files) -> tuple[_Files, _Files, str]:
    held = stratified_rows(np.array([index for _, index in files]), max(1, round(HELD_OUT * len(files))), SPLIT_SEED)
    if not len(held):
        raise BadFile(
            f"{root} has {len(files):,} images, and no class has two: none can be held out. Add images, or folders "
            f"train and {HOLDOUT_FOLDERS[0]} that each hold a folder for each class"
        )
    drawn = f"{len(held):,} of {len(files):,} images are held out, drawn with seed {SPLIT_SEED}"
    return (
        [files[row] for row in without(len(files), held)],
        [files[row] for row in held],
        f"There is no holdout folder: {drawn}.",
    )


def _read(root: Path, files: _Files, classes: tuple[str, ...], size: int, grayscale: bool) -> Records:
    pixels = np.empty((len(files), 1 if grayscale else 3, size, size), dtype=np.uint8)
    for row, (path, _) in enumerate(files):
        pixels[row] = read_image(path, size, grayscale)
    columns = {
        "file": [path.relative_to(root).as_posix() for path, _ in files],
        "class": [classes[index] for _, index in files],
    }
    targets = torch.tensor([index for _, index in files])
    return Records(torch.from_numpy(pixels).float().div_(255), targets, columns, classes)


def read_image(path: Path, size: int, grayscale: bool = False) -> np.ndarray:
    """Read one image as unsigned bytes, shape (1 or 3, size, size).

    Raises:
        BadFile: if it is not an image, is damaged, or has pixels that do not fit in 8 bits in a known way.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(_eight_bits(image)).convert("L" if grayscale else "RGB")
            pixels = np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR))
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise BadFile(f"{path} cannot be read as an image: {error}; replace or remove the file") from error
    return pixels[None] if grayscale else pixels.transpose(2, 0, 1)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would cut 16-bit values at 255 instead of scaling them
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {image.mode}, whose range is not known; save it with 8 or 16 bits")
    return image
