"""Interactions as RecBole and MMRec keep them: types in the header, published splits, features by number, words about items."""

import numpy as np
import pytest

from data.test_interaction_tables import named_pairs
from expunge.data.interaction_features import text_features
from expunge.data.interaction_files import load_interactions
from expunge.errors import BadFile, BadSetting

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu2\tb\t5\t1\nu1\ta\t3\t2\nu2\ta\t4\t3\n"
ITEM = (
    "item_id:token\ttitle:token_seq\tbrand:token\tprice:float\tclip:float_seq\n"
    "b\tblue canvas shoe\tacme\t3.5\t1 2\n"
    "a\tred canvas shoe\tacme\t4\t3, 4\n"
    "z\tgreen hat\tnobody\t1\t9 9\n"
)
LABELLED = "userID\titemID\trating\ttimestamp\tx_label\n" + "".join(
    f"{user}\t{item}\t5.0\t1\t{label}\n"
    for user, item, label in [(0, 0, 0), (0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 3, 0), (1, 0, 2), (2, 1, 0), (2, 3, 1)]
)


def write(path, text):
    path.write_text(text)
    return path


# ---- RecBole ----------------------------------------------------------------------------------------------------------------


def test_typed_headers_are_read(tmp_path):
    source = load_interactions(write(tmp_path / "shoes.inter", INTER))
    assert (source.name, source.users, source.items, source.note) == ("shoes", ("u1", "u2"), ("a", "b"), "")
    assert source.interactions.pairs.tolist() == [[0, 0], [1, 0], [1, 1]] and source.interactions.features == {}
    rated = load_interactions(tmp_path / "shoes.inter", minimum_rating=4)
    assert named_pairs(rated) == [("u2", "a"), ("u2", "b")]
    assert load_interactions(tmp_path).users == source.users  # the folder of it


def test_quotes_are_letters_like_others(tmp_path):
    source = load_interactions(write(tmp_path / "a.inter", 'user_id:token\titem_id:token\n"u\ta"b\nv\tc\n'))
    assert source.users == ('"u', "v") and source.items == ('a"b', "c")


def test_words_and_numbers_about_items_become_features(tmp_path):
    write(tmp_path / "shoes.inter", INTER)
    write(tmp_path / "shoes.item", ITEM)
    source = load_interactions(tmp_path / "shoes.inter")
    features = source.interactions.features
    assert set(features) == {"text", "clip"} and source.items == ("a", "b")
    assert features["clip"].tolist() == [[3, 4], [1, 2]]
    # Words in two of the items: acme, canvas, shoe. Item z is not in the pairs, so it counts for nothing.
    expected = text_features(["red canvas shoe acme", "blue canvas shoe acme"], least=2)
    assert np.array_equal(features["text"].numpy(), expected) and features["text"].shape == (2, 2)


def test_items_that_are_not_described_have_no_features(tmp_path):
    write(tmp_path / "a.inter", "user_id:token\titem_id:token\nu\ta\nu\tb\nu\tc\nu\td\n")
    write(
        tmp_path / "a.item",
        "item_id:token\ttitle:token_seq\tv:float_seq\na\tred shoe\t1 1\nb\t\t\nc\tred hat, blue shoe\t2 0\n",
    )
    source = load_interactions(tmp_path / "a.inter")
    features = source.interactions.features
    assert features["v"].tolist() == [[1, 1], [0, 0], [2, 0], [0, 0]]
    assert features["text"].any(1).tolist() == [True, False, True, False]
    assert source.note == "2 of 4 items have no text features. 2 of 4 items have no v features."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id:token\ttitle\na\tshoe\n", "column 'title' has no type; expected one of token, token_seq, float, float_seq"),
        ("title:token\na\n", "has no column 'item'"),
        (
            "item_id:token\ttitle:token\na\tx\nb\ty\na\tz\n",
            "line 4: item 'a' was in line 2 already; expected one line for each",
        ),
        ("item_id:token\tv:float_seq\na\t1 2\nb\t1 x\n", "line 3: column 'v' is '1 x'; expected numbers"),
        ("item_id:token\tv:float_seq\na\t1 2\nb\t1\n", "line 3: column 'v' holds 1 numbers; expected 2 as in the others"),
        ("item_id:token\tv:float_seq\nz\t1\n", "column 'v' holds no numbers for any of 2 items"),
        ("item_id:token\ttitle:token\na\n", "line 2: 1 values, but the header names 2 columns"),
    ],
)
def test_faults_of_descriptions_name_the_line(tmp_path, text, message):
    write(tmp_path / "a.inter", INTER)
    write(tmp_path / "a.item", text)
    with pytest.raises(BadFile, match=message) as raised:
        load_interactions(tmp_path / "a.inter")
    assert str(tmp_path / "a.item") in str(raised.value)


def test_a_column_whose_name_cannot_be_a_layers_is_refused(tmp_path):
    write(tmp_path / "a.inter", INTER)
    write(tmp_path / "a.item", "item_id:token\ttype:float_seq\na\t1\nb\t2\n")
    with pytest.raises(BadSetting, match=r"a\.item: a modality cannot be called 'type'"):
        load_interactions(tmp_path / "a.inter")


def test_own_features_come_before_what_lies_beside(tmp_path):
    write(tmp_path / "a.inter", INTER)
    write(tmp_path / "a.item", ITEM)
    np.save(tmp_path / "mine.npy", np.array([[1.0], [2.0]]))
    source = load_interactions(tmp_path / "a.inter", features={"sound": tmp_path / "mine.npy"})
    assert list(source.interactions.features) == ["sound"] and source.interactions.features["sound"].tolist() == [[1], [2]]


# ---- MMRec ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A folder with a published split and two modalities."""
    write(tmp_path / "baby.inter", LABELLED)
    np.save(tmp_path / "image_feat.npy", np.arange(12.0).reshape(4, 3) + 1)
    np.save(tmp_path / "text_feat.npy", np.eye(4, dtype=np.float16))
    np.save(tmp_path / "user_graph_dict.npy", np.array([{}], dtype=object), allow_pickle=True)
    return tmp_path


@pytest.mark.parametrize("whole", [True, False])
def test_a_published_split_and_features_by_number_are_read(folder, whole):
    source = load_interactions(folder if whole else folder / "baby.inter")
    assert (source.name, source.users, source.items, source.note) == ("baby", (), (), "")
    assert source.interactions.pairs.tolist() == [[0, 0], [0, 1], [1, 3], [2, 1]]
    assert source.validation.tolist() == [[0, 2], [2, 3]] and source.test.tolist() == [[0, 3], [1, 0]]
    assert source.interactions.features["image"].tolist() == (np.arange(12.0).reshape(4, 3) + 1).tolist()
    assert source.interactions.features["text"].tolist() == np.eye(4).tolist()
    split = source.split(seed=3, batch_size=7)
    assert split.train is source.interactions and split.validation is source.validation and split.test is source.test
    assert split.training().batch_size == 7


def test_items_keep_their_numbers_also_those_that_are_only_held_out_or_rated_low(folder):
    text = LABELLED + "2\t4\t1.0\t1\t0\n"
    write(folder / "baby.inter", text)
    for name in ("image", "text"):
        np.save(folder / f"{name}_feat.npy", np.ones((5, 2)))
    source = load_interactions(folder, minimum_rating=2)
    assert source.interactions.items == 5 and source.interactions.popularity.tolist() == [1, 2, 0, 1, 0]
    assert source.note == "1 of 9 pairs with a rating below 2 were left out."


def test_pairs_that_stand_in_several_parts_are_kept_in_one(folder):
    again = "0\t0\t5\t9\t2\n0\t1\t5\t9\t1\n0\t3\t5\t9\t1\n1\t3\t5\t9\t0\n"
    source = load_interactions(write(folder / "baby.inter", LABELLED + again).parent)
    assert source.interactions.pairs.tolist() == [[0, 0], [0, 1], [1, 3], [2, 1]]
    assert source.validation.tolist() == [[0, 2], [2, 3]] and source.test.tolist() == [[0, 3], [1, 0]]
    assert source.note == ("1 repeated pair was merged. 3 held-out pairs that stand in another part too were left out.")


def test_labels_that_only_name_pairs_to_train_on_are_no_split(folder):
    source = load_interactions(
        write(
            folder / "baby.inter", "\n".join(line[:-1] + "0" if line[-1].isdigit() else line for line in LABELLED.splitlines())
        ).parent
    )
    assert source.test is None and len(source.interactions) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("\t2\n", "\t1\n"), "no pair is left whose x_label is 2; expected pairs to train on"),
        (("\t0\n", "\t1\n"), "no pair is left whose x_label is 0"),
        (("0\t2\t5.0\t1\t1", "0\t2\t5.0\t1\t3"), r"line 4: x_label is '3'; expected 0 \(training\), 1 \(validation\) or 2"),
        (("0\t2\t5.0", "0\tshoe\t5.0"), r"line 4: item 'shoe' is no number from 0, but the rows of image_feat\.npy are in the"),
        (("0\t2\t5.0", "0\t-2\t5.0"), "line 4: item '-2' is no number from 0"),
        (("0\t2\t5.0", "0\t9\t5.0"), r"image_feat\.npy has 4 rows, but baby\.inter names 10 items \(0 to 9\)"),
    ],
)
def test_faults_of_a_folder(folder, change, message):
    write(folder / "baby.inter", LABELLED.replace(*change))
    with pytest.raises(BadFile, match=message):
        load_interactions(folder)


def test_features_with_another_number_of_rows_are_refused(folder):
    for rows in (3, 5):
        np.save(folder / "text_feat.npy", np.ones((rows, 2)))
        with pytest.raises(BadFile, match=rf"text_feat\.npy has {rows} rows, but there are 4 items"):
            load_interactions(folder)
        np.save(folder / "image_feat.npy", np.ones((rows, 2)))
        with pytest.raises(BadFile, match=rf"image_feat\.npy has {rows} rows, but baby\.inter names 4 items \(0 to 3\)"):
            load_interactions(folder)
        np.save(folder / "image_feat.npy", np.ones((4, 2)))
    np.save(folder / "text_feat.npy", np.array([{}] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(BadFile, match=r"text_feat\.npy cannot be read: .* without pickled objects"):
        load_interactions(folder)


def test_a_folder_holds_one_file_of_pairs(tmp_path):
    with pytest.raises(BadFile, match=r"holds 0 files that end in \.inter \(none\); expected one, or the file itself"):
        load_interactions(tmp_path)
    write(tmp_path / "a.inter", INTER)
    write(tmp_path / "b.inter", INTER)
    with pytest.raises(BadFile, match=r"holds 2 files that end in \.inter \(a\.inter, b\.inter\)"):
        load_interactions(tmp_path)


# ---- words ------------------------------------------------------------------------------------------------------------------


def test_texts_that_share_words_are_alike():
    texts = ["red running shoe", "blue running shoe", "old french novel", "new french novel", ""]
    found = text_features(texts)
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    alike = unit @ unit.T
    assert found.dtype == np.float32 and alike[0, 1] > 0.5 > alike[0, 2] and alike[2, 3] > 0.5 > alike[1, 3]
    assert not found[4].any() and np.array_equal(found, text_features(texts))


def test_the_whole_spectrum_keeps_all_products_of_texts():
    """With as many numbers as there is rank, the products of texts are those of TF-IDF, worked out here by its formula."""
    texts = ["aa bb bb", "bb cc", "cc dd dd dd"]
    terms = ["aa", "bb", "cc", "dd"]
    counts = np.array([[text.split().count(term) for term in terms] for text in texts], dtype=float)
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * (1 + np.log(4 / (1 + (counts > 0).sum(0))))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    found = text_features(texts)
    assert found.shape == (3, 3) and np.allclose(found @ found.T, weights @ weights.T, atol=1e-5)


def test_few_words_give_few_numbers():
    assert text_features(["", " ", "a"]) is None  # a single letter is no word
    assert text_features(["shoe", "", "shoe"]).tolist() == [[1], [0], [1]]
    assert text_features(["one", "two", "six"], least=2).shape == (3, 2)  # no word stands twice, so all count
    assert text_features([f"word{n} word{n + 1}" for n in range(100)], dimension=5).shape == (100, 5)
