"""U-LiRA on signals made by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from expunge.audits.ulira import attack_aucs, u_lira
from expunge.errors import BadSetting


def drawn(shift: float, models: int = 60, examples: int = 50, seed: int = 0):
    """Signals of unlearned and of retrained models; examples differ in how hard they are."""
    rng = np.random.default_rng(seed)
    hardness = 5 * rng.normal(size=examples)
    return [rng.normal(size=(models, examples)) + hardness + each for each in (shift, 0.0)]


def judged(shift: float, **settings):
    """Areas of the attack: it is fitted to the first half of the models, and judges the rest."""
    inside, outside = drawn(shift, **settings)
    half = len(inside) // 2
    scores = [u_lira(inside[:half], outside[:half], side[half:]) for side in (inside, outside)]
    return attack_aucs(*scores)


def test_the_score_is_the_log_ratio_of_two_gaussians_fitted_to_the_example():
    """In: 1 and 3, mean 2, deviation 1. Out: -2 and 2, mean 0, deviation 2."""
    found = u_lira([[1.0], [3.0]], [[-2.0], [2.0]], [[0.0], [2.5]])
    wanted = norm.logpdf([0.0, 2.5], 2, 1) - norm.logpdf([0.0, 2.5], 0, 2)
    np.testing.assert_allclose(found[:, 0], wanted)


def test_a_method_that_leaves_no_trace_gives_a_half():
    assert judged(0.0).mean() == pytest.approx(0.5, abs=0.04)


def test_a_method_that_leaves_one_is_found_out_on_every_example():
    assert judged(6.0).min() > 0.99 and judged(-6.0).min() > 0.99, "on either side"


def test_one_example_may_be_found_out_among_many_that_are_not():
    inside, outside = drawn(0.0)
    inside[:, 3] += 8.0
    scores = [u_lira(inside[:30], outside[:30], side[30:]) for side in (inside, outside)]
    areas = attack_aucs(*scores)
    assert areas[3] > 0.99 and np.delete(areas, 3).mean() == pytest.approx(0.5, abs=0.04)


def test_the_order_of_models_does_not_matter():
    inside, outside = drawn(1.0)
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(
        u_lira(rng.permutation(inside), rng.permutation(outside), inside), u_lira(inside, outside, inside)
    )


def test_areas_by_hand_with_a_tie():
    """Pairs of an unlearned and a retrained score: 3 > 1, 3 > 2, 2 > 1, and 2 = 2, which counts a half."""
    assert attack_aucs([[3.0], [2.0]], [[1.0], [2.0]]).tolist() == [0.875]


def test_signals_that_do_not_fit_are_refused():
    with pytest.raises(BadSetting, match=r"^U-LiRA fits Gaussians: it needs 2 or more models of each kind, not 1 and 2$"):
        u_lira([[1.0]], [[1.0], [2.0]], [[1.0]])
    with pytest.raises(BadSetting, match="the same examples of all models"):
        u_lira(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(BadSetting, match="both sides need one or more models"):
        attack_aucs(np.zeros((0, 2)), np.zeros((2, 2)))
