"""Sampling: from noise to images, all of the way or a part of it.

    x_{s} = DDIM(x_t, e(x_t)),     e = e_nothing + guidance * (e_condition - e_nothing),     eta = 1: ancestral

Every image has a seed, and everything random about it comes from that seed alone, so that it does not matter with which others
it is drawn. Seeds of different purposes never meet: see :func:`seeds_for`.

Reference: J. Song, C. Meng, S. Ermon. "Denoising Diffusion Implicit Models", ICLR 2021, arXiv 2010.02502; guidance: J. Ho,
T. Salimans. "Classifier-Free Diffusion Guidance", 2022, arXiv 2207.12598. Known parts: A. Lugmayr, M. Danelljan, A. Romero,
F. Yu, R. Timofte, L. Van Gool. "RePaint: Inpainting using Denoising Diffusion Probabilistic Models", CVPR 2022, arXiv
2201.09865; theirs goes back and forth in time besides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting

Purpose = Literal["erase", "reference", "attack", "show", "train"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
SEEDS = 1 << 26  # of each purpose: torch's generator on the CPU heeds the lower 32 bits of a seed alone


@dataclass(frozen=True)
class Sampling:
    """How images are drawn.

    Args:
        steps: calls of the model for each image, twice as many with guidance.
        guidance: how much the condition counts; 1 for the conditional model alone.
        eta: noise that is added in each step, 0 for none (DDIM), 1 for as much as in training (ancestral).
        fresh: factor on that noise; above 1 there is more of it than the model expects.
    """

    steps: int = 25
    guidance: float = 1.0
    eta: float = 0.0
    fresh: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.guidance < 0 or not 0 <= self.eta <= 1:
            raise BadSetting(
                f"sampling needs steps >= 1, guidance >= 0 and eta from 0 to 1, not {self.steps}, {self.guidance}, {self.eta}"
            )
        if not self.fresh >= 0:
            raise BadSetting(f"fresh is a factor on noise, 0 or more, not {self.fresh}")


def seeds_for(purpose: Purpose, count: int, first: int = 0) -> list[int]:
    """Seeds of images that are drawn for one purpose; those of different purposes never meet.

    Args:
        first: how many of the purpose's seeds are passed over.

    Raises:
        BadSetting: if the purpose is not known, or has not so many seeds.

    >>> seeds_for("attack", 2), seeds_for("erase", 2)
    ([134217728, 134217729], [0, 1])
    """
    if purpose not in PURPOSES:
        raise BadSetting(f"seeds are for {', '.join(PURPOSES)}, not for {purpose!r}")
    if first < 0 or first + count > SEEDS:
        raise BadSetting(f"each purpose has {SEEDS:,} seeds, and not {count:,} after the first {first:,}")
    start = PURPOSES.index(purpose) * SEEDS + first
    return list(range(start, start + count))


def noise_of(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Noise for each image from its own generator: shape (n, *shape), on the CPU."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])


def original_steps(scheduler: Any, steps: int, psi: float) -> int:
    """How many of the steps a first model does that has the share `psi` of the process.

    The share is of the times in training, from the highest on, as published: t >= round(T (1 - psi)).
    """
    scheduler.set_timesteps(steps)
    cut = round(scheduler.config.num_train_timesteps * (1 - psi))
    return int((scheduler.timesteps >= cut).sum())


class Asked(NamedTuple):
    """A model, and what it is asked to draw.

    Args:
        model: called with states, times and conditions.
        condition: of each image, shape (n, ...).
        nothing: the condition for nothing, of the same shape; None where there is no guidance.
    """

    model: nn.Module
    condition: Tensor
    nothing: Tensor | None = None

    def predict(self, state: Tensor, time: int, guidance: float) -> Tensor:
        """The model's prediction, under guidance where the condition for nothing is there."""
        times = torch.full((len(state),), time, device=state.device)
        if self.nothing is None:
            predicted: Tensor = self.model(state, times, self.condition)
            return predicted
        both: Tensor = self.model(torch.cat([state] * 2), torch.cat([times] * 2), torch.cat([self.nothing, self.condition]))
        without, given = both.chunk(2)
        return without + guidance * (given - without)


class Known(NamedTuple):
    """What is known of images before they are drawn.

    Args:
        states: the images, or their latents, shape (n, C, H, W).
        where: true where they are known, shape (C, H, W), or one that expands to it.
    """

    states: Tensor
    where: Tensor

    def put_back(self, state: Tensor, scheduler: Any, time: int | None, noise: Tensor) -> Tensor:
        """States with what is known in its place, under as much noise as there is at a time; under none when None."""
        known, where = self.states.to(state.device), self.where.to(state.device)
        if time is not None:
            known = scheduler.add_noise(known, noise.to(state.device), torch.full((len(state),), time, device=state.device))
        return torch.where(where, known, state)


def denoise(
    asked: Asked,
    scheduler: Any,
    sampling: Sampling,
    seeds: Sequence[int],
    shape: Sequence[int],
    *,
    start: Tensor | None = None,
    first: int = 0,
    last: int | None = None,
    known: Known | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """States after the last step, shape (n, *shape), on the model's device.

    Args:
        asked: the model, and what for.
        scheduler: DDIM's.
        seeds: of the images.
        start: states after the steps before `first`, as any model left them; the seeds' noise when None.
        first, last: the steps that are done, from the first up to but not including the last; all when not given.
        known: put back before each step, under noise that is drawn anew, and after the last of all.
        on_step: called with the states before each step.
    """
    scheduler.set_timesteps(sampling.steps)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    device = next(asked.model.parameters()).device
    noise = noise_of(generators, shape)
    state = (noise if start is None else start).to(device)
    for step, time in enumerate(scheduler.timesteps.tolist()[:last]):
        fresh = sampling.fresh * noise_of(generators, shape).to(device) if sampling.eta else None
        again = noise if known is None else noise_of(generators, shape)
        if step < first:  # another model did it; its noise is drawn all the same, that of later steps comes after it
            continue
        if known is not None:
            state = known.put_back(state, scheduler, time, again)
        if on_step is not None:
            on_step(state)
        predicted = asked.predict(state, time, sampling.guidance)
        state = scheduler.step(predicted, time, state, eta=sampling.eta, variance_noise=fresh).prev_sample
    return state if known is None or last is not None else known.put_back(state, scheduler, None, noise)
