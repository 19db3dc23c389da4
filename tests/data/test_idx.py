"""idx files: written by hand, read back exactly; damaged ones are told apart."""

import gzip
import os
import struct

import numpy as np
import pytest
import torch

from expunge.data.idx import FASHION_MNIST, FILES, MNIST, find_files, read_idx, read_source
from expunge.errors import BadFile

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def random_set(seed: int, count: int, side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, side, side), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A small set with all four files: training compressed, test plain."""
    train, test = random_set(0, 12), random_set(1, 10)
    for name, values in zip(FILES[:2], train, strict=True):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(values)))
    for name, values in zip(FILES[2:], test, strict=True):
        (tmp_path / name).write_bytes(idx_bytes(values))
    return tmp_path


def test_values_are_read_back_exactly(folder):
    source = read_source(folder, FASHION_MNIST)
    images, labels = random_set(0, 12)
    assert source.train.inputs.shape == (12, 1, 28, 28) and source.train.inputs.dtype == torch.float32
    assert np.array_equal((source.train.inputs * 255).round().numpy()[:, 0], images)
    assert source.train.inputs.max() == 1.0 and source.train.inputs.min() == 0.0
    assert source.train.targets.tolist() == labels.tolist() and source.train.targets.dtype == torch.int64
    assert np.array_equal((source.holdout.inputs * 255).round().numpy()[:, 0], random_set(1, 10)[0])
    assert source.name == "fashion-mnist" and source.classes[9] == "Ankle boot" and source.input_shape == (1, 28, 28)
    assert source.note == "A sample of Fashion-MNIST: 12 of 60,000 training and 10 of 10,000 test examples."


def test_a_multi_byte_dimension_is_read_highest_byte_first(tmp_path):
    values = np.arange(600).astype(np.uint8)
    (tmp_path / "labels").write_bytes(idx_bytes(values))
    assert read_idx(tmp_path / "labels", 1).tolist() == values.tolist()


def test_compression_is_told_by_content_and_makes_no_difference(tmp_path):
    images, _ = random_set(3, 5)
    (tmp_path / "plain.gz").write_bytes(idx_bytes(images))
    (tmp_path / "packed").write_bytes(gzip.compress(idx_bytes(images)))
    assert np.array_equal(read_idx(tmp_path / "plain.gz", 3), images)
    assert np.array_equal(read_idx(tmp_path / "packed", 3), images)


def test_a_set_that_is_not_known_has_numbered_classes_and_its_own_size(tmp_path):
    for start, count in (("train", 12), ("t10k", 10)):
        images, labels = random_set(4, count, side=16)
        (tmp_path / f"{start}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{start}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    source = read_source(tmp_path)
    assert source.input_shape == (1, 16, 16) and source.classes == tuple("0123456789")
    assert source.name == tmp_path.name and source.note == ""
    with pytest.raises(BadFile, match="holds images of 16x16 pixels; those of MNIST have 28x28 pixels"):
        read_source(tmp_path, MNIST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: good[:-1], r"cut short: its header states 4x28x28, that is 3,136 bytes of values, found 3,135"),
        (lambda good: good[:9], "cut short: it ends inside its header of 16 bytes"),
        (lambda good: good[:2], "starts with the bytes 0000; expected 00000803"),
        (lambda good: b"", "is empty; expected 00000803"),
        (
            lambda good: good + b"x",
            "too long: its header states 4x28x28, that is 3,136 bytes of values, but more follow",
        ),
        (
            lambda good: b"\x89PNG" + good,
            "starts with the bytes 89504e47; expected 00000803, an idx file of unsigned bytes",
        ),
        (lambda good: b"\0\0\x0d\x03" + good[4:], "starts with the bytes 00000d03"),
        (lambda good: good[:4] + bytes(4) + good[8:], "its header states the size 0x28x28"),
        (lambda good: good[:4] + b"\xff" * 12, "cut short: its header states 4,294,967,295x4,294,967,295x"),
        (lambda good: gzip.compress(good)[:-9], "cut short: the gzip stream ends before its end mark"),
        (lambda good: gzip.compress(good[:-7]), "cut short: its header states 4x28x28"),
        (lambda good: gzip.compress(good)[:-8] + bytes(8), "is damaged: CRC check failed"),
        (lambda good: gzip.compress(good)[:10] + b"\xff" * 40, "is damaged: Error -3"),
    ],
)
def test_a_damaged_file_says_what_was_expected_and_found(tmp_path, change, message):
    path = tmp_path / "images"
    path.write_bytes(change(idx_bytes(random_set(0, 4)[0])))
    with pytest.raises(BadFile, match=message) as raised:
        read_idx(path, 3)
    assert str(path) in str(raised.value)


def test_a_byte_too_many_is_seen_where_a_read_ends_with_the_values(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.data.idx._CHUNK", 5)
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(np.arange(10, dtype=np.uint8)))
    assert read_idx(path, 1).tolist() == list(range(10))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadFile, match="too long"):
        read_idx(path, 1)


def test_images_and_labels_must_be_as_many(folder):
    (folder / FILES[3]).write_bytes(idx_bytes(random_set(1, 9)[1]))
    with pytest.raises(BadFile, match=r"t10k-labels-idx1-ubyte holds 9 labels, but .*t10k-images-idx3-ubyte 10 images"):
        read_source(folder, MNIST)


def test_training_and_test_images_must_be_alike(folder):
    (folder / FILES[2]).write_bytes(idx_bytes(random_set(1, 10, side=8)[0]))
    with pytest.raises(BadFile, match=r"holds images of 8x8 pixels, but .* of 28x28 pixels: they must be alike"):
        read_source(folder)


def test_a_foreign_label_is_named(folder):
    (folder / FILES[3]).write_bytes(idx_bytes(np.array([0, 1, 2, 47, 4, 5, 6, 7, 8, 9], dtype=np.uint8)))
    with pytest.raises(BadFile, match=r"label 3 is 47; those of MNIST are 0\.\.9"):
        read_source(folder, MNIST)


def test_a_missing_file_says_which_where_and_who_publishes_it(folder):
    (folder / FILES[2]).unlink()
    with pytest.raises(BadFile, match=r"MNIST: file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz") as raised:
        find_files(folder, MNIST)
    assert str(folder) in str(raised.value) and "yann.lecun.com/exdb/mnist" in str(raised.value)
    assert "set EXPUNGE_DATA" in str(raised.value)
    with pytest.raises(BadFile, match=r"github\.com/zalandoresearch/fashion-mnist"):
        find_files(folder, FASHION_MNIST)
    with pytest.raises(BadFile, match="is not there") as unknown:
        find_files(folder)
    assert "EXPUNGE_DATA" not in str(unknown.value)


@pytest.mark.data
@real_data
def test_the_real_mnist():
    source = read_source(MNIST.folder(FILES[0]), MNIST)
    assert len(source.train) == 60_000 and len(source.holdout) == 10_000 and source.note == ""
    both = torch.bincount(source.train.targets) + torch.bincount(source.holdout.targets)
    assert both.tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]  # of all 70,000
    assert abs(source.train.inputs.mean().item() - 0.1307) < 2e-4  # the mean that everybody normalises with
