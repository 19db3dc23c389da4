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
        ids: of its samples, 0 or more; numbered on over the stream when None. All requests of a stream state them, or none, and
            no id stands for two samples, not even for one that was forgotten.

    Raises:
        BadRequest: if the name is no text.
    """

    name: str
    data: Dataset[Any]
    ids: Ids | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise BadRequest(f"the name of a task is a text, not {self.name!r}")


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
        labels: of its samples, shape (n,).
        tasks: the tasks that are learned or go as a whole.
        single: how many of its samples are of tasks that do not go as a whole.
        gone: of its classes, those that nothing that stays has.
    """

    place: int
    kind: Literal["learn", "unlearn"]
    title: str
    data: Dataset[Any]
    ids: Tensor
    labels: Tensor
    tasks: tuple[str, ...]
    single: int
    gone: Tensor

    @property
    def classes(self) -> Tensor:
        """The labels that occur, sorted."""
        return self.labels.unique()

    @classmethod
    def learn(cls, place: int, name: str, data: Dataset[Any], ids: Ids) -> "Lesson":
        """A request to learn a task that is no part of a stream; see the arguments of the class."""
        labels = _labels(data)
        return cls(place, "learn", f"L{name}", data, _as_ids(ids), labels, (name,), 0, labels[:0])

    @classmethod
    def unlearn(cls, place: int, data: Dataset[Any], ids: Ids, tasks: Sequence[str] = (), gone: Sequence[int] = ()) -> "Lesson":
        """A request to forget that is no part of a stream.

        Args:
            tasks: names of those that go as a whole; none where single samples go.
            gone: classes of which nothing is left.
        """
        found, classes = _as_ids(ids), torch.as_tensor(gone, dtype=torch.long)
        title = f"U{'+'.join(tasks)}" if tasks else f"U({len(found)})"
        return cls(place, "unlearn", title, data, found, _labels(data), tuple(tasks), 0 if tasks else len(found), classes)


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
        self._ids = torch.empty(0, dtype=torch.long)  # all that were ever learned
        self._gone: list[_Part] = []
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
        """All samples that are left at the end, or all that were forgotten and not learned again: pairs (input, label)."""
        if kind == "left":
            return gathered([(each.data, each.rows(each.ids)) for each in self._there.values()])
        again = {lesson.tasks[0]: lesson.place for lesson in self if lesson.kind == "learn" and lesson.tasks[0] in self._there}
        gone = [(part.data, part.rows) for part in self._gone if part.place > again.get(part.task, -1)]
        if not gone:
            raise BadRequest("the stream forgets nothing that is not learned again")
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
        """The same stream in which nobody asks to forget, so that what is learned again was learned already."""
        learned: dict[str, Lesson] = {}
        for lesson in self:
            if lesson.kind == "learn":
                learned.setdefault(lesson.tasks[0], lesson)
        return RequestStream([Learn(name, each.data, each.ids) for name, each in learned.items()])

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
            ids = _as_ids(request.ids)
            if len(ids) != count:
                raise BadRequest(f"task {request.name!r} has {count:,} samples and {len(ids):,} ids")
            if int(ids.min()) < 0 or len(ids.unique()) != count:
                raise BadRequest(f"ids of task {request.name!r} must be 0 or more, each once")
            if bool((taken := torch.isin(ids, self._ids)).any()):
                raise BadRequest(f"task {request.name!r} has the id {int(ids[taken][0])} of a sample learned before")
        self._ids = torch.cat([self._ids, ids])
        lesson = Lesson.learn(place, request.name, request.data, ids)
        self._there[request.name] = _Learned(request.data, ids, lesson.labels, ids)
        return lesson

    def _unlearn(self, place: int, request: Unlearn) -> Lesson:
        if isinstance(request.what, str):
            if request.what not in self._there:
                there = ", ".join(self._there) or "none"
                raise BadRequest(f"request {place + 1} forgets task {request.what!r}, which is not there; there are {there}")
            goes, title = self._there[request.what].ids, f"U{request.what}"
        else:
            goes = _as_ids(request.what).unique()
            title = f"U({len(goes)})"
            if not len(goes):
                raise BadRequest(f"request {place + 1} names no sample to forget")
        parts, whole, single = list[tuple[str, _Learned, Tensor]](), list[str](), 0
        for name, each in list(self._there.items()):
            own = each.ids[torch.isin(each.ids, goes)]
            if not len(own):
                continue
            parts.append((name, each, each.rows(own)))
            self._there[name] = each.without(own)
            if len(own) == len(each.ids):
                whole.append(name)
                del self._there[name]
            else:
                single += len(own)
        found = sum(len(rows) for _, _, rows in parts)
        if found < len(goes):
            raise BadRequest(f"request {place + 1}: of {len(goes):,} samples to forget, {len(goes) - found:,} are not there")
        if not self._there:
            raise BadRequest(f"request {place + 1} forgets all that was learned; to forget everything, delete the model")
        self._gone += [_Part(place, name, each.data, rows) for name, each, rows in parts]
        labels = torch.cat([each.labels[rows] for _, each, rows in parts])
        stays = torch.cat([each.labels[each.rows(each.ids)] for each in self._there.values()])
        return Lesson(
            place,
            "unlearn",
            title,
            gathered([(each.data, rows) for _, each, rows in parts]),
            torch.cat([each.all_ids[rows] for _, each, rows in parts]),
            labels,
            tuple(whole),
            single,
            (classes := labels.unique())[~torch.isin(classes, stays)],
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


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of a task's data that went with the request at `place`."""

    place: int
    task: str
    data: Dataset[Any]
    rows: Tensor


def gathered(parts: Sequence[tuple[Dataset[Any], Tensor]]) -> Dataset[Any]:
    """Some rows of some datasets as one; in memory, where they all are."""
    tensors = [data.tensors for data, _ in parts if isinstance(data, TensorDataset)]
    if len(tensors) == len(parts):
        picked = [[part[rows] for part in each] for each, (_, rows) in zip(tensors, parts, strict=True)]
        return TensorDataset(*(torch.cat(columns) for columns in zip(*picked, strict=True)))
    return ConcatDataset([Subset(data, rows.tolist()) for data, rows in parts])


def _labels(data: Dataset[Any]) -> Tensor:
    return torch.as_tensor(np.asarray(targets_of(data)), dtype=torch.long)


def _as_ids(given: Any) -> Tensor:
    """Ids as a tensor on the CPU; what could be meant otherwise, such as a mask, is refused."""
    found = torch.as_tensor(sorted(given) if isinstance(given, set | frozenset) else given).cpu()
    if found.dim() != 1:
        raise BadRequest(f"ids of samples are a list of whole numbers, not {given!r:.60}; a task is named by a text")
    if len(found) and (found.dtype == torch.bool or found.is_floating_point() or found.is_complex()):
        raise BadRequest(f"ids of samples are whole numbers, not {str(found.dtype).removeprefix('torch.')}")
    return found.long()


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
