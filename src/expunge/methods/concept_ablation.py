"""Concept ablation: asked for the concept, the model draws an anchor that stays, such as a cat for Grumpy Cat.

    min  || e_theta(x_t, c, t) - e_0(x_t, a, t) ||^2  +  keep || e_theta(x_t, a, t) - e ||^2

x_t are noised images of the anchor. c and a are the same prompt with the concept's name and with the
anchor's; e_0 is the model before, and e the noise. The second term is for an anchor that shares words with the concept.

What is asked for without the concept's prompt is left as it was.

Reference: N. Kumari, B. Zhang, S.-Y. Wang, E. Shechtman, R. Zhang, J.-Y. Zhu. "Ablating Concepts in Text-to-Image Diffusion
Models", ICCV 2023, arXiv 2303.13516.

Needs: images of the anchor, among what stays. Costs: `steps` of training with a pass of the model before in each.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedImages
from expunge.engine import Engine
from expunge.methods.eraser import Eraser
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class ConceptAblation(Eraser):
    """Draw the anchor of the request instead.

    Args:
        keep: weight of the training loss of the anchor.
    """

    keep: float = 0.0

    needs_retain: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.keep >= 0, f"keep must be 0 or more, not {self.keep}")

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        assert isinstance(split.retain, NoisedImages)
        stays = split.retain
        anchors = stays.where(stays.numbers == split.anchor).asked(1.0, self.batch_size)

        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            noisy, times, conditions, targets, _ = batch
            with torch.no_grad():
                wanted = original(noisy, times, conditions)
            asked = task.concepts.instead(conditions, split.anchor, split.concept)
            terms = {"erase": task.divergence(model(noisy, times, asked), wanted)}
            if self.keep:
                kept = task.divergence(model(noisy, times, conditions), targets)
                terms["keep"] = self.keep * kept
            return terms

        self.fit(student, loss, anchors, engine)
