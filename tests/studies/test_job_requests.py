"""Requests in job files: every form, and what an error names."""

import re

import pytest

from expunge.requests import ForgetClass, ForgetFraction, ForgetKind, ForgetRange, ForgetRows, ForgetWhere
from expunge.studies.graph_job import FORMS as ON_GRAPHS
from expunge.studies.job import BadJob, parse_job, request_from
from expunge.studies.recommendation_job import FORMS as ON_RECOMMENDERS
from studies.jobs import MINIMAL, fault


@pytest.mark.parametrize(
    ("spelled", "request_"),
    [
        ("{class: 3}", ForgetClass(3)),
        ("{class: cat}", ForgetClass("cat")),
        ("{class: '3'}", ForgetClass("3")),
        ("{class: [cat, 2]}", ForgetClass(("cat", 2))),
        ("{rows: [5, 1]}", ForgetRows((5, 1))),
        ("{rows: ['5', 1]}", ForgetRows((5, 1))),
        ("{column: user, values: [ada, 7]}", ForgetWhere("user", ("ada", "7"))),
        ("{fraction: 0.05}", ForgetFraction(0.05, 0)),
        ("{fraction: 0.5, seed: 4}", ForgetFraction(0.5, 4)),
        ("{where: 'price <= 100000'}", ForgetRange("price", highest=100000)),
        ("{where: price <= 1e5}", ForgetRange("price", highest=100000)),
        ("{where: '0 <= score < 2'}", ForgetRange("score", 0, 2, includes_highest=False)),
        ("{where: customer = 17}", ForgetWhere("customer", ("17",))),
        ("{where: season = winter, kind: false}", ForgetWhere("season", ("winter",))),
        ("{where: season = winter, kind: true}", ForgetKind("season", ("winter",))),
        ("{where: score < 2, kind: true}", ForgetRange("score", highest=2, includes_highest=False)),
    ],
)
def test_every_form_of_a_request(spelled, request_):
    assert parse_job(MINIMAL.replace("{class: 3}", spelled)).request == request_


def test_requests_that_are_listed_in_files(tmp_path):
    (tmp_path / "rows.txt").write_text("5\n\n1\n")
    (tmp_path / "people.csv").write_text("user,age\nada,30\nbo,31\n")
    assert request_from({"rows_in": tmp_path / "rows.txt"}) == ForgetRows((5, 1))
    spelled = f"{{column: user, values_in: {tmp_path / 'people.csv'}}}"
    assert parse_job(MINIMAL.replace("{class: 3}", spelled)).request == ForgetWhere("user", ("ada", "bo"))
    assert request_from({"column": "age", "values_in": str(tmp_path / "people.csv")}) == ForgetWhere("age", ("30", "31"))


@pytest.mark.parametrize(
    ("spelled", "named"),
    [
        ("{}", "none"),
        ("{klass: 3}", "klass"),
        ("{class: 3, rows: [1]}", "class, rows"),
        ("{rows: [1], rows_in: rows.txt}", "rows, rows_in"),
        ("{rows: 5}", "rows"),
        ("{column: user}", "column"),
        ("{values: [a]}", "values"),
        ("{column: user, values: a}", "column, values"),
        ("{column: user, values: [a], values_in: a.txt}", "column, values, values_in"),
        ("{column: user, rows: [1]}", "column, rows"),
        ("{seed: 3}", "seed"),
        ("{fraction: 0.1, class: 3}", "class, fraction"),
        ("{class: 3, seed: 1}", "class, seed"),
        ("{kind: true}", "kind"),
        ("{where: a < 1, column: a}", "column, where"),
        ("{where: a < 1, seed: 1}", "seed, where"),
        ("{column: season, values: [winter], kind: true}", "column, kind, values"),
    ],
)
def test_fields_that_make_no_request_are_named_beside_all_forms(spelled, named):
    message = fault(MINIMAL.replace("{class: 3}", spelled), 3, "request")
    assert message.startswith("a request is one of {class: 3}, {rows: [1, 5]}, {rows_in: rows.txt}, ")
    assert "{column: user_id, values: [a]}, {where: 'price <= 1e5'}, {fraction: 0.05}" in message
    assert f"; on graphs {ON_GRAPHS}; on recommenders {ON_RECOMMENDERS}; " in message
    assert message.endswith(f"; these fields make none: {named}")


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ("{class: []}", "no class is named"),
        ("{class: 1.5}", "a class is a name or an index, not 1.5"),
        ("{class: null}", "a class is a name or an index, not None"),
        ("{rows: []}", "no row is listed"),
        ("{rows: [1, two]}", "rows are whole numbers from 0: .*'two'"),
        ("{rows: [1.5]}", "rows are whole numbers from 0: .*'1.5'"),
        ("{rows: [true]}", "rows are whole numbers from 0: .*'True'"),
        ("{column: user, values: []}", "no value of column 'user' is listed"),
        ("{fraction: 0}", "must lie between 0 and 1, not 0"),
        ("{fraction: 5}", "must lie between 0 and 1, not 5.0; 0.05 is 5 %"),
        ("{fraction: 0.5, seed: -1}", "seed of the draw must be 0 or more, not -1"),
        ("{rows_in: nowhere.txt}", "file not found: nowhere.txt"),
        ("{where: cheap}", "^'cheap' cannot be read as a comparison; write it like price <= 100000, age > 18"),
        ("{where: price <= much}", "'price <= much' cannot be read as a comparison: 'much' is no number"),
        ("{where: 5 < price < 1}", "forget set is empty: no number has 5 < price < 1"),
        ("{column: user, values_in: nowhere.csv}", "file not found: nowhere.csv"),
    ],
)
def test_a_request_that_makes_no_sense_has_its_line(spelled, message):
    assert re.search(message, fault(MINIMAL.replace("{class: 3}", spelled), 3, "request"))


@pytest.mark.parametrize(
    "spelled",
    [
        "{fraction: many}",
        "{fraction: null}",
        "{fraction: 0.1, seed: x}",
        "{rows_in: 5}",
        "{rows_in: [rows.txt]}",
        "{column: user, values_in: null}",
        "{where: 5}",
        "{where: null}",
        "{where: [a < 1]}",
    ],
)
def test_a_value_of_the_wrong_kind_in_a_request_has_its_line(spelled):
    found = None
    try:
        parse_job(MINIMAL.replace("{class: 3}", spelled), "my.yaml")
    except BadJob as error:
        found = str(error)
    assert found is not None and found.startswith("my.yaml, line 3, request")


@pytest.mark.parametrize("seed", ["1.7", "true"])
def test_a_seed_that_is_no_whole_number_is_refused_and_not_cut_off(seed):
    with pytest.raises(BadJob, match="seed"):
        parse_job(MINIMAL.replace("{class: 3}", f"{{fraction: 0.1, seed: {seed}}}"))


@pytest.mark.parametrize("kind", ["1", "'true'", "winter", "null", "0"])
def test_a_kind_that_is_neither_true_nor_false_is_refused_and_not_passed_over(kind):
    with pytest.raises(BadJob, match=r"my\.yaml, line 3, request.*kind"):
        parse_job(MINIMAL.replace("{class: 3}", f"{{where: season = winter, kind: {kind}}}"), "my.yaml")


@pytest.mark.parametrize("column", ["[user]", "null"])
def test_a_column_that_is_no_name_is_refused(column):
    with pytest.raises(BadJob, match="column"):
        parse_job(MINIMAL.replace("{class: 3}", f"{{column: {column}, values: [a]}}"))
