"""What must go of some interactions: users, items, single pairs, or what is known of items in one modality."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from expunge.errors import BadRequest
from expunge.interactions.interactions import Interactions


def _nothing() -> Tensor:
    return torch.empty(0, dtype=torch.long)


@dataclass(frozen=True, eq=False)
class Removal:
    """One request, resolved. Several kinds of things may go at once.

    Args:
        users: who is not served any more, with all their pairs: numbers, sorted, each once.
        items: what is not offered any more, with all its pairs and features.
        rows: single pairs, as rows of the interactions' `pairs`.
        features: for each modality, the items of which nothing may be known in it any more; their pairs stay.
    """

    users: Tensor = field(default_factory=_nothing)
    items: Tensor = field(default_factory=_nothing)
    rows: Tensor = field(default_factory=_nothing)
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def pairs(self, interactions: Interactions) -> Tensor:
        """The rows of `pairs` that go: bool, shape (n,)."""
        found = torch.isin(interactions.pairs[:, 0], self.users) | torch.isin(interactions.pairs[:, 1], self.items)
        found[self.rows] = True
        return found

    def concerned(self, interactions: Interactions) -> Tensor:
        """The rows of `pairs` that the request is about: those that go, and those of items that lose features: bool, (n,)."""
        found = self.pairs(interactions)
        for items in self.features.values():
            found |= torch.isin(interactions.pairs[:, 1], items)
        return found

    def left(self, interactions: Interactions) -> Interactions:
        """What stays; it remembers `interactions` as what was before.

        Raises:
            BadRequest: if nothing goes, or no pair would stay.
        """
        gone = self.pairs(interactions)
        if not self.concerned(interactions).any() and not len(self.users) and not len(self.items):
            raise BadRequest("the request cannot be served: nothing is named that is there")
        if gone.all():
            raise BadRequest(f"the request cannot be served: none of the {len(gone):,} pairs would stay")
        left = interactions
        if len(self.rows):
            left = left.without(self.rows)
        if len(self.users):
            left = left.without_users(self.users)
        if len(self.items):
            left = left.without_items(self.items)
        for modality, items in self.features.items():
            left = left.without_features(modality, items)
        return left
