"""TabDDPM: both diffusions in closed form, and what it learns."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.tabular import TabDDPM
from expunge.tabular.generators.encoding import Layout
from expunge.tabular.generators.tab_ddpm import Denoiser, Diffusion, denoised, divergence, noised, posterior, signals_of, waves


def test_signals_fall_from_one_to_nearly_nothing_as_a_cosine():
    signals = signals_of(1_000)
    assert signals[0] == 1 and len(signals) == 1_001 and (signals.diff() <= 0).all()
    assert signals[-1] == pytest.approx(1e-5)
    assert signals[500].item() == pytest.approx(
        (math.cos(0.508 / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    )


def test_noised_categories_have_the_probabilities_of_the_closed_form():
    torch.manual_seed(0)
    start = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).repeat(40_000, 1)
    found = noised(start, torch.full((40_000, 1), 0.6)).mean(dim=0)
    assert found.tolist() == pytest.approx([0.1, 0.7, 0.1, 0.1], abs=0.01)  # 0.6 x_0 + 0.4 / 4


def test_the_posterior_by_hand():
    # abar_t = 0.4, abar_s = 0.8, so that abar_t|s = 0.5; two classes, x_t = (1, 0), x_0 = (0, 1)
    shown, start = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = posterior(shown, start, torch.tensor(0.4), torch.tensor(0.8))
    joint = [0.75 * 0.1, 0.25 * 0.9]
    assert found[0].tolist() == pytest.approx([each / sum(joint) for each in joint])


@pytest.mark.parametrize(("now", "then"), [(0.3, 0.7), (0.05, 0.9)])
def test_strides_of_the_posterior_lead_to_the_noised_categories(now, then):
    torch.manual_seed(0)
    start = torch.tensor([[0.0, 0.0, 1.0]]).repeat(60_000, 1)
    shown = noised(start, torch.full((60_000, 1), now))
    found = posterior(shown, start, torch.tensor(now), torch.tensor(then)).mean(dim=0)
    side = (1 - then) / 3
    assert found.tolist() == pytest.approx([side, side, then + side], abs=0.01)


def test_the_last_stride_gives_what_was_predicted():
    start = torch.tensor([[0.2, 0.3, 0.5]])
    found = posterior(torch.tensor([[0.0, 1.0, 0.0]]), start, torch.tensor(1 - 1e-7), torch.tensor(1.0))
    assert found[0].tolist() == pytest.approx([0, 1, 0], abs=1e-5)  # nothing was noised in so short a stride
    found = posterior(torch.tensor([[0.0, 1.0, 0.0]]), start, torch.tensor(0.0), torch.tensor(1.0))
    assert found[0].tolist() == pytest.approx([0.2, 0.3, 0.5])  # all was: the prediction alone counts


def test_divergence_by_hand():
    found = divergence(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    assert found.tolist() == pytest.approx([0.5 * math.log(2) + 0.5 * math.log(2 / 3), 0])


@pytest.mark.parametrize(("now", "then"), [(0.3, 0.4), (0.01, 0.02)])
def test_strides_keep_normal_numbers_normal(now, then):
    # of x_0 ~ N(0, 1) the best prediction of the noise is sqrt(1 - abar_t) x_t
    torch.manual_seed(0)
    numbers = torch.randn(100_000, 1)
    signal = torch.tensor(now)
    found = denoised(numbers, (1 - signal).sqrt() * numbers, signal, torch.tensor(then), torch.Generator().manual_seed(1))
    assert found.mean().item() == pytest.approx(0, abs=0.02) and found.std().item() == pytest.approx(1, abs=0.01)


def test_the_last_stride_of_numbers_is_the_number_that_the_noise_implies():
    start, noise, signal = torch.randn(9, 2), torch.randn(9, 2), torch.tensor(0.7)
    found = denoised(
        signal.sqrt() * start + (1 - signal).sqrt() * noise, noise, signal, torch.tensor(1.0), torch.Generator().manual_seed(0)
    )
    assert torch.allclose(found, start, atol=1e-5)


def test_waves_tell_times_apart():
    found = waves(torch.tensor([0, 1, 500, 999]), 7)
    assert found.shape == (4, 7)
    assert found[0].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert torch.cdist(found, found)[~torch.eye(4, dtype=torch.bool)].min() > 0.1


def test_a_value_that_all_rows_have_is_trained_as_all_of_its_ranks():
    class Seeing(nn.Module):
        def forward(self, numbers, classes, times):
            self.numbers = numbers
            return numbers, ()

    torch.manual_seed(0)
    learner = Diffusion(Layout(1, ()), (4,), 10)
    learner.sampler = Seeing()
    learner(torch.zeros(4_000, 1), torch.ones(4_000, 1), torch.empty(4_000, 0, dtype=torch.long))
    assert learner.sampler.numbers.mean().item() == pytest.approx(0, abs=0.05)
    assert learner.sampler.numbers.std().item() == pytest.approx(1, abs=0.05)


def test_shapes_of_the_denoiser():
    numbers, logits = Denoiser(Layout(2, (3, 4)), (8, 5))(torch.zeros(6, 2), torch.zeros(6, 7), torch.ones(6, dtype=torch.long))
    assert numbers.shape == (6, 2) and [block.shape for block in logits] == [(6, 3), (6, 4)]


def test_numbers_and_categories_that_hang_together_are_learned():
    draw = np.random.default_rng(0)
    kind = draw.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])
    first = pd.Series(kind).map({"a": 0.0, "b": 8.0, "c": -8.0}).to_numpy() + draw.normal(0, 1, 600)
    real = pd.DataFrame({"kind": kind, "first": first.round(3), "zeros": np.where(first > 4, first.round(), 0.0)})
    generator = TabDDPM(epochs=60, batch_size=60, hidden=(64, 64), learning_rate=2e-3, sampling_steps=50)
    sample = generator.fit(real, Engine(progress=False)).sample(2_000)
    means = sample.groupby("kind")["first"].median()
    assert means[["a", "b", "c"]].tolist() == pytest.approx([0, 8, -8], abs=1)
    assert sample["kind"].value_counts(normalize=True)[["a", "b", "c"]].tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.1)
    assert (sample["zeros"] == 0).mean() == pytest.approx((real["zeros"] == 0).mean(), abs=0.1)
    assert ((sample["zeros"] > 0) == (sample["first"] > 4)).mean() > 0.9


def test_more_strides_than_times_are_as_many_as_times():
    real = pd.DataFrame({"value": np.arange(20.0)})
    few, many = (TabDDPM(epochs=0, hidden=(8,), timesteps=5, sampling_steps=steps) for steps in (5, 100))
    first, second = (each.fit(real, Engine(progress=False)).sample(10) for each in (few, many))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("settings", [{"timesteps": 0}, {"sampling_steps": 0}, {"hidden": ()}])
def test_no_steps_are_refused(settings):
    with pytest.raises(BadSetting, match="at least 1"):
        TabDDPM(**settings)
