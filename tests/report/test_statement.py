"""The statement: its words for each outcome, every figure that is judged, and what stands in no report."""

import dataclasses
import re
from html import unescape

import pytest

from expunge.report.evidence import Value
from expunge.report.rules import rules
from expunge.report.statement import Served, finding_of, render_statement, stated, write_statement
from expunge.report.verdict import failures, kinds_of

DONE = Served("distil", "a" * 64, "b" * 64, "c" * 64)


def words(page: str) -> str:
    """What a reader sees, as one line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def said(make):
    def of(case, seeds: int = 1, served: Served | None = DONE) -> str:
        return words(render_statement(make.evidence(case, seeds=seeds), "2026-01-02 03:04 UTC", served))

    return of


def test_a_match_is_said_beside_what_it_rests_on(make, said):
    text = said(make.case(make.row("distil", seconds_ratio=0.1)))
    assert "By these checks the model cannot be told from one that was trained again without the data." in text
    assert "matches retraining" in text and "not all of the original's do" in text
    assert "It rests on 1 seed and 2 models trained again without the data." in text
    assert "was 10 times as fast as retraining" in text
    assert "several seeds" in text and "✗" not in text


def test_traces_are_named(make, said):
    text = said(make.case(make.row("distil", forget_accuracy=0.60, membership_auc=0.62)))
    assert "Traces remain: the model still shows that it has learned the data." in text and "over-forgotten" not in text
    assert "still answers the forgotten data better than a model that never saw it 99.0 % 60.0 % 10.0 %" in text
    assert "✗ outside" in text and "Train again without the data, or try a stronger setting" in text


def test_over_forgetting_and_damage_are_named_apart(make, said):
    over = said(make.case(make.row("distil", membership_auc=0.20)))
    assert "over-forgotten" in over and "gentler" in over and "Traces remain" not in over and "damaged" not in over
    damaged = said(make.case(make.row("distil", holdout_accuracy=0.50)))
    assert "The model was damaged" in damaged and "Do not put this model to use" in damaged and "Traces remain" not in damaged
    both = stated(make.case(make.row("distil", membership_auc=0.20, holdout_accuracy=0.50)), 1)
    assert both.badge == "model damaged and over-forgotten" and len(both.says) == 2


def test_of_errors_more_is_over_forgetting_and_less_is_a_trace(make):
    for value, kind in ((0.60, "over-forgotten"), (0.20, "traces remain")):
        case = make.errors_case(make.errors_row("distil", forget_mae=value))
        assert kinds_of(failures(case.methods[0], case)) == (kind,)
    case = make.errors_case(make.errors_row("distil", forget_wasserstein=0.4))
    assert kinds_of(failures(case.methods[0], case)) == ("other answers",)


def test_without_a_retrained_model_nothing_is_proven_but_what_was_measured_stands_there(make, said):
    text = said(make.case(make.row("distil", forget_accuracy=0.314), gold=False))
    assert "no model was trained again without the data, so there is nothing to compare with" in text
    assert "31.4 %" in text and "99.0 %" in text and "not known" in text and "? not judged" in text
    assert "Train again without the data, twice" in text and "✓" not in text and "matches" not in text


def test_checks_that_the_original_passes_prove_nothing(make, said):
    alike = make.case(make.row("distil"))
    gold = dict(alike.role("retrained").values)
    case = dataclasses.replace(alike, rows=(dataclasses.replace(alike.rows[0], values=gold), *alike.rows[1:]))
    assert finding_of(case.methods[0], case) == "not told apart"
    text = said(case)
    assert "so does the original, which has learned the data" in text and "Nothing about this request." in text
    assert "not proven" in text and "matches retraining" not in text and "shadow models" in text


def test_no_figure_that_is_judged_is_left_out(make, said):
    for case in (
        make.case(make.row("distil", forget_accuracy=0.231)),
        make.errors_case(make.errors_row("distil", forget_mae=0.777), unit="kWh"),
        make.links_case(make.links_row("distil", link_auc=0.789)),
    ):
        row, checks = case.methods[0], stated(case, 1).checks
        assert len(checks) == len(rules(case)) and all(rule.named(case) in said(case) for rule in rules(case).values())
        assert [check.passed for check in checks].count(False) == len(failures(row, case))
    assert "0.789" in said(make.links_case(make.links_row("distil", link_auc=0.789)))
    assert "0.777 kWh" in said(make.errors_case(make.errors_row("distil", forget_mae=0.777), unit="kWh"))


def test_a_figure_that_is_missing_is_not_called_within(make, said):
    case = make.case(make.row("distil", membership_auc=Value(None, 0.0, 0, 0.5)))
    assert finding_of(case.methods[0], case) == "not proven"
    text = said(case)
    assert "not measured" in text and "figures that are judged are missing" in text and text.count("✓ within") == 3


def test_a_model_that_learns_sooner_again_is_not_said_to_hide_nothing(make, said):
    case = make.case(make.row("distil", relearn_steps=3.0))
    gold = case.rows[1]
    values = dict(gold.values) | {"relearn_steps": Value(20.0, 0.0, 1, 20.0)}
    case = dataclasses.replace(case, rows=(case.rows[0], dataclasses.replace(gold, values=values), *case.rows[2:]))
    assert "learned the data again in 3 steps, where one that never saw it needed 20" in said(case)


def test_seeds_and_examples_say_how_much_can_be_seen(make, said):
    drawn = make.case(make.row("distil"), drawn=True)
    text = said(drawn)
    assert "With 80 forgotten and 80 unseen examples a membership attack" in text
    least = float(re.search(r"if its AUC is (0\.\d+) or more", text).group(1))
    from expunge.statistics import examples_needed

    assert examples_needed(least + 0.005) <= 80 < examples_needed(least - 0.006)
    seeds = {
        metric: dataclasses.replace(value, n=3, seeds=(value.mean, value.mean + 0.001, value.mean - 0.001))
        for metric, value in drawn.methods[0].values.items()
    }
    many = dataclasses.replace(drawn, rows=tuple(dataclasses.replace(row, values=seeds) for row in drawn.rows[1:]))
    assert "Over 3 seeds, by tests at a level of 5 %: indistinguishable from retrained" in said(many, seeds=3)


def test_what_was_done_to_which_model(make, said):
    case = make.case(make.row("other", forget_accuracy=0.9), make.row("distil"))
    text = said(case)
    assert all(each in text for each in ("a" * 64, "b" * 64, "c" * 64, "2026-01-02 03:04 UTC"))
    assert "(unchanged)" not in text
    assert "(unchanged)" in said(case, served=dataclasses.replace(DONE, after=DONE.before))
    assert stated(case, 1, Served("other", "", "")).row.name == "other", "the model that was handed out, not the best"
    assert stated(case, 1).row.name == "distil"


def test_words_of_others_are_escaped_and_the_page_loads_nothing(make):
    nasty = "<script>alert(1)</script>"
    case = dataclasses.replace(make.case(make.row(nasty, forget_accuracy=0.9), title=nasty), forgotten=nasty)
    page = render_statement(make.evidence(case, title=nasty, notes=(nasty,)), "now", Served(nasty, nasty, nasty, nasty))
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6
    assert not re.search(r"(src|href)=\"(?!report\.html|audit\.json)", page)


def test_nothing_was_done(make):
    assert "No method was applied" in words(render_statement(make.evidence(make.case()), "now"))


def test_the_page_is_written_whole_and_ready_for_one_sheet(make, tmp_path):
    path = write_statement(make.evidence(make.case(make.row("distil"))), tmp_path / "statement.html", "now")
    page = path.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["statement.html"]
    assert "size: A4 portrait" in page and 'href="report.html"' in page and page.rstrip().endswith("</html>")
