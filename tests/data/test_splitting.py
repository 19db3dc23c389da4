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


# ---- validation ---------------------------------------------------------------------------------------------------------


def real(start: int, targets) -> Records:
    """Rows whose input is their own number, with real numbers for targets."""
    targets = torch.tensor(targets)
    return Records(torch.arange(start, start + len(targets)), targets)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.29, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("width", [None, 3], ids=["numbers", "vectors"])
def test_of_real_numbers_exactly_the_share_is_held_back(share, width):
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(100 if width is None else (100, width), generator=generator).tolist()
    split = split_by(ForgetRows((0,)), real(0, targets), real(100, targets), validation=share)
    held, left = inputs_of(split.validation_forget), inputs_of(split.holdout)
    assert len(held) == round(100 * share)
    assert sorted(held + left) == list(range(100, 200)) and held == sorted(set(held))


def test_of_real_numbers_that_repeat_the_share_is_drawn_at_random_too():
    """As ages do: to draw of each value in its proportion would leave the rare ones out."""
    targets = [20.0] * 90 + [float(age) for age in range(50, 60)]
    held = inputs_of(split_by(ForgetRows((0,)), real(0, targets), real(0, targets), validation=0.5).validation_forget)
    assert len(held) == 50
    assert held != list(range(50)) and max(held) > 60
    again = split_by(ForgetRows((0,)), real(0, targets), real(0, targets), validation=0.5)
    assert inputs_of(again.validation_forget) == held


def test_of_classes_the_share_is_drawn_of_each_alike():
    targets = [0] * 60 + [1] * 40
    split = split_by(ForgetRows((0,)), numbered(0, targets), numbered(0, targets), validation=0.5)
    held = inputs_of(split.validation_forget)
    assert sum(row < 60 for row in held) == 30 and len(held) == 50


def test_of_what_is_like_the_forget_set_a_part_is_held_back_and_is_in_no_other_part():
    targets = [0] * 60 + [1] * 40
    split = split_by(ForgetClass("y"), numbered(0, targets), numbered(0, targets), validation=0.25)
    held = inputs_of(split.validation_forget)
    assert len(held) == 10 and min(held) >= 60
    assert sorted(held + inputs_of(split.holdout_forget)) == list(range(60, 100))
    assert len(inputs_of(split.holdout)) == 45 and max(inputs_of(split.holdout)) < 60


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_of_all_or_of_less_than_nothing_is_refused(train, holdout, share):
    message = f"^the share of the holdout for validation must be 0 or more and below 1, not {share}$"
    with pytest.raises(BadSetting, match=message):
        split_by(ForgetRows((0,)), train, holdout, validation=share)
