"""Tables of classes: which values are classes, who is held out, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.data import load, read_class_table, read_table
from expunge.data.class_table import read_any_table
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def written(tmp_path, header: str, *columns, name: str = "table.csv") -> Path:
    path = tmp_path / name
    rows = [",".join(map(str, values)) for values in zip(*columns, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def named(source) -> dict[int, str]:
    """The class of each row of the file."""
    return {
        int(row): source.classes[target]
        for part in (source.train, source.holdout)
        for row, target in zip(part.columns["row"], part.targets, strict=True)
    }


COUNT = 30
KINDS = ["pear", "apple", "apple"] * 10


def test_texts_are_classes_in_the_order_of_their_names(tmp_path):
    source = read_class_table(written(tmp_path, "x,y", range(COUNT), [f" {kind}" for kind in KINDS]), "y")
    assert source.classes == source.train.classes == ("apple", "pear") and source.target is None
    assert named(source) == dict(enumerate(KINDS))
    assert source.train.targets.dtype == torch.int64 and source.train.targets.shape == (24,)
    assert (source.name, source.input_shape) == ("table", (1,))
    assert source.note == "6 of 30 rows are held out, drawn with seed 0."
    assert list(source.train.columns) == ["row", "x", "y"]


def test_each_class_is_held_out_in_its_proportion_and_rows_are_shuffled(tmp_path):
    source = read_class_table(written(tmp_path, "x,y", range(COUNT), KINDS), "y", holdout=0.3)
    assert np.bincount(source.holdout.targets).tolist() == [6, 3]
    rows = source.train.columns["row"]
    assert not np.array_equal(rows, np.sort(rows))
    again = read_class_table(written(tmp_path, "x,y", range(COUNT), KINDS), "y", holdout=0.3)
    assert np.array_equal(again.train.columns["row"], rows)


def test_inputs_are_encoded_as_for_numbers(tmp_path):
    x, place = [*range(29), ""], ["a", "b", "c"] * 10
    source = read_class_table(written(tmp_path, "x,place,y", x, place, KINDS), "y")
    train = source.train.columns["row"]
    known = np.array([row for row in train if row != 29])
    expected = (np.where(train == 29, np.median(known), train) - known.mean()) / known.std()
    assert np.allclose(source.train.inputs[:, 0], expected)
    assert source.input_shape == ((5,) if 29 in train else (4,))
    assert "Gaps are filled" in source.note


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["Yes", "no", "YES", "No", "y"] * 6, ("no", "Yes")),
        (["t", "f"] * 15, ("f", "t")),
        ([3, 10, 2] * 10, ("2", "3", "10")),
        ([1, 0] * 14 + ["", "?"], ("0", "1")),
        ([f"{number}" for number in (5.0, 7.0)] * 15, ("5", "7")),
    ],
)
def test_yes_and_no_and_whole_numbers(tmp_path, values, classes):
    source = read_class_table(written(tmp_path, "x,y", range(COUNT), values), "y")
    assert source.classes == classes
    assert len(source.train) + len(source.holdout) == sum(value not in ("", "?") for value in values)


def test_yes_in_any_spelling_is_one_class(tmp_path):
    values = ["Yes", "no", "YES", "No", "y"] * 6
    found = named(read_class_table(written(tmp_path, "x,y", range(COUNT), values), "y"))
    assert [found[row] for row in range(5)] == ["Yes", "no", "Yes", "no", "Yes"]


def test_rows_without_a_class_are_left_out(tmp_path):
    source = read_class_table(written(tmp_path, "x,y", range(COUNT + 1), ["", *KINDS]), "y")
    assert 0 not in named(source) and "1 rows without a target are left out." in source.note


def test_more_texts_than_an_input_may_have_are_classes_all_the_same(tmp_path):
    values = [f"kind {number % 60}" for number in range(600)]
    assert len(read_class_table(written(tmp_path, "x,y", range(600), values), "y").classes) == 60


def test_the_kind_of_the_target_decides_where_none_is_stated(tmp_path):
    numbers, texts = written(tmp_path, "x,y", range(COUNT), range(COUNT), name="n.csv"), written(tmp_path, "x,y", KINDS, KINDS)
    assert read_any_table(numbers, "y").target == read_table(numbers, "y").target
    assert read_any_table(texts, "y").classes == ("apple", "pear")
    assert load(texts, target="y", classes=None).classes == ("apple", "pear")
    assert load(numbers, target="x", classes=None).classes == ()
    assert load(numbers, target="y").classes == ()


def test_numbers_become_classes_where_that_is_asked(tmp_path):
    path = written(tmp_path, "x,y", range(COUNT), [0, 1] * 15)
    assert load(path, target="y").target is not None
    assert load(path, target="y", classes=True).classes == ("0", "1")


def test_whoever_needs_numbers_refuses_texts_as_before(tmp_path):
    with pytest.raises(BadFile, match="line 2: target 'y' is 'pear'; expected a finite number"):
        load(written(tmp_path, "x,y", range(COUNT), KINDS), target="y")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["pear"] * COUNT, "target 'y' is 'pear' in every row; expected two classes or more"),
        ([4] * COUNT, "target 'y' is '4' in every row"),
        ([0, 1.5] * 15, "line 3: target 'y' is 1.5; numbers that name classes are whole numbers"),
        ([0, "inf"] * 15, "line 3: target 'y' is 'inf'; expected a finite number"),
        ([*KINDS[:-1], "plum"], r"class .plum. has 1 of 30 rows, 1 to train on and 0 held out; expected at least 2 and 1\. "),
        (["a", *["b"] * 28, "c"], r"\(2 of 3 are as rare\)"),
        ([""] * COUNT, "0 rows have a target; expected at least 10"),
        (["a", "b"] * 4 + [""] * 22, "8 rows have a target"),
    ],
)
def test_targets_that_do_not_do_say_why(tmp_path, values, message):
    path = written(tmp_path, "x,y", range(COUNT), values)
    with pytest.raises(BadFile, match=message) as raised:
        read_class_table(path, "y")
    assert str(path) in str(raised.value)


def test_a_target_that_is_not_there_and_shares_that_are_none(tmp_path):
    path = written(tmp_path, "x,kind", range(COUNT), KINDS)
    for read in (read_class_table, read_any_table):
        with pytest.raises(BadFile, match=r"has no column 'Kind' \(did you mean kind\?\)"):
            read(path, "Kind")
        with pytest.raises(BadSetting, match="state the target, that is the column to predict; its columns are x, kind"):
            read(path)
    with pytest.raises(BadSetting, match="must be above 0 and below 1, not 1"):
        read_class_table(path, "kind", holdout=1)
    with pytest.raises(BadFile, match="none of the columns besides the target can be an input"):
        read_class_table(written(tmp_path, "kind", KINDS), "kind")


@real_data
def test_a_census():
    source = read_class_table(Path(os.environ["EXPUNGE_DATA"]) / "tabular" / "adult.csv", "income")
    assert source.classes == ("<=50K", ">50K") and (len(source.train), len(source.holdout)) == (26_049, 6_512)
    shares = [part.targets.double().mean().item() for part in (source.train, source.holdout)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-4)
    assert "workclass (1,836)" in source.note
