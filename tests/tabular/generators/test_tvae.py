"""TVAE's loss in closed form, and what it learns."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from expunge.engine import Engine
from expunge.tabular import TVAE
from expunge.tabular.generators.tvae import divergence, reconstruction


def test_divergence_is_that_between_normal_distributions():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(divergence(mean, log_variance), expected, atol=1e-5)


def test_reconstruction_by_hand():
    places, means = torch.tensor([[0.5, 0.9]]), torch.tensor([[0.3, -1.0]])
    smooth = torch.tensor([[True, False]])  # the second number is a value of its own: its place says nothing
    found = reconstruction(places, smooth, means, torch.tensor([0.1, 0.2]), (torch.zeros(1, 4),), torch.tensor([[2]]))
    assert found.tolist() == pytest.approx([(0.2 / 0.1) ** 2 / 2 + math.log(0.1) + math.log(4)])


def test_reconstruction_differs_from_the_exact_likelihood_by_a_constant():
    places, means, spreads = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0.3, 1.0, 2.0])
    found = reconstruction(places, torch.ones(5, 3, dtype=torch.bool), means, spreads, (), torch.empty(5, 0, dtype=torch.long))
    exact = -Normal(means, spreads).log_prob(places).sum(dim=1)
    assert torch.allclose(exact - found, torch.full((5,), 1.5 * math.log(2 * math.pi)), atol=1e-4)


def test_a_number_that_follows_a_category_is_learned():
    draw = np.random.default_rng(0)
    kind = draw.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])
    middle = pd.Series(kind).map({"a": 0.0, "b": 10.0, "c": -20.0}).to_numpy()
    real = pd.DataFrame({"kind": kind, "value": (middle + draw.normal(0, 1, 600)).round(3)})
    generator = TVAE(epochs=40, batch_size=60, latent=8, hidden=(64,), learning_rate=5e-3)
    sample = generator.fit(real, Engine(progress=False)).sample(2_000)
    shares, means = sample["kind"].value_counts(normalize=True), sample.groupby("kind")["value"].median()
    assert shares.to_dict() == pytest.approx(real["kind"].value_counts(normalize=True).to_dict(), abs=0.08)
    assert means[["a", "b", "c"]].tolist() == pytest.approx([0, 10, -20], abs=1.5)


def test_spreads_are_learned():
    real = pd.DataFrame({"value": np.random.default_rng(0).uniform(0, 1, 300)})
    generator = TVAE(epochs=30, batch_size=30, latent=4, hidden=(16,)).fit(real, Engine(progress=False))
    untrained = TVAE(epochs=0, latent=4, hidden=(16,)).fit(real, Engine(progress=False))
    assert untrained.sampler.spreads.item() == pytest.approx(0.1)
    assert generator.sampler.spreads.item() > 0.12


def test_lists_of_a_file_are_tuples_again():
    assert TVAE(hidden=[32, 16]) == TVAE(hidden=(32, 16))
