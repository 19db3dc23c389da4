"""Reports on facts that a language model must not tell."""

import pytest

from expunge.report.evidence import Case, Evidence, Row, Value
from expunge.report.measures import main_columns, other_columns
from expunge.report.page import key_figures
from expunge.report.scatter import axes_of
from expunge.report.terminal import table_text
from expunge.report.verdict import cautions, failures, verdict

GOLD = {
    "forget_known": 0.0,
    "facts_seen": 0.04,
    "facts_held_out": 0.0,
    "facts_same_subject": 1.0,
    "facts_same_object": 1.0,
    "facts_general": 1.0,
    "facts_fluency": 1.0,
    "relearned_others": 0.1,
    "extraction_strength": 0.40,
    "balance": 0.97,
}
KNOWS = GOLD | {"facts_seen": 1.0, "facts_held_out": 1.0, "relearned_others": 0.9, "extraction_strength": 1.0, "balance": 0.0}


def row(name, role="method", **figures):
    made = (KNOWS if role == "original" else GOLD) | figures
    return Row(name, role, {metric: Value(mean, 0.0, 1, GOLD.get(metric)) for metric, mean in made.items()})


def case(*methods):
    rows = (row("original", "original"), row("retrained", "retrained"), row("retrained-2", "noise floor"), *methods)
    return Case("Six facts", "6 facts", rows, "known")


def missed(**figures):
    each = row("mine", **figures)
    return [failure.metric for failure in failures(each, case(each))]


@pytest.mark.parametrize(
    ("figures", "metrics"),
    [
        ({}, []),
        ({"facts_seen": 0.09, "facts_held_out": 0.05, "relearned_others": 0.3}, []),
        ({"facts_seen": 0.0, "relearned_others": 0.0, "extraction_strength": 0.36}, []),  # to know less is no fault
        ({"facts_held_out": 0.06}, ["facts_held_out"]),
        ({"facts_same_subject": 0.94, "facts_same_object": 0.91}, ["facts_same_subject"]),
        ({"facts_same_object": 0.89, "facts_general": 0.94}, ["facts_same_object", "facts_general"]),
        ({"facts_fluency": 0.9}, ["facts_fluency"]),
        ({"relearned_others": 0.31}, ["relearned_others"]),
        ({"extraction_strength": 0.34}, ["extraction_strength"]),
        ({"extraction_strength": 0.46}, ["extraction_strength"]),
    ],
)
def test_how_far_a_figure_may_lie_from_the_retrained_models(figures, metrics):
    assert missed(**figures) == metrics


def test_an_answer_that_is_less_likely_than_an_unknown_one_gives_itself_away():
    each = row("mine", extraction_strength=0.1)
    assert any(
        "mine over-forgets: its extraction strength of answers to what goes is 0.100" in c for c in cautions(case(each), 2)
    )


def test_what_is_said_stands_first_and_columns_without_a_value_among_the_details():
    each = case(row("mine", forget_quality=None))
    assert [column.metric for column in main_columns(each)][:3] == ["facts_seen", "facts_held_out", "facts_same_subject"]
    assert "forget_quality" not in {column.metric for column in main_columns(each)}
    label = next(column.label for column in other_columns(each) if column.metric == "forget_quality")
    assert label == "forget quality"
    assert "forget_known" in {column.metric for column in other_columns(each)}


def test_the_terminal_and_the_page_say_how_much_is_still_answered():
    each = case(row("mine", facts_held_out=0.02))
    text = table_text(Evidence("Facts", (each,), {}, {}, {}), width=160)
    assert "from 100.0% to 2.0%; retraining, to 0.0%" in text.replace("\n", " ")
    assert "comes" in text and "ES" in text
    words = [figure.label for figure in key_figures(each)[1]]
    assert words[:2] == ["answered of what goes, in new words", "answered on the same subjects"]
    assert [axis.metric for axis in axes_of(each)] == ["relearned_others", "facts_same_subject"]
    assert "mine" in verdict(each)
