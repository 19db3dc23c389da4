"""Presence before and after, divergence from the retrained model, and the fall of what stays, on logits written by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from expunge.audits import Figure, LinkChange, References
from expunge.audits.link_change import PresenceAttack, presence_attack
from expunge.errors import WrongTask

COUNTS = {"forget": 3, "retain": 6, "unseen": 4, "none": 1}
LEARNED = {"forget": [2.0, 3.0, 1.0], "retain": [2.0, 3.0, 4.0, 1.0, 2.5, -1.0], "unseen": [-2.0, 0.0, 1.5, -1.0]}
RATIOS = ("membership_ratio_before_after", "membership_ratio_after_before")


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def changes(subject, original=None, *golds) -> dict[str, float | None]:
    return {name: figure.value for name, figure in LinkChange()(subject, References(original, golds)).items()}


# ---- presence before and after ------------------------------------------------------------------------------------------


def test_the_ratio_is_of_the_means_of_what_the_attack_says(web):
    made = web(**COUNTS)
    original = made.subject(**LEARNED)
    after = [-3.0, 3.0, -6.0]
    inputs = np.array([LEARNED["retain"] + LEARNED["unseen"]]).T
    model = LogisticRegression(class_weight="balanced").fit(inputs, [1] * 6 + [0] * 4)
    before, then = (model.predict_proba(np.array([logits]).T)[:, 1] for logits in (LEARNED["forget"], after))
    found = changes(made.subject(**LEARNED | {"forget": after}), original)
    assert found["membership_ratio_before_after"] == pytest.approx(before.mean() / then.mean(), rel=1e-6)
    assert found["membership_ratio_after_before"] == pytest.approx(then.mean() / before.mean(), rel=1e-6)
    assert abs((before / then).mean() / (before.mean() / then.mean()) - 1) > 0.3, "a mean of ratios is another number"


def test_fewer_look_present_after_than_before(web):
    made = web(**COUNTS)
    original = made.subject(**LEARNED)
    found = changes(made.subject(**LEARNED | {"forget": [-1.0, -1.0, -1.0]}), original)
    assert found["membership_ratio_before_after"] > 1.3 and found["membership_ratio_after_before"] < 0.75
    more = changes(made.subject(**LEARNED | {"forget": [5.0, 5.0, 5.0]}), original)
    assert more["membership_ratio_before_after"] < 0.95 and more["membership_ratio_after_before"] > 1.05


def test_the_original_itself_has_ratio_1_and_lowers_nothing(web):
    original = web(**COUNTS).subject(**LEARNED)
    assert changes(original, original) == dict.fromkeys(RATIOS, 1.0) | {"retain_lowered": 0.0}


def test_the_attack_is_learned_on_the_original_whatever_the_subject_says_of_other_edges(web):
    made = web(**COUNTS)
    original = made.subject(**LEARNED)
    after = [-1.0, 0.0, 1.0]
    found = [
        changes(made.subject(**LEARNED | {"forget": after} | other), original)
        for other in ({}, {"retain": [-9.0] * 6, "unseen": [9.0] * 4, "none": [9.0]})
    ]
    assert [found[0][name] for name in RATIOS] == [found[1][name] for name in RATIOS]


def test_an_attack_on_two_mirrored_sides_is_even_at_their_middle():
    members = torch.tensor([2.0, 3.0, 4.0, -1.0], dtype=torch.double)
    attack = PresenceAttack(members + 1, 1 - members)
    assert attack.slope > 0.3 and attack(torch.tensor([1.0])).item() == pytest.approx(0.5, abs=1e-4)
    low, high = attack(torch.tensor([-4.0, 6.0])).tolist()
    assert low + high == pytest.approx(1.0, abs=1e-4) and high > 0.8


def test_many_training_edges_do_not_make_every_edge_present():
    members, others = torch.tensor([1.0, 2.0, 3.0, -0.5] * 5), torch.tensor([-1.0, 0.0, 1.5, -2.0] * 5)
    even, uneven = (PresenceAttack(members.repeat(times), others)(torch.tensor([0.5])).item() for times in (1, 50))
    assert uneven == pytest.approx(even, abs=0.03)


def test_edges_without_any_presence_left_give_an_infinite_ratio_and_no_number_gives_none(web):
    made = web(**COUNTS)
    original = made.subject(**LEARNED)
    gone = changes(made.subject(**LEARNED | {"forget": [-math.inf] * 3}), original)
    assert [gone[name] for name in RATIOS] == [math.inf, 0.0]
    broken = changes(made.subject(**LEARNED | {"forget": [math.nan, 1.0, 1.0]}), original)
    assert all(math.isnan(broken[name]) for name in RATIOS)


# ---- distance to the retrained model ------------------------------------------------------------------------------------


def test_divergence_of_known_answers_by_hand(web):
    made = web(forget=2, retain=1, unseen=1, none=1)
    gold = made.subject(forget=[logit(0.75), 0.3])
    subject = made.subject(forget=[0.0, 0.3])  # 0.5 against 0.75, and the same

    def entropy(p: float) -> float:
        return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))

    expected = entropy(0.625) - (entropy(0.5) + entropy(0.75)) / 2
    assert expected == pytest.approx(0.04879, abs=1e-5)
    assert changes(subject, None, gold)["forget_js"] == pytest.approx(expected / 2, rel=1e-4)


def test_divergence_is_1_where_answers_are_opposite(web):
    made = web(forget=1, retain=1, unseen=1, none=1)
    assert changes(made.subject(forget=[60.0]), None, made.subject(forget=[-60.0]))["forget_js"] == pytest.approx(1.0)


def test_shift_by_hand_is_below_0_where_what_stays_was_damaged(web):
    made = web(forget=1, retain=2, unseen=1, none=1)
    gold = made.subject(retain=[logit(0.9), logit(0.6)])
    lower = made.subject(retain=[logit(0.5), logit(0.7)], forget=[9.0])
    found = changes(lower, None, gold)
    assert found["retain_shift"] == pytest.approx((-0.4 + 0.1) / 2, abs=1e-6), "falls and rises cancel, unlike distances"
    assert changes(gold, None, lower)["retain_shift"] == pytest.approx(0.15, abs=1e-6)


def test_the_share_of_what_stays_that_fell_by_more_than_a_hundredth(web):
    made = web(forget=1, retain=5, unseen=1, none=1)
    original = made.subject(retain=[logit(0.8)] * 5)
    subject = made.subject(retain=[logit(p) for p in (0.795, 0.7899, 0.2, 0.9, 0.8)])
    gold = made.subject(retain=[logit(p) for p in (0.7, 0.9, 0.9, 0.9, 0.9)])
    found = LinkChange()(subject, References(original, (gold,)))["retain_lowered"]
    assert found == Figure(pytest.approx(2 / 5), pytest.approx(1 / 5))


def test_the_retrained_model_itself_is_at_0_and_gives_the_ideals(web):
    made = web(**COUNTS)
    original, gold = made.subject(**LEARNED), made.subject(**LEARNED | {"forget": [0.0, 0.5, -1.0], "retain": [1.0] * 6})
    subject = made.subject(**LEARNED | {"forget": [-9.0] * 3})
    references = References(original, (gold, subject))
    of_gold, found = (LinkChange()(each, references) for each in (gold, subject))
    assert found.keys() == of_gold.keys() == LinkChange.figures.keys()
    assert of_gold["forget_js"] == of_gold["retain_shift"] == Figure(0.0, 0.0)
    for name in (*RATIOS, "retain_lowered"):
        assert of_gold[name].value == of_gold[name].ideal == found[name].ideal != found[name].value, name
    assert found["forget_js"].value > 0.2 and found["forget_js"].ideal == found["retain_shift"].ideal == 0.0


# ---- nothing to tell ----------------------------------------------------------------------------------------------------


def test_without_references_there_is_no_figure_and_with_one_only_its_own(web):
    made = web(**COUNTS)
    subject, original = made.subject(), made.subject(**LEARNED)
    assert LinkChange()(subject) == {}
    assert changes(subject, None, original).keys() == {"forget_js", "retain_shift"}
    alone = LinkChange()(subject, References(original))
    assert alone.keys() == {*RATIOS, "retain_lowered"} and all(figure.ideal is None for figure in alone.values())


def test_without_held_out_edges_nobody_can_learn_the_attack(web):
    made = web(forget=1, retain=2, none=1)
    original = made.subject(retain=[1.0, 2.0])
    assert presence_attack(original) is None
    assert changes(original, original, original) == {"forget_js": 0.0, "retain_shift": 0.0, "retain_lowered": 0.0}


def test_classification_has_no_links(stage):
    with pytest.raises(WrongTask, match=r"^the audit link-change works on LinkPredictionTask, not on ClassificationTask$"):
        LinkChange()(stage({"forget": [0], "retain": [1]}).answering({}))
