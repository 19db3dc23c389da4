"""Attacks that ask an unlearned model for a concept by other ways than its prompt.

    inversion   v* = argmin_v E || e(x_t, t, prompt with v in the name's place) - e ||^2
    prefix      W* = argmin_W E || e(x_t, t, words W, then the prompt) - e ||^2,     each row of W weighs all words, sums to 1
    more noise  x_s = DDIM(x_t, e(x_t)) + f sigma_t z,     f above 1,     eta 1
    inpainting  x_t = known where the image is known, under noise of that time;  the model's own elsewhere

x are images of the concept, and the model learns nothing: a vector does, or weights of words, whose likeliest words then stand
in the prompt. In each step of learning them, words are drawn by their weights, and the gradient is passed through the draw.

References: inversion: R. Gal, Y. Alaluf, Y. Atzmon, O. Patashnik, A. H. Bermano, G. Chechik, D. Cohen-Or. "An Image is Worth
One Word", ICLR 2023, arXiv 2208.01618, against erasers M. Pham, K. O. Marshall, N. Cohen, G. Mittal, C. Hegde. "Circumventing
Concept Erasure Methods For Text-to-Image Generative Models", ICLR 2024, arXiv 2308.01508. Prefix: Y. Zhang, J. Jia, X. Chen,
A. Chen, Y. Zhang, J. Liu, K. Ding, S. Liu. "To Generate or Not? Safety-Driven Unlearned Diffusion Models Are Still Easy To
Generate Unsafe Images ... For Now", ECCV 2024, arXiv 2310.11868. Noise, and inpainting as an attack: K. Lu, N. Kriplani,
R. Gandikota, M. Pham, D. Bau, C. Hegde, N. Cohen. "When Are Concepts Erased From Diffusion Models?", NeurIPS 2025, arXiv
2505.17013; theirs raises eta itself above 1, which shortens what the step keeps of the noise that was there.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.diffusion.concepts import Concepts
from expunge.diffusion.noised import NoisedImages
from expunge.engine import Engine
from expunge.optimizers import Optimizer
from expunge.storage import sharing


class Free(nn.Module):
    """Values that learn while the model does not."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values.detach().float().clone())

    def forward(self) -> Tensor:
        return self.values


def embeddings_of(model: nn.Module) -> nn.Module | None:
    """What makes vectors of tokens; None where there is nothing of the kind."""
    encoder: Any = getattr(model, "text_encoder", None)
    return encoder.get_input_embeddings() if hasattr(encoder, "get_input_embeddings") else None


@contextmanager
def embedded(model: nn.Module, change: Callable[[Tensor, Tensor], Tensor]) -> Iterator[nn.Module]:
    """A model that does not learn and reads other vectors than those of its tokens; it shares the weights of `model`.

    Args:
        change: tokens (n, length) and their vectors (n, length, width) to the vectors that are read.
    """
    attacked = sharing(model).eval()
    embeddings = embeddings_of(attacked)
    assert embeddings is not None
    hook = embeddings.register_forward_hook(lambda _module, inputs, vectors: change(inputs[0], vectors))
    try:
        yield attacked
    finally:
        hook.remove()


def learned(
    model: nn.Module, free: Free, change: Callable[[Tensor, Tensor], Tensor], noised: NoisedImages, engine: Engine, **fit: Any
) -> Tensor:
    """The values of `free` with which a model predicts the noise of images best.

    Args:
        change: see :func:`embedded`; it looks at `free`.
        fit: settings of the engine's fit.

    Raises:
        Diverged: if the loss is not finite.
    """
    with embedded(model, change) as attacked:
        attacked.to(engine.device)

        def loss(_free: nn.Module, batch: Any) -> Tensor:
            noisy, times, conditions, targets, _ = batch
            return F.mse_loss(attacked(noisy, times, conditions).float(), targets, reduction="none").mean((1, 2, 3))

        engine.fit(free, loss, noised, **fit)
    return free.values.detach()


# ---- inversion --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Inversion:
    """One vector in the place of the last token of a concept's name, in all of its prompts.

    Args:
        concepts: with places.
        concept: the number.
    """

    concepts: Concepts
    concept: int

    def saying(self, vector: Callable[[], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """What makes a model read a vector there; other prompts are read as they stand."""
        assert self.concepts.places is not None
        known, places = self.concepts.conditions[self.concept], self.concepts.places[self.concept]

        def change(tokens: Tensor, vectors: Tensor) -> Tensor:
            same = (tokens[:, None] == known.to(tokens.device)[None]).all(2)
            place = places.to(tokens.device)[same.int().argmax(1)]
            here = torch.arange(tokens.shape[1], device=tokens.device)[None] == place[:, None]
            return torch.where((here & same.any(1, keepdim=True))[:, :, None], vector().to(vectors), vectors)

        return change

    def train(
        self, model: nn.Module, images: NoisedImages, engine: Engine, steps: int, optimizer: Optimizer, batch_size: int
    ) -> Tensor:
        """The vector for images of the concept, shape (width,), from that of the token on."""
        assert self.concepts.places is not None
        table: Any = embeddings_of(model)
        token = self.concepts.conditions[self.concept, 0, self.concepts.places[self.concept, 0]]
        free = Free(table.weight[token])
        asked = images.asked(1.0, batch_size)
        fit = {"steps": steps, "optimizer": optimizer, "name": "inversion"}
        return learned(model, free, self.saying(free), asked, engine, **fit)


# ---- prefix -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prefix:
    """Words in front of a concept's prompts, after what begins each; as many tokens of padding are cut off at the end.

    Args:
        concepts: that prompts ask for.
        concept: the number.
        count: words.
    """

    concepts: Concepts
    concept: int
    count: int

    @property
    def ways(self) -> Tensor:
        """Which of the concept's prompts have room for so many words, shape (n,)."""
        return (self._room() >= self.count).nonzero()[:, 0]

    def prompts(self, words: Tensor | None = None) -> Concepts:
        """The prompts that have room, with words in front, or with padding where words will be read.

        Args:
            words: tokens, shape (count,).
        """
        rows, first = self.concepts.conditions[:, self.ways], self._first
        words = self.concepts.nothing[-1:].expand(self.count) if words is None else words.cpu()
        front = words.expand(*rows.shape[:2], self.count)
        conditions = torch.cat([rows[..., :first], front, rows[..., first : rows.shape[2] - self.count]], 2)
        return replace(self.concepts, conditions=conditions, places=None)

    def reading(self, weights: Callable[[], Tensor], table: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """What makes a model read words that are drawn by weights (count, words), whose gradient is passed through the draw."""
        first = self._first

        def change(_tokens: Tensor, vectors: Tensor) -> Tensor:
            values = weights()
            drawn = F.one_hot(values.detach().multinomial(1)[:, 0], values.shape[1])
            front = ((values - values.detach() + drawn) @ table.to(values)).to(vectors).expand(len(vectors), -1, -1)
            return torch.cat([vectors[:, :first], front, vectors[:, first + self.count :]], 1)

        return change

    def train(
        self, model: nn.Module, images: NoisedImages, engine: Engine, steps: int, optimizer: Optimizer, batch_size: int
    ) -> Tensor:
        """The likeliest words for images of the concept: tokens, shape (count,)."""
        embeddings: Any = embeddings_of(model)
        table = embeddings.weight.detach()
        free = Free(torch.full((self.count, len(table)), 1 / len(table), device=table.device))
        asked = NoisedImages(images.images, images.numbers, self.prompts(), images.scheduler, batch_size, unasked=0.0)
        fit = {"steps": steps, "optimizer": OnSimplex(optimizer), "name": "prefix"}
        return learned(model, free, self.reading(free, table), asked, engine, **fit).argmax(1)

    @property
    def _first(self) -> int:
        """Where a prompt's own words begin: after a token that begins all prompts, where there is one."""
        return int((self.concepts.conditions[..., 0] == self.concepts.nothing[0]).all())

    def _room(self) -> Tensor:
        """How many tokens of padding each prompt of the concept has at its end, shape (ways,); the end of text is kept."""
        nothing, rows = self.concepts.nothing, self.concepts.conditions[self.concept]
        padding = (rows == nothing[-1]).flip(1).int().cumprod(1).sum(1)
        ends_like_padding = nothing[min(self._first, len(nothing) - 1)] == nothing[-1]
        return padding - int(ends_like_padding)


@dataclass(frozen=True)
class OnSimplex:
    """An optimizer recipe that puts each row of its one parameter back onto the simplex after each step."""

    recipe: Optimizer

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        weights = list(parameters)
        optimizer = self.recipe(weights)

        def project(*_: Any) -> None:
            with torch.no_grad():
                for each in weights:
                    each.copy_(onto_simplex(each))

        optimizer.register_step_post_hook(project)
        return optimizer


def onto_simplex(rows: Tensor) -> Tensor:
    """The nearest rows of values that are 0 or more and sum to 1: shape (n, d).

        p = max(v - tau, 0),     tau = (sum of the k largest v - 1) / k,     k the most for which the k-th largest is above tau

    >>> onto_simplex(torch.tensor([[0.5, 0.5, 0.0], [2.0, 0.0, -1.0], [0.5, 0.5, 0.5]]))
    tensor([[0.5000, 0.5000, 0.0000],
            [1.0000, 0.0000, 0.0000],
            [0.3333, 0.3333, 0.3333]])
    """
    falling = rows.sort(1, descending=True).values
    counts = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    thresholds = (falling.cumsum(1) - 1) / counts
    last = (falling > thresholds).sum(1, keepdim=True) - 1
    return (rows - thresholds.gather(1, last)).clamp_min(0)


# ---- inpainting -------------------------------------------------------------------------------------------------------------


def upper_half(shape: tuple[int, ...]) -> Tensor:
    """True in the upper half of images: shape (1, H, 1).

    >>> upper_half((1, 4, 4)).flatten().tolist()
    [True, True, False, False]
    """
    return (torch.arange(shape[1]) < shape[1] // 2)[None, :, None]
