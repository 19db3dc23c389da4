"""What every request on interactions is, what it is resolved against, and how users and items are named in it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from expunge.errors import BadRequest
from expunge.interactions import Interactions, Removal
from expunge.requests.graph_request import Name, as_tuple, check_named_or_drawn, numbered, one_or_more
from expunge.requests.request import quoted


@dataclass(frozen=True, eq=False)
class InteractionContext:
    """What a request on interactions is resolved against.

    Args:
        interactions: with the pairs that are trained on.
        users: the name of each user; may be empty.
        items: the name of each item; may be empty.
        validation: pairs held out for validation, shape (n, 2); None where they are not known.
        test: pairs held out for testing.
    """

    interactions: Interactions
    users: Sequence[str] = ()
    items: Sequence[str] = ()
    validation: Tensor | None = None
    test: Tensor | None = None


class InteractionRequest(ABC):
    """What somebody wants to be forgotten of interactions."""

    @abstractmethod
    def removal(self, context: InteractionContext) -> Removal:
        """What goes.

        Raises:
            BadRequest: if the request does not fit the interactions.
        """

    @abstractmethod
    def describe(self, total: int | None = None) -> str:
        """What is to be forgotten, in words; `total` is how many pairs are trained on, where known."""


def checked_choice(names: object, fraction: float | None, seed: int, what: str) -> tuple[Name, ...] | None:
    """The names of some things, each checked, or None where a part of the things is to be drawn; else a BadRequest."""
    check_named_or_drawn(names, fraction, seed, what)
    if fraction is not None:
        return None
    return as_tuple(one_or_more(tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else names, what))


def places(wanted: Sequence[Name], names: Sequence[str], size: int, what: str) -> list[int]:
    """The number of each of some users or items.

    Ids are often numbers, and seldom those of the rows: where any name reads as a number, all that is asked for is a name, also
    what is given as a number, so that nobody else's data go. Where no name does, what reads as a number is the number of a row.

    Args:
        wanted: names or numbers.
        names: all names in their order; may be empty.
        size: how many there are.
        what: what is named, such as "user".

    Raises:
        BadRequest: if one is not known.

    >>> places([7, "12"], ("12", "7"), 2, "user"), places([1, "ada"], ("ada", "bo"), 2, "user"), places([1], (), 2, "user")
    ([1, 0], [1, 0], [1])
    """
    if not any(name.isdecimal() for name in names):
        return numbered(wanted, names, size, what)
    place = {name: number for number, name in enumerate(names)}
    if absent := [name for name in wanted if str(name) not in place]:
        among = quoted(list(names), 20)
        raise BadRequest(
            f"{what} '{absent[0]}' is not known ({len(absent):,} of {len(wanted):,} asked for are not); expected one of {among}"
        )
    return [place[str(name)] for name in wanted]


def each_once(wanted: Sequence[Name], numbers: Sequence[int], what: str) -> None:
    """See that nothing is named twice; else a BadRequest."""
    seen: set[int] = set()
    for name, number in zip(wanted, numbers, strict=True):
        if number in seen:
            raise BadRequest(f"{what} {name} is listed more than once; list each {what} to forget once")
        seen.add(number)
