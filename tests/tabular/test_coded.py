"""Tables as arrays, and back."""

import numpy as np
import pandas as pd
import pytest

from expunge.data.table_inputs import gaps_in
from expunge.errors import BadFile
from expunge.tabular import TableSchema
from expunge.tabular.coded import as_written, code, decode
from expunge.tabular.schema import key_of
from tabular.mixed import CATEGORICAL, mixed


def there_and_back(table, **options):
    return decode(code(table, TableSchema.infer(table, **options), "the table"))


def spelled(values):
    return [None if gap else key_of(value) for value, gap in zip(values, gaps_in(values), strict=True)]


def test_a_mixed_table_survives():
    table = mixed()
    found = there_and_back(table, categorical=CATEGORICAL)
    assert list(found) == list(table)
    for name in ("height", "income", "weight", "born", "seen"):
        assert spelled(found[name]) == spelled(table[name]), name
    for name in ("city", "grade", "member"):
        assert spelled(found[name]) == spelled(table[name]), name
    assert found["nothing"].isna().all()


def test_types_survive():
    found = there_and_back(mixed(), categorical=CATEGORICAL)
    kinds = {name: values.dtype.kind for name, values in found.items()}
    assert kinds | {"name": "", "city": "", "nothing": "", "born": ""} == {
        "name": "", "height": "f", "income": "i", "weight": "f", "city": "", "grade": "i", "member": "b", "born": "",
        "seen": "M", "nothing": "",
    }  # fmt: skip


def test_a_number_that_can_be_a_gap_is_a_float_even_where_none_is():
    with_gap = pd.DataFrame({"count": [np.nan, *range(1, 20)]})
    schema = TableSchema.infer(with_gap)
    assert decode(code(with_gap.iloc[1:], schema, "the table"))["count"].dtype.kind == "f"


def test_numbered_categories_with_gaps_are_numbers():
    table = pd.DataFrame({"grade": [4.0, np.nan, 5.0, 6.0] * 5})
    found = there_and_back(table, categorical=["grade"])["grade"]
    assert found.dtype.kind == "f"
    pd.testing.assert_series_equal(found, table["grade"])


def test_identifiers_are_made_anew():
    names = there_and_back(mixed())["name"]
    assert names.nunique() == 200 and not set(names) & set(mixed()["name"])
    assert names[0] == "name-001" and names[199] == "name-200"


def test_codes_are_places_of_values_and_a_gap_comes_after_them():
    table = pd.DataFrame({"city": ["Oslo", "Bern", None, "?", "Bern"] * 2})
    coded = code(table, TableSchema.infer(table), "the table")
    assert coded.codes[:5, 0].tolist() == [1, 0, 2, 2, 0]
    assert coded.sizes == (3,) and len(coded) == 10 and coded.unknown == ((),)
    assert coded.numbers.shape == (10, 0)


def test_unknown_values_come_after_the_gap_and_are_gaps_in_a_table():
    real = pd.DataFrame({"city": ["Oslo", "Bern"] * 5})
    other = pd.DataFrame({"city": ["Rome", "Oslo", "Athens", None, "Bern"] * 2})
    coded = code(other, TableSchema.infer(real), "the table")
    assert coded.codes[:5, 0].tolist() == [4, 1, 3, 2, 0]
    assert coded.unknown == (("Athens", "Rome"),) and coded.sizes == (5,)
    assert spelled(decode(coded)["city"])[:5] == [None, "Oslo", None, None, "Bern"]


def test_six_is_six_however_it_is_written():
    schema = TableSchema.infer(pd.DataFrame({"grade": [4, 5, 6] * 4}), categorical=["grade"])
    for grades in ([4.0, 5.0, 6.0] * 4, ["4", "5", "6"] * 4, [" 4", "5 ", "6"] * 4):
        coded = code(pd.DataFrame({"grade": grades}), schema, "the table")
        assert coded.codes[:3, 0].tolist() == [0, 1, 2] and coded.unknown == ((),)


def test_blanks_around_texts_mean_nothing():
    table = pd.DataFrame({"city": ["New Delhi", " New Delhi ", "Oslo", "Oslo "] * 3})
    schema = TableSchema.infer(table)
    assert schema["city"].values == ("New Delhi", "Oslo")
    assert code(table, schema, "the table").codes[:4, 0].tolist() == [0, 0, 1, 1]


def test_columns_come_in_the_order_of_the_schema_and_others_are_passed_over():
    table = mixed()
    schema = TableSchema.infer(table)
    other = code(table[list(table)[::-1]].assign(more=1), schema, "the table")
    assert np.array_equal(other.numbers, code(table, schema, "the table").numbers, equal_nan=True)


def test_dates_as_texts_and_as_timestamps_are_the_same():
    texts = pd.Series(["2024-01-31", "2024-02-29", None] * 4)
    schema = TableSchema.infer(pd.DataFrame({"day": texts}))
    as_times = code(pd.DataFrame({"day": pd.to_datetime(texts)}), schema, "the table")
    assert np.array_equal(as_times.numbers, code(pd.DataFrame({"day": texts}), schema, "the table").numbers, equal_nan=True)
    assert spelled(decode(as_times)["day"])[:3] == ["2024-01-31", "2024-02-29", None]


def test_dates_with_times_survive_to_the_second():
    texts = ["2024-01-31T23:59:59", "1969-07-20T20:17:40", "2038-01-19T03:14:07"] * 4
    assert there_and_back(pd.DataFrame({"at": texts}))["at"].tolist() == texts


def test_numbers_are_clipped_and_rounded_as_the_real_table_writes_them():
    table = pd.DataFrame({"price": [0.25, 0.5, 9.75] * 4, "day": ["2024-01-01", "2024-01-05", "2024-01-09"] * 4})
    price, day = TableSchema.infer(table).numbers
    assert as_written(np.array([-3.0, 0.333, 12.0]), price).tolist() == [0.25, 0.33, 9.75]
    assert (as_written(day.low + np.array([-5, 1.4, 1.6, 99]), day) - day.low).tolist() == [0, 1, 2, 8]
    assert np.isnan(as_written(np.array([np.nan]), price)).all()


def test_small_and_large_numbers_survive():
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"small": draw.random(20) * 1e-9, "large": draw.random(20) * 1e200})
    found = there_and_back(table)
    for name in table:
        assert found[name].to_numpy() == pytest.approx(table[name].to_numpy(), rel=1e-6)


def test_rows_by_number_and_by_mask():
    coded = code(mixed(), TableSchema.infer(mixed()), "the table")
    some = np.zeros(200, bool)
    some[[3, 8]] = True
    for which in (some, np.array([3, 8])):
        assert np.array_equal(coded.rows(which).codes, coded.codes[[3, 8]]) and len(coded.rows(which)) == 2


def test_wrong_tables_are_refused():
    table = mixed(12)
    schema = TableSchema.infer(table)
    with pytest.raises(BadFile, match="the table lacks column 'city'; it has name"):
        code(table.drop(columns="city"), schema, "the table")
    with pytest.raises(BadFile, match="lacks columns 'height', 'city'"):
        code(table.drop(columns=["city", "height"]), schema, "the table")
    with pytest.raises(BadFile, match="two columns 'city'"):
        code(pd.concat([table, table[["city"]]], axis=1), schema, "the table")
    with pytest.raises(BadFile, match="has 9 rows; expected at least 10"):
        code(table.head(9), schema, "the table")
    with pytest.raises(BadFile, match=r"row 3: column 'income' is 'much'"):
        code(table.assign(income=[1, 2, 3, "much", *range(8)]), schema, "the table")
    with pytest.raises(BadFile, match=r"row 0: column 'height' is 'inf'"):
        code(table.assign(height=np.inf), schema, "the table")


def test_dates_far_from_today_come_back():
    table = pd.DataFrame({"until": ["0001-01-01", "2024-02-29", "9999-12-31", None] * 5})
    table["at"] = pd.Series(pd.to_datetime(["1066-10-14T12:00:01", "9999-12-31T23:59:59"] * 10, format="ISO8601"))
    found = there_and_back(table)
    assert found["until"].where(found["until"].notna(), None).tolist() == ["0001-01-01", "2024-02-29", "9999-12-31", None] * 5
    assert found["at"].tolist() == table["at"].tolist()


def test_lists_in_cells_of_another_table_are_refused():
    schema = TableSchema.infer(pd.DataFrame({"tag": ["a", "b"] * 10}))
    with pytest.raises(BadFile, match="the table: column 'tag' has a list in a cell"):
        code(pd.DataFrame({"tag": [["a"]] * 10}), schema, "the table")
