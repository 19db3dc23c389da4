"""Formulas of the attacks on arrays that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from expunge.audits.shadows import lira_offline, lira_online, logit_confidence, rmia
from expunge.errors import BadSetting

# Three models, two examples: the first example is held by models 0 and 1, the second by model 2 alone.
SIGNALS = np.array([[3.0, 0.0], [5.0, 2.0], [1.0, 7.0]])
HELD = np.array([[True, False], [True, False], [False, True]])


def drawn(shift: float, models: int = 64, examples: int = 300, seed: int = 0):
    """Signals of examples as hard as they are, `shift` higher where a model held the example; the last row is the target's."""
    rng = np.random.default_rng(seed)
    held = np.stack([rng.permutation(examples) < examples // 2 for _ in range(models + 1)])
    signals = 3 * rng.normal(size=examples) + rng.normal(size=held.shape) + shift * held
    return signals[-1], signals[:-1], held[:-1], held[-1]


# ---- the logit of the confidence ---------------------------------------------------------------------------------------


def test_it_is_the_logit_of_the_probability_of_the_true_class():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=torch.float64)
    p = logits.softmax(1)[[0, 1], [1, 0]]
    torch.testing.assert_close(logit_confidence(logits, torch.tensor([1, 0])), (p / (1 - p)).log())


def test_of_two_classes_it_is_the_difference_of_logits():
    assert logit_confidence(torch.tensor([[4.0, 1.5]]), torch.tensor([0])).item() == 2.5


@pytest.mark.parametrize("label", [0, 1])
def test_it_stays_finite_where_probabilities_round_to_0_or_1(label):
    found = logit_confidence(torch.tensor([[1000.0, -1000.0]]), torch.tensor([label])).item()
    assert found == (2000.0 if label == 0 else -2000.0)


def test_leading_dimensions_are_kept():
    assert logit_confidence(torch.randn(4, 5, 3), torch.zeros(4, 5, dtype=torch.long)).shape == (4, 5)


# ---- LiRA ---------------------------------------------------------------------------------------------------------------


def test_the_ratio_with_one_deviation_for_all_examples():
    """In: means 4 and 7; only the first example has a spread, of 1 twice. Out: means 1 and 1; only the second, of 1 twice."""
    target = np.array([3.5, 4.0])
    wanted = norm.logpdf(target, [4.0, 7.0], 1.0) - norm.logpdf(target, [1.0, 1.0], 1.0)
    np.testing.assert_allclose(lira_online(target, SIGNALS, HELD), wanted)
    np.testing.assert_allclose(wanted, [3.0, 0.0])


def test_the_ratio_with_a_deviation_for_each_example():
    signals = np.array([[3.0], [5.0], [0.0], [4.0]])
    held = np.array([[True], [True], [False], [False]])
    found = lira_online(np.array([4.0]), signals, held, "per-example")
    np.testing.assert_allclose(found, [0 - (-((4 - 2) ** 2) / (2 * 2.0**2) - math.log(2.0))])


def test_of_several_numbers_the_mean_ratio_is_taken():
    target, signals, held, _ = drawn(1.0, models=6, examples=20)
    pair = lira_online(np.stack([target, target], 1), np.stack([signals, signals], 2), held)
    np.testing.assert_allclose(pair, lira_online(target, signals, held))


def test_offline_is_the_distance_above_models_that_did_not_hold_the_example():
    target = np.array([3.5, 4.0])
    np.testing.assert_allclose(lira_offline(target, SIGNALS, HELD), [2.5, 3.0])


def test_offline_ranks_as_the_published_probability_does():
    target, signals, held, _ = drawn(1.0, models=8)
    scores = lira_offline(target, signals, held)
    usable = np.abs(scores) < 5  # beyond, the probability rounds to 1
    order = scores[usable].argsort()
    assert (np.diff(norm.cdf(scores[usable])[order]) >= 0).all() and usable.sum() > 250


@pytest.mark.parametrize("attack", [lira_online, lira_offline])
@pytest.mark.parametrize("variance", ["global", "per-example"])
def test_members_are_found_where_models_differ_and_not_where_they_don_t(attack, variance):
    target, signals, held, member = drawn(3.0)
    assert roc_auc_score(member, attack(target, signals, held, variance)) > 0.95
    areas = []
    for seed in range(5):
        target, signals, held, member = drawn(0.0, seed=seed)
        areas.append(roc_auc_score(member, attack(target, signals, held, variance)))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


def test_one_threshold_for_all_examples_finds_far_less():
    target, signals, held, member = drawn(2.0)
    assert roc_auc_score(member, target) + 0.15 < roc_auc_score(member, lira_online(target, signals, held))


def test_models_that_all_agree_give_finite_scores():
    same = np.full((4, 3), 2.0)
    held = np.array([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
    for variance in ("global", "per-example"):
        assert lira_online(np.full(3, 2.0), same, held, variance).tolist() == [0.0] * 3
        assert np.isfinite(lira_offline(np.full(3, 9.0), same, held, variance)).all()


# ---- RMIA ---------------------------------------------------------------------------------------------------------------

LIKELY = np.array([[0.8, 0.2], [0.4, 0.4]])
CROSSED = np.array([[True, False], [False, True]])


def test_the_online_form_by_hand():
    """p(x) = (0.8 + 0.4) / 2 and (0.2 + 0.4) / 2; the ratios are 0.9 / 0.6 = 1.5 and 0.15 / 0.3 = 0.5.

    Of the population, which no shadow held, p(z) = 0.5, and the ratios are 0.4, 1, 1.4 and 1.8.
    """
    target, others = np.array([0.9, 0.15]), np.array([0.2, 0.5, 0.7, 0.9])
    found = rmia(target, LIKELY, CROSSED, others, np.full((2, 4), 0.5))
    assert found.tolist() == [0.75, 0.25]


def test_gamma_says_how_many_times_as_likely_counts():
    target, others = np.array([0.9, 0.15]), np.array([0.2, 0.5, 0.7, 0.9])
    assert rmia(target, LIKELY, CROSSED, others, np.full((2, 4), 0.5), gamma=1.4).tolist() == [0.5, 0.0]


def test_the_offline_form_by_hand():
    """With a = 0.5, p(x) = (1.5 * 0.4 + 0.5) / 2 = 0.55 and (1.5 * 0.2 + 0.5) / 2 = 0.4, and p(z) = 0.625."""
    target, others = np.array([0.55, 0.22]), np.array([0.3125, 0.6, 1.0, 0.125])
    found = rmia(target, LIKELY, CROSSED, others, np.full((2, 4), 0.5), offline_a=0.5)
    assert found.tolist() == [0.75, 0.5], "ratios 1 and 0.55 against 0.2, 0.5, 0.96 and 1.6"


def test_with_a_of_1_the_offline_form_is_the_mean_of_models_that_did_not_hold_the_example():
    target = np.array([0.4, 0.1])
    exact = rmia(target, LIKELY, CROSSED, np.array([0.45, 0.2]), np.full((2, 2), 0.5), offline_a=1.0)
    assert exact.tolist() == [1.0, 0.5], "ratios 1 and 0.5 against 0.9 and 0.4"


def test_a_population_that_shadows_held_is_set_against_both_kinds():
    held = np.array([[True], [False]])
    for likelihood, share in ((0.49, 1.0), (0.51, 0.0)):
        found = rmia(np.array([0.6]), [[0.9], [0.3]], held, np.array([likelihood]), [[0.7], [0.3]], held)
        assert found.tolist() == [share], "0.6 / 0.6 against a little less and a little more than 0.5 / 0.5"


def test_no_example_counts_against_itself():
    target, signals, held, _ = drawn(1.0, models=4, examples=10)
    likely = [1 / (1 + np.exp(-part)) for part in (target, signals)]
    assert sorted(rmia(*likely, held, *likely, held)) == [place / 10 for place in range(10)]


@pytest.mark.parametrize("settings", [{}, {"offline_a": 0.3}])
def test_rmia_finds_members_where_models_differ_and_not_where_they_don_t(settings):
    def area(shift, seed):
        parts = [1 / (1 + np.exp(-part)) for part in drawn(shift, models=4, seed=seed)[:2]]
        *_, held, member = drawn(shift, models=4, seed=seed)
        out = ~member
        population = parts[0][out], parts[1][:, out], held[:, out]
        return roc_auc_score(member, rmia(parts[0], parts[1], held, *population, **settings))

    assert np.mean([area(3.0, seed) for seed in range(3)]) > 0.8
    assert np.mean([area(0.0, seed) for seed in range(5)]) == pytest.approx(0.5, abs=0.05)


# ---- what all have in common --------------------------------------------------------------------------------------------


def test_the_order_of_models_does_not_matter():
    target, signals, held, _ = drawn(1.0, models=10)
    order = np.random.default_rng(1).permutation(10)
    for attack in (lira_online, lira_offline):
        for variance in ("global", "per-example"):
            one, other = attack(target, signals, held, variance), attack(target, signals[order], held[order], variance)
            np.testing.assert_allclose(one, other)
    likely = [1 / (1 + np.exp(-part)) for part in (target, signals)]
    same = rmia(*likely, held, likely[0], likely[1], held)
    np.testing.assert_allclose(same, rmia(likely[0], likely[1][order], held[order], likely[0], likely[1][order], held[order]))


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(BadSetting, match=r"^signals of shape \(3, 2\) need a mask of shape \(3, 2\) and .* not \(2, 2\) and"):
        lira_online(np.zeros(2), SIGNALS, HELD[:2])
    with pytest.raises(BadSetting, match=r"not \(3, 2\) and \(3,\)"):
        lira_offline(np.zeros(3), SIGNALS, HELD)


@pytest.mark.parametrize("settings", [{"gamma": 0.5}, {"offline_a": -0.1}, {"offline_a": 1.1}], ids=str)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(BadSetting, match="RMIA needs"):
        rmia(np.array([0.5]), [[0.5]], [[True]], np.array([0.5]), [[0.5]], **settings)
    with pytest.raises(BadSetting, match=r"^variance must be 'global' or 'per-example', not 'fixed'$"):
        lira_online(np.zeros(2), SIGNALS, HELD, "fixed")
