"""Streams of pairs of a user and an item, each with items that the user did not choose."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions.interactions import Interactions
from expunge.interactions.negatives import Drawn, negatives_of

AUDITED = 20  # negatives beside each pair where it is audited, the same for every model


class PairBatch(NamedTuple):
    """Pairs, items beside them that the users did not choose, and the interactions that a model reads.

    Shapes: users (n,), items (n,), negatives (n, k), all int64.
    """

    users: Tensor
    items: Tensor
    negatives: Tensor
    interactions: Interactions

    def on(self, interactions: Interactions) -> "PairBatch":
        """The same pairs, read on other interactions of the same users and items."""
        return self._replace(interactions=interactions)

    def beside(self, other: "PairBatch") -> "PairBatch":
        """Both batches as one, this one first.

        Raises:
            BadSetting: if they are read on different interactions, or have not as many negatives for each pair.
        """
        if other.interactions is not self.interactions or other.negatives.shape[1] != self.negatives.shape[1]:
            raise BadSetting("two batches of pairs are joined only on the same interactions, with as many negatives each")
        users, items, negatives = (torch.cat(parts) for parts in zip(self[:3], other[:3], strict=True))
        return PairBatch(users, items, negatives, self.interactions)


@dataclass(frozen=True, eq=False)
class PairBatches:
    """A stream of pairs.

    Iterated plainly it gives all pairs in one batch, with negatives that are the same each time: that is how they are audited.
    `epoch`, which training asks for, draws fresh ones and shuffles.

    Args:
        interactions: what a model reads.
        pairs: shape (n, 2).
        avoid: sorted keys of the pairs that are no negatives in training; those of `interactions` when None.
        known: the same for audits, which leave out held-out pairs as well; as in training when None.
        batch_size: pairs in a batch of training.
        negatives: for each pair, in training.
        drawn: how they are drawn, "uniform" or by "popularity".
        judged_on: whose items the negatives of audits are; `interactions` when None. It stays when the same pairs are read on
            others, so that all models are asked the same.

    >>> clicks = Interactions.of(2, 3, [[0, 0], [1, 1]])
    >>> [batch.negatives.tolist() for batch in PairBatches(clicks, clicks.pairs[:1]).epoch(torch.Generator())]
    [[[1]]]
    """

    interactions: Interactions
    pairs: Tensor
    avoid: Tensor | None = None
    known: Tensor | None = None
    batch_size: int = 2048
    negatives: int = 1
    drawn: Drawn = "uniform"
    judged_on: Interactions | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "negatives"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.drawn not in ("uniform", "popularity"):
            raise BadSetting(f"negatives are drawn 'uniform' or by 'popularity', not {self.drawn!r}")

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    @property
    def examples(self) -> int:
        """Pairs in one pass."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[PairBatch]:
        return iter(self.fixed(self.avoid if self.known is None else self.known))

    def fixed(self, avoid: Tensor | None = None) -> list[PairBatch]:
        """All pairs in one batch, with negatives that are the same each time and not among those to `avoid`."""
        if not len(self.pairs):
            return []
        source = self.judged_on or self.interactions
        users, items = self.pairs.T.contiguous()
        known, generator = source.keys if avoid is None else avoid, torch.Generator().manual_seed(0)
        beside = negatives_of(source, users, AUDITED, generator, avoid=known)
        return [PairBatch(users, items, beside, self.interactions)]

    def epoch(self, generator: torch.Generator) -> Iterator[PairBatch]:
        """One pass for training; every draw comes from `generator`."""
        order = torch.randperm(len(self.pairs), generator=generator).to(self.pairs.device)
        users, items = (column[order] for column in self.pairs.T)
        beside = negatives_of(self.interactions, users, self.negatives, generator, self.drawn, self.avoid)
        for place in range(0, len(order), self.batch_size):
            part = slice(place, place + self.batch_size)
            yield PairBatch(users[part], items[part], beside[part], self.interactions)

    def on(self, interactions: Interactions) -> "PairBatches":
        """The same pairs on other interactions."""
        judged_on = self.interactions if self.judged_on is None else self.judged_on
        return replace(self, interactions=interactions, judged_on=judged_on)

    def with_batch_size(self, batch_size: int) -> "PairBatches":
        """The same pairs in batches of another size."""
        return replace(self, batch_size=batch_size)
