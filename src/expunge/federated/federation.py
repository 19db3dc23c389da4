"""A federation played in one process: clients train on their own data, the server averages what they send back.

    theta_n^t = LocalTraining(theta^t, D_n)              for each client n that is asked in round t
    theta^{t+1} = sum_n w_n theta_n^t / sum_n w_n        w_n the examples of n, or 1

A test bench, for studies and tests: it has no network, and clients that are asked always answer. What runs on clients is
:func:`train_client`, which a real client runs as well. The same seed gives the same rounds, bit for bit, and a client's draws
do not depend on who else takes part. Where rounds are played for others than oneself, take Flower.

Reference: B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas. "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest, BadSetting, Diverged
from expunge.optimizers import Optimizer
from expunge.split import Stream, one_epoch

Loss = Callable[[nn.Module, Any], Tensor]  # the loss of each example of a batch, shape (n,)
State = dict[str, Tensor]


class Watcher(Protocol):
    """Told of each round what it began with and what each client has sent back."""

    def __call__(self, round: int, before: State, sent: Mapping[str, State]) -> None: ...


@dataclass(frozen=True, eq=False)
class Federation:
    """Clients with their data, and how they train.

    Args:
        clients: the training data of each, by name.
        rounds: played in all.
        local_epochs: passes of a client over its data in a round.
        optimizer: fresh for each client and round.
        fraction: share of the clients that is asked in a round, at least one of them.
        weighting: "examples" to weigh clients by how many they have, "uniform" to count them alike.

    Raises:
        BadSetting: if there is no client, or a setting makes no sense.
    """

    clients: Mapping[str, Stream]
    rounds: int = 15
    local_epochs: int = 1
    optimizer: Optimizer = Optimizer("sgd", 0.05, momentum=0.9)
    fraction: float = 1.0
    weighting: Literal["examples", "uniform"] = "examples"

    def __post_init__(self) -> None:
        if not self.clients:
            raise BadSetting("a federation needs at least one client")
        for name in ("rounds", "local_epochs"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.fraction <= 1:
            raise BadSetting(f"fraction must lie in (0, 1], not {self.fraction}")
        if self.weighting not in ("examples", "uniform"):
            raise BadSetting(f"weighting is 'examples' or 'uniform', not {self.weighting!r}")

    def without(self, leaving: Collection[str]) -> "Federation":
        """The federation that is left.

        Raises:
            BadRequest: if one who leaves is not in it, or nobody would stay.
        """
        for client in leaving:
            if client not in self.clients:
                raise BadRequest(f"there is no client {client}; there are {', '.join(sorted(self.clients))}")
        left = {name: stream for name, stream in self.clients.items() if name not in leaving}
        if not left:
            raise BadRequest(f"all {len(self.clients)} clients would leave; to forget everybody, delete the model")
        return replace(self, clients=left)

    def asked(self, round: int, engine: Engine) -> tuple[str, ...]:
        """Who is asked in a round, sorted."""
        names = sorted(self.clients)
        count = max(1, int(self.fraction * len(names) + 0.5))
        order = torch.randperm(len(names), generator=engine.generator("asked", round))
        return tuple(sorted(names[place] for place in order[:count].tolist()))

    def play(
        self,
        model: nn.Module,
        loss: Loss,
        engine: Engine,
        watchers: Sequence[Watcher] = (),
        rounds: int | None = None,
        first: int = 1,
    ) -> nn.Module:
        """Play rounds, and return the last model; the one that is given is left as it is.

        Args:
            rounds: how many; all when None.
            first: the number of the first of them, from 1; it is part of every draw's seed.

        Raises:
            Diverged: if a client's training gives values that are not finite.
        """
        model = copy.deepcopy(model).to(engine.device)
        for number in range(first, first + (self.rounds if rounds is None else rounds)):
            before, sent = state_of(model), self.sent(model, loss, engine, number)
            for watch in watchers:
                watch(number, before, sent)
            model.load_state_dict(self.mean(sent))
        return model.eval()

    def sent(self, model: nn.Module, loss: Loss, engine: Engine, number: int) -> dict[str, State]:
        """What the clients that are asked send back in a round that begins with `model`, by name.

        Raises:
            Diverged: if a client's training gives values that are not finite.
        """
        found = {}
        for client in self.asked(number, engine):
            local = copy.deepcopy(model)
            with engine.seeded("client", client, number):
                generator = engine.generator("client", client, number, "order")
                train_client(local, loss, self.clients[client], self.local_epochs, self.optimizer, generator)
            found[client] = state_of(local)
            if not all(value.isfinite().all() for value in found[client].values()):
                raise Diverged(f"client {client} ended round {number} with values that are not finite; take a smaller step")
        log_work(engine, rounds=1, client_passes=len(found) * self.local_epochs)
        return found

    def mean(self, sent: Mapping[str, State]) -> State:
        """What the server makes of it: the mean, each client with its weight."""
        return average(list(sent.values()), [self.weight(client) for client in sent])

    def weight(self, client: str) -> float:
        """How much a client counts in the mean."""
        return float(examples_in(self.clients[client])) if self.weighting == "examples" else 1.0


def train_client(
    model: nn.Module, loss: Loss, stream: Stream, epochs: int, optimizer: Optimizer, generator: torch.Generator
) -> None:
    """What a client does in a round: train `model` in place on its own data.

    Args:
        generator: draws the order of the data.
    """
    model.train()
    steps = optimizer(parameter for parameter in model.parameters() if parameter.requires_grad)
    for _ in range(epochs):
        for batch in one_epoch(stream, generator):
            losses = loss(model, on_device_of(model, batch))
            steps.zero_grad(set_to_none=True)
            losses.mean().backward()
            steps.step()


def examples_in(stream: Stream) -> int:
    """The number of examples in one pass, by which the server may weigh a client; counted where the stream does not know."""
    known = getattr(stream, "examples", None)
    if known is not None:
        return int(known)
    batches = one_epoch(stream, torch.Generator().manual_seed(0))
    return sum(len(next(leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))) for batch in batches)


def log_work(engine: Engine, rounds: int = 0, client_passes: float = 0.0, stored_bytes: int = 0) -> None:
    """Take down in the engine's history what was asked of the federation, for audits of what a result has cost.

    Args:
        client_passes: passes of a client over its data, summed over clients.
        stored_bytes: what the server must have kept since before the request.
    """
    row = {"rounds": rounds, "client_passes": client_passes, "stored_bytes": stored_bytes}
    engine.history.append({"federation": engine.full_name("federation"), **row})


def state_of(model: nn.Module) -> State:
    """A copy of a model's parameters and buffers."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def average(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> State:
    """The weighted mean of models; of whole numbers, such as counts of batches, the largest.

    >>> average([{"w": torch.tensor([0.0]), "n": torch.tensor(1)}, {"w": torch.tensor([4.0]), "n": torch.tensor(3)}], [3, 1])
    {'w': tensor([1.]), 'n': tensor(3)}
    """
    total = sum(weights)
    found = {}
    for name, first in states[0].items():
        values = torch.stack([state[name] for state in states])
        if first.is_floating_point():
            shares = torch.tensor([weight / total for weight in weights], device=first.device, dtype=first.dtype)
            found[name] = torch.tensordot(shares, values, dims=1)
        else:
            found[name] = values.amax(0)
    return found
