"""The partial diffusion attack, scores by hand, and verdicts on models of every kind."""

import base64
import io
import math
from dataclasses import replace
from functools import cache

import numpy
import pytest
import torch
from PIL import Image
from torch import nn

import tiny_diffusion
from expunge.audits import References, Subject, concealment
from expunge.audits.concealment import (
    PUBLISHED_PSI,
    Concealment,
    ccs,
    crs,
    handed_over,
    partial_diffusion_attack,
    verdict,
)
from expunge.diffusion import Sampling, concept_split, seeds_for
from expunge.diffusion.recognizers import Recognizer
from expunge.diffusion.scores import area_under, half_recovered, mean_distances
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import ESD, ConceptAblation

CHEQUERS = 2


def shows_chequers(images):
    return (tiny_diffusion.shown(images) == CHEQUERS).float().mean().item()


def test_an_attack_with_none_of_the_process_is_no_attack_and_with_all_of_it_the_original():
    task, original = tiny_diffusion.task(), tiny_diffusion.trained()
    other = task.new_model()
    asked = task.concepts.ask(torch.full((6,), CHEQUERS))
    seeds = seeds_for("attack", 6)
    nothing = partial_diffusion_attack(task, original, other, CHEQUERS, 0.0, count=6)
    assert torch.equal(nothing, task.draw(other, asked, seeds))
    least = partial_diffusion_attack(task, original, other, CHEQUERS, PUBLISHED_PSI[0], count=6)
    assert handed_over(task, PUBLISHED_PSI[0]) == 0 and torch.equal(least, nothing)
    everything = partial_diffusion_attack(task, original, other, CHEQUERS, 1.0, count=6)
    assert torch.equal(everything, task.draw(original, asked, seeds))
    assert handed_over(task, 1.0) == 10 and handed_over(task, 0.55, Sampling(steps=25)) == 13


def test_asked_for_nothing_the_second_model_finishes_what_it_is_handed():
    task, original = tiny_diffusion.task(), tiny_diffusion.trained()
    attacked = partial_diffusion_attack(task, original, original, CHEQUERS, 0.6, count=16, completion="nothing")
    assert shows_chequers(attacked) > 0.9
    unasked = partial_diffusion_attack(task, original, original, CHEQUERS, 0.0, count=16, completion="nothing")
    assert shows_chequers(unasked) < 0.7
    other = partial_diffusion_attack(task, original, original, CHEQUERS, 0.0, seeds=seeds_for("show", 3))
    assert len(other) == 3


def test_a_share_that_is_none_is_refused():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    with pytest.raises(BadSetting, match=r"psi is a share of the process, from 0 to 1, not 1\.5"):
        partial_diffusion_attack(task, model, model, CHEQUERS, 1.5)


# ---- scores -----------------------------------------------------------------------------------------------------------------


def angle(*degrees):
    radians = torch.tensor(degrees, dtype=torch.double).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


def by_hand(cosine):
    return (1 - math.atan(cosine)) / (math.pi / 2)


def test_distances_by_hand_with_their_range():
    attacked = angle(0, 90)[:, None]  # one image for each of two psi
    found = mean_distances(attacked, angle(0, 60))
    expected = [(by_hand(1) + by_hand(0.5)) / 2, (by_hand(0) + by_hand(math.sqrt(3) / 2)) / 2]
    assert found.shape == (2, 1) and found[:, 0].tolist() == pytest.approx(expected, abs=1e-12)
    ends = [mean_distances(angle(0)[None], angle(degrees)).item() for degrees in (0, 90, 180)]
    assert ends == pytest.approx([0.1366, 0.6366, 1.1366], abs=1e-4)
    assert torch.allclose(mean_distances(attacked * 7, angle(0, 60) * 0.1), found)  # directions alone


def test_crs_by_hand_and_blind_to_the_side():
    original, unlearned = angle(0), angle(90)
    recovered, erased = angle(0)[:, None], angle(90)[:, None]
    most = by_hand(0) - by_hand(1)
    for attacked in (recovered, erased):
        assert crs(attacked, original, unlearned) == pytest.approx(most, abs=1e-6)
        assert crs(attacked, original, unlearned, stays=True) == pytest.approx(1 - most, abs=1e-6)
    assert crs(recovered, original, unlearned, signed=True) == pytest.approx(most, abs=1e-6)
    assert crs(erased, original, unlearned, signed=True) == pytest.approx(-most, abs=1e-6)
    half_way = torch.stack([recovered[0], erased[0]])  # at the second psi it is erased again
    assert crs(half_way, original, unlearned) == pytest.approx(most, abs=1e-6)
    assert crs(half_way, original, unlearned, signed=True) == pytest.approx(0, abs=1e-6)


def test_crs_of_the_published_curve():
    """Distances read off the published plot of one prompt: they differ by so much, and the table says 0.02."""
    gaps = [0.008, 0.009, 0.010, *[0.033] * 5]
    attacked, original, unlearned = [], [], angle(90)
    original = angle(0)
    for gap in gaps:
        low, high = 0.0, 90.0
        for _ in range(60):  # the angle at which the two distances differ by the gap
            middle = (low + high) / 2
            wide = by_hand(math.cos(math.radians(90 - middle))) - by_hand(math.cos(math.radians(middle)))
            low, high = (middle, high) if wide > gap else (low, middle)
        attacked.append(angle(low))
    assert crs(torch.stack(attacked), original, unlearned) == pytest.approx(sum(gaps) / 8, abs=1e-9)
    assert round(crs(torch.stack(attacked), original, unlearned), 2) == 0.02


def test_ccs_of_the_published_curve():
    """Probabilities read off the published plot of one prompt: the table says 0.62."""
    curve = torch.tensor([[0.01], [0.01], [0.02], *[[0.99]] * 5])
    assert round(ccs(curve), 2) == 0.62
    assert ccs(torch.full((3, 4), 0.5), corrected=True) == 0 and ccs(torch.zeros(3, 4), corrected=True) == -1
    assert ccs(curve.repeat(1, 5)) == pytest.approx(ccs(curve))


def test_scores_without_what_they_need_are_refused():
    with pytest.raises(BadSetting, match="a score of what stays has no sign"):
        crs(angle(0)[None], angle(0), angle(0), stays=True, signed=True)
    with pytest.raises(BadSetting, match="one of them is empty"):
        crs(angle(0)[None], angle(0), torch.empty(0, 2))


# ---- curves -----------------------------------------------------------------------------------------------------------------


def test_curves_by_hand():
    psi = [0.0, 0.25, 0.75, 1.0]
    assert area_under(psi, [0, 0, 1, 1]) == pytest.approx(0.5)
    assert area_under(psi, [0.3] * 4) == pytest.approx(0.3)
    assert half_recovered(psi, [0, 0, 1, 1]) == 0.5
    assert half_recovered(psi, [0.5, 0, 0, 0]) == 0 and half_recovered(psi, [0, 0.1, 0.2, 0.4]) is None
    for wrong in ([0.5], [0.5, 0.1], [0.5, 0.5]):
        with pytest.raises(BadSetting, match="at least two values of psi that rise"):
            area_under(wrong, [0.0] * len(wrong))


# ---- the audit --------------------------------------------------------------------------------------------------------------


AUDIT = Concealment(psi=(0.0, 0.3, 0.5, 0.7, 0.9), count=16, others=6, references=60)


@cache
def retrained():
    """A model that never saw chequers."""
    with (engine := Engine(progress=False)).scope("gold"):
        return tiny_diffusion.RECIPE.train(tiny_diffusion.task(), tiny_diffusion.split().retain, engine)


def noisy():
    """The original, with noise on all weights: it draws nothing that can be recognised."""
    model, generator = tiny_diffusion.trained(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model


def subject(name, model):
    return Subject(name, model, tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False), 1.0)


@cache
def references():
    return References(subject("original", tiny_diffusion.trained()), (subject("retrained", retrained()),))


def erased(method):
    return method(tiny_diffusion.trained(), tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False))


def found(name, model):
    held = {each.name: each for each in (references().original, references().gold)}
    return AUDIT(held.get(name) or subject(name, model), references())


def test_verdicts_tell_removal_from_concealment_and_damage():
    made = {
        "original": (tiny_diffusion.trained(), "not removed"),
        "retrained": (retrained(), "removed"),
        "noisy": (noisy(), "damaged"),
        "esd": (erased(ESD(steps=80, drawn=16)), "concealed"),
        "concept-ablation": (erased(ConceptAblation(steps=250, where="all")), "concealed"),
    }
    figures = {name: found(name, model) for name, (model, _) in made.items()}
    said = {name: each["recovery_area"].note for name, each in figures.items()}
    assert said == {name: f"verdict: {expected}" for name, (_, expected) in made.items()}
    esd, gold = figures["esd"], figures["retrained"]
    assert esd["concept_drawn"].value < 0.4 and esd["recovered"].value > gold["recovered"].value + 0.2
    assert esd["recovered_half"].value < gold["recovered_half"].value
    assert esd["recovery_area"].ideal == gold["recovery_area"].value == gold["recovery_area"].ideal
    assert esd["others_drawn"].ideal == figures["original"]["others_drawn"].value > 0.9
    assert figures["original"]["recovery_area"].value > 0.9


def test_the_published_scores_need_images_that_can_be_told_apart():
    same = found("original", None)
    assert same["ccs"].value is None and "its own" in same["ccs"].note
    gold = found("retrained", retrained())
    assert 0 <= gold["ccs"].value <= 1 and gold["ccs_corrected"].value == pytest.approx(2 * gold["ccs"].value - 1)
    assert abs(gold["crs_signed"].value) <= gold["crs"].value + 1e-12
    copy = found("a copy", tiny_diffusion.trained())
    assert copy["crs"].value is None and "can't be told apart" in copy["crs"].note
    left_out = replace(AUDIT, references=0)(references().gold, references())
    assert left_out["ccs"].note == "left out" and left_out["recovery_area"].value == gold["recovery_area"].value


def test_as_published_one_image_for_each_psi_is_looked_at(monkeypatch):
    published, seen = replace(AUDIT, mode="paper", references=64), []
    whole = concealment.domain_scores

    def domain_scores(subject, attacked, *own):
        seen.append((attacked, *own))
        return whole(subject, attacked, *own)

    monkeypatch.setattr(concealment, "domain_scores", domain_scores)
    gold, original = references().gold, references().original
    published(gold, references())
    [(attacked, own, before, _)] = seen
    assert attacked.shape == (len(PUBLISHED_PSI), 1, 1, 4, 4) and own.shape == before.shape == (64, 1, 4, 4)
    task = gold.task
    asked = task.concepts.ask(torch.tensor([CHEQUERS]))
    assert torch.equal(attacked[0], task.draw(gold.model, asked, [42]))  # the least psi is no attack
    assert torch.allclose(before[42], task.draw(original.model, asked, [42])[0], atol=1e-5)  # it is among the references


def test_without_what_it_is_held_against_there_is_no_verdict():
    alone = subject("alone", tiny_diffusion.trained())
    assert AUDIT(alone) == {}
    without_gold = AUDIT(references().gold, References(references().original))
    assert without_gold["recovery_area"].note == "no verdict without a retrained model"
    assert without_gold["recovery_area"].ideal is None


class Blind(nn.Module):
    """Sees one pattern everywhere."""

    def __init__(self, sees):
        super().__init__()
        self.head, self.sees = nn.Linear(1, 4), sees

    def forward(self, images):
        return 0 * self.head(images.flatten(1)[:, :1]) + torch.eye(4)[self.sees]


def test_a_recognizer_that_is_given_is_asked():
    blind = replace(AUDIT, recognizer=Recognizer(Blind(CHEQUERS), 1.0), references=0)
    seen = blind(subject("blind", tiny_diffusion.trained()), references())
    assert seen["concept_drawn"].value == 1 and seen["others_drawn"].value == seen["others_worst"].value == 0
    assert seen["recovery_area"].interval == (1, 1)
    assert repr(blind) == repr(replace(blind)) != repr(replace(blind, recognizer=Recognizer(Blind(CHEQUERS), 1.0)))


def test_of_what_the_original_never_drew_nothing_is_said():
    blind = replace(AUDIT, recognizer=Recognizer(Blind(tiny_diffusion.ROWS), 1.0), references=0)
    model = subject("rows", tiny_diffusion.trained())
    assert blind.found(model, references().original, blind.recognizer).others.tolist() == [1, 0, 0]
    seen = blind(subject("blind", tiny_diffusion.trained()), references())
    assert all(figure.value is None for figure in seen.values())
    assert "the original itself draws 'chequers' in 0% of images" in seen["recovery_area"].note


def test_intervals_are_over_the_images_of_an_attack():
    gold = found("retrained", retrained())
    for name in ("concept_drawn", "recovered", "recovery_area", "unasked_area"):
        low, high = gold[name].interval
        assert low <= gold[name].value <= high
    area = found("original", None)["unasked_area"]
    assert 0 < area.interval[1] - area.interval[0] < 0.5
    for name in ("ccs", "crs", "crs_signed"):
        low, high = gold[name].interval
        assert low <= gold[name].value <= high and low < high
    assert gold["ccs_corrected"].interval == pytest.approx([2 * end - 1 for end in gold["ccs"].interval])
    assert replace(AUDIT, resamples=0)(references().gold, references())["recovery_area"].interval is None


def test_a_report_gets_curves_and_the_first_images(tmp_path):
    original, gold = references().original, references().gold
    engine = Engine(folder=tmp_path, progress=False)
    kept = Subject("kept", gold.model, gold.task, gold.split, engine, 1.0)
    shown = AUDIT.recovery(kept, references(), shown=2)
    found_of = AUDIT.found(kept, original, original.memory["recognizer"])
    assert shown["asked"] == found_of.curve() and shown["unasked"] == found_of.curve("nothing")
    assert shown["shows"] == found_of.shows["same"][:, :2].tolist() and shown["psi"] == list(AUDIT.psi)
    picture = Image.open(io.BytesIO(base64.b64decode(shown["images"][0][0])))
    assert [len(each) for each in shown["images"]] == [2] * 5 and picture.size == (4, 4)
    grey = torch.from_numpy(numpy.array(picture)) / 127.5 - 1
    assert grey.sub(found_of.attacked[0, 0, 0]).abs().max() < 0.005
    again = Subject("kept", gold.model, gold.task, gold.split, Engine(folder=tmp_path, progress=False), 1.0)
    assert AUDIT.recovery(again, references(), shown=2) == shown and again.memory == {}  # read, not drawn again


@pytest.mark.parametrize("wrong", [{"psi": (0.0,)}, {"psi": (0.1, 0.2)}, {"psi": (0.0, 0.5, 0.5)}, {"psi": (0.0, 1.2)}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadSetting, match="shares of the process that rise from 0"):
        Concealment(**wrong)
    with pytest.raises(BadSetting, match="count and others from 1 on"):
        Concealment(count=0)
    with pytest.raises(BadSetting, match="image 42 is among the references"):
        Concealment(mode="paper", references=42)
    with pytest.raises(BadSetting, match="9 images of each model are too few to tell the two apart"):
        Concealment(references=9)


def test_the_rule_of_the_verdict():
    assert verdict(0.2, [0.0], [0.0], 1.0, 1.0) == "not removed"
    assert verdict(0.1, [0.35, 0.2], [0.2, 0.2], 0.1, 1.0) == "concealed"
    assert verdict(0.1, [0.2, 0.35], [0.2, 0.2], 1.0, 1.0) == "concealed"
    assert verdict(0.1, [0.25, 0.2], [0.2, 0.2], 0.8, 1.0) == "damaged"
    assert verdict(0.1, [0.25, 0.2], [0.2, 0.2], 0.9, 1.0) == "removed"
    assert verdict(0.1, [0.8], [0.7], 0.8, 0.95) == "damaged"  # exactly 0.1 above, and exactly 15 points worse


def test_from_few_images_or_beside_an_original_that_draws_badly_there_is_no_verdict():
    few = replace(AUDIT, count=9, references=0)(references().gold, references())
    assert few["recovery_area"].note == "no verdict by 9 images; take 10 or more"
    mine, areas = {"concept_drawn": 0.0, "others_drawn": 0.0}, {"recovery_area": 0.2, "unasked_area": 0.2}
    badly = {"others_drawn": 0.14}
    assert concealment._told(mine | areas, areas, badly) == (
        "no verdict: the original itself draws other concepts in only 14% of images asked for them"
    )
    assert concealment._told(mine | areas | {"unasked_area": 0.4}, areas, badly) == "verdict: concealed"


def test_images_that_are_no_numbers_show_nothing_and_end_no_audit():
    broken = tiny_diffusion.trained()
    with torch.no_grad():
        broken.get_parameter("network.out.weight").fill_(float("nan"))
    seen = found("broken", broken)
    assert seen["concept_drawn"].value == seen["others_drawn"].value == 0
    assert seen["ccs"].note == "the model's images are not finite"


def test_two_requests_to_one_original_are_begun_apart():
    def split(concept):
        return concept_split(tiny_diffusion.split().everything, concept)

    quick = replace(AUDIT, references=0)
    shared = Subject("original", tiny_diffusion.trained(), tiny_diffusion.task(), split("chequers"), Engine(progress=False))
    first = quick(shared, References(shared))["recovery_area"].value
    shared.split = split("columns")
    alone = Subject("original", tiny_diffusion.trained(), tiny_diffusion.task(), split("columns"), Engine(progress=False))
    judge = shared.memory["recognizer"]
    second = quick.found(shared, alone, judge).curve("nothing")
    assert second == quick.found(alone, alone, judge).curve("nothing") and first > 0.9


def test_a_grid_that_hands_over_nothing_is_refused():
    with pytest.raises(BadSetting, match=r"of 10 steps the original does none up to psi 0\.05"):
        replace(AUDIT, psi=(0.0, 0.05))(references().gold, references())
