"""A federation that some clients leave, as a split: their data must go, those of all others stay.

Methods that are told of clients alone look at `contributions` and at none of the streams; those that play rounds play
`rest`. The streams are there for audits, which in a federation of your own only the clients could make.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.federated.contributions import Contributions
from expunge.federated.federation import Federation, Loss
from expunge.federated.history import History
from expunge.split import Split, Stream, one_epoch, stream_digest
from expunge.tasks import Task

_BESIDE = {"digest": False}  # what follows from the streams, or is a record of a training


@dataclass(frozen=True, kw_only=True)
class ClientSplit(Split):
    """See the module; :func:`leave` makes one.

    Args:
        federation: all clients as they trained, those who leave too.
        leaving: the names of those who leave.
        contributions: what the server keeps of each client; None where it kept nothing.
        history: what each client has sent in single rounds; None where the server kept nothing.
        wanted: unseen inputs with the answers that a leaving client was out for, such as patched images and the class of its
            backdoor; empty where it meant no harm.
    """

    federation: Federation = field(metadata=_BESIDE)
    leaving: tuple[str, ...]
    contributions: Contributions | None = field(default=None, metadata=_BESIDE)
    history: History | None = field(default=None, metadata=_BESIDE)
    wanted: Stream = ()

    @property
    def rest(self) -> Federation:
        """The federation that is left."""
        return self.federation.without(self.leaving)


def leave(
    federation: Federation,
    leaving: Collection[str],
    holdout: Stream = (),
    *,
    clean: Stream | None = None,
    contributions: Contributions | None = None,
    history: History | None = None,
    wanted: Stream = (),
) -> ClientSplit:
    """What must go and what stays when some clients leave.

    Args:
        leaving: names of clients.
        holdout: unseen examples.
        clean: what must go, where that is not all that they trained on: the data of a client that trained on more than its
            own, such as patched copies.
        contributions: see :class:`ClientSplit`, as of the others.
        history: of single rounds.
        wanted: what an attack was out for.

    Raises:
        BadRequest: if nobody leaves, one of them is not in the federation, or nobody would stay.
    """
    if not leaving:
        raise BadRequest("no client is named that leaves")
    names = tuple(sorted(set(leaving)))
    rest = federation.without(names)
    return ClientSplit(
        forget=Together([federation.clients[name] for name in names]) if clean is None else clean,
        retain=Together(list(rest.clients.values())),
        holdout=holdout,
        federation=federation,
        leaving=names,
        contributions=contributions,
        history=history,
        wanted=wanted,
    )


def continued(model: nn.Module, task: Task[Any], split: ClientSplit, engine: Engine, rounds: int) -> nn.Module:
    """The model after ordinary rounds of those who are left, numbered on from the last one of the original."""
    rest = split.rest
    return rest.play(model, losses_of(task), engine, rounds=rounds, first=split.federation.rounds + 1) if rounds else model


def losses_of(task: Task[Any]) -> Loss:
    """What clients train on: the task's loss of each example."""
    return lambda model, batch: task.losses(task.outputs(model, batch), batch)


@dataclass(frozen=True)
class Together:
    """Several streams as one: one after the other, and in training their batches in a random order."""

    streams: Sequence[Stream]

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.streams)  # type: ignore[arg-type, misc]

    @property
    def examples(self) -> int:
        """Examples in one pass, where all streams know theirs."""
        return sum(stream.examples for stream in self.streams)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:
        for stream in self.streams:
            yield from stream

    @property
    def digest(self) -> str:
        """Of what all streams hold."""
        return f"together {' '.join(stream_digest(stream) for stream in self.streams)}"

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        """One pass in an order drawn from `generator`."""
        batches = [batch for stream in self.streams for batch in one_epoch(stream, generator)]
        return (batches[place] for place in torch.randperm(len(batches), generator=generator).tolist())
