"""What rows must be: checked against arrays, as a table would write them."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadRequest
from expunge.tabular import TableSchema
from expunge.tabular.generators.generator import Conditions, joined, known


def schema():
    real = pd.DataFrame(
        {
            "price": [0.25, 9.75, 3.5, np.nan] * 5,
            "city": ["Bern", "Oslo", None, "New Delhi"] * 5,
            "day": ["2024-01-01", "2024-01-05", "2024-01-09", "2024-01-03"] * 5,
            "at": ["2024-01-01T00:00:00", "2024-01-05T12:00:00", "2024-01-09T00:00:01", "2024-01-03"] * 5,
            "grade": [1, 2, 2, 1] * 5,
        }
    )
    return TableSchema.infer(real, kinds={"at": "date"})


def satisfied(wanted, numbers=(), codes=()):
    """Of rows that differ in the columns given, by place; all else is nothing."""
    count = max(len(each) for each in (*dict(numbers).values(), *dict(codes).values()))
    rows = known(schema(), np.full((count, 3), np.nan), np.zeros((count, 2), int))
    for place, values in dict(numbers).items():
        rows.numbers[:, place] = values
    for place, values in dict(codes).items():
        rows.codes[:, place] = values
    return Conditions.of(schema(), wanted).satisfied(rows).tolist()


def test_numbers_count_as_they_are_written():
    values = [2.994, 2.996, 3.004, 3.006, np.nan]
    assert satisfied({"price": (3, 4)}, {0: values}) == [False, True, True, True, False]
    assert satisfied({"price": 3}, {0: values}) == [False, True, True, False, False]
    assert satisfied({"price": None}, {0: values}) == [False, False, False, False, True]


def test_numbers_beyond_the_range_count_as_its_ends():
    assert satisfied({"price": (9, 9.75)}, {0: [12.0, 8.9, -5]}) == [True, False, False]


def test_days_count_as_they_are_written():
    first = schema()["day"].low
    assert satisfied({"day": "2024-01-03"}, {1: first + np.array([1.4, 1.6, 2.4, 2.6])}) == [False, True, True, False]


def test_times_count_to_the_second():
    noon = schema()["at"].low + 4.5
    second = 1 / 86_400
    wanted = {"at": ("2024-01-05T12:00:00", "2024-01-05T12:00:05")}
    assert satisfied(wanted, {2: noon + second * np.array([-0.6, -0.4, 5.4, 5.6])}) == [False, True, True, False]


def test_categories_are_one_of_those_wanted():
    values = np.arange(4)  # Bern, New Delhi, Oslo, gap
    assert satisfied({"city": "Oslo"}, codes={0: values}) == [False, False, True, False]
    assert satisfied({"city": ["Oslo", "Bern", None]}, codes={0: values}) == [True, False, True, True]
    assert satisfied({"grade": 1.0}, codes={1: [0, 1]}) == satisfied({"grade": "1"}, codes={1: [0, 1]}) == [True, False]


def test_all_conditions_must_be_satisfied():
    wanted = {"price": (1, 5), "city": "Bern"}
    assert satisfied(wanted, {0: [3, 3, 9, 9]}, {0: [0, 1, 0, 1]}) == [True, False, False, False]


def test_they_say_what_was_wanted():
    assert str(Conditions.of(schema(), {"price": (1, 5), "city": "Bern"})) == "price = (1, 5), city = 'Bern'"


def test_a_gap_can_be_wanted_only_where_the_real_table_has_one():
    with pytest.raises(BadRequest, match="column 'day' has no gap"):
        Conditions.of(schema(), {"day": None})
    with pytest.raises(BadRequest, match="column 'grade' has no value None"):
        Conditions.of(schema(), {"grade": None})


def test_parts_are_joined_in_order():
    part = known(schema(), np.arange(6.0).reshape(2, 3), np.array([[0, 1], [2, 0]]))
    both = joined([part, part.rows(np.array([1]))])
    assert both.numbers[:, 0].tolist() == [0, 3, 3] and both.codes[:, 0].tolist() == [0, 2, 2]
