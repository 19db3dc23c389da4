"""Targets, columns and class names are read from any dataset, and through subsets of it."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from expunge.data.records import (
    Records,
    Source,
    classes_of,
    columns_of,
    numbered_classes,
    take,
    targets_of,
    unwrap,
    with_columns,
)
from expunge.errors import BadSetting


def five() -> Records:
    columns = {"user": ["a", "b", "a", "c", "b"], "age": np.arange(5)}
    return Records(torch.arange(10.0).view(5, 2), torch.tensor([0, 1, 2, 1, 0]), columns, ("x", "y", "z"))


class Images(Dataset):
    """A dataset as torchvision's: targets in a list, images decoded when they are asked for."""

    def __init__(self, targets: list[int], attribute: str = "targets") -> None:
        setattr(self, attribute, targets)
        self.kept, self.reads = targets, 0

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        return torch.zeros(1, 2, 2), self.kept[index]


class Shifted(Subset):
    """A subset that shows other targets than the dataset below it."""

    def __getitem__(self, index):
        inputs, target = super().__getitem__(index)
        return inputs, target + 10

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def test_records_are_a_tensor_dataset_with_names():
    records = five()
    inputs, target = records[3]
    assert inputs.tolist() == [6.0, 7.0] and target == 1
    assert len(records) == 5 and records.classes == ("x", "y", "z")


def test_records_refuse_columns_and_targets_of_another_length():
    with pytest.raises(BadSetting, match=r"column 'user' must hold one value for each of 2 rows, not shape \(3,\)"):
        Records(torch.zeros(2, 1), torch.zeros(2), {"user": ["a", "b", "c"]})
    with pytest.raises(BadSetting, match="there are 2 inputs and 3 targets"):
        Records(torch.zeros(2, 1), torch.zeros(3))


def test_targets_and_columns_are_seen_through_nested_subsets():
    subset = Subset(Subset(five(), [4, 3, 1, 0]), [1, 3])
    assert targets_of(subset).tolist() == [1, 0]
    assert columns_of(subset)["user"].tolist() == ["c", "a"]
    assert columns_of(subset)["age"].tolist() == [3, 0]
    assert classes_of(subset) == ("x", "y", "z")


@pytest.mark.parametrize("attribute", ["targets", "labels"])
def test_targets_in_an_attribute_spare_reading_the_rows(attribute):
    images = Images([3, 1, 2], attribute)
    assert targets_of(Subset(images, [2, 0])).tolist() == [2, 3]
    assert images.reads == 0


def test_targets_without_an_attribute_are_read_once_from_the_rows():
    images = Images([3, 1, 2], "hidden")
    assert targets_of(images).tolist() == [3, 1, 2]
    assert images.reads == 3


def test_a_target_transform_is_not_overlooked():
    images = Images([3, 1, 2])
    images.target_transform = lambda target: target + 10
    images.kept = [13, 11, 12]
    assert targets_of(images).tolist() == [13, 11, 12]


def test_a_subset_that_changes_its_rows_is_believed():
    shifted = Shifted(five(), [0, 2])
    assert targets_of(shifted).tolist() == [10, 12]
    assert unwrap(shifted)[0] is shifted


def test_targets_of_plain_tensors_and_of_an_empty_dataset():
    assert targets_of(TensorDataset(torch.zeros(2, 3), torch.tensor([0.5, 1.5]))).tolist() == [0.5, 1.5]
    assert targets_of(Subset(five(), [])).tolist() == []


def test_a_dataset_without_targets_says_which_row():
    with pytest.raises(BadSetting, match=r"row 0 is a Tensor: a row must be \(input, target\)"):
        targets_of([torch.zeros(2)])
    with pytest.raises(BadSetting, match="Images has 2 rows, but 3 targets"):
        images = Images([3, 1, 2])
        images.kept = [3, 1]
        targets_of(images)


def test_a_dataset_without_length_is_refused():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(BadSetting, match="Endless has no length"):
        take(Endless(), 1)


def test_take_keeps_columns_and_does_not_share_memory():
    records = five()
    first = take(records, 3)
    assert isinstance(first, Records)
    assert first.columns["user"].tolist() == ["a", "b", "a"] and first.targets.tolist() == [0, 1, 2]
    first.inputs.zero_()
    assert records.inputs[1].tolist() == [2.0, 3.0]


def test_take_of_other_datasets_is_a_subset():
    taken = take(Images([3, 1, 2]), 2)
    assert isinstance(taken, Subset) and targets_of(taken).tolist() == [3, 1]


@pytest.mark.parametrize(("count", "message"), [(6, "first 6 rows: there are only 5"), (0, "at least 1, not 0")])
def test_take_refuses_what_is_not_there(count, message):
    with pytest.raises(BadSetting, match=message):
        take(five(), count)


def test_with_columns_leaves_the_dataset_alone():
    records, images = five(), Images([3, 1, 2])
    assert sorted(columns_of(with_columns(records, {"city": np.array(list("pqrst"))}))) == ["age", "city", "user"]
    assert sorted(records.columns) == ["age", "user"]
    view = with_columns(images, {"city": np.array(["p", "q", "r"])})
    assert columns_of(Subset(view, [2]))["city"].tolist() == ["r"] and targets_of(view).tolist() == [3, 1, 2]
    assert unwrap(view)[0] is images and columns_of(images) == {}
    with pytest.raises(BadSetting, match="column 'age' is there already"):
        with_columns(records, {"age": np.arange(5)})


def test_source_reads_its_input_shape_and_refuses_no_data():
    assert Source("five", five(), five(), ("x", "y", "z")).input_shape == (2,)
    assert Source("images", Images([1]), Images([]), ()).input_shape == (1, 2, 2)
    with pytest.raises(BadSetting, match="none: the training set is empty"):
        Source("none", Images([]), five(), ())
    with pytest.raises(BadSetting, match="odd: the input of the first row is a str, not a tensor"):
        Source("odd", [("text", 1)], [], ())


def test_numbered_classes():
    assert numbered_classes(np.array([0, 3])) == ("0", "1", "2", "3")
    assert numbered_classes(np.array([0.5])) == ()
    assert numbered_classes(np.zeros((2, 2), dtype=int)) == ()
