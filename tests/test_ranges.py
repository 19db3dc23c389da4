"""Requests by comparison: what is in a range, what one may type, and what is said when it cannot be served."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from expunge.data import Records, split_by
from expunge.errors import BadRequest
from expunge.requests import ForgetKind, ForgetRange, ForgetRows, ForgetWhere, Request, parse_comparison

TARGETS = np.array([0.5, 1.5, 2.5, 3.5], dtype=np.float32)
COLUMNS = {
    "price": np.array([14_999, 100_000, 250_000, 500_001]),
    "score": np.array([0.1, 2.0, np.nan, 5.0], dtype=np.float32),
    "age": np.array(["18", " 17.5 ", "", "1e2"]),
    "winter": np.array(["yes", "no", "no", "yes"]),
    "unknown": np.array([np.nan] * 4),
}


def rows(request: Request, targets: np.ndarray = TARGETS) -> list[int]:
    picked = request.rows(targets, COLUMNS, ())
    assert picked.dtype == np.int64
    return picked.tolist()


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        ("price <= 100000", [0, 1], "rows whose price is at most 100,000"),
        ("price<1e5", [0], "rows whose price is below 100,000"),
        ("price >= 250_000", [2, 3], "rows whose price is at least 250,000"),
        ("price > 250000.5", [3], "rows whose price is above 250,000.5"),
        ("100000 <= price <= 250000", [1, 2], "rows whose price is from 100,000 to 250,000"),
        ("100000 < price <= 250000", [2], "rows whose price is above 100,000 and at most 250,000"),
        ("14_999 < price < 500001", [1, 2], "rows whose price is above 14,999 and below 500,001"),
        ("500001 > price >= 1e5", [1, 2], "rows whose price is from 100,000 to below 500,001"),
        ("0 <= score < 2", [0], "rows whose score is from 0 to below 2"),
        ("score <= 0.1", [0], "rows whose score is at most 0.1"),  # in the column's own precision
        ("score > -3.5", [0, 1, 3], "rows whose score is above -3.5"),
        ("2 <= score <= 2", [1], "rows whose score is 2"),
        ("age < 18", [1], "rows whose age is below 18"),
        ("'age' >= 18", [0, 3], "rows whose age is at least 18"),
        ("target >= 1.5", [1, 2, 3], "rows whose target is at least 1.5"),
    ],
)
def test_the_rows_in_a_range(text, expected, words):
    request = parse_comparison(text)
    assert rows(request) == expected
    assert request.describe() == words


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("median house value <= 1e5", ForgetRange("median house value", highest=100_000)),
        ("'median house value' <= 1e5", ForgetRange("median house value", highest=100_000)),
        ('"a<b" > 3', ForgetRange("a<b", 3, includes_lowest=False)),
        ("driver's age >= 18", ForgetRange("driver's age", 18)),
        ("2 > 'score of 5' >= 0", ForgetRange("score of 5", 0, 2, includes_highest=False)),
        ("customer = 17", ForgetWhere("customer", ("17",))),
        ("  customer==17 ", ForgetWhere("customer", ("17",))),
        ("'full name' = 'ada = bo'", ForgetWhere("full name", ("ada = bo",))),
    ],
)
def test_what_one_may_type(text, request_):
    assert parse_comparison(text) == request_


@pytest.mark.parametrize(
    "text", ["price <= 100000", "price < 0.5", "age >= 18", "age > -3.5", "0 <= score < 2", "0 < score <= 1234567.25"]
)
def test_a_range_is_written_as_it_is_typed(text):
    assert parse_comparison(text).comparison() == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("price", ""),
        ("", ""),
        ("price != 5", ""),
        ("price => 5", ""),
        ("price <=", ""),
        ("<= 5", ""),
        ("0 < price > 5", ": both signs of a range point the same way"),
        ("0 = price = 5", ": both signs of a range point the same way"),
        ("price <= 100,000", ": '100,000' is no number"),
        ("price < nan", ": 'nan' is no number"),
        ("5 <= price", ": 'price' is no number"),
        ("low < price < 5", ": 'low' is no number"),
    ],
)
def test_a_text_that_cannot_be_read_shows_how_to_write_it(text, why):
    with pytest.raises(BadRequest) as error:
        parse_comparison(text)
    assert str(error.value) == (
        f"'{text}' cannot be read as a comparison{why}; write it like price <= 100000, age > 18, 0 <= score < 2 "
        "or customer = 17, with names and values that hold < > = in quotes"
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            ForgetRange("price", highest=100),
            r"^forget set is empty: no row has price <= 100 \(price runs from 14,999 to 500,001\)$",
        ),
        (
            ForgetRange("score", 3, 4.5, includes_lowest=False),
            r"^forget set is empty: no row has 3 < score <= 4\.5 \(score runs from 0\.1 to 5\)$",
        ),
        (ForgetRange("unknown", 3), r"^forget set is empty: no row has unknown >= 3 \(unknown holds no number\)$"),
        (ForgetRange("winter", 3), "^column 'winter' cannot be compared with a number: 'yes' in row 0 is none;"),
        (
            ForgetRange("prize", 3),
            "^there is no column 'prize'; columns of the training set: 'price', 'score', 'age', 'winter', 'unknown'$",
        ),
        (ForgetRange("target", 4), r"^forget set is empty: no row has target >= 4 \(target runs from 0\.5 to 3\.5\)$"),
    ],
)
def test_what_cannot_be_served_says_why(request_, message):
    with pytest.raises(BadRequest, match=message):
        rows(request_)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForgetRange("age"), "a range of 'age' needs an end: state lowest, highest or both"),
        (lambda: ForgetRange("age", 5, 2), "forget set is empty: no number has 5 <= age <= 2"),
        (lambda: ForgetRange("age", 5, 5, includes_highest=False), "forget set is empty: no number has 5 <= age < 5"),
        (lambda: ForgetRange("age", math.nan), "lowest is a number, not nan"),
        (lambda: ForgetRange("age", 0, "65"), "highest is a number, not '65'"),
        (lambda: ForgetRange("age", True), "lowest is a number, not True"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_when_made(make, message):
    with pytest.raises(BadRequest, match=message):
        make()


def test_the_target_is_read_only_where_it_is_meant():
    above = ForgetRange("target", 2)
    assert above.reads_targets and not ForgetRange("price", 2).reads_targets
    assert rows(above, TARGETS[:, None]) == [2, 3]
    own = {"target": np.array([9, 0, 0, 0])}
    assert above.rows(TARGETS, own, ()).tolist() == [0]  # a column of that name comes first
    for wrong, what in ((np.zeros(4, dtype=int), r"int64 of shape \(4,\)"), (np.zeros((4, 2)), r"float64 of shape \(4, 2\)")):
        with pytest.raises(BadRequest, match=f"no column 'target', and the targets of the training set are {what}"):
            above.rows(wrong, {}, ())


@pytest.mark.parametrize("request_", [ForgetRange("price", 2e5), ForgetKind("winter", ("yes",))])
def test_ranges_and_kinds_tell_unseen_rows_apart(request_):
    assert request_.describes_unseen
    unseen = {"price": np.array([1.0, 3e5]), "winter": np.array(["no", "yes"])}
    assert request_.unseen_rows(np.zeros(2), unseen, ()).tolist() == [1]
    none = {"price": np.array([1.0]), "winter": np.array(["no"])}
    assert request_.unseen_rows(np.zeros(1), none, ()).tolist() == []
    message = "no column '.*' in the holdout, where it tells which rows are like those to forget; columns of the holdout: none$"
    with pytest.raises(BadRequest, match=message):
        request_.unseen_rows(np.zeros(1), {}, ())


def test_a_kind_picks_the_rows_that_its_values_name():
    kind = parse_comparison("winter = yes", kind=True)
    assert kind == ForgetKind("winter", ("yes",)) != ForgetWhere("winter", ("yes",))
    assert rows(kind) == [0, 3]
    assert kind.describe() == "rows whose winter is 'yes'"
    with pytest.raises(BadRequest, match="no row of column 'winter' holds 'maybe'"):
        rows(ForgetKind("winter", "maybe"))


def test_ranges_are_values():
    assert ForgetRange("age", np.float32(2)) == ForgetRange("age", 2) and hash(ForgetRange("age", 2)) is not None
    assert dataclasses.replace(ForgetRange("age", 2), highest=3) == ForgetRange("age", 2, 3)


def test_a_split_by_a_range_of_the_target():
    def records(*targets: float) -> Records:
        column = torch.tensor(targets, dtype=torch.float32)[:, None]
        return Records(column, column)

    parts = split_by(parse_comparison("target < 2"), records(0, 1, 2, 3), records(0.5, 2.5, 3.5))
    seen = {
        name: [value for inputs, _ in getattr(parts, name) for value in inputs.flatten().tolist()]
        for name in ("forget", "retain", "holdout", "holdout_forget")
    }
    assert seen == {"forget": [0, 1], "retain": [2, 3], "holdout": [2.5, 3.5], "holdout_forget": [0.5]}


def test_other_requests_read_no_targets():
    assert not ForgetRows((1,)).reads_targets and not ForgetKind("winter", ("yes",)).reads_targets
