"""Sampling: an ideal model, seeds, guidance, and two models in turn."""

import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler
from torch import nn

import tiny_diffusion
from expunge.diffusion import Sampling, numbered, seeds_for
from expunge.diffusion.sampling import PURPOSES, SEEDS, noise_of, original_steps
from expunge.diffusion.trajectories import FreshStates, Trajectories
from expunge.errors import BadSetting
from expunge.tasks import DiffusionTask


class Knows(nn.Module):
    """The best possible model of a world with one image for each number; asked for nothing, of the image 0."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler, self.asked = scheduler, []
        self.images = nn.Parameter(torch.stack([torch.zeros(1, 2, 2), *(torch.full((1, 2, 2), each) for each in (0.25, -0.5))]))

    def forward(self, noisy, times, conditions):
        self.asked.append((int(times[0]), conditions.tolist()))
        image = self.images[(conditions + 1) % 3]
        kept = self.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * image) / (1 - kept).sqrt()
        if self.scheduler.config.prediction_type == "epsilon":
            return noise
        return kept.sqrt() * noise - (1 - kept).sqrt() * image


def world(kind="epsilon", **sampling):
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=kind)
    return DiffusionTask(lambda: Knows(scheduler), numbered(["a", "b"]), (1, 2, 2), scheduler, Sampling(**sampling))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_best_model_draws_its_image_from_any_noise(kind, eta):
    task = world(kind, steps=10, eta=eta)
    drawn = task.draw(task.new_model(), torch.tensor([0, 1, 1]), seeds_for("show", 3))
    assert torch.allclose(drawn.mean((1, 2, 3)), torch.tensor([0.25, -0.5, -0.5]), atol=1e-4)


@pytest.mark.parametrize(("guidance", "image"), [(0.0, 0.0), (1.0, 0.25), (2.0, 0.5)])
def test_guidance_goes_from_nothing_through_the_condition_and_beyond(guidance, image):
    task = world(steps=5, guidance=guidance)
    model = task.new_model()
    drawn = task.draw(model, torch.tensor([0]), [7])
    assert drawn.mean().item() == pytest.approx(image, abs=1e-4)
    assert {tuple(asked) for _, asked in model.asked} == ({(0,)} if guidance == 1 else {(2, 0)})


def test_an_image_depends_on_its_own_seed_alone():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    asked, how = tiny_diffusion.concepts().ask(torch.tensor([0, 1, 2])), Sampling(steps=6, eta=1.0)
    seeds = seeds_for("show", 3)
    together = task.draw(model, asked, seeds, sampling=how)
    alone = torch.cat([task.draw(model, asked[place : place + 1], [seeds[place]], sampling=how) for place in (2, 0)])
    assert torch.allclose(alone, together[[2, 0]], atol=1e-5)
    other = task.draw(model, asked, seeds_for("train", 3), sampling=how)
    assert not torch.allclose(other, together, atol=1e-2)


def test_more_images_than_are_drawn_at_once_are_the_same_images():
    task, model = world(steps=3), world().new_model()
    numbers = torch.arange(130) % 2
    drawn = task.draw(model, numbers, seeds_for("show", 130))
    assert drawn.shape == (130, 1, 2, 2) and torch.allclose(drawn.mean((1, 2, 3)), 0.25 - 0.75 * numbers, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_what_one_model_begins_the_same_model_finishes_as_if_it_had_never_stopped(eta):
    task, model, how = tiny_diffusion.task(), tiny_diffusion.trained(), Sampling(steps=6, eta=eta)
    asked, seeds = tiny_diffusion.concepts().ask(torch.tensor([2, 3])), seeds_for("show", 2)
    whole = task.draw(model, asked, seeds, sampling=how)
    for steps in (0, 2, 6):
        begun = task.on_the_way(model, asked, seeds, steps, how)
        assert torch.allclose(task.draw(model, asked, seeds, sampling=how, start=begun, first=steps), whole, atol=1e-6)


def test_another_model_can_finish_and_be_asked_for_something_else():
    task = world(steps=10)
    first, second = task.new_model(), task.new_model()
    begun = task.on_the_way(first, torch.tensor([0]), [1], 3)
    drawn = task.draw(second, torch.tensor([1]), [1], start=begun, first=3)
    assert drawn.mean().item() == pytest.approx(-0.5, abs=1e-4)
    assert [asked for _, asked in first.asked] == [[0]] * 3 and [asked for _, asked in second.asked] == [[1]] * 7
    assert first.asked[0][0] == 900 and second.asked[-1][0] == 0


def test_shares_are_of_times_in_training_as_published():
    """Counted with diffusers itself for the published shares; at the least of them there is no attack at all."""
    stable = DDIMScheduler(steps_offset=1, set_alpha_to_one=False)
    shares = (0.001, 0.01, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
    assert [original_steps(stable, 100, psi) for psi in shares] == [0, 1, 5, 15, 25, 35, 45, 55]
    assert [original_steps(stable, 25, psi) for psi in (0.0, 1.0)] == [0, 25]


def test_schedulers_of_other_kinds_lend_their_noise():
    stable = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True)
    task = DiffusionTask(lambda: nn.Identity(), numbered(["a"]), (1, 2, 2), stable)
    assert type(task.scheduler) is DDIMScheduler
    assert torch.equal(task.scheduler.alphas_cumprod, stable.alphas_cumprod)


def test_seeds_of_different_purposes_never_meet():
    """Torch heeds the lower 32 bits of a seed alone: different seeds must be different noise."""
    seeds = [seed for purpose in PURPOSES for seed in (*seeds_for(purpose, 20), *seeds_for(purpose, 20, first=SEEDS - 20))]
    noise = [tuple(noise_of([torch.Generator().manual_seed(seed)], (2,))[0].tolist()) for seed in seeds]
    assert len(set(noise)) == 40 * len(PURPOSES)
    assert seeds_for("attack", 3, first=2)[0] == seeds_for("attack", 3)[2]
    with pytest.raises(BadSetting, match="seeds are for erase, reference, attack, show, train, not for 'test'"):
        seeds_for("test", 1)
    with pytest.raises(BadSetting, match=r"each purpose has 67,108,864 seeds, and not 2 after the first 67,108,863"):
        seeds_for("show", 2, first=SEEDS - 1)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"guidance": -1.0}, {"eta": 1.5}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadSetting, match="sampling needs steps >= 1, guidance >= 0 and eta from 0 to 1"):
        Sampling(**wrong)
    with pytest.raises(BadSetting, match="2 images need as many seeds, not 1"):
        world().draw(world().new_model(), torch.tensor([0, 1]), [0])


# ---- trajectories -----------------------------------------------------------------------------------------------------------


def test_kept_states_are_those_on_the_way():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    asked, seeds = tiny_diffusion.concepts().ask(torch.tensor([2, 0])), seeds_for("show", 2)
    states = task.all_the_way(model, asked, seeds)
    assert states.shape == (11, 2, 1, 4, 4) and task.times().tolist() == list(range(900, -1, -100))
    for steps in (0, 4, 10):
        assert torch.allclose(task.on_the_way(model, asked, seeds, steps), states[steps], atol=1e-6)
    assert torch.allclose(states[10].clamp(-1, 1), task.draw(model, asked, seeds), atol=1e-6)


def test_trajectories_ask_in_every_way():
    task, model, concepts = tiny_diffusion.task(), tiny_diffusion.trained(), tiny_diffusion.concepts()
    found = Trajectories.of(model, task, concept=2, count=3, seed=5)
    assert found.states.shape == (30, 1, 4, 4) and len(found.times) == len(found.conditions) == 30
    assert torch.equal(found.conditions[:3], concepts.conditions[2][[0, 1, 0]])
    assert found.times[:4].tolist() == [900, 900, 900, 800]
    assert not torch.equal(found.states, Trajectories.of(model, task, 2, 3, seed=6).states)


def test_fresh_states_have_no_end():
    stream = FreshStates(tiny_diffusion.trained(), tiny_diffusion.task(), concept=1, batch_size=4)
    batches = stream.epoch(torch.Generator().manual_seed(0))
    found = [next(batches) for _ in range(8)]
    assert all(states.shape == (4, 1, 4, 4) and len(set(times.tolist())) == 1 for states, times, _ in found)
    assert len({int(times[0]) for _, times, _ in found}) > 3
