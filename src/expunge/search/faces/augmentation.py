"""Augmentation for small faces: mirrored, shifted, turned a little, and with a square cut out; and weights for rare classes.

All take a batch of shape (B, C, H, W) and draw for each image on its own, from a generator, or from torch's global one, which
`Engine.seeded` sets. What comes in over an edge repeats the edge. Label smoothing is part of
`torch.nn.functional.cross_entropy`, which takes the class weights as well.

Reference for cutout: T. DeVries, G. W. Taylor. "Improved Regularization of Convolutional Neural Networks with Cutout", 2017,
arXiv 1708.04552.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from expunge.errors import BadSetting


@dataclass(frozen=True)
class Augmentation:
    """Mirror, then shift, then turn, then cut out.

    Args:
        mirrored: chance of an image to be mirrored left to right; 0 where left and right mean different classes.
        shift: up to so many pixels in x and in y.
        degrees: turned by up to so many degrees either way.
        cutout: side in pixels of the square that is cut out; 0 cuts none.

    Raises:
        BadSetting: if a setting makes no sense.
    """

    mirrored: float = 0.5
    shift: int = 4
    degrees: float = 8.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.mirrored <= 1:
            raise BadSetting(f"mirrored must be a chance between 0 and 1, not {self.mirrored}")
        if not 0 <= self.degrees <= 180:
            raise BadSetting(f"degrees must lie between 0 and 180, not {self.degrees}")
        if min(self.shift, self.cutout) < 0:
            raise BadSetting(f"shift and cutout must be 0 pixels or more, not {self.shift} and {self.cutout}")

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """The batch as it is shown once to a network; the one that is handed in stays as it was."""
        images = mirror(images, self.mirrored, generator)
        images = shift(images, self.shift, generator)
        images = rotate(images, self.degrees, generator)
        return cut_out(images, self.cutout, generator)


def mirror(images: Tensor, chance: float = 0.5, generator: Generator | None = None) -> Tensor:
    """Mirror each image left to right with the given chance."""
    _check(images)
    chosen = _uniform(images, generator) < chance
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def shift(images: Tensor, pixels: int = 4, generator: Generator | None = None) -> Tensor:
    """Shift each image by whole pixels, each of -pixels..pixels as likely, in x and in y."""
    _check(images)
    if not pixels:
        return images
    for dim in (2, 3):
        steps = (_uniform(images, generator) * (2 * pixels + 1)).floor().long() - pixels
        places = torch.arange(images.shape[dim], device=images.device) - steps[:, None]
        shape = (len(images), 1, -1, 1) if dim == 2 else (len(images), 1, 1, -1)
        images = images.gather(dim, places.clamp(0, images.shape[dim] - 1).view(shape).expand_as(images))
    return images


def rotate(images: Tensor, degrees: float = 8.0, generator: Generator | None = None) -> Tensor:
    """Turn each image about its centre, by an angle that is uniform between -degrees and degrees."""
    _check(images)
    if not degrees:
        return images
    angles = (2 * _uniform(images, generator) - 1) * math.radians(degrees)
    height, width = images.shape[2:]
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rows = [torch.stack(row, 1) for row in ((cosine, -sine * height / width, zero), (sine * width / height, cosine, zero))]
    grid = affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def cut_out(images: Tensor, side: int, generator: Generator | None = None, fill: float = 0.0) -> Tensor:
    """Set a square of each image to `fill`; its centre is any pixel, so that it may stick out over an edge."""
    _check(images)
    if not side:
        return images
    inside = []
    for dim in (2, 3):
        length = images.shape[dim]
        start = (_uniform(images, generator) * length).floor().long()[:, None] - side // 2
        places = torch.arange(length, device=images.device)
        inside.append((places >= start) & (places < start + side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(square, fill)


def class_weights(labels: Any, classes: int | Sequence[str], power: float = 0.5) -> Tensor:
    """A weight for each class, n_c ** -power, scaled so that the mean over all samples is 1; shape (classes,), float32.

    Args:
        labels: class indices of the training set, shape (n,).
        classes: number of classes, or their names.
        power: 0 for equal weights, 1 for classes that count the same however many samples they have.

    Raises:
        BadSetting: if a class has no samples, or an index is outside the classes.

    >>> class_weights([0, 0, 0, 1], 2, power=1.0).tolist()
    [0.6666666865348816, 2.0]
    """
    indices = np.asarray(labels).reshape(-1)
    count = classes if isinstance(classes, int) else len(classes)
    if not len(indices) or indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= count:
        raise BadSetting(f"labels must be indices of {count} classes, 0 to {count - 1}, one for each of at least one sample")
    counts = np.bincount(indices, minlength=count)
    if not counts.all():
        empty = int(np.flatnonzero(counts == 0)[0])
        name = empty if isinstance(classes, int) else f"{empty} ({classes[empty]})"
        raise BadSetting(f"class {name} has no samples among {len(indices):,}, so it can have no weight")
    weights = counts.astype(float) ** -power
    return torch.as_tensor(weights / (weights * counts).sum() * len(indices), dtype=torch.float32)


def _check(images: Tensor) -> None:
    if images.dim() != 4 or not images.is_floating_point():
        raise BadSetting(f"images must be floats of shape (B, C, H, W), not {images.dtype} of shape {tuple(images.shape)}")


def _uniform(images: Tensor, generator: Generator | None) -> Tensor:
    """One number in [0, 1) for each image, drawn where the generator lives, so that a device does not change the draws."""
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.rand(len(images), generator=generator, device=device).to(images.device)
