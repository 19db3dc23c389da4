"""Folds by person: nobody is in two parts, classes are spread, and folds that cannot be made are refused in words."""

from collections import Counter

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.search.faces import Fold, check_folds, leave_one_person_out, person_folds


def crowd(seed: int, people: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Persons with 2 to 9 rows each, of three classes that are not alike in size, shuffled."""
    draw = np.random.default_rng(seed)
    persons = draw.permutation(np.repeat([f"p{number:02}" for number in range(people)], draw.integers(2, 10, people)))
    return persons, draw.choice(3, len(persons), p=(0.5, 0.3, 0.2))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 5])
def test_nobody_is_in_two_parts(seed: int, count: int) -> None:
    persons, labels = crowd(seed)
    folds = person_folds(persons, labels, count, seed)
    assert len(folds) == count
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(persons)))
    for fold in folds:
        parts = [set(persons[rows]) for rows in (fold.weights, fold.architecture, fold.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert len(fold.train) == len(fold.weights) + len(fold.architecture) == len(persons) - len(fold.test)
        assert set(labels[fold.weights]) == {0, 1, 2}
    check_folds(folds, persons, labels)


@pytest.mark.parametrize("seed", range(4))
def test_each_person_is_left_out_once(seed: int) -> None:
    persons, labels = crowd(seed, people=9)
    folds = leave_one_person_out(persons, labels, seed)
    assert [set(persons[fold.test]) for fold in folds] == [{person} for person in sorted(set(persons))]
    for fold in folds:
        assert not set(persons[fold.weights]) & set(persons[fold.architecture])
        assert set(persons[fold.test]).isdisjoint(persons[fold.train])
    check_folds(folds, persons, labels)


def test_classes_are_spread_where_persons_have_one_each() -> None:
    labels = np.array([0] * 24 + [1] * 12 + [2] * 12)
    for fold in person_folds(np.arange(48), labels, 6, seed=3):
        assert Counter(labels[fold.test].tolist()) == {0: 4, 1: 2, 2: 2}
        assert Counter(labels[fold.architecture].tolist()) == {0: 10, 1: 5, 2: 5}


def test_the_seed_decides() -> None:
    persons, labels = crowd(0)
    folds = [person_folds(persons, labels, 4, seed)[0] for seed in (1, 1, 2)]
    assert np.array_equal(folds[0].test, folds[1].test) and np.array_equal(folds[0].weights, folds[1].weights)
    assert not np.array_equal(folds[0].test, folds[2].test)


def test_the_architecture_can_have_a_smaller_share() -> None:
    labels = np.zeros(60, dtype=int)
    fold = person_folds(np.arange(60), labels, 6, architecture_share=0.2)[0]
    assert (len(fold.weights), len(fold.architecture), len(fold.test)) == (40, 10, 10)


def test_the_weights_have_a_class_that_one_person_shows() -> None:
    persons, labels = np.arange(12), np.array([0, 1] * 5 + [0, 2])
    for fold in leave_one_person_out(persons[:-1], labels[:-1]):
        assert set(labels[fold.weights]) == {0, 1}
    with pytest.raises(BadSetting, match="fold 11: class 2 has none of its 1 rows in the training part"):
        leave_one_person_out(persons, labels)
    labels[0] = 2
    for fold in leave_one_person_out(persons, labels):
        assert 2 in labels[fold.weights]


@pytest.mark.parametrize(
    ("persons", "labels", "count", "said"),
    [
        (["a", "b", "a"], [0, 0, 0], 3, "3 folds need at least 3 persons.*there are 2"),
        (["a", "b"], [0, 0], 2, "at least 2 persons to train on"),
        (["a", "b", "c"], [0, 0, 0], 1, "at least 2"),
        (["a", "", "c"], [0, 0, 0], 2, "row 1 has no person"),
        (["a", None, "c"], [0, 0, 0], 2, "row 1 has no person"),
        ([1.0, float("nan"), 2.0], [0, 0, 0], 2, "row 1 has no person"),
        (["a", "b"], [0], 2, r"\(2,\) and \(1,\)"),
        ([], [], 2, "one person and one class"),
        (["a", "b", "c"], [0.5, 0.1, 0.2], 2, "class indices"),
        (["a", "b", "c", "d"], [0, 0, 0, 1], 2, "class 1 has none of its 1 rows"),
    ],
)
def test_folds_that_cannot_be_made(persons: list, labels: list, count: int, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        person_folds(persons, labels, count)


def test_too_few_to_leave_one_out_and_shares_without_sense() -> None:
    with pytest.raises(BadSetting, match="at least 3 persons; there are 2"):
        leave_one_person_out(["a", "b"], [0, 0])
    with pytest.raises(BadSetting, match="architecture_share"):
        person_folds(range(8), [0] * 8, 2, architecture_share=0.9)


def fold(weights: list[int], architecture: list[int], test: list[int]) -> Fold:
    return Fold(*(np.array(rows, dtype=np.int64) for rows in (weights, architecture, test)))


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ([fold([0], [2], [1, 4])], "person ada is in both weights and test: rows 0 and 1"),
        ([fold([0, 1], [2], [4]), fold([2], [3], [0])], "fold 1: person bo is in both weights and architecture"),
        ([fold([0, 1], [2], [4]), fold([2], [0], [4])], "person cy is tested in both fold 0 and fold 1"),
        ([fold([0], [], [4])], "part architecture has no rows"),
        ([fold([0], [2], [9])], "rows 9 to 9; the data has 0 to 4"),
        ([fold([0, 0], [2], [4])], "part weights has a row twice"),
        ([fold([4], [2], [0])], "class 0 has none of its 3 rows"),
    ],
)
def test_a_users_folds_are_checked(folds: list[Fold], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        check_folds(folds, ["ada", "ada", "bo", "bo", "cy"], [0, 0, 0, 1, 1] if "class" in said else [0] * 5)
