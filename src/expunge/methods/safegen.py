"""SafeGen: whatever is asked for, the model sees a mosaic where the concept would appear.

    min  goes || e_theta(x_t, nothing, t) - (e + x - mosaic(x)) ||^2  +  stays || e_theta(y_t, nothing, t) - e ||^2

x are images of the concept, y others. No prompt is trained on: what learns is how parts of an image attend to each other, so
that it does not matter by which words the concept is asked for.

Reference: X. Li, Y. Yang, J. Deng, C. Yan, Y. Chen, X. Ji, W. Xu. "SafeGen: Mitigating Sexually Explicit Content Generation in
Text-to-Image Models", CCS 2024, arXiv 2404.06666.

Needs: images of the concept, and others. Costs: `steps` of training, with both in each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedBatch, NoisedImages, target_of
from expunge.engine import Engine
from expunge.methods.eraser import Eraser, Where
from expunge.split import Pair, paired
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class SafeGen(Eraser):
    """See a mosaic in the concept's place.

    Args:
        goes, stays: weights of the two terms.
        block: pixels of a side of the mosaic's squares; a quarter of an image's side, and 2 at least, when None.
    """

    steps: int = 200
    where: Where = "self-attention"
    goes: float = 0.1
    stays: float = 0.9
    block: int | None = None

    needs_retain: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.goes >= 0 and self.stays >= 0, "goes and stays must be 0 or more")
        self.require(self.block is None or self.block >= 1, f"block must be at least 1, not {self.block}")

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        assert isinstance(split.forget, NoisedImages) and isinstance(split.retain, NoisedImages)
        block = self.block or max(2, split.forget.images.shape[-1] // 4)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            goes, stays = (task.losses(task.outputs(model, batch), batch) for batch in pair)
            return {"goes": self.goes * goes, "stays": self.stays * stays}

        mosaics: Any = Mosaics(split.forget, block, self.batch_size)
        self.fit(student, loss, paired(mosaics, split.retain.asked(0.0, self.batch_size), "forget"), engine)


class Mosaics:
    """Noised images, asked for by nothing, whose denoised ones are to be mosaics.

    Args:
        noised: of the concept.
        block: pixels of a side of the squares.
    """

    def __init__(self, noised: NoisedImages, block: int, batch_size: int) -> None:
        self.noised, self.block = noised.asked(0.0, batch_size), block

    def __len__(self) -> int:
        return len(self.noised)

    @property
    def digest(self) -> str:
        """Equal digests, equal batches."""
        return f"{self.noised.digest} mosaic {self.block}"

    def epoch(self, generator: torch.Generator) -> Iterator[NoisedBatch]:
        """As of noised images, with other targets."""
        scheduler = self.noised.scheduler
        for images, numbers, conditions, times, noise in self.noised.drawn(generator):
            towards = noise + images - mosaic(images, self.block)
            noisy = scheduler.add_noise(images, noise, times)
            yield noisy, times, conditions, target_of(scheduler, images, towards, times), numbers


def mosaic(images: Tensor, block: int) -> Tensor:
    """Each square of an image as its mean: shape (n, C, H, W).

    >>> mosaic(torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]]), 2)
    tensor([[[[3., 3.],
              [3., 3.]]]])
    """
    small = F.avg_pool2d(images, block, ceil_mode=True)
    large = F.interpolate(small, scale_factor=block, mode="nearest")
    return large[..., : images.shape[-2], : images.shape[-1]]
