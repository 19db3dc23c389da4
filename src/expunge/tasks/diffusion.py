"""Diffusion models that draw what they are asked for: denoisers of diffusers, by prompts or classes, of pixels or latents.

Batches are images with noise, see :mod:`expunge.diffusion.noised`; outputs are what the model predicts of them, (n, C, H, W).

    loss        mean over pixels of (prediction - target)^2,     target = the noise, or the velocity
    divergence  mean over pixels of (student - teacher)^2
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.diffusion.concepts import TEMPLATES, Concepts, prompted, token_encoder
from expunge.diffusion.noised import NoisedBatch, NoisedImages, settings_of
from expunge.diffusion.sampling import Asked, Known, Sampling, denoise
from expunge.errors import BadSetting
from expunge.models.pipelines import Pipeline
from expunge.models.text_to_image import missing_diffusion
from expunge.modes import evaluating
from expunge.storage import weights_hash
from expunge.tasks.task import Task

_AT_ONCE = 64  # images that are drawn together,
_DECODED_AT_ONCE = 8  # and that a VAE sees together, whose layers are as large as the images


class DiffusionTask(Task[NoisedBatch]):
    """Concepts that a diffusion model draws.

    Args:
        factory: makes the model with fresh weights, such as a :class:`~expunge.models.text_to_image.Denoiser`.
        concepts: what it is asked for.
        shape: of what it denoises, (C, H, W).
        scheduler: of diffusers, of any kind; how much noise there is at each time, and what is predicted, is read from it. None
            for a squared cosine over 1,000 times and a model that predicts the noise.
        sampling: how images are drawn unless it is said otherwise.
        vae: of diffusers, where latents are denoised; it is not trained.

    Raises:
        MissingExtra: if diffusers is not installed.
    """

    score_name = "mse"
    higher_is_better: ClassVar[bool] = False
    loss_unit = "squared error"
    vectorizes: ClassVar[bool] = False
    keeps_outputs: ClassVar[bool] = False  # an image for each example

    def __init__(
        self,
        factory: Callable[[], nn.Module],
        concepts: Concepts,
        shape: Sequence[int],
        scheduler: Any = None,
        sampling: Sampling = Sampling(),
        vae: nn.Module | None = None,
    ) -> None:
        if len(shape) != 3:
            raise BadSetting(f"shape is that of what is denoised, (channels, height, width), not {tuple(shape)}")
        self.factory, self.concepts, self.shape = factory, concepts, tuple(shape)
        self.scheduler, self.sampling, self.vae = _ddim(scheduler, vae is not None), sampling, vae

    @property
    def reading(self) -> str:
        vae = "none" if self.vae is None else weights_hash(self.vae)
        return f"{self.sampling!r}, VAE {vae}, noise {settings_of(self.scheduler)}"

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        names: Sequence[str],
        templates: Sequence[str] = TEMPLATES,
        sampling: Sampling = Sampling(),
    ) -> "DiffusionTask":
        """Concepts that a pipeline draws, each asked for by prompts.

        Args:
            pipeline: as :func:`~expunge.models.pipelines.read_pipeline` reads it.
            names: of the concepts, as they stand in prompts.
            templates: of prompts, with ``{}`` where the name stands.
            sampling: how images are drawn unless it is said otherwise.

        Raises:
            BadSetting: if there are no names or templates, or a template has no place for the name.
        """
        concepts = prompted(names, token_encoder(pipeline.tokenizer, pipeline.prompt_length), templates)
        return cls(pipeline.new_denoiser, concepts, pipeline.shape, pipeline.scheduler, sampling, pipeline.vae)

    def new_model(self) -> nn.Module:
        return self.factory()

    def outputs(self, model: nn.Module, batch: NoisedBatch) -> Tensor:
        noisy, times, conditions, _, _ = batch
        predicted: Tensor = model(noisy, times, conditions)
        return predicted.float()

    def features(self, model: nn.Module, batch: NoisedBatch) -> Tensor:
        """Mean over pixels of what the middle of the network says: shape (n, channels)."""
        network = getattr(model, "network", model)
        middle = getattr(network, "mid_block", None)
        if middle is None:
            raise BadSetting(f"a {type(network).__name__} has no middle block to read features from")
        found: list[Tensor] = []
        hook = middle.register_forward_hook(lambda _module, _inputs, outputs: found.append(outputs))
        try:
            self.outputs(model, batch)
        finally:
            hook.remove()
        return found[0].float().mean((2, 3))

    def losses(self, outputs: Tensor, batch: NoisedBatch) -> Tensor:
        return F.mse_loss(outputs, batch[3], reduction="none").mean((1, 2, 3))

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        return F.mse_loss(student, teacher, reduction="none").mean((1, 2, 3))

    def scores(self, outputs: Tensor, batch: NoisedBatch) -> Tensor:
        return self.losses(outputs, batch)

    def groups(self, batch: NoisedBatch) -> Tensor:
        return batch[4]

    def group_name(self, group: int) -> str:
        return self.concepts.names[group]

    # ---- images ----------------------------------------------------------------------------------------------------------

    def noised(self, images: Tensor, numbers: Tensor, batch_size: int = 64, unasked: float = 0.1) -> NoisedImages:
        """Images from -1 to 1 with what they show, as batches to train on and to split; latents where there is a VAE.

        Args:
            images: shape (n, C, H, W).
            numbers: of the concepts, shape (n,).
            unasked: share of rows that ask for nothing, in training.

        Raises:
            BadSetting: if the images have another shape than the model's, or there is no such concept.
        """
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(self.concepts.names):
            raise BadSetting(f"concepts have numbers from 0 to {len(self.concepts.names) - 1}, and one image shows another")
        states = images if self.vae is None else self._encoded(images)
        if states.shape[1:] != self.shape:
            raise BadSetting(f"the model denoises {self.shape}, and these images are {tuple(states.shape[1:])}")
        return NoisedImages(states, numbers, self.concepts, self.scheduler, batch_size, unasked)

    def draw(
        self,
        model: nn.Module,
        conditions: Tensor,
        seeds: Sequence[int],
        *,
        sampling: Sampling | None = None,
        start: Tensor | None = None,
        first: int = 0,
        known: Known | None = None,
    ) -> Tensor:
        """Images from -1 to 1, shape (n, C, H, W), on the CPU; each depends on its seed and condition alone.

        Args:
            conditions: what to draw, shape (n, ...).
            seeds: one for each image.
            sampling: the task's when None.
            start: states that another model left, see :meth:`on_the_way`; noise when None.
            first: how many steps it had done.
            known: parts of the images that are known before; the rest is drawn to fit.

        Raises:
            BadSetting: if there are not as many seeds as conditions.
        """
        parts = [
            (states if self.vae is None else self._decoded(states)).clamp(-1, 1).cpu()
            for states in self._denoised(model, conditions, seeds, sampling, start=start, first=first, known=known)
        ]
        return torch.cat(parts) if parts else torch.empty(0, *self.shape)

    def on_the_way(
        self, model: nn.Module, conditions: Tensor, seeds: Sequence[int], steps: int, sampling: Sampling | None = None
    ) -> Tensor:
        """States of images after some of the steps, shape (n, *shape), on the CPU."""
        return torch.cat([each.cpu() for each in self._denoised(model, conditions, seeds, sampling, last=steps)])

    def all_the_way(
        self, model: nn.Module, conditions: Tensor, seeds: Sequence[int], sampling: Sampling | None = None
    ) -> Tensor:
        """States of images before each step and after the last, shape (steps + 1, n, *shape), on the CPU."""
        parts = []
        found: list[Tensor] = []
        for last in self._denoised(model, conditions, seeds, sampling, on_step=found.append):
            parts.append(torch.stack([*found, last]).cpu())
            found.clear()
        return torch.cat(parts, 1)

    def times(self, sampling: Sampling | None = None) -> Tensor:
        """The times of the steps, from the highest on: shape (steps,)."""
        self.scheduler.set_timesteps((sampling or self.sampling).steps)
        times: Tensor = self.scheduler.timesteps.clone()
        return times

    def _denoised(
        self,
        model: nn.Module,
        conditions: Tensor,
        seeds: Sequence[int],
        sampling: Sampling | None,
        start: Tensor | None = None,
        known: Known | None = None,
        **steps: Any,
    ) -> Iterator[Tensor]:
        """States of some images after others, as :func:`~expunge.diffusion.sampling.denoise` leaves them."""
        if len(seeds) != len(conditions):
            raise BadSetting(f"{len(conditions)} images need as many seeds, not {len(seeds)}")
        how = sampling or self.sampling
        for place in range(0, len(seeds), _AT_ONCE):
            here = slice(place, place + _AT_ONCE)
            begun = None if start is None else start[here]
            there = None if known is None else known._replace(states=known.states[here])
            with torch.no_grad(), evaluating(model):
                asked = self._asked(model, conditions[here], how)
                states = denoise(asked, self.scheduler, how, seeds[here], self.shape, start=begun, known=there, **steps)
            yield states

    def _asked(self, model: nn.Module, conditions: Tensor, how: Sampling) -> Asked:
        read = getattr(model, "read", lambda given: given)
        device = next(model.parameters()).device
        nothing = read(self.concepts.ask_for_nothing(1).to(device)) if how.guidance != 1 else None
        asked = read(conditions.to(device))
        return Asked(model, asked, None if nothing is None else nothing.expand_as(asked))

    def _encoded(self, images: Tensor) -> Tensor:
        vae: Any = self.vae
        with torch.no_grad():
            parts = [vae.encode(part.to(vae.device)).latent_dist.mean.cpu() for part in images.split(_DECODED_AT_ONCE)]
        return torch.cat(parts) * vae.config.scaling_factor

    def _decoded(self, states: Tensor) -> Tensor:
        vae: Any = self.vae
        vae.to(states.device)
        with torch.no_grad():
            parts = (states / vae.config.scaling_factor).split(_DECODED_AT_ONCE)
            return torch.cat([vae.decode(part, return_dict=False)[0].cpu() for part in parts])


def _ddim(scheduler: Any, latents: bool) -> Any:
    """A scheduler that draws by DDIM with the noise of another one; only that of pixels may cut off values beyond -1 and 1.

    Raises:
        BadSetting: if the other one's noise is no diffusion's, as that of flows.
    """
    try:
        from diffusers import DDIMScheduler
    except ImportError as error:
        raise missing_diffusion() from error
    if scheduler is None:
        return DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=not latents)
    if not hasattr(scheduler, "alphas_cumprod"):
        raise BadSetting(
            f"a {type(scheduler).__name__} adds noise in another way than diffusion models do (it has no alphas_cumprod); "
            "models of flows are not read"
        )
    clips = not latents and bool(scheduler.config.get("clip_sample", False))
    return DDIMScheduler.from_config(scheduler.config, clip_sample=clips)
