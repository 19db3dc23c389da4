"""MovieLens: ratings of films by people, with the titles, genres and tags of the films.

Source: F. M. Harper, J. A. Konstan. "The MovieLens Datasets: History and Context", ACM Transactions on Interactive Intelligent
Systems 5(4), 2015. GroupLens states the terms of use in the README of each set; they are for research, not commercial.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expunge.data.interaction_choices import Choices, column_of, read_choices, read_rows, source_of
from expunge.data.interaction_features import text_features
from expunge.data.interaction_source import InteractionSource
from expunge.data.published import PublicSet, missing
from expunge.errors import BadFile

CHOSEN = 4.0  # stars
GENRES = 16
MOVIELENS = PublicSet(
    "recommend",
    "MovieLens latest-small",
    "https://grouplens.org/datasets/movielens/latest/ (ml-latest-small.zip)",
    (),
    (),
    (100_836, 0),
)
RATINGS, MOVIES, TAGS = FILES = ("ratings.csv", "movies.csv", "tags.csv")


def read_movielens(
    folder: str | Path, minimum_rating: float | None = None, name: str | None = None, public: PublicSet | None = None
) -> InteractionSource:
    """Read a folder of MovieLens as GroupLens publishes it since 2014 (latest, latest-small, 20M, 25M, 32M).

    A film counts as chosen by who rated it with at least `minimum_rating` stars; timestamps are ignored for now. Of films
    there are two modalities: `text`, the title and all tags as at most 64 numbers, and `genres`, as at most 16 (see
    :mod:`~expunge.data.interaction_features`). Tags are what people wrote: they stay in the features of a film when one who
    wrote them asks to be forgotten, unless the text of the film is to be forgotten too.

    Args:
        folder: holds `ratings.csv`, `movies.csv` and, if there are any, `tags.csv`.
        minimum_rating: stars, 4 when None.
        name: what reports call it; the name of the folder when None.
        public: the set that it should be, for errors.

    Returns:
        people and films with at least one such rating, numbered in the order of their ids, which are their names.

    Raises:
        BadFile: if a file is missing or not such a file, or a rated film is not among the movies.
    """
    folder = Path(folder).expanduser()
    for file in (RATINGS, MOVIES):
        if not (folder / file).is_file():
            raise missing(public, file, folder)
    choices = read_choices(folder / RATINGS, CHOSEN if minimum_rating is None else minimum_rating)
    films = choices.chosen
    titles, genres = _movies(folder / MOVIES, choices, films)
    tags = _tags(folder / TAGS, films)
    found = {
        "text": text_features([f"{title} {' '.join(tag)}" for title, tag in zip(titles, tags, strict=True)], least=2),
        "genres": text_features(genres, GENRES, term=r"[^|]+"),
    }
    features: dict[str, np.ndarray] = {modality: values for modality, values in found.items() if values is not None}
    return source_of(name or folder.resolve().name, choices, films, features)


def _movies(path: Path, choices: Choices, films: Sequence[str]) -> tuple[list[str], list[str]]:
    """The title and the genres of each film."""
    lines = read_rows(path)
    _, header = next(lines)
    film, title, genres = (column_of(path, header, name) for name in ("movieId", "title", "genres"))
    known = {line[film]: (line[title], line[genres]) for _, line in lines}
    if absent := set(films).difference(known):
        place = next(place for place, item in enumerate(choices.items) if item in absent)
        raise BadFile(
            f"{choices.path}, line {choices.lines[place]:,}: movie {choices.items[place]} has no line in {path}; "
            f"expected one for every rated movie ({len(absent):,} have none)"
        )
    return [known[item][0] for item in films], [known[item][1] for item in films]


def _tags(path: Path, films: Sequence[str]) -> list[list[str]]:
    """All tags of each film, in the order of the file."""
    found: dict[str, list[str]] = {item: [] for item in films}
    if path.is_file():
        lines = read_rows(path)
        _, header = next(lines)
        film, tag = (column_of(path, header, name) for name in ("movieId", "tag"))
        for _, line in lines:
            if line[film] in found:
                found[line[film]].append(line[tag])
    return list(found.values())
