"""Four patterns of 4x4 pixels, and a denoiser, built like a UNet of diffusers, that learns in seconds to draw them."""

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from expunge.diffusion import Concepts, ConceptSplit, Sampling, concept_split, prompted, seeds_for, token_encoder
from expunge.engine import Engine
from expunge.methods import Method, Retrain
from expunge.models.text_to_image import Denoiser, small_clip_tokenizer
from expunge.optimizers import Optimizer
from expunge.tasks import DiffusionTask

NAMES = ("rows", "columns", "chequers", "corner")
ROWS, COLUMNS, CHEQUERS, CORNER = range(4)
TEMPLATES = ("a photo of {}", "{}")
LENGTH, WIDTH = 6, 64
RECIPE = Retrain(epochs=300, optimizer=Optimizer("adamw", 8e-3), clip_norm=1.0)


class Attention(nn.Module):
    """What a pixel's state takes from the words, by names that diffusers gives."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))

    def forward(self, state: Tensor, words: Tensor) -> Tensor:
        heard = (self.to_q(state)[:, None] * self.to_k(words)).sum(2, keepdim=True).div(WIDTH**0.5).softmax(1)
        return (heard * self.to_v(words)).sum(1)


class Block(nn.Module):
    """A layer with attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attn2, self.layers = Attention(), nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.SiLU())

    def forward(self, state: Tensor, words: Tensor) -> Tensor:
        return state + self.layers(state + self.attn2(state, words))


class Network(nn.Module):
    """Called like a UNet with cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(16 + 16, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.mid_block, self.out = nn.Conv2d(WIDTH, WIDTH, 1), nn.Linear(WIDTH, 16)

    def forward(self, noisy: Tensor, times: Tensor, encoder_hidden_states: Tensor, return_dict: bool) -> tuple[Tensor]:
        waves = times[:, None] / 1000 * 2.0 ** torch.arange(8, device=times.device)
        state = self.into(torch.cat([noisy.flatten(1), waves.sin(), waves.cos()], 1))
        for block in self.blocks:
            state = block(state, encoder_hidden_states)
        state = self.mid_block(state[:, :, None, None])[:, :, 0, 0]
        return (self.out(state).view(noisy.shape),)


class Words(nn.Module):
    """Called like a text encoder."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(count, WIDTH), nn.Embedding(LENGTH, WIDTH)

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        return (self.tokens(tokens) + self.places.weight,)

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens


def patterns() -> Tensor:
    """One of each, values -1 and 1, shape (4, 1, 4, 4)."""
    place = torch.arange(4)
    rows = (place[:, None] % 2).expand(4, 4)
    corner = (place[:, None] < 2) & (place[None] < 2)
    found = [rows, rows.T, (rows + rows.T) % 2, corner]
    return torch.stack([each.float() for each in found])[:, None] * 2 - 1


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Patterns, a little blurred by noise, and their numbers."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.arange(count) % len(NAMES)
    return (patterns()[numbers] + 0.05 * torch.randn(count, 1, 4, 4, generator=generator)).clamp(-1, 1), numbers


def shown(drawn: Tensor) -> Tensor:
    """The number of the pattern that each image is nearest to; -1 where it is near to none."""
    nearest = (drawn[:, None] - patterns()[None]).square().mean((2, 3, 4)).min(1)
    return torch.where(nearest.values < 0.3, nearest.indices, -1)


@cache
def tokenizer() -> Any:
    """Made for the prompts."""
    return small_clip_tokenizer([each.format(name) for each in TEMPLATES for name in NAMES])


@cache
def concepts() -> Concepts:
    """The four, each asked for in two ways."""
    return prompted(NAMES, token_encoder(tokenizer(), LENGTH), TEMPLATES)


@cache
def task() -> DiffusionTask:
    """Ten steps for each image."""
    return DiffusionTask(
        lambda: Denoiser(Network(), Words(len(tokenizer()))), concepts(), (1, 4, 4), sampling=Sampling(steps=10)
    )


@cache
def split() -> ConceptSplit:
    """Chequers must go; rows stand in for them."""
    holdout = task().noised(*images(16, seed=1))
    return concept_split(task().noised(*images(64, seed=0), batch_size=64), "chequers", holdout, anchor="rows")


@cache
def _trained() -> nn.Module:
    with (engine := Engine(progress=False)).scope("original"):
        return RECIPE.train(task(), split().everything, engine)


def trained() -> nn.Module:
    """A model that draws all four; a copy."""
    return copy.deepcopy(_trained())


def share(model: nn.Module, concept: int, of: int | None = None) -> float:
    """Of images that a concept is asked for, how many show it, or another one."""
    asked = concepts().ask(torch.full((16,), concept))
    drawn = task().draw(model, asked, seeds_for("show", 16))
    return (shown(drawn) == (concept if of is None else of)).float().mean().item()


def run(method: Method, engine: Engine | None = None) -> nn.Module:
    """What a method makes of the trained model."""
    return method(trained(), task(), split(), engine or Engine(progress=False))
