"""What every request on a graph is, what it is resolved against, and how names and draws are read."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from expunge.errors import BadRequest
from expunge.graphs import Graph
from expunge.requests.request import counted, integer, quoted

Name = int | str


@dataclass(frozen=True, eq=False)
class GraphContext:
    """What a request on a graph is resolved against.

    Args:
        graph: the training graph.
        test: edges held out for testing, shape (n, 2 or 3); None where no edges are held out.
        validation: edges held out for validation.
        train_nodes: the nodes that a model is trained to classify, int64, shape (n,); None where it predicts links.
        classes: the name of each class of the labels; may be empty.
        relations: the name of each relation; may be empty.
        nodes: the name of each node; may be empty.
    """

    graph: Graph
    test: Tensor | None = None
    validation: Tensor | None = None
    train_nodes: Tensor | None = None
    classes: Sequence[str] = ()
    relations: Sequence[str] = ()
    nodes: Sequence[str] = ()


class GraphRequest(ABC):
    """What somebody wants to be forgotten of a graph.

    Attributes:
        kind: what is asked for, in a word.
    """

    kind: ClassVar[str]

    @abstractmethod
    def edges(self, context: GraphContext) -> Tensor:
        """The edges of the training graph that go, as rows of its `edges`, sorted: int64, shape (k,), k at least 1.

        Raises:
            BadRequest: if the request does not fit the graph.
        """

    def nodes(self, context: GraphContext) -> Tensor:
        """The nodes that go, where the request is one for nodes: node numbers, sorted, int64, shape (k,), k at least 1.

        Raises:
            BadRequest: if it asks for edges, or does not fit the graph.
        """
        raise BadRequest(f"{self.describe()}: this asks for edges, not for nodes; ask for nodes or for a class of them")

    def kind_of(self, context: GraphContext) -> Callable[[Tensor], Tensor] | None:
        """What tells, of edges (n, 2 or 3), which are of the kind that goes: bool, (n,). None where single edges go."""
        return None

    @abstractmethod
    def describe(self, total: int | None = None) -> str:
        """What is to be forgotten, in words; `total` is how many edges (or nodes) there are to choose from, where known."""


def labels_of(context: GraphContext) -> Tensor:
    """The class of each node, shape (N,).

    Raises:
        BadRequest: if the graph has no labels.
    """
    if context.graph.labels is None:
        raise BadRequest("a class cannot be forgotten here: the nodes of this graph have no labels")
    return context.graph.labels


def class_numbers(names: Sequence[Name], context: GraphContext) -> list[int]:
    """The number of each class, in the order in which they were named.

    Raises:
        BadRequest: if one is not known, or no node is of it.
    """
    labels = labels_of(context)
    size = max(len(context.classes), int(labels.max()) + 1 if len(labels) else 0)
    numbers = numbered(names, context.classes, size, "class")
    for name, number in zip(names, numbers, strict=True):
        if not (labels == number).any():
            raise BadRequest(f"forget set is empty: class {name} does not occur in {len(labels):,} labels")
    return numbers


def numbered(wanted: Sequence[Name], names: Sequence[str], size: int, what: str) -> list[int]:
    """The number of each of some names; what is a number already, or a text that reads as one and is no name, stays it.

    Args:
        wanted: names or numbers.
        names: all names in their order; may be empty.
        size: how many there are of what is named.
        what: what is named, such as "node".

    Raises:
        BadRequest: if one is not known, or a number is not below `size`.
    """
    place = {name: number for number, name in enumerate(names)} if any(isinstance(name, str) for name in wanted) else {}
    found = []
    for name in wanted:
        number = place.get(name) if isinstance(name, str) else name
        if number is None:
            if not str(name).strip().isdecimal():
                among = f"one of {quoted(list(names), 20)}" if names else f"a number from 0 to {size - 1:,}"
                raise BadRequest(f"{what} '{name}' is not known; expected {among}")
            number = int(name)
        if not 0 <= number < size:
            raise BadRequest(f"{what} {number:,} is not there: there are {size:,}, from 0 to {size - 1:,}")
        found.append(number)
    return found


def checked_name(value: object, rule: str) -> Name:
    """`value`, where it is a text or a whole number; else a BadRequest that begins with `rule`."""
    return value if isinstance(value, str) else integer(value, rule)


def one_or_more(value: object, what: str) -> Name | tuple[Name, ...]:
    """A name or a tuple of names, each checked; else a BadRequest. `what` is what they name."""
    names = value if isinstance(value, tuple | list) else (value,)
    if not names:
        raise BadRequest(f"forget set is empty: no {what} is named")
    checked = tuple(checked_name(name, f"a {what} is a name or a number") for name in names)
    return checked if isinstance(value, tuple | list) else checked[0]


def as_tuple(value: Name | tuple[Name, ...]) -> tuple[Name, ...]:
    """One name, or several, as several."""
    return value if isinstance(value, tuple) else (value,)


def named_in_words(value: Name | tuple[Name, ...], one: str, several: str) -> str:
    """What was named, after the word for one or for several of its kind."""
    return f"{one if len(as_tuple(value)) == 1 else several} {', '.join(map(str, as_tuple(value)))}"


def is_any(values: Tensor, numbers: Sequence[int]) -> Tensor:
    """Whether each value is one of `numbers`: bool, same shape."""
    return torch.isin(values, torch.tensor(numbers, device=values.device))


def check_named_or_drawn(named: object, fraction: float | None, seed: int, what: str) -> None:
    """See that things are either named or drawn, and can be drawn; else a BadRequest."""
    if (named is None) == (fraction is None):
        raise BadRequest(f"state either the {what}s to forget or the fraction of them, and not both")
    if fraction is not None:
        check_draw(fraction, seed, what)


def check_draw(fraction: float, seed: int, what: str) -> None:
    """See that a part or a number of things can be drawn; else a BadRequest."""
    if not 0 < fraction < math.inf or (fraction >= 1 and fraction != int(fraction)):
        raise BadRequest(
            f"the fraction to forget must lie between 0 and 1, or be a whole number of {what}s, not {fraction}; 0.05 is 5 %"
        )
    if integer(seed, "the seed is a whole number") < 0:
        raise BadRequest(f"the seed of the draw must be 0 or more, not {seed}")


def share_of(fraction: float, total: int) -> int:
    """How many of `total` things are to be drawn."""
    return int(fraction) if fraction >= 1 else max(1, int(fraction * total))


def drawn(pool: Tensor, count: int, seed: int) -> Tensor:
    """`count` values of `pool`, drawn without replacement; sorted."""
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:count]
    return pool[order.to(pool.device)].sort().values


def draw_in_words(fraction: float, total: int | None, what: str, place: str, seed: int) -> str:
    """A draw in words; `place` is where it is drawn from, or empty."""
    drawn = f"drawn with seed {seed}"
    if fraction >= 1:
        return f"{counted(int(fraction), what)}{f' {place}' if place else ''} ({drawn})"
    size = f"{counted(share_of(fraction, total), what)}, " if total else ""
    return f"{100 * fraction:g} % of the {what}s{f', {place}' if place else ''} ({size}{drawn})"
