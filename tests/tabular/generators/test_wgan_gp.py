"""The gradient penalty in closed form, whose turn it is, and what a plain Wasserstein GAN learns."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.tabular import WGANGP
from expunge.tabular.generators.adversarial import (
    Averaged,
    Critic,
    Turns,
    TwoAdams,
    critic_terms,
    frozen_score,
    gradient_penalty,
    moments_apart,
    soft_classes,
)
from expunge.tabular.generators.wgan_gp import RowDraws


class TestPenalty:
    def test_of_a_linear_critic(self):
        weights = torch.tensor([3.0, 4.0])  # its gradient has length 5 everywhere
        found = gradient_penalty(lambda rows: rows @ weights, torch.randn(6, 2), torch.randn(6, 2))
        assert found.item() == pytest.approx(16)

    def test_of_a_linear_critic_that_scores_packs(self):
        weights = torch.tensor([1.0, 2.0, 2.0, 4.0])  # of two rows of two numbers, length 5
        found = gradient_penalty(lambda rows: rows.reshape(-1, 4) @ weights, torch.randn(6, 2), torch.randn(6, 2), pack=2)
        assert found.item() == pytest.approx(16)

    def test_it_looks_between_real_and_fake(self):
        seen = []

        def score(rows):
            seen.append(rows.detach())
            return rows.sum(dim=1)

        torch.manual_seed(0)
        gradient_penalty(score, torch.zeros(100, 2), torch.ones(100, 2))
        assert torch.equal(seen[0][:, 0], seen[0][:, 1]) and 0.4 < seen[0].mean() < 0.6 and seen[0].min() >= 0
        gradient_penalty(score, torch.zeros(100, 2), torch.ones(100, 2), pack=10)
        assert len(seen[1].unique()) == 10

    def test_it_teaches_the_critic_and_not_the_generator(self):
        critic, fake = nn.Linear(2, 1), torch.randn(4, 2, requires_grad=True)
        gradient_penalty(lambda rows: critic(rows).squeeze(1), torch.randn(4, 2), fake).backward()
        assert critic.weight.grad is not None and fake.grad is None

    def test_critic_terms_by_hand(self):
        terms = critic_terms(lambda rows: 2 * rows.sum(dim=1), torch.full((4, 1), 3.0), torch.full((4, 1), 1.0), weight=10)
        assert terms["critic"].item() == pytest.approx(2 - 6) and terms["penalty"].item() == pytest.approx(10)


class TestTurns:
    def test_the_critic_learns_some_steps_then_the_generator_one(self):
        stream = Turns(RowDraws(torch.zeros(9, 1), torch.ones(9, 1), torch.zeros(9, 1)), 2, 3, 4)
        batches = list(stream.epoch(torch.Generator().manual_seed(0)))
        assert [bool(turn) for turn, *_ in batches] == 2 * [False, False, False, True]
        assert len(stream) == 8 and all(len(ranks) == 4 for _, ranks, _ in batches)

    def test_digests_tell_tables_apart(self):
        first, second = (RowDraws(torch.full((9, 1), value), torch.ones(9, 1), torch.zeros(9, 1)) for value in (0.0, 0.5))
        assert Turns(first, 2, 3, 4).digest == Turns(first, 2, 3, 4).digest
        assert Turns(first, 2, 3, 4).digest != Turns(second, 2, 3, 4).digest

    def test_rows_are_drawn_within_their_ranks(self):
        draws = RowDraws(torch.tensor([[0.0], [0.5]]), torch.tensor([[0.5], [1.0]]), torch.tensor([[0], [1]]))
        ranks, classes = draws(5_000, torch.Generator().manual_seed(0))
        assert torch.equal(ranks >= 0.5, classes == 1)
        assert ranks.mean().item() == pytest.approx(0.5, abs=0.02) and ranks.std().item() == pytest.approx(12**-0.5, abs=0.02)

    def test_whoever_has_no_gradient_stays_as_it_is(self):
        first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        optimizer = TwoAdams(1, 0.1, 0.2, (0.5, 0.9), generator_decay=1e-3)([first, second])
        second.sum().backward()
        optimizer.step()
        assert torch.equal(first, torch.ones(2)) and torch.allclose(second, torch.full((2,), 0.8))
        assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-3, 0]


class TestMoments:
    def test_by_hand(self):
        # x.y + (x.y)^2 of all pairs but those of one place: real 2 * 6, fake 0, both 12 + 0
        found = moments_apart(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]]))
        assert found.item() == pytest.approx((12 + 0 - 2 * 12) / 2)

    def test_of_one_distribution_it_is_nothing_on_average_and_of_others_the_distance_of_moments(self):
        generator = torch.Generator().manual_seed(0)
        alike, apart = [], []
        for _ in range(300):
            real, fake = torch.randn(50, 2, generator=generator), torch.randn(50, 2, generator=generator)
            alike.append(moments_apart(real, fake).item())
            apart.append(moments_apart(real, torch.cat([fake[:, :1], fake[:, :1]], dim=1)).item())
        assert np.mean(alike) == pytest.approx(0, abs=0.03)
        assert np.mean(apart) == pytest.approx(2, abs=0.15)  # E[x_1 x_2] is 1 instead of 0, and stands there twice


def test_the_mean_of_weights_forgets_its_first_steps_and_then_moves_slowly():
    learner = Averaged(nn.Linear(1, 1, bias=False), 0.9)
    learner.generator.weight.data.fill_(1.0)
    learner.sampler.weight.data.fill_(0.0)
    learner.average()
    assert learner.sampler.weight.item() == pytest.approx(0.9)  # a tenth of the first step stays
    for _ in range(500):
        learner.average()
    learner.generator.weight.data.fill_(2.0)
    learner.average()
    assert learner.sampler.weight.item() == pytest.approx(1.1, abs=1e-3)
    assert not any(parameter.requires_grad for parameter in learner.sampler.parameters())


def test_a_frozen_critic_passes_gradients_on_and_keeps_none():
    critic, fake = Critic(3, (4,), pack=2), torch.randn(4, 3, requires_grad=True)
    scores = frozen_score(critic)(fake)
    assert torch.equal(scores, critic(fake)) and scores.shape == (2,)
    scores.sum().backward()
    assert fake.grad is not None and all(parameter.grad is None for parameter in critic.parameters())


def test_soft_classes_are_nearly_one_hot_and_as_frequent_as_their_probability():
    torch.manual_seed(0)
    logits = torch.tensor([0.2, 0.8]).log().repeat(20_000, 1)
    (found,) = soft_classes((logits,), 0.2)
    assert torch.allclose(found.sum(dim=1), torch.ones(20_000), atol=1e-5)
    assert found.argmax(dim=1).float().mean().item() == pytest.approx(0.8, abs=0.02)
    (sharp,) = soft_classes((logits,), 0.01)
    assert (sharp.max(dim=1).values > 0.99).float().mean() > 0.95


@pytest.mark.parametrize(
    ("moments", "batch_size", "epochs", "least", "off"), [(0.0, 50, 150, 0.6, 0.5), (10.0, 100, 100, 0.95, 0.15)]
)
def test_a_number_that_follows_another_is_learned(moments, batch_size, epochs, least, off):
    draw = np.random.default_rng(0)
    first = draw.normal(0, 1, 500)
    real = pd.DataFrame({"first": first, "second": 3 * first + draw.normal(0, 0.3, 500)})
    settings = {"latent": 4, "hidden": (64, 64), "critic_steps": 4 if batch_size == 50 else 2}
    generator = WGANGP(epochs=epochs, batch_size=batch_size, moments=moments, **settings).fit(real, Engine(progress=False))
    sample = generator.sample(1_000)
    assert sample.corr().iloc[0, 1] > least
    assert sample["first"].std() == pytest.approx(1, abs=off)
