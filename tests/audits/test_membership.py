"""Membership inference on losses that are written by hand, and on a network that learned its examples by heart."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import Membership, References, Subject
from expunge.audits.membership import Trial, _rates
from expunge.engine import Engine
from expunge.matching import group_weights
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask

ALL_SCORED = Membership(calibration=0.0, resamples=20)


def one_group(stage, forget, unseen, retain=(1.0,), seed=0):
    """A subject with these losses, all examples of one class."""
    labels = {"forget": [0] * len(forget), "retain": [0] * len(retain), "holdout": [0] * len(unseen)}
    return stage(labels, classes=2, seed=seed).losing({"forget": forget, "retain": retain, "holdout": unseen})


def auc_by_pairs(forget, unseen) -> float:
    """P(loss of a forget example < loss of an unseen one), ties counted half."""
    return float(np.mean([(f < u) + 0.5 * (f == u) for f in forget for u in unseen]))


# ---- AUC ----------------------------------------------------------------------------------------------------------------


def test_auc_is_the_chance_that_a_forget_example_has_the_lower_loss(stage):
    forget, unseen = [0.1, 0.4, 0.9, 2.0], [0.2, 0.5, 0.4, 3.0, 2.5]
    #   below how many of the five, ties half:  5, 3.5, 2, 2   of 20
    assert auc_by_pairs(forget, unseen) == 12.5 / 20
    found = ALL_SCORED(one_group(stage, forget, unseen))
    assert found["membership_auc"].value == pytest.approx(12.5 / 20)


def test_auc_of_alike_losses_is_a_half_and_of_greater_ones_below(stage):
    alike = [0.1, 0.2, 0.5, 1.5]
    assert ALL_SCORED(one_group(stage, alike, alike))["membership_auc"].value == pytest.approx(0.5)
    assert ALL_SCORED(one_group(stage, [2.0, 3.0], alike))["membership_auc"].value == 0.0
    assert ALL_SCORED(one_group(stage, [0.01, 0.02], alike))["membership_auc"].value == 1.0


def test_a_model_that_knows_its_examples_by_heart_is_found_out():
    """Labels at random: nothing about unseen examples can be learned, all about seen ones can."""
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(160, 32, generator=generator), torch.randint(0, 10, (160,), generator=generator))
    forget, retain, holdout = (Batches(data, 32, range(*span)) for span in ((0, 30), (30, 60), (60, 160)))
    torch.manual_seed(0)
    task = ClassificationTask(lambda: nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10)), classes=10)

    def subject(rows: slice) -> Subject:
        model = task.new_model()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        batch = tuple(tensor[rows] for tensor in data.tensors)
        for _ in range(60):
            optimizer.zero_grad()
            task.losses(model(batch[0]), batch).mean().backward()
            optimizer.step()
        return Subject("model", model, task, Split(forget, retain, holdout), Engine(progress=False))

    original, gold = subject(slice(0, 60)), subject(slice(30, 60))
    found = Membership(resamples=20)(original, References(original, (gold,)))
    assert found["membership_auc"].value > 0.97
    assert found["membership_tpr"].value > 0.3
    assert found["membership_accuracy"].value > 0.85
    assert 0.35 < found["membership_auc"].ideal < 0.65
    assert found["membership_accuracy"].ideal < 0.65


# ---- to either side -----------------------------------------------------------------------------------------------------


def test_an_attacker_who_takes_either_side_finds_what_is_strange_as_well_as_what_is_known(stage):
    #  AUC by hand: 3 of 4 pairs, 1 of 4 pairs, 2 of 4 pairs
    for forget, auc, two_sided in (([0.1, 0.4], 0.75, 0.75), ([0.4, 0.9], 0.25, 0.75), ([0.1, 0.9], 0.5, 0.5)):
        found = ALL_SCORED(one_group(stage, forget, [0.2, 0.5]))
        assert found["membership_auc"].value == pytest.approx(auc)
        assert found["membership_two_sided"].value == pytest.approx(two_sided)


def test_the_two_sided_ideal_is_the_retrained_models_own_not_a_half(stage):
    made = stage({"forget": [0] * 4, "retain": [0], "holdout": [0] * 4}, classes=2)
    unseen = [1.0, 2.0, 3.0, 4.0]
    subject, gold = (made.losing({"forget": forget, "holdout": unseen}) for forget in ([0.5] * 4, [3.5] * 4))
    found = ALL_SCORED(subject, References(retrained=(gold,)))
    assert (found["membership_auc"].value, found["membership_auc"].ideal) == (1.0, 0.25)
    assert (found["membership_two_sided"].value, found["membership_two_sided"].ideal) == (1.0, 0.75)
    assert ALL_SCORED(subject)["membership_two_sided"].ideal is None


# ---- groups -------------------------------------------------------------------------------------------------------------

EASY, HARD = [0.05, 0.1, 0.15, 0.2], [1.6, 1.8, 2.0, 2.2]


def unlike_mix(stage, forget_hard, **settings):
    """12 easy and 4 hard examples to forget, 4 easy and 12 hard unseen ones; within a class the losses are alike."""
    labels = {"forget": [0] * 12 + [1] * 4, "retain": [0], "holdout": [0] * 4 + [1] * 12}
    return stage(labels, classes=2, **settings).losing({"forget": EASY * 3 + forget_hard, "holdout": EASY + HARD * 3})


def test_difficulty_is_not_taken_for_membership(stage):
    subject = unlike_mix(stage, HARD)
    unmatched = roc_auc_score(
        np.repeat([1, 0], 16), -torch.cat([subject.losses("forget"), subject.losses("holdout")]).double().numpy()
    )
    assert unmatched > 0.7, "a signal that is not there"
    assert ALL_SCORED(subject)["membership_auc"].value == pytest.approx(0.5)


def test_membership_in_one_group_shows_by_that_groups_share_of_the_forget_set(stage):
    """The hard forget examples are known by heart: as easy as any easy one. By hand, with e, h the shares 3/4 and 1/4 on
    both sides: e*e * 1/2 (easy against easy) + e*h * 1 + h*e * 1/2 + h*h * 1."""
    found = ALL_SCORED(unlike_mix(stage, EASY))["membership_auc"].value
    assert found == pytest.approx(9 / 16 / 2 + 3 / 16 + 3 / 16 / 2 + 1 / 16)


def test_weights_give_both_sides_the_same_shares_and_mean_1(stage):
    subject = unlike_mix(stage, HARD)
    trial = ALL_SCORED.trial(subject)
    groups = torch.cat([subject.groups("forget"), subject.groups("holdout")]).numpy()
    for group, share in ((0, 0.75), (1, 0.25)):
        for side in (True, False):
            chosen = trial.member == side
            assert trial.weight[chosen & (groups == group)].sum() / trial.weight[chosen].sum() == pytest.approx(share)
    assert trial.weight[trial.member].tolist() == [1.0] * 16
    assert trial.weight[~trial.member].mean() == pytest.approx(1.0)


def test_unseen_examples_of_a_group_that_is_not_to_be_forgotten_do_not_count(stage):
    labels = {"forget": [0] * 4, "retain": [0], "holdout": [0] * 4 + [1] * 6}
    subject = stage(labels, classes=2).losing({"forget": EASY, "holdout": EASY + [9.0] * 6})
    trial = ALL_SCORED.trial(subject)
    assert len(trial.score) == 8 and trial.auc() == pytest.approx(0.5)


def test_forget_examples_of_a_group_without_unseen_ones_are_not_taken_for_members(stage):
    labels = {"forget": [0] * 4 + [1] * 4, "retain": [0], "holdout": [1] * 8}
    subject = stage(labels, classes=2).losing({"forget": EASY + HARD, "holdout": HARD * 2})
    assert ALL_SCORED(subject)["membership_auc"].value == pytest.approx(0.5)


def test_unseen_examples_like_the_forget_set_are_preferred_where_there_are_any(stage):
    labels = {"forget": [0] * 4, "retain": [1], "holdout": [1] * 4, "holdout_forget": [0] * 4}
    made = stage(labels, classes=2)
    subject = made.losing({"forget": EASY, "holdout": HARD, "holdout_forget": EASY})
    assert ALL_SCORED(subject)["membership_auc"].value == pytest.approx(0.5)


# ---- true positives at few false ones -----------------------------------------------------------------------------------


def two_in_a_hundred(stage, members, scale=0.01):
    """200 unseen examples with losses 1 to 200 (times `scale`): 1 % false positives are the two lowest of them."""
    return one_group(stage, [scale * loss for loss in members], [scale * loss for loss in range(1, 201)])


def test_tpr_at_1_percent_by_hand(stage):
    members = [0.2, 0.4, 0.6, 1.5, 2.5, 3.5, 50.5, 90.5, 120.5, 199.5]
    # A threshold just below a loss of 3 lets through the two lowest unseen ones and five members.
    assert ALL_SCORED(two_in_a_hundred(stage, members))["membership_tpr"].value == pytest.approx(0.5)
    at_half = Membership(calibration=0.0, resamples=2, fpr=0.005)
    assert at_half(two_in_a_hundred(stage, members))["membership_tpr"].value == pytest.approx(0.4)


def test_tpr_is_0_where_the_lowest_losses_are_unseen_ones(stage):
    assert ALL_SCORED(two_in_a_hundred(stage, [3.5, 4.5, 100.5]))["membership_tpr"].value == 0.0


def test_tpr_grows_with_the_false_positives_that_are_allowed():
    draw = np.random.default_rng(0)
    trial = Trial(np.repeat([True, False], 300), draw.normal(size=600) + np.repeat([1.0, 0.0], 300), np.ones(600), 0.5)
    found = [trial.tpr(fpr) for fpr in (0.0, 0.01, 0.1, 0.5, 1.0)]
    assert found == sorted(found) and found[-1] == 1.0 and 0 < found[1] < 0.3


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.2])
def test_tpr_is_the_best_of_all_thresholds_within_the_false_positives(fpr):
    draw = np.random.default_rng(1)
    member, weight = np.repeat([True, False], [100, 200]), draw.uniform(0.2, 2.0, size=300)
    score = (draw.normal(size=300) + 1.5 * member).round(2)
    trial, best = Trial(member, score, weight, 0.5), 0.0
    for threshold in score:
        rates = [np.average(score[member == side] >= threshold, weights=weight[member == side]) for side in (False, True)]
        best = max(best, rates[1] if rates[0] <= fpr else 0.0)
    assert 0 < best < 1 and trial.tpr(fpr) == pytest.approx(best)


def test_tpr_of_tied_scores_is_that_of_the_threshold_that_is_allowed():
    """Each of 100 losses occurs once on both sides: the curve is the diagonal, so the rates are the same."""
    trial = Trial(np.repeat([True, False], 100), np.tile(np.arange(100.0), 2), np.ones(200), 0.5)
    assert [trial.tpr(fpr) for fpr in (0.05, 0.5)] == pytest.approx([0.05, 0.5])


# ---- the attack's accuracy ----------------------------------------------------------------------------------------------


def test_the_threshold_is_learned_on_other_data_and_tells_members_apart(stage):
    unseen = [2.0 + 0.01 * index for index in range(50)]
    known = [0.1 + 0.001 * index for index in range(50)]
    low, high = [0.2] * 10, [2.2] * 10
    accuracy = {
        name: Membership(resamples=2)(one_group(stage, forget, unseen, known))["membership_accuracy"].value
        for name, forget in {"low": low, "high": high, "both": low + high}.items()
    }
    assert accuracy == {"low": 1.0, "high": 0.5, "both": pytest.approx(0.75)}


def test_many_known_members_do_not_shift_the_threshold(stage):
    """Some 20 members to each unseen example that teaches: unbalanced, the rule would call everybody a member."""
    known = [0.1 + 0.0025 * index for index in range(400)]  # up to 1.1
    unseen = [0.6 + 0.01 * index for index in range(100)]  # up to 1.6
    found = Membership(resamples=2)(one_group(stage, [0.2 + 0.01 * index for index in range(20)], unseen, known))
    assert found["membership_accuracy"].value > 0.8


def test_examples_that_teach_the_threshold_are_not_scored(stage):
    subject = one_group(stage, EASY, [0.1 * (1 + index) for index in range(200)])
    for calibration, least, most in ((0.0, 200, 200), (0.2, 140, 180), (0.7, 30, 90)):
        trial = Membership(calibration=calibration).trial(subject)
        assert trial.member.sum() == 4
        assert least <= (~trial.member).sum() <= most
        scored = set(np.round(-trial.score[~trial.member], 4))
        assert len(scored) == (~trial.member).sum(), "no unseen example is scored twice"


def test_a_threshold_that_nobody_teaches_says_nothing(stage):
    assert ALL_SCORED(one_group(stage, [0.01] * 4, HARD))["membership_accuracy"].value == 0.5
    without = one_group(stage, [0.01] * 4, HARD * 5, retain=())
    assert Membership(resamples=2)(without)["membership_accuracy"].value == 0.5


def test_a_single_unseen_example_is_enough_for_every_seed(stage):
    for seed in range(12):
        found = Membership(resamples=2)(one_group(stage, EASY, [1.0], seed=seed))
        assert "membership_auc" not in found or found["membership_auc"].value == pytest.approx(1.0)


# ---- intervals ----------------------------------------------------------------------------------------------------------


def mixed(stage, seed=0):
    draw = np.random.default_rng(3)
    return one_group(stage, draw.exponential(0.5, 60) + 0.01, draw.exponential(1.0, 80) + 0.01, retain=[0.3] * 20, seed=seed)


def test_the_interval_holds_the_value_and_narrows_with_the_data(stage):
    found = Membership(resamples=200)(mixed(stage))["membership_auc"]
    low, high = found.interval
    assert 0 <= low < found.value < high <= 1
    # Hanley and McNeil's standard error at AUC 0.65 with 60 and 64 examples is 0.049: the interval is about four of them wide.
    assert 0.12 < high - low < 0.28
    tpr = Membership(resamples=200)(mixed(stage))["membership_tpr"]
    assert 0 <= tpr.interval[0] <= tpr.interval[1] <= 1


def test_a_sure_attack_has_an_interval_without_width(stage):
    found = ALL_SCORED(one_group(stage, [0.01, 0.02, 0.03], HARD))
    assert found["membership_auc"].interval == (1.0, 1.0) and found["membership_tpr"].interval == (1.0, 1.0)


def test_the_same_seed_gives_the_same_figures_and_another_seed_another_draw(stage):
    once, again = (Membership(resamples=50)(mixed(stage)) for _ in range(2))
    assert once == again
    other = Membership(resamples=50)(mixed(stage, seed=1))
    assert other["membership_auc"].interval != once["membership_auc"].interval


def test_without_resamples_there_is_no_interval(stage):
    found = Membership(resamples=0)(mixed(stage))
    assert found["membership_auc"].interval is None and found["membership_tpr"].interval is None
    assert found["membership_auc"].value == pytest.approx(Membership(resamples=5)(mixed(stage))["membership_auc"].value)


def test_the_accuracy_has_no_interval(stage):
    assert ALL_SCORED(mixed(stage))["membership_accuracy"].interval is None


# ---- many resamples at once ---------------------------------------------------------------------------------------------


def scored(rows=5, digits=1, seed=0):
    """Members, scores with ties, and rows of positive weights."""
    draw = np.random.default_rng(seed)
    member = draw.random(60) < 0.4
    return member, (draw.normal(size=60) + member).round(digits), draw.uniform(0.1, 3.0, size=(rows, 60))


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "some ties", "no ties"])
def test_rates_are_those_of_scikit_learn_row_by_row(digits):
    member, score, weights = scored(digits=digits)
    false, true = _rates(member, score, weights)
    assert len(false) == len(true) == len(weights) and (len(set(score)) < 60) == (digits < 8)
    for row, weight in enumerate(weights):
        expected = roc_curve(member, score, sample_weight=weight, drop_intermediate=False)
        np.testing.assert_allclose(false[row], expected[0], atol=1e-12)
        np.testing.assert_allclose(true[row], expected[1], atol=1e-12)


def test_examples_that_a_resample_leaves_out_do_not_count():
    """A weight of 0 is as good as absence; scikit-learn leaves such thresholds out, which changes no area."""
    member, score, weights = scored(rows=20)
    weights = np.floor(weights)  # 0, 1 or 2 times drawn
    assert (weights == 0).any(axis=1).all()
    false, true = _rates(member, score, weights)
    for row, weight in enumerate(weights):
        drawn = weight > 0
        area = roc_auc_score(member[drawn], score[drawn], sample_weight=weight[drawn])
        assert np.trapezoid(true[row], false[row]) == pytest.approx(area)
        trial = Trial(member[drawn], score[drawn], weight[drawn], 0.5)
        for fpr in (0.01, 0.2, 0.5):
            assert true[row][false[row] <= fpr].max() == pytest.approx(trial.tpr(fpr))


def test_a_weight_of_2_is_the_example_twice():
    member, score, _ = scored()
    weight = np.where(np.arange(60) % 3, 1.0, 2.0)
    repeats = weight.astype(int)
    once, twice = _rates(member, score, weight[None]), _rates(member.repeat(repeats), score.repeat(repeats), np.ones((1, 80)))
    for ours, theirs in zip(once, twice, strict=True):
        np.testing.assert_allclose(ours, theirs)


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_holds_the_value_where_examples_weigh_differently(stage, seed):
    subject = unlike_mix(stage, EASY, seed=seed)
    found = Membership(calibration=0.0, resamples=300)(subject)
    for figure in (found["membership_auc"], found["membership_tpr"]):
        assert figure.interval[0] <= figure.value <= figure.interval[1]
    low, high = found["membership_auc"].interval
    assert high - low > 0.05


def test_resamples_of_two_alike_sides_centre_on_a_half(stage):
    """The mean of 2,000 resamples, each of standard error 0.065 by Hanley and McNeil with 40 examples a side."""
    losses = np.random.default_rng(0).exponential(1.0, 40) + 0.01
    subject = one_group(stage, losses, losses)
    audit = Membership(calibration=0.0, resamples=2000)
    aucs, _ = audit._bootstrap(audit.trial(subject), subject)
    assert (
        aucs.shape == (2000,) and aucs.mean() == pytest.approx(0.5, abs=0.005) and aucs.std() == pytest.approx(0.065, abs=0.01)
    )
    low, high = audit(subject)["membership_auc"].interval
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.02)


def test_each_side_is_drawn_by_itself(stage):
    """One unseen example of many: drawn from all together it would often be missing, and no area would be defined."""
    found = Membership(calibration=0.0, resamples=200)(one_group(stage, [0.1, 0.2, 0.3, 0.5], [0.4]))
    assert found["membership_auc"].value == pytest.approx(0.75)
    assert found["membership_auc"].interval == (pytest.approx(0.25), pytest.approx(1.0))


# ---- weights of groups --------------------------------------------------------------------------------------------------


def test_group_weights_by_hand():
    """Members: three of group 0, one of 1, one of 2; others: one of 0, three of 1, one of 3. Group 2 has no other side, of
    the rest 3/4 are of group 0; the four others that count weigh 1 on average over all five."""
    weight = group_weights(torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 3]))
    assert weight[:5].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert weight[5:].tolist() == pytest.approx([5 * 0.75, 5 * 0.25 / 3, 5 * 0.25 / 3, 5 * 0.25 / 3, 0.0])


def test_membership_of_errors_is_told_apart_by_band(gauge):
    """Large errors belong to large targets: within a band seen and unseen examples are alike, so there is nothing to tell."""
    made = gauge({"forget": [0.0] * 6 + [5.0] * 2, "retain": [0.0], "holdout": [0.0] * 2 + [5.0] * 6}, bands=[2.0])
    subject = made.predicting({"forget": [0.1] * 6 + [8.0] * 2, "holdout": [0.1] * 2 + [8.0] * 6})
    assert ALL_SCORED(subject)["membership_auc"].value == pytest.approx(0.5)
    unbanded = gauge(made.targets)
    plain = unbanded.predicting({"forget": [0.1] * 6 + [8.0] * 2, "holdout": [0.1] * 2 + [8.0] * 6})
    assert ALL_SCORED(plain)["membership_auc"].value > 0.7, "a signal that is not there"


# ---- ideals, and nothing to tell ----------------------------------------------------------------------------------------


def test_the_ideal_is_the_first_retrained_models_own_value(stage):
    labels = {"forget": [0] * 4, "retain": [0] * 4, "holdout": [0] * 4}
    made = stage(labels, classes=2)
    knows = made.losing({"forget": [0.01] * 4, "holdout": HARD})
    gold = made.losing({"forget": [1.7, 1.9, 2.1, 2.3], "holdout": HARD})
    found = ALL_SCORED(knows, References(original=knows, retrained=(gold, knows)))
    assert found["membership_auc"].ideal == pytest.approx(auc_by_pairs([1.7, 1.9, 2.1, 2.3], HARD)) == pytest.approx(6 / 16)
    assert found["membership_tpr"].value == 1.0 and found["membership_tpr"].ideal == 0.0
    assert found["membership_accuracy"].ideal == 0.5
    assert all(figure.ideal is None for figure in ALL_SCORED(knows, References(original=knows)).values())


def test_without_unseen_examples_there_are_no_figures(stage):
    subject = stage({"forget": [0, 1], "retain": [0, 1]}).answering({})
    assert Membership().trial(subject) is None
    assert Membership()(subject, References(retrained=(subject,))) == {}


def test_the_curve_goes_from_corner_to_corner(stage):
    false, true = ALL_SCORED.trial(mixed(stage)).roc()
    assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (np.diff(false) >= 0).all() and (np.diff(true) >= 0).all()
