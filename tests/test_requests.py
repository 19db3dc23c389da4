"""Requests: which rows they pick, and what they say when they cannot be served."""

import dataclasses

import numpy as np
import pytest

from expunge.errors import BadRequest
from expunge.requests import ForgetClass, ForgetFraction, ForgetRows, ForgetWhere, Request

TARGETS = np.array([0, 1, 2, 1, 0, 2, 1])
CLASSES = ("cat", "dog", "7")
COLUMNS = {
    "user": np.array(["ada", "bo", "ada", "cy", "ada", "bo", "cy"]),
    "age": np.array([30, 31, 30, 40, 50, 31, 60]),
    "score": np.array([0.5, 1.0, 2.5, 1.0, 3.0, 0.5, 4.0], dtype=np.float32),
}


def rows(request: Request) -> list[int]:
    picked = request.rows(TARGETS, COLUMNS, CLASSES)
    assert picked.dtype == np.int64
    return picked.tolist()


@pytest.mark.parametrize(
    ("request_", "expected", "words"),
    [
        (ForgetClass(1), [1, 3, 6], "class 1"),
        (ForgetClass("dog"), [1, 3, 6], "class dog"),
        (ForgetClass("1"), [1, 3, 6], "class 1"),
        (ForgetClass("7"), [2, 5], "class 7"),  # a name comes before an index
        (ForgetClass(("dog", 0)), [0, 1, 3, 4, 6], "classes dog, 0"),
        (ForgetClass(np.int64(2)), [2, 5], "class 2"),
        (ForgetRows((5, 0)), [0, 5], "2 rows"),
        (ForgetRows(np.array([3])), [3], "1 row"),
        (ForgetWhere("user", ("cy", "bo")), [1, 3, 5, 6], "rows whose user is one of 2 values"),
        (ForgetWhere("user", "cy"), [3, 6], "rows whose user is 'cy'"),
        (ForgetWhere("age", ("31", "60")), [1, 5, 6], "rows whose age is one of 2 values"),
        (ForgetWhere("age", (31,)), [1, 5], "rows whose age is '31'"),
        (ForgetWhere("score", ("1", "0.50")), [0, 1, 3, 5], "rows whose score is one of 2 values"),
    ],
)
def test_the_rows_that_are_asked_for(request_, expected, words):
    assert rows(request_) == expected
    assert request_.describe() == words


def test_class_requests_tell_unseen_rows_apart():
    unseen = np.array([1, 0, 1])
    assert ForgetClass("dog").describes_unseen
    assert ForgetClass("dog").unseen_rows(unseen, {}, CLASSES).tolist() == [0, 2]
    assert ForgetClass("7").unseen_rows(unseen, {}, CLASSES).tolist() == []


@pytest.mark.parametrize("request_", [ForgetRows((0,)), ForgetWhere("user", ("cy",)), ForgetFraction(0.5)])
def test_other_requests_do_not(request_):
    assert not request_.describes_unseen
    assert request_.unseen_rows(TARGETS, COLUMNS, CLASSES).tolist() == []


def test_the_fraction_is_drawn_by_its_seed():
    targets = np.zeros(1797)
    drawn = ForgetFraction(0.05).rows(targets, {}, ())
    assert len(np.unique(drawn)) == 90 and np.array_equal(drawn, np.sort(drawn))
    assert drawn.min() >= 0 and drawn.max() < 1797
    assert np.array_equal(drawn, ForgetFraction(0.05, seed=0).rows(targets, {}, ()))
    assert not np.array_equal(drawn, ForgetFraction(0.05, seed=1).rows(targets, {}, ()))
    assert len(ForgetFraction(0.001).rows(np.zeros(10), {}, ())) == 1
    assert ForgetFraction(0.05, seed=4).describe() == "5 % of the records (drawn with seed 4)"
    assert ForgetFraction(0.001).describe(10) == "0.1 % of the records (1 row, drawn with seed 0)"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ForgetClass(12), r"forget set is empty: class 12 does not occur in 7 labels \(classes 0\.\.2\)$"),
        (ForgetClass((1, -1)), r"class -1 does not occur in 7 labels \(classes 0\.\.2\)$"),
        (ForgetClass("cow"), r"class 'cow' is not one of the 3 classes 'cat', 'dog', '7'$"),
        (ForgetRows((7,)), r"row 7 is not in the training set of 7 rows; valid rows are 0\.\.6$"),
        (ForgetRows((0, -1, 9)), r"row -1 is not in .* valid rows are 0\.\.6 \(2 of the listed rows are outside\)$"),
        (ForgetRows((3, 1, 3)), r"row 3 is listed 2 times; .*valid rows are 0\.\.6$"),
        (ForgetWhere("usr", ("cy",)), "no column 'usr'; columns of the training set: 'user', 'age', 'score'$"),
        (ForgetWhere("user", ("di",)), r"forget set is empty: no row of column 'user' holds 'di' \(1 of 1 value asked"),
        (ForgetWhere("user", ("cy", "di", "ed")), r"^no row of column 'user' holds 'di', 'ed' \(2 of 3 values asked"),
        (ForgetWhere("score", ("many",)), "forget set is empty: no row of column 'score' holds 'many'"),
    ],
)
def test_what_cannot_be_served_says_why(request_, message):
    with pytest.raises(BadRequest, match=message):
        request_.rows(TARGETS, COLUMNS, CLASSES)


def test_a_class_that_is_known_but_absent():
    with pytest.raises(BadRequest, match=r"class 1 \(dog\) does not occur in 3 labels \(classes 0, 2\)"):
        ForgetClass(1).rows(np.array([0, 2, 2]), {}, CLASSES)
    with pytest.raises(BadRequest, match=r"class dog does not occur in 1,000 labels \(classes 0\)"):
        ForgetClass("dog").rows(np.zeros(1000, dtype=int), {}, CLASSES)


def test_classes_need_targets_that_are_classes():
    with pytest.raises(BadRequest, match=r"the targets are float64 of shape \(3,\)"):
        ForgetClass(1).rows(np.zeros(3), {}, ())
    with pytest.raises(BadRequest, match="class 'cow' is no index"):
        ForgetClass("cow").rows(TARGETS, {}, ())


def test_no_columns_at_all():
    with pytest.raises(BadRequest, match="columns of the training set: none"):
        ForgetWhere("user", ("cy",)).rows(TARGETS, {}, ())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForgetClass(()), "forget set is empty: no class is named"),
        (lambda: ForgetClass(True), "a class is a name or an index, not True"),
        (lambda: ForgetClass(1.5), "a class is a name or an index, not 1.5"),
        (lambda: ForgetRows(()), "forget set is empty: no row is listed"),
        (lambda: ForgetRows((1.0,)), "a row is a whole number, not 1.0"),
        (lambda: ForgetWhere("user", ()), "forget set is empty: no value of column 'user' is listed"),
        (lambda: ForgetFraction(0), "must lie between 0 and 1, not 0"),
        (lambda: ForgetFraction(5), "must lie between 0 and 1, not 5; 0.05 is 5 %"),
        (lambda: ForgetFraction(float("nan")), "must lie between 0 and 1, not nan"),
        (lambda: ForgetFraction(0.5, seed=-1), "seed of the draw must be 0 or more, not -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_when_made(make, message):
    with pytest.raises(BadRequest, match=message):
        make()


def test_requests_are_values():
    assert ForgetRows([2, 1]) == ForgetRows((2, 1)) and hash(ForgetRows([2, 1])) == hash(ForgetRows((2, 1)))
    assert ForgetClass(["dog", 0]) == ForgetClass(("dog", 0))
    assert dataclasses.replace(ForgetFraction(0.5), seed=3) == ForgetFraction(0.5, 3)
    assert ForgetWhere("user", ["b", "b", "a"]).values == ("b", "a")
