"""Interactions from names, arrays and code: what stands there is read, and what is not known or not meant is refused."""

import os
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from expunge.data import INTERACTION_SETS, load_interactions
from expunge.data.interaction_source import InteractionSource
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.interactions import Interactions
from expunge.interactions.item_graph import neighbours_of

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")

ARRAYS = {
    "train_user": np.array([1, 0, 0, 2], dtype=np.int32),
    "train_item": np.array([0, 2, 1, 1], dtype=np.int32),
    "valid_user": np.array([0]),
    "valid_item": np.array([0]),
    "test_user": np.array([1, 2]),
    "test_item": np.array([3, 0]),
    "image_feat": np.arange(10, dtype=np.float16).reshape(5, 2) + 1,
    "audio_feat": np.array([[1.0], [0], [np.nan], [4], [5]]),
    "shape": np.array([4, 5]),
}


def write(path, **changed):
    np.savez_compressed(path, **{name: value for name, value in {**ARRAYS, **changed}.items() if value is not None})
    return path


# ---- the set that is made ---------------------------------------------------------------------------------------------------


def test_tastes_are_always_there_and_always_the_same():
    source = load_interactions("tastes")
    interactions = source.interactions
    assert (source.name, source.users, source.items, source.note) == ("tastes", (), (), "")
    assert (interactions.users, interactions.items) == (300, 400) and 20 <= len(interactions) / 300 <= 30
    assert interactions.activity.min() >= 10 and interactions.popularity.min() >= 1
    assert interactions.digest == load_interactions("tastes").interactions.digest
    assert {name: tuple(values.shape) for name, values in interactions.features.items()} == {
        "image": (400, 32),
        "text": (400, 24),
    }


def test_tastes_can_be_learned_and_some_items_are_popular():
    interactions = load_interactions("tastes").interactions
    taste, kind = interactions.pairs.T % 8
    assert (taste == kind).float().mean() > 0.5  # by chance an eighth
    popularity = interactions.popularity.sort(descending=True).values
    assert popularity[:40].sum() > 0.3 * popularity.sum() and popularity.median() < popularity.mean()


def test_both_modalities_of_tastes_together_tell_kinds_apart_better_than_either():
    features = load_interactions("tastes").interactions.features
    kinds = torch.arange(400) % 8

    def of_the_same_kind(values: torch.Tensor) -> float:
        others = neighbours_of(values, 11)[0][:, 1:]
        return (kinds[others] == kinds.unsqueeze(1)).float().mean().item()

    unit = [torch.nn.functional.normalize(values, dim=1) for values in features.values()]
    image, text, both = (of_the_same_kind(values) for values in (*unit, torch.cat(unit, 1)))
    assert 0.4 < min(image, text) <= max(image, text) < 0.8 < both


# ---- arrays -----------------------------------------------------------------------------------------------------------------


def test_arrays_with_a_published_split_are_read(tmp_path):
    source = load_interactions(write(tmp_path / "clips.npz"))
    interactions = source.interactions
    assert (source.name, source.users, source.items) == ("clips", (), ())
    assert (interactions.users, interactions.items) == (4, 5)  # also who has no pair
    assert interactions.pairs.tolist() == [[0, 1], [0, 2], [1, 0], [2, 1]]
    assert source.validation.tolist() == [[0, 0]] and source.test.tolist() == [[1, 3], [2, 0]]
    assert interactions.features["image"].tolist() == ARRAYS["image_feat"].tolist()
    assert interactions.features["audio"].flatten().tolist() == [1, 0, 0, 4, 5]
    assert source.note == "2 of 5 items have no audio features."


def test_arrays_without_a_split_features_or_shape_are_read(tmp_path):
    held = dict.fromkeys(("valid_user", "valid_item", "test_user", "test_item", "image_feat", "audio_feat", "shape"))
    source = load_interactions(write(tmp_path / "a.npz", **held))
    assert (source.interactions.users, source.interactions.items, source.interactions.features) == (3, 3, {})
    assert source.validation is None and source.test is None and source.note == ""
    source = load_interactions(
        write(
            tmp_path / "a.npz",
            **held | {"test_user": None, "train_user": np.array([1, 1, 0, 1])} | {"train_item": np.array([0, 0, 2, 0])},
        )
    )
    assert source.interactions.pairs.tolist() == [[0, 2], [1, 0]] and source.note == "2 repeated pairs were merged."


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_user": None, "train_item": None}, "holds pairs of valid, test; expected arrays train_user and train_item"),
        ({"valid_user": None, "valid_item": None}, "holds pairs of train, test; expected"),
        ({"train_item": None}, "has no array train_item; it has train_user, valid_user"),
        (
            {"test_user": np.array([1.0, 2.0])},
            r"test_user is float64 of shape \(2,\); expected whole numbers of shape \(pairs,\)",
        ),
        ({"test_user": np.array([[1, 2]])}, r"test_user is int64 of shape \(1, 2\)"),
        ({"test_user": np.array([], dtype=int)}, r"test_user is int64 of shape \(0,\)"),
        ({"test_user": np.array([1])}, "test_user has 1 values, but test_item has 2"),
        ({"test_item": np.array([3, 5])}, r"test_item names item 5, but there are 5 \(0 to 4\)"),
        ({"train_user": np.array([1, 0, -1, 2])}, "train_user names user -1"),
        ({"shape": np.array([4])}, r"shape is \[4\]; expected how many users and items there are"),
        ({"shape": np.array([0, 5])}, r"shape is \[0, 5\]"),
        ({"shape": np.array([4.0, 5.0])}, r"shape is \[4\.0, 5\.0\]"),
        (
            {"image_feat": np.zeros((4, 2))},
            "image_feat has 4 rows, but there are 5 items; expected one row for each, in the order",
        ),
        ({"image_feat": np.zeros(5)}, r"image_feat is float64 of shape \(5,\)"),
        ({"image_feat": np.array([["a"]] * 5)}, "image_feat is <U1"),
        ({"test_user": np.array([0, 2]), "test_item": np.array([1, 0])}, "1 pair both for testing and to train on"),
        ({"image_feat": np.array([[{}]] * 5, dtype=object)}, "array image_feat cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_faults_name_the_array(tmp_path, changed, message):
    path = write(tmp_path / "a.npz", **changed)
    with pytest.raises(BadFile, match=message) as raised:
        load_interactions(path)
    assert str(path) in str(raised.value)


def test_damaged_arrays_are_refused(tmp_path):
    path = write(tmp_path / "a.npz")
    whole = path.read_bytes()
    for content in (b"", b"no zip file", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(BadFile, match=r"a\.npz cannot be read: .*; expected a whole \.npz file"):
            load_interactions(path)
    np.save(tmp_path / "b.npy", np.zeros(3))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with pytest.raises(BadFile, match="it is a single array"):
        load_interactions(tmp_path / "b.npz")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train_user.npy", b"garbage")
    with pytest.raises(BadFile, match="array train_user cannot be read"):
        load_interactions(path)
    for place in range(0, len(whole), 7):  # whatever is damaged, nothing but our own errors come out
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_interactions(path)
        except (BadFile, BadSetting):
            continue


# ---- names and code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "address"),
    [
        ("movielens-latest-small", "ml-latest-small/ratings.csv", "https://grouplens.org/datasets/movielens/latest/"),
        ("tiktok", "tiktok.npz", "https://github.com/HKUDS/DiffMM"),
    ],
)
def test_missing_files_say_who_publishes_them(tmp_path, monkeypatch, name, file, address):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile) as unset:
        load_interactions(name)
    assert all(part in str(unset.value) for part in (file, "$EXPUNGE_DATA/recommend", "EXPUNGE_DATA is not set", address))
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    with pytest.raises(BadFile) as empty:
        load_interactions(name)
    assert all(part in str(empty.value) for part in (file, str(tmp_path / "recommend"), address))


def test_files_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    (tmp_path / "recommend").mkdir()
    write(tmp_path / "recommend" / "tiktok.npz")
    source = load_interactions("tiktok")
    assert (source.name, source.interactions.users, len(source.test)) == ("tiktok", 4, 2)


def test_interactions_come_from_code(monkeypatch):
    clicks = Interactions.of(3, 4, [[0, 0], [0, 1], [1, 0], [2, 3]], {"image": [[1.0], [2.0], [0.0], [4.0]]})
    own = InteractionSource("own", clicks, ("a", "b", "c"), note="Mine.")

    def fails() -> None:
        raise ValueError("no luck")

    def refuses() -> None:
        raise BadRequest("not this one")

    made = {"own": lambda: own, "clicks": lambda: clicks, "number": lambda: 3, "fails": fails, "refuses": refuses}
    monkeypatch.setitem(sys.modules, "my_clicks", types.SimpleNamespace(**made))
    source = load_interactions("my_clicks:own")
    assert source.interactions is clicks and source.users == own.users
    assert source.note == "Mine. 1 of 4 items has no image features."
    source = load_interactions("my_clicks:clicks")
    assert source.interactions is clicks and source.name == "clicks" and source.users == ()
    with pytest.raises(BadSetting, match="returned a int; expected an InteractionSource or Interactions"):
        load_interactions("my_clicks:number")
    with pytest.raises(BadSetting, match="calling it failed: ValueError: no luck"):
        load_interactions("my_clicks:fails")
    with pytest.raises(BadRequest, match="not this one"):
        load_interactions("my_clicks:refuses")


def test_few_pairs_are_left_out_of_whatever_is_read(tmp_path):
    source = load_interactions("tastes", minimum_count=12)
    left = source.interactions
    assert min(left.activity.min(), left.popularity.min()) >= 12 and left.users < 300 and left.items < 400
    assert len(source.items) == left.items and "with fewer than 12 pairs were left out" in source.note
    whole = load_interactions("tastes").interactions
    numbers = torch.tensor([int(item) for item in source.items])
    assert torch.equal(left.features["text"], whole.features["text"][numbers])
    (tmp_path / "a.csv").write_text("user,item\nada,film\nada,book\nbo,film\nbo,book\ncy,song\n")
    assert load_interactions(tmp_path / "a.csv", minimum_count=2).users == ("ada", "bo")
    with pytest.raises(BadSetting, match="minimum_count must be a whole number from 1, not 0"):
        load_interactions("tastes", minimum_count=0)


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(
        BadSetting,
        match=r"there are no interactions 'taste' \(did you mean tastes\?\): .* none of tastes, movielens-latest-small",
    ):
        load_interactions("taste")
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(
        BadFile, match=r"picture\.png holds no interactions: expected a file that ends in \.csv, \.tsv, \.inter or \.npz"
    ):
        load_interactions(tmp_path / "picture.png")
    for suffix in (".npz", ".csv", ".inter"):
        with pytest.raises(BadFile, match=f"file not found: .*none\\{suffix}"):
            load_interactions(tmp_path / f"none{suffix}")


def test_settings_that_are_for_others_are_refused(tmp_path):
    write(tmp_path / "a.npz")
    for name in ("tastes", "movielens-latest-small", tmp_path / "a.npz", "a.b:c"):
        with pytest.raises(
            BadSetting, match=r"takes no files of features \(given: f\); only \.csv, \.tsv and \.inter files do"
        ):
            load_interactions(name, features="f")
    for name in ("tastes", "tiktok", tmp_path / "a.npz", "a.b:c"):
        with pytest.raises(BadSetting, match="holds no ratings, so none can be at least 4"):
            load_interactions(name, minimum_rating=4)


def test_every_set_by_name_is_described():
    assert set(INTERACTION_SETS) == {"tastes", "movielens-latest-small", "tiktok"} and all(INTERACTION_SETS.values())


@pytest.mark.data
@real_data
def test_the_real_tiktok():
    source = load_interactions("tiktok")
    interactions = source.interactions
    assert (interactions.users, interactions.items, len(interactions), source.note) == (9_308, 6_710, 59_541, "")
    assert (len(source.validation), len(source.test)) == (3_051, 6_130)
    assert {name: tuple(values.shape) for name, values in interactions.features.items()} == {
        "image": (6_710, 128),
        "audio": (6_710, 128),
    }
    assert not torch.isin(source.validation[:, 0], source.test[:, 0]).any()  # these users are not the same
