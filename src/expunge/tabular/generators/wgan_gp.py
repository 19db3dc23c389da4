"""WGAN-GP: a plain Wasserstein GAN of rows with a gradient penalty, over normal quantiles of numbers.

    row:        Phi^-1(r_i) = u_i for the rank r_i of each number,     d_j ~ gumbel(w_j) for each category
    critic:     E[C(fake)] - E[C(real)] + lambda * E[(||grad C|| - 1)^2]
    generator:  -E[C(fake)], and moments * MMD^2(real, fake) where wanted

A value that many rows have is a stretch of ranks, of which each step draws one, so that it comes back as often as it occurs.
Rows are drawn by the mean of the generator's weights over steps.

Reference: I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville. "Improved Training of Wasserstein GANs",
NeurIPS 2017, arXiv 1704.00028.
Needs: a table. Costs: `epochs` passes over it: every `batch_size` rows a step of the critic, and every `critic_steps` steps
one of the generator.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from expunge.models import MLP
from expunge.split import Epochs, Stream
from expunge.tabular.coded import Coded
from expunge.tabular.generators.adversarial import (
    Averaged,
    Critic,
    Turns,
    TwoAdams,
    critic_terms,
    generator_terms,
    soft_classes,
)
from expunge.tabular.generators.encoding import Layout, Numbers, draw_classes, normal_of
from expunge.tabular.generators.network_generator import Learner, NetworkGenerator


@dataclass
class WGANGP(NetworkGenerator):
    """See the module.

    Args:
        epochs: passes over the table.
        batch_size: rows in a step.
        latent: size of the noise.
        hidden: widths of the hidden layers of generator and critic.
        learning_rate: of both Adams.
        critic_steps: of the critic before each of the generator.
        penalty: weight of the gradient penalty.
        temperature: of the Gumbel softmax.
        memory: share of the mean of the generator's weights that each of its steps keeps.
        moments: weight of the difference between means and products of columns, which steadies training on small tables; see
            :func:`expunge.tabular.generators.adversarial.moments_apart`.
    """

    encodes: ClassVar[Numbers] = "ranks"
    batch_size: int = 250
    latent: int = 128
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 1e-3
    critic_steps: int = 5
    penalty: float = 10.0
    temperature: float = 0.2
    memory: float = 0.999
    moments: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)

    def _learner(self) -> Learner:
        return Adversaries(replace(self), self.encoding.layout)

    def _stream(self, real: Coded, generator: np.random.Generator) -> Stream | Epochs:
        low, high, classes = self.encoding.encode_ranks(real)
        rounds = max(1, round(len(real) / self.batch_size / self.critic_steps))
        return Turns(RowDraws(low, high, classes), rounds, self.critic_steps, self.batch_size)

    def _optimizer(self, learner: Any) -> Callable[[Any], torch.optim.Optimizer]:
        count = len(list(learner.generator.parameters()))
        return TwoAdams(count, self.learning_rate, self.learning_rate, (0.0, 0.9))

    def _new_sampler(self) -> nn.Module:
        return MLP((self.latent,), self.encoding.layout.width, self.hidden)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(n, self.latent, generator=generator, device=self._device)
        scalars, logits = self.encoding.layout.split(self.sampler(noise))
        return torch.special.ndtr(scalars), draw_classes(n, logits, generator)


class Adversaries(Averaged):
    """Generator and critic; called with whose turn it is, places and classes it returns the terms of the loss."""

    def __init__(self, settings: WGANGP, layout: Layout) -> None:
        super().__init__(MLP((settings.latent,), layout.width, settings.hidden), settings.memory)
        self.settings, self.layout = settings, layout
        self.critic = Critic(layout.width, settings.hidden)

    def forward(self, turn: Tensor, places: Tensor, classes: Tensor) -> dict[str, Tensor]:
        noise = torch.randn(len(places), self.settings.latent, device=places.device)
        with torch.set_grad_enabled(bool(turn)):
            scalars, logits = self.layout.split(self.generator(noise))
            fake = torch.cat([scalars, *soft_classes(logits, self.settings.temperature)], dim=1)
        real = torch.cat([normal_of(places), self.layout.one_hot(classes)], dim=1)
        if turn:
            self.average()
            return generator_terms(self.critic, real, fake, self.settings.moments)
        return critic_terms(self.critic, real, fake, self.settings.penalty)


class RowDraws:
    """Rows at random, with replacement; a number is drawn anywhere between its least and its largest rank.

    Args:
        low: shape (n, p).
        high: shape (n, p).
        classes: shape (n, blocks).
    """

    def __init__(self, low: Tensor, high: Tensor, classes: Tensor) -> None:
        self.parts = low, high, classes

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Ranks (count, p) and classes (count, blocks)."""
        low, high, classes = self.parts
        rows = torch.randint(len(low), (count,), generator=generator)
        share = torch.rand(count, low.shape[1], generator=generator)
        return low[rows] + share * (high[rows] - low[rows]), classes[rows]
