"""How much others' choices speak for a pair: the paths of three steps from a user to an item.

    p(u, i) = (A^3)_{u, i},      A = D^{-1/2} [[0, R], [R', 0]] D^{-1/2}

A path goes from the user over an item of theirs and another user of that item. Of a pair that is not in R none goes over the
pair itself: that is what the rest says of it.
"""

import torch
from torch import Tensor

from expunge.interactions.interactions import Interactions

BLOCK = 2**24  # numbers worked on at once: 64 MiB


def paths(interactions: Interactions, pairs: Tensor, block: int = BLOCK) -> Tensor:
    """The weight of all paths of three steps from each pair's user to its item: shape (n,).

    Args:
        pairs: shape (n, 2), on the device of the interactions.
        block: numbers worked on at once.

    >>> clicks = Interactions.of(2, 2, [[0, 0], [1, 0], [1, 1]])  # one path from 0 to 1: over item 0 and user 1
    >>> paths(clicks, torch.tensor([[0, 1]]))  # its steps weigh sqrt(1/2), 1/2 and sqrt(1/2)
    tensor([0.2500])
    """
    size = interactions.users + interactions.items
    found = torch.empty(len(pairs), device=pairs.device)
    users, places = pairs[:, 0].unique(return_inverse=True)
    each = max(1, block // size)
    for start in range(0, len(users), each):
        part = users[start : start + each]
        reached = torch.zeros(size, len(part), device=pairs.device)
        reached[part, torch.arange(len(part), device=pairs.device)] = 1
        for _ in range(3):
            reached = interactions.operator @ reached
        inside = (places >= start) & (places < start + len(part))
        found[inside] = reached[interactions.users + pairs[inside, 1], places[inside] - start]
    return found
