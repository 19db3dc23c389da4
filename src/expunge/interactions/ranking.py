"""Full ranking: each user's best items among all, a block of users at a time, and how good the lists are.

    Recall@k = hits_k / |T_u|        Precision@k = hits_k / k        NDCG@k = sum_r hit_r / log2(r + 1) / best possible
    MAP@k = sum_r Precision@r hit_r / min(|T_u|, k)

Each is a mean over the users with at least one relevant item.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions.interactions import Interactions, among

BLOCK = 2**24  # scores at a time: 64 MiB
NOTHING = -1  # stands where a list has no further item

Scores = Callable[[Tensor], Tensor]  # users (n,) -> (n, I)


def top_items(
    scores: Scores, interactions: Interactions, users: Tensor, k: int = 20, offered: bool = True, block: int = BLOCK
) -> Tensor:
    """The k best items of each user, best first, without those that the user chose and those that are not offered.

    Ties are broken towards the item with the lower number. The scores of a block of users are changed in place.

    Args:
        scores: gives the scores of all items for some users.
        interactions: whose pairs are left out of the lists; and which items are offered.
        users: shape (n,).
        k: at least 1.
        offered: false to rank the items as well that are not offered any more, to see what a model would do with them.
        block: scores worked on at once.

    Returns:
        int64, shape (n, k); :data:`NOTHING` where no item is left.
    """
    return top_scored(scores, interactions, users, k, offered, block)[0]


def top_scored(
    scores: Scores, interactions: Interactions, users: Tensor, k: int = 20, offered: bool = True, block: int = BLOCK
) -> tuple[Tensor, Tensor]:
    """What :func:`top_items` gives, and the score of each item, float32, shape (n, k); -inf where no item is left."""
    if k < 1:
        raise BadSetting(f"k must be at least 1, not {k}")
    closed = (~interactions.offered).nonzero().flatten() if offered else None
    most, items, best = min(k, interactions.items), [], []
    for part in users.split(max(1, block // max(1, interactions.items))):
        values = scores(part).float()
        if closed is not None and len(closed):
            values[:, closed] = -torch.inf
        values[chosen(interactions, part)] = -torch.inf
        found = _best(values, most)
        items.append(found[0])
        best.append(found[1])
    pad = torch.nn.functional.pad
    lists, heights = torch.cat(items), torch.cat(best)  # of no users there is one part, of no rows
    return pad(lists, (0, k - most), value=NOTHING), pad(heights, (0, k - most), value=-torch.inf)


def chosen(interactions: Interactions, users: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs of some users: the place of each in `users`, and the item."""
    first = interactions.starts[users]
    counts = interactions.starts[users + 1] - first
    row = torch.arange(len(users), device=users.device).repeat_interleave(counts)
    ahead = first - (counts.cumsum(0) - counts)  # from the place among the pairs of `users` to that among all
    return row, interactions.pairs[torch.arange(len(row), device=users.device) + ahead[row], 1]


def _best(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Items and scores of the k best of each row."""
    top = values.topk(min(k + 1, values.shape[1]), dim=1)  # the first that is left out may be tied with the last that is not
    items, best = top.indices[:, :k], top.values[:, :k]
    tied = ((top.values[:, :-1] == top.values[:, 1:]) & (top.values[:, 1:] > -torch.inf)).any(1)
    if tied.any():  # `topk` gives tied items in any order
        items[tied] = _in_order(values[tied]).topk(k, dim=1).indices
    return torch.where(best == -torch.inf, NOTHING, items), best


def _in_order(values: Tensor) -> Tensor:
    """Whole numbers in the order of float32 scores, of equal ones the first the greatest: int64, no two of a row alike."""
    bits = values.contiguous().view(torch.int32).long()
    ordered = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)  # the bits of floats of one sign are in their order
    return ordered * 2**32 + torch.arange(values.shape[1] - 1, -1, -1, device=values.device)


def hits(lists: Tensor, users: Tensor, relevant: Interactions) -> Tensor:
    """Which entries of the lists are relevant: bool, (n, k)."""
    keys = users.unsqueeze(1) * relevant.items + lists
    return among(keys, relevant.keys) & (lists != NOTHING)


def metrics(lists: Tensor, users: Tensor, relevant: Interactions, k: int) -> dict[str, Tensor]:
    """Recall, precision, NDCG and MAP of each list's first k entries, by name: float64, shape (n,) each.

    Args:
        lists: shape (n, at least k), best first.
        users: whose lists they are; each has at least one relevant item.
        relevant: what should be in them.
    """
    hit = hits(lists[:, :k], users, relevant).double()
    total = relevant.activity[users].double()
    place = torch.arange(1, k + 1, device=lists.device, dtype=torch.double)
    most = total.clamp_max(k)
    discount = 1 / torch.log2(place + 1)
    ideal = torch.cat([discount.new_zeros(1), discount.cumsum(0)])[most.long()]
    precision = hit.cumsum(1) / place
    return {
        "recall": hit.sum(1) / total,
        "precision": hit.sum(1) / k,
        "ndcg": (hit * discount).sum(1) / ideal,
        "map": (precision * hit).sum(1) / most,
    }
