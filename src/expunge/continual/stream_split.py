"""A stream of requests as a split: all that it forgets must go, all that is left at its end stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch.utils.data import TensorDataset

from expunge.continual.requests import RequestStream
from expunge.errors import BadRequest
from expunge.split import Batches, Split, Stream


@dataclass(frozen=True, kw_only=True)
class StreamSplit(Split):
    """See :func:`as_split`, which makes one.

    Args:
        requests: the stream.
        tests: unseen samples of each task, by name.
    """

    requests: RequestStream
    tests: Mapping[str, Stream] = field(metadata={"digest": False})  # they are in the holdout parts


def as_split(requests: RequestStream, tests: Mapping[str, Stream], batch_size: int = 256) -> StreamSplit:
    """What must have gone at the end of a stream, and what stays.

    Args:
        tests: unseen samples of each task, by name.
        batch_size: of all parts.

    Raises:
        BadRequest: if the stream forgets nothing, or a task has no tests.
    """
    forgotten = requests.forgotten
    for name in (*forgotten, *requests.left):
        if name not in tests:
            raise BadRequest(f"task {name!r} has no tests; there are tests of {', '.join(tests) or 'none'}")

    def unseen(names: tuple[str, ...]) -> Stream:
        batches = [batch for name in names for batch in tests[name]]
        if not batches:
            return ()
        return Batches(TensorDataset(*(torch.cat(column) for column in zip(*batches, strict=True))), batch_size)

    return StreamSplit(
        forget=Batches(requests.data("forgotten"), batch_size),
        retain=Batches(requests.data("left"), batch_size),
        holdout=unseen(requests.left),
        holdout_forget=unseen(forgotten) if forgotten else None,
        kind=bool(forgotten),
        requests=requests,
        tests=tests,
    )
