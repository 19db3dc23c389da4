"""STS-B: pairs of sentences and how alike people found them, from 0 (nothing in common) to 5 (the same).

The files are those of STS-B-DIR, in which similarities are spread more evenly over the parts; its form is that of GLUE.

Sources: D. Cer, M. Diab, E. Agirre, I. Lopez-Gazpio, L. Specia. "SemEval-2017 Task 1: Semantic Textual Similarity",
arXiv 1708.00055. Y. Yang, K. Zha, Y. Chen, H. Wang, D. Katabi. "Delving into Deep Imbalanced Regression", ICML 2021,
arXiv 2102.09554.
"""

import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from expunge.data.published import PublicSet, missing, read_failed, sample_note
from expunge.data.records import Records, Source, Target
from expunge.errors import BadFile, BadSetting

STSB = PublicSet(
    "stsb",
    "STS-B (STS-B-DIR)",
    "github.com/YyzHarry/imbalanced-regression (sts-b-dir)",
    (),
    (2, 16),
    (5_249, 2_000),
)
FILES = ("train_new.tsv", "dev_new.tsv", "test_new.tsv")
LOWEST, HIGHEST = 0.0, 5.0
BUCKETS = 8192
WORDS = 16
_HEADER = ("genre", "filename", "year", "sentence1", "sentence2", "score")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Pair:
    """One line of a file."""

    genre: str
    filename: str
    year: str
    sentences: tuple[str, str]
    score: float


def find_files(folder: Path, public: PublicSet | None = STSB) -> tuple[Path, ...]:
    """The paths of the three files.

    Raises:
        BadFile: if one is missing.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise missing(public, name, folder)
    return tuple(folder / name for name in FILES)


def read_source(folder: Path, public: PublicSet | None = STSB, buckets: int = BUCKETS, words: int = WORDS) -> Source:
    """Read a folder of the three files: `train_new.tsv` to train on, `dev_new.tsv` and `test_new.tsv` held out.

    Inputs have shape (n, 2, words), int64: the words of both sentences as :func:`word_ids` gives them. Targets have shape
    (n, 1), float32, standardised. The columns are `score`, `genre`, `filename`, `year` and `row`: the line of the file, the
    first below the header being 0; the rows of the second held out file go on counting where the first ends.

    Args:
        folder: where the files are.
        public: the set that errors and the note speak of.
        buckets: word ids are below this number.
        words: sentences are cut or padded to so many words.

    Raises:
        BadFile: if a file is missing, or a line has another form.
        BadSetting: if `buckets` is not at least 2, or `words` not at least 1.
    """
    if buckets < 2 or words < 1:
        raise BadSetting(f"buckets must be at least 2 and words at least 1, not {buckets} and {words}")
    train_file, *held_files = find_files(folder, public)
    train, held = read_pairs(train_file), [pair for path in held_files for pair in read_pairs(path)]
    scores = np.array([pair.score for pair in train])
    if np.ptp(scores) == 0:
        raise BadFile(f"{train_file}: score is {scores[0]:g} in every line; expected values that differ")
    scaling = Target("score", float(scores.mean()), float(scores.std()), "", LOWEST, HIGHEST)
    parts = [_records(pairs, scaling, buckets, words) for pairs in (train, held)]
    note = sample_note(STSB, len(train), len(held))
    return Source(STSB.name, parts[0], parts[1], (), note, (2, words), scaling)


def read_pairs(path: Path) -> list[Pair]:
    """Read one file: UTF-8, values separated by tabs, quotes standing for themselves, with a header.

    Raises:
        BadFile: if the file is empty, or a line has another number of values than the header or a score outside 0..5.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")  # a sentence may hold other line ends of Unicode
    except (OSError, UnicodeDecodeError) as error:
        raise read_failed(path, error) from error
    header = lines[0].strip("\r").split("\t")
    if absent := [name for name in _HEADER if name not in header]:
        raise BadFile(f"{path} has no column {absent[0]} in its first line; expected {', '.join(_HEADER)} among others")
    pairs: list[Pair] = []
    for number, line in enumerate(lines[1:], start=2):
        values = line.strip("\r").split("\t")
        if values == [""]:
            continue
        if len(values) != len(header):
            raise BadFile(f"{path}, line {number:,}: {len(values)} values, but the header names {len(header)} columns")
        found = dict(zip(header, values, strict=True))
        score = _score(found["score"], f"{path}, line {number:,}")
        sentences = (found["sentence1"], found["sentence2"])
        pairs.append(Pair(found["genre"], found["filename"], found["year"], sentences, score))
    if not pairs:
        raise BadFile(f"{path} is empty: expected lines below the header")
    return pairs


def word_ids(sentence: str, buckets: int = BUCKETS, words: int = WORDS) -> list[int]:
    """The first `words` words of a sentence as numbers, padded with 0 on the right.

    A word is a run of letters and digits, in lower case; its number is 1 + CRC-32 of its UTF-8 bytes modulo
    `buckets` - 1. So there is no vocabulary that remembers who used a word; two words may share a number.

    >>> word_ids("A man, a plan", words=5)
    [1084, 1288, 1084, 1672, 0]
    """
    found = [1 + zlib.crc32(word.encode()) % (buckets - 1) for word in _WORD.findall(sentence.lower())[:words]]
    return found + [0] * (words - len(found))


def _score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not LOWEST <= score <= HIGHEST:
        raise BadFile(f"{where}: score is '{text}'; expected a number from {LOWEST:g} to {HIGHEST:g}")
    return score


def _records(pairs: list[Pair], scaling: Target, buckets: int, words: int) -> Records:
    inputs = torch.tensor([[word_ids(sentence, buckets, words) for sentence in pair.sentences] for pair in pairs])
    targets = torch.tensor([[scaling.scaled(pair.score)] for pair in pairs], dtype=torch.float32)
    columns = {name: np.array([getattr(pair, name) for pair in pairs]) for name in ("score", "genre", "filename", "year")}
    return Records(inputs, targets, {"row": np.arange(len(pairs)), **columns})
