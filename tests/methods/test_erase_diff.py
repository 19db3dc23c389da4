"""EraseDiff: what it makes of the concept and of the others, and its gradient by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import tiny_diffusion
from expunge.diffusion.noised import NoisedImages
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged
from expunge.methods import EraseDiff
from expunge.methods.erase_diff import learning_in, least_weight, linear, slope_of
from expunge.models.text_to_image import Denoiser
from expunge.optimizers import Optimizer
from tiny import same_weights
from tiny_diffusion import CHEQUERS, COLUMNS, CORNER, ROWS, run, share


@pytest.mark.parametrize("wrong", ["another", "noise"])
def test_the_concept_is_drawn_no_more_and_others_are(wrong):
    result = run(EraseDiff(wrong=wrong, eta=0.1 if wrong == "another" else 1.0))
    assert share(result, CHEQUERS) < 0.2 < 0.9 < share(tiny_diffusion.trained(), CHEQUERS)
    assert min(share(result, other) for other in (ROWS, COLUMNS, CORNER)) > 0.7


def test_no_steps_no_change_and_words_do_not_learn():
    original = tiny_diffusion.trained()
    assert same_weights(run(EraseDiff(steps=0)), original)
    result = run(EraseDiff(steps=2))
    assert same_weights(result.text_encoder, original.text_encoder) and not same_weights(result.network, original.network)
    assert all(weight.requires_grad for weight in result.parameters())


# ---- the weight of the constraint -------------------------------------------------------------------------------------------


def test_the_weight_is_the_least_that_meets_the_constraint():
    generator = torch.Generator().manual_seed(0)
    for eta in (0.0, 0.1, 2.0):
        for stays, constraint in torch.randn(20, 2, 5, generator=generator, dtype=torch.double):
            weight = least_weight(stays, constraint, eta)
            reached = (stays + weight * constraint) @ constraint
            wanted = eta * constraint.square().sum()
            assert reached >= wanted - 1e-12 and weight >= 0
            assert weight == 0 or reached == pytest.approx(wanted.item())


def test_where_nothing_can_be_forgotten_what_stays_alone_counts():
    assert least_weight(torch.ones(3), torch.zeros(3), 0.5) == 0
    assert least_weight(torch.ones(3), torch.full((3,), float("nan")), 0.5).isnan()


def test_a_linear_term_is_nothing_but_its_slope():
    weights = [nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.tensor([3.0]))]
    value = linear(weights, torch.tensor([4.0, 5.0, 6.0]))
    value.backward()
    assert value == 0 and weights[0].grad.tolist() == [[4.0, 5.0]] and weights[1].grad.tolist() == [6.0]


def test_a_slope_has_zeros_where_a_weight_is_not_used():
    used, unused = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.zeros(2))
    assert slope_of(used.square().sum(), [used, unused]).tolist() == [4.0, 0.0, 0.0]


class Line(Denoiser):
    """Predicts its one weight everywhere, whatever is asked."""

    def __init__(self, value):
        super().__init__(nn.Module())
        self.network.slope = nn.Parameter(torch.tensor([value]))

    def forward(self, noisy, times, conditions):
        return self.network.slope.expand_as(noisy)


def test_one_step_by_hand(monkeypatch):
    """On a model with one weight w all losses are parabolas.

    The loss that stays is (w - r)^2 and something, r the mean of its targets. Forgetting is (w - 1)^2, since the model before
    predicts 1, and one step of gradient descent at rate 0.25 goes half of the way to it.
    """
    task, split = tiny_diffusion.task(), tiny_diffusion.split()
    method = EraseDiff(steps=1, inner_steps=1, inner=Optimizer("sgd", 0.25), optimizer=Optimizer("sgd", 0.1), eta=0.5)
    seen, honest = [], NoisedImages.epoch

    def watched(stream, generator):
        for batch in honest(stream, generator):
            seen.append(batch)
            yield batch

    monkeypatch.setattr(NoisedImages, "epoch", watched)
    start, original, student = 3.0, Line(1.0), Line(3.0)
    method.erase(student, original.requires_grad_(False), task, split, Engine(progress=False))
    target = next(batch[3] for batch in seen if (batch[4] != CHEQUERS).all()).mean().item()
    stays, half_way = 2 * (start - target), 1 + (start - 1) / 2
    constraint = 2 * (start - 1) - 2 * (half_way - 1)
    weight = max(0.0, 0.5 - stays * constraint / constraint**2)
    assert student.network.slope.item() == pytest.approx(start - 0.1 * (stays + weight * constraint), abs=1e-5)


def test_a_higher_eta_goes_farther_in_forgetting(monkeypatch):
    """Pulled away from it by what stays, one weight still moves towards the wrong answer by eta of the constraint."""
    moved = []
    for eta in (0.5, 1.0):
        student = Line(-3.0)  # what stays is at 0, the wrong answer at -5: the two disagree
        method = EraseDiff(steps=1, inner_steps=1, inner=Optimizer("sgd", 0.25), optimizer=Optimizer("sgd", 0.1), eta=eta)
        method.erase(
            student, Line(-5.0).requires_grad_(False), tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False)
        )
        moved.append(-3.0 - student.network.slope.item())
    constraint = 2 * 2 - 2 * 1  # from -3 to -5, and from half of the way
    assert moved == pytest.approx([0.1 * eta * constraint for eta in (0.5, 1.0)], abs=1e-5)


def test_only_what_learns_is_taken():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert learning_in(model) == [model.weight]


# ---- runs -------------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """Stands for a process that is killed."""


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    method = EraseDiff(steps=6, inner_steps=1)
    whole = run(method)
    calls, honest = [], Denoiser.forward

    def dies(self, *inputs):
        calls.append(1)
        if len(calls) == 20:
            raise Killed
        return honest(self, *inputs)

    monkeypatch.setattr(Denoiser, "forward", dies)
    engine = {"progress": False, "folder": tmp_path, "checkpoint_steps": 1}
    with pytest.raises(Killed):
        run(method, Engine(**engine))
    monkeypatch.setattr(Denoiser, "forward", honest)
    resumed = Engine(**engine)
    assert same_weights(run(method, resumed), whole) and resumed.resumed_seconds > 0


def test_a_loss_that_is_no_number_ends_the_run():
    broken = tiny_diffusion.trained()
    with torch.no_grad():
        broken.network.out.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match=r"erase-diff/.*is nan at step 0"):
        EraseDiff(steps=2)(broken, tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False))


def test_what_makes_no_sense_is_refused():
    for wrong in ({"inner_steps": 0}, {"eta": -0.1}, {"wrong": "nothing"}, {"steps": -1}):
        with pytest.raises(BadSetting, match=f"erase-diff: {next(iter(wrong))} must be"):
            EraseDiff(**wrong)
    alone = replace(tiny_diffusion.split(), retain=())
    with pytest.raises(BadRequest, match="the retain stream is empty"):
        EraseDiff(steps=1)(tiny_diffusion.trained(), tiny_diffusion.task(), alone, Engine(progress=False))
