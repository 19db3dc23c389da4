"""The two halves of the training data of a search: one trains the weights, the other judges the architecture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting
from expunge.split import Batches, Epochs, Stream, one_epoch


class HalfBatches(NamedTuple):
    """A batch (inputs, labels) for the weights, and one for the architecture."""

    weights: Any
    architecture: Any


@dataclass(frozen=True)
class Halves:
    """A stream of `HalfBatches`: one epoch is a pass over `weights`; `architecture` starts again whenever it ends.

    Args:
        weights: batches (inputs (n, c, h, w), labels (n,)).
        architecture: batches of the same shape, of other examples.
    """

    weights: Stream | Epochs
    architecture: Stream | Epochs

    def __len__(self) -> int:
        return len(self.weights)  # type: ignore[arg-type]

    def epoch(self, generator: torch.Generator) -> Iterator[HalfBatches]:
        """One pass in an order drawn from `generator`."""
        others = self._endless(generator)
        return (HalfBatches(batch, next(others)) for batch in one_epoch(self.weights, generator))

    def _endless(self, generator: torch.Generator) -> Iterator[Any]:
        while True:
            empty = True
            for batch in one_epoch(self.architecture, generator):
                empty = False
                yield batch
            if empty:
                raise BadSetting("the half of the data that judges the architecture has no batch")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the first image.

        Raises:
            BadSetting: if the stream is empty, or its batches don't begin with images.
        """
        batch = next(one_epoch(self.weights, torch.Generator()), None)
        inputs = batch[0] if isinstance(batch, tuple | list) and len(batch) > 1 else None
        if not isinstance(inputs, Tensor) or inputs.dim() != 4:
            raise BadSetting("a search needs batches (images (n, channels, height, width), labels (n,)), and at least one")
        channels, height, width = inputs.shape[1:]
        return channels, height, width


def labelled(x: Any, y: Any, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """Images and labels as tensors, float32 (n, c, h, w) and int64 (n,).

    Args:
        x: shape (n, c, h, w), or (n, h, w) for one channel; finite numbers.
        y: shape (n,), whole numbers from 0.
        classes: how many there are.

    Raises:
        BadSetting: if they are something else, and what.
    """
    inputs, labels = torch.as_tensor(x).float(), torch.as_tensor(y)
    inputs = inputs[:, None] if inputs.dim() == 3 else inputs
    if inputs.dim() != 4 or labels.dim() != 1 or len(inputs) != len(labels) or not len(inputs):
        raise BadSetting(f"images must be (n, c, h, w) and labels (n,), not {tuple(inputs.shape)} and {tuple(labels.shape)}")
    if not inputs.isfinite().all():
        raise BadSetting(
            f"{int((~inputs.flatten(1).isfinite().all(1)).sum()):,} of {len(inputs):,} images have values that are not finite"
        )
    if labels.is_floating_point() or labels.is_complex() or int(labels.min()) < 0:
        raise BadSetting("labels must be whole numbers from 0")
    if classes is not None and int(labels.max()) >= classes:
        raise BadSetting(f"label {int(labels.max())} is outside the space's {classes} classes (0..{classes - 1})")
    return inputs, labels.long()


def halve(x: Any, y: Any, groups: Any = None, *, batch_size: int = 64, seed: int = 0, classes: int | None = None) -> Halves:
    """Divide labelled images into two halves, alike in classes; with groups, no group (a person, say) is in both.

    Groups are dealt out one by one, the largest first, each to the half that then is nearer to half of every class.

    Args:
        x: shape (n, c, h, w), or (n, h, w) for one channel.
        y: shape (n,), whole numbers from 0.
        groups: shape (n,), whose images are in one half together.
        batch_size: images in a batch of each half.
        seed: of the division.
        classes: how many there are.

    Raises:
        BadSetting: if the arrays make no sense, or a class can't be in both halves, and why.
    """
    inputs, labels = labelled(x, y, classes)
    generator = np.random.default_rng(seed)
    first = _by_class(labels.numpy(), generator) if groups is None else _by_group(labels.numpy(), groups, generator)
    for label in labels.unique().tolist():
        inside = int(first[labels.numpy() == label].sum())
        if not 0 < inside < int((labels == label).sum()):
            what = "images" if groups is None else "groups (people)"
            raise BadSetting(f"class {label} has too few {what} to be in both halves of a search; it needs 2 at least")
    data = TensorDataset(inputs, labels)
    rows = (np.flatnonzero(first), np.flatnonzero(~first))
    return Halves(*(Batches(data, batch_size, half.tolist()) for half in rows))


def _by_class(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    first = np.zeros(len(labels), dtype=bool)
    odd = 0  # of classes with an odd number, every other has its last image in the first half
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        first[rows[: (len(rows) + odd) // 2]] = True
        odd ^= len(rows) % 2
    return first


def _by_group(labels: np.ndarray, groups: Any, generator: np.random.Generator) -> np.ndarray:
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    if members.shape != labels.shape:
        raise BadSetting(f"groups must be (n,), one for each image, not {members.shape} for {len(labels):,} images")
    counts = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(counts, (members, labels), 1)
    order = generator.permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    balance, chosen = np.zeros(counts.shape[1]), np.zeros(len(names), dtype=bool)  # classes of the first half less the second
    for group in order:
        into_first, into_second = balance + counts[group], balance - counts[group]
        chosen[group] = (into_first**2).sum() <= (into_second**2).sum()
        balance = into_first if chosen[group] else into_second
    found: np.ndarray = chosen[members]
    return found
