"""Influence on neighbours: what forgotten data recommended to others, is it still recommended?

    E(R) = R R^T R,      E_f = E(R) - E(R_r),      x[v, i] = E_f[v, i] - E[v, i] sum_j E_f[v, j] / sum_j E[v, j]
    P_v = the k items i with the largest x[v, i], of those above 0
    neighbour_recall = mean_v |L_v & P_v| / |P_v|

R is who chose what before the request (0 or 1), R_r what stays. E[v, i] counts the ways v - j - u - i: v chose j as u did, and
u chose i. E_f counts those of them with at least one forgotten pair, whether of a user, an item or the pair itself; x is by how
many they exceed the share that forgotten data have in all ways of v, items j that are not offered any more left out. So P_v are
the items that forgotten data pushed most at v, more than they pushed all others. Items that v chose before the request are not
among them. It is asked of all who stay and chose an item of a forgotten pair, of many a sample; L_v is their list. A retrained
model has some of P_v in its lists as well, since other data speak for the same items: its value is the ideal.

Reference: none; the figure is this library's own. Counting such ways is the simplest recommendation from neighbours, as in
C. Cooper, S. H. Lee, T. Radzik, Y. Siantos. "Random Walks in Recommender Systems: Exact Computation and Simulations", WWW 2014
Companion (P3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.list_overlap import shared, staying
from expunge.audits.ranking import asked, check_length, lists_of
from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.interactions.ranking import NOTHING, top_items
from expunge.tasks import RecommendationTask

_ROUNDING = 1e-9  # of a difference of counts
_BLOCK = 2**22  # counts at a time, 32 MiB


@dataclass(frozen=True)
class NeighbourInfluence(Audit):
    """Recall of what forgotten data pushed at users who stay.

    Args:
        k: how long the lists are, and how many pushed items are looked for at most.
        users: most users to ask; of more a sample is drawn, the same for every model.
    """

    k: int = 20
    users: int = 2000

    takes = (RecommendationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "neighbour_recall": "share of the items that forgotten data pushed most at users who stay which are still recommended; "
        "ideal: the retrained model's"
    }

    def __post_init__(self) -> None:
        check_length(self.k)
        if self.users < 1:
            raise BadSetting(f"users must be at least 1, not {self.users}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        value = self.recall(subject)
        if value is None:
            return {}
        return {"neighbour_recall": Figure(value, None if references.gold is None else self.recall(references.gold))}

    def recall(self, subject: Subject) -> float | None:
        """The mean over the users that anything was pushed at; None where there are none."""
        left = asked(subject).left
        users, items = left.kept(f"pushed {self.k}, {self.users}", lambda: self._pushed(left))
        if not len(users):
            return None
        both = shared(lists_of(subject, self.k)[users], items).double()
        return (both / (items != NOTHING).sum(1)).mean().item()

    def _pushed(self, left: Interactions) -> tuple[Tensor, Tensor]:
        """Users, shape (n,), and the items that forgotten data pushed at each, shape (n, k)."""
        users = neighbours(left)
        if len(users) > self.users:
            drawn = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))[: self.users]
            users = users[drawn.sort().values]
        items = pushed(left, users, self.k)
        some = (items != NOTHING).any(1)
        return users[some], items[some]


def neighbours(left: Interactions) -> Tensor:
    """Users who stay and chose, before the request, an item of a pair that went: sorted, shape (n,)."""
    whole = left.whole
    touched = torch.zeros(whole.items, dtype=torch.bool)
    touched[whole.pairs[~left.has(whole.pairs), 1]] = True
    concerned = torch.zeros(whole.users, dtype=torch.bool)
    concerned[whole.pairs[touched[whole.pairs[:, 1]], 0]] = True
    stays = staying(left)
    return stays[concerned[stays]]


def pushed(left: Interactions, users: Tensor, k: int) -> Tensor:
    """The items that forgotten data pushed most at each of some users, most first: int64, shape (n, k); see the module."""
    whole = left.whole
    at_once = max(1, _BLOCK // max(whole.users, whole.items))
    before, after = _matrix(whole), _matrix(left)
    closed = (~left.offered).numpy()

    def push(part: Tensor) -> Tensor:
        every = _ways(before, part)
        lost = every - _ways(after, part)
        every[:, closed] = lost[:, closed] = 0
        more = lost - every * lost.sum(1, keepdims=True) / np.maximum(every.sum(1, keepdims=True), 1)
        return torch.from_numpy(np.where(more > _ROUNDING * every, more, -np.inf))

    if not len(users):
        return torch.empty(0, k, dtype=torch.long)
    return top_items(push, whole, users, k, offered=False, block=at_once * whole.items)


def _matrix(interactions: Interactions) -> scipy.sparse.csr_array:
    """R, shape (U, I)."""
    user, item = interactions.pairs.T.numpy()
    shape = (interactions.users, interactions.items)
    return scipy.sparse.csr_array((np.ones(len(user)), (user, item)), shape=shape)


def _ways(chose: scipy.sparse.csr_array, users: Tensor) -> np.ndarray:
    """Some rows of R R^T R, shape (n, I)."""
    alike = (chose[users.numpy()] @ chose.T).toarray()  # how many items each user shares with these
    return np.ascontiguousarray((chose.T.tocsr() @ alike.T).T)
