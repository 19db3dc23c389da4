"""Face crops: a square that is centred, turned and scaled by the two pupils.

With the mid-point m of the pupils, their distance d, and the unit vectors e along them and f = e turned by a quarter, down the
face, the crop of side n shows at its pixel (i, j), counted from 0,

    p = m + below d f + reach d (x e + y f),      x = 2 (i + 1/2) / n - 1,      y = 2 (j + 1/2) / n - 1

Pixels have their centres at whole numbers plus a half, x to the right and y downwards. Landmarks come from a file or from a
detector: any callable that is given a picture and returns its landmarks, so that no face detector is bundled.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from expunge.errors import BadSetting

Detector = Callable[
    [Tensor], "Tensor | np.ndarray | None"
]  # picture (C, H, W) -> landmarks (L, 2), or None if there is no face
BELOW, REACH = 0.55, 1.15  # in pupil distances: from the brows' upper edge to the chin


@dataclass(frozen=True)
class FaceCrop:
    """Where a face is in a picture.

    Args:
        centre: of the square, (x, y) in pixels of the picture.
        reach: half its side, in pixels of the picture.
        angle: of the line from the left pupil in the picture to the right one, in radians; positive if the right one is lower.
    """

    centre: tuple[float, float]
    reach: float
    angle: float = 0.0

    @classmethod
    def from_landmarks(cls, landmarks: Tensor | np.ndarray, below: float = BELOW, reach: float = REACH) -> "FaceCrop":
        """The crop of a face.

        Args:
            landmarks: shape (L, 2), x and y in pixels; the first two are the pupils, in either order.
            below: how far the centre lies below the pupils, in pupil distances.
            reach: half the side of the square, in pupil distances.

        Raises:
            BadSetting: if there are not two pupils at different places, or `reach` is not above 0.

        >>> FaceCrop.from_landmarks(np.array([[60.0, 40.0], [40.0, 40.0]]))
        FaceCrop(centre=(50.0, 51.0), reach=23.0, angle=0.0)
        """
        points = np.asarray(landmarks, dtype=np.float64)
        if points.ndim != 2 or points.shape[0] < 2 or points.shape[1] != 2:
            raise BadSetting(f"landmarks must be of shape (L, 2), the pupils first, not {points.shape}")
        if not reach > 0:
            raise BadSetting(f"reach must be above 0 pupil distances, not {reach}")
        left, right = sorted(points[:2].tolist())
        across, down = right[0] - left[0], right[1] - left[1]
        distance = math.hypot(across, down)
        if not 0 < distance < math.inf:
            raise BadSetting(f"the pupils must be two different points, not {left} and {right}")
        centre = (
            (left[0] + right[0]) / 2 - below * down,
            (left[1] + right[1]) / 2 + below * across,
        )
        return cls(centre, reach * distance, math.atan2(down, across))

    def __call__(self, images: Tensor, size: int = 64) -> Tensor:
        """Cut the face out.

        What lies outside the picture is filled with its nearest pixels. Shrinking averages, so that nothing aliases.

        Args:
            images: shape (C, H, W), or (..., C, H, W) of which all are cut in the same way, as the frames of a clip should be.
            size: side of the result in pixels.

        Returns:
            Shape (..., C, size, size), in the unit of `images`; integers become float32.

        Raises:
            BadSetting: if the shape or the size is wrong, or the crop's centre lies outside the picture.
        """
        if images.dim() < 3 or 0 in images.shape or size < 1:
            raise BadSetting(f"images must be (..., C, H, W) and size at least 1, not {tuple(images.shape)} and {size}")
        height, width = images.shape[-2:]
        if not (0 <= self.centre[0] <= width and 0 <= self.centre[1] <= height):
            raise BadSetting(
                f"the face's centre ({self.centre[0]:.1f}, {self.centre[1]:.1f}) lies outside the picture of {width} x "
                f"{height} pixels: are the landmarks those of this picture, in pixels?"
            )
        pictures = images if images.is_floating_point() else images.float()
        pictures = pictures.reshape(-1, *images.shape[-3:])
        finer = max(1, math.ceil(2 * self.reach / size))
        grid = self._grid(size * finer, height, width).to(pictures)
        cut = grid_sample(pictures, grid.expand(len(pictures), -1, -1, -1), padding_mode="border", align_corners=False)
        return avg_pool2d(cut, finer).reshape(*images.shape[:-2], size, size)

    def points(self, landmarks: Tensor | np.ndarray, size: int = 64) -> np.ndarray:
        """Landmarks of the picture in pixels of the crop, shape (L, 2), float64."""
        offset = np.asarray(landmarks, dtype=np.float64) - self.centre
        return (offset @ self._axes().T / self.reach + 1) * size / 2

    def _axes(self) -> np.ndarray:
        """e and f, one a row."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, sine], [-sine, cosine]])

    def _grid(self, size: int, height: int, width: int) -> Tensor:
        """Where each pixel of the crop is looked up, in the coordinates of grid_sample, shape (1, size, size, 2)."""
        steps = (2 * np.arange(size) + 1) / size - 1
        places = np.stack(np.meshgrid(steps, steps), -1) @ self._axes() * self.reach + self.centre
        return torch.from_numpy(places / (width / 2, height / 2) - 1)[None]


def crop_face(
    images: Tensor, detector: Detector, size: int = 64, below: float = BELOW, reach: float = REACH
) -> tuple[Tensor, FaceCrop]:
    """Find the face in a picture and cut it out.

    Of a clip the first frame is looked at, and all are cut alike: a detector that trembles would add motion of its own.

    Args:
        images: a picture (C, H, W), or a clip (T, C, H, W).
        detector: given a picture (C, H, W), returns landmarks (L, 2) whose first two are the pupils, or None.
        size: side of the result in pixels.
        below: see :meth:`FaceCrop.from_landmarks`.
        reach: see :meth:`FaceCrop.from_landmarks`.

    Returns:
        The cut picture or clip, and where it was cut.

    Raises:
        BadSetting: if the detector finds no face, or its landmarks are no pupils.
    """
    if images.dim() not in (3, 4):
        raise BadSetting(f"images must be a picture (C, H, W) or a clip (T, C, H, W), not {tuple(images.shape)}")
    found = detector(images if images.dim() == 3 else images[0])
    if found is None:
        raise BadSetting("the detector found no face; check that the picture shows one, upright and large enough")
    crop = FaceCrop.from_landmarks(found, below, reach)
    return crop(images, size), crop
