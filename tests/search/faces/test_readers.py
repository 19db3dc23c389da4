"""Readers of published sets, on files that are written as their owners lay them out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expunge.errors import BadFile, BadSetting
from expunge.search.faces import dynamic_images, person_folds, read_ck_plus, read_fer2013, read_london, read_micro, read_raf_db


def picture(path: Path, value: int, size: tuple[int, int] = (10, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


# ---- FER2013 ----------------------------------------------------------------------------------------------------------


def fer(path: Path, *rows: str, header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def grey(value: int, count: int = 48 * 48) -> str:
    return " ".join([str(value)] * count)


def test_fer2013(tmp_path: Path) -> None:
    ramp = " ".join(str(number % 256) for number in range(48 * 48))
    rows = (f"3,{ramp},Training", f"0,{grey(9)},Training", f"6,{grey(9)},PublicTest", f"3,{ramp},PrivateTest")
    fer(tmp_path / "fer2013.csv", *rows)
    made = read_fer2013(tmp_path)
    assert [made.classes[label] for label in made.labels] == ["happiness", "anger", "neutral", "happiness"]
    assert made.rows("private test").tolist() == [3]
    assert (made.read(0).flatten()[:300] * 255).round().tolist() == [number % 256 for number in range(300)]
    assert made.tensor().shape == (4, 1, 48, 48)
    found = made.duplicates()
    assert found.across == {("private test", "train"): 1, ("public test", "train"): 1}
    assert found.conflicting == ((1, 2),)
    assert made.persons is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"7,{grey(0)},Training", "line 3: emotion is '7'; expected 0 to 6"),
        (f"0,{grey(0)},Test", "line 3: Usage is 'Test'"),
        (f"0,{grey(0, 2303)},Training", "line 3 has 2,303 pixels"),
        (f"0,{grey(256)},Training", "line 3: pixels run from 256 to 256"),
        (f"0,{grey(0, 2303)} x,Training", "line 3: pixels are not whole numbers"),
        ("0", "line 3: Usage is 'None'"),
    ],
)
def test_wrong_rows_of_fer2013_are_named(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_fer2013(fer(tmp_path / "fer.csv", f"0,{grey(0)},Training", row))


def test_wrong_files_of_fer2013(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"kaggle\.com.*Terms"):
        read_fer2013(tmp_path)
    with pytest.raises(BadFile, match="no column Usage"):
        read_fer2013(fer(tmp_path / "a.csv", header="emotion,pixels"))
    with pytest.raises(BadFile, match="no rows"):
        read_fer2013(fer(tmp_path / "b.csv"))
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="cannot be read"):
        read_fer2013(tmp_path / "c.csv")


# ---- RAF-DB -----------------------------------------------------------------------------------------------------------


def raf(root: Path, *lines: str) -> Path:
    (root / "EmoLabel").mkdir(parents=True)
    (root / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    for name, value in (("train_00001", 10), ("train_00002", 200), ("test_0001", 200)):
        picture(root / f"Image/aligned/{name}_aligned.jpg", value, (100, 100))
    return root


def test_raf_db(tmp_path: Path) -> None:
    raf(tmp_path / "basic", "train_00001.jpg 5", "train_00002.jpg 4", "", "test_0001.jpg 7")
    for root in (tmp_path, tmp_path / "basic"):
        made = read_raf_db(root, size=20)
        assert [made.classes[label] for label in made.labels] == ["sadness", "happiness", "neutral"]
        assert made.rows("test").tolist() == [2]
        assert made.read(1).shape == (3, 20, 20)
        assert made.read(1).mean().item() == pytest.approx(200 / 255, abs=0.01)
    assert read_raf_db(tmp_path, grayscale=True).read(0).shape == (1, 100, 100)
    assert made.duplicates().across == {("test", "train"): 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train_00001.jpg 8", "line 2 is 'train_00001.jpg 8'; expected a file and a class from 1 to 7"),
        ("train_00001.jpg", "line 2 is"),
        ("other_1.jpg 3", "belongs to no part"),
        ("../train_1.jpg 3", "belongs to no part"),
        ("train_00009.jpg 3", r"train_00009_aligned\.jpg is not there"),
    ],
)
def test_wrong_lines_of_raf_db_are_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_raf_db(raf(tmp_path, "train_00001.jpg 5", line))


def test_wrong_folders_of_raf_db(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"whdeng\.cn.*non-commercial"):
        read_raf_db(tmp_path)
    made = read_raf_db(raf(tmp_path, "train_00001.jpg 5"))
    (tmp_path / "Image/aligned/train_00001_aligned.jpg").write_bytes(b"no picture")
    with pytest.raises(BadFile, match=r"train_00001_aligned\.jpg cannot be read"):
        made.read(0)
    with pytest.raises(BadSetting, match="size"):
        read_raf_db(tmp_path, size=0)
    (tmp_path / "EmoLabel/list_patition_label.txt").write_text("\n")
    with pytest.raises(BadFile, match="has no lines"):
        read_raf_db(tmp_path)


# ---- CK+ --------------------------------------------------------------------------------------------------------------


def ck(root: Path, label: str = "3.0000000e+00") -> Path:
    for person, sequence, frames in (("S005", "001", 4), ("S010", "004", 5)):
        for frame in range(1, frames + 1):
            picture(root / f"cohn-kanade-images/{person}/{sequence}/{person}_{sequence}_{frame:08}.png", 10 * frame)
        folder = root / f"Emotion/{person}/{sequence}"
        folder.mkdir(parents=True)
        (folder / f"{person}_{sequence}_{frames:08}_emotion.txt").write_text(f"   {label}\n")
    (root / "Emotion/S010/005").mkdir()
    return root


def test_ck_plus_as_published(tmp_path: Path) -> None:
    made = read_ck_plus(ck(tmp_path), size=6)
    assert len(made) == 6
    assert made.persons.tolist() == ["S005"] * 3 + ["S010"] * 3
    assert set(made.labels.tolist()) == {made.classes.index("disgust")}
    assert (made.tensor().mean((1, 2, 3)) * 255).tolist() == pytest.approx([20, 30, 40, 30, 40, 50])
    clips = read_ck_plus(tmp_path, last=0, clips=True)
    assert [len(clips.read(row)) for row in range(2)] == [4, 5]
    assert clips.apex.tolist() == [3, 4]
    assert clips.columns["sequence"].tolist() == ["S005_001", "S010_004"]


def test_ck_48(tmp_path: Path) -> None:
    for name in ("anger/S010_004_00000017.png", "happy/s011_002_00000009.png", "other/x.png"):
        picture(tmp_path / name, 100, (48, 48))
    made = read_ck_plus(tmp_path)
    assert [made.classes[label] for label in made.labels] == ["anger", "happiness"]
    assert made.persons.tolist() == ["S010", "S011"]
    assert made.read(0).shape == (1, 48, 48)
    with pytest.raises(BadSetting, match="no clips"):
        read_ck_plus(tmp_path, clips=True)
    picture(tmp_path / "fear/face.png", 100)
    with pytest.raises(BadFile, match=r"face\.png: the name says no person"):
        read_ck_plus(tmp_path)


def test_wrong_folders_of_ck_plus(tmp_path: Path) -> None:
    for root in (tmp_path / "none", tmp_path):
        with pytest.raises(BadFile, match=r"jeffcohn\.net.*research only"):
            read_ck_plus(root)
    with pytest.raises(BadFile, match="says class 9; expected 1 to 7"):
        read_ck_plus(ck(tmp_path / "a", "9.0"))
    with pytest.raises(BadFile, match="as the number of a class"):
        read_ck_plus(ck(tmp_path / "b", "happy"))
    (tmp_path / "c/Emotion").mkdir(parents=True)
    with pytest.raises(BadFile, match="cohn-kanade-images"):
        read_ck_plus(tmp_path / "c")
    (tmp_path / "c/cohn-kanade-images").mkdir()
    with pytest.raises(BadFile, match=r"_emotion\.txt"):
        read_ck_plus(tmp_path / "c")
    with pytest.raises(BadSetting, match="last"):
        read_ck_plus(tmp_path, last=-1)


# ---- CASME II, SAMM, SMIC ---------------------------------------------------------------------------------------------

ROWS = (
    "CASME II,sub01,EP02_01f,3,5,8,happiness",
    "SAMM,sub01,006_1_2,1,2,4,0",
    "SMIC,s1,s1_ne_01,1,,3,surprise",
)


def micro(root: Path, *rows: str, header: str = "dataset,subject,clip,onset,apex,offset,label") -> Path:
    for folder, first, last in (("CASME II/sub01/EP02_01f", 1, 9), ("SAMM/sub01/006_1_2", 1, 4), ("SMIC/s1/s1_ne_01", 1, 3)):
        for frame in range(first, last + 1):
            picture(root / folder / f"img{frame}.png", 10 * frame)
    (root / "clips.csv").write_text("\n".join((header, *rows)) + "\n")
    return root / "clips.csv"


def test_micro_expressions(tmp_path: Path) -> None:
    made = read_micro(micro(tmp_path, *ROWS))
    assert [made.classes[label] for label in made.labels] == ["positive", "negative", "surprise"]
    assert made.persons.tolist() == ["CASME II/sub01", "SAMM/sub01", "SMIC/s1"]
    assert made.apex.tolist() == [2, 1, -1]
    assert (made.read(0)[:, 0, 0, 0] * 255).tolist() == pytest.approx([30, 40, 50, 60, 70, 80])
    assert made.note == "1 of 3 clips have no annotated apex."
    assert made.columns["dataset"].tolist() == ["CASME II", "SAMM", "SMIC"]
    assert dynamic_images(made).shape == (3, 1, 8, 10)
    assert dynamic_images(made, crop=lambda clip: clip[..., :4, :4], mode="linear").shape == (3, 1, 4, 4)
    rise = dynamic_images(made.subset([0]), onset_apex=True, mode="linear")
    assert (rise * 255).unique().tolist() == pytest.approx([2 * (50 - 30)], abs=1e-3)
    with pytest.raises(BadSetting, match="s1_ne_01: the apex is not known"):
        dynamic_images(made, onset_apex=True)
    assert not made.duplicates().groups


def test_subjects_of_two_sets_are_two_persons(tmp_path: Path) -> None:
    made = read_micro(micro(tmp_path, *(row.replace("happiness", "0").replace("surprise", "0") for row in ROWS)))
    folds = person_folds(made.persons, made.labels, 3)
    assert sorted(len(fold.test) for fold in folds) == [1, 1, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("SAMM,sub01,006_1_2,1,2,4,other", "line 2: label 'other' is not known"),
        ("SAMM,sub01,006_1_2,1,2,4,3", "line 2: label '3'"),
        ("SAMM,sub01,006_1_2,4,2,1,0", "the onset, frame 4, lies after the offset, frame 1"),
        ("SAMM,sub01,006_1_2,one,2,4,0", "onset is 'one'"),
        ("SAMM,sub01,006_1_2,1,2,9,0", "offset, number 9, is not in"),
        ("SAMM,sub01,006_1_2,0,2,4,0", "onset, number 0, is not in"),
        ("SAMM,sub01,006_1_2,1,7,4,0", "apex is frame 7, which is not among frames 1 to 4"),
        ("SAMM,sub01,none,1,2,4,0", "line 2: folder of frames not found"),
        ("SAMM,..,006_1_2,1,2,4,0", "subject is '..'"),
        ("SAMM,,006_1_2,1,2,4,0", "subject is ''"),
    ],
)
def test_wrong_rows_of_micro_expressions_are_named(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_micro(micro(tmp_path, row))


def test_wrong_files_of_micro_expressions(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"CASME II at casme.*Terms"):
        read_micro(tmp_path / "none.csv")
    with pytest.raises(BadFile, match="no column offset or label"):
        read_micro(micro(tmp_path, header="dataset,subject,clip,onset,apex"))
    with pytest.raises(BadFile, match="no rows"):
        read_micro(micro(tmp_path))
    with pytest.raises(BadSetting, match="size"):
        read_micro(micro(tmp_path, *ROWS), size=0)
    picture(tmp_path / "SAMM/sub01/006_1_2/other2.png", 0)
    with pytest.raises(BadFile, match="two frames of one number, such as 2"):
        read_micro(micro(tmp_path, *ROWS))
    (tmp_path / "SAMM/sub01/006_1_2/other2.png").unlink()
    made = read_micro(micro(tmp_path, *ROWS))
    picture(tmp_path / "SMIC/s1/s1_ne_01/img2.png", 0, (4, 4))
    with pytest.raises(BadFile, match=r"img2\.png has 4 x 4 pixels"):
        made.read(2)


def test_clips_of_two_sizes_need_a_size(tmp_path: Path) -> None:
    table = micro(tmp_path, *ROWS)
    for frame in range(1, 4):
        picture(tmp_path / f"SMIC/s1/s1_ne_01/img{frame}.png", frame, (12, 12))
    with pytest.raises(BadSetting, match=r"s1_ne_01 has shape \(1, 12, 12\).*give the reader a size"):
        dynamic_images(read_micro(table))
    assert dynamic_images(read_micro(table, size=6)).shape == (3, 1, 6, 6)


# ---- London -----------------------------------------------------------------------------------------------------------


def london(path: Path, **changes: np.ndarray) -> Path:
    draw = np.random.default_rng(0)
    arrays = {
        "neutral": draw.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        "smiling": draw.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        "landmarks": draw.random((3, 189, 2), dtype=np.float32),
        "person": np.array(["001", "002", "003"]),
        "age": np.array([20.0, np.nan, 30.0]),
        "gender": np.array(["female", "male", "female"]),
    }
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **{name: values for name, values in (arrays | changes).items() if values is not None})
    return path


def test_london_is_found_where_public_sets_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = london(tmp_path / "faces/london_128.npz")
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    found = read_london()
    assert np.array_equal(read_london(path.parent).neutral, found.neutral)
    made = found.expressions()
    assert made.labels.tolist() == [0, 1] * 3
    assert made.persons.tolist() == ["001", "001", "002", "002", "003", "003"]
    assert (made.read(3)[0] * 255).round().numpy().astype(np.uint8).tolist() == found.smiling[1].tolist()
    assert "CC BY 4.0" in made.note and "DeBruine" in made.note


def test_london_that_is_not_there_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile, match=r"london_128\.npz.*EXPUNGE_DATA is not set.*figshare"):
        read_london()
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    with pytest.raises(BadFile, match=r"london_128\.npz was looked for in"):
        read_london()
    path = london(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadFile, match="cannot be read as npz"):
        read_london(path)
    with pytest.raises(BadFile, match="no array landmarks"):
        read_london(london(tmp_path / "b.npz", landmarks=None))
    with pytest.raises(BadFile, match="landmarks must be of shape"):
        read_london(london(tmp_path / "c.npz", landmarks=np.zeros((2, 189, 2))))
    with pytest.raises(BadFile, match="smiling must be bytes"):
        read_london(london(tmp_path / "d.npz", smiling=np.zeros((3, 8, 8))))
    with pytest.raises(BadFile, match="cannot be read"):
        read_london(london(tmp_path / "e.npz", person=np.array(["a", None, "b"], dtype=object)))
