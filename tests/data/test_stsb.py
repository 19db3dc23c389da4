"""STS-B: unquoted tab-separated lines, words as stable numbers, scores from 0 to 5."""

import os
import zlib

import numpy as np
import pytest
import torch

from expunge.data import available, load
from expunge.data.stsb import FILES, read_pairs, read_source, word_ids
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")

HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"


def line(number: int, first: str, second: str, score: object, genre: str = "main-news") -> str:
    return f"{number}\t{genre}\tMSRpar\t2012test\t0001\tnone\tnone\t{first}\t{second}\t{score}\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "stsb"
    folder.mkdir()
    train = [line(0, "A man eats.", "a MAN, eats", 5.0), line(1, '"He said', "no\u2028thing", 0), line(2, "", "Ünï 3", "2.500")]
    for name, lines in zip(FILES, (train, [line(0, "a", "b", 1)], [line(0, "c", "d", 4), line(1, "e", "f", 3)]), strict=True):
        (folder / name).write_text(HEADER + "".join(lines), encoding="utf-8")
    return folder


def number(word: str, buckets: int = 8192) -> int:
    return 1 + zlib.crc32(word.encode()) % (buckets - 1)


def test_words_become_the_same_numbers_everywhere():
    assert word_ids("A man.", words=4) == [number("a"), number("man"), 0, 0]
    assert word_ids("a  MAN") == word_ids("A, man!") and word_ids("", words=2) == [0, 0]
    assert word_ids("one two three", words=2) == [number("one"), number("two")]
    assert word_ids("Ünï", words=1) == [number("ünï")]


def test_word_numbers_fill_the_buckets_and_leave_padding_alone():
    numbers = {word_ids(f"word{index}", buckets=5, words=1)[0] for index in range(200)}
    assert numbers == {1, 2, 3, 4}


def test_pairs_are_read_as_they_stand(folder):
    source = read_source(folder)
    assert source.train.inputs.shape == (3, 2, 16) and source.train.inputs.dtype == torch.int64
    assert torch.equal(source.train.inputs[0, 0], source.train.inputs[0, 1])
    # A lone quote must not swallow the lines that follow, nor a line end of Unicode cut one.
    assert source.train.inputs[1, 0, :2].tolist() == [number("he"), number("said")]
    assert source.train.inputs[1, 1, :3].tolist() == [number("no"), number("thing"), 0]
    assert source.train.inputs[2].count_nonzero(dim=1).tolist() == [0, 2]


def test_scores_are_standardised_by_the_training_pairs(folder):
    source = read_source(folder)
    scores = np.array([5, 0, 2.5])
    assert np.allclose(source.train.targets[:, 0], (scores - 2.5) / scores.std())
    assert np.allclose(source.holdout.targets[:, 0], (np.array([1, 4, 3]) - 2.5) / scores.std())
    assert source.train.targets.shape == (3, 1) and source.train.targets.dtype == torch.float32
    assert (source.target.name, source.target.lowest, source.target.highest) == ("score", 0, 5)
    assert source.classes == ()


def test_columns_are_those_of_the_file(folder):
    train, holdout = read_source(folder).train.columns, read_source(folder).holdout.columns
    assert {name: values.tolist() for name, values in train.items()} == {
        "row": [0, 1, 2],
        "score": [5.0, 0.0, 2.5],
        "genre": ["main-news"] * 3,
        "filename": ["MSRpar"] * 3,
        "year": ["2012test"] * 3,
    }
    assert holdout["row"].tolist() == [0, 1, 2] and holdout["score"].tolist() == [1, 4, 3]


def test_it_is_found_by_name(folder, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(folder.parent))
    source = load("stsb", train=2)
    assert available("stsb") and (source.name, len(source.train), source.input_shape) == ("stsb", 2, (2, 16))
    assert source.note == "A sample of STS-B (STS-B-DIR): 3 of 5,249 training and 3 of 2,000 test examples."
    (folder / "dev_new.tsv").unlink()
    assert not available("stsb")
    with pytest.raises(BadFile, match=r"file dev_new\.tsv was looked for in .*; the owners publish it at github\.com/YyzHarry"):
        load("stsb")


def test_buckets_and_words_are_settings(folder):
    source = read_source(folder, buckets=3, words=2)
    assert source.input_shape == (2, 2) and source.train.inputs.max() <= 2
    with pytest.raises(BadSetting, match="buckets must be at least 2 and words at least 1, not 1 and 16"):
        read_source(folder, buckets=1)
    with pytest.raises(BadSetting, match="not 8192 and 0"):
        read_source(folder, words=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"train_new\.tsv has no column genre in its first line; expected genre, filename, year, sentence1"),
        (HEADER.replace("score", "label"), r"has no column score in its first line"),
        (HEADER, "is empty: expected lines below the header"),
        (HEADER + line(0, "a", "b", 1) + "1\tmain-news\n", "line 3: 2 values, but the header names 10 columns"),
        (HEADER + line(0, "a\tb", "c", 1), "line 2: 11 values"),
        (HEADER + line(0, "a", "b", 5.1), r"line 2: score is '5\.1'; expected a number from 0 to 5"),
        (HEADER + line(0, "a", "b", "nan"), "score is 'nan'"),
        (HEADER + line(0, "a", "b", "high"), "score is 'high'"),
        (HEADER + line(0, "a", "b", 2) * 2, "score is 2 in every line; expected values that differ"),
        (b"\xff\xfe", "cannot be read: 'utf-8'"),
    ],
)
def test_a_damaged_file_says_where(folder, content, message):
    (folder / FILES[0]).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadFile, match=message) as raised:
        read_source(folder)
    assert str(folder / FILES[0]) in str(raised.value)


def test_line_ends_of_windows_change_nothing(folder):
    pairs = read_pairs(folder / FILES[2])
    (folder / FILES[2]).write_bytes((folder / FILES[2]).read_bytes().replace(b"\n", b"\r\n"))
    assert read_pairs(folder / FILES[2]) == pairs and len(pairs) == 2


@pytest.mark.data
@real_data
def test_the_real_pairs():
    source = load("stsb")
    assert (len(source.train), len(source.holdout), source.note) == (5_249, 2_000, "")
    assert {"main-captions", "main-forums", "main-news"} <= set(source.train.columns["genre"])
    same = source.train.columns["score"] == 5
    shared = [len(set(first) & set(second) - {0}) / 16 for first, second in source.train.inputs.tolist()]
    assert np.mean(np.array(shared)[same]) > 2 * np.mean(np.array(shared)[source.train.columns["score"] < 0.5])
