"""Adult: 32,561 people of the census of 1994, and whether they earn more than 50,000 US dollars a year.

Source: B. Becker, R. Kohavi. "Adult", UCI Machine Learning Repository, 1996. The table must have a header.
"""

from dataclasses import replace
from pathlib import Path

from expunge.data.class_table import classes_from_frame
from expunge.data.published import PublicSet, file_in, sample_note
from expunge.data.records import Source, length
from expunge.data.table import read_frame

ADULT = PublicSet(
    "tabular",
    "Adult",
    "archive.ics.uci.edu/dataset/2/adult, as a CSV file with a header at github.com/radi-cho/GatedTabTransformer "
    "(data/income_evaluation.csv)",
    ("<=50K", ">50K"),
    (108,),
    (26_049, 6_512),
)
FILES = ("adult.csv", "income_evaluation.csv")
TARGET = "income"


def find_files(folder: Path, public: PublicSet | None = ADULT) -> Path:
    """The path of the file, by either of its names.

    Raises:
        BadFile: if it is not there.
    """
    return file_in(folder, FILES, public)


def read_source(folder: Path, public: PublicSet | None = ADULT) -> Source:
    """Read the file of a folder as :func:`expunge.data.class_table.read_class_table` does; one row in five is held out.

    Inputs have about 108 columns: six numbers, and the kinds of eight others.

    Raises:
        BadFile: if the file is missing or not such a table.
    """
    path = find_files(folder, public)
    source = classes_from_frame(read_frame(path), TARGET, "adult", str(path))
    sample = sample_note(ADULT, length(source.train), length(source.holdout))
    return replace(source, note=f"{sample} {source.note}".strip())
