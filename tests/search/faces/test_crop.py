"""Face crops: the pupils land where they should, whatever the scale and the turn of the face."""

import math

import numpy as np
import pytest
import torch

from expunge.errors import BadSetting
from expunge.search.faces import FaceCrop, crop_face


def dots(points: list[tuple[float, float]], side: int = 160) -> torch.Tensor:
    """A picture with a smooth bright dot at each point."""
    x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    picture = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 3.0**2)) for px, py in points)
    return torch.from_numpy(np.asarray(picture, dtype=np.float32))[None]


def brightest(picture: torch.Tensor) -> tuple[float, float]:
    """Centre of mass."""
    weights = picture[0] / picture[0].sum()
    centres = torch.arange(picture.shape[-1]) + 0.5
    return float((weights.sum(0) * centres).sum()), float((weights.sum(1) * centres).sum())


@pytest.mark.parametrize("degrees", [0, 20, -35])
@pytest.mark.parametrize("distance", [30.0, 50.0])
def test_pupils_land_at_one_place(degrees: float, distance: float) -> None:
    turn = math.radians(degrees)
    across = np.array([math.cos(turn), math.sin(turn)]) * distance / 2
    left, right = np.array([80.0, 70.0]) - across, np.array([80.0, 70.0]) + across
    crop = FaceCrop.from_landmarks(np.stack([left, right]))
    expected = np.array([[32 - 64 / 4.6, 32 - 64 * 0.55 / 2.3], [32 + 64 / 4.6, 32 - 64 * 0.55 / 2.3]])
    assert crop.points(np.stack([left, right])) == pytest.approx(expected)
    for pupil, place in zip((left, right), expected, strict=True):
        assert brightest(crop(dots([tuple(pupil)]))) == pytest.approx(tuple(place), abs=0.3)


def test_pupils_may_come_in_either_order() -> None:
    points = np.array([[40.0, 50.0], [80.0, 54.0]])
    assert FaceCrop.from_landmarks(points) == FaceCrop.from_landmarks(points[::-1])


def test_a_crop_that_fits_the_grid_copies_pixels() -> None:
    picture = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    cut = FaceCrop((20.0, 18.0), 8.0)(picture, 16)
    assert torch.allclose(cut, picture[:, 10:26, 12:28], atol=1e-5)


def test_shrinking_averages() -> None:
    noise = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    cut = FaceCrop((32.0, 32.0), 32.0)(noise, 20)
    assert cut.mean().item() == pytest.approx(0.5, abs=0.02)
    # Each pixel is the mean of about ten; bilinear samples of four would leave about twice as much.
    assert cut.std() < 0.12


def test_a_clip_is_cut_as_its_first_frame() -> None:
    clip = torch.rand(5, 1, 60, 60, generator=torch.Generator().manual_seed(0))
    seen = []

    def detector(picture: torch.Tensor) -> np.ndarray:
        seen.append(picture)
        return np.array([[20.0, 25.0], [40.0, 27.0]])

    cut, crop = crop_face(clip, detector, size=24)
    assert len(seen) == 1 and torch.equal(seen[0], clip[0])
    assert cut.shape == (5, 1, 24, 24)
    assert torch.allclose(cut[3], crop(clip[3], 24))


def test_bytes_become_floats_and_edges_are_repeated() -> None:
    cut = FaceCrop((2.0, 2.0), 10.0)(torch.full((1, 8, 8), 200, dtype=torch.uint8), 10)
    assert cut.dtype == torch.float32
    assert torch.allclose(cut, torch.tensor(200.0))


@pytest.mark.parametrize(
    ("landmarks", "said"),
    [
        (np.zeros((1, 2)), "pupils first"),
        (np.zeros((2, 3)), "shape"),
        (np.zeros((2, 2)), "different points"),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "different points"),
    ],
)
def test_wrong_landmarks_are_refused(landmarks: np.ndarray, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        FaceCrop.from_landmarks(landmarks)


def test_no_face_and_foreign_landmarks_are_refused() -> None:
    with pytest.raises(BadSetting, match="no face"):
        crop_face(torch.zeros(1, 8, 8), lambda picture: None)
    with pytest.raises(BadSetting, match="outside the picture of 8 x 8"):
        crop_face(torch.zeros(1, 8, 8), lambda picture: np.array([[50.0, 50.0], [70.0, 50.0]]))
    with pytest.raises(BadSetting, match="clip"):
        crop_face(torch.zeros(8, 8), lambda picture: None)
    with pytest.raises(BadSetting, match="reach"):
        FaceCrop.from_landmarks(np.array([[1.0, 1.0], [2.0, 1.0]]), reach=0)
    with pytest.raises(BadSetting, match="size"):
        FaceCrop((4.0, 4.0), 2.0)(torch.zeros(1, 8, 8), 0)
