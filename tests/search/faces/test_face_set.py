"""Sets of faces: rows read when asked for, and copies that are found and named."""

import numpy as np
import pytest
import torch

from expunge.data.records import Records
from expunge.errors import BadSetting
from expunge.search.faces import FaceSet


def faces(pictures: list[float], labels: list[int], parts: list[str] | None = None, **more: object) -> FaceSet:
    """Pictures of one grey value each."""
    return FaceSet(
        "made",
        lambda row: torch.full((1, 2, 2), pictures[row]),
        np.array(labels),
        ("no", "yes"),
        np.array([f"{row}.png" for row in range(len(pictures))]),
        parts=None if parts is None else np.array(parts),
        **more,
    )


COPIES = faces([0.1, 0.2, 0.1, 0.1, 0.3, 0.2, 0.4], [0, 1, 0, 1, 0, 1, 0], ["train", "train", "train", "a", "train", "b", "b"])


def test_copies_are_found() -> None:
    found = COPIES.duplicates()
    assert found.groups == ((0, 2, 3), (1, 5))
    assert found.conflicting == ((0, 2, 3),)
    assert found.across == {("a", "train"): 1, ("b", "train"): 1}
    assert str(found) == (
        "made: 3 of 7 rows are copies of another, pixel by pixel. 1 pictures are in both a and train. "
        "1 pictures are in both b and train. 1 pictures have copies with different labels."
    )


def test_training_gives_up_what_a_test_has() -> None:
    kept = COPIES.duplicates().rows_to_keep()
    assert kept.tolist() == [3, 4, 5, 6]
    again = COPIES.subset(kept)
    assert not again.duplicates().groups
    assert again.rows("train").tolist() == [1]


def test_without_parts_the_first_copy_stays() -> None:
    found = faces([0.1, 0.1, 0.2], [0, 0, 1]).duplicates()
    assert found.rows_to_keep().tolist() == [0, 2]
    assert found.across == {}
    assert "no two of 2 rows" in str(faces([0.1, 0.2], [0, 1]).duplicates())


def test_the_same_bytes_in_another_shape_are_no_copies() -> None:
    shapes = [(1, 2, 4), (1, 4, 2)]
    made = FaceSet("made", lambda row: torch.zeros(shapes[row]), np.array([0, 0]), ("no",), np.array(["a", "b"]))
    assert not made.duplicates().groups
    with pytest.raises(BadSetting, match=r"b has shape \(1, 4, 2\), and a has \(1, 2, 4\)"):
        made.tensor()


def test_rows_are_read_when_asked_for() -> None:
    read = []
    made = FaceSet(
        "made",
        lambda row: read.append(row) or torch.full((3, 1, 2, 2), float(row)),
        np.array([0, 1, 0]),
        ("no", "yes"),
        np.array(["a", "b", "c"]),
        persons=np.array(["ada", "bo", "ada"]),
        columns={"age": np.array([1, 2, 3])},
    )
    assert read == []
    records = made.subset([2, 1]).records(lambda clip: clip.mean(0), rows=[1, 0])
    assert read == [1, 2]
    assert isinstance(records, Records)
    assert records.inputs.shape == (2, 1, 2, 2) and records.inputs[:, 0, 0, 0].tolist() == [1, 2]
    assert records.targets.tolist() == [1, 0]
    assert {name: values.tolist() for name, values in records.columns.items()} == {
        "age": [2, 3],
        "file": ["b", "c"],
        "person": ["bo", "ada"],
    }


def test_wrong_sets_are_refused() -> None:
    with pytest.raises(BadSetting, match="parts must hold one value for each of 2 rows"):
        faces([0.1, 0.2], [0, 1], ["train"])
    with pytest.raises(BadSetting, match="labels must be 0 to 1, and reach 2"):
        faces([0.1, 0.2], [0, 2])
    with pytest.raises(BadSetting, match="no rows"):
        faces([], [])
    with pytest.raises(BadSetting, match="no part 'test'; it has a, b, train"):
        COPIES.rows("test")
    with pytest.raises(BadSetting, match="it has none"):
        faces([0.1], [0]).rows("train")
    with pytest.raises(BadSetting, match="no rows were asked for"):
        COPIES.tensor(rows=[])
