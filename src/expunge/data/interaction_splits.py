"""Splits of interactions: what is trained on, what must go, what is held out, each with the interactions on which it is read.

Everything is read on what is left after the request, as the model is used afterwards. Held-out pairs are in no interactions:
they are neither in a network's graph nor drawn as negatives where models are judged.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.interactions import Drawn, Interactions, PairBatches, Removal
from expunge.split import Split


@dataclass(frozen=True, eq=False)
class InteractionSplit:
    """Pairs to train on, to validate on and to test on.

    Args:
        train: with the training pairs only.
        validation: held-out pairs that methods may look at, shape (n, 2).
        test: held-out pairs that only audits look at.
        batch_size: pairs in a batch of training.
        forget_batch_size: pairs in a batch of what must go, of which there are few.
        negatives: for each pair, in training.
        drawn: how they are drawn.
    """

    train: Interactions
    validation: Tensor
    test: Tensor
    batch_size: int = 2048
    forget_batch_size: int = 256
    negatives: int = 1
    drawn: Drawn = "uniform"

    def training(self, interactions: Interactions | None = None) -> PairBatches:
        """The stream that a model is trained on: all pairs of some interactions, those of training when None."""
        read = self.train if interactions is None else interactions
        return PairBatches(read, read.pairs, None, self.known, self.batch_size, self.negatives, self.drawn)

    @cached_property
    def known(self) -> Tensor:
        """The keys of all pairs of all parts, sorted: what nobody calls a negative who judges a model."""
        return self.train.key(torch.cat([self.train.pairs, self.validation, self.test])).unique()

    def without(self, removal: Removal) -> Split:
        """The split for a request.

        Where users or items go, held-out pairs of theirs are what unseen pairs like those to forget are; where single pairs
        go, all held-out pairs of the users who lose one.

        Raises:
            BadRequest: if nothing goes, or nothing would stay.
        """
        left = removal.left(self.train)
        gone = self.train.pairs[removal.concerned(self.train)]
        before = self.train.keys  # nothing that a user has chosen before is held against that user

        def part(pairs: Tensor) -> PairBatches:
            return PairBatches(left, pairs, before, self.known, self.forget_batch_size, self.negatives, self.drawn)

        of_kind = [self._concerns(removal, pairs) for pairs in (self.test, self.validation)]
        stays = ~(torch.isin(self.test[:, 0], removal.users) | torch.isin(self.test[:, 1], removal.items))
        return Split(
            forget=part(gone),
            retain=self.training(left),
            holdout=part(self.test[stays]),
            holdout_forget=part(self.test[of_kind[0]]),
            validation_forget=part(self.validation[of_kind[1]]),
            kind=bool(len(removal.users) or len(removal.items)),
        )

    def _concerns(self, removal: Removal, pairs: Tensor) -> Tensor:
        """Which of some held-out pairs are like those that go: bool, shape (n,)."""
        items = torch.cat([removal.items, *removal.features.values()])
        return (
            torch.isin(pairs[:, 0], removal.users)
            | torch.isin(pairs[:, 1], items)
            | torch.isin(pairs[:, 0], self.train.pairs[removal.rows, 0])
        )


def split_interactions(
    interactions: Interactions, validation: float = 0.1, test: float = 0.1, seed: int = 0, batch_size: int = 2048
) -> InteractionSplit:
    """Hold out a share of each user's pairs for validation and another for testing, drawn at random.

    Of a user with n pairs, n times the share is rounded down; but where there are three pairs or more at least one is held out
    for each part, and at least one is left to train on. Who has fewer keeps them for training.

    Raises:
        BadSetting: if a share is no share, or leaves one of the three parts empty.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise BadSetting(f"validation and test must be shares that leave something to train on, not {validation} and {test}")
    draw = torch.rand(len(interactions), generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    order = (draw + interactions.pairs[:, 0]).argsort()  # by user, and within each in an order of chance
    pairs = interactions.pairs[order]
    counts = interactions.activity.long()
    place = torch.arange(len(pairs)) - interactions.starts[pairs[:, 0]]
    enough = (counts >= 3).long()
    of_validation, of_test = ((counts * share).long().clamp_min(1) for share in (validation, test))
    of_validation = torch.minimum(of_validation, counts - 2) * enough
    of_test = torch.minimum(of_test, counts - of_validation - 1) * enough
    first, second = of_validation[pairs[:, 0]], (of_validation + of_test)[pairs[:, 0]]
    parts = [pairs[place < first], pairs[(place >= first) & (place < second)], pairs[place >= second]]
    if not all(len(part) for part in parts):
        raise BadSetting(f"{interactions} has too few pairs to hold out {validation:g} and {test:g} of each user's")
    train = replace(Interactions.of(interactions.users, interactions.items, parts[2]), features=interactions.features)
    return InteractionSplit(train, parts[0], parts[1], batch_size)
