"""Images with classes for a search, read from what a user has, and divided so that nothing of the test is seen before it."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from expunge.data import load
from expunge.data.records import Source, length, targets_of
from expunge.errors import BadFile, BadSetting
from expunge.search.faces import person_folds, read_london
from expunge.search.network import STEM_STRIDES

TEST_PARTS = 5  # a fifth of persons or rows is the test
FEWEST = 3  # images of a class: one for the test, and one for each half of the search
_LONDON = {"neutral", "smiling", "landmarks", "person"}
_CHANNELS = (1, 2, 3, 4)
_SMALLEST = 8  # pixels of a side; two reductions leave 2 of them, fewer can't be normalised
_FOLDER_SIZE = 32
_FLAT = 1e-6  # standard deviation of an image, or of a channel, that shows nothing


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images with classes.

    Args:
        name: what the data is called.
        images: shape (n, c, h, w), float32, as they were read: bytes between 0 and 1, other numbers as they are.
        labels: class of each image, shape (n,), int64.
        classes: the name of each class.
        persons: who each image shows, shape (n,); None where that isn't known.
        held: rows that the data's owner holds out for tests; None where there are none.
        notes: what a reader should know.
        london: whether they are the London faces.
    """

    name: str
    images: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    persons: np.ndarray | None = None
    held: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    london: bool = False


@dataclass(frozen=True, eq=False)
class Divided:
    """Images as networks take them, in two parts.

    Args:
        pictures: what they come from.
        images: shape (n, c, h, w), float32, brought to size and scaled.
        train: rows that the search and all trainings see, int64, sorted.
        test: rows that only finished networks are shown.
        scaling: how images were scaled, in values that JSON holds; see :func:`scaled`.
    """

    pictures: Pictures
    images: Tensor
    train: np.ndarray
    test: np.ndarray
    scaling: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def part(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images and labels of rows."""
        return self.images[torch.from_numpy(rows)], torch.from_numpy(self.pictures.labels[rows])

    def groups(self, rows: np.ndarray) -> np.ndarray | None:
        """Who is on the images of rows, where that is known."""
        return None if self.pictures.persons is None else self.pictures.persons[rows]


def read_pictures(data: str, size: int | None = None) -> Pictures:
    """Read images by what `data` names: an .npz file, a folder of images by class, or data that is known by its name.

    Args:
        data: a path or a name.
        size: side in pixels to which images of folders are brought at once.

    Raises:
        BadFile: if a file is missing, damaged, or not what it should be.
        BadSetting: if there is no such data, or it has no images with classes.
    """
    path = Path(data).expanduser()
    if path.is_file() or path.suffix.lower() in (".npz", ".npy"):
        return _read_file(path)
    source = load(data, size=size or _FOLDER_SIZE)
    if not source.classes or len(source.input_shape) != 3:
        raise BadSetting(f"{source.name} holds no images with classes, and a search needs such")
    return _of_source(source)


def divide(pictures: Pictures, seed: int, size: int | None = None, faces: bool = False, train: int | None = None) -> Divided:
    """Divide images into a part for the search and one for the test, by person where persons are known, and scale them.

    Args:
        pictures: the images.
        seed: of the division.
        size: side in pixels that images are brought to; as they are when None.
        faces: scale each image by itself, as faces are lit differently; else all by the training part.
        train: use at most so many training rows, drawn by the seed.

    Raises:
        BadSetting: if there are too few persons or images to divide, or numbers make no sense.
    """
    if (size is not None and size < _SMALLEST) or (train is not None and train < 1):
        raise BadSetting(f"size must be at least {_SMALLEST} pixels and train at least 1 row, not {size} and {train}")
    _check_counts(pictures)
    rows, test = _parts(pictures, seed)
    if train is not None and train < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:train])
    _check_training(pictures, rows)
    images = pictures.images
    if size is not None and tuple(images.shape[2:]) != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    if min(images.shape[2:]) < _SMALLEST:
        raise BadSetting(
            f"images of {images.shape[2]} x {images.shape[3]} pixels are too small; bring them to size with --size"
        )
    scaling = scaling_of(images[torch.from_numpy(rows)], faces)
    return Divided(pictures, scaled(images, scaling), rows, test, scaling)


def check_size(shape: tuple[int, int, int], stem_stride: int) -> None:
    """Refuse images of which the stem and two reductions leave nothing to normalise."""
    least = _SMALLEST * stem_stride
    if stem_stride in STEM_STRIDES and min(shape[1:]) < least:  # a stride that there isn't is refused by the space
        raise BadSetting(
            f"images of {shape[1]} x {shape[2]} pixels are too small for a stem of stride {stem_stride}: they "
            f"need {least} pixels a side"
        )


def scaling_of(images: Tensor, faces: bool) -> dict[str, Any]:
    """How images are scaled: each by itself, or all by mean and deviation of each channel of `images`."""
    if faces:
        return {"by": "image"}
    mean, deviation = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp_min(_FLAT)
    return {"by": "channel", "mean": mean.tolist(), "deviation": deviation.tolist()}


def scaled(images: Tensor, scaling: Mapping[str, Any]) -> Tensor:
    """Images (n, c, h, w) with mean 0 and deviation 1: each of them, or each channel of the training part.

    >>> scaled(torch.tensor([[[[1.0, 3.0]]]]), {"by": "channel", "mean": [1.0], "deviation": [2.0]}).tolist()
    [[[[0.0, 1.0]]]]
    """
    if scaling["by"] == "image":
        deviation = images.std((1, 2, 3), keepdim=True).clamp_min(_FLAT)
        return (images - images.mean((1, 2, 3), keepdim=True)) / deviation
    mean, deviation = (torch.tensor(scaling[name]).view(1, -1, 1, 1) for name in ("mean", "deviation"))
    return (images - mean) / deviation


def _read_file(path: Path) -> Pictures:
    if not path.is_file():
        raise BadFile(f"file of images not found: {path}")
    arrays = _arrays(path)
    if arrays.keys() >= _LONDON:
        faces = read_london(path).expressions()
        return Pictures(
            faces.name, faces.tensor(), faces.labels, faces.classes, faces.persons, notes=(faces.note,), london=True
        )
    images, labels = (_array(arrays, names, path) for names in (("images", "x"), ("labels", "y")))
    pixels = _pixels(images, path)
    if labels.ndim != 1 or len(labels) != len(pixels):
        raise BadFile(f"{path}: there are {len(pixels):,} images and labels of shape {labels.shape}; each image needs one")
    indices, classes = _classes(labels, arrays.get("classes"), path)
    persons = next((arrays[name] for name in ("persons", "groups") if name in arrays), None)
    if persons is not None and persons.shape != labels.shape:
        raise BadFile(f"{path}: there are {len(pixels):,} images and persons of shape {persons.shape}; each image needs one")
    if persons is not None and persons.dtype.kind == "f" and not np.isfinite(persons).all():
        raise BadFile(f"{path}: {int((~np.isfinite(persons)).sum()):,} images have no person; give each one, or leave all out")
    return Pictures(path.stem, pixels, indices, classes, None if persons is None else persons.astype(str))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file; nothing in it is unpickled."""
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise BadFile(f"{path} holds a single array; expected .npz with arrays images and labels (numpy.savez)")
        with found as arrays:
            return {name: arrays[name] for name in arrays.files}
    except BadFile:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadFile(f"{path} cannot be read as .npz of plain arrays: {error}") from error


def _array(arrays: Mapping[str, np.ndarray], names: Sequence[str], path: Path) -> np.ndarray:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise BadFile(f"{path} has no array {' or '.join(names)}; it has {', '.join(arrays) or 'none'}")


def _pixels(images: np.ndarray, path: Path) -> Tensor:
    """Shape (n, c, h, w), float32."""
    if images.ndim not in (3, 4) or not images.size or images.dtype.kind not in "buif":
        raise BadFile(f"{path}: images must be numbers of shape (n, h, w), (n, h, w, c) or (n, c, h, w), not {_said(images)}")
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in _CHANNELS:
        if images.shape[3] not in _CHANNELS:
            raise BadFile(
                f"{path}: images must have {_CHANNELS[0]} to {_CHANNELS[-1]} channels, second or last; {_said(images)}"
            )
        images = images.transpose(0, 3, 1, 2)
    most = np.iinfo(images.dtype).max if images.dtype.kind == "u" else 1
    pixels = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).div_(most)
    if count := int((~pixels.isfinite().flatten(1).all(1)).sum()):
        raise BadFile(f"{path}: {count:,} of {len(pixels):,} images have values that are not finite")
    return pixels


def _said(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _classes(labels: np.ndarray, named: np.ndarray | None, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Indices of classes, and their names."""
    names = None if named is None else tuple(str(name) for name in named.reshape(-1).tolist())
    if names is not None and len(set(names)) < len(names):
        raise BadFile(f"{path}: classes must differ; they are {', '.join(names)}")
    if labels.dtype.kind in "US":
        texts = labels.astype(str)
        names = names or tuple(np.unique(texts).tolist())
        if unknown := sorted(set(texts.tolist()) - set(names)):
            raise BadFile(f"{path}: label '{unknown[0]}' is none of the classes {', '.join(names)}")
        places = {name: place for place, name in enumerate(names)}
        return np.array([places[text] for text in texts.tolist()], dtype=np.int64), names
    if labels.dtype.kind not in "iu":
        raise BadFile(f"{path}: labels must be whole numbers from 0, or names of classes, not {labels.dtype}")
    indices = labels.astype(np.int64)
    names = names or tuple(str(place) for place in range(int(indices.max()) + 1))
    if indices.min() < 0 or indices.max() >= len(names):
        last = len(names) - 1
        raise BadFile(f"{path}: labels run from {indices.min()} to {indices.max()}; with these classes they are 0 to {last}")
    return indices, names


def _of_source(source: Source) -> Pictures:
    parts = [(_inputs(part), targets_of(part)) for part in (source.train, source.holdout)]
    images, labels = torch.cat([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    first, count = length(source.train), len(labels)
    note = (f"{count - first:,} images that the data holds out itself are the test.",)
    notes = (source.note, *note) if source.note else note
    held = np.arange(first, count)
    return Pictures(source.name, images.float(), labels.astype(np.int64), source.classes, held=held, notes=notes)


def _inputs(part: Dataset[Any]) -> Tensor:
    return torch.stack([part[row][0] for row in range(length(part))])


def _check_counts(pictures: Pictures) -> None:
    """Refuse classes without images: no network can learn them, and scores would be of others."""
    if len(pictures.classes) < 2:
        raise BadSetting(f"{pictures.name} has one class alone, '{pictures.classes[0]}'; there is nothing to tell apart")
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    for name, count in zip(pictures.classes, counts.tolist(), strict=True):
        if count < FEWEST:
            has = "no images" if not count else f"only {count} image{'s' * (count > 1)}"
            raise BadSetting(
                f"class '{name}' has {has} among {len(pictures.labels):,}; a search needs at least {FEWEST} of each class: for "
                "the test, and for both halves of the search"
            )


def _check_training(pictures: Pictures, rows: np.ndarray) -> None:
    counts = np.bincount(pictures.labels[rows], minlength=len(pictures.classes))
    if counts.min() < FEWEST - 1:
        name = pictures.classes[int(counts.argmin())]
        raise BadSetting(f"class '{name}' has {counts.min()} of {len(rows):,} training images; it needs at least {FEWEST - 1}")


def _parts(pictures: Pictures, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows."""
    if pictures.held is not None:
        return np.setdiff1d(np.arange(len(pictures.labels)), pictures.held), pictures.held
    if pictures.persons is not None:
        count = len(np.unique(pictures.persons))
        if count < FEWEST:
            raise BadSetting(f"there are {count} persons; a search needs at least {FEWEST}: for the test, and for both halves")
        fold = person_folds(pictures.persons, pictures.labels, min(TEST_PARTS, count), seed % 2**32)[0]
        return fold.train, np.sort(fold.test)
    generator, test = np.random.default_rng(seed), []
    for label in range(len(pictures.classes)):
        rows = generator.permutation(np.flatnonzero(pictures.labels == label))
        test.append(rows[: max(1, round(len(rows) / TEST_PARTS))])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(pictures.labels)), held), held


def split_json(divided: Divided) -> str:
    """Which rows of the data are in which part, as JSON with a line for each part."""
    return json.dumps({"train": divided.train.tolist(), "test": divided.test.tolist()}) + "\n"
