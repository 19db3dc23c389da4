"""The figures of TOFU and MUSE: closed forms, limits, published values, wrong input."""

import math

import pytest
import torch

from expunge.errors import BadSetting
from expunge.language.tofu_scores import (
    UTILITY_PARTS,
    closeness,
    forget_quality,
    model_utility,
    normalised_probability,
    preference,
    privacy_leakage,
    truth_ratio,
)


def losses(*shape: int, seed: int = 0) -> torch.Tensor:
    return 4 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- truth ratio ---------------------------------------------------------------------------------------------------------


def test_truth_ratio_is_the_geometric_mean_of_wrong_answers_by_the_right_one():
    right, wrong = torch.tensor([0.8]).log().neg(), torch.tensor([[0.1, 0.4]]).log().neg()
    assert truth_ratio(right, wrong).item() == pytest.approx(math.sqrt(0.1 * 0.4) / 0.8)
    assert truth_ratio(right, wrong).item() != pytest.approx((0.1 + 0.4) / 2 / 0.8)


def test_truth_ratio_agrees_with_a_loop():
    right, wrong = losses(30), losses(30, 5, seed=1)
    wanted = [
        math.prod(math.exp(-loss) for loss in some) ** (1 / len(some)) / math.exp(-one)
        for one, some in zip(right.tolist(), wrong.tolist(), strict=True)
    ]
    assert truth_ratio(right, wrong).tolist() == pytest.approx(wanted)


def test_truth_ratio_where_probabilities_underflow():
    """exp(-2000) is 0 in floating point; the ratio of two such is not 0 / 0."""
    assert truth_ratio(torch.tensor([2000.0]), torch.tensor([[2001.0, 2001.0]])).item() == pytest.approx(math.exp(-1))


def test_truth_ratio_is_1_for_a_model_that_finds_all_alike_and_does_not_care_for_what_is_added_to_all():
    right, wrong = losses(30), losses(30, 5, seed=1)
    torch.testing.assert_close(truth_ratio(right, right[:, None].expand(30, 3)), torch.ones(30, dtype=torch.float64))
    torch.testing.assert_close(truth_ratio(right + 2.5, wrong + 2.5), truth_ratio(right, wrong))
    torch.testing.assert_close(truth_ratio(right, wrong.flip(1)), truth_ratio(right, wrong))


def test_closeness_and_preference_by_hand_and_at_their_ends():
    ratios = torch.tensor([0.0, 0.25, 1.0, 5.0, math.inf])
    assert closeness(ratios).tolist() == pytest.approx([0.0, 0.25, 1.0, 0.2, 0.0])
    assert preference(ratios).tolist() == pytest.approx([1.0, 0.75, 0.0, 0.0, 0.0])


def test_closeness_is_the_same_either_way_up_and_preference_is_not():
    ratios = truth_ratio(losses(50), losses(50, 5, seed=1))
    torch.testing.assert_close(closeness(1 / ratios), closeness(ratios))
    assert not torch.allclose(preference(1 / ratios), preference(ratios))
    for score in (closeness, preference):
        assert score(ratios).min() >= 0 and score(ratios).max() <= 1


def test_what_has_no_truth_ratio_stays_without_one():
    ratios = truth_ratio(torch.tensor([math.nan, 1.0]), torch.ones(2, 2))
    for score in (closeness, preference):
        assert score(ratios).isnan().tolist() == [True, False]


# ---- normalised probability ----------------------------------------------------------------------------------------------


def test_normalised_probability_by_hand_and_by_a_loop():
    found = normalised_probability(torch.tensor([0.6]).log().neg(), torch.tensor([[0.1, 0.5]]).log().neg())
    assert found.item() == pytest.approx(0.6 / 1.2)
    right, wrong = losses(30), losses(30, 5, seed=1)
    wanted = [
        math.exp(-one) / (math.exp(-one) + sum(math.exp(-loss) for loss in some))
        for one, some in zip(right.tolist(), wrong.tolist(), strict=True)
    ]
    assert normalised_probability(right, wrong).tolist() == pytest.approx(wanted)


def test_normalised_probability_where_probabilities_underflow():
    found = normalised_probability(torch.tensor([2000.0]), torch.tensor([[2000.0 + math.log(4)]]))
    assert found.item() == pytest.approx(0.8, rel=1e-3)


@pytest.mark.parametrize("score", [truth_ratio, normalised_probability])
@pytest.mark.parametrize(("one", "wrong"), [((3,), (3,)), ((3,), (2, 5)), ((3, 1), (3, 5)), ((3,), (3, 0)), ((), (1, 5))])
def test_losses_that_do_not_fit(score, one, wrong):
    with pytest.raises(BadSetting, match=r"do not fit; expected \(n,\) and \(n, k\), with at least one wrong answer"):
        score(torch.zeros(one), torch.zeros(wrong))


# ---- forget quality ------------------------------------------------------------------------------------------------------


def test_forget_quality_of_the_same_ratios_is_1():
    ratios = truth_ratio(losses(40), losses(40, 5, seed=1))
    assert forget_quality(ratios, ratios) == 1.0
    assert forget_quality(ratios[torch.randperm(40, generator=torch.Generator().manual_seed(0))], ratios) == 1.0


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5), (4, 6), (40, 40)])
def test_forget_quality_of_ratios_that_lie_apart_is_the_chance_of_such_an_order(n, m):
    """Of the (n + m choose n) orders that are equally likely, two have all of one model before all of the other."""
    first, second = torch.arange(n).float(), 100.0 + torch.arange(m)
    assert forget_quality(first, second) == pytest.approx(2 / math.comb(n + m, n), rel=1e-6)
    assert forget_quality(second, first) == pytest.approx(2 / math.comb(n + m, n), rel=1e-6)


@pytest.mark.parametrize(("steps", "published"), [(7, 0.57), (8, 0.40), (11, 0.10), (16, 3.0e-3), (17, 1.3e-3), (19, 1.9e-4)])
def test_forget_quality_of_40_questions_takes_the_values_that_are_published(steps, published):
    """With 40 questions on each side the p-value depends on the largest distance alone, a multiple of 1/40. OpenUnlearning's
    tables of TOFU's forget01 hold these, rounded so, from the finetuned model (1.3e-3) to NPO and RMU (0.40)."""
    reference = torch.arange(40.0)
    assert forget_quality(reference + steps, reference) == pytest.approx(published, rel=0.03)


def test_forget_quality_of_400_questions_on_a_collapsed_model_is_as_published():
    """OpenUnlearning's tables have 1e-239 for gradient ascent on TOFU's forget10: all ratios on one side."""
    assert forget_quality(torch.zeros(400), 1 + torch.rand(400)) == pytest.approx(1e-239, rel=0.1)


def test_forget_quality_is_the_same_for_the_ratio_either_way_up_and_for_any_unit():
    ratios, reference = (truth_ratio(losses(40, seed=seed), losses(40, 5, seed=seed + 1)) for seed in (0, 2))
    shifted = 0.3 * ratios
    found = forget_quality(shifted, reference)
    assert 0 < found < 0.9
    assert forget_quality(1 / shifted, 1 / reference) == pytest.approx(found)
    assert forget_quality(shifted.log(), reference.log()) == pytest.approx(found)
    assert forget_quality(ratios, reference) != pytest.approx(found)


def test_forget_quality_takes_infinite_ratios_half_precision_and_gradients():
    ratios = torch.tensor([0.5, 1.0, math.inf], dtype=torch.bfloat16, requires_grad=True)
    found = forget_quality(ratios, torch.tensor([3.0, 4.0, 5.0]))
    assert isinstance(found, float)
    assert found == pytest.approx(forget_quality(torch.tensor([0.5, 1.0, 9.0]), torch.tensor([3.0, 4.0, 5.0])))


@pytest.mark.parametrize(
    ("ratios", "reference", "message"),
    [
        ([], [1.0], r"the ratios have shape \(0,\); expected \(n,\), with at least one"),
        ([1.0], [[1.0]], r"the reference ratios have shape \(1, 1\)"),
        ([1.0], [1.0, math.nan, math.nan], "2 of 3 reference ratios are NaN: leave out what has no truth ratio"),
    ],
)
def test_ratios_that_cannot_be_compared(ratios, reference, message):
    with pytest.raises(BadSetting, match=message):
        forget_quality(torch.tensor(ratios), torch.tensor(reference))


# ---- model utility -------------------------------------------------------------------------------------------------------


def parts(**changed: float) -> dict[str, float]:
    return {name: (place + 1) / 10 for place, name in enumerate(UTILITY_PARTS)} | changed


def test_model_utility_is_a_harmonic_mean_of_nine():
    assert len(set(UTILITY_PARTS)) == 9
    assert model_utility(parts()) == pytest.approx(9 / sum(10 / place for place in range(1, 10)))
    assert model_utility(dict.fromkeys(UTILITY_PARTS, 0.7)) == pytest.approx(0.7)
    assert model_utility(dict.fromkeys(UTILITY_PARTS, 1)) == 1.0


@pytest.mark.parametrize("name", UTILITY_PARTS)
def test_every_part_counts_and_one_that_is_0_leaves_nothing(name):
    assert model_utility(parts(**{name: 0.0})) == 0.0
    assert model_utility(parts(**{name: 1.0})) > model_utility(parts())
    assert model_utility(parts(**{name: 1e-9})) == pytest.approx(9e-9, rel=1e-3)


def test_parts_that_are_missing_or_unknown_are_named():
    given = parts(retain_bleu=0.5)
    del given["world_facts_rouge"], given["retain_probability"]
    message = "needs exactly nine figures; missing: retain_probability, world_facts_rouge; unknown: retain_bleu"
    with pytest.raises(BadSetting, match=message):
        model_utility(given)
    with pytest.raises(BadSetting, match=r"nine figures; unknown: forget_rouge$"):
        model_utility(parts(forget_rouge=0.5))
    with pytest.raises(BadSetting, match=r"nine figures; missing: retain_rouge$"):
        model_utility({name: value for name, value in parts().items() if name != "retain_rouge"})


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_parts_that_are_no_shares(value):
    with pytest.raises(BadSetting, match=r"real_authors_rouge is .*; expected a number between 0 and 1"):
        model_utility(parts(real_authors_rouge=value))


# ---- privacy leakage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auc", "reference", "wanted"),
    [(0.5, 0.5, 0), (1.0, 0.5, -100), (0.0, 0.5, 100), (0.8, 0.6, -50), (0.4, 0.6, 50), (0, 0, 0)],
)
def test_privacy_leakage_by_hand(auc, reference, wanted):
    assert privacy_leakage(auc, reference) == pytest.approx(wanted, abs=1e-12)


def test_privacy_leakage_beside_a_reference_that_leaves_nothing_to_measure():
    with pytest.raises(BadSetting, match="the reference's AUC is 1"):
        privacy_leakage(0.5, 1.0)


@pytest.mark.parametrize(
    ("auc", "reference", "name"), [(1.2, 0.5, "auc"), (0.5, -0.1, "reference_auc"), (math.nan, 0.5, "auc")]
)
def test_areas_that_make_no_sense(auc, reference, name):
    with pytest.raises(BadSetting, match=rf"^{name} is .*; expected a number between 0 and 1"):
        privacy_leakage(auc, reference)
