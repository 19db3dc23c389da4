"""The methods of the diffusion study, by the names of their rows, and how they were set.

On originals of seeds 100 (65 epochs) and 101 (40 epochs), with a retrained model beside each. For SalUn: 8, 30 and 40 epochs,
rates of 5e-4 to 3e-3, the forget term's weight (0.02, 0.05 and 0.2), all weights or half of them, and a share of 1, 0.7 and 0.5
of images that are asked for. Nearly all from 30 epochs on had removed it by the audit's rule, those with 0.7 and 0.5 by
a wide margin. For ESD-x: rates of 2e-4 to 1e-3, 100 and 200 steps, and guidance 0.5; for ESD-u rates of 5e-5 to 3e-4; for SDD
rates of 1e-4 to 1e-3. These differ in what they do to other digits, hardly in what comes back. How images are drawn was chosen
there as well: with fresh noise in each step (eta 1) nearly all are recognised, of deterministic ones nine of ten. The rest was
not tuned: concept ablation and UCE, with the anchor as its guide, have their first settings, SafeGen leaves most sevens,
EraseDiff takes over half as long as training, and Forget-Me-Not at higher rates destroys the model.
"""

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

SLOWER, SLOW = Optimizer("adam", 1e-3), Optimizer("adam", 1e-4)


@dataclass(frozen=True)
class WeightNoise:
    """No method, but what an audit must not take for one: noise on all weights, so that nothing is drawn well.

    Args:
        strength: standard deviation of the noise, as a multiple of that of each tensor's weights.
    """

    strength: float = 2.0

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
        "salun-unasked": SalUn(epochs=30, optimizer=SLOWER, asked=0.7),
        "salun": SalUn(epochs=30, optimizer=SLOWER),
        "esd-x": esd(),
        "esd-u": ESD(where="others", optimizer=SLOW),
        "sdd": SDD(optimizer=SLOW),
        "concept-ablation": ConceptAblation(),
        "uce": UCE(guide="anchor"),
        "weight-noise": WeightNoise(),
    }
    more: dict[str, Forgets] = {
        "esd-x-strict": replace(esd(), where="key-value"),
        "rece": RECE(guide="anchor"),
        "safegen": SafeGen(),
        "forget-me-not": ForgetMeNot(),
        "erase-diff": EraseDiff(),
        "shrink-perturb": ShrinkPerturb.from_recipe(recipe),
        "finetune": Finetune(epochs=recipe.epochs // 5, optimizer=recipe.optimizer),
    }
    return rows | (more if all_of_them else {})
