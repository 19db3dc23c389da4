"""What shadow models are trained on: examples that are divided at random, and what a network learns from that holds some.

    rows          inputs with targets                each for itself
    questions     of facts                           all of a fact go together, since who knows one knows the others
    nodes         in the whole graph                 of a node that is not held the class is not known, as of unseen nodes
    edges         the graph has those that are held  messages pass over no other
    interactions  they are those that are held       no network reads any other

A unit is what goes to a network as a whole, or not at all. Units are numbered by what they hold alone, so that another request
to forget examples of the same data finds the same shadows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.audits.audit import Part, Subject
from expunge.errors import WrongTask
from expunge.graphs import Graph, LinkBatch, LinkBatches, NodeBatches
from expunge.interactions import Interactions, PairBatch, PairBatches
from expunge.language.fact_split import FactSplit, questions_of
from expunge.split import Batches, Stream, stream_digest
from expunge.tasks import LinkPredictionTask, NodeClassificationTask, RecommendationTask


class Examples(Protocol):
    """Examples that can be divided at random."""

    @property
    def batch_size(self) -> int | None:
        """Examples in a batch of training; None for all in one."""

    @property
    def units(self) -> Tensor:
        """Of each example, in the order in which they were given, the number of its unit: int64, shape (examples,)."""

    @property
    def digest(self) -> str:
        """Equal for equal examples, in whatever order they were given, that are trained on in the same way."""

    def stream(self, held: Tensor) -> Stream:
        """What a network is trained on that holds some of the units: bool, shape (units,)."""

    def asked_of(self, batches: Sequence[Any], held: Tensor) -> Sequence[Any]:
        """Any batches, as a network reads them that was trained on some of the units."""


class Rows:
    """Rows of tensors.

    Args:
        data: with the examples as first dimension.
        batch_size: of training.
        owners: of each row, a number that it shares with those that go where it goes, counted from 0; each goes for itself when
            None.
        by_length: put rows that are as long into a batch, by the second tensor, which says where each row has tokens.
    """

    def __init__(self, data: Sequence[Tensor], batch_size: int, owners: Tensor | None = None, by_length: bool = False) -> None:
        self.given, self.batch_size, self.by_length = tuple(data), batch_size, by_length
        columns = [_row_digests(part) for part in data]
        rows = [b"".join(row) for row in zip(*columns, strict=True)]
        own = list(range(len(rows))) if owners is None else owners.tolist()
        held = [b""] * (max(own, default=-1) + 1)
        for owner, row in zip(own, rows, strict=True):
            held[owner] += row
        ranked = sorted(range(len(held)), key=held.__getitem__)
        rank = torch.empty(len(held), dtype=torch.long)
        rank[ranked] = torch.arange(len(held))
        self.units = rank[own]
        order = self.units.argsort(stable=True)
        self.data, self.unit_of_row = tuple(part[order] for part in data), self.units[order]
        whole = hashlib.blake2b(b"".join(held[place] for place in ranked), digest_size=16).hexdigest()
        self.digest = f"{whole} {[(str(part.dtype), tuple(part.shape)) for part in data]}"
        if owners is not None:
            self.digest += f" in {hashlib.blake2b(repr(self.unit_of_row.tolist()).encode(), digest_size=16).hexdigest()}"
        self.digest += " by length" * by_length

    def stream(self, held: Tensor) -> Batches:
        sizes = self.data[1].sum(1).tolist() if self.by_length else None
        return Batches(TensorDataset(*self.data), self.batch_size, self.rows(held).tolist(), sizes=sizes)

    def asked_of(self, batches: Sequence[Any], held: Tensor) -> Sequence[Any]:
        return batches

    def rows(self, held: Tensor) -> Tensor:
        """The rows of `data` that some of the units have, shape (rows,)."""
        return held[self.unit_of_row].nonzero().flatten()


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of a graph.

    Args:
        like: what the original was trained on is like this: its batches and its sampling.
        graph: the whole one.
        nodes: numbers, sorted, shape (units,).
    """

    like: NodeBatches
    graph: Graph
    nodes: Tensor
    units: Tensor

    @property
    def batch_size(self) -> int | None:
        return self.like.batch_size

    @cached_property
    def digest(self) -> str:
        return f"{self.graph.digest} {stream_digest(self.nodes)} {self.like.fanout}"

    def stream(self, held: Tensor) -> NodeBatches:
        return replace(self.like, graph=self.graph, nodes=self.nodes[held])

    def asked_of(self, batches: Sequence[Any], held: Tensor) -> Sequence[Any]:
        return batches


@dataclass(frozen=True, eq=False)
class Links:
    """Edges of a graph, or triples.

    Args:
        like: what the original was trained on is like this: its batches, its negatives and its sampling.
        graph: with all of these edges, and no other.
    """

    like: LinkBatches
    graph: Graph
    units: Tensor

    @property
    def batch_size(self) -> int | None:
        return self.like.batch_size

    @cached_property
    def digest(self) -> str:
        return f"{self.graph.digest} {self.like.negatives} {self.like.fanout}"

    def stream(self, held: Tensor) -> LinkBatches:
        part = self.graph.without_edges(~held)
        return replace(self.like, graph=part, pairs=part.edges, labels=None)

    def asked_of(self, batches: Sequence[LinkBatch], held: Tensor) -> list[LinkBatch]:
        part = self.graph.without_edges(~held)
        return [batch.on(part) for batch in batches]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a user and an item.

    Args:
        like: what the original was trained on is like this: its batches and how it draws negatives.
        interactions: with all of these pairs, and no other.
    """

    like: PairBatches
    interactions: Interactions
    units: Tensor

    @property
    def batch_size(self) -> int | None:
        return self.like.batch_size

    @cached_property
    def digest(self) -> str:
        avoided = "" if self.like.avoid is None else stream_digest(self.like.avoid)
        return f"{self.interactions.digest} {self.like.negatives} {self.like.drawn} {avoided}"

    def stream(self, held: Tensor) -> PairBatches:
        part = self.interactions.without(~held)
        return replace(self.like, interactions=part, pairs=part.pairs, judged_on=None)

    def asked_of(self, batches: Sequence[PairBatch], held: Tensor) -> list[PairBatch]:
        part = self.interactions.without(~held)
        return [batch.on(part) for batch in batches]


def examples_of(subject: Subject, unseen: int, batch_size: int) -> Examples:
    """What goes, the first `unseen` of the unseen examples like it, and what stays, in this order.

    Args:
        batch_size: of training, where the parts of the split do not say it.

    Raises:
        WrongTask: if they can't be divided at random.
    """
    task, split, like = subject.task, subject.split, subject.split.retain
    if isinstance(task, NodeClassificationTask):
        stream = _like(NodeBatches, subject)
        nodes, units = _apart(_named(subject, unseen, lambda batch: batch.nodes), "node")
        return Nodes(stream, stream.graph.whole, nodes, units)
    if isinstance(task, LinkPredictionTask):
        return _links(subject, unseen)
    if isinstance(task, RecommendationTask):
        paired = _like(PairBatches, subject)
        named = _named(subject, unseen, lambda batch: torch.stack([batch.users, batch.items], 1))
        pairs, units = _apart(named, "pair")
        return Pairs(paired, replace(paired.interactions.whole, pairs=pairs, before=None), units)
    data = rows_of(subject, unseen)
    if isinstance(split, FactSplit) and isinstance(like, Batches):
        return Rows(data, like.batch_size, _facts(split, unseen), split.by_length)
    return Rows(data, batch_size)


def rows_of(subject: Subject, unseen: int) -> tuple[Tensor, ...]:
    """The tensors of each batch, such as inputs and targets: of what goes, then of the unseen examples, then of what stays."""
    columns = [tuple(each[:most] for each in _read(subject, part)) for part, most in _parts(subject, unseen)]
    return tuple(torch.cat(column) for column in zip(*columns, strict=True))


def _read(subject: Subject, part: Part) -> tuple[Tensor, ...]:
    """The tensors of a part, in the order in which its outputs are read."""
    return tuple(torch.cat(column) for column in zip(*subject.batches(part), strict=True))


def _parts(subject: Subject, unseen: int) -> list[tuple[Part, int | None]]:
    """The parts that there are, and how many of each are taken at most."""
    parts: tuple[tuple[Part, int | None], ...] = (("forget", None), (subject.unseen_part(), unseen), ("retain", None))
    return [(part, most) for part, most in parts if len(subject.scores(part))]


def _named(subject: Subject, unseen: int, read: Any) -> Tensor:
    """What `read(batch)` makes of the examples."""
    return torch.cat(
        [torch.cat([read(batch) for batch in subject.batches(part)])[:most] for part, most in _parts(subject, unseen)]
    )


def _links(subject: Subject, unseen: int) -> Links:
    stream = _like(LinkBatches, subject)
    wrong = [_named(subject, unseen, lambda batch: batch.labels), stream.all_labels]
    if any((labels != 1).any() for labels in wrong):
        raise WrongTask(
            "shadow models of links are trained on halves of edges, and some of what goes, stays or is unseen are pairs that "
            "are none; give edges alone, the unseen ones as holdout_forget"
        )
    named = _named(subject, unseen, lambda batch: batch.pairs)
    if not stream.graph.relations:
        named = named.sort(1).values
    edges, units = _apart(named, "edge")
    return Links(stream, replace(stream.graph.whole, edges=edges, before=None), units)


def _like(kind: type[Any], subject: Subject) -> Any:
    """What is trained on to retrain, which says how networks of the task are trained."""
    if not isinstance(subject.split.retain, kind):
        raise WrongTask(
            f"shadow models of {type(subject.task).__name__} are trained on parts of {kind.__name__}, which can be divided, "
            f"not of {type(subject.split.retain).__name__}; give what stays as {kind.__name__}"
        )
    return subject.split.retain


def _apart(named: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Each of what is named, sorted, and the place there of each as it was given."""
    found, units = torch.unique(named, dim=0, return_inverse=True)
    if len(found) < len(named):
        raise WrongTask(
            f"shadow models are trained with a {what} or without it, and {len(named) - len(found):,} that go or are unseen are "
            "also among those that stay; of a request that takes something else away, such as features, there is nothing to "
            "divide"
        )
    return found, units.cpu()


def _facts(split: FactSplit, unseen: int) -> Tensor:
    """Which fact each question is about: of those to forget, of the first unseen ones and of those that stay, (questions,)."""
    counts = [[len(list(questions_of([fact]))) for fact in facts] for facts in (split.goes, split.unseen, split.stays)]
    owners, start = list[Tensor](), 0
    for part, most in zip(counts, (None, unseen, None), strict=True):
        owners.append(torch.arange(start, start + len(part)).repeat_interleave(torch.tensor(part, dtype=torch.long))[:most])
        start += len(part)
    return torch.unique(torch.cat(owners), return_inverse=True)[1]


def _row_digests(part: Tensor) -> list[bytes]:
    rows = part.detach().cpu().contiguous().reshape(len(part), -1).view(torch.uint8).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
