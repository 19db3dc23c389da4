"""Drift: how much farther a model is from a retrained one than two retrained models are from each other.

    d(a, b) = mean_x ( sqrt D(a(x) || b(x)) + sqrt D(b(x) || a(x)) ) / 2
    drift   = mean_j d(theta, omega_j) / mean_{i<j} d(omega_i, omega_j)

omega_1, omega_2, ... are retrained from different seeds, D is the task's divergence: KL, or squared error where answers are
real numbers. The root makes a distance of it, in which one example that is answered with much confidence cannot outweigh all
others. 1 is what chance does by itself, 2 is twice as far.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.split import Split, one_epoch
from expunge.tasks import Task

PARTS = ("forget", "holdout")


def drifts(models: Sequence[nn.Module], golds: Sequence[nn.Module], task: Task[Any], split: Split) -> list[dict[str, float]]:
    """The drift of each model, on what went and on unseen examples, and the larger of both.

    Args:
        models: in evaluation mode.
        golds: retrained without `split.forget`, from different seeds; two or more.

    Returns:
        for each model "forget", "holdout" (where the split has it) and "drift".

    Raises:
        BadSetting: if there is but one retrained model, which cannot tell what chance does.
    """
    if len(golds) < 2:
        raise BadSetting(
            f"drift is told in units of what chance does, which takes 2 retrained models or more, not {len(golds)}"
        )
    found: list[dict[str, float]] = [{} for _ in models]
    for part in PARTS:
        apart = distances([*golds, *models], len(golds), task, one_epoch(getattr(split, part), torch.Generator()))
        if apart is None:
            continue
        among = apart[:, : len(golds)]
        chance = float(among.sum() / (len(golds) * (len(golds) - 1)))  # the diagonal is 0
        for place, each in enumerate(found):
            each[part] = _ratio(float(apart[:, len(golds) + place].mean()), chance)
    return [each | {"drift": max(each.values())} for each in found]


def _ratio(distance: float, chance: float) -> float:
    if chance:
        return distance / chance
    return float("inf") if distance else 1.0


def distances(models: Sequence[nn.Module], first: int, task: Task[Any], batches: Iterable[Any]) -> Tensor | None:
    """d between each of the `first` models and all of them, float64, shape (first, models); None where there is no example."""

    def read(outputs: Tensor, batch: Any) -> Tensor:
        said = [outputs, *(task.outputs(model, batch) for model in models[1:])]
        return torch.stack([torch.stack([_apart(one, other, task) for other in said], 1) for one in said[:first]], 1)

    each = task.collect(models[0], batches, read)
    return each.double().mean(0) if len(each) else None


def _apart(first: Tensor, second: Tensor, task: Task[Any]) -> Tensor:
    both = (task.divergence(first, second), task.divergence(second, first))
    return sum(each.clamp_min(0).sqrt() for each in both) / 2  # type: ignore[return-value]
