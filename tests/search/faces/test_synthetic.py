"""Synthetic micro-expressions on generated faces: what moves, what doesn't, and that the controls fail as they must."""

import numpy as np
import pytest
import torch

from expunge.errors import BadSetting
from expunge.search.faces import (
    MicroSettings,
    SyntheticMicroExpressions,
    control_scores,
    dynamic_image,
    linear_scores,
    person_folds,
)
from expunge.search.faces.synthetic import MOTIONS, motion_fields, strengths
from search.faces.generated_faces import REGIONS, generated_faces

STILL = {"jitter": 0.0, "brightness": 0.0, "noise": 0.0}


def made(count: int = 3, **settings: object) -> SyntheticMicroExpressions:
    faces, landmarks = generated_faces(count)
    return SyntheticMicroExpressions.from_faces(faces, landmarks, regions=REGIONS, **{"size": 32, **settings})


def test_shapes_and_order() -> None:
    clips = made(clips_per_class=2, frames=10)
    assert clips.clips.shape == (18, 10, 1, 32, 32) and clips.clips.dtype == torch.float32
    assert clips.labels.tolist() == [0, 0, 1, 1, 2, 2] * 3
    assert clips.persons.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert clips.classes == ("negative", "positive", "surprise")
    assert 0.02 <= clips.amplitude.min() < clips.amplitude.max() <= 0.045
    assert set(made(30).apex.tolist()) == set(range(6, 11))
    rows = clips.face_set()
    assert torch.equal(rows.read(4), clips.clips[4])
    assert rows.persons.tolist()[5:7] == ["0", "1"]
    assert "synthetic" in rows.note.lower()


def test_the_seed_decides_everything() -> None:
    first, again, other = (made(seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.clips, again.clips)
    assert not torch.equal(first.clips, other.clips)


def test_the_amplitude_changes_no_other_draw() -> None:
    moved, still = made(), made(amplitude=0.0)
    assert np.array_equal(moved.apex, still.apex)
    assert (moved.clips[:, 0] - still.clips[:, 0]).abs().max() < 1e-6
    assert (moved.apex_frames() - still.apex_frames()).abs().max() > 0.02


def test_without_motion_and_nuisances_a_clip_stands_still() -> None:
    faces, _ = generated_faces(3)
    clips = made(amplitude=0.0, **STILL)
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(faces)[:, None], 2).repeat_interleave(3, 0)
    assert (clips.clips - small[:, None]).abs().max() < 1e-5
    assert dynamic_image(clips.clips).abs().max() < 1e-4


def test_the_motion_is_a_raised_cosine() -> None:
    found = strengths(torch.tensor([4, 7]), 12)
    assert found[:, 0].tolist() == found[:, -1].tolist() == [0, 0]
    assert found.argmax(1).tolist() == [4, 7] and found.max() == 1
    assert found[0, 2].item() == pytest.approx(0.5)
    clips = made(amplitude=0.04, **STILL)
    change = (clips.clips - clips.clips[:, :1]).square().mean((2, 3, 4))
    assert change.argmax(1).tolist() == clips.apex.tolist()
    assert change[:, -1].max() < 1e-10


def test_each_class_moves_its_regions() -> None:
    _, landmarks = generated_faces(1)
    points = torch.from_numpy(landmarks[0])
    fields = dict(zip(MOTIONS, motion_fields(points, 64, REGIONS, MOTIONS), strict=True))

    def at(name: str, landmark: int) -> list[float]:
        x, y = points[landmark].long().tolist()
        return fields[name][y, x].tolist()

    assert at("positive", 2) == pytest.approx([-0.6, -0.8], abs=0.05)
    assert at("positive", 3) == pytest.approx([0.6, -0.8], abs=0.05)
    assert at("positive", 4) == pytest.approx([0, 0], abs=0.01)
    assert at("negative", 2) == pytest.approx([0, 1], abs=0.05)
    assert at("negative", 5) == pytest.approx([0.6, 0.8], abs=0.1)
    assert at("surprise", 4) == pytest.approx([0, -1], abs=0.05)
    assert at("surprise", 3) == pytest.approx([0, 0], abs=0.01)
    assert all(field.norm(dim=-1).max() <= 1.05 for field in fields.values())


def test_pixels_move_the_way_the_field_says() -> None:
    """A bright dot on the left corner of the mouth rises and goes left."""
    _, landmarks = generated_faces(1)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    dot = np.exp(-((x - landmarks[0, 2, 0]) ** 2 + (y - landmarks[0, 2, 1]) ** 2) / 2).astype(np.float32)
    clips = SyntheticMicroExpressions.from_faces(dot[None], landmarks, regions=REGIONS, size=64, amplitude=0.03, **STILL)

    def centre(frame: torch.Tensor) -> np.ndarray:
        weights = frame[0].numpy() / float(frame.sum())
        return np.array([(weights * x).sum(), (weights * y).sum()])

    moved = centre(clips.apex_frames()[1]) - centre(clips.clips[1, 0])
    distance = landmarks[0, 1, 0] - landmarks[0, 0, 0]
    assert moved[0] < 0 and moved[1] < 0
    assert np.linalg.norm(moved) == pytest.approx(0.03 * distance, rel=0.15)


def test_controls_hold_what_they_say() -> None:
    clips = made()
    assert torch.equal(clips.apex_frames()[5], clips.clips[5, clips.apex[5]])
    assert torch.allclose(clips.mean_frames()[2], clips.clips[2].mean(0))
    assert torch.equal(clips.apex_differences()[1], clips.clips[1, clips.apex[1]] - clips.clips[1, 0])
    shuffled = clips.shuffled()
    assert torch.equal(shuffled.sort(1).values, clips.clips.sort(1).values)
    assert not torch.equal(shuffled, clips.clips)
    assert torch.equal(shuffled, clips.shuffled())


def test_the_protocol_on_generated_faces() -> None:
    faces, landmarks = generated_faces(36)
    found = control_scores(faces, landmarks, regions=REGIONS, size=32, amplitude=0.08)
    accuracy = {name: each.accuracy for name, each in found.items()}
    assert accuracy["running-mean"] > 0.85
    assert accuracy["linear, onset to apex"] > 0.85
    # 108 clips: the standard deviation of guessing is 4.5 points.
    assert 0.18 < accuracy["running-mean, zero amplitude"] < 0.49
    assert accuracy["linear"] < accuracy["running-mean"] - 0.3
    assert accuracy["running-mean, shuffled"] < accuracy["running-mean"] - 0.2
    assert all(each.support.tolist() == [36, 36, 36] for each in found.values())


def test_the_amplitude_is_a_dial() -> None:
    found = []
    for amplitude in (0.0, 0.01, 0.05):
        clips = made(36, amplitude=amplitude)
        folds = person_folds(clips.persons, clips.labels)
        found.append(linear_scores(dynamic_image(clips.clips), clips.labels, clips.classes, folds).accuracy)
    assert found == sorted(found)
    assert found[2] - found[0] > 0.4


@pytest.mark.parametrize(
    "settings",
    [
        {"clips_per_class": 0},
        {"frames": 2},
        {"size": 0},
        {"amplitude": -0.1},
        {"amplitude": (0.3, 0.2)},
        {"amplitude": (0.1, 0.2, 0.3)},
        {"apex": (0, 4)},
        {"apex": (5, 15)},
        {"jitter": -1.0},
        {"noise": -1.0},
    ],
)
def test_wrong_settings_are_refused(settings: dict) -> None:
    with pytest.raises(BadSetting, match=next(iter(settings))):
        MicroSettings(**settings)


def test_wrong_faces_are_refused() -> None:
    faces, landmarks = generated_faces(2)
    build = SyntheticMicroExpressions.from_faces
    for arguments, said in (
        ((faces[0], landmarks), r"\(P, H, H\)"),
        ((faces[:, :32], landmarks), r"\(P, H, H\)"),
        ((faces, landmarks[:1]), r"\(2, L, 2\)"),
        ((faces, landmarks * np.nan), "finite"),
        ((faces * 255, landmarks), "between 0 and 1"),
        ((faces.astype(int), landmarks), "bytes"),
        ((faces, np.zeros_like(landmarks)), "face 0 are at one place"),
        ((faces, landmarks, ["ada"]), "2 faces and persons of shape"),
    ):
        with pytest.raises(BadSetting, match=said):
            build(*arguments, regions=REGIONS)
    with pytest.raises(BadSetting, match="multiple of the clips', 48"):
        build(faces, landmarks, regions=REGIONS, size=48)
    with pytest.raises(BadSetting, match="region 'left brow' needs indices of 8 landmarks"):
        build(faces, landmarks)
    with pytest.raises(BadSetting, match="two indices"):
        build(faces, landmarks, regions={**REGIONS, "pupils": (0,)})
    with pytest.raises(BadSetting, match="no class"):
        build(faces, landmarks, regions=REGIONS, motions={})


def test_bytes_are_taken_too() -> None:
    faces, landmarks = generated_faces(1)
    found = SyntheticMicroExpressions.from_faces(
        (faces * 255).round().astype(np.uint8), landmarks, regions=REGIONS, size=32, **STILL
    )
    exact = made(1, **STILL)
    assert (found.clips - exact.clips).abs().max() < 1 / 200


def test_inputs_of_the_linear_model_are_checked() -> None:
    folds = person_folds(range(6), [0, 1] * 3, 3)
    with pytest.raises(BadSetting, match="6 labels and 5 inputs"):
        linear_scores(np.zeros((5, 2)), [0, 1] * 3, ("a", "b"), folds)
    with pytest.raises(BadSetting, match="finite"):
        linear_scores(np.full((6, 2), np.nan), [0, 1] * 3, ("a", "b"), folds)


def test_the_linear_model_sees_no_test_rows() -> None:
    """A row's own number tells nothing where each number is seen once, in training or in the test."""
    inputs, labels = np.eye(30, dtype=np.float32), [0, 1] * 15
    found = linear_scores(inputs, labels, ("a", "b"), person_folds(range(30), labels, 5))
    assert found.accuracy <= 0.7
