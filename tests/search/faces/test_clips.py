"""Clips from folders of frames and from videos: order, values, and files that are not as they should be."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from expunge.errors import BadFile, BadSetting, MissingExtra
from expunge.search.faces import read_frame_files, read_frames, read_video


def write(path: Path, value: int, size: tuple[int, int] = (6, 4), mode: str = "L") -> None:
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write(tmp_path / f"img{number}.png", 20 * number)
    (tmp_path / "notes.txt").write_text("none")
    clip = read_frames(tmp_path)
    assert clip.shape == (3, 1, 4, 6)
    assert (clip[:, 0, 0, 0] * 255).tolist() == pytest.approx([20, 40, 200])
    assert len(read_frames(tmp_path, first=2)) == 2
    assert len(read_frames(tmp_path, first=2, last=9)) == 1


def test_colours_and_sizes(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 255, mode="RGB")
    clip = read_frames(tmp_path, grayscale=False, size=(2, 3))
    assert clip.shape == (1, 3, 2, 3)
    assert clip[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0])


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 30001, dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    assert (read_frames(tmp_path) * 65535).unique().tolist() == pytest.approx([30001], abs=0.01)


def test_shrinking_is_not_rounded_to_bytes(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[0, 0] = 1
    Image.fromarray(pixels).save(tmp_path / "1.png")
    assert 0 < read_frames(tmp_path, size=1).item() < 1 / 255


def test_a_corrupt_frame_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 3)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[:40])
    with pytest.raises(BadFile, match=r"2\.png cannot be read"):
        read_frames(tmp_path)


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 3)
    write(tmp_path / "2.png", 3, (7, 4))
    with pytest.raises(BadFile, match=r"2\.png has 7 x 4 pixels.*1\.png has 6 x 4"):
        read_frames(tmp_path, size=4)


def test_folders_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="not found"):
        read_frames(tmp_path / "none")
    with pytest.raises(BadFile, match="holds no frames"):
        read_frames(tmp_path)
    write(tmp_path / "5.png", 3)
    with pytest.raises(BadFile, match="from number 6 to None: it has 1 images"):
        read_frames(tmp_path, first=6)
    with pytest.raises(BadFile, match="at least one frame"):
        read_frame_files([])
    with pytest.raises(BadSetting, match="at least 1 pixel"):
        read_frames(tmp_path, size=0)


def test_without_opencv_a_video_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'expunge\[video\]'"):
        read_video(tmp_path / "face.mp4")


class Capture:
    """Stands in for OpenCV's reader: seven frames, the t-th of value t."""

    released = 0

    def __init__(self, path: str) -> None:
        self.at = 0

    def grab(self) -> bool:
        self.at += 1
        return self.at <= 7

    def read(self) -> tuple[bool, np.ndarray | None]:
        there = self.grab()
        return there, np.full((4, 6, 3), self.at - 1, dtype=np.uint8) if there else None

    def release(self) -> None:
        Capture.released += 1


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    convert = {"grey": lambda frame: frame[..., 0], "rgb": lambda frame: frame[..., ::-1]}
    module = SimpleNamespace(
        VideoCapture=Capture, COLOR_BGR2GRAY="grey", COLOR_BGR2RGB="rgb", cvtColor=lambda frame, how: convert[how](frame)
    )
    monkeypatch.setitem(sys.modules, "cv2", module)
    (tmp_path / "face.mp4").write_bytes(b"video")
    return tmp_path / "face.mp4"


def test_a_part_of_a_video(video: Path) -> None:
    before = Capture.released
    assert (read_video(video)[:, 0, 0, 0] * 255).tolist() == pytest.approx(range(7))
    assert (read_video(video, first=2, count=3)[:, 0, 0, 0] * 255).tolist() == pytest.approx([2, 3, 4])
    assert read_video(video, count=1, grayscale=False, size=2).shape == (1, 3, 2, 2)
    assert Capture.released == before + 3


def test_videos_that_end_too_early(video: Path) -> None:
    with pytest.raises(BadFile, match="ends after frame 6; frames 5 to 8 were asked for"):
        read_video(video, first=5, count=4)
    with pytest.raises(BadFile, match="no frame could be decoded from index 9"):
        read_video(video, first=9)
    with pytest.raises(BadFile, match="not found"):
        read_video(video.with_name("none.mp4"))
    with pytest.raises(BadSetting, match="first"):
        read_video(video, first=-1)
    with pytest.raises(BadSetting, match="count"):
        read_video(video, count=0)


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")
def test_a_real_video(tmp_path: Path) -> None:
    import cv2  # type: ignore[import-not-found, unused-ignore]

    path = tmp_path / "face.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (32, 24))
    for value in (0, 60, 120, 180):
        writer.write(np.full((24, 32, 3), value, dtype=np.uint8))
    writer.release()
    clip = read_video(path, first=1)
    assert clip.shape == (3, 1, 24, 32)
    assert torch.allclose(clip.mean((1, 2, 3)) * 255, torch.tensor([60.0, 120.0, 180.0]), atol=3)
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"no video at all")
    with pytest.raises(BadFile, match="no frame could be decoded"):
        read_video(broken)
