"""From a request to a split: nothing lost, nothing twice, and errors before anything is trained."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset

from expunge.data import Records, split_by
from expunge.data.splitting import stratified_rows
from expunge.errors import BadRequest, BadSetting
from expunge.requests import ForgetClass, ForgetFraction, ForgetRows, ForgetWhere


def numbered(start: int, targets: list[int], **columns) -> Records:
    """Rows whose input is their own number."""
    return Records(torch.arange(start, start + len(targets)), torch.tensor(targets), columns, ("x", "y", "z"))


def inputs_of(stream) -> list[int]:
    return [] if stream is None else [number for batch in stream for number in batch[0].tolist()]


@pytest.fixture
def train():
    return numbered(0, [0, 1, 2, 1, 0, 2, 1], user=list("abacabc"))


@pytest.fixture
def holdout():
    return numbered(100, [1, 0, 2, 1])


def test_a_class_goes_from_both_sides(train, holdout):
    split = split_by(ForgetClass("y"), train, holdout, batch_size=2, retain_batch_size=3)
    assert inputs_of(split.forget) == [1, 3, 6] and inputs_of(split.retain) == [0, 2, 4, 5]
    assert inputs_of(split.holdout) == [101, 102] and inputs_of(split.holdout_forget) == [100, 103]
    assert [len(batch[0]) for batch in split.forget] == [2, 1]
    assert [len(batch[0]) for batch in split.retain] == [3, 1]


@pytest.mark.parametrize("request_", [ForgetRows((3, 0)), ForgetWhere("user", ("c",)), ForgetFraction(0.3, seed=1)])
def test_records_leave_the_holdout_whole(train, holdout, request_):
    split = split_by(request_, train, holdout)
    assert split.holdout_forget is None and inputs_of(split.holdout) == [100, 101, 102, 103]
    assert inputs_of(split.forget) == request_.rows(train.targets.numpy(), train.columns, train.classes).tolist()
    assert sorted(inputs_of(split.forget) + inputs_of(split.retain)) == list(range(7))


def test_a_class_without_unseen_examples_has_no_holdout_of_its_own(train):
    split = split_by(ForgetClass(1), train, numbered(100, [0, 2]))
    assert split.holdout_forget is None and inputs_of(split.holdout) == [100, 101]


def test_subsets_are_split_by_their_own_rows(train, holdout):
    split = split_by(ForgetClass("y"), Subset(Subset(train, [6, 5, 4, 3]), [0, 1, 3]), Subset(holdout, [3, 1]))
    assert inputs_of(split.forget) == [6, 3] and inputs_of(split.retain) == [5]
    assert inputs_of(split.holdout) == [101] and inputs_of(split.holdout_forget) == [103]


def test_an_empty_holdout_is_allowed(train):
    split = split_by(ForgetClass(1), train, Subset(train, []))
    assert inputs_of(split.holdout) == [] and split.holdout_forget is None


def test_requests_for_rows_do_not_read_a_foreign_dataset():
    class Unreadable(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            raise AssertionError("read")

    split = split_by(ForgetRows((1,)), Unreadable(), Unreadable())
    assert split.forget.examples == 1 and split.retain.examples == 4
    with pytest.raises(AssertionError, match="read"):
        split_by(ForgetClass(1), Unreadable(), Unreadable())


def test_nothing_left_to_retain(train, holdout):
    with pytest.raises(BadRequest, match="retain set is empty: 7 rows picks all 7 rows of the training set"):
        split_by(ForgetRows(tuple(range(7))), train, holdout)


def test_nothing_left_in_the_holdout(train):
    with pytest.raises(BadRequest, match="all 2 rows of the holdout are of class y"):
        split_by(ForgetClass("y"), train, numbered(100, [1, 1]))


def test_a_training_set_is_no_holdout(train):
    with pytest.raises(BadRequest, match=r"7 of 7 holdout rows are training rows too \(2 of them are to be forgotten\)"):
        split_by(ForgetRows((0, 1)), train, train)
    with pytest.raises(BadRequest, match=r"2 of 3 holdout rows .* \(1 of them are .*the first is row 2 of the dataset"):
        split_by(ForgetRows((0, 2)), Subset(train, [0, 1, 2, 3]), Subset(train, [3, 2, 4]))


def test_subsets_that_share_no_row_are_apart(train):
    split = split_by(ForgetRows((0,)), Subset(train, [0, 1, 2]), Subset(train, [3, 4]))
    assert inputs_of(split.holdout) == [3, 4]


def test_other_class_names_can_be_given(train, holdout):
    assert inputs_of(split_by(ForgetClass("no"), train, holdout, classes=("no", "yes", "maybe")).forget) == [0, 4]


def test_a_batch_has_at_least_one_example(train, holdout):
    with pytest.raises(BadSetting, match="batch_size must be at least 1, not 0"):
        split_by(ForgetRows((0,)), train, holdout, batch_size=0)
    with pytest.raises(BadSetting, match="batch_size must be at least 1, not 0"):
        split_by(ForgetRows((0,)), train, holdout, retain_batch_size=0)


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([10, 5], 3, [2, 1]),
        ([7, 7, 6], 5, [2, 2, 1]),
        ([1, 1, 8], 2, [0, 0, 2]),
        ([1, 1], 1, [0, 0]),
        ([2, 2], 4, [1, 1]),
    ],
)
def test_a_stratified_draw_keeps_proportions(sizes, count, expected):
    targets = np.repeat(np.arange(len(sizes)), sizes)
    drawn = stratified_rows(targets, count, seed=3)
    assert np.bincount(targets[drawn], minlength=len(sizes)).tolist() == expected
    assert len(set(drawn.tolist())) == len(drawn) and drawn.tolist() == sorted(drawn.tolist())
    assert np.array_equal(drawn, stratified_rows(targets, count, seed=3))
