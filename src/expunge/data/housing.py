"""California housing: 20,640 blocks of the census of 1990, and the median value of the houses in each.

The file is the one of the book "Hands-On Machine Learning" (github.com/ageron/handson-ml2, datasets/housing/housing.csv):
that of the authors, with gaps in `total_bedrooms` and a column `ocean_proximity`.

Source: R. K. Pace, R. Barry. "Sparse Spatial Autoregressions", Statistics & Probability Letters 33(3), 1997.
"""

from dataclasses import replace
from pathlib import Path

from expunge.data.published import PublicSet, file_in, sample_note
from expunge.data.records import Source, length
from expunge.data.table import read_frame, source_from_frame

HOUSING = PublicSet(
    "tabular",
    "California housing",
    "www.dcc.fc.up.pt/~ltorgo/Regression/cal_housing.html (StatLib), as a CSV file at "
    "github.com/ageron/handson-ml2 (datasets/housing/housing.csv)",
    (),
    (14,),
    (16_512, 4_128),
)
FILES = ("california_housing.csv", "housing.csv")
TARGET = "median_house_value"


def find_files(folder: Path, public: PublicSet | None = HOUSING) -> Path:
    """The path of the file, by either of its names.

    Raises:
        BadFile: if it is not there.
    """
    return file_in(folder, FILES, public)


def read_source(folder: Path, public: PublicSet | None = HOUSING) -> Source:
    """Read the file of a folder as :func:`expunge.data.table.read_table` does; one row in five is held out.

    Inputs have shape (n, 14): eight numbers, whether `total_bedrooms` was missing, and five kinds of `ocean_proximity`.
    The target is the median value of a block's houses in US dollars, cut at 500,001.

    Raises:
        BadFile: if the file is missing or not such a table.
    """
    path = find_files(folder, public)
    source = source_from_frame(read_frame(path), TARGET, "california-housing", where=str(path), unit="USD", lowest=0)
    sample = sample_note(HOUSING, length(source.train), length(source.holdout))
    return replace(source, note=f"{sample} {source.note}".strip())
