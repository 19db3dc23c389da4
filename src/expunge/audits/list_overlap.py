"""Whether users are recommended the same as by the retrained model, and how popular it is.

    overlap = mean_u |L_u & L_u'| / |L_u | L_u'|,      L_u' the retrained model's list
    drift   = mean_u mean_{i in L_u} P( pop(j) < pop(i) ) + P( pop(j) = pop(i) ) / 2,      j any item that is offered

Two models that were retrained from different seeds have far less than all in common: read the overlap beside the second
retrained model's (the noise floor). Popularity is how many pairs of an item stay. A model that lost what it knew of users
recommends what everybody chose, which recall alone hardly shows.

Reference: P. Jaccard. "The Distribution of the Flora in the Alpine Zone", New Phytologist 11 (1912); popularity of what is
recommended as in D. Jannach, L. Lerche, I. Kamehkhosh, M. Jugovac. "What recommenders recommend: an analysis of recommendation
biases and possible countermeasures", User Modeling and User-Adapted Interaction 25 (2015).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.ranking import asked, check_length, lists_of
from expunge.interactions import Interactions
from expunge.interactions.ranking import NOTHING
from expunge.tasks import RecommendationTask


@dataclass(frozen=True)
class ListOverlap(Audit):
    """Likeness of the lists to the retrained model's, and popularity of what is in them, over all users who stay.

    Args:
        k: how long the lists are.
    """

    k: int = 20

    takes = (RecommendationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "list_overlap": "share of the items in either list that are in both, the model's and the retrained model's (Jaccard); "
        "ideal: 1, of which chance leaves what the second retrained model has",
        "popularity_drift": "mean popularity of what is recommended, between the least (0) and the most chosen item (1); "
        "ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        check_length(self.k)

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        gold, found = references.gold, dict[str, Figure]()
        users = staying(asked(subject).left)
        if gold is not None and len(users):
            ours, theirs = (lists_of(each, self.k)[users] for each in (subject, gold))
            found["list_overlap"] = Figure(overlap(ours, theirs).mean().item(), 1.0)
        if (value := self.popularity(subject)) is not None:
            found["popularity_drift"] = Figure(value, None if gold is None else self.popularity(gold))
        return found

    def popularity(self, subject: Subject) -> float | None:
        """Mean percentile of what is recommended; None where nothing is."""
        left = asked(subject).left
        lists = lists_of(subject, self.k)[staying(left)]
        listed = lists[lists != NOTHING]
        return percentiles(left.popularity, left.offered)[listed].mean().item() if len(listed) else None


def staying(left: Interactions) -> Tensor:
    """Users who are still served and have a pair that stays, sorted, shape (n,)."""
    return (left.served & (left.activity > 0)).nonzero().flatten()


def shared(ours: Tensor, theirs: Tensor) -> Tensor:
    """How many items two lists of each user have in common, shape (n,); both (n, k), no item twice in a list.

    >>> shared(torch.tensor([[4, 1, NOTHING]]), torch.tensor([[2, 4, NOTHING]])).tolist()
    [1]
    """
    together = torch.cat([ours, theirs], 1).sort(1).values
    return ((together[:, 1:] == together[:, :-1]) & (together[:, 1:] != NOTHING)).sum(1)


def overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """Jaccard index of two lists of each user, float64, shape (n,); 1 where both are empty."""
    both = shared(ours, theirs).double()
    either = (ours != NOTHING).sum(1) + (theirs != NOTHING).sum(1) - both
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


def percentiles(popularity: Tensor, offered: Tensor) -> Tensor:
    """The share of the offered items that are chosen less often than each item, ties counted half: float64, shape (I,).

    >>> percentiles(torch.tensor([0.0, 5.0, 5.0, 9.0]), torch.tensor([True, True, True, True])).tolist()
    [0.125, 0.5, 0.5, 0.875]
    """
    ordered = popularity[offered].sort().values
    below = torch.searchsorted(ordered, popularity) + torch.searchsorted(ordered, popularity, right=True)
    return below.double() / (2 * max(1, len(ordered)))
