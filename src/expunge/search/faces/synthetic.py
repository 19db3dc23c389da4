"""Synthetic micro-expressions: small known motions put on the still faces of consenting people.

No openly licensed micro-expressions exist, so a pipeline that reads them is tried on motions that are made. For a face I with
landmarks l_k and pupil distance d, frame t of T shows

    I_t(p) = b_t I(p - s_t u(p) - j_t) + noise,   u(p) = sum_r v_r (1 - prod_{k in r} (1 - exp(-|p - l_k|^2 / (2 (0.16 d)^2))))

    s_t = (a d / 2) (1 - cos(pi t / t*))  up to the apex t*,  and back to 0 in the same way after it

with v_r the direction in which the class moves region r (the corners of the mouth, the brows), a the amplitude in pupil
distances, j_t a tremble of the whole picture and b_t the brightness. Each person shows each class, so who it is says nothing
about the class, and the controls must fail: with amplitude 0 nothing can be told.

What is found on these clips says nothing about real micro-expressions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from expunge.errors import BadSetting
from expunge.search.faces.face_set import FaceSet

NOTE = "Synthetic motion on real consenting faces; says nothing about real micro-expressions."
WIDTH = 0.16  # of the moved patches, in pupil distances
_LIPS, _BROWS = ("left mouth", "right mouth"), ("left brow", "right brow")

Directions = Mapping[str, tuple[float, float]]  # region -> (outwards, down)
Regions = Mapping[str, Sequence[int]]  # region -> indices of its landmarks

# Outwards is away from the face's mid-line, so that both sides of a face mirror each other.
MOTIONS: dict[str, Directions] = {
    "negative": {**dict.fromkeys(_LIPS, (0.0, 1.0)), "left inner brow": (-0.6, 0.8), "right inner brow": (-0.6, 0.8)},
    "positive": dict.fromkeys(_LIPS, (0.6, -0.8)),
    "surprise": dict.fromkeys(_BROWS, (0.0, -1.0)),
}
# Of the template of 189 points; left and right as seen in the picture.
LONDON_REGIONS: dict[str, tuple[int, ...]] = {
    "pupils": (0, 1),
    "left mouth": (87,),
    "right mouth": (93,),
    "left brow": (71, 72, 73, 74, 75, 76, 83, 84),
    "right brow": (77, 78, 79, 80, 81, 82, 85, 86),
    "left inner brow": (75, 76),
    "right inner brow": (77, 78),
}


@dataclass(frozen=True)
class MicroSettings:
    """How clips are made.

    Args:
        clips_per_class: of each person.
        frames: T, at least 3.
        size: side of a clip in pixels.
        amplitude: a at the apex, in pupil distances: drawn for each clip between two bounds, or one number for all. It is the
            dial for difficulty: 0.02 and more is easy, about 0.01 ranks networks, 0 is the control.
        apex: first and last frame index at which the apex may lie; None for the middle third.
        jitter: standard deviation of the tremble in x and y, in pixels of the clip.
        brightness: each frame's is drawn uniformly between 1 - this and 1 + this.
        noise: standard deviation of each pixel's noise; white is 1.
        seed: of all draws. The amplitude changes no other draw.

    Raises:
        BadSetting: if a setting makes no sense.
    """

    clips_per_class: int = 1
    frames: int = 16
    size: int = 64
    amplitude: float | tuple[float, float] = (0.020, 0.045)
    apex: tuple[int, int] | None = None
    jitter: float = 0.25
    brightness: float = 0.01
    noise: float = 0.008
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips_per_class < 1 or self.frames < 3 or self.size < 1:
            raise BadSetting(
                f"clips_per_class and size must be at least 1 and frames at least 3, not {self.clips_per_class}, {self.size} "
                f"and {self.frames}"
            )
        low, high = self.amplitudes
        if not 0 <= low <= high < math.inf:
            raise BadSetting(f"amplitude must be 0 or more, or two bounds in order, not {self.amplitude}")
        first, last = self.apexes
        if not 1 <= first <= last <= self.frames - 2:
            raise BadSetting(f"apex must lie within 1 and {self.frames - 2} of {self.frames} frames, not {self.apex}")
        if min(self.jitter, self.brightness, self.noise) < 0:
            raise BadSetting("jitter, brightness and noise must be 0 or more")

    @property
    def amplitudes(self) -> tuple[float, float]:
        """The lowest and the highest amplitude."""
        bounds = (self.amplitude,) * 2 if isinstance(self.amplitude, int | float) else tuple(self.amplitude)
        if len(bounds) != 2:
            raise BadSetting(f"amplitude must be one number or two bounds, not {self.amplitude}")
        return bounds[0], bounds[1]

    @property
    def apexes(self) -> tuple[int, int]:
        """The first and the last index of the apex."""
        # 6 to 10 of 16 frames.
        return self.apex or (max(1, round(0.375 * self.frames)), min(self.frames - 2, round(0.625 * self.frames)))


@dataclass(frozen=True, eq=False)
class SyntheticMicroExpressions:
    """Clips with known motions.

    Args:
        clips: shape (n, T, 1, size, size), float32, about 0 to 1 (noise is not cut off).
        labels: class index of each clip, shape (n,), int64.
        persons: index of the face of each clip, or the names that were given, shape (n,).
        apex: index of the apex frame of each clip, shape (n,), int64.
        amplitude: of each clip, in pupil distances, shape (n,).
        classes: the name of each class.
        settings: how the clips were made.
    """

    clips: Tensor
    labels: np.ndarray
    persons: np.ndarray
    apex: np.ndarray
    amplitude: np.ndarray
    classes: tuple[str, ...]
    settings: MicroSettings

    @classmethod
    def from_faces(
        cls,
        faces: np.ndarray | Tensor,
        landmarks: np.ndarray | Tensor,
        persons: Sequence[Any] | np.ndarray | None = None,
        settings: MicroSettings | None = None,
        regions: Regions = LONDON_REGIONS,
        motions: Mapping[str, Directions] = MOTIONS,
        **changes: Any,
    ) -> "SyntheticMicroExpressions":
        """Make clips of each class for each face.

        Args:
            faces: neutral, grey, shape (P, H, W), square; bytes, or floats between 0 and 1.
            landmarks: shape (P, L, 2), x and y in pixels of the faces.
            persons: name of each face, shape (P,); None for 0, 1, 2, ...
            settings: None for the defaults.
            regions: which landmarks make "pupils" and the regions of the motions.
            motions: for each class, where each region moves; the classes are in this order.
            changes: settings to change, such as ``amplitude=0.0``.

        Raises:
            BadSetting: if shapes do not fit, a region has no landmarks, or pupils are at one place.
        """
        settings = replace(settings or MicroSettings(), **changes)
        pictures, points = _faces(faces, landmarks, settings.size)
        who = np.arange(len(pictures)) if persons is None else np.asarray(persons)
        if who.shape != (len(pictures),):
            raise BadSetting(f"there are {len(pictures)} faces and persons of shape {who.shape}; give one for each")
        _check_regions(regions, motions, points.shape[1])
        distances = _pupil_distances(points, regions)
        draws = _Draws(settings, len(pictures) * len(motions) * settings.clips_per_class)
        each = len(motions) * settings.clips_per_class
        clips = torch.empty(len(pictures) * each, settings.frames, 1, settings.size, settings.size)
        for face in range(len(pictures)):
            rows = slice(face * each, (face + 1) * each)
            moved = motion_fields(points[face], pictures.shape[-1], regions, motions).repeat_interleave(
                settings.clips_per_class, 0
            )
            clips[rows] = _rendered(pictures[face], moved, float(distances[face]), draws, rows, settings)
        kinds = np.tile(np.arange(len(motions)).repeat(settings.clips_per_class), len(pictures))
        return cls(clips, kinds, who.repeat(each), draws.apex.numpy(), draws.amplitude.numpy(), tuple(motions), settings)

    def face_set(self) -> FaceSet:
        """The clips as a set, persons as strings."""
        names = [f"person {person}, {self.classes[label]}" for person, label in zip(self.persons, self.labels, strict=True)]
        return FaceSet(
            "synthetic micro-expressions",
            lambda row: self.clips[row],
            self.labels,
            self.classes,
            np.array(names),
            persons=self.persons.astype(str),
            apex=self.apex,
            columns={"amplitude": self.amplitude},
            note=NOTE,
        )

    def apex_frames(self) -> Tensor:
        """Control: the apex frame alone, shape (n, 1, size, size), which shows a face but not how it moved."""
        return self.clips[torch.arange(len(self.clips)), torch.from_numpy(self.apex)]

    def mean_frames(self) -> Tensor:
        """Control: the mean of each clip, shape (n, 1, size, size)."""
        return self.clips.mean(1)

    def apex_differences(self) -> Tensor:
        """Baseline: the apex frame less the first, shape (n, 1, size, size)."""
        return self.apex_frames() - self.clips[:, 0]

    def shuffled(self, seed: int = 0) -> Tensor:
        """Control: the frames of each clip in an order of its own, shape of `clips`."""
        keys = torch.rand(self.clips.shape[:2], generator=Generator().manual_seed(seed))
        return self.clips[torch.arange(len(self.clips))[:, None], keys.argsort(1)]


class _Draws:
    """All that is drawn once for a clip or a frame, in an order that does not depend on the amplitude."""

    def __init__(self, settings: MicroSettings, clips: int) -> None:
        self.generator = Generator().manual_seed(settings.seed)
        low, high = settings.amplitudes
        first, last = settings.apexes
        shape = (clips, settings.frames)
        self.amplitude = low + (high - low) * torch.rand(clips, generator=self.generator)
        self.apex = torch.randint(first, last + 1, (clips,), generator=self.generator)
        self.jitter = settings.jitter * torch.randn(*shape, 2, generator=self.generator)
        self.brightness = 1 + settings.brightness * (2 * torch.rand(shape, generator=self.generator) - 1)


def strengths(apex: Tensor, frames: int) -> Tensor:
    """The raised cosine from 0 over 1 at the apex to 0, shape (n, frames).

    >>> strengths(torch.tensor([2]), 5).round(decimals=2).tolist()
    [[0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    steps, at = torch.arange(frames).expand(len(apex), frames), apex[:, None]
    phase = torch.where(steps <= at, steps / at, (frames - 1 - steps) / (frames - 1 - at))
    return (1 - (math.pi * phase).cos()) / 2


def _rendered(picture: Tensor, fields: Tensor, distance: float, draws: _Draws, rows: slice, settings: MicroSettings) -> Tensor:
    """The clips of one face, shape (clips, T, 1, size, size): warped at the picture's size, then averaged down."""
    side = picture.shape[-1]
    finer = side // settings.size
    travel = strengths(draws.apex[rows], settings.frames) * draws.amplitude[rows, None] * distance
    offsets = travel[..., None, None, None] * fields[:, None] + finer * draws.jitter[rows, :, None, None]
    places = (_centres(side) - offsets).flatten(0, 1) * (2 / side) - 1
    warped = grid_sample(picture.expand(len(places), 1, -1, -1), places, padding_mode="border", align_corners=False)
    frames = avg_pool2d(warped, finer).unflatten(0, (-1, settings.frames))
    noise = settings.noise * torch.randn(frames.shape, generator=draws.generator)
    return frames * draws.brightness[rows, :, None, None, None] + noise


def motion_fields(points: Tensor, side: int, regions: Regions, motions: Mapping[str, Directions]) -> Tensor:
    """u of each class on one face, at the centres of its pixels, shape (classes, side, side, 2), x and y.

    Args:
        points: landmarks of the face, shape (L, 2), x and y in pixels.
        side: of the picture in pixels.
        regions: landmarks of "pupils" and of each region that moves.
        motions: where each region moves in each class.
    """
    grid = _centres(side)
    pupils = points[list(regions["pupils"])]
    middle, width = pupils[:, 0].mean(), 2 * (WIDTH * (pupils[0] - pupils[1]).norm()) ** 2
    fields = torch.zeros(len(motions), side, side, 2)
    for field, directions in zip(fields, motions.values(), strict=True):
        for name, (across, down) in directions.items():
            around = points[list(regions[name])]
            near = (-(grid[:, :, None] - around).square().sum(-1) / width).exp()
            outwards = 1 if around[:, 0].mean() > middle else -1
            field += (1 - (1 - near).prod(-1))[..., None] * torch.tensor([outwards * across, down])
    return fields


def _centres(side: int) -> Tensor:
    """x and y of the centre of each pixel, shape (side, side, 2)."""
    centres = torch.arange(side) + 0.5
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)


def _check_regions(regions: Regions, motions: Mapping[str, Directions], landmarks: int) -> None:
    for name in ("pupils", *sorted({name for directions in motions.values() for name in directions})):
        indices = regions.get(name, ())
        if not len(indices) or min(indices) < 0 or max(indices) >= landmarks or (name == "pupils" and len(indices) != 2):
            count = "two indices" if name == "pupils" else "indices"
            raise BadSetting(f"region '{name}' needs {count} of {landmarks} landmarks, and has {tuple(indices)}")
    if not motions:
        raise BadSetting("motions name no class")


def _pupil_distances(points: Tensor, regions: Regions) -> Tensor:
    pupils = points[:, list(regions["pupils"])]
    distances = (pupils[:, 0] - pupils[:, 1]).norm(dim=1)
    if not (distances > 0).all():
        raise BadSetting(f"the pupils of face {int((~(distances > 0)).nonzero()[0])} are at one place")
    return distances


def _faces(faces: np.ndarray | Tensor, landmarks: np.ndarray | Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pictures (P, 1, H, H) between 0 and 1, and landmarks (P, L, 2), float32."""
    pictures, points = torch.as_tensor(faces), torch.as_tensor(landmarks).float()
    if pictures.dim() != 3 or pictures.shape[1] != pictures.shape[2] or not len(pictures):
        raise BadSetting(f"faces must be square and grey, of shape (P, H, H), not {tuple(pictures.shape)}")
    if points.dim() != 3 or len(points) != len(pictures) or points.shape[2] != 2 or not points.isfinite().all():
        raise BadSetting(f"landmarks must be finite, of shape ({len(pictures)}, L, 2), not {tuple(points.shape)}")
    if pictures.shape[1] % size:
        raise BadSetting(f"the faces' side, {pictures.shape[1]} pixels, must be a multiple of the clips', {size}")
    if pictures.dtype == torch.uint8:
        return pictures.float().div(255)[:, None], points
    if not pictures.is_floating_point() or pictures.min() < 0 or pictures.max() > 1:
        raise BadSetting("faces must be bytes, or floats between 0 and 1")
    return pictures.float()[:, None], points
