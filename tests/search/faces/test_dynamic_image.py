"""Dynamic images: closed forms against sums, what must leave no trace, and wrong input."""

import pytest
import torch

from expunge.errors import BadSetting
from expunge.search.faces import coefficients, dynamic_image

LENGTHS = (1, 2, 3, 5, 10, 17)
MODES = ("running-mean", "linear")


def clip(length: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(length, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def brute_force(frames: torch.Tensor, mode: str) -> torch.Tensor:
    """The sum over all pairs of what is ranked, as the definition says."""
    ranked = [frames[: t + 1].mean(0) if mode == "running-mean" else frames[t] for t in range(len(frames))]
    total = torch.zeros_like(frames[0])
    for q in range(len(ranked)):
        for t in range(q):
            total += ranked[q] - ranked[t]
    return total


@pytest.mark.parametrize("length", LENGTHS)
def test_closed_form_equals_the_sum_form(length: int) -> None:
    summed = [sum((2 * i - length - 1) / i for i in range(t, length + 1)) for t in range(1, length + 1)]
    expected = torch.tensor(summed if length > 1 else [1.0], dtype=torch.float64)
    assert (coefficients(length) - expected).abs().max() <= 1e-12
    if length > 1:
        assert abs(coefficients(length).sum()) <= 1e-12
        assert coefficients(length, "linear").sum() == 0


def test_coefficients_of_ten_frames() -> None:
    expected = [-12.219, -3.219, 0.281, 1.948, 2.698, 2.898, 2.731, 2.303, 1.678, 0.9]
    assert coefficients(10).tolist() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", LENGTHS[1:])
def test_image_equals_brute_force(length: int, mode: str) -> None:
    frames = clip(length, 2, 3, 4)
    expected = brute_force(frames, mode)
    assert (dynamic_image(frames, mode) - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("mode", MODES)
def test_one_frame_gives_that_frame(mode: str) -> None:
    frames = clip(1, 1, 4, 4)
    image = dynamic_image(frames, mode)
    assert torch.equal(image, frames[0])
    image.zero_()
    assert frames.abs().sum() > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
def test_a_constant_clip_leaves_exactly_nothing(mode: str, dtype: torch.dtype) -> None:
    frames = (torch.rand(1, 1, 5, 5) * 200).to(dtype).expand(9, 1, 5, 5)
    image = dynamic_image(frames, mode)
    assert not image.any()
    assert image.dtype == (torch.float32 if dtype == torch.uint8 else dtype)


@pytest.mark.parametrize("mode", MODES)
def test_adding_a_constant_picture_changes_nothing(mode: str) -> None:
    frames = clip(12, 1, 6, 6)
    moved = dynamic_image(frames + clip(1, 1, 6, 6, seed=1), mode)
    assert (moved - dynamic_image(frames, mode)).abs().max() < 1e-12


def test_linear_changes_sign_when_time_is_turned_round() -> None:
    frames = clip(8, 1, 4, 4)
    assert torch.allclose(dynamic_image(frames.flip(0), "linear"), -dynamic_image(frames, "linear"))
    assert not torch.allclose(dynamic_image(frames.flip(0)), -dynamic_image(frames))


def test_linear_cancels_a_motion_there_and_back() -> None:
    way = torch.tensor([0.0, 1.0, 3.0, 1.0, 0.0], dtype=torch.float64).view(5, 1, 1, 1)
    assert dynamic_image(way, "linear").item() == 0
    assert dynamic_image(way, "linear", "onset-apex", 2).item() == 6
    assert dynamic_image(way, "linear", "apex-offset", 2).item() == -6
    assert abs(dynamic_image(way).item()) > 1


def test_a_batch_is_its_clips() -> None:
    clips = torch.stack([clip(7, 1, 4, 4, seed=seed) for seed in range(3)])
    whole = dynamic_image(clips, normalise="z-score")
    parts = dynamic_image(clips, segment="onset-apex", apex=[2, 6, 4])
    for row, apex in enumerate((2, 6, 4)):
        assert torch.allclose(whole[row], dynamic_image(clips[row], normalise="z-score"))
        assert torch.allclose(parts[row], dynamic_image(clips[row, : apex + 1]))
    assert torch.equal(dynamic_image(clips, segment="onset-apex", apex=torch.tensor([2, 6, 4])), parts)


def test_normalised_images() -> None:
    frames = clip(6, 1, 20, 20).float()
    image = dynamic_image(frames, normalise="z-score")
    assert abs(image.mean()) < 1e-6
    assert image.square().mean().item() == pytest.approx(1, abs=1e-5)
    image = dynamic_image(frames, normalise="min-max")
    assert (image.min().item(), image.max().item()) == (0, 1)


def test_one_hot_pixel_does_not_squeeze_the_robust_range() -> None:
    frames = clip(6, 1, 20, 20).float()
    frames[3, 0, 0, 0] = 1e4
    spread = {name: dynamic_image(frames, normalise=name).std().item() for name in ("min-max", "robust")}
    assert spread["min-max"] < 0.1 < spread["robust"]
    assert dynamic_image(frames, normalise="robust").max() == 1


@pytest.mark.parametrize(("name", "value"), [("z-score", 0.0), ("min-max", 0.5), ("robust", 0.5)])
def test_a_flat_image_has_a_value(name: str, value: float) -> None:
    assert dynamic_image(torch.ones(4, 1, 3, 3), normalise=name).unique().tolist() == [value]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((torch.zeros(4, 4),), "shape"),
        ((torch.zeros(0, 1, 4, 4),), "T at least 1"),
        ((torch.zeros(3, 1, 0, 4),), "shape"),
        (([1, 2],), "list"),
        ((torch.zeros(3, 1, 4, 4, dtype=torch.complex64),), "real"),
        ((torch.zeros(3, 1, 4, 4), "mean"), "'running-mean' or 'linear'"),
        ((torch.zeros(3, 1, 4, 4), "linear", "onset"), "segment"),
        ((torch.zeros(3, 1, 4, 4), "linear", "onset-apex"), "needs the apex"),
        ((torch.zeros(3, 1, 4, 4), "linear", "onset-apex", 0), "1 to 2"),
        ((torch.zeros(3, 1, 4, 4), "linear", "onset-apex", 3), "1 to 2"),
        ((torch.zeros(3, 1, 4, 4), "linear", "apex-offset", 2), "0 to 1"),
        ((torch.zeros(2, 3, 1, 4, 4), "linear", "onset-apex", [1, 1, 1]), "2 clips and 3 apexes"),
        ((torch.zeros(3, 1, 4, 4), "linear", None, None, "l2"), "normalise"),
    ],
)
def test_wrong_input_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        dynamic_image(*arguments)


def test_no_coefficients_without_frames() -> None:
    with pytest.raises(BadSetting, match="at least 1 frame"):
        coefficients(0)
