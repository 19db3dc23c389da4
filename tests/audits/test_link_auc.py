"""Areas under curves of links on logits written by hand: which side stands out, ties, and what a retrained model shows."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from expunge.audits import Figure, LinkAUC, Membership, Probability, References, Subject
from expunge.audits.link_auc import auc
from expunge.errors import WrongTask
from expunge.split import Split

COUNTS = {"forget": 2, "retain": 4, "unseen": 3, "none": 2}
LOGITS = {"forget": [1.0, 3.0], "retain": [0.0, 1.0, 2.0, 9.0], "unseen": [1.0, 2.0, 5.0], "none": [0.0, 2.0]}


def areas(subject, *golds) -> dict[str, float | None]:
    return {name: figure.value for name, figure in LinkAUC()(subject, References(retrained=golds)).items()}


# ---- by hand ------------------------------------------------------------------------------------------------------------


def test_all_areas_by_hand_with_ties_counted_half(web):
    made = web(**COUNTS)
    found = LinkAUC()(made.subject(**LOGITS))
    #   unseen 1, 2, 5 over none 0, 2:          1 0 | 1 .5 | 1 1       of 6
    #   retained 0, 1, 2, 9 over deleted 1, 3:  0 0 | .5 0 | 1 0 | 1 1 of 8
    #   deleted 1, 3 over unseen 1, 2, 5:       .5 0 0 | 1 1 0         of 6
    assert found == {
        "link_auc": Figure(pytest.approx(4.5 / 6), None),
        "deleted_retained_auc": Figure(pytest.approx(3.5 / 8), None),
        "deleted_unseen_auc": Figure(pytest.approx(2.5 / 6), None),
    }


@pytest.mark.parametrize("digits", [0, 1, 8], ids=["many ties", "some ties", "no ties"])
def test_areas_are_those_of_scikit_learn(digits):
    draw = np.random.default_rng(0)
    higher, lower = (torch.tensor(draw.normal(shift, size=size).round(digits)) for shift, size in ((0.5, 40), (0.0, 70)))
    expected = roc_auc_score(np.repeat([1, 0], [40, 70]), torch.cat([higher, lower]))
    assert auc(higher, lower) == pytest.approx(expected) and auc(lower, higher) == pytest.approx(1 - expected)


def test_a_high_area_of_deleted_against_retained_edges_means_that_deleted_ones_are_the_less_likely(web):
    made = web(forget=2, retain=2, unseen=1, none=1)
    over = areas(made.subject(forget=[-9.0, -8.0], retain=[4.0, 5.0]))
    known = areas(made.subject(forget=[9.0, 8.0], retain=[4.0, 5.0]))
    assert (over["deleted_retained_auc"], over["deleted_unseen_auc"]) == (1.0, 0.0)
    assert (known["deleted_retained_auc"], known["deleted_unseen_auc"]) == (0.0, 1.0)


def test_it_is_what_random_samples_of_retained_edges_give_on_average(web):
    """The field's way: as many retained edges as were deleted, again and again; here all such samples, once each."""
    made = web(**COUNTS)
    forget = LOGITS["forget"]
    samples = [roc_auc_score([0, 0, 1, 1], [*forget, *retain]) for retain in itertools.combinations(LOGITS["retain"], 2)]
    assert len(samples) == 6 and max(samples) - min(samples) > 0.3
    assert areas(made.subject(**LOGITS))["deleted_retained_auc"] == pytest.approx(np.mean(samples))


def test_logits_are_compared_where_probabilities_are_all_1(web):
    made = web(forget=2, retain=2, unseen=2, none=2)
    subject = made.subject(forget=[40.0, 41.0], retain=[60.0, 61.0], unseen=[50.0, 50.0], none=[30.0, 30.0])
    assert subject.scores("forget").tolist() == subject.scores("retain").tolist() == [1.0, 1.0]
    assert list(areas(subject).values()) == [1.0, 1.0, 0.0]


def test_pairs_without_an_edge_count_in_the_first_area_alone(web):
    made = web(**COUNTS)
    usual, other = areas(made.subject(**LOGITS)), areas(made.subject(**LOGITS | {"none": [99.0, 99.0]}))
    assert other["link_auc"] == 0.0
    assert {name for name in usual if usual[name] != other[name]} == {"link_auc"}


def test_all_held_out_edges_count_where_no_part_is_like_what_goes(web):
    """Of a holdout set with both kinds of pairs only the edges are unseen edges."""
    made = web(**COUNTS)
    split = Split(made.split.forget, made.split.retain, made.split.holdout)
    whole = made.subject(**LOGITS)
    subject = Subject("by hand", whole.model, made.task, split, made.engine)
    assert areas(subject) == areas(whole)


# ---- beside other audits ------------------------------------------------------------------------------------------------


def test_deleted_against_unseen_is_the_membership_attack_on_all_held_out_edges(web):
    made = web(forget=30, retain=30, unseen=40, none=40)
    draw = np.random.default_rng(0)
    logits = {part: draw.normal(shift, size=made.counts[part]) for part, shift in (("forget", 0.7), ("unseen", 0.0))}
    subject = made.subject(**logits)
    assert len(set(subject.groups("forget").tolist()) | set(subject.groups("holdout_forget").tolist())) == 1
    found = areas(subject)["deleted_unseen_auc"]
    attack = {share: Membership(calibration=share, resamples=2)(subject)["membership_auc"].value for share in (0.0, 0.2)}
    assert 0.55 < found < 0.9 and attack[0.0] == pytest.approx(found)
    assert attack[0.2] != pytest.approx(found) and attack[0.2] == pytest.approx(found, abs=0.1), "some edges are not scored"


def test_probabilities_of_each_part_are_explained_with_their_gaps(web):
    made = web(**COUNTS)
    subject, gold = made.subject(**LOGITS), made.subject(**LOGITS | {"forget": [0.0, 0.0]})
    found = Probability()(subject, References(retrained=(gold,)))
    assert found.keys() == Probability.figures.keys()
    chance = torch.tensor([1.0, 3.0]).sigmoid().mean().item()
    assert found["forget_probability"] == Figure(pytest.approx(chance), pytest.approx(0.5))
    assert found["forget_probability_gap"] == Figure(pytest.approx(chance - 0.5), 0.0)
    true = torch.tensor([1.0, 2.0, 5.0, -0.0, -2.0]).sigmoid().mean().item()
    assert found["holdout_probability"].value == pytest.approx(true), "of pairs without an edge, that they have none"


# ---- ideals, and nothing to tell ----------------------------------------------------------------------------------------


def test_ideals_are_the_first_retrained_models_values_and_the_gap_is_to_them(web):
    made = web(**COUNTS)
    gold = made.subject(**LOGITS)
    subject = made.subject(**LOGITS | {"forget": [-1.0, 0.5]})  # retained over deleted: 1 0 | 1 1 | 1 1 | 1 1
    found = LinkAUC()(subject, References(original=subject, retrained=(gold, subject)))
    assert found.keys() == LinkAUC.figures.keys()
    assert found["deleted_retained_auc"] == Figure(pytest.approx(7 / 8), pytest.approx(3.5 / 8))
    assert found["deleted_retained_gap"] == Figure(pytest.approx(3.5 / 8), 0.0)
    assert found["link_auc"] == Figure(pytest.approx(4.5 / 6), pytest.approx(4.5 / 6))
    assert found["deleted_unseen_auc"].ideal == pytest.approx(2.5 / 6)
    assert areas(gold, subject)["deleted_retained_gap"] == pytest.approx(-3.5 / 8), "less, where deleted edges stand out less"


def test_the_gold_stands_at_gap_0_whatever_its_area(web):
    gold = web(**COUNTS).subject(**LOGITS)
    assert areas(gold, gold)["deleted_retained_gap"] == 0.0
    assert "deleted_retained_gap" not in areas(gold)


def test_parts_that_the_split_lacks_have_no_area(web):
    made = web(forget=1, retain=1)
    gold = made.subject(forget=[1.0])
    assert areas(gold, gold) == {"deleted_retained_auc": 0.0, "deleted_retained_gap": 0.0}
    assert areas(web(forget=1, retain=1, unseen=1).subject()).keys() == {"deleted_retained_auc", "deleted_unseen_auc"}


def test_a_logit_that_is_no_number_gives_no_area_and_an_infinite_one_has_a_rank(web):
    made = web(**COUNTS)
    found = areas(made.subject(**LOGITS | {"forget": [math.nan, 1.0]}))
    assert math.isnan(found["deleted_retained_auc"]) and math.isnan(found["deleted_unseen_auc"])
    assert found["link_auc"] == pytest.approx(4.5 / 6)
    assert areas(made.subject(**LOGITS | {"forget": [-math.inf, -math.inf]}))["deleted_retained_auc"] == 1.0


@pytest.mark.parametrize("audit", [LinkAUC(), Probability()], ids=lambda audit: audit.name)
def test_classification_has_no_links(stage, audit):
    with pytest.raises(WrongTask, match=f"^the audit {audit.name} works on LinkPredictionTask, not on ClassificationTask$"):
        audit(stage({"forget": [0], "retain": [1]}).answering({}))
