"""Planted tastes: a small set of interactions that is made and not collected: nobody's data is in it, and it is always there.

Each user has a taste and a weaker second one, each item is of one kind, and some items are far more popular than others. User u
chooses n_u different items, one after the other, with chances

    p_ui ~ popularity_i * (a where item i is of u's taste, b where of the second one, else 1)

Two modalities show, with noise, of which kind an item is. In `image` kinds 0 and 1 look alike, 2 and 3, and so on; in `text`
kinds 0 and 4 sound alike, 1 and 5, and so on: both together say more than either.
"""

import numpy as np
import torch

from expunge.data.interaction_source import InteractionSource
from expunge.interactions import Interactions

USERS, ITEMS, TASTES = 300, 400, 8
FEWEST, MOST = 10, 40  # items that a user chooses
FIRST, SECOND = 40.0, 8.0  # a and b
SKEW = 0.9  # the item of rank r is r^-SKEW times as popular as the first
IMAGE, TEXT = 32, 24  # numbers for an item
NOISE = 1.5
SEED = 0


def read_tastes() -> InteractionSource:
    """300 users, 400 items of 8 kinds, about 25 pairs a user; always the same.

    User u has taste u mod 8, item i is of kind i mod 8.

    >>> read_tastes().interactions
    Interactions(300 users, 400 items, 7,213 pairs, image of 32, text of 24)
    """
    generator = np.random.default_rng(SEED)
    kind, taste = np.arange(ITEMS) % TASTES, np.arange(USERS) % TASTES
    second = (taste + generator.integers(1, TASTES, USERS)) % TASTES
    weight = np.ones((USERS, ITEMS))
    weight[kind == second[:, None]] = SECOND
    weight[kind == taste[:, None]] = FIRST
    popularity = (1.0 + generator.permutation(ITEMS)) ** -SKEW
    # The largest of log(weight) + Gumbel noise are a draw without replacement in proportion to the weights.
    chances = np.log(weight * popularity) - np.log(-np.log(generator.random((USERS, ITEMS))))
    counts = generator.integers(FEWEST, MOST + 1, USERS)
    order = np.argsort(-chances, axis=1, kind="stable")
    pairs = [(user, item) for user in range(USERS) for item in order[user, : counts[user]]]
    looks, says = (
        _told_apart(generator, kind, width, halves) for width, halves in ((IMAGE, kind // 2), (TEXT, kind % (TASTES // 2)))
    )
    return InteractionSource("tastes", Interactions.of(USERS, ITEMS, np.array(pairs), {"image": looks, "text": says}))


def _told_apart(generator: np.random.Generator, kind: np.ndarray, width: int, group: np.ndarray) -> torch.Tensor:
    """Features that show the group of each item clearly and its kind a little, float32, shape (I, width)."""
    of_group = generator.standard_normal((group.max() + 1, width))[group]
    of_kind = generator.standard_normal((TASTES, width))[kind]
    noise = generator.standard_normal((len(kind), width))
    return torch.from_numpy((of_group + 0.5 * of_kind + NOISE * noise).astype(np.float32))
