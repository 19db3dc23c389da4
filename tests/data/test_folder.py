"""Folders of images by class, with and without a holdout of their own."""

import numpy as np
import pytest
import torch
from PIL import Image

from expunge.data.folder import read_folder, read_image
from expunge.errors import BadFile, BadSetting


def paint(path, color, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def animals(tmp_path):
    for number in range(10):
        paint(tmp_path / "cat" / f"{number}.png", (200, number, 0))
    for number in range(5):
        paint(tmp_path / "dog" / f"{number}.png", (0, number, 100))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_one_in_five_is_held_out_of_each_class(animals):
    source = read_folder(animals, size=8)
    assert source.classes == ("cat", "dog") and source.input_shape == (3, 8, 8)
    assert torch.bincount(source.train.targets).tolist() == [8, 4]
    assert torch.bincount(source.holdout.targets).tolist() == [2, 1]
    train, holdout = set(source.train.columns["file"]), set(source.holdout.columns["file"])
    assert not train & holdout and len(train | holdout) == 15
    assert source.note == "There is no holdout folder: 3 of 15 images are held out, drawn with seed 0."
    again = read_folder(animals, size=8)
    assert again.holdout.columns["file"].tolist() == source.holdout.columns["file"].tolist()


def test_pixels_targets_and_columns_belong_together(animals):
    source = read_folder(animals, size=5)
    for (inputs, target), file, name in zip(
        source.train, source.train.columns["file"], source.train.columns["class"], strict=True
    ):
        number = int(file.split("/")[1].removesuffix(".png"))
        expected = (200, number, 0) if file.startswith("cat/") else (0, number, 100)
        assert (inputs * 255).round().amax((1, 2)).tolist() == list(expected)
        assert source.classes[target] == name == file.split("/")[0]


def test_the_first_rows_are_of_all_classes(animals):
    assert read_folder(animals).train.targets[:4].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("held", ["holdout", "test", "val"])
def test_a_holdout_folder_is_used_as_it_is(tmp_path, held):
    for number in range(3):
        paint(tmp_path / "train" / "cat" / f"{number}.jpg", (200, 0, 0))
        paint(tmp_path / "train" / "dog" / f"{number}.jpg", (0, 0, 100))
    paint(tmp_path / held / "dog" / "9.jpg", (0, 0, 100))
    source = read_folder(tmp_path)
    assert len(source.train) == 6 and source.note == ""
    assert source.holdout.columns["file"].tolist() == [f"{held}/dog/9.jpg"] and source.holdout.targets.tolist() == [1]


def test_a_train_folder_alone_gives_some_of_its_images(tmp_path):
    for number in range(5):
        paint(tmp_path / "train" / "cat" / f"{number}.png", (200, 0, 0))
    source = read_folder(tmp_path)
    assert (len(source.train), len(source.holdout)) == (4, 1) and source.classes == ("cat",)


def test_a_class_may_be_called_train(tmp_path):
    for number in range(5):
        paint(tmp_path / "train" / f"{number}.png", (9, 9, 9))
        paint(tmp_path / "plane" / f"{number}.png", (1, 1, 1))
    paint(tmp_path / "train" / "thumbnails" / "0.png", (9, 9, 9))
    assert read_folder(tmp_path).classes == ("plane", "train")


def test_grayscale_has_one_channel(animals):
    source = read_folder(animals, size=4, grayscale=True)
    assert source.input_shape == (1, 4, 4)
    dog = source.train.inputs[source.train.columns["file"] == "dog/0.png"]
    assert (dog * 255).round().unique().tolist() == [11.0]  # 0.114 * 100, the luma of ITU-R 601


def test_images_with_16_bits_are_scaled_not_cut(tmp_path):
    Image.fromarray(np.array([[0, 256], [32768, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", 2, grayscale=True)[0].tolist() == [[0, 1], [128, 255]]
    assert read_image(tmp_path / "deep.png", 2).shape == (3, 2, 2)


def test_an_image_is_turned_as_its_camera_was(tmp_path):
    image = Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    image.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png", 2, grayscale=True)[0].tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize("damage", [lambda good: b"no image at all", lambda good: good[: len(good) // 2], lambda _: b""])
def test_an_image_that_cannot_be_read_is_named(animals, damage):
    path = animals / "dog" / "3.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadFile, match=r"dog.3\.png cannot be read as an image: .*; replace or remove the file"):
        read_folder(animals)


def test_images_of_unknown_range_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "deep.tiff")
    with pytest.raises(BadFile, match="mode F, whose range is not known"):
        read_image(tmp_path / "deep.tiff", 2)


def test_folders_that_hold_no_classes_are_refused(tmp_path):
    with pytest.raises(BadFile, match="folder of images not found"):
        read_folder(tmp_path / "absent")
    with pytest.raises(BadFile, match="has no folders: expected one folder of images for each class"):
        read_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(BadFile, match=r"class folder .*cat holds no images \(\.bmp, "):
        read_folder(tmp_path)
    paint(tmp_path / "cat" / "1.png", (1, 1, 1))
    with pytest.raises(BadFile, match="has 1 images, and no class has two"):
        read_folder(tmp_path)
    with pytest.raises(BadSetting, match="size must be at least 1 pixel, not 0"):
        read_folder(tmp_path, size=0)


def test_a_holdout_class_must_be_trained_on(tmp_path):
    paint(tmp_path / "train" / "cat" / "1.png", (1, 1, 1))
    (tmp_path / "test").mkdir()
    with pytest.raises(BadFile, match="test holds no images in folders of the classes cat"):
        read_folder(tmp_path)
    paint(tmp_path / "test" / "cow" / "1.png", (1, 1, 1))
    with pytest.raises(BadFile, match=r"class folder .*cow has no partner to train on; the classes are cat"):
        read_folder(tmp_path)
