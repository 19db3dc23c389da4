"""RECE: edit the concept's words, look for words that still mean the concept, edit these as well, and so on.

    c' = ( lambda 1 + sum_i W_i^T W_i )^-1  sum_i W_i^T W_i^0 c,      i over projections to keys and values

c' is the state that comes nearest, through the edited projections W_i, to what the concept's own state c was before, W_i^0 c.
Both steps are in closed form; the edit is that of UCE, and what was erased in earlier rounds stays erased.

Reference: C. Gong, K. Chen, Z. Wei, J. Chen, Y.-G. Jiang. "Reliable and Efficient Concept Erasure of Text-to-Image Diffusion
Models", ECCV 2024, arXiv 2407.12383.

Needs: prompts alone. Costs: `rounds` times what UCE does.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.engine import Engine
from expunge.methods.uce import UCE, Words, edit, projections, solved
from expunge.split import Split
from expunge.tasks import DiffusionTask, Task


@dataclass(frozen=True)
class RECE(UCE):
    """Edit until no words are left.

    Args:
        rounds: of editing; 1 is UCE.
        ridge: lambda of the search, > 0: the larger, the smaller the states that are found.
    """

    rounds: int = 3
    ridge: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rounds >= 1, f"rounds must be at least 1, not {self.rounds}")
        self.require(self.ridge > 0, f"ridge must be above 0, not {self.ridge}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, DiffusionTask) and isinstance(split, ConceptSplit)
        self.check_words(task)
        words, found = Words.of(student, task.concepts, split.concept), list(projections(student, self))
        guide = words.nothing if self.guide == "nothing" else words.of_concept(split.anchor)
        before = [each.weight.detach().double() for each in found]
        kept, concept = words.of_all_others(), words.of_concept(split.concept)
        goes = concept
        for number in range(self.rounds):
            if number:
                goes = torch.cat([goes, still_meaning(concept, before, [each.weight.double() for each in found], self.ridge)])
            guides = guide.repeat(number + 1, 1)
            for projection, weight in zip(found, before, strict=True):
                pairs = [(goes, weight @ guides.T, self.erase), (kept, weight @ kept.T, self.preserve)]
                edit(projection, solved(weight, pairs, self.keep))
        return student


def still_meaning(states: Tensor, before: list[Tensor], edited: list[Tensor], ridge: float) -> Tensor:
    """States that mean, to edited projections, what some states meant before: shape (n, width).

    Args:
        states: shape (n, width).
        before, edited: projections, each of shape (out, width).
    """
    with torch.no_grad():
        gram = ridge * torch.eye(states.shape[1], dtype=states.dtype, device=states.device)
        wanted = torch.zeros_like(gram)
        for old, new in zip(before, edited, strict=True):
            gram, wanted = gram + new.T @ new, wanted + new.T @ old
        return torch.linalg.solve(gram, wanted @ states.T).T
