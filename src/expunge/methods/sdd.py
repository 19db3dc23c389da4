"""SDD, safe self-distillation: asked for the concept, the model answers as if nothing had been asked.

    min  || e_theta(x_t, c, t) - stop( e_theta(x_t, nothing, t) ) ||^2,     theta_avg <- decay theta_avg + (1 - decay) theta

The target is the student's own answer to no prompt. x_t are states on the way to an image of the concept that the average of
the student draws, and this average is the result; they are drawn anew every `refresh` steps.

Reference: S. Kim, S. Jung, B. Kim, M. Choi, J. Shin, J. Lee. "Towards Safe Self-Distillation of Internet-Scale Text-to-Image
Diffusion Models", 2023, arXiv 2307.05977.

Needs: the concept's prompts alone. Costs: `drawn` images every `refresh` steps, `steps` of training, a copy.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.sampling import Sampling
from expunge.diffusion.trajectories import Trajectories
from expunge.engine import Engine
from expunge.methods.eraser import Eraser
from expunge.optimizers import Optimizer
from expunge.storage import load_own_state, own_state
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class SDD(Eraser):
    """Answer the concept like nothing.

    Args:
        decay: of the average, in each step.
        refresh: steps after which states are drawn anew.
        drawn: images of the concept each time.
        sampling: how they are drawn; as the task does when None.
    """

    steps: int = 300
    optimizer: Optimizer = Optimizer("adam", 5e-4)
    clip_norm: float | None = 1.0
    decay: float = 0.99
    refresh: int = 100
    drawn: int = 64
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.decay < 1, f"decay must be from 0 to below 1, not {self.decay}")
        self.require(self.refresh >= 1 and self.drawn >= 1, "refresh and drawn must be at least 1")

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        averaged = _Averaged(student, original, self.decay)

        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            states, times, conditions = batch
            averaged.follow()
            with torch.no_grad():
                nothing = task.concepts.ask_for_nothing(len(states)).to(conditions.device)
                wanted = model(states, times, nothing)
            return {"erase": task.divergence(model(states, times, conditions), wanted)}

        for done in range(0, self.steps, self.refresh):
            seed = engine.seed_for("trajectories", done)
            drawn = Trajectories.of(averaged.average, task, split.concept, self.drawn, seed, self.sampling)
            engine.fit(
                averaged,
                loss,
                drawn.batches(self.batch_size),
                steps=min(self.refresh, self.steps - done),
                optimizer=self.optimizer,
                clip_norm=self.clip_norm,
                name=f"erase-{done}",
            )
        averaged.follow()
        load_own_state(student, own_state(averaged.average))


class _Averaged(nn.Module):
    """A student and the average of its weights; called, the student answers. Checkpoints hold both."""

    def __init__(self, student: nn.Module, average: nn.Module, decay: float) -> None:
        super().__init__()
        self.student, self.average, self.decay = student, copy.deepcopy(average).requires_grad_(False), decay

    def forward(self, *inputs: Any) -> Tensor:
        predicted: Tensor = self.student(*inputs)
        return predicted

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average a step towards the student."""
        for own, its in zip(self.average.parameters(), self.student.parameters(), strict=True):
            own.lerp_(its, 1 - self.decay)
