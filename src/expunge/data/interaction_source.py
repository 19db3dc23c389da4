"""What interactions are read into, and what is done alike to all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from expunge.data.interaction_splits import InteractionSplit, split_interactions
from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.requests.request import counted


@dataclass(frozen=True, eq=False)
class InteractionSource:
    """Who chose what, and what users and items are called.

    Args:
        name: what reports call it.
        interactions: all pairs; of a published split, those to train on.
        users: the name of each user in the order of their numbers; empty where they are called 0 to U - 1.
        items: the name of each item likewise.
        validation: where the owners publish a split, pairs that methods may look at, int64, shape (n, 2); else None.
        test: those that only audits look at.
        note: sentences for the user, such as how many rows were merged; may be empty.

    Raises:
        BadSetting: if there are not as many names as users or items, or the parts of a published split do not fit.

    >>> source = InteractionSource("clicks", Interactions.of(2, 4, [[0, 0], [0, 1], [0, 2], [0, 3], [1, 1]]))
    >>> [len(part) for part in (source.split().train, source.split().validation, source.split().test)]
    [3, 1, 1]
    """

    name: str
    interactions: Interactions
    users: tuple[str, ...] = field(default=(), repr=False)
    items: tuple[str, ...] = field(default=(), repr=False)
    validation: Tensor | None = field(default=None, repr=False)
    test: Tensor | None = field(default=None, repr=False)
    note: str = ""

    def __post_init__(self) -> None:
        for what, names, size in (
            ("user", self.users, self.interactions.users),
            ("item", self.items, self.interactions.items),
        ):
            if names and len(names) != size:
                raise BadSetting(
                    f"{self.name} has {size:,} {what}s, but {len(names):,} names of {what}s; expected one for each"
                )
            if len(set(names)) < len(names):
                raise BadSetting(f"{self.name}: two {what}s have one name; expected a name of its own for each")
        if (self.validation is None) != (self.test is None):
            raise BadSetting(
                f"{self.name}: a published split has pairs to validate on and pairs to test on; one of them is missing"
            )
        if self.validation is not None and self.test is not None:
            self._check_held_out("validation", self.validation, self.interactions, "train")
            self._check_held_out("testing", self.test, self.interactions, "train")
            of_test = Interactions.of(self.interactions.users, self.interactions.items, self.test)
            self._check_held_out("validation", self.validation, of_test, "test")

    def _check_held_out(self, part: str, pairs: Tensor, other: Interactions, use: str) -> None:
        if pairs.dtype != torch.long or pairs.dim() != 2 or pairs.shape[1] != 2 or not len(pairs):
            what = f"{pairs.dtype} of shape {tuple(pairs.shape)}"
            raise BadSetting(f"{self.name}: the pairs for {part} are {what}; expected int64 of shape (n, 2)")
        distinct = len(Interactions.of(other.users, other.items, pairs))  # says which is out of range
        if repeated := len(pairs) - distinct:
            raise BadSetting(f"{self.name}: {counted(repeated, 'repeated pair')} for {part}; expected each once")
        if shared := int(other.has(pairs).sum()):
            raise BadSetting(
                f"{self.name}: {counted(shared, 'pair')} both for {part} and to {use} on; expected no pair in two parts"
            )

    def split(self, seed: int = 0, batch_size: int = 2048) -> InteractionSplit:
        """The published split, or where there is none a tenth of each user's pairs for validation and a tenth for testing.

        Args:
            seed: of the draw; a published split is always the same.
            batch_size: pairs in a batch of training.
        """
        if self.validation is None or self.test is None:
            return split_interactions(self.interactions, seed=seed, batch_size=batch_size)
        return InteractionSplit(self.interactions, self.validation, self.test, batch_size)


def with_at_least(source: InteractionSource, count: int) -> InteractionSource:
    """Only users and items with at least so many pairs, all parts of a published split counted together.

    Who has fewer is left out with all their pairs, until all that are left have enough (the k-core). What is left is numbered
    anew in the same order; with 1, everybody stays, also who has no pair at all.

    Raises:
        BadSetting: if `count` is no whole number from 1, or nothing is left.

    >>> star = InteractionSource("star", Interactions.of(3, 2, [[0, 0], [1, 0], [0, 1], [1, 1], [2, 1]]))
    >>> left = with_at_least(star, 2)
    >>> left.interactions.pairs.tolist(), left.note
    ([[0, 0], [0, 1], [1, 0], [1, 1]], '1 user and 0 items with fewer than 2 pairs were left out, with 1 pair.')
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise BadSetting(f"minimum_count must be a whole number from 1, not {count!r}")
    if count == 1:
        return source
    whole = source.interactions
    parts = [part for part in (whole.pairs, source.validation, source.test) if part is not None]
    stays = _core(torch.cat(parts), count)
    pairs = torch.cat(parts)[stays]
    if not len(pairs):
        raise BadSetting(f"{source.name}: nothing is left where users and items have at least {count:,} pairs; ask for fewer")
    users, items = (pairs[:, column].unique() for column in (0, 1))
    gone = (whole.users - len(users), whole.items - len(items))
    if not any(gone):
        return source
    places = [torch.zeros(size, dtype=torch.long) for size in (whole.users, whole.items)]
    for place, kept in zip(places, (users, items), strict=True):
        place[kept] = torch.arange(len(kept))
    made = [
        torch.stack([place[column] for place, column in zip(places, part[stay].T, strict=True)], 1)
        for part, stay in zip(parts, stays.split([len(part) for part in parts]), strict=True)
    ]
    note = (
        f"{counted(gone[0], 'user')} and {counted(gone[1], 'item')} with fewer than {count:,} pairs were left out, "
        f"with {counted(len(stays) - len(pairs), 'pair')}."
    )
    return replace(
        source,
        interactions=Interactions.of(len(users), len(items), made[0], {name: x[items] for name, x in whole.features.items()}),
        users=unless_numbers([source.users[user] if source.users else str(user) for user in users.tolist()]),
        items=unless_numbers([source.items[item] if source.items else str(item) for item in items.tolist()]),
        validation=made[1] if len(made) > 1 else None,
        test=made[2] if len(made) > 1 else None,
        note=f"{source.note} {note}".strip(),
    )


def _core(pairs: Tensor, count: int) -> Tensor:
    """The pairs that are left when whatever has fewer than `count` is taken away again and again: bool, shape (n,)."""
    stays = torch.ones(len(pairs), dtype=torch.bool)
    while len(pairs):
        enough = stays.clone()
        for column in pairs.T:
            enough &= torch.bincount(column[stays], minlength=int(column.max()) + 1)[column] >= count
        if torch.equal(enough, stays):
            break
        stays = enough
    return stays


def unknown_features(interactions: Interactions) -> str:
    """A sentence for each modality on the items of which nothing is known in it; empty where there are none.

    >>> unknown_features(Interactions.of(1, 2, [[0, 0]], {"image": [[1.0], [float("nan")]]}))
    '1 of 2 items has no image features.'
    """
    found = []
    for name, values in interactions.features.items():
        if count := int((~values.any(1)).sum()):
            found.append(f"{count:,} of {interactions.items:,} items {'has' if count == 1 else 'have'} no {name} features.")
    return " ".join(found)


def unless_numbers(names: Sequence[str]) -> tuple[str, ...]:
    """The names, or none where they are just 0 to n - 1."""
    return () if all(name == str(number) for number, name in enumerate(names)) else tuple(names)
