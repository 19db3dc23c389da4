"""Full ranking of 10,000 users over 50,000 items: seconds, memory, and how much faster than the plain way.

Both rank by the products of random embeddings of 64 numbers, without the items that each user chose (a million pairs), and
must give the same lists. The plain way makes one matrix of scores and sorts each row; it is timed on a part of the users,
since its memory grows with them. The bounds are 10 seconds and 2 GiB on two cores. Exit code 1 when one is passed.
"""

import resource
import sys
import time
from collections.abc import Callable

import psutil
import torch
from torch import Tensor

from expunge.interactions import Interactions
from expunge.interactions.ranking import top_items

USERS, ITEMS, DIM, K = 10_000, 50_000, 64, 20
PAIRS = 1_000_000
PART = 500  # users that the plain way is timed on
SECONDS, GIB = 10.0, 2.0


def world() -> tuple[Tensor, Tensor, Interactions]:
    """Embeddings of users, shape (U, d), and of items, turned, shape (d, I); and who chose what."""
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(USERS, DIM, generator=generator)
    items = torch.randn(DIM, ITEMS, generator=generator)
    drawn = [torch.randint(size, (PAIRS,), generator=generator) for size in (USERS, ITEMS)]
    return users, items, Interactions.of(USERS, ITEMS, torch.stack(drawn, 1))


def plain(users: Tensor, items: Tensor, interactions: Interactions, wanted: Tensor) -> Tensor:
    """The lists as anybody would write it: one matrix, each row sorted."""
    scores = users[wanted] @ items
    theirs = interactions.pairs[torch.isin(interactions.pairs[:, 0], wanted)]
    scores[torch.searchsorted(wanted, theirs[:, 0].contiguous()), theirs[:, 1]] = -torch.inf
    return scores.argsort(dim=1, descending=True)[:, :K]


def timed(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What is made, and the seconds that it took."""
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def main() -> int:
    """Print time and memory of the whole, and the ratio on a part."""
    users, items, interactions = world()
    everybody, some = torch.arange(USERS), torch.arange(PART)

    def ours(wanted: Tensor) -> Tensor:
        return top_items(lambda part: users[part] @ items, interactions, wanted, K)

    before = psutil.Process().memory_info().rss
    lists, seconds = timed(lambda: ours(everybody))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**30  # making the pairs may have taken more
    print(
        f"{USERS:,} users, {ITEMS:,} items, {len(interactions):,} pairs left out, {torch.get_num_threads()} threads: "
        f"{seconds:.1f} s, {grown:.2f} GiB more memory at most (bounds {SECONDS:g} s, {GIB:g} GiB)"
    )
    same, part = timed(lambda: ours(some))
    sorted_lists, usual = timed(lambda: plain(users, items, interactions, some))
    print(f"{PART} of the users: {part:.2f} s, by one sorted matrix {usual:.2f} s, which is {usual / part:.1f} times as long")
    if not (torch.equal(same, lists[:PART]) and torch.equal(same, sorted_lists)):
        print("the lists differ")
        return 1
    return int(seconds > SECONDS or grown > GIB)


if __name__ == "__main__":
    sys.exit(main())
