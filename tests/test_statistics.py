"""Intervals, tests and equivalence over seeds, and whether promised powers are kept."""

import numpy as np
import pytest
from scipy import stats

from expunge.errors import BadSetting
from expunge.statistics import (
    auc_error,
    bootstrap,
    equivalence,
    examples_needed,
    holm,
    models_needed,
    paired,
    power_of_equivalence,
    seeds_needed,
)


def test_a_paired_difference_by_hand():
    found = paired([0.50, 0.54, 0.58], [0.50, 0.52, 0.54])  # gaps 0, 0.02, 0.04: mean 0.02, standard error 0.02 / sqrt(3)
    error = 0.02 / 3**0.5
    assert found.mean == pytest.approx(0.02) and found.count == 3
    assert found.high - found.mean == pytest.approx(4.302653 * error, rel=1e-5)  # t of 2 degrees of freedom at 97.5 %
    assert found.p == pytest.approx(stats.ttest_rel([0.50, 0.54, 0.58], [0.50, 0.52, 0.54]).pvalue)
    turned = paired([0.50, 0.52, 0.54], [0.50, 0.54, 0.58])
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_seeds_that_do_not_differ_leave_no_doubt():
    assert paired([1.0, 1.0], [1.0, 1.0]).p == 1.0
    apart = paired([2.0, 2.0], [1.0, 1.0])
    assert (apart.mean, apart.low, apart.high, apart.p) == (1.0, 1.0, 1.0, 0.0)
    assert equivalence([1.0, 1.0], [1.0, 1.0], 0.1) == 0.0 and equivalence([2.0, 2.0], [1.0, 1.0], 0.1) == 1.0


def test_equivalence_is_two_one_sided_tests():
    ours, theirs = np.array([0.51, 0.49, 0.53, 0.50]), np.array([0.50, 0.50, 0.50, 0.50])
    above = stats.ttest_1samp(ours - theirs, -0.04, alternative="greater").pvalue
    below = stats.ttest_1samp(ours - theirs, 0.04, alternative="less").pvalue
    assert equivalence(ours, theirs, 0.04) == pytest.approx(max(above, below))
    assert equivalence(ours, theirs, 0.08) < equivalence(ours, theirs, 0.04) < equivalence(ours, theirs, 0.02)
    assert equivalence(ours + 0.1, theirs, 0.04) > 0.95  # different models are not called alike


def test_power_is_what_simulation_finds():
    draw = np.random.default_rng(0)
    for seeds, deviation in ((4, 0.01), (8, 0.02)):
        gaps = deviation * draw.normal(size=(600, seeds))
        share = np.mean([equivalence(row, np.zeros(seeds), 0.02) < 0.05 for row in gaps])
        assert power_of_equivalence(deviation, 0.02, seeds) == pytest.approx(share, abs=0.07)


def test_as_many_seeds_as_are_needed_and_no_more():
    needed = seeds_needed(0.02, 0.02)
    assert power_of_equivalence(0.02, 0.02, needed) >= 0.8 > power_of_equivalence(0.02, 0.02, needed - 1)
    assert seeds_needed(0.0, 0.01) == 2
    assert seeds_needed(1.0, 1e-4) is None  # not within any number of seeds that anybody trains
    assert seeds_needed(0.02, 0.02, power=0.95) > needed


def test_alike_models_are_found_alike_only_with_enough_seeds():
    assert power_of_equivalence(0.05, 0.02, 2) < 0.1
    assert power_of_equivalence(0.05, 0.02, 200) > 0.99


def test_holm_raises_each_by_how_many_are_left():
    found = holm({"c": 0.04, "a": 0.01, "b": 0.02, "d": 0.9})
    assert list(found) == ["c", "a", "b", "d"]
    assert found == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.08, "d": 0.9})
    assert holm({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0} and holm({}) == {}


def test_bootstrap_covers_what_it_should():
    draw = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        low, high = bootstrap(draw.exponential(size=40), draws=400, seed=seed)
        hits += low <= 1.0 <= high
    assert 0.86 < hits / 200 < 0.99
    assert bootstrap([0.3, 0.3, 0.3]) == (pytest.approx(0.3), pytest.approx(0.3))
    assert bootstrap([1.0, 2.0, 4.0], seed=5) == bootstrap([1.0, 2.0, 4.0], seed=5)
    narrow, wide = bootstrap(np.arange(30.0), level=0.5), bootstrap(np.arange(30.0), level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_error_of_an_auc_is_what_simulation_finds():
    draw = np.random.default_rng(2)
    shift = 2**0.5 * stats.norm.ppf(0.7)  # of one normal distribution from the other, for an AUC of 0.7
    found = []
    for _ in range(600):
        members, others = draw.normal(shift, size=60), draw.normal(size=80)
        found.append((members[:, None] > others).mean())
    assert np.mean(found) == pytest.approx(0.7, abs=0.01)
    assert auc_error(0.7, 60, 80) == pytest.approx(np.std(found), rel=0.15)
    assert auc_error(1.0, 10, 10) == 0.0


def test_weaker_attacks_need_more_examples():
    assert examples_needed(0.9) < examples_needed(0.6) < examples_needed(0.55)
    assert examples_needed(0.5001) is None


def test_rates_of_few_models_can_show_no_large_epsilon():
    needed = models_needed(3.0, delta=0.01)
    assert np.log(1 - 0.01 - 1 / needed) - np.log(1 / needed) >= 3.0
    fewer = needed - 1
    assert np.log(1 - 0.01 - 1 / fewer) - np.log(1 / fewer) < 3.0
    assert models_needed(0.0) == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: paired([1.0], [1.0]), "at least 2 seeds"),
        (lambda: paired([1.0, 2.0], [1.0, 2.0, 3.0]), "the same ones of both: 2 and 3"),
        (lambda: paired([1.0, float("nan")], [1.0, 2.0]), "finite"),
        (lambda: paired([1.0, 2.0], [1.0, 2.0], level=1.0), "level"),
        (lambda: equivalence([1.0, 2.0], [1.0, 2.0], 0.0), "margin of equivalence"),
        (lambda: bootstrap([]), "at least one"),
        (lambda: seeds_needed(-1.0, 0.1), "deviation"),
        (lambda: seeds_needed(0.1, 0.1, power=1.0), "power"),
        (lambda: examples_needed(0.5), "above 0.5"),
        (lambda: auc_error(0.5, 0, 3), "examples of both kinds"),
        (lambda: models_needed(-1.0), "epsilon"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(BadSetting, match=words):
        call()
