"""What seeds prove: figures whose tests can be worked out on paper."""

import pytest
from scipy import stats

from expunge.report.conclusion import LEVEL, conclude, conclusions
from expunge.report.evidence import Case, Evidence, Role, Row, Value
from expunge.report.page import render
from expunge.report.rules import KINDS, OF_SCORES
from expunge.statistics import seeds_needed

GOLD = {
    "forget_accuracy": (0.10, 0.12, 0.08, 0.10),
    "holdout_forget_accuracy": (0.12, 0.12, 0.12, 0.12),
    "holdout_accuracy": (0.90, 0.91, 0.89, 0.90),
    "membership_auc": (0.50, 0.505, 0.495, 0.50),
}


def row(name: str, role: Role = "method", seeds: int = 4, **changed) -> Row:
    """Like the retrained model on each seed, but for what is added to some of its figures, one number for each seed."""
    values = {}
    for metric, gold in GOLD.items():
        found = [value + extra for value, extra in zip(gold, changed.get(metric, (0.0,) * 4), strict=True)][:seeds]
        values[metric] = Value(sum(found) / len(found), 0.0, len(found), None, seeds=tuple(found))
    return Row(name, role, values)


def case(*methods: Row, seeds: int = 4) -> Case:
    return Case("class 3", "100 of 1,000", (row("retrained", "retrained", seeds), *methods))


def state(found, words):
    return next(each for each in found.figures if words in each.words)


def test_a_model_like_the_retrained_one_is_said_to_be_so_at_its_power():
    found = conclude(row("m", holdout_accuracy=(0.001, -0.001, 0.002, 0.0)), case())
    assert found.words == "indistinguishable from retrained on every check, at the power of 4 seeds"
    assert {each.state for each in found.figures} == {"alike"} and found.seeds == 4


@pytest.mark.parametrize(
    ("metric", "gaps", "words"),
    [
        ("forget_accuracy", (0.4, 0.42, 0.38, 0.4), "traces remain (accuracy on the forgotten data)"),
        ("membership_auc", (-0.1, -0.11, -0.1, -0.09), "over-forgotten (the membership attack's AUC)"),
        ("holdout_accuracy", (-0.1, -0.11, -0.1, -0.09), "model damaged (accuracy on unseen data)"),
        ("holdout_accuracy", (0.1, 0.11, 0.1, 0.09), "other answers (accuracy on unseen data)"),
    ],
)
def test_a_difference_is_named_by_what_it_means(metric, gaps, words):
    found = conclude(row("m", **{metric: gaps}), case())
    assert found.words == words


def test_the_worst_is_named_first_and_all_are():
    found = conclude(row("m", membership_auc=(0.2, 0.21, 0.2, 0.19), holdout_accuracy=(-0.3, -0.31, -0.3, -0.29)), case())
    assert found.words == "model damaged (accuracy on unseen data); traces remain (the membership attack's AUC)"


def test_what_seeds_do_not_settle_is_said_with_how_many_it_takes():
    gaps = (0.03, -0.03, 0.05, -0.05)
    found = conclude(row("m", forget_accuracy=gaps), case())
    open_ = state(found, "forgotten data")
    deviation = stats.tstd(gaps)
    assert open_.state == "undecided" and open_.needed == seeds_needed(deviation, 0.05)
    assert f"4 seeds do not settle accuracy on the forgotten data; that takes about {open_.needed} seeds" in found.words


def test_being_alike_takes_both_one_sided_tests():
    gaps = (0.01, 0.02, 0.015, 0.012)
    p = stats.ttest_1samp(gaps, 0.05, alternative="less").pvalue
    assert p < LEVEL and state(conclude(row("m", forget_accuracy=gaps), case()), "forgotten data").state == "alike"
    near = (0.03, 0.05, 0.04, 0.045)
    assert stats.ttest_1samp(near, 0.05, alternative="less").pvalue > LEVEL
    assert state(conclude(row("m", forget_accuracy=near), case()), "forgotten data").state == "undecided"


def test_many_figures_need_stronger_evidence_for_a_difference():
    gaps = (0.06, 0.10, 0.07, 0.08)
    alone = 2 * stats.ttest_1samp(gaps, 0.05, alternative="greater").pvalue  # either side could be
    assert alone < LEVEL < 4 * alone
    assert state(conclude(row("m", forget_accuracy=gaps), case()), "forgotten data").state == "undecided"


def test_one_seed_proves_nothing_and_a_missing_figure_is_no_pass():
    assert conclude(row("m", seeds=1), case(seeds=1)) is None
    assert conclusions(Case("x", "x", (row("m"),))) == {}
    full = row("m")
    values = {metric: value for metric, value in full.values.items() if metric != "membership_auc"}
    assert conclude(Row("m", "method", values), case()).words == "undecided: some figures are missing"
    holes = values | {"membership_auc": Value(0.5, 0.0, 1, None, seeds=(0.5, float("nan"), float("nan"), float("nan")))}
    assert "missing" in conclude(Row("m", "method", holes), case()).words


def test_pairs_are_of_the_same_seed():
    swinging = Row("m", "method", row("m").values | {"forget_accuracy": Value(0.1, 0.0, 4, None, seeds=(0.5, 0.12, 0.08, 0.1))})
    held = state(conclude(swinging, case()), "forgotten data")
    assert held.gap.startswith("+10.0 points")


def test_every_fault_of_a_rule_has_one_kind_or_is_another_answer():
    named = [text for texts in KINDS.values() for text in texts]
    assert len(named) == len(set(named)) and "" not in named
    for rule in OF_SCORES:
        assert rule.below in named


def test_the_page_shows_it():
    shown = Evidence("t", (case(row("m", forget_accuracy=(0.4, 0.42, 0.38, 0.4))),), {}, {}, {}, seeds=4)
    page = render(shown)
    assert "What the seeds prove" in page and "traces remain" in page
    one = Evidence("t", (case(row("m", seeds=1), seeds=1),), {}, {}, {})
    assert "What the seeds prove" not in render(one)
