"""Images with noise, in batches: what a denoiser is trained on.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e,     e ~ N(0, 1),     t uniform over the training steps

A batch holds `noisy` (n, C, H, W), `times` (n,), `conditions` (n, ...), `targets` (n, C, H, W), which are e, or the velocity
sqrt(abar_t) e - sqrt(1 - abar_t) x_0 where the model predicts that, and the numbers of the `concepts` (n,).

Noise comes with the batch, so that two models which look at one batch see the same. An epoch draws noise, times and ways of
asking anew, and asks for nothing in a share of rows, as classifier-free guidance needs it; plain iteration gives the same noise
each time, spreads times evenly and asks in the first way, so that losses of different models can be compared.

Reference: J. Ho, A. Jain, P. Abbeel. "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv 2006.11239. Velocity:
T. Salimans, J. Ho. "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR 2022, arXiv 2202.00512.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.diffusion.concepts import Concepts
from expunge.errors import BadSetting
from expunge.split import Batches, stream_digest

NoisedBatch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
_GOLDEN_RATIO = 0.6180339887498949


class NoisedImages:
    """A stream of noised images.

    Args:
        images: values from -1 to 1, or latents, shape (n, C, H, W).
        numbers: of the concept that each shows, shape (n,).
        concepts: how each is asked for.
        scheduler: of diffusers; says how much noise there is at each time, and what is predicted.
        batch_size: images in a batch; the last one may be smaller.
        unasked: share of rows that ask for nothing, in training.
    """

    def __init__(
        self,
        images: Tensor,
        numbers: Tensor,
        concepts: Concepts,
        scheduler: Any,
        batch_size: int = 64,
        unasked: float = 0.1,
    ) -> None:
        if len(images) != len(numbers):
            raise BadSetting(f"each image shows one concept: {len(images):,} images need as many numbers, not {len(numbers):,}")
        if not 0 <= unasked <= 1:
            raise BadSetting(f"unasked is a share from 0 to 1, not {unasked}")
        self.images, self.numbers, self.concepts, self.scheduler = images, numbers, concepts, scheduler
        self.batch_size, self.unasked = batch_size, unasked
        self._rows = Batches(TensorDataset(images, numbers, torch.arange(len(images))), batch_size)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def examples(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def digest(self) -> str:
        """Equal digests, equal batches."""
        parts = (stream_digest(self._rows), self.concepts.digest, self.unasked, settings_of(self.scheduler))
        return hashlib.blake2b(repr(parts).encode()).hexdigest()[:32]

    def with_batch_size(self, batch_size: int) -> "NoisedImages":
        """The same images in batches of another size."""
        return NoisedImages(self.images, self.numbers, self.concepts, self.scheduler, batch_size, self.unasked)

    def where(self, chosen: Tensor) -> "NoisedImages":
        """Some of the images, by a mask or by rows."""
        images, numbers = self.images[chosen], self.numbers[chosen]
        return NoisedImages(images, numbers, self.concepts, self.scheduler, self.batch_size, self.unasked)

    def asked(self, share: float, batch_size: int | None = None) -> "NoisedImages":
        """The same images, of which another share is asked for in training; in batches of another size, if wanted."""
        size = self.batch_size if batch_size is None else batch_size
        return NoisedImages(self.images, self.numbers, self.concepts, self.scheduler, size, 1 - share)

    def __iter__(self) -> Iterator[NoisedBatch]:
        generator, last = torch.Generator().manual_seed(0), self._train_times
        for images, numbers, rows in self._rows:
            times = (((rows + 0.5) * _GOLDEN_RATIO) % 1.0 * last).long()
            noise = torch.randn(images.shape, generator=generator)
            yield self._noised(images, numbers, self.concepts.ask(numbers), times, noise)

    def epoch(self, generator: torch.Generator) -> Iterator[NoisedBatch]:
        """One pass in an order, with noise, times and prompts, that are drawn from `generator`."""
        for images, numbers, conditions, times, noise in self.drawn(generator):
            yield self._noised(images, numbers, conditions, times, noise)

    def drawn(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """What an epoch is made of: images, numbers, conditions, times and noise of each batch."""
        for images, numbers, _ in self._rows.epoch(generator):
            count = len(images)
            noise = torch.randn(images.shape, generator=generator)
            times = torch.randint(self._train_times, (count,), generator=generator)
            conditions = self.concepts.ask(numbers, torch.randint(self.concepts.ways, (count,), generator=generator))
            silent = torch.rand(count, generator=generator) < self.unasked
            conditions = torch.where(_like(silent, conditions), self.concepts.ask_for_nothing(count), conditions)
            yield images, numbers, conditions, times, noise

    @property
    def _train_times(self) -> int:
        return int(self.scheduler.config.num_train_timesteps)

    def _noised(self, images: Tensor, numbers: Tensor, conditions: Tensor, times: Tensor, noise: Tensor) -> NoisedBatch:
        noisy = self.scheduler.add_noise(images, noise, times)
        return noisy, times, conditions, target_of(self.scheduler, images, noise, times), numbers


def settings_of(scheduler: Any) -> dict[str, Any]:
    """What a scheduler was made with, in one order; the list of what was left to its defaults has another in each process."""
    return {name: value for name, value in sorted(scheduler.config.items()) if not name.startswith("_")}


def target_of(scheduler: Any, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What a model is to predict of noised images: the noise, or the velocity.

    Raises:
        BadSetting: if the scheduler's models predict something else.
    """
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        velocity: Tensor = scheduler.get_velocity(images, noise, times)
        return velocity
    raise BadSetting(f"models that predict {kind!r} are not read; prediction_type is 'epsilon' or 'v_prediction'")


def joined_images(parts: Iterable[NoisedImages]) -> NoisedImages:
    """All images of several streams as one, in batches like the first's."""
    found: Sequence[NoisedImages] = list(parts)
    first = found[0]
    images, numbers = torch.cat([each.images for each in found]), torch.cat([each.numbers for each in found])
    return NoisedImages(images, numbers, first.concepts, first.scheduler, first.batch_size, first.unasked)


def _like(mask: Tensor, values: Tensor) -> Tensor:
    """A mask of shape (n,) with as many dimensions as values of shape (n, ...)."""
    return mask.view(-1, *[1] * (values.dim() - 1))
