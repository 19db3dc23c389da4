"""The partial diffusion attack, and scores by hand."""

import math

import pytest
import torch

import tiny_diffusion
from expunge.audits.concealment import (
    PUBLISHED_PSI,
    area_under,
    ccs,
    crs,
    half_recovered,
    handed_over,
    mean_distances,
    partial_diffusion_attack,
)
from expunge.diffusion import Sampling, seeds_for
from expunge.errors import BadSetting

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
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    ends = [mean_distances(angle(0)[None], angle(degrees)).item() for degrees in (0, 90, 180)]
    assert ends == pytest.approx([0.1366, 0.6366, 1.1366], abs=1e-4)
    assert mean_distances(attacked * 7, angle(0, 60) * 0.1).tolist() == pytest.approx(found.tolist())  # directions alone


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
