"""Forget parts of interactions: users, items, single pairs, and what is known of items in one modality."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.errors import BadRequest
from expunge.interactions import Removal
from expunge.interactions.interactions import among
from expunge.requests.graph_request import Name, check_named_or_drawn, checked_name, draw_in_words, drawn, share_of
from expunge.requests.interaction_request import InteractionContext, InteractionRequest, checked_choice, each_once, places
from expunge.requests.request import counted

__all__ = ["ForgetFeatures", "ForgetItems", "ForgetPairs", "ForgetUsers", "InteractionContext", "InteractionRequest"]


@dataclass(frozen=True)
class ForgetUsers(InteractionRequest):
    """Users with all their pairs, those that are listed or a part drawn at random. They are not served any more.

    Reference: C. Chen, F. Sun, M. Zhang, B. Ding. "Recommendation Unlearning", WWW 2022, arXiv 2201.06820.

    Args:
        names: the users by their names, or by their numbers where no name is a number.
        fraction: the part to forget of the users who have a pair to train on, below 1, at least one; from 1 it is a number.
        seed: of the draw; the same seed draws the same users.

    >>> from expunge.interactions import Interactions
    >>> clicks = InteractionContext(Interactions.of(3, 2, [[0, 0], [1, 1], [2, 0]]), users=("ada", "bo", "cy"))
    >>> ForgetUsers(("cy",)).removal(clicks).users.tolist(), ForgetUsers(fraction=0.05).describe()
    ([2], '5 % of the users (drawn with seed 0)')
    """

    names: tuple[Name, ...] | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", checked_choice(self.names, self.fraction, self.seed, "user"))

    def removal(self, context: InteractionContext) -> Removal:
        there = context.interactions.activity > 0
        return Removal(users=_chosen(self, there, context.users, "user", "have a pair to train on"))

    def describe(self, total: int | None = None) -> str:
        return _in_words(self, "user")


@dataclass(frozen=True)
class ForgetItems(InteractionRequest):
    """Items with all their pairs and features, those that are listed or a part drawn at random. They are not offered any more.

    Args:
        names: the items by their names, or by their numbers where no name is a number.
        fraction: the part to forget of the items with a pair to train on, below 1, at least one; from 1 it is a number.
        seed: of the draw; the same seed draws the same items.

    >>> from expunge.interactions import Interactions
    >>> clicks = InteractionContext(Interactions.of(3, 2, [[0, 0], [1, 1], [2, 0]]))
    >>> ForgetItems((1,)).removal(clicks).items.tolist(), ForgetItems((1,)).describe()
    ([1], '1 item')
    """

    names: tuple[Name, ...] | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", checked_choice(self.names, self.fraction, self.seed, "item"))

    def removal(self, context: InteractionContext) -> Removal:
        there = context.interactions.popularity > 0
        return Removal(items=_chosen(self, there, context.items, "item", "have a pair to train on"))

    def describe(self, total: int | None = None) -> str:
        return _in_words(self, "item")


@dataclass(frozen=True)
class ForgetPairs(InteractionRequest):
    """Single pairs that are trained on, those that are listed or a part drawn at random. Users and items stay, also those who
    lose all their pairs.

    Args:
        pairs: user and item of each, by their names, or by their numbers where no name is a number.
        fraction: the part of all pairs to forget, below 1, at least one; from 1 it is a number of pairs.
        seed: of the draw; the same seed draws the same pairs.

    >>> from expunge.interactions import Interactions
    >>> clicks = InteractionContext(Interactions.of(2, 3, [[0, 0], [0, 2], [1, 1]]), users=("ada", "bo"))
    >>> ForgetPairs((("bo", 1), ("ada", 0))).removal(clicks).rows.tolist(), ForgetPairs(fraction=0.5).describe(3)
    ([0, 2], '50 % of the pairs (1 pair, drawn with seed 0)')
    """

    pairs: tuple[tuple[Name, Name], ...] | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_named_or_drawn(self.pairs, self.fraction, self.seed, "pair")
        if self.pairs is not None:
            object.__setattr__(self, "pairs", tuple(_checked_pair(pair) for pair in self.pairs))
            if not self.pairs:
                raise BadRequest("forget set is empty: no pair is listed")

    def removal(self, context: InteractionContext) -> Removal:
        interactions = context.interactions
        if self.fraction is not None:
            total = len(interactions)
            if (count := share_of(self.fraction, total)) > total:
                raise BadRequest(f"{counted(count, 'pair')} to forget were asked for, but only {total:,} are trained on")
            return Removal(rows=drawn(torch.arange(total, device=interactions.pairs.device), count, self.seed))
        assert self.pairs is not None
        columns = list(zip(*self.pairs, strict=True))
        users = places(columns[0], context.users, interactions.users, "user")
        items = places(columns[1], context.items, interactions.items, "item")
        keys = interactions.key(torch.tensor([users, items], device=interactions.pairs.device).T)
        order = keys.argsort(stable=True)
        if len(again := order[1:][keys[order].diff() == 0]):
            raise BadRequest(f"pair {self._named(again[0])} is listed more than once; list each pair to forget once")
        for part, held in (("validation", context.validation), ("testing", context.test)):
            if held is not None and len(found := torch.isin(keys, interactions.key(held)).nonzero()):
                raise BadRequest(
                    f"pair {self._named(found[0])} is held out for {part}, so no model was trained on it; there is nothing to "
                    "forget"
                )
        if len(absent := (~among(keys, interactions.keys)).nonzero()):
            raise BadRequest(
                f"{self._named(absent[0])} is no pair that is trained on ({len(absent):,} of {counted(len(keys), 'pair')} "
                f"asked for are none of the {len(interactions):,})"
            )
        return Removal(rows=torch.searchsorted(interactions.keys, keys.sort().values))

    def describe(self, total: int | None = None) -> str:
        if self.fraction is None:
            return counted(len(self.pairs or ()), "pair")
        return draw_in_words(self.fraction, total, "pair", "", self.seed)

    def _named(self, place: Tensor) -> str:
        return _shown((self.pairs or ())[int(place)])


@dataclass(frozen=True)
class ForgetFeatures(InteractionRequest):
    """What is known of some items in one modality, such as their pictures. Their pairs and other features stay.

    Args:
        modality: such as "image".
        names: the items by their names, or by their numbers where no name is a number.
        fraction: the part of the items that have such features and a pair to train on, below 1, at least one; from 1 it is a
            number of items.
        seed: of the draw; the same seed draws the same items.

    >>> from expunge.interactions import Interactions
    >>> clicks = InteractionContext(Interactions.of(1, 3, [[0, 0], [0, 1]], {"image": [[1.0], [2.0], [0.0]]}))
    >>> ForgetFeatures("image", (1,)).removal(clicks).features, ForgetFeatures("image", (1,)).describe()
    ({'image': tensor([1])}, 'the image features of 1 item')
    """

    modality: str
    names: tuple[Name, ...] | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.modality, str) or not self.modality:
            raise BadRequest(f"a modality is a name, such as image, not {self.modality!r}")
        object.__setattr__(self, "names", checked_choice(self.names, self.fraction, self.seed, "item"))

    def removal(self, context: InteractionContext) -> Removal:
        interactions = context.interactions
        if self.modality not in interactions.features:
            known = ", ".join(interactions.features) or "no features at all"
            raise BadRequest(f"there are no features '{self.modality}' to forget; there are {known}")
        there, chosen = interactions.features[self.modality].any(1), interactions.popularity > 0
        if self.fraction is not None:
            there = there & chosen
        has = f"have {self.modality} features" + " and a pair to train on" * (self.fraction is not None)
        items = _chosen(self, there, context.items, "item", has)
        if not chosen[items].any():
            raise BadRequest(
                f"nothing was learned from {self.describe()}: nobody chose {_them(items)}, so there is nothing to forget"
            )
        return Removal(features={self.modality: items})

    def describe(self, total: int | None = None) -> str:
        return f"the {self.modality} features of {_in_words(self, 'item')}"


def _chosen(
    request: ForgetUsers | ForgetItems | ForgetFeatures, there: Tensor, names: Sequence[str], what: str, condition: str
) -> Tensor:
    """The numbers of what a request names or draws, sorted, int64, shape (k,).

    Args:
        there: of which there is something to forget, bool, shape (U,) or (I,).
        names: of all.
        what: what is named.
        condition: what is true of those that are `there`, after "they".
    """
    if request.fraction is not None:
        pool = there.nonzero().flatten()
        if (count := share_of(request.fraction, len(pool))) > len(pool):
            raise BadRequest(f"{counted(count, what)} to forget were asked for, but only {len(pool):,} {condition}")
        return drawn(pool, count, request.seed)
    assert request.names is not None
    numbers = places(request.names, names, len(there), what)
    each_once(request.names, numbers, what)
    found = torch.tensor(numbers, device=there.device)
    if len(without := (~there[found]).nonzero()):
        raise BadRequest(
            f"{what} {request.names[int(without[0])]} does not {condition}; there is nothing of it to forget "
            f"({len(without):,} of {counted(len(found), what)} asked for do not)"
        )
    return found.sort().values


def _in_words(request: ForgetUsers | ForgetItems | ForgetFeatures, what: str) -> str:
    if request.fraction is None:
        return counted(len(request.names or ()), what)
    return draw_in_words(request.fraction, None, what, "", request.seed)


def _checked_pair(pair: Any) -> tuple[Name, ...]:
    rule = "a pair is the name or number of a user and that of an item"
    if isinstance(pair, str) or not isinstance(pair, Iterable):
        raise BadRequest(f"{rule}, not {pair!r}")
    parts = tuple(checked_name(part, rule) for part in pair)
    if len(parts) != 2:
        raise BadRequest(f"pair {_shown(parts)} has {len(parts)} parts; expected a user and an item")
    return parts


def _shown(pair: Sequence[Name]) -> str:
    return f"({', '.join(map(str, pair))})"


def _them(items: Tensor) -> str:
    return "it" if len(items) == 1 else "any of them"
