"""ESD, erased stable diffusion: the model learns to be guided away from the concept.

    min  || e_theta(x_t, c, t) - [ e_0(x_t, nothing, t) - eta (e_0(x_t, c, t) - e_0(x_t, nothing, t)) ] ||^2

e_0 is the model before, and x_t a state on the way to an image of the concept c that it draws. Since e_0 does not change, these
states are drawn once and used again (`cached`), which costs nothing in what is learned and saves most of the time.

ESD-x trains cross-attention, for what is asked for by name, such as a style; ESD-u all `others`, for what appears unasked;
ESD-x strict trains "key-value" alone. In the authors' later code the guidance is counted otherwise: theirs is eta + 1.

What is left as it was is the answer to no prompt at all: the concept can be completed from there.

Reference: R. Gandikota, J. Materzyńska, J. Fiotto-Kaufman, D. Bau. "Erasing Concepts from Diffusion Models", ICCV 2023,
arXiv 2303.07345.

Needs: the concept's prompts alone. Costs: `drawn` images, and `steps` of training with two passes of the model before in each.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.sampling import Sampling
from expunge.diffusion.trajectories import FreshStates, Trajectories
from expunge.engine import Engine
from expunge.methods.eraser import Eraser
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class ESD(Eraser):
    """Guide away from the concept.

    Args:
        guidance: eta, how far beyond the answer to no prompt.
        drawn: images of the concept whose states are trained on, where they are cached.
        cached: draw them once; otherwise each step draws its own.
        sampling: how they are drawn; as the task does when None.
    """

    guidance: float = 1.0
    drawn: int = 128
    cached: bool = True
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.guidance >= 0, f"guidance must be 0 or more, not {self.guidance}")
        self.require(self.drawn >= 1, f"drawn must be at least 1, not {self.drawn}")

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            states, times, conditions = batch
            nothing = task.concepts.ask_for_nothing(len(states)).to(conditions.device)
            with torch.no_grad():
                both = original(torch.cat([states] * 2), torch.cat([times] * 2), torch.cat([nothing, conditions]))
            without, given = both.chunk(2)
            target = away_from(given, without, self.guidance)
            return {"erase": task.divergence(model(states, times, conditions), target)}

        if self.cached:
            seed = engine.seed_for("trajectories")
            kept = Trajectories.of(original, task, split.concept, self.drawn, seed, self.sampling)
            stream: Any = kept.batches(self.batch_size)
        else:
            stream = FreshStates(original, task, split.concept, self.batch_size, self.sampling)
        self.fit(student, loss, stream, engine)


def away_from(given: Tensor, nothing: Tensor, guidance: float) -> Tensor:
    """Predictions beyond that for nothing, on the side that lies away from the concept's.

    >>> away_from(torch.tensor([3.0]), torch.tensor([1.0]), guidance=1.0)
    tensor([-1.])
    """
    return nothing - guidance * (given - nothing)
