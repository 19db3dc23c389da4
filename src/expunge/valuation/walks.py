"""Walks: groups of points join one after the other, in a random order, until the rest can't matter.

A walk along an order pi gives group pi_t the marginal U(first t groups) - U(first t - 1 groups). Truncation: once `patience`
prefixes in a row are within `tolerance` of U(all), the walk ends, and the groups that are left have marginals of 0. Prefixes of
all walks are trained together, some of each at a time; those that a walk trains past its end count as trainings.
"""

from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.game import Game
from expunge.valuation.points import Array


@dataclass(frozen=True)
class Truncation:
    """When a walk ends.

    Args:
        tolerance: largest distance from U(all), as a share of it.
        patience: how many prefixes in a row are as near.
        stride: prefixes of a walk that are trained between two looks at it.
    """

    tolerance: float = 0.01
    patience: int = 1
    stride: int = 8

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or self.patience < 1 or self.stride < 1:
            raise BadSetting("truncation: tolerance must be at least 0, patience and stride at least 1")


def walk(game: Game, groups: Array, orders: Array, truncation: Truncation) -> Array:
    """Utilities along some walks.

    Args:
        groups: which points each group has, shape (k, n), bool.
        orders: numbers of groups, shape (walks, k).

    Returns:
        U after each step, shape (walks, k + 1), the first being U({}); after a walk's end, what it was there.
    """
    walks, steps = orders.shape
    near = truncation.tolerance * abs(game.full)
    found = np.full((walks, steps + 1), game.empty)
    left, done, come = list(range(walks)), 0, np.zeros((walks, groups.shape[1]), bool)
    while left and done < steps:
        ahead = min(truncation.stride, steps - done)
        masks = [np.logical_or.accumulate(groups[orders[each, done : done + ahead]]) | come[each] for each in left]
        come[left] = [each[-1] for each in masks]
        found[left, done + 1 : done + 1 + ahead] = game.utilities(np.concatenate(masks)).reshape(len(left), ahead)
        done += ahead
        stay = []
        for each in left:
            end = _end(abs(found[each, 1 : done + 1] - game.full) <= near, truncation.patience)
            if end is None:
                stay.append(each)
            else:
                found[each, end + 1 :] = found[each, end]
        found[stay, done + 1 :] = found[stay, done : done + 1]
        left = stay
    return found


def _end(near: Array, patience: int) -> int | None:
    """The step at which the first run of `patience` near prefixes is whole, counted from 1."""
    run = 0
    for step, each in enumerate(near, 1):
        run = run + 1 if each else 0
        if run == patience:
            return step
    return None


def marginals(along: Array, orders: Array) -> Array:
    """What each group added on each walk, shape (walks, k)."""
    gains = np.empty(orders.shape)
    np.put_along_axis(gains, orders, np.diff(along, axis=1), axis=1)
    return gains
