"""CIFAR-10's binary records: written by hand, read back exactly; damaged ones are told apart."""

import os

import numpy as np
import pytest
import torch

from expunge.data.cifar import CIFAR10, TRAIN_FILES, find_files, read_batch, read_source
from expunge.errors import BadFile

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def batch(seed: int, count: int) -> np.ndarray:
    records = np.random.default_rng(seed).integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = (np.arange(count) + seed) % 10
    return records


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(batch(1, 6).tobytes())
    (tmp_path / "data_batch_3.bin").write_bytes(batch(3, 4).tobytes())
    (tmp_path / "test_batch.bin").write_bytes(batch(9, 5).tobytes())
    return tmp_path


def test_records_are_read_back_exactly_in_the_order_of_the_files(folder):
    source = read_source(folder)
    records = np.concatenate([batch(1, 6), batch(3, 4)])
    assert source.train.inputs.shape == (10, 3, 32, 32) and source.train.inputs.dtype == torch.float32
    pixels = (source.train.inputs * 255).round().to(torch.uint8)
    assert np.array_equal(pixels.flatten(1).numpy(), records[:, 1:])
    assert source.train.targets.tolist() == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6]
    assert source.holdout.targets.tolist() == [9, 0, 1, 2, 3]
    assert source.note == "A sample of CIFAR-10 (binary version): 10 of 50,000 training and 5 of 10,000 test examples."


def test_planes_are_red_green_blue_row_by_row(tmp_path):
    record = np.zeros((1, 3073), dtype=np.uint8)
    record[0, 1 + 1024 + 32 + 2] = 255  # green plane, second row, third column
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(record.tobytes())
    assert read_source(tmp_path).train.inputs.nonzero().tolist() == [[0, 1, 1, 2]]


def test_class_names_come_from_the_file_beside_the_batches(folder):
    assert read_source(folder).classes == CIFAR10.classes
    names = [f"kind {number}" for number in range(10)]
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    assert read_source(folder).classes == tuple(names)
    (folder / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(BadFile, match=r"batches\.meta\.txt lists 2 class names; expected 10"):
        read_source(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (batch(0, 3).tobytes()[:-1], "records of 3,073 bytes, found 9,218 bytes, that is 2 records and 3,072 bytes"),
        (b"", "found 0 bytes, that is 0 records"),
        (bytes(3073) + b"\x0b" + bytes(3072), r"record 1 has label 11; expected 0\.\.9"),
    ],
)
def test_a_damaged_file_says_what_was_expected_and_found(tmp_path, content, message):
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=message) as raised:
        read_batch(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_says_which_where_and_who_publishes_it(folder):
    (folder / "test_batch.bin").unlink()
    with pytest.raises(BadFile, match=r"file test_batch\.bin was looked for in ") as raised:
        find_files(folder)
    assert str(folder) in str(raised.value) and "www.cs.toronto.edu/~kriz/cifar.html" in str(raised.value)
    for name in TRAIN_FILES:
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(BadFile, match=r"file data_batch_1\.bin \(and up to data_batch_5\.bin\)"):
        find_files(folder)


def test_the_pickled_version_is_refused_by_name(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}")
    with pytest.raises(BadFile, match="Python version of CIFAR-10, which is pickled"):
        find_files(tmp_path)


@pytest.mark.data
@real_data
def test_the_real_cifar10():
    source = read_source(CIFAR10.folder(TRAIN_FILES[0]))
    counts = torch.bincount(source.train.targets)
    assert counts.tolist() == [len(source.train) // 10] * 10
    assert source.classes == CIFAR10.classes
    # The channel means that everybody normalises with; a sample comes near them.
    expected = torch.tensor([0.4914, 0.4822, 0.4465])
    assert torch.allclose(source.train.inputs.mean((0, 2, 3)), expected, atol=0.01)
