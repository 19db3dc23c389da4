"""TabDDPM: rows by diffusion, Gaussian for numbers and multinomial for categories.

With abar_t = cos^2((t/T + s) / (1 + s) * pi/2) / cos^2(s / (1 + s) * pi/2), and abar_t|s = abar_t / abar_s:

    numbers     q(x_t | x_0) = N(sqrt(abar_t) x_0, 1 - abar_t)
    categories  q(x_t | x_0) = abar_t x_0 + (1 - abar_t) / K
                q(x_s | x_t, x_0) ~ [abar_t|s x_t + (1 - abar_t|s) / K] * [abar_s x_0 + (1 - abar_s) / K],      s < t
    L = E_t ||e - e(x_t, t)||^2 / p  +  T / C * sum_j KL(q(x_t-1 | x_t, x_0) || q(x_t-1 | x_t, x_0(x_t, t)))

over p numbers and C categories. Numbers are the normal quantiles of their ranks; a value that many rows have is a stretch of
ranks, of which each step draws one, so that it comes back as often as it occurs. Rows are drawn in `sampling_steps` strides:
x_s ~ N(mean of q(x_s | x_t, x_0), 1 - abar_t|s) for numbers, and from the posterior above for categories.

Reference: A. Kotelnikov, D. Baranchuk, I. Rubachev, A. Babenko. "TabDDPM: Modelling Tabular Data with Diffusion Models",
ICML 2023, arXiv 2209.15421. Multinomial diffusion: E. Hoogeboom et al., NeurIPS 2021, arXiv 2102.05379. Schedule: A. Nichol,
P. Dhariwal, ICML 2021, arXiv 2102.09672.
Needs: a table. Costs: `epochs` passes over it; a row takes `sampling_steps` passes through the network.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting
from expunge.models import MLP
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Batches, Epochs, Stream
from expunge.tabular.coded import Coded
from expunge.tabular.generators.encoding import Layout, Numbers, draw_classes, normal_of
from expunge.tabular.generators.network_generator import Learner, NetworkGenerator

_OFFSET = 0.008  # s of the cosine schedule
_LEAST_SIGNAL = 1e-5
_LEAST = 1e-30  # probability that has a logarithm
_FAR = 4.5  # no normal quantile of a rank is farther from 0
_SLOWEST = 10_000.0  # longest wave length of the embedding of times, in steps


@dataclass
class TabDDPM(NetworkGenerator):
    """See the module.

    Args:
        epochs: passes over the table.
        batch_size: rows in a step.
        hidden: widths of the hidden layers.
        learning_rate: of Adam at the beginning; it falls to 0 as half a cosine.
        timesteps: T.
        sampling_steps: passes through the network that a row takes; T where that is less.
    """

    encodes: ClassVar[Numbers] = "ranks"
    hidden: tuple[int, ...] = (256, 256, 256)
    learning_rate: float = 1e-3
    timesteps: int = 1_000
    sampling_steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)
        if not self.hidden:
            raise BadSetting("tab-ddpm: hidden must have at least 1 layer, as (256, 256)")
        if self.timesteps < 1 or self.sampling_steps < 1:
            raise BadSetting(f"timesteps and sampling_steps must be at least 1, not {self.timesteps} and {self.sampling_steps}")

    def _learner(self) -> Learner:
        return Diffusion(self.encoding.layout, self.hidden, self.timesteps)

    def _stream(self, real: Coded, generator: np.random.Generator) -> Stream | Epochs:
        return Batches(TensorDataset(*self.encoding.encode_ranks(real)), self.batch_size)

    def _optimizer(self, learner: Any) -> Callable[[Any], torch.optim.Optimizer]:
        return Optimizer("adam", self.learning_rate)

    @property
    def _schedule(self) -> Schedule:
        return "cosine"

    def _new_sampler(self) -> nn.Module:
        return Denoiser(self.encoding.layout, self.hidden)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        layout, device = self.encoding.layout, self._device
        signals = signals_of(self.timesteps).to(device)
        numbers = torch.randn(n, layout.scalars, generator=generator, device=device)
        classes = draw_classes(n, tuple(torch.zeros(n, size, device=device) for size in layout.sizes), generator)
        strides = min(self.sampling_steps, self.timesteps)
        times = np.linspace(self.timesteps, 0, strides + 1).round().astype(int).tolist()
        for now, then in pairwise(times):
            shown = layout.one_hot(classes)
            noise, logits = self.sampler(numbers, shown, torch.tensor([now], device=device))
            numbers = denoised(numbers, noise, signals[now], signals[then], generator)
            steps = tuple(
                posterior(at, F.softmax(block, dim=1), signals[now], signals[then]).clamp(min=_LEAST).log()
                for at, block in zip(layout.blocks(shown), logits, strict=True)
            )
            classes = draw_classes(n, steps, generator)
        return torch.special.ndtr(numbers), classes


class Denoiser(nn.Module):
    """Predicts the noise of numbers, and the x_0 of categories.

    Shapes: numbers (n, p), one-hot classes (n, c) and times (n,), or (1,) where all have the same -> noise (n, p) and logits
    of each block (n, K).
    """

    def __init__(self, layout: Layout, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.layout, width = layout, hidden[0]
        self.inputs = nn.Linear(layout.width, width)
        self.times = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.network = MLP((width,), layout.width, hidden)

    def forward(self, numbers: Tensor, classes: Tensor, times: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        inner = self.inputs(torch.cat([numbers, classes], dim=1)) + self.times(waves(times, self.inputs.out_features))
        return self.layout.split(self.network(inner))


class Diffusion(Learner):
    """The denoiser's training; called with ranks and classes it returns the terms of the loss, each (n,)."""

    def __init__(self, layout: Layout, hidden: tuple[int, ...], timesteps: int) -> None:
        super().__init__()
        self.layout, self.timesteps = layout, timesteps
        self.sampler = Denoiser(layout, hidden)
        self.register_buffer("signals", signals_of(timesteps), persistent=False)

    def forward(self, low: Tensor, high: Tensor, classes: Tensor) -> dict[str, Tensor]:
        signals: Any = self.signals
        times = torch.randint(1, self.timesteps + 1, (len(low),), device=low.device)
        signal, before = signals[times][:, None], signals[times - 1][:, None]
        quantiles = normal_of(low + torch.rand_like(low) * (high - low))
        noise = torch.randn_like(quantiles)
        numbers = signal.sqrt() * quantiles + (1 - signal).sqrt() * noise
        start = self.layout.one_hot(classes)
        truth = self.layout.blocks(start)
        shown = tuple(noised(block, signal) for block in truth)
        found, logits = self.sampler(numbers, torch.cat(shown, dim=1) if shown else start, times)
        terms = {"numbers": ((found - noise) ** 2).mean(dim=1)} if self.layout.scalars else {}
        if not shown:
            return terms
        divergences = [
            divergence(posterior(at, real, signal, before), posterior(at, F.softmax(block, dim=1), signal, before))
            for at, real, block in zip(shown, truth, logits, strict=True)
        ]
        return {**terms, "categories": self.timesteps * torch.stack(divergences, dim=1).mean(dim=1)}


def signals_of(timesteps: int) -> Tensor:
    """abar_0 = 1 to abar_T, shape (T + 1,): how much of x_0 is left."""
    times = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    angles = torch.cos((times + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
    return (angles / angles[0]).clamp(min=_LEAST_SIGNAL).float()


def waves(times: Tensor, width: int) -> Tensor:
    """Times (n,) as cosines and sines of `width` / 2 frequencies each, shape (n, width)."""
    half = width // 2
    frequencies = torch.exp(-math.log(_SLOWEST) * torch.arange(half, device=times.device) / half)
    angles = times[:, None].float() * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


def noised(start: Tensor, signal: Tensor) -> Tensor:
    """A draw of q(x_t | x_0) for one block, one-hot: shape (n, K), with abar_t of shape (n, 1)."""
    kept = torch.rand(len(start), 1, device=start.device) < signal
    other = torch.randint(start.shape[1], (len(start),), device=start.device)
    return torch.where(kept, start, F.one_hot(other, start.shape[1]).to(start.dtype))


def posterior(shown: Tensor, start: Tensor, signal: Tensor, before: Tensor) -> Tensor:
    """q(x_s | x_t, x_0) for one block, shape (n, K).

    Args:
        shown: x_t, one-hot, shape (n, K).
        start: x_0, one-hot or probabilities, shape (n, K).
        signal: abar_t, shape (n, 1) or a scalar.
        before: abar_s, likewise; 1 gives x_0 itself.
    """
    size, ratio = start.shape[1], signal / before
    joint = (ratio * shown + (1 - ratio) / size) * (before * start + (1 - before) / size)
    return joint / joint.sum(dim=1, keepdim=True).clamp(min=_LEAST)


def divergence(truth: Tensor, found: Tensor) -> Tensor:
    """KL(truth || found) of distributions over one block, shape (n, K) -> (n,)."""
    return (truth * (truth.clamp(min=_LEAST).log() - found.clamp(min=_LEAST).log())).sum(dim=1)


def denoised(numbers: Tensor, noise: Tensor, signal: Tensor, before: Tensor, generator: torch.Generator) -> Tensor:
    """A draw of x_s given x_t and the x_0 that the noise implies, for numbers, shape (n, p).

    Of the two variances that the reverse process may have, 1 - abar_t|s is taken, which is the right one where x_0 is normally
    distributed, as quantiles are: with the other, few strides make numbers that vary too little.
    """
    start = ((numbers - (1 - signal).sqrt() * noise) / signal.sqrt()).clamp(-_FAR, _FAR)
    ratio = signal / before
    mean = (before.sqrt() * (1 - ratio) * start + ratio.sqrt() * (1 - before) * numbers) / (1 - signal)
    if before == 1:
        return mean
    return mean + (1 - ratio).sqrt() * torch.randn(numbers.shape, generator=generator, device=numbers.device)
