"""The methods of the diffusion study, by the names of their rows, and how they were set."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from expunge.engine import Engine
from expunge.methods import (
    ESD,
    RECE,
    SDD,
    UCE,
    ConceptAblation,
    EraseDiff,
    Finetune,
    ForgetMeNot,
    Retrain,
    SafeGen,
    SalUn,
    ShrinkPerturb,
)
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.studies.comparison import Forgets
from expunge.tasks import Task


@dataclass(frozen=True)
class WeightNoise:
    """No method, but what an audit must not take for one: noise on all weights, so that nothing is drawn well.

    Args:
        strength: standard deviation of the noise, as a multiple of that of each tensor's weights.
    """

    strength: float = 0.5

    def like(self, model: nn.Module) -> nn.Module:
        """A model with the keys and shapes of the result."""
        return copy.deepcopy(model)

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """A copy of the model under noise."""
        damaged, generator = copy.deepcopy(model), engine.generator("noise")
        with torch.no_grad():
            for weight in damaged.parameters():
                noise = torch.randn(weight.shape, generator=generator).to(weight.device)
                weight.add_(self.strength * weight.std(correction=0) * noise)
        return damaged


def esd() -> ESD:
    """ESD-x, as the study has it."""
    return ESD()


def diffusion_methods(recipe: Retrain, all_of_them: bool = True) -> dict[str, Forgets]:
    """The methods; the first is held against retraining.

    Args:
        recipe: of the original.
        all_of_them: with those that erase little or take long.
    """
    rows: dict[str, Forgets] = {
        "salun": SalUn(epochs=40),
        "esd-x": esd(),
        "esd-u": ESD(where="others", optimizer=Optimizer("adam", 1e-4)),
        "sdd": SDD(),
        "concept-ablation": ConceptAblation(),
        "uce": UCE(guide="anchor"),
        "safegen": SafeGen(),
        "erase-diff": EraseDiff(),
        "weight-noise": WeightNoise(),
    }
    more: dict[str, Forgets] = {
        "esd-x-strict": replace(esd(), where="key-value"),
        "rece": RECE(guide="anchor"),
        "forget-me-not": ForgetMeNot(),
        "shrink-perturb": ShrinkPerturb.from_recipe(recipe),
        "finetune": Finetune(epochs=recipe.epochs // 5, optimizer=recipe.optimizer),
    }
    return rows | (more if all_of_them else {})
