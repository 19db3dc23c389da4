"""Interactions from tables: spellings, ratings, features in files, and faults with their line."""

import numpy as np
import pytest
import torch

from expunge.data.interaction_files import load_interactions
from expunge.errors import BadFile, BadSetting

TABLE = "user,item,rating,timestamp\nbo,film,5,100\nada,book,2,101\nada,film,4.5,102\n"


def write(path, text=TABLE):
    path.write_text(text)
    return path


def saved(path, rows, width=2, first=1.0):
    """Features of which row r begins with r + `first`."""
    values = np.tile(np.arange(rows, dtype=np.float64)[:, None] + first, (1, width))
    np.save(path, values)
    return path


def named_pairs(source):
    """All pairs by the names of user and item."""
    users, items = source.users or range(source.interactions.users), source.items or range(source.interactions.items)
    return [(users[user], items[item]) for user, item in source.interactions.pairs.tolist()]


# ---- pairs ------------------------------------------------------------------------------------------------------------------


def test_users_and_items_are_numbered_in_the_order_of_their_sorted_ids(tmp_path):
    source = load_interactions(write(tmp_path / "clicks.csv"))
    assert (source.name, source.users, source.items, source.note) == ("clicks", ("ada", "bo"), ("book", "film"), "")
    assert source.interactions.pairs.tolist() == [[0, 0], [0, 1], [1, 1]] and source.interactions.features == {}
    assert source.validation is None and source.test is None


def test_ids_that_are_numbers_are_sorted_as_numbers(tmp_path):
    source = load_interactions(write(tmp_path / "a.csv", "user,item\n10,x\n9,100\n9,20\n"))
    assert source.users == ("9", "10") and source.items == ("100", "20", "x")  # one item is no number, so these are texts
    source = load_interactions(write(tmp_path / "a.csv", "user,item\n1,2\n0,1\n0,0\n"))
    assert source.users == () and source.items == () and source.interactions.pairs.tolist() == [[0, 0], [0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("header", "suffix", "separator"),
    [
        ("user_id item_id", ".csv", ","),
        ("userId itemId", ".csv", ","),
        ("userID ItemID", ".csv", ";"),
        ("User movieId", ".tsv", "\t"),
        ("uid product_id", ".TSV", "\t"),
    ],
)
def test_columns_are_found_however_they_are_spelled(tmp_path, header, suffix, separator):
    lines = ["when " + header, "7 ada film", "", "8 bo book"]
    text = "\ufeff" + "\r\n".join(line.replace(" ", separator) for line in lines)
    source = load_interactions(write(tmp_path / f"a{suffix}", text))
    assert named_pairs(source) == [("ada", "film"), ("bo", "book")]


def test_ids_may_hold_commas_in_quotes_and_look_like_gaps(tmp_path):
    source = load_interactions(write(tmp_path / "a.csv", 'user,item\n"ada, first", NA \nnull,"a ""b"""\n'))
    assert source.users == ("ada, first", "null") and source.items == ("NA", 'a "b"')


def test_repeated_pairs_are_merged_and_counted(tmp_path):
    table = "user,item,timestamp\nada,film,1\nada,film,2\nbo,film,3\n ada ,film,4\n"
    source = load_interactions(write(tmp_path / "a.csv", table))
    assert len(source.interactions) == 2 and source.note == "2 repeated pairs were merged."
    assert load_interactions(write(tmp_path / "a.csv", table[:-14])).note == "1 repeated pair was merged."


# ---- ratings ----------------------------------------------------------------------------------------------------------------


def test_pairs_count_that_are_rated_high_enough(tmp_path):
    path = write(tmp_path / "a.csv", TABLE + "cy,song,1,103\n")
    source = load_interactions(path, minimum_rating=4.5)
    assert named_pairs(source) == [("ada", "film"), ("bo", "film")]
    assert source.users == ("ada", "bo") and source.items == ("film",)  # who has no pair is not there
    assert source.note == "2 of 4 pairs with a rating below 4.5 were left out."
    assert len(load_interactions(path).interactions) == 4


def test_a_pair_rated_twice_counts_by_its_best_rating(tmp_path):
    source = load_interactions(
        write(tmp_path / "a.csv", "user,item,rating\nada,film,1\nada,film,5\nada,film,4\n"), minimum_rating=4
    )
    assert len(source.interactions) == 1
    assert source.note == "1 of 3 pairs with a rating below 4 were left out. 1 repeated pair was merged."


def test_ratings_that_cannot_be_read_are_refused_only_where_they_are_asked_for(tmp_path):
    for text, shown in (("good", "good"), ("", ""), ("nan", "nan"), ("1e999", "1e999")):
        path = write(tmp_path / "a.csv", f"user,item,rating\nada,film,5\nbo,film,{text}\n")
        assert len(load_interactions(path).interactions) == 2
        with pytest.raises(BadFile, match=f"a.csv, line 3: the rating is '{shown}'; expected a finite number"):
            load_interactions(path, minimum_rating=4)
    with pytest.raises(BadSetting, match="has no column 'rating', so no pair can be rated at least 4"):
        load_interactions(write(tmp_path / "a.csv", "user,item\nada,film\n"), minimum_rating=4)
    with pytest.raises(BadSetting, match="none of 3 ratings is at least 6; ask for less"):
        load_interactions(write(tmp_path / "a.csv"), minimum_rating=6)
    for value in (float("nan"), float("inf"), True):
        with pytest.raises(BadSetting, match="minimum_rating must be a finite number"):
            load_interactions(tmp_path / "a.csv", minimum_rating=value)


# ---- features ---------------------------------------------------------------------------------------------------------------


def test_features_are_in_the_order_of_the_sorted_ids(tmp_path):
    path = write(tmp_path / "a.csv", "user,item\nada,10\nada,9\nbo,100\n")
    saved(tmp_path / "pictures.npy", 3)
    source = load_interactions(path, features={"image": tmp_path / "pictures.npy"})
    assert source.items == ("9", "10", "100") and source.interactions.features["image"].tolist() == [[1, 1], [2, 2], [3, 3]]
    assert source.interactions.features["image"].dtype == torch.float32
    (tmp_path / "arrays").mkdir()
    saved(tmp_path / "arrays" / "image_feat.npy", 3, width=4)
    saved(tmp_path / "arrays" / "sound.npy", 3, first=5.0)
    for folder in (tmp_path / "arrays", str(tmp_path / "arrays")):
        features = load_interactions(path, features=folder).interactions.features
        assert {name: tuple(values.shape) for name, values in features.items()} == {"image": (3, 4), "sound": (3, 2)}
        assert features["sound"][:, 0].tolist() == [5, 6, 7]


def test_features_are_those_of_all_items_in_the_table_also_of_those_rated_low(tmp_path):
    table = "user,item,rating\nada,c,5\nada,b,1\nbo,a,5\n"
    saved(tmp_path / "f.npy", 3)
    source = load_interactions(write(tmp_path / "a.csv", table), features={"image": tmp_path / "f.npy"}, minimum_rating=4)
    assert source.items == ("a", "c") and source.interactions.features["image"][:, 0].tolist() == [1, 3]
    saved(tmp_path / "f.npy", 2)
    with pytest.raises(BadFile, match="has 2 rows, but there are 3 items"):
        load_interactions(tmp_path / "a.csv", features={"image": tmp_path / "f.npy"}, minimum_rating=4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("items.txt", "film\nsong\nbook\n"),
        ("items.csv", "film\nsong\n\nbook\n"),
        ("items.csv", "item_id\nfilm\nsong\nbook\n"),
        ("items.csv", "title,item\nA,film\nB,song\nC,book\n"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_list_of_items_gives_their_order_and_those_that_nobody_chose(tmp_path, name, text, beside):
    path = write(tmp_path / "a.csv")
    (tmp_path / "arrays").mkdir()
    saved(tmp_path / "arrays" / "image.npy", 3)
    write((tmp_path if beside else tmp_path / "arrays") / name, text)
    source = load_interactions(path, features=tmp_path / "arrays")
    assert source.items == ("film", "song", "book") and source.interactions.popularity.tolist() == [2, 0, 1]
    assert source.interactions.features["image"][:, 0].tolist() == [1, 2, 3]
    if beside:
        source = load_interactions(path, features={"image": tmp_path / "arrays" / "image.npy"})
        assert source.items == ("film", "song", "book")
        assert load_interactions(path).items == ("book", "film")  # without features it says nothing


def test_faults_of_a_list_of_items(tmp_path):
    path = write(tmp_path / "a.csv")
    features = {"image": saved(tmp_path / "f.npy", 2)}
    for text, message in (
        ("film\nsong\n", r"a\.csv, line 3: item 'book' is not listed in .*items\.txt; .* \(1 of 2 are not\)"),
        ("film\nbook\nfilm\n", r"items\.txt, line 3: item 'film' was in line 1 already; expected the id of each item once"),
        ("item\n", r"items\.txt lists no items: expected one id a line"),
        ("film\nbook\nsong\n", r"f\.npy has 2 rows, but there are 3 items; expected one row for each, in the order of .*items"),
    ):
        write(tmp_path / "items.txt", text)
        with pytest.raises(BadFile, match=message):
            load_interactions(path, features=features)
    write(tmp_path / "items.csv", "title,price\nA,3\n")
    with pytest.raises(BadFile, match=r"items\.csv has 2 columns \(title, price\), none of which is named 'item' or item_id"):
        load_interactions(path, features=features)


def test_items_without_features_are_counted(tmp_path):
    path = write(tmp_path / "a.csv", "user,item\nada,a\nada,b\nbo,c\nbo,d\n")
    np.save(tmp_path / "image.npy", np.array([[1, 2], [0, 0], [np.nan, np.nan], [np.inf, 3]]))
    source = load_interactions(path, features={"image": tmp_path / "image.npy"})
    assert source.interactions.features["image"].tolist() == [[1, 2], [0, 0], [0, 0], [0, 3]]
    assert source.note == (
        "1 value in the image features that is no finite number counts as 0. 2 of 4 items have no image features."
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.zeros((3, 2)),
            r"f\.npy has 3 rows, but there are 2 items; expected one row for each, in the order of their sorted",
        ),
        (np.zeros(2), r"f\.npy is float64 of shape \(2,\); expected numbers of shape \(items, features\)"),
        (np.zeros((2, 0)), r"of shape \(2, 0\)"),
        (np.array([["a"], ["b"]]), r"f\.npy is <U1"),
        (np.array([[{}], [None]], dtype=object), r"f\.npy cannot be read: .*; expected a whole \.npy file without pickled"),
    ],
)
def test_faults_of_features_name_the_file(tmp_path, values, message):
    np.save(tmp_path / "f.npy", values, allow_pickle=True)
    with pytest.raises(BadFile, match=message):
        load_interactions(write(tmp_path / "a.csv"), features={"image": tmp_path / "f.npy"})


def test_features_that_are_no_files_are_refused(tmp_path):
    path = write(tmp_path / "a.csv")
    with pytest.raises(BadFile, match=r"file not found: .*nowhere\.npy"):
        load_interactions(path, features={"image": tmp_path / "nowhere.npy"})
    with pytest.raises(BadSetting, match="features name no file"):
        load_interactions(path, features={})
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match=r"empty holds no features: expected files NAME\.npy or NAME_feat\.npy"):
        load_interactions(path, features=tmp_path / "empty")
    with pytest.raises(BadFile, match=r"f\.npy is no folder"):
        load_interactions(path, features=saved(tmp_path / "f.npy", 2))
    (tmp_path / "f.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(BadFile, match=r"f\.npy cannot be read"):
        load_interactions(path, features={"image": tmp_path / "f.npy"})
    np.savez(tmp_path / "f.npz", a=np.zeros((2, 2)))
    with pytest.raises(BadFile, match=r"f\.npz holds several arrays; expected a \.npy file with one"):
        load_interactions(path, features={"image": tmp_path / "f.npz"})
    for name in ("image", "image_feat"):
        saved(tmp_path / "empty" / f"{name}.npy", 2)
    with pytest.raises(BadFile, match=r"holds two files for image: image\.npy and image_feat\.npy"):
        load_interactions(path, features=tmp_path / "empty")


@pytest.mark.parametrize("name", ["a.b", "", "type", "items", "a/b", 3])
def test_a_modality_is_called_so_that_a_network_can_have_layers_of_that_name(tmp_path, name):
    with pytest.raises(BadSetting, match="a modality cannot be called"):
        load_interactions(write(tmp_path / "a.csv"), features={name: tmp_path / "f.npy"})


# ---- faults -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item\nada,film\n,book\n", "line 3: the user is empty; expected an id of a user and one of an item"),
        ("user,item\nada,film\n\nbo,  \n", "line 4: the item is empty"),
        ("user,item\nada,film\nbo\n", r"line 3: 1 values, but the header names 2 columns \(user,item\)"),
        ("user,item\nada,film,book\n", "line 2: 3 values, but the header names 2 columns"),
        ('user,item\nada,"film\n', "line 2: unexpected end of data; expected values in columns"),
        ("", "is empty: expected a header and lines below it"),
        ("user,item\n\n", "is empty: expected a header and one pair a line below it"),
        ("name,item\nada,film\n", r"has no column 'user' \(spelled so or alike\): its columns are name, item"),
        ("user,thing\nada,film\n", "has no column 'item'"),
        ("ada,film\nbo,book\n", "has no column 'user' .*: its columns are ada, film"),
        ("user,userId,item\nada,1,film\n", "has several columns for 'user', 'user' and 'userId'; expected one of them"),
        ("user,item,item\nada,film,book\n", "every column needs a name of its own"),
    ],
)
def test_faults_name_the_line(tmp_path, text, message):
    with pytest.raises(BadFile, match=message) as raised:
        load_interactions(write(tmp_path / "a.csv", text))
    assert str(tmp_path / "a.csv") in str(raised.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"user,item\n\xff\xfe,film\n")
    with pytest.raises(BadFile, match=r"a\.csv cannot be read: .*utf-8"):
        load_interactions(tmp_path / "a.csv")
    with pytest.raises(BadFile, match=r"file not found: .*nowhere\.csv"):
        load_interactions(tmp_path / "nowhere.csv")
