"""Public data sets whose files a user brings: where they are looked for, and what is said when they are not there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge.errors import BadFile

VARIABLE = "EXPUNGE_DATA"


@dataclass(frozen=True)
class PublicSet:
    """One public data set.

    Args:
        name: what the user calls it, and the folder inside ``$EXPUNGE_DATA`` that holds its files.
        title: what its owners call it.
        address: where its owners publish it.
        classes: the names of its classes.
        shape: shape of one input.
        rows: number of training and of test examples in the complete set.
    """

    name: str
    title: str
    address: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    rows: tuple[int, int]

    def folder(self, first_file: str) -> Path:
        """The folder that should hold the files.

        Raises:
            BadFile: if ``EXPUNGE_DATA`` is not set; the message names `first_file`.
        """
        root = os.environ.get(VARIABLE)
        if not root:
            raise self.missing(first_file, None)
        return Path(root).expanduser() / self.name

    def missing(self, file: str, folder: Path | None) -> BadFile:
        """The error that says which file is looked for, where, and where its owners publish it."""
        where = f"in {folder}" if folder else f"in ${VARIABLE}/{self.name}, but {VARIABLE} is not set"
        return BadFile(
            f"{self.title}: file {file} was looked for {where}; the owners publish it at {self.address}. "
            f"Put the files of the set into a folder named {self.name} and set {VARIABLE} to the folder that holds it"
        )


def missing(public: PublicSet | None, file: str, folder: Path) -> BadFile:
    """The same error for a folder that the user named, of which it is not known whose set it holds."""
    return public.missing(file, folder) if public else BadFile(f"file {file} was looked for in {folder}, and is not there")


def file_in(folder: Path, names: Sequence[str], public: PublicSet | None) -> Path:
    """The path of the one file of a set, by any of its names.

    Raises:
        BadFile: if it is not there.
    """
    path = next((path for name in names if (path := folder / name).is_file()), None)
    if path is None:
        raise missing(public, " or ".join(names), folder)
    return path


def read_failed(path: Path, error: Exception) -> BadFile:
    """The error for a file that the operating system does not let us read."""
    return BadFile(f"{path} cannot be read: {error}")


def sample_note(public: PublicSet, train: int, holdout: int) -> str:
    """A sentence for the user when the files hold fewer rows than the complete set; empty when they hold all.

    >>> sample_note(PublicSet("s", "Set", "example.org", ("a",), (1,), (10, 5)), 10, 5)
    ''
    """
    if (train, holdout) == public.rows:
        return ""
    return (
        f"A sample of {public.title}: {train:,} of {public.rows[0]:,} training and "
        f"{holdout:,} of {public.rows[1]:,} test examples."
    )
