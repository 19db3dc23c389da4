"""Faces whose names hold their age: both layouts, strangers passed over, people kept apart by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from expunge.data import load
from expunge.data.faces import holds_faces, read_faces
from expunge.errors import BadFile, BadSetting


def paint(folder, *names):
    """One image a name; its red is the number of the image, its blue 100."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (6, 4), (number, 0, 100)).save(folder / name, format="PNG")
    return folder


UTK = [f"{20 + number}_{number % 2}_{number % 5}_2017011617452{number}.jpg.chip.jpg" for number in range(10)]
AGE_DB = [f"{number}_{('GretaGarbo', 'Cary_Grant')[number % 2]}_{30 + number}_{'fm'[number % 2]}.jpg" for number in range(10)]


def test_ages_are_targets_and_belong_to_their_images(tmp_path):
    source = read_faces(paint(tmp_path / "utk", *UTK), size=5)
    assert (source.name, source.input_shape, source.classes) == ("utk", (3, 5, 5), ())
    assert (len(source.train), len(source.holdout)) == (8, 2)
    ages = source.train.columns["age"]
    assert (source.target.mean, source.target.scale) == (pytest.approx(ages.mean()), pytest.approx(ages.std()))
    assert (source.target.name, source.target.unit, source.target.lowest) == ("age", "years", 0)
    for part in (source.train, source.holdout):
        assert part.targets.shape == (len(part), 1) and part.targets.dtype == torch.float32
        assert np.allclose(part.targets[:, 0], (part.columns["age"] - ages.mean()) / ages.std())
        for inputs, file, age, gender in zip(
            part.inputs, *(part.columns[name] for name in ("file", "age", "gender")), strict=True
        ):
            number = UTK.index(file)
            assert (inputs * 255).round().amax((1, 2)).tolist() == [number, 0, 100]
            assert (age, gender) == (20 + number, ("male", "female")[number % 2])
    assert set(source.train.columns) == {"file", "age", "gender"}
    assert source.note == "Files named as those of UTKFace; 2 of 10 are held out, drawn with seed 0."


def test_the_split_is_whole_and_fixed(tmp_path):
    folder = paint(tmp_path / "utk", *UTK)
    one, other = read_faces(folder), read_faces(folder)
    files = [*one.train.columns["file"], *one.holdout.columns["file"]]
    assert sorted(files) == sorted(UTK) and one.holdout.columns["file"].tolist() == other.holdout.columns["file"].tolist()


def test_a_person_has_all_their_images(tmp_path):
    source = read_faces(paint(tmp_path / "agedb", *AGE_DB))
    columns = source.train.columns
    assert set(columns["person"]) == {"GretaGarbo", "Cary_Grant"} and len(columns["person"]) == 8
    for file, age, gender, person in zip(*(columns[name] for name in ("file", "age", "gender", "person")), strict=True):
        number = int(file.partition("_")[0])
        expected = (30 + number, ("female", "male")[number % 2], ("GretaGarbo", "Cary_Grant")[number % 2])
        assert (age, gender, person) == expected
    assert source.note.startswith("Files named as those of AgeDB; ")


def test_grey_faces_have_one_channel(tmp_path):
    inputs = read_faces(paint(tmp_path / "utk", *UTK), size=3, grayscale=True).train.inputs
    assert inputs.shape == (8, 1, 3, 3) and 0 < inputs.max() <= 1


def test_other_files_are_passed_over_and_counted(tmp_path):
    folder = paint(tmp_path / "utk", *UTK, "61_1_20170109142408075.jpg.chip.jpg", "holiday.png", ".hidden.jpg")
    (folder / "notes.txt").write_text("not an image")
    source = read_faces(folder)
    assert len(source.train) + len(source.holdout) == 10
    assert source.note.endswith("2 images with other names are passed over.")


@pytest.mark.parametrize(("strangers", "expected"), [(0, True), (2, True), (3, False)])
def test_four_in_five_make_a_folder_of_faces(tmp_path, strangers, expected):
    names = [f"stranger{number}.png" for number in range(strangers)]
    assert holds_faces(paint(tmp_path / "some", *UTK[:8], *names)) is expected


def test_two_layouts_are_not_added_up(tmp_path):
    assert not holds_faces(paint(tmp_path / "both", *UTK[:5], *AGE_DB[:5]))
    assert not holds_faces(paint(tmp_path / "none"))


def test_load_tells_faces_from_classes(tmp_path):
    assert load(paint(tmp_path / "utk", *UTK), size=7).input_shape == (3, 7, 7)
    paint(tmp_path / "pets").mkdir(exist_ok=True)
    for name in ("cat", "dog"):
        paint(tmp_path / "pets" / name, *(f"{number}.png" for number in range(3)))
    assert load(tmp_path / "pets").classes == ("cat", "dog")


def test_a_folder_that_does_not_do_says_why(tmp_path):
    with pytest.raises(BadFile, match="folder of images not found"):
        read_faces(tmp_path / "absent")
    with pytest.raises(BadFile, match="has 2 images named as UTKFace or AgeDB name them; expected at least 3"):
        read_faces(paint(tmp_path / "few", *UTK[:2]))
    with pytest.raises(BadFile, match="age is 30 in every training row; expected values that differ"):
        read_faces(paint(tmp_path / "same", *(f"30_1_1_{number}.jpg" for number in range(6))))
    with pytest.raises(BadSetting, match="size must be at least 1 pixel, not 0"):
        read_faces(tmp_path, size=0)
    folder = paint(tmp_path / "utk", *UTK)
    (folder / UTK[4]).write_bytes(b"no image")
    with pytest.raises(BadFile, match=r"24_0_4_.*cannot be read as an image: .*; replace or remove the file"):
        read_faces(folder)
