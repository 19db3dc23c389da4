"""What the columns of a table are taken for."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadFile, BadSetting
from expunge.tabular import TableSchema
from expunge.tabular.coded import code
from expunge.tabular.schema import days_of, key_of, numbers_of, read_kinds
from tabular.mixed import CATEGORICAL, mixed


def kinds(table, **options):
    return {column.name: column.kind for column in TableSchema.infer(table, **options)}


def test_columns_of_all_kinds_are_told_by_their_values():
    assert kinds(mixed()) == {
        "name": "identifier",
        "height": "number",
        "income": "number",
        "weight": "number",
        "city": "category",
        "grade": "number",
        "member": "category",
        "born": "date",
        "seen": "date",
        "nothing": "empty",
    }
    assert kinds(mixed(), categorical=CATEGORICAL)["grade"] == "category"


def test_numbers_of_two_values_are_categories_and_of_three_numbers():
    table = pd.DataFrame({"two": [0, 1, 1, 0], "three": [0, 1, 2, 0], "one": [5.5, 5.5, 5.5, 5.5]})
    assert kinds(table) == {"two": "category", "three": "number", "one": "number"}


def test_few_texts_are_categories_even_if_all_are_different():
    assert kinds(pd.DataFrame({"text": [f"word {row}" for row in range(50)]}))["text"] == "category"
    assert kinds(pd.DataFrame({"text": [f"word {row}" for row in range(51)]}))["text"] == "identifier"


def test_texts_of_which_a_tenth_repeats_are_no_identifiers():
    assert kinds(pd.DataFrame({"text": [f"word {row % 89}" for row in range(100)]}))["text"] == "category"
    assert kinds(pd.DataFrame({"text": [f"word {row % 91}" for row in range(100)]}))["text"] == "identifier"


def test_facts_of_columns():
    table = pd.DataFrame(
        {"price": [1.25, np.nan, 3.5, 2], "day": ["2024-01-31", "?", "2024-02-01", None], "size": [*"MLM", " M "]}
    )
    schema = TableSchema.infer(table, kinds={"size": "category"})
    price, day, size = schema
    assert (price.low, price.high, price.decimals, price.gap_count, price.stated) == (1.25, 3.5, 2, 1, False)
    assert (day.kind, day.days, day.text, day.gap_count, day.high - day.low) == ("date", True, True, 2, 1.0)
    assert (size.values, size.stated) == (("L", "M"), True)
    assert schema["price"] is price
    assert (schema.numbers, schema.categories, schema.left_out) == ((price, day), (size,), ())


def test_whole_numbers_have_no_decimals_and_eight_are_the_most():
    table = pd.DataFrame({"whole": [1.0, 2.0, 10.0], "tenths": [0.1, 0.2, 0.3], "thirds": [1 / 3, 2 / 3, 1.0]})
    assert [column.decimals for column in TableSchema.infer(table)] == [0, 1, 8]


def test_small_numbers_have_eight_digits():
    table = pd.DataFrame({"small": [1e-9 / 3, 2e-9, 4e-10], "smallest": [1e-200, 3e-200, 2e-200], "nothing": [0.0, 0.0, 0.0]})
    assert [column.decimals for column in TableSchema.infer(table)] == [17, 200, 0]


def test_dates_with_a_time_are_no_days():
    table = pd.DataFrame({"at": ["2024-01-31T12:00", "2024-02-01"], "on": pd.to_datetime(["2024-01-31", "2024-02-01"])})
    schema = TableSchema.infer(table, kinds={"at": "date"})
    assert [(column.days, column.text) for column in schema] == [(False, True), (True, False)]


def test_a_text_that_only_looks_like_a_date_is_a_category():
    assert kinds(pd.DataFrame({"day": ["2024-13-31", "2024-02-01"]}))["day"] == "category"


def test_days_count_from_1970_in_utc():
    days = days_of(pd.Series(["1970-01-02", "1970-01-01T12:00:00", "1970-01-01T01:00:00+01:00", None, "NA"]))
    assert days[:3].tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(days[3:]).all()


def test_one_value_has_one_spelling():
    assert [key_of(value) for value in (6, 6.0, np.int64(6), np.float32(6))] == ["6"] * 4
    assert [key_of(value) for value in (True, np.bool_(False), 0.5, " blank ", 1e300)] == [
        "True", "False", "0.5", "blank", str(int(1e300))
    ]  # fmt: skip


def test_json_gives_the_schema_back():
    schema = TableSchema.infer(mixed(), CATEGORICAL)
    assert TableSchema.from_json(schema.as_json()) == schema


def test_categories_that_are_neither_numbers_nor_texts_are_texts():
    table = pd.DataFrame({"on": pd.to_datetime(["2024-02-01", "2024-01-31"] * 5)})
    schema = TableSchema.infer(table, categorical=["on"])
    assert schema["on"].values == ("2024-01-31 00:00:00", "2024-02-01 00:00:00")
    assert code(table, schema, "the table").codes[:2, 0].tolist() == [1, 0]


def test_it_prints_what_columns_are():
    text = str(TableSchema.infer(mixed(), CATEGORICAL))
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "as stated" in lines["grade"] and "4, 5, 6" in lines["grade"]
    assert "inferred" in lines["city"] and "Bern, New Delhi, Oslo" in lines["city"]
    assert "2024-01-01" in lines["seen"]


def test_wrong_tables_are_refused():
    twice = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    with pytest.raises(BadFile, match="two columns 'a'"):
        TableSchema.infer(twice)
    with pytest.raises(BadFile, match="a column named 0, which is no text"):
        TableSchema.infer(pd.DataFrame([[1, 2], [3, 4]]))
    with pytest.raises(BadFile, match=r"no column 'agee'.*did you mean age"):
        TableSchema.infer(pd.DataFrame({"age": [1, 2, 3]}), categorical=["agee"])
    with pytest.raises(BadFile, match=r"row 1: column 'age' is 'inf'"):
        TableSchema.infer(pd.DataFrame({"age": [1.0, np.inf, 3.0]}))
    with pytest.raises(BadFile, match=r"row 1: column 'age' is 'inf'"):
        TableSchema.infer(pd.DataFrame({"age": [1.0, np.inf, 3.0]}), categorical=["age"])
    with pytest.raises(BadFile, match=r"row 2: column 'age' is 'old'"):
        TableSchema.infer(pd.DataFrame({"age": ["1", "2", "old"]}), kinds={"age": "number"})
    with pytest.raises(BadFile, match="column 'day' has values that are no dates"):
        TableSchema.infer(pd.DataFrame({"day": ["2024-01-31", "yesterday"]}), kinds={"day": "date"})


def test_wrong_kinds_are_refused():
    table = pd.DataFrame({"age": [1, 2, 3]})
    with pytest.raises(BadSetting, match="can't be of kind 'text'; there are number"):
        TableSchema.infer(table, kinds={"age": "text"})
    with pytest.raises(BadSetting, match="categorical and of kind 'number'"):
        TableSchema.infer(table, categorical=["age"], kinds={"age": "number"})


def test_a_column_without_values_is_empty_whatever_its_owner_says():
    assert kinds(pd.DataFrame({"age": [np.nan, "NA"]}, dtype=object), kinds={"age": "number"})["age"] == "empty"


def test_numbers_keep_gaps():
    found = numbers_of(pd.Series([1, None, "?", 2.5], dtype=object), "the table")
    assert found[[0, 3]].tolist() == [1.0, 2.5] and np.isnan(found[1:3]).all()


def test_nullable_types_of_pandas_are_read():
    table = pd.DataFrame({"age": pd.array([1, None, 3, 4], "Int64"), "yes": pd.array([True, None, False, True], "boolean")})
    schema = TableSchema.infer(table)
    assert [(column.kind, column.gap_count) for column in schema] == [("number", 1), ("category", 1)]
    assert schema["yes"].values == (False, True)


@pytest.mark.parametrize("text", ["age: number\ncity: category\n", "columns:\n  age: number\n  city: category\n"])
def test_kinds_come_from_yaml(tmp_path, text):
    (tmp_path / "kinds.yaml").write_text(text)
    assert read_kinds(tmp_path / "kinds.yaml") == {"age": "number", "city": "category"}


@pytest.mark.parametrize("text", ["- age\n", "age: 3\n", "age: [", "columns: number"])
def test_other_yaml_is_refused(tmp_path, text):
    (tmp_path / "kinds.yaml").write_text(text)
    with pytest.raises(BadFile, match=r"kinds\.yaml"):
        read_kinds(tmp_path / "kinds.yaml")


def test_missing_yaml_is_refused(tmp_path):
    with pytest.raises(BadFile, match="can't be read"):
        read_kinds(tmp_path / "nothing.yaml")


def test_dates_far_from_today_are_dates():
    values = pd.Series(["0001-01-01", "2024-02-29", "9999-12-31"] * 4, name="until")
    found = TableSchema.infer(values.to_frame())["until"]
    assert found.kind == "date" and found.days and str(TableSchema((found,))).count("9999-12-31") == 1
    assert (found.low, found.high) == (-719_162.0, 2_932_896.0)
    assert days_of(pd.Series(pd.date_range("9990-01-01", periods=2, unit="s"))).tolist() == [2_929_245.0, 2_929_246.0]


def test_whole_numbers_beyond_those_of_floats_are_told_apart():
    keys = [2**62, 2**62 + 1, 2**62 + 2]
    found = TableSchema.infer(pd.DataFrame({"account": keys * 10}), categorical=["account"])["account"]
    assert found.values == tuple(keys) and found.keys == tuple(map(str, keys))


def test_single_precision_has_the_decimals_it_was_written_with():
    table = pd.DataFrame({"price": (np.arange(30) / 10).astype(np.float32)})
    assert TableSchema.infer(table)["price"].decimals == 1


def test_lists_in_cells_are_refused():
    with pytest.raises(BadFile, match="the real table: column 'tags' has a list in a cell; expected one number or text"):
        TableSchema.infer(pd.DataFrame({"tags": [["a"], ["b", "c"]] * 10}))


def test_a_text_is_no_list_of_columns_and_a_foreign_name_is_named():
    with pytest.raises(BadSetting, match=r"not the text 'grade'; write \['grade'\]"):
        TableSchema.infer(mixed(), categorical="grade")
    with pytest.raises(KeyError, match="no column 'age'; there are name, height"):
        TableSchema.infer(mixed())["age"]
