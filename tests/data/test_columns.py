"""Sidecar CSV files and lists of values."""

import pytest

from expunge.data.columns import read_columns, read_values
from expunge.errors import BadFile


def written(tmp_path, content: str | bytes, name: str = "file.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_columns_are_texts_without_blanks_at_their_ends(tmp_path):
    path = written(tmp_path, '\ufeffuser_id, city\r\n007, Oslo\r\n8,"New York, NY"\r\n\r\n')
    columns = read_columns(path, 2)
    assert {name: values.tolist() for name, values in columns.items()} == {
        "user_id": ["007", "8"],
        "city": ["Oslo", "New York, NY"],
    }


def test_an_empty_value_is_a_value(tmp_path):
    assert read_columns(written(tmp_path, "a,b\n,\n1,2\n"), 2)["a"].tolist() == ["", "1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user\na\nb\n", "has 2 lines below its header, but the training set has 3 rows"),
        ("user,city\na,b\nc\nd,e\n", "line 3: 1 values, but the header names 2 columns"),
        ("user,user\na,b\n", "every column needs a name of its own, but the header is user,user"),
        ("user,\na,b\n", "every column needs a name of its own"),
        ("", "is empty: expected a header"),
        ('user\n"a"b\n', "line 2: .*expected values separated by commas"),
        (b"user\n\xff\xfe\n", "cannot be read: 'utf-8'"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(BadFile, match=message) as raised:
        read_columns(path, 3)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"file not found: .*absent\.csv"):
        read_columns(tmp_path / "absent.csv", 3)


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("v.txt", "b\n a \n\nb\n", None, ["b", "a"]),
        ("v.txt", 'Doe, Jane\nO"Neil\n', None, ["Doe, Jane", 'O"Neil']),
        ("v.txt", "user\nb\na\n", "user", ["b", "a"]),
        ("v.csv", "city,user\nx,b\ny,a\n", "user", ["b", "a"]),
        ("v.csv", "b\na\n", None, ["b", "a"]),
        ("v.csv", "b\na\n", "user", ["b", "a"]),
    ],
)
def test_values_of_lists_and_columns(tmp_path, name, content, column, expected):
    assert read_values(written(tmp_path, content, name), column) == expected


def test_values_that_cannot_be_found_are_asked_for(tmp_path):
    path = written(tmp_path, "city,user\nx,b\n")
    with pytest.raises(BadFile, match=r"has 2 columns \(city, user\); none is named 'usr'"):
        read_values(path, "usr")
    with pytest.raises(BadFile, match=r"has 2 columns \(city, user\); state which one holds the values"):
        read_values(path)
    with pytest.raises(BadFile, match="lists no values"):
        read_values(written(tmp_path, "user\n"), "user")
