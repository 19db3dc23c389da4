"""What must go, what stays, what was never seen: streams of batches, and the one way in which two of them are paired.

A *stream* is anything that can be iterated again and again and yields batches: a :class:`Batches`, a
`torch.utils.data.DataLoader`, a list. Iterating a :class:`Batches` gives its examples in order; training asks for
``batches.epoch(generator)``, which shuffles with that generator and nothing else.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, TensorDataset

from expunge.errors import BadRequest, BadSetting

Stream = Iterable[Any]
_STRETCH = 50  # batches that are sorted together by size


class Epochs(Protocol):
    """Anything that can be passed over in an order drawn from a generator."""

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        """One pass."""
        ...

    def __len__(self) -> int: ...


class Batches:
    """A stream of batches from a dataset, or from some of its rows.

    Args:
        dataset: any map-style dataset. A `TensorDataset` is sliced directly, which is many times faster than collating
            single examples.
        batch_size: examples in a batch; the last batch may be smaller.
        indices: rows of `dataset` to use, in this order; all of them when None.
        shuffle: whether `epoch` draws a new order each time.
        sizes: of each row of `dataset`, such as the length of a text; then rows of like size share a batch where `epoch`
            shuffles, so that less is padded.

    >>> data = TensorDataset(torch.arange(5), torch.zeros(5))
    >>> [x.tolist() for x, _ in Batches(data, batch_size=2, indices=[4, 0, 1])]
    [[4, 0], [1]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        indices: Sequence[int] | None = None,
        shuffle: bool = True,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if batch_size < 1:
            raise BadSetting(f"batch_size must be at least 1, not {batch_size}")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.sizes = None if sizes is None else torch.as_tensor(sizes)
        if self.sizes is not None and len(self.sizes) != len(dataset):  # type: ignore[arg-type]
            raise BadSetting(f"sizes has {len(self.sizes):,} entries for {len(dataset):,} rows")  # type: ignore[arg-type]
        rows = range(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
        self.indices = torch.as_tensor(np.asarray(rows, dtype=np.int64))

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    @property
    def examples(self) -> int:
        """Number of examples in one pass."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        return self._batches(self._cut(self.indices))

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        """One pass in an order drawn from `generator`."""
        if not self.shuffle:
            return self._batches(self._cut(self.indices))
        order = self.indices[torch.randperm(len(self.indices), generator=generator)]
        chunks = self._cut(order) if self.sizes is None else self._alike(order, self.sizes, generator)
        return self._batches(chunks, generator)

    def _cut(self, order: torch.Tensor) -> Sequence[torch.Tensor]:
        return order.split(self.batch_size) if len(order) else ()

    def _alike(self, order: torch.Tensor, sizes: torch.Tensor, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """Batches of like size: each stretch of the order is sorted and cut, and the batches come in any order."""
        stretches = order.split(_STRETCH * self.batch_size) if len(order) else ()
        chunks = [chunk for each in stretches for chunk in self._cut(each[sizes[each].argsort(stable=True)])]
        return [chunks[place] for place in torch.randperm(len(chunks), generator=generator).tolist()]

    def _batches(self, chunks: Sequence[torch.Tensor], generator: torch.Generator | None = None) -> Iterator[Any]:
        if isinstance(self.dataset, TensorDataset):
            tensors = self.dataset.tensors
            return (tuple(tensor[rows] for tensor in tensors) for rows in chunks)
        loader: Stream = DataLoader(self.dataset, batch_sampler=[rows.tolist() for rows in chunks])
        return iter(loader) if generator is None else _isolated(loader, generator)

    def with_batch_size(self, batch_size: int) -> "Batches":
        """The same rows in batches of another size."""
        sizes = None if self.sizes is None else self.sizes.tolist()
        return Batches(self.dataset, batch_size, self.indices.tolist(), self.shuffle, sizes)


def one_epoch(stream: Stream | Epochs, generator: torch.Generator) -> Iterator[Any]:
    """One pass over any stream whose every random draw comes from `generator`; the caller's random state is left alone."""
    epoch = getattr(stream, "epoch", None)
    return epoch(generator) if epoch is not None else _isolated(stream, generator)  # type: ignore[arg-type]


def _isolated(stream: Stream, generator: torch.Generator) -> Iterator[Any]:
    """Iterate a stream that draws from the global generators (torch, numpy, random), with those replaced by seeded ones."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    outside = _random_state()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    batches = iter(stream)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            _set_random_state(outside)
            return
        except BaseException:
            _set_random_state(outside)
            raise
        inside = _random_state()
        _set_random_state(outside)
        yield batch
        outside = _random_state()
        _set_random_state(inside)


def _random_state() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set_random_state(state: tuple[Any, Any, Any]) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])


class Pair(NamedTuple):
    """One batch to forget and one to retain, worked on in the same step; in turn-taking streams one of the two is None."""

    forget: Any
    retain: Any


@dataclass(frozen=True)
class Paired:
    """See :func:`paired`."""

    forget: Stream
    retain: Stream
    epoch_of: Literal["forget", "retain"]

    def __len__(self) -> int:
        return len(self.forget if self.epoch_of == "forget" else self.retain)  # type: ignore[arg-type]

    def epoch(self, generator: torch.Generator) -> Iterator[Pair]:
        if self.epoch_of == "forget":
            others = _cycled(self.retain, generator)
            return (Pair(batch, next(others)) for batch in one_epoch(self.forget, generator))
        others = _cycled(self.forget, generator)
        return (Pair(next(others), batch) for batch in one_epoch(self.retain, generator))


def paired(forget: Stream, retain: Stream, epoch_of: Literal["forget", "retain"] = "retain") -> Paired:
    """Pair the batches of two streams; all methods that look at both in one step use this.

    The rule: one epoch is one pass over the stream named by `epoch_of`. The other stream runs beside it, starts again
    (in a new order) when it ends, and is cut off when the epoch ends. So with ``epoch_of="retain"`` an epoch costs a full
    pass over the retained data; with ``epoch_of="forget"`` only as many retain batches as there are forget batches.

    Returns:
        a stream of :class:`Pair`.
    """
    if epoch_of not in ("forget", "retain"):
        raise BadSetting(f"epoch_of must be 'forget' or 'retain', not {epoch_of!r}")
    return Paired(forget, retain, epoch_of)


def in_proportion(forget: Stream, retain: Stream) -> Paired:
    """Pair two streams so that each step sees forget and retain examples in the proportion that they have in the training set.

    One epoch is one pass over `retain`, and at least one over `forget` beside it, in batches that are as much smaller: it costs
    what an epoch over the whole training set costs. Where one of the two does not know its examples, or has all in one batch,
    batches stay as they are.
    """
    if all(getattr(stream, "batch_size", None) and hasattr(stream, "with_batch_size") for stream in (forget, retain)):
        known: Any = retain
        if known.examples:
            forget = forget.with_batch_size(max(1, -(-known.batch_size * forget.examples // known.examples)))  # type: ignore[attr-defined]
    return paired(forget, retain, "retain")


def joined(pair: Pair) -> tuple[Any, int]:
    """Both halves of a pair as one batch, the forget half first, and how many examples that has.

    One forward pass then serves both, and layers that look at the whole batch (batch normalisation) see what they saw in
    training. A batch that knows better how it stands beside another (`batch.beside(other)`) is asked.

    >>> joined(Pair((torch.zeros(1, 2), torch.tensor([7])), (torch.ones(2, 2), torch.tensor([8, 9]))))[0][1].tolist()
    [7, 8, 9]
    """
    count = len(next(leaf for leaf in tree_leaves(pair.forget) if isinstance(leaf, torch.Tensor)))
    if hasattr(pair.forget, "beside"):
        return pair.forget.beside(pair.retain), count
    return tree_map(lambda *parts: torch.cat(parts), _as_tuple(pair.forget), _as_tuple(pair.retain)), count


def _as_tuple(batch: Any) -> Any:
    """Lists, as a `DataLoader` gives them, as tuples: two batches that are to be joined need one shape."""
    return tuple(batch) if isinstance(batch, list) else batch


def _cycled(stream: Stream, generator: torch.Generator) -> Iterator[Any]:
    while True:
        empty = True
        for batch in one_epoch(stream, generator):
            empty = False
            yield batch
        if empty:
            raise BadRequest("one of the two streams to pair is empty: both need at least one batch")


@dataclass(frozen=True)
class InTurn:
    """A stream of all forget batches, then the retain batches, as :class:`Pair` with the other half None.

    Either stream may be left out; `retain_fraction` cuts the pass over the (shuffled) retain stream short.
    """

    forget: Stream = ()
    retain: Stream = ()
    retain_fraction: float = 1.0

    def __len__(self) -> int:
        return len(self.forget) + self._retain_batches  # type: ignore[arg-type]

    @property
    def _retain_batches(self) -> int:
        return math.ceil(len(self.retain) * self.retain_fraction)  # type: ignore[arg-type]

    def epoch(self, generator: torch.Generator) -> Iterator[Pair]:
        for batch in one_epoch(self.forget, generator):
            yield Pair(batch, None)
        for batch in itertools.islice(one_epoch(self.retain, generator), self._retain_batches):
            yield Pair(None, batch)


@dataclass(frozen=True)
class Shuffled:
    """One pass over a stream in an order drawn from `generator`, for code that iterates plainly."""

    stream: Stream
    generator: torch.Generator

    def __iter__(self) -> Iterator[Any]:
        return one_epoch(self.stream, self.generator)


@dataclass(frozen=True)
class Split:
    """The parts that every method and every audit works on; each is a re-iterable stream of batches.

    Args:
        forget: what must go.
        retain: what stays.
        holdout: what was never trained on, and is like what stays.
        holdout_forget: what was never trained on, and is like what goes (for a class, unseen examples of that class).
            None when the request does not tell such examples apart (single records): then `holdout` serves as both.
        validation_forget: unseen examples like those to forget that a *method* may look at, to know when to stop. Audits never
            use them, and they are not in the holdout parts.
        kind: whether a kind of thing goes, such as a class, which a model without it would answer otherwise than the original
            answers unseen examples of it.
    """

    forget: Stream
    retain: Stream
    holdout: Stream = ()
    holdout_forget: Stream | None = None
    validation_forget: Stream = ()
    kind: bool = field(default=False, metadata={"digest": False})  # it says nothing that the streams don't hold

    @property
    def unseen_like_forget(self) -> Stream:
        """Examples that no model was trained on and that are drawn like those to forget: what membership is judged by."""
        return self.holdout if self.holdout_forget is None else self.holdout_forget


def forget_share(split: Split) -> float:
    """The forget set's share of the training set, counted in batches where one of the two does not know its examples."""
    streams = (split.forget, split.retain)
    if all(hasattr(stream, "examples") for stream in streams):
        forget, retain = (stream.examples for stream in streams)  # type: ignore[attr-defined]
    else:
        forget, retain = (len(stream) for stream in streams)  # type: ignore[arg-type]
    return float(forget / (forget + retain))


def _bytes_of(values: torch.Tensor) -> bytes:
    """Of any kind of number; one that lies in memory by a stride of 0 counts as contiguous, and must be copied all the same."""
    flat = values.detach().cpu().reshape(-1).clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def stream_digest(stream: Any) -> str:
    """A digest of what a stream holds: equal digests, equal batches.

    It covers rows, sizes and, for a `TensorDataset`, every value; a part with a `digest` of its own is taken by it. Of other
    datasets and streams only type and length are seen.
    """
    if isinstance(stream, Batches):
        content = stream.dataset.tensors if isinstance(stream.dataset, TensorDataset) else ()
        digest = hashlib.blake2b(f"{type(stream.dataset).__name__} {stream.batch_size} {stream.shuffle}".encode())
        sizes = () if stream.sizes is None else (stream.sizes,)
        for tensor in (stream.indices, *content, *sizes):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(_bytes_of(tensor))
        return digest.hexdigest()[:32]
    if isinstance(stream, torch.Tensor):
        return hashlib.blake2b(f"{stream.dtype} {tuple(stream.shape)}".encode() + _bytes_of(stream)).hexdigest()[:32]
    if isinstance(own := getattr(stream, "digest", None), str):
        return own
    if is_dataclass(stream) and not isinstance(stream, type):
        named = (part.name for part in fields(stream) if part.metadata.get("digest", True))
        parts = (stream_digest(getattr(stream, name)) for name in named)
        return f"{type(stream).__name__}({', '.join(parts)})"
    if isinstance(stream, str | int | float | tuple | None):
        return repr(stream)
    try:
        return f"{type(stream).__name__} of {len(stream)}"
    except TypeError:
        return type(stream).__name__


def is_empty(stream: Stream) -> bool:
    """Whether a stream has no batch."""
    return next(one_epoch(stream, torch.Generator()), None) is None
