"""One door to all data: by name, by folder, by import string."""

import os
import struct
import sys

import pytest
import torch
from PIL import Image

from expunge.data import Records, available, columns_of, load, targets_of
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def write_mnist(folder, count=6):
    folder.mkdir()
    for start in ("train", "t10k"):
        (folder / f"{start}-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, count, 28, 28) + bytes(784 * count))
        (folder / f"{start}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + bytes(range(count)))


def write_images(folder):
    for name, color in (("cat", 10), ("dog", 20)):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (4, 4), color).save(folder / name / f"{number}.png")


def test_the_names_are_described_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    write_mnist(tmp_path / "mnist")
    write_mnist(tmp_path / "fashion-mnist")
    (tmp_path / "cifar10").mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / "cifar10" / name).write_bytes(bytes(3073 * 2))
    shapes = {name: load(name).input_shape for name in ("digits", "mnist", "fashion-mnist", "cifar10")}
    assert shapes == {
        "digits": (1, 8, 8),
        "mnist": (1, 28, 28),
        "fashion-mnist": (1, 28, 28),
        "cifar10": (3, 32, 32),
    }
    assert load("mnist").name == "mnist" and load("fashion-mnist").classes[0] == "T-shirt/top"
    assert all(available(name) for name in shapes)


@pytest.mark.parametrize(
    ("name", "file", "address"),
    [
        ("mnist", "train-images-idx3-ubyte", "yann.lecun.com/exdb/mnist"),
        ("fashion-mnist", "train-images-idx3-ubyte", "github.com/zalandoresearch/fashion-mnist"),
        ("cifar10", "data_batch_1.bin", "www.cs.toronto.edu/~kriz/cifar.html"),
    ],
)
def test_missing_files_are_named_with_their_place_and_publisher(tmp_path, monkeypatch, name, file, address):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile) as unset:
        load(name)
    assert all(part in str(unset.value) for part in (file, f"$EXPUNGE_DATA/{name}", "EXPUNGE_DATA is not set", address))
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    with pytest.raises(BadFile) as empty:
        load(name)
    assert all(part in str(empty.value) for part in (file, str(tmp_path / name), address, "set EXPUNGE_DATA"))
    assert not available(name)


def test_folders_are_told_apart_by_what_they_hold(tmp_path):
    write_mnist(tmp_path / "digits-of-mine")
    write_images(tmp_path / "pets")
    (tmp_path / "small").mkdir()
    for name in ("data_batch_2.bin", "test_batch.bin"):
        (tmp_path / "small" / name).write_bytes(bytes(3073))
    idx, images, cifar = (load(tmp_path / name) for name in ("digits-of-mine", "pets", "small"))
    assert (idx.name, idx.input_shape, len(idx.classes)) == ("digits-of-mine", (1, 28, 28), 6)
    assert (cifar.name, cifar.input_shape) == ("small", (3, 32, 32))
    assert (images.name, images.input_shape, images.classes) == ("pets", (3, 32, 32), ("cat", "dog"))
    assert load(str(tmp_path / "pets"), size=9, grayscale=True).input_shape == (1, 9, 9)


def test_a_folder_with_some_of_the_files_says_which_are_missing(tmp_path):
    write_mnist(tmp_path / "part")
    (tmp_path / "part" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadFile, match=r"t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz was looked for in"):
        load(tmp_path / "part")


def test_only_the_first_rows_are_taken():
    whole, part = load("digits"), load("digits", train=100, holdout=7)
    assert (len(part.train), len(part.holdout)) == (100, 7)
    assert torch.equal(part.train.inputs, whole.train.inputs[:100])
    with pytest.raises(BadSetting, match="digits, train: cannot take the first 2,000 rows: there are only 1,437"):
        load("digits", train=2000)
    with pytest.raises(BadSetting, match=r"digits, holdout: .* at least 1, not 0"):
        load("digits", holdout=0)


def test_columns_from_a_file_follow_the_rows(tmp_path):
    path = tmp_path / "who.csv"
    path.write_text("user_id\n" + "".join(f"u{row}\n" for row in range(1437)))
    source = load("digits", train=3, columns=path)
    assert columns_of(source.train)["user_id"].tolist() == ["u0", "u1", "u2"] and columns_of(source.holdout) == {}
    path.write_text("user_id\nu0\n")
    with pytest.raises(BadFile, match="has 1 lines below its header, but the training set has 1,437 rows"):
        load("digits", columns=path)


def test_columns_of_a_folder_are_matched_by_file(tmp_path):
    write_images(tmp_path / "pets")
    files = sorted(path.relative_to(tmp_path / "pets").as_posix() for path in (tmp_path / "pets").glob("*/*.png"))
    path = tmp_path / "who.csv"
    path.write_text("owner,file\n" + "".join(f"owner of {file},{file}\n" for file in reversed(files)))
    train = load(tmp_path / "pets", columns=path).train
    assert len(train) == 8
    assert columns_of(train)["owner"].tolist() == [f"owner of {file}" for file in columns_of(train)["file"]]
    path.write_text("owner,file\na,cat/0.png\n")
    with pytest.raises(BadFile, match=r"has no line for [78] of 8 training files, such as "):
        load(tmp_path / "pets", columns=path)
    path.write_text("owner,file\na,cat/0.png\nb,cat/0.png\n")
    with pytest.raises(BadFile, match="1 files are listed more than once"):
        load(tmp_path / "pets", columns=path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minst", r"there is no data 'minst' \(did you mean mnist\?\)"),
        ("nowhere/at/all", "it is no folder, no import string"),
        ("no_such_module_anywhere:make", "there is no module 'no_such_module_anywhere'"),
    ],
)
def test_unknown_data_lists_what_there_is(name, message):
    with pytest.raises(BadSetting, match=message):
        load(name)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(BadFile, match="is a file; expected a folder"):
        load(tmp_path / "x.txt")


CODE = """
import torch
from torch.utils.data import TensorDataset
from expunge.data import Records, Source
def part(n): return TensorDataset(torch.zeros(n, 3), torch.arange(n) % 2)
def pair(): return part(6), part(2)
def ready(): return Source("mine", Records(torch.zeros(2, 4), torch.zeros(2)), part(2), ("a",), "a note")
def reals(): return TensorDataset(torch.zeros(2, 3), torch.zeros(2)), part(2)
def one(): return part(6)
def odd(): return part(6), 3
def bad(): return 1 / 0
"""


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_data.py").write_text(CODE)
    yield
    sys.modules.pop("own_data", None)


def test_the_users_own_function_gives_data(own_data, tmp_path):
    pair = load("own_data:pair", train=5)
    assert (pair.name, pair.input_shape, pair.classes) == ("pair", (3,), ("0", "1"))
    assert targets_of(pair.train).tolist() == [0, 1, 0, 1, 0]
    assert load("own_data:ready").note == "a note" and isinstance(load("own_data:ready").train, Records)
    assert load("own_data:reals").classes == ()
    (tmp_path / "who.csv").write_text("user\na\nb\nc\nd\ne\nf\n")
    assert columns_of(load("own_data:pair", columns="who.csv", train=2).train)["user"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one", r"returned a TensorDataset; expected a Source or a pair \(train, holdout\)"),
        ("odd", "returned a int in its pair; expected two datasets"),
        ("bad", "calling it failed: ZeroDivisionError"),
    ],
)
def test_what_the_users_function_returns_is_checked(own_data, name, message):
    with pytest.raises(BadSetting, match=message):
        load(f"own_data:{name}")


def test_a_folder_is_available():
    assert available(os.curdir) and not available("minst")


@pytest.mark.data
@real_data
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_files_are_found_by_name(name):
    source = load(name, train=200, holdout=50)
    assert available(name) and len(source.train) == 200 and set(targets_of(source.train)) == set(range(10))
