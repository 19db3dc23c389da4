"""Where each record is trained on: in one slice of one shard, by its row number alone.

Rows are taken in blocks of as many as there are slices in all, and each block is dealt out in an order of its own, one row to
each slice. So all slices are of one size, to within a row for each gap in the numbers, and records that are sorted are spread
evenly; and where a row goes depends on its number and the seed, not on which other rows there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.split import Batches, stream_digest


@dataclass(frozen=True)
class Work:
    """How much was trained, beside what training all shards from the beginning takes.

    Args:
        steps: batches.
        examples: examples in them.
        all_steps: batches of a whole training.
        all_examples: examples in those.
    """

    steps: int
    examples: int
    all_steps: int
    all_examples: int

    @property
    def share(self) -> float:
        """Examples that were trained on, as a share of those of a whole training."""
        return self.examples / self.all_examples


@dataclass(frozen=True, eq=False)
class Shards:
    """The rows of a stream by shard and slice.

    Args:
        data: all rows, in the order in which a stream that does not shuffle has them.
        shards: S, how many.
        slices: R, in each shard.
        seed: of the order in which each block is dealt out.
    """

    data: Batches
    shards: int
    slices: int
    seed: int

    @cached_property
    def homes(self) -> tuple[Tensor, Tensor]:
        """The shard and the slice of each row of `data`."""
        return homes(self.data.indices, self.shards, self.slices, self.seed)

    def up_to(self, shard: int, slice_: int) -> Batches:
        """What a shard is trained on at a slice (from 0): that slice and those before it."""
        shards, slices = self.homes
        return some_rows(self.data, (shards == shard) & (slices <= slice_))

    def holds(self, shard: int) -> bool:
        """Whether a shard has any row."""
        return bool((self.homes[0] == shard).any())

    def touched(self, rows: Tensor) -> dict[int, int]:
        """The shards that hold any of some rows, each with the first slice that does."""
        found: dict[int, int] = {}
        shards, slices = homes(rows, self.shards, self.slices, self.seed)
        for shard, slice_ in zip(shards.tolist(), slices.tolist(), strict=True):
            found[shard] = min(slice_, found.get(shard, slice_))
        return dict(sorted(found.items()))

    def work(self, first: Mapping[int, int], epochs: int) -> Work:
        """What training some shards takes, each from a slice on, with so many epochs at each slice."""
        counts = {}
        for name, shards in (("some", first), ("all", dict.fromkeys(range(self.shards), 0))):
            streams = [self.up_to(shard, each) for shard, start in shards.items() for each in range(start, self.slices)]
            counts[name] = (epochs * sum(map(len, streams)), epochs * sum(stream.examples for stream in streams))
        return Work(*counts["some"], *counts["all"])


def homes(rows: Tensor, shards: int, slices: int, seed: int) -> tuple[Tensor, Tensor]:
    """The shard and the slice of each of some rows, from 0: two tensors of int64, shape (n,).

    >>> [each.tolist() for each in homes(torch.arange(4), 2, 2, seed=0)]
    [[1, 0, 1, 0], [1, 1, 0, 0]]
    >>> [each.tolist() for each in homes(torch.tensor([3, 1]), 2, 2, seed=0)]
    [[0, 0], [0, 1]]
    """
    cells = shards * slices
    blocks = int(rows.max()) // cells + 1 if len(rows) else 0
    drawn = np.random.PCG64(seed).random_raw(blocks * cells).reshape(blocks, cells)  # a longer draw begins like a shorter one
    cell = torch.from_numpy(drawn.argsort(1, kind="stable").reshape(-1))[rows]
    return cell % shards, cell // shards


def some_rows(data: Batches, which: Tensor) -> Batches:
    """The part of a stream that a mask over its rows picks."""
    cut = Batches(data.dataset, data.batch_size, data.indices[which].tolist(), data.shuffle)
    cut.sizes = data.sizes
    return cut


def rows_digest(data: Batches) -> str:
    """A digest of the rows of a stream and, where they are tensors, of their values; rows that are not in it are not read."""
    if not isinstance(data.dataset, TensorDataset):
        return stream_digest(data)
    values = TensorDataset(*(tensor[data.indices] for tensor in data.dataset.tensors))
    sizes = None if data.sizes is None else data.sizes[data.indices].tolist()
    return f"{stream_digest(Batches(values, data.batch_size, None, data.shuffle, sizes))} {stream_digest(data.indices)}"
