"""Trajectories: states on the way from noise to images of a concept, as a model draws them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.diffusion.sampling import SEEDS, Sampling, seeds_for
from expunge.split import Batches

_AT_ONCE = 64
StateBatch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """States of several images at every step.

    Args:
        states: shape (n, C, H, W), of all images at all steps.
        times: at which they stand, shape (n,).
        conditions: what was asked for, shape (n, ...).
    """

    states: Tensor
    times: Tensor
    conditions: Tensor

    @classmethod
    def of(
        cls, model: nn.Module, task: Any, concept: int, count: int, seed: int, sampling: Sampling | None = None
    ) -> "Trajectories":
        """Those of a model.

        Args:
            task: a :class:`~expunge.tasks.DiffusionTask`.
            concept: the number of what is drawn, asked for in all ways in turn.
            count: images.
            seed: another one, other images.
        """
        times, found = task.times(sampling), list[StateBatch]()
        seeds = seeds_for("erase", count, seed % (SEEDS - count))
        for start in range(0, count, _AT_ONCE):
            places = torch.arange(start, min(start + _AT_ONCE, count))
            conditions = task.concepts.ask(torch.full_like(places, concept), places % task.concepts.ways)
            states = task.all_the_way(model, conditions, seeds[start : start + _AT_ONCE], sampling)[:-1]
            steps = len(times)
            found.append(
                (
                    states.flatten(0, 1),
                    times.repeat_interleave(len(places)),
                    conditions.repeat(steps, *[1] * (conditions.dim() - 1)),
                )
            )
        return cls(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def batches(self, batch_size: int) -> Batches:
        """Batches of states, times and conditions."""
        return Batches(TensorDataset(self.states, self.times, self.conditions), batch_size)


@dataclass(frozen=True)
class FreshStates:
    """A stream without an end of states that are drawn when they are needed, each batch up to another step."""

    model: nn.Module
    task: Any
    concept: int
    batch_size: int
    sampling: Sampling | None = None

    def epoch(self, generator: torch.Generator) -> Iterator[StateBatch]:
        """Batches of states, times and conditions, drawn from `generator`."""
        concepts, how = self.task.concepts, self.sampling or self.task.sampling
        while True:
            first = int(torch.randint(SEEDS - self.batch_size, (1,), generator=generator))
            steps = int(torch.randint(how.steps, (1,), generator=generator))
            ways = torch.randint(concepts.ways, (self.batch_size,), generator=generator)
            conditions = concepts.ask(torch.full_like(ways, self.concept), ways)
            seeds = seeds_for("erase", self.batch_size, first)
            states = self.task.on_the_way(self.model, conditions, seeds, steps, how)
            yield states, self.task.times(how)[steps].expand(self.batch_size), conditions
