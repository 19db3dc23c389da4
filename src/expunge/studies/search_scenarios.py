"""What the study of searches compares: images, spaces, searches and rivals, for each set of data.

Digits and the photographs of CIFAR-10 have the test images that they come with, the same for every seed, which halves the
training images for the search; faces have folds by person, and a search is made in each of them, on two halves of that fold's
training persons. Epochs, widths and the stride of the stem were chosen on clips of seeds from 100 on (other motions and folds
of the same persons), width and stride a second time, after a run of the study with 8 channels behind a stride of two had ended
2.6 points below the best network made by people. Those of digits, CIFAR-10 and London faces were not tuned, but for what they
may cost.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor, nn

from expunge.data import load
from expunge.data.records import Source, length, targets_of
from expunge.search import (
    GDAS,
    CellSpace,
    HandCNN,
    MobileNetV3Small,
    PCDarts,
    RandomSearch,
    Recipe,
    SearchMethod,
    SmallResNet,
    ZeroCost,
)
from expunge.search.faces import (
    Augmentation,
    Fold,
    MicroSettings,
    SyntheticMicroExpressions,
    dynamic_image,
    person_folds,
    read_london,
)
from expunge.studies.searching_data import scaled, scaling_of
from expunge.studies.study import Budget

FOUND, REFERENCE = "pc-darts", "mobilenet-v3-small"
CLIPS = "synthetic micro-expressions"
FOLDS = 6
_LONDON_FOLDS, _LONDON_SIDE = 5, 32
_BATCH = 32  # of faces, of which there are few


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a seed deals out.

    Args:
        images: shape (n, c, h, w), float32, scaled.
        labels: class of each, shape (n,), int64.
        classes: the name of each.
        folds: each row is tested once at most.
        persons: who is on each, shape (n,) of strings, where that is known.
    """

    images: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    folds: Sequence[Fold]
    persons: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def part(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images and labels of rows."""
        return self.images[torch.from_numpy(rows)], torch.from_numpy(self.labels[rows])

    def digest(self) -> str:
        """Tells it from all else that a seed could deal out."""
        found = hashlib.sha256(self.images.numpy().tobytes() + self.labels.tobytes())
        for fold in self.folds:
            for rows in (fold.weights, fold.architecture, fold.test):
                found.update(rows.tobytes() + b"|")
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class CellScenario:
    """One set of images.

    Args:
        title: what the study calls it.
        space: what is searched.
        searches: by the name of their row.
        randoms: cells drawn by chance.
        hands: from nothing to a network that people made, by the name of its row.
        recipe: of all trainings.
        draw: from a seed to images and folds.
        made: how images come about, in words.
    """

    title: str
    space: CellSpace
    searches: Mapping[str, SearchMethod]
    randoms: int
    hands: Mapping[str, Callable[[], nn.Module]]
    recipe: Recipe
    draw: Callable[[int], Drawn]
    made: str = "scaled by mean and deviation of each channel of the training images"

    def words(self) -> str:
        """What was done."""
        drawn = self.draw(0)
        fold = drawn.folds[0]
        about = "about " if len(drawn.folds) > 1 else ""
        counts = f"{about}{len(fold.weights):,} + {len(fold.architecture):,} images search, {about}{len(fold.test):,} test"
        persons = "" if drawn.persons is None else f", none of whose {len(set(drawn.persons.tolist()))} persons is in two parts"
        folds = f", in each of {len(drawn.folds)} folds" if len(drawn.folds) > 1 else ""
        return f"{' x '.join(map(str, drawn.shape))} images of {len(drawn.classes)} classes; {counts}{folds}{persons}"

    def settings(self) -> dict[str, Any]:
        """All that was chosen, as plain values."""
        return {
            "space": repr(self.space),
            "searches": {name: repr(method) for name, method in self.searches.items()},
            "random cells": self.randoms,
            "people's networks": {name: _shown(build) for name, build in self.hands.items()},
            "training": f"{self.recipe!r}, {self.recipe.augment!r}",
            "images": self.words(),
            "made by": self.made,
        }


def _shown(build: Callable[[], nn.Module]) -> str:
    network = build()
    return f"{type(network).__name__}, {sum(each.numel() for each in network.parameters()):,} parameters"


def digits(budget: Budget) -> CellScenario:
    """The embedded digits of scikit-learn, 8 x 8."""
    source = load("digits")
    space = CellSpace(classes=10, channels=8)
    recipe = Recipe(epochs={"quick": 30, "full": 60}[budget])
    return CellScenario("digits", space, _searches(), 5, _hands((1, 8, 8), 10), recipe, _one_division(source))


def cifar10(budget: Budget) -> CellScenario:
    """Photographs of CIFAR-10, its own test images for the test."""
    rows = {"quick": 2_000, "full": None}[budget]
    space = CellSpace(classes=10, channels=8, in_channels=3, stem_stride=2)
    source = load("cifar10")
    if rows is not None and length(source.train) > rows:
        source = load("cifar10", train=rows)
    recipe = Recipe(epochs={"quick": 20, "full": 60}[budget], augment=Augmentation(shift=2, degrees=0.0))
    return CellScenario("CIFAR-10", space, _searches(), 5, _hands((3, 32, 32), 10), recipe, _one_division(source))


def london(budget: Budget) -> CellScenario:
    """The London faces: neutral or smiling."""
    faces = read_london().expressions()
    assert faces.persons is not None
    persons = faces.persons
    small = F.interpolate(faces.tensor(), (_LONDON_SIDE, _LONDON_SIDE), mode="bilinear", antialias=True, align_corners=False)
    images = scaled(small, scaling_of(small, faces=True))

    def draw(seed: int) -> Drawn:
        return Drawn(images, faces.labels, faces.classes, person_folds(persons, faces.labels, _LONDON_FOLDS, seed), persons)

    space = CellSpace(classes=2, channels=8, stem_stride=2)
    recipe = Recipe(epochs={"quick": 30, "full": 60}[budget], batch_size=_BATCH, augment=Augmentation(shift=2))
    shape = (1, _LONDON_SIDE, _LONDON_SIDE)
    made = f"{_LONDON_SIDE} pixels a side, {_LONDON_FOLDS} folds, each image scaled by itself"
    return CellScenario("London faces", space, _searches(), 5, _hands(shape, 2), recipe, draw, made)


def clips(budget: Budget) -> CellScenario:
    """Synthetic micro-expressions as dynamic images."""
    faces = read_london()

    def draw(seed: int) -> Drawn:
        made = SyntheticMicroExpressions.from_faces(faces.neutral, faces.landmarks, faces.persons, seed=seed)
        images = dynamic_image(made.clips, normalise="z-score")
        folds = person_folds(made.persons, made.labels, FOLDS, seed)
        return Drawn(images, made.labels, made.classes, folds, made.persons.astype(str))

    space = CellSpace(classes=3, channels=16, stem_stride=4)
    recipe = Recipe(epochs={"quick": 45, "full": 90}[budget], batch_size=_BATCH, augment=Augmentation())
    shape = (1, 64, 64)
    hands: dict[str, Callable[[], nn.Module]] = {
        f"hand-cnn-{width}": partial(HandCNN, shape, 3, width) for width in (8, 16, 32)
    }
    hands["small-resnet"] = partial(SmallResNet, shape, 3)
    if budget == "full":
        hands[REFERENCE] = partial(MobileNetV3Small, shape, 3)
    randoms = {"quick": 0, "full": 5}[budget]
    made = f"{MicroSettings()!r}, the seed's; dynamic images by running means, each scaled by itself; {FOLDS} folds"
    return CellScenario(CLIPS, space, {FOUND: PCDarts(epochs=20, partial=2)}, randoms, hands, recipe, draw, made)


def _searches() -> dict[str, SearchMethod]:
    """Every kind of search."""
    return {
        FOUND: PCDarts(epochs=20, partial=2),
        "gdas": GDAS(epochs=40),
        "random-search": RandomSearch(candidates=8, recipe=Recipe(epochs=5)),
        "naswot": ZeroCost(),
    }


def _hands(shape: tuple[int, int, int], classes: int) -> dict[str, Callable[[], nn.Module]]:
    return {
        "hand-cnn": partial(HandCNN, shape, classes),
        "small-resnet": partial(SmallResNet, shape, classes),
        REFERENCE: partial(MobileNetV3Small, shape, classes),
    }


def _one_division(source: Source) -> Callable[[int], Drawn]:
    """The training images in two halves by the seed, and the images that the source holds out as the test."""
    images = torch.cat([torch.stack([part[row][0] for row in range(length(part))]) for part in (source.train, source.holdout)])
    labels = np.concatenate([targets_of(part) for part in (source.train, source.holdout)]).astype(np.int64)
    count = length(source.train)
    images = scaled(images.float(), scaling_of(images[:count].float(), faces=False))

    def draw(seed: int) -> Drawn:
        weights, architecture = next(
            StratifiedShuffleSplit(1, test_size=0.5, random_state=seed).split(np.zeros(count), labels[:count])
        )
        fold = Fold(np.sort(weights), np.sort(architecture), np.arange(count, len(labels)))
        return Drawn(images, labels, source.classes, (fold,))

    return draw
