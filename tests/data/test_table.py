"""Tables: what each column becomes, computed by hand; damaged files are named with line and value."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.data import available, columns_of, load, read_schema, read_table, take, targets_of
from expunge.data.records import with_columns
from expunge.data.table import read_frame, source_from_frame
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def written(tmp_path, content: str | bytes, name: str = "table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(header: str, *columns) -> str:
    return "\n".join([header, *(",".join(map(str, values)) for values in zip(*columns, strict=True))]) + "\n"


def inputs_by_row(source) -> torch.Tensor:
    """The inputs of all rows in the order of the file."""
    rows = np.concatenate([source.train.columns["row"], source.holdout.columns["row"]])
    return torch.cat([source.train.inputs, source.holdout.inputs])[np.argsort(rows)]


def parts(source):
    return source.train.columns["row"], source.holdout.columns["row"]


Y = np.arange(20) * 1.5


def test_numbers_and_target_are_standardised_by_the_training_rows(tmp_path):
    x = np.arange(20) ** 2
    source = read_table(written(tmp_path, lines("x,y", x, Y)), "y", unit="EUR")
    train, held = parts(source)
    assert (len(train), len(held)) == (16, 4) and sorted([*train, *held]) == list(range(20))
    assert not np.array_equal(np.sort(held), np.arange(16, 20))  # shuffled: the order of a file may mean something
    expected = (x - x[train].mean()) / x[train].std()
    assert np.allclose(inputs_by_row(source)[:, 0], expected)
    assert source.target.mean == pytest.approx(Y[train].mean()) and source.target.scale == pytest.approx(Y[train].std())
    assert (source.target.name, source.target.unit, source.classes) == ("y", "EUR", ())
    assert source.holdout.targets.shape == (4, 1) and source.train.inputs.dtype == source.train.targets.dtype == torch.float32
    assert np.allclose(source.holdout.targets[:, 0], (Y[held] - Y[train].mean()) / Y[train].std())
    assert (source.name, source.input_shape) == ("table", (1,))
    assert source.note == "4 of 20 rows are held out, drawn with seed 0."


def test_columns_hold_what_stands_in_the_file(tmp_path):
    cities = ["Oslo", " Rome "] * 10
    source = read_table(written(tmp_path, lines("city,x,y", cities, range(20), Y)), "y")
    for part in (source.train, source.holdout):
        row = part.columns["row"]
        assert list(part.columns) == ["row", "city", "x", "y"]
        assert part.columns["city"].tolist() == [("Oslo", "Rome")[number % 2] for number in row]
        assert part.columns["x"].tolist() == row.tolist() and part.columns["x"].dtype == np.int64
        assert part.columns["y"].tolist() == Y[row].tolist()


def test_the_holdout_influences_nothing_of_the_training_set(tmp_path):
    x, kind = np.arange(20.0), ["a", "b"] * 10
    first = read_table(written(tmp_path, lines("x,kind,y", x, kind, Y)), "y")
    held = parts(first)[1]
    y, changed, kinds = Y.copy(), x.astype(object), list(kind)
    y[held], changed[held[0]], changed[held[1]], kinds[held[0]] = 1e6, 1e6, "", "new"
    second = read_table(written(tmp_path, lines("x,kind,y", changed, kinds, y)), "y")
    assert torch.equal(first.train.inputs, second.train.inputs) and torch.equal(first.train.targets, second.train.targets)
    assert (first.target, first.input_shape) == (second.target, second.input_shape)
    by_row = inputs_by_row(second)
    train = parts(first)[0]
    assert by_row[held[0], 1:].tolist() == [0, 0]  # a category that the training rows do not have
    median = (np.median(x[train]) - x[train].mean()) / x[train].std()
    assert by_row[held[1], 0].item() == pytest.approx(median, abs=1e-6)


def test_gaps_are_filled_with_the_training_median_and_marked(tmp_path):
    x = [*(np.arange(20.0) ** 2)]
    train = parts(read_table(written(tmp_path, lines("x,y", x, Y)), "y"))[0]
    gaps = train[:3]
    known = np.array([x[row] for row in train[3:]])
    for row, text in zip(gaps, ("", "NA", " ? "), strict=True):
        x[row] = text
    source = read_table(written(tmp_path, lines("x,y", x, Y)), "y")
    by_row = inputs_by_row(source)
    assert by_row[:, 1].nonzero().flatten().tolist() == sorted(gaps)
    assert np.allclose(by_row[gaps, 0], (np.median(known) - known.mean()) / known.std())
    assert np.allclose(by_row[train[3:], 0], (known - known.mean()) / known.std(), atol=1e-6)
    assert np.isnan(source.train.columns["x"][:3]).all() and source.train.columns["x"].dtype == np.float64
    assert source.note.endswith("Gaps are filled from the training rows and marked in inputs of their own: x (3).")


def test_categories_are_one_hot_in_order(tmp_path):
    kinds = ["pear", "apple", "", "fig"] * 5
    by_row = inputs_by_row(read_table(written(tmp_path, lines("kind,y", kinds, Y)), "y"))
    assert by_row[:4].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]  # apple, fig, pear, missing


@pytest.mark.parametrize("words", [("yes", "No"), ("TRUE", "false"), ("y", "n"), ("t", "F")])
def test_yes_or_no_is_one_or_zero(tmp_path, words):
    source = read_table(written(tmp_path, lines("x,y", words * 10, Y)), "y")
    assert inputs_by_row(source)[:2].tolist() == [[1], [0]] and source.train.columns["x"][0] in words


def test_dates_are_days(tmp_path):
    dates = [f"2024-02-{day:02}" for day in range(20, 30)] + [f"2024-03-{day:02}T12:00" for day in range(1, 11)]
    days = np.array([*range(10), *(np.arange(10, 20) + 0.5)])  # 2024 has a 29th of February
    source = read_table(written(tmp_path, lines("when,y", dates, Y)), "y")
    train = parts(source)[0]
    assert np.allclose(inputs_by_row(source)[:, 0], (days - days[train].mean()) / days[train].std(), atol=1e-6)
    assert source.train.columns["when"][0] == dates[train[0]]
    no_date = read_table(written(tmp_path, lines("when,y", ["2024-02-30", "2024-01-01"] * 10, Y)), "y")
    assert no_date.input_shape == (2,)  # two categories


def test_what_is_no_input_stays_a_column(tmp_path):
    names = [f"person {number}" for number in range(60)]
    text = lines("name,same,none,x,y", names, [7] * 60, [""] * 60, range(60), np.arange(60.0))
    source = read_table(written(tmp_path, text), "y")
    assert source.input_shape == (1,) and source.train.columns["name"][0] == names[source.train.columns["row"][0]]
    assert source.note.endswith("Not used as inputs: name (more than 50 texts), same (one value only), none (one value only).")
    fifty = lines("name,y", [f"person {number % 50}" for number in range(600)], range(600))
    assert read_table(written(tmp_path, fifty), "y").input_shape == (50,)


def test_a_column_that_never_differs_in_training_is_dropped(tmp_path):
    held = parts(read_table(written(tmp_path, lines("x,y", range(20), Y)), "y"))[1]
    odd = np.ones(20)
    odd[held[0]] = 5
    source = read_table(written(tmp_path, lines("x,odd,y", range(20), odd, Y)), "y")
    assert source.input_shape == (1,) and "odd (one value only in the training rows)" in source.note


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    y = [*Y]
    y[3] = y[17] = ""
    source = read_table(written(tmp_path, lines("x,y", range(20), y)), "y")
    assert sorted(np.concatenate(parts(source))) == [row for row in range(20) if row not in (3, 17)]
    assert source.note == "4 of 18 rows are held out, drawn with seed 0. 2 rows without a target are left out."


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_that_is_held_out(tmp_path, share):
    path = written(tmp_path, lines("x,y", range(20), Y))
    source = load(path, target="y", holdout_share=share)
    assert len(source.holdout) == 20 * share
    again = load(path, target="y", holdout_share=share)
    assert torch.equal(source.holdout.inputs, again.holdout.inputs)


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(BadSetting, match=f"share of rows to hold out must be above 0 and below 1, not {share}"):
        read_table(written(tmp_path, lines("x,y", range(20), Y)), "y", holdout=share)


def test_the_order_of_the_columns_does_not_matter(tmp_path):
    x, z = range(20), [number % 3 for number in range(20)]
    one = read_table(written(tmp_path, lines("x,z,y", x, z, Y)), "y")
    other = read_table(written(tmp_path, lines("y,z,x", Y, z, x)), "y")
    assert torch.equal(one.train.inputs, other.train.inputs.flip(1)) and torch.equal(one.train.targets, other.train.targets)


def test_tabs_semicolons_quotes_and_marks_of_windows_are_read(tmp_path):
    plain = read_table(written(tmp_path, lines("x,y", range(20), Y)), "y")
    for name, delimiter in (("t.tsv", "\t"), ("s.csv", ";")):
        text = "\ufeff" + lines('"x","y"', range(20), Y).replace(",", delimiter).replace("\n", "\r\n")
        assert torch.equal(read_table(written(tmp_path, text, name), "y").train.inputs, plain.train.inputs)


def test_a_column_named_row_stays_the_users(tmp_path):
    source = read_table(written(tmp_path, lines("row,y", range(100, 120), Y)), "y")
    assert source.train.columns["row"].min() >= 100


def test_lines_are_counted_as_an_editor_does(tmp_path):
    frame = read_frame(written(tmp_path, 'x,y\n1,2\n\n"a\nb",3\n4,5\n'))
    assert frame.index.tolist() == [2, 5, 6] and frame["x"].tolist() == ["1", "a\nb", "4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected a header and one line for each of at least 10 rows"),
        ("x,y\n", "is empty: expected a header"),
        ("x,y\n1,2\n3\n", r"line 3: 1 values, but the header names 2 columns \(x,y\)"),
        ("x,y\n1,2\n\n3,4,5\n", "line 4: 3 values, but the header names 2 columns"),
        ("y,y\n1,2\n", "every column needs a name of its own, but the header is y,y"),
        (",y\n1,2\n", "every column needs a name of its own, but the header is ,y"),
        ('x,y\n"a"b,2\n', "line 2: .*expected values in columns"),
        (b"x,y\n\xff\xfe,1\n", "cannot be read: 'utf-8'"),
        (lines("x,y", range(9), range(9)), "9 rows have a target; expected at least 10"),
        (lines("x,y", range(20), [""] * 20), "0 rows have a target"),
        (lines("x,y", range(20), [3] * 20), "target 'y' is 3 in every training row; expected values that differ"),
        (lines("x,y", range(20), [*range(19), "inf"]), "line 21: target 'y' is 'inf'; expected a finite number"),
        (lines("x,y", range(20), [*range(19), "1,5"]).replace("1,5", '"1,5"'), "line 21: target 'y' is '1,5'; expected a fin"),
        (lines("x,y", ["-inf", *range(19)], Y), "line 2: column 'x' is '-inf'; expected a finite number"),
        (lines("y", Y), r"none of the columns besides the target can be an input \(there are none\)"),
        (lines("x,y", [1] * 20, Y), r"can be an input \(x\)"),
        (lines("x,Y", range(20), Y), r"has no column 'y' \(did you mean Y\?\): its columns are x, Y"),
        (lines("x,z", range(20), Y), "has no column 'y': its columns are x, z"),
    ],
)
def test_a_file_that_does_not_do_says_why_and_where(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(BadFile, match=message) as raised:
        read_table(path, "y")
    assert str(path) in str(raised.value)


def test_the_target_must_be_given(tmp_path):
    path = written(tmp_path, lines("x,city,y", range(20), ["a", "b"] * 10, Y))
    with pytest.raises(BadSetting, match="state the target, that is the column to predict; columns of numbers: x, y"):
        load(path)
    with pytest.raises(BadFile, match=r"file not found: .*absent\.csv"):
        load(tmp_path / "absent.csv", target="y")


def test_only_tables_take_a_target(tmp_path):
    with pytest.raises(
        BadSetting, match=r"digits takes no target \(given: y\); only tables do, files whose names end in \.csv"
    ):
        load("digits", target="y")
    with pytest.raises(BadSetting, match=r"diabetes takes no holdout_share \(given: 0\.5\)"):
        load("diabetes", holdout_share=0.5)
    with pytest.raises(BadSetting, match="there is no data 'minst'"):
        load("minst", target="y")


def test_first_rows_and_further_columns_keep_the_rest(tmp_path):
    path = written(tmp_path, lines("x,y", range(20), Y))
    assert available(str(path)) and not available(str(tmp_path / "absent.csv"))
    whole, part = load(path, target="y"), load(path, target="y", train=5, holdout=2)
    assert (len(part.train), len(part.holdout), part.target) == (5, 2, whole.target)
    assert torch.equal(part.train.targets, whole.train.targets[:5])  # scaled by all training rows, as the docstring says
    assert columns_of(part.train)["y"].tolist() == whole.train.columns["y"][:5].tolist()
    more = take(with_columns(whole.train, {"user": np.arange(16)}), 3)
    assert sorted(columns_of(more)) == ["row", "user", "x", "y"] and targets_of(more).shape == (3, 1)


def test_a_folder_may_be_called_as_a_table(tmp_path):
    (tmp_path / "odd.csv").mkdir()
    with pytest.raises(BadFile, match="has no folders"):
        load(tmp_path / "odd.csv")


def test_a_frame_in_memory_calls_its_rows_rows():
    frame = pd.DataFrame({"x": range(20), "flag": [True, False] * 10, "y": [*Y[:19], np.inf]})
    with pytest.raises(BadFile, match=r"^mine, row 19: target 'y' is 'inf'; expected a finite number"):
        source_from_frame(frame, "y", "mine")
    source = source_from_frame(frame[:19], "y", "mine", lowest=0, highest=30)
    assert inputs_by_row(source)[:2, 1].tolist() == [1, 0] and (source.target.lowest, source.target.highest) == (0, 30)


def test_the_schema_is_a_table_of_what_is_there(tmp_path):
    names = [f"person {number}" for number in range(60)]
    fruits = ["apple", "fig", "kiwi", "lime", "pear", "plum"] * 10
    text = lines("name,fruit,x,ok,y", names, fruits, ["", *range(59)], ["yes", "no"] * 30, np.arange(60) * 500)
    expected = """
column  kind       gaps  values                                    use
name    not used      0  60 texts                                  none: more than 50 texts
fruit   category      0  apple, fig, kiwi, lime, pear and 1 more   6 inputs of 0 or 1
x       number        1  0 to 58                                   standardised, and whether it was missing
ok      yes or no     0  no, yes                                   0 or 1
y       number        0  0 to 29,500                               target
"""
    found = str(read_schema(written(tmp_path, text), "y"))
    assert [line.split() for line in found.splitlines()] == [line.split() for line in expected.strip().splitlines()]
    places = {
        line.index(word)
        for line, word in zip(found.splitlines(), ("use", "none", "6 inp", "stand", "0 or", "tar"), strict=True)
    }
    assert len(places) == 1  # aligned
    with pytest.raises(BadFile, match=r"has no column 'z': its columns are name, fruit, x, ok, y"):
        read_schema(tmp_path / "table.csv", "z")


def test_california_housing_is_found_by_either_name(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    assert not available("california-housing")
    with pytest.raises(BadFile, match=r"file california_housing\.csv or housing\.csv was looked for in .*tabular; the owners"):
        load("california-housing")
    (tmp_path / "tabular").mkdir()
    header = "median_income,total_bedrooms,median_house_value,ocean_proximity"
    text = lines(header, range(20), ["", *range(19)], Y, ["INLAND", "ISLAND"] * 10)
    path = written(tmp_path / "tabular", text, "housing.csv")
    source = load("california-housing")
    assert (source.name, source.target.unit, source.target.lowest) == ("california-housing", "USD", 0)
    assert source.note.startswith("A sample of California housing: 16 of 16,512 training and 4 of 4,128 test examples.")
    path.rename(path.with_name("california_housing.csv"))
    assert available("california-housing")


@pytest.mark.data
@real_data
def test_the_real_california_housing():
    source = load("california-housing")
    assert (len(source.train), len(source.holdout), source.input_shape) == (16_512, 4_128, (14,))
    values = np.concatenate([source.train.columns["median_house_value"], source.holdout.columns["median_house_value"]])
    assert values.mean() == pytest.approx(206_855.82, abs=0.01) and values.max() == 500_001  # as its book prints
    assert source.note == (
        "4,128 of 20,640 rows are held out, drawn with seed 0. "
        "Gaps are filled from the training rows and marked in inputs of their own: total_bedrooms (207)."
    )
    assert torch.isfinite(source.train.inputs).all() and torch.isfinite(source.holdout.inputs).all()
