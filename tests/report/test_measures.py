import pytest

from expunge.report.evidence import Value
from expunge.report.measures import listed, main_columns, other_columns, printable, spread, written
from expunge.report.tables import table


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "percent", "not defined"),
        (float("nan"), "percent", "not a number"),
        (float("inf"), "number", "infinite"),
        (-0.00001, "percent", "0.0"),
        (1.0, "percent", "100.0"),
        (2.5, "count", "2.5"),
        (0.0061, "ratio", "0.006"),
        (0.125, "ratio", "0.12"),
        (0.0, "number", "0.000"),
        (212.4, "seconds", "212.4"),
        (0.0, "answer", "0"),
        (0.42, "answer", "0.420"),
        (999.94, "answer", "999.9"),
        (999.96, "answer", "1,000"),
        (37_210.4, "answer", "37,210"),
        (-1_234_567.8, "answer", "-1,234,568"),
        (0.034, "share", "3.4"),
        (1200.0, "count", "1,200"),
    ],
)
def test_figures_as_text(value, kind, text):
    assert written(value, kind) == text


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (Value(0.5, 0.012, 2, None), "percent", "± 1.2"),
        (Value(0.5, 0.00001, 3, None), "number", "± 0.000"),
        (Value(12.0, 1.41, 2, None), "count", "± 1.4"),
        (Value(42_000.0, 1_260.4, 3, None), "answer", "± 1,260"),
        (Value(0.5, 0.0, 1, None), "percent", ""),
        (Value(None, 0.0, 0, None), "percent", ""),
    ],
)
def test_spread_is_shown_only_over_several_seeds(value, kind, text):
    assert spread(value, kind) == text


def test_columns_are_in_reading_order_and_none_is_lost(make):
    method = make.row("m", tow=0.9, forget_kl=0.1, seconds=3.0, foreign_metric=1.0, forget_accuracy_gap=0.1)
    case = make.case(method)
    main, rest = main_columns(case), other_columns(case)
    assert [column.metric for column in main][:2] == ["forget_accuracy", "holdout_forget_accuracy"]
    assert [column.metric for column in main][-1] == "seconds_ratio"
    assert {column.metric for column in [*main, *rest]} == {metric for row in case.rows for metric in row.values}
    assert {"foreign_metric", "forget_accuracy_gap"} <= {column.metric for column in rest}


def test_a_table_has_the_references_first_and_marks_what_misses(make):
    case = make.case(make.row("bad", holdout_accuracy=0.5))
    shuffled = type(case)(case.title, case.forgotten, tuple(reversed(case.rows)))
    made = table(shuffled, main_columns(shuffled))
    assert [line.row.name for line in made.lines] == ["original", "retrained", "retrained-2", "bad"]
    marked = {
        (line.row.name, column.metric)
        for line in made.lines
        for column, cell in zip(made.columns, line.cells, strict=True)
        if cell.missed
    }
    assert marked == {
        ("original", "forget_accuracy"),
        ("original", "holdout_forget_accuracy"),
        ("original", "membership_auc"),
        ("bad", "holdout_accuracy"),
    }
    assert dict(zip((column.metric for column in made.columns), made.hints, strict=True))["holdout_accuracy"] == (
        "within 1 point"
    )


def test_an_ideal_in_percent_is_never_written_as_a_share(make):
    whole = Value(1.0, 0.0, 1, 1.0)
    case = make.case(make.row("m", retain_accuracy=whole, tow=Value(0.9, 0.0, 1, 1.0)))
    rows = tuple(type(row)(row.name, row.role, {**row.values, "retain_accuracy": whole}) for row in case.rows)
    made = table(type(case)(case.title, case.forgotten, rows), main_columns(case))
    hints = dict(zip((column.metric for column in made.columns), made.hints, strict=True))
    assert (hints["retain_accuracy"], hints["tow"]) == ("as retrained", "ideal 1")


def test_equal_notes_share_one_letter(make):
    first, second = Value(None, 0.0, 0, 1.0, "not defined: a"), Value(None, 0.0, 0, 1.0, "not defined: b")
    case = make.case(make.row("x", anamnesis_index=first), make.row("y", anamnesis_index=first), make.row("z", tow=second))
    assert table(case, main_columns(case)).footnotes == (("a", "not defined: a"), ("b", "not defined: b"))


@pytest.mark.parametrize(("unit", "group", "label"), [("USD", "MAE (USD)", "Wasserstein, USD"), ("", "MAE", "Wasserstein")])
def test_errors_have_their_unit_in_the_heading(make, unit, group, label):
    method = make.errors_row("m", forget_mae_gap=0.1, holdout_distance=0.2, forget_relative_difference=0.03, lira_auc=0.6)
    case = make.errors_case(method, unit=unit)
    main = {column.metric: column for column in main_columns(case)}
    rest = {column.metric: column for column in other_columns(case)}
    assert main["forget_mae"].group == f"{group} on data that was" and main["forget_mae"].label == "forgotten"
    assert main["forget_wasserstein"].label == label
    assert main["lira_auc"].group == "LiRA attack"
    behind = f", {unit}" if unit else ""
    assert rest["forget_mae_gap"].label == f"gap, forgotten{behind}"
    assert rest["holdout_distance"].label == f"distance to retrained, unseen{behind}"
    assert rest["forget_relative_difference"].label == "difference to retrained, forgotten, median, %"
    assert rest["forget_relative_difference"].write(0.03) == "3.0"


def test_a_share_of_difference_has_an_ideal_of_its_own(make):
    share = {"forget_relative_difference": Value(0.03, 0.0, 1, 0.0), "lira_tpr": Value(0.0, 0.0, 1, 0.0)}
    case = make.errors_case(make.errors_row("m", **share))
    columns = other_columns(case)
    hints = dict(zip((column.metric for column in columns), table(case, columns).hints, strict=True))
    assert (hints["forget_relative_difference"], hints["lira_tpr"]) == ("ideal 0", "as retrained")


def test_links_have_columns_of_their_own_and_their_units(make):
    more = {"deleted_unseen_auc": 0.5, "forget_js": 0.024, "retain_shift": Value(-0.012, 0.0, 1, 0.0), "macs": 30_737_280.0}
    detail = {"deleted_retained_gap": 0.1, "retain_lowered": Value(0.0, 0.0, 1, 0.0), "membership_two_sided": 0.6}
    ratios = {"membership_ratio_before_after": 1.1, "membership_ratio_after_before": 0.91}
    case = make.links_case(make.links_row("m", **more, **detail, **ratios))
    main, rest = ({column.metric: column for column in columns(case)} for columns in (main_columns, other_columns))
    order = ["forget_probability", "link_auc", "deleted_retained_auc", "deleted_unseen_auc", "membership_auc"]
    assert [metric for metric in main if metric in order] == order
    assert rest.keys() == detail.keys() | ratios.keys() | {"macs", "forget_js", "retain_shift"}
    assert all("_" not in column.label for column in [*main.values(), *rest.values()])
    assert main["forget_probability"].group == "probability in % on data that was"
    assert main["forget_probability"].write(0.86) == "86.0"
    assert rest["retain_shift"].label == "shift to retrained, kept, points" and rest["retain_shift"].write(-0.012) == "-1.2"
    assert rest["macs"].write(30_737_280.0) == "30,737,280"
    hints = dict(zip(rest, table(case, list(rest.values())).hints, strict=True))
    assert hints["retain_lowered"] == "as retrained", "where the retrained model happens to have 0"


def test_the_two_sided_attack_stands_among_the_details_of_every_report(make):
    case = make.case(make.row("m", membership_two_sided=0.6))
    assert "membership_two_sided" not in [column.metric for column in main_columns(case)]
    assert "membership_two_sided" in [column.metric for column in other_columns(case)]


def test_words():
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")
    assert printable("a\x00\n\tb\x1b[0m") == "a b[0m"
