"""A stream of requests, "learn this" and "forget that", in any order, and what each of them means once it comes.

A request to forget names a task, or the ids of single samples. What goes is looked up in the requests before it; a learner sees
it once more, and only then. Samples that were learned again after they were forgotten are other samples, with other ids.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from expunge.data.records import length, targets_of
from expunge.errors import BadRequest
from expunge.split import Batches, stream_digest

Ids = Tensor | Sequence[int]


@dataclass(frozen=True, eq=False)
class Learn:
    """Learn a task.

    Args:
        name: of the task.
        data: pairs (input, label).
        ids: of its samples, 0 or more; numbered on over the stream when None. All requests of a stream state them, or none.
    """

    name: str
    data: Dataset[Any]
    ids: Ids | None = None


@dataclass(frozen=True, eq=False)
class Unlearn:
    """Forget a task, by its name, or single samples, by their ids."""

    what: str | Ids


@dataclass(frozen=True, eq=False)
class Lesson:
    """One request, with all that a learner needs to serve it.

    Args:
        place: of the request in its stream, from 0.
        kind: "learn" or "unlearn".
        title: what reports call it.
        data: what is to be learned, or to be forgotten: pairs (input, label).
        ids: of its samples, shape (n,).
        classes: the labels in it, sorted.
        tasks: the tasks that are learned or go as a whole; none where single samples go.
        gone: of its classes, those that nothing that stays has.
    """

    place: int
    kind: Literal["learn", "unlearn"]
    title: str
    data: Dataset[Any]
    ids: Tensor
    classes: Tensor
    tasks: tuple[str, ...]
    gone: Tensor


class RequestStream(Sequence[Lesson]):
    """Requests in their order; its items are lessons.

    Args:
        requests: what is asked for.

    Raises:
        BadRequest: if nothing is asked for, the first request forgets, a task is learned twice without having been forgotten, a
            task or a sample is to be forgotten that is not there (any more), or nothing would be left.

    >>> digits = [TensorDataset(torch.zeros(3, 1), torch.tensor([2 * task, 2 * task, 2 * task + 1])) for task in range(3)]
    >>> stream = RequestStream.of("L1 L2 U1 L3", digits)
    >>> [lesson.title for lesson in stream], stream[2].gone.tolist(), stream.left
    (['L1', 'L2', 'U1', 'L3'], [0, 1], ('2', '3'))
    >>> [lesson.title for lesson in stream.never_learned()]
    ['L2', 'L3']
    """

    def __init__(self, requests: Sequence[Learn | Unlearn]) -> None:
        self.requests = tuple(requests)
        self._lessons: list[Lesson] = []
        self._there: dict[str, _Learned] = {}
        self._next_id = 0
        if not self.requests:
            raise BadRequest("the stream has no request")
        stated = {request.ids is not None for request in self.requests if isinstance(request, Learn)}
        if len(stated) == 2:
            raise BadRequest("some tasks state ids of their samples and others do not; state all or none")
        for place, request in enumerate(self.requests):
            lesson = self._learn(place, request) if isinstance(request, Learn) else self._unlearn(place, request)
            self._lessons.append(lesson)

    @classmethod
    def of(cls, words: str, tasks: Sequence[Dataset[Any]] | Mapping[str, Dataset[Any]], seed: int = 0) -> "RequestStream":
        """A stream from words: `L2` learns task 2, `U2` forgets it, `U2:0.1` forgets a tenth of its samples.

        Args:
            tasks: by name; a sequence's are called 1, 2 and so on.
            seed: of the draw of samples.

        Raises:
            BadRequest: if a word is no such word, there is no such task, or a request makes no sense where it stands.
        """
        named = tasks if isinstance(tasks, Mapping) else {str(place + 1): data for place, data in enumerate(tasks)}
        found, ids, following = list[Learn | Unlearn](), dict[str, Tensor](), 0
        generator = torch.Generator().manual_seed(seed)
        for word in words.split():
            kind, (name, colon, share) = word[0], word[1:].partition(":")
            if kind not in "LU" or (kind == "L" and colon):
                raise BadRequest(f"a request is a word like L1 (learn task 1), U1 (forget it) or U1:0.1, not {word!r}")
            if name not in named:
                raise BadRequest(f"{word}: there is no task {name!r}; there are {', '.join(named)}")
            if kind == "L":
                count = length(named[name])
                ids[name], following = torch.arange(following, following + count), following + count
                found.append(Learn(name, named[name]))
            elif colon:
                goes, ids[name] = _drawn(word, share, ids.get(name), generator)
                found.append(Unlearn(goes))
            else:
                found.append(Unlearn(name))
        return cls(found)

    def __len__(self) -> int:
        return len(self._lessons)

    def __getitem__(self, place: Any) -> Any:
        return self._lessons[place]

    def __iter__(self) -> Iterator[Lesson]:
        return iter(self._lessons)

    @property
    def digest(self) -> str:
        """Of all that is asked for."""
        parts = " ".join(f"{lesson.title} {stream_digest(Batches(lesson.data))} {stream_digest(lesson.ids)}" for lesson in self)
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def left(self) -> tuple[str, ...]:
        """The tasks of which something is left at the end, in the order in which they were learned."""
        return tuple(self._there)

    @property
    def forgotten(self) -> tuple[str, ...]:
        """The tasks that went as a whole and are not there at the end."""
        names = dict.fromkeys(name for lesson in self if lesson.kind == "unlearn" for name in lesson.tasks)
        return tuple(name for name in names if name not in self._there)

    def data(self, kind: Literal["left", "forgotten"]) -> Dataset[Any]:
        """All samples that are left at the end, or all that were forgotten: pairs (input, label)."""
        if kind == "left":
            return gathered([(each.data, each.rows(each.ids)) for each in self._there.values()])
        gone = [(each.data, torch.arange(length(each.data))) for each in self if each.kind == "unlearn"]
        if not gone:
            raise BadRequest("the stream forgets nothing")
        return gathered(gone)

    def never_learned(self) -> "RequestStream":
        """The same stream without what is forgotten in it, and so without requests to forget."""
        goes = [lesson.ids for lesson in self if lesson.kind == "unlearn"]
        gone = torch.cat([torch.empty(0, dtype=torch.long), *goes])
        found: list[Learn | Unlearn] = []
        for request, lesson in zip(self.requests, self, strict=True):
            stays = ~torch.isin(lesson.ids, gone)
            if isinstance(request, Learn) and stays.any():
                rows = stays.nonzero().flatten()
                found.append(Learn(request.name, gathered([(request.data, rows)]), lesson.ids[stays]))
        return RequestStream(found)

    def without_forgetting(self) -> "RequestStream":
        """The same stream in which nobody asks to forget."""
        learned = [lesson for lesson in self if lesson.kind == "learn"]
        return RequestStream([Learn(lesson.title[1:], lesson.data, lesson.ids) for lesson in learned])

    # ---- making lessons of requests -------------------------------------------------------------------------------

    def _learn(self, place: int, request: Learn) -> Lesson:
        count = length(request.data)
        if request.name in self._there:
            raise BadRequest(f"request {place + 1} learns task {request.name!r}, which was learned already and not forgotten")
        if not count:
            raise BadRequest(f"request {place + 1}: task {request.name!r} has no samples")
        if request.ids is None:
            ids, self._next_id = torch.arange(self._next_id, self._next_id + count), self._next_id + count
        else:
            ids = torch.as_tensor(request.ids, dtype=torch.long)
            if len(ids) != count:
                raise BadRequest(f"task {request.name!r} has {count:,} samples and {len(ids):,} ids")
            if int(ids.min()) < 0 or len(ids.unique()) != count:
                raise BadRequest(f"ids of task {request.name!r} must be 0 or more, each once")
            for name, other in self._there.items():
                if bool(torch.isin(ids, other.ids).any()):
                    raise BadRequest(f"tasks {name!r} and {request.name!r} have samples with the same id")
        labels = torch.as_tensor(np.asarray(targets_of(request.data)), dtype=torch.long)
        self._there[request.name] = _Learned(request.data, ids, labels, ids)
        none = labels[:0]
        return Lesson(place, "learn", f"L{request.name}", request.data, ids, labels.unique(), (request.name,), none)

    def _unlearn(self, place: int, request: Unlearn) -> Lesson:
        if isinstance(request.what, str):
            if request.what not in self._there:
                there = ", ".join(self._there) or "none"
                raise BadRequest(f"request {place + 1} forgets task {request.what!r}, which is not there; there are {there}")
            goes, title = self._there[request.what].ids, f"U{request.what}"
        else:
            goes = torch.as_tensor(request.what, dtype=torch.long).unique()
            title = f"U({len(goes)})"
            if not len(goes):
                raise BadRequest(f"request {place + 1} names no sample to forget")
        parts, whole, found = [], [], 0
        for name, each in list(self._there.items()):
            own = each.ids[torch.isin(each.ids, goes)]
            if not len(own):
                continue
            parts.append((each, each.rows(own)))
            found += len(own)
            self._there[name] = each.without(own)
            if len(own) == len(each.ids):
                whole.append(name)
                del self._there[name]
        if found < len(goes):
            raise BadRequest(f"request {place + 1}: of {len(goes):,} samples to forget, {len(goes) - found:,} are not there")
        if not self._there:
            raise BadRequest(f"request {place + 1} forgets all that was learned; to forget everything, delete the model")
        classes = torch.cat([each.labels[rows] for each, rows in parts]).unique()
        stays = torch.cat([each.labels[each.rows(each.ids)] for each in self._there.values()])
        return Lesson(
            place,
            "unlearn",
            title,
            gathered([(each.data, rows) for each, rows in parts]),
            torch.cat([each.all_ids[rows] for each, rows in parts]),
            classes,
            tuple(whole),
            classes[~torch.isin(classes, stays)],
        )


@dataclass(frozen=True, eq=False)
class _Learned:
    """A task that is there: its data, and the ids of those of its samples that are not forgotten."""

    data: Dataset[Any]
    all_ids: Tensor
    labels: Tensor
    ids: Tensor

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of its data that have these ids."""
        return torch.isin(self.all_ids, ids).nonzero().flatten()

    def without(self, ids: Tensor) -> "_Learned":
        return _Learned(self.data, self.all_ids, self.labels, self.ids[~torch.isin(self.ids, ids)])


def gathered(parts: Sequence[tuple[Dataset[Any], Tensor]]) -> Dataset[Any]:
    """Some rows of some datasets as one; in memory, where they all are."""
    tensors = [data.tensors for data, _ in parts if isinstance(data, TensorDataset)]
    if len(tensors) == len(parts):
        picked = [[part[rows] for part in each] for each, (_, rows) in zip(tensors, parts, strict=True)]
        return TensorDataset(*(torch.cat(columns) for columns in zip(*picked, strict=True)))
    return ConcatDataset([Subset(data, rows.tolist()) for data, rows in parts])


def _drawn(word: str, share: str, ids: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A share of some ids, and the rest."""
    try:
        fraction = float(share)
    except ValueError:
        fraction = -1.0
    if not 0 < fraction < 1:
        raise BadRequest(f"{word}: the share of samples to forget lies between 0 and 1, not {share!r}")
    if ids is None or not (count := round(fraction * len(ids))):
        raise BadRequest(f"{word}: there is no such sample to forget")
    order = torch.randperm(len(ids), generator=generator)
    return ids[order[:count]], ids[order[count:]]
