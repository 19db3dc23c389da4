"""MovieLens: whose stars count, what is known of the films, and faults in its files."""

import os

import numpy as np
import pytest
import torch

from data.test_interaction_tables import named_pairs
from expunge.data.interaction_features import text_features
from expunge.data.interaction_files import load_interactions
from expunge.errors import BadFile

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")

RATINGS = "userId,movieId,rating,timestamp\n7,30,4.0,1\n7,4,5.0,2\n12,4,3.5,3\n12,100,4.5,4\n3,50,1.0,5\n"
MOVIES = (
    'movieId,title,genres\n4,Heat (1995),Action|Crime\n30,"Lady, The (1995)",Drama\n50,Bad (1995),Drama\n'
    "100,Space (1995),(no genres listed)\n"
)
TAGS = "userId,movieId,tag,timestamp\n7,4,robbery,1\n3,4,heist robbery,2\n12,50,awful,3\n7,30,robbery,4\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "ml-tiny"
    made.mkdir()
    for name, text in (("ratings", RATINGS), ("movies", MOVIES), ("tags", TAGS)):
        (made / f"{name}.csv").write_text(text)
    return made


def test_films_with_four_stars_count_as_chosen(folder):
    source = load_interactions(folder)
    assert (source.name, source.users, source.items) == ("ml-tiny", ("7", "12"), ("4", "30", "100"))
    assert named_pairs(source) == [("7", "4"), ("7", "30"), ("12", "100")]
    assert source.note.startswith("2 of 5 pairs with a rating below 4 were left out.")
    assert named_pairs(load_interactions(folder, minimum_rating=4.5)) == [("7", "4"), ("12", "100")]
    everything = load_interactions(folder, minimum_rating=0.5)
    assert len(everything.interactions) == 5 and everything.users == ("3", "7", "12")


def test_titles_and_all_tags_are_text_and_genres_are_terms(folder):
    features = load_interactions(folder).interactions.features
    texts = ["Heat (1995) robbery heist robbery", "Lady, The (1995) robbery", "Space (1995) "]
    assert np.array_equal(features["text"].numpy(), text_features(texts, least=2))
    genres = text_features(["Action|Crime", "Drama", "(no genres listed)"], 16, term=r"[^|]+")
    assert np.array_equal(features["genres"].numpy(), genres) and genres.shape == (3, 3)  # of four genres three at most
    (folder / "tags.csv").unlink()
    without = load_interactions(folder).interactions.features
    assert np.array_equal(without["text"].numpy(), text_features(["Heat (1995)", "Lady, The (1995)", "Space (1995)"], least=2))
    assert torch.equal(without["genres"], features["genres"])


def test_faults_of_its_files(folder):
    (folder / "movies.csv").write_text(MOVIES.replace("30,", "31,"))
    with pytest.raises(BadFile, match=r"ratings\.csv, line 2: movie 30 has no line in .*movies\.csv; .* \(1 have none\)"):
        load_interactions(folder)
    (folder / "movies.csv").write_text(MOVIES.replace("genres", "kinds", 1))
    with pytest.raises(BadFile, match=r"movies\.csv has no column 'genres'"):
        load_interactions(folder)
    (folder / "movies.csv").unlink()
    with pytest.raises(BadFile, match=r"file movies\.csv was looked for in .*ml-tiny, and is not there"):
        load_interactions(folder)


def test_it_is_found_by_its_name(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    (tmp_path / "recommend").mkdir()
    with pytest.raises(BadFile) as missing:
        load_interactions("movielens-latest-small")
    folder.rename(tmp_path / "recommend" / "ml-latest-small")
    assert all(part in str(missing.value) for part in ("ml-latest-small/ratings.csv", "https://grouplens.org/datasets"))
    source = load_interactions("movielens-latest-small", minimum_rating=4.5)
    assert source.name == "movielens-latest-small" and len(source.interactions) == 2
    (tmp_path / "recommend" / "ml-latest-small" / "movies.csv").unlink()
    with pytest.raises(
        BadFile, match=r"MovieLens latest-small: file movies\.csv was looked for in .*; the owners publish it at"
    ):
        load_interactions("movielens-latest-small")


@pytest.mark.data
@real_data
def test_the_real_movielens():
    source = load_interactions("movielens-latest-small")
    interactions = source.interactions
    assert (interactions.users, interactions.items, len(interactions)) == (609, 6_298, 48_580)
    assert {name: tuple(values.shape) for name, values in interactions.features.items()} == {
        "text": (6_298, 64),
        "genres": (6_298, 16),
    }
    assert source.items[:3] == ("1", "2", "3") and interactions.has(torch.tensor([[0, 0]])).item()  # user 1 likes Toy Story
    one, two = (source.items.index(film) for film in ("4993", "5952"))  # The Lord of the Rings, the first two
    for modality, least in (("text", 0.5), ("genres", 0.99)):
        unit = torch.nn.functional.normalize(interactions.features[modality], dim=1)
        assert unit[one] @ unit[two] > least > 0.2 > (unit[one] @ unit.T).mean()
    assert "52,256 of 100,836 pairs with a rating below 4 were left out." in source.note
    assert len(load_interactions("movielens-latest-small", minimum_count=5).interactions.popularity.nonzero()) < 3_000
