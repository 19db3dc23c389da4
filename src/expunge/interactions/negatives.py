"""Items that a user did not choose: what ranking learns to tell chosen ones from."""

from typing import Literal

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions.interactions import Interactions, among

Drawn = Literal["uniform", "popularity"]
TRIES = 50


def negatives_of(
    interactions: Interactions,
    users: Tensor,
    each: int,
    generator: torch.Generator,
    drawn: Drawn = "uniform",
    avoid: Tensor | None = None,
) -> Tensor:
    """Items that each of some users did not choose, with replacement: int64, shape (n, each).

    They come from the items that somebody chose; nobody's pair is left of an item that is not offered any more. Where a user
    has chosen (nearly) all of them, what was drawn last is taken, chosen or not.

    Args:
        users: shape (n,).
        drawn: "uniform" over those items, or by "popularity", in proportion to how many chose each.
        avoid: sorted keys of the pairs that are no negatives; those of `interactions` when None.

    Raises:
        BadSetting: if nobody chose anything.
    """
    known = interactions.keys if avoid is None else avoid
    device = users.device
    pool, weights = _pool(interactions, drawn)
    owners = users.repeat_interleave(each)
    found = torch.empty_like(owners)
    left = torch.arange(len(owners), device=device)
    for _ in range(TRIES):
        if weights is None:
            places = torch.randint(len(pool), (len(left),), generator=generator)
        else:
            places = torch.searchsorted(weights, torch.rand(len(left), generator=generator, dtype=torch.double))
        found[left] = pool[places.clamp_max(len(pool) - 1).to(device)]
        left = left[among(owners[left] * interactions.items + found[left], known)]
        if not len(left):
            break
    return found.view(-1, each)


def _pool(interactions: Interactions, drawn: Drawn) -> tuple[Tensor, Tensor | None]:
    """The items to draw from, and where drawn by popularity the running share of each (on the CPU)."""

    def build() -> tuple[Tensor, Tensor]:
        pool = interactions.popularity.nonzero().flatten()
        counts = interactions.popularity[pool].double().cpu()
        return pool, counts.cumsum(0) / counts.sum()

    pool, weights = interactions.kept("pool of negatives", build)
    if not len(pool):
        raise BadSetting(f"{interactions}: nobody chose anything, so there is nothing to draw negatives from")
    return pool, weights if drawn == "popularity" else None
