"""Planted models whose fault is known: what the rules say of each is right. `benchmarks/power_check.py` asks more seeds."""

import dataclasses
import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest

from expunge.report.evidence import Case, Row, Value
from expunge.report.statement import stated
from expunge.report.verdict import cautions, failures, hides, kinds_of
from expunge.studies.comparison import to_case

BENCH = Path(__file__).parents[2] / "benchmarks" / "power_check.py"


@cache
def bench():
    spec = importlib.util.spec_from_file_location("power_check", BENCH)
    module = sys.modules["power_check"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def case(of: str) -> Case:
    """One seed of embedded digits."""
    return to_case([bench().compared("digits", of, 0)], of, of)


def planted(name: str, of: str = "class") -> tuple[Row, Case]:
    return next(row for row in case(of).rows if row.name == name), case(of)


def faults(row: Row, case: Case) -> tuple[str, ...]:
    return kinds_of(failures(row, case) or ())


def test_the_original_shows_traces():
    row, case = planted("the original itself")
    assert faults(row, case) == ("traces remain",) and not hides(row, case)


def test_a_model_that_hides_a_class_answers_as_one_that_never_saw_it_and_is_found_out():
    row, case = planted("hides")
    assert row.mean("forget_accuracy") == case.role("retrained").mean("forget_accuracy") == 0.0
    assert hides(row, case) and any("hides" in each and "hidden rather than gone" in each for each in cautions(case, 1))
    only = dataclasses.replace(case, rows=tuple(each for each in case.rows if each.role != "method" or each is row))
    assert any("hidden rather than gone" in sentence for sentence in stated(only, 1).says)


def test_what_was_driven_up_is_over_forgotten():
    row, case = planted("over-forgets", "images")
    assert "over-forgotten" in faults(row, case) and "traces remain" not in faults(row, case)


def test_a_model_that_learned_too_little_is_damaged_and_nothing_else():
    row, case = planted("damaged")
    assert faults(row, case)[0] == "model damaged" and "traces remain" not in faults(row, case) and not hides(row, case)


@pytest.mark.parametrize("name", ["retrained once more", "damaged"])
def test_who_never_saw_the_data_hides_nothing(name):
    row, case = planted(name)
    assert not hides(row, case)


@pytest.mark.parametrize(
    ("figures", "hidden"),
    [
        ({"relearn_steps": 9.0}, True),
        ({"relearn_steps": 10.0}, False),
        ({"relearn_steps": 2.0, "forget_accuracy": 0.6}, False),
        ({"relearn_steps": 2.0, "membership_auc": 0.6}, True),
        ({"relearn_steps": 2.0, "membership_auc": 0.2}, True),
        ({}, False),
    ],
    ids=["sooner than half", "at half", "still answers", "the attack alone finds traces", "stands out", "not measured"],
)
def test_hidden_means_relearned_in_less_than_half_the_steps_by_who_no_longer_answers(make, figures, hidden):
    made = make.case(make.row("method", **figures))
    gold = made.rows[1]
    needs = dataclasses.replace(gold, values=dict(gold.values) | {"relearn_steps": Value(20.0, 0.0, 1, 20.0)})
    made = dataclasses.replace(made, rows=(made.rows[0], needs, *made.rows[2:]))
    assert hides(made.methods[0], made) is hidden
    assert any("hidden" in each for each in cautions(made, 1)) is hidden
