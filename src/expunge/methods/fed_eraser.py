"""FedEraser: play a stored training again without those who leave, with old lengths of steps and new directions.

    Theta^1 = theta^0 + sum_n w_n U_n^1                                       U_n^t the update that n sent in round t
    Theta^{j+1} = Theta^j + sum_n w_n |U_n^t| V_n / |V_n|                     for each further round t that was kept

V_n is what a short training of n from the calibrated model Theta^j changes, norms are those of each tensor, and n are those who
stay. A step is as long as it was, at a fraction of the client's work; rounds that were not kept are left out.

Reference: G. Liu, X. Ma, Y. Yang, C. Wang, J. Liu. "Federated Unlearning", arXiv 2012.13891; as "FedEraser: Enabling Efficient
Client-Level Data Removal from Federated Learning Models", IWQoS 2021.
Needs: the history of all clients' updates, all clients who stay. Costs: `calibration` of their work in the rounds that are
replayed; memory for each client, parameter and round.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.federated.client_split import ClientSplit, losses_of
from expunge.federated.federation import State, log_work, state_of
from expunge.federated.history import changes
from expunge.methods.method import Method
from expunge.split import Split, Stream, one_epoch
from expunge.tasks import Task


@dataclass(frozen=True)
class FedEraser(Method):
    """Replay by calibrated updates.

    Args:
        every: rounds from one that is replayed to the next.
        calibration: share of a client's batches that it trains on in a round, in (0, 1].
    """

    every: int = 2
    calibration: float = 0.5

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it replays the rounds of a federation; of data that lie in one place take finetune"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.every >= 1, f"every must be at least 1, not {self.every}")
        self.require(0 < self.calibration <= 1, f"calibration must lie in (0, 1], not {self.calibration}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        history, rest = split.history, split.rest
        if history is None or not history.rounds:
            raise BadRequest("fed-eraser: the server kept no updates of single rounds, so none can be replayed; take conda")
        short = replace(rest, clients={name: Shortened(stream, self.calibration) for name, stream in rest.clients.items()})
        first, loss = history.rounds[0], losses_of(task)
        log_work(engine, stored_bytes=history.bytes)
        student.load_state_dict(history.initial)
        for number in [each for each in history.rounds if (each - first) % self.every == 0]:
            old = {name: update for name, update in history.updates[number].items() if name in rest.clients}
            if not old:  # only those who leave took part
                continue
            steps = old
            if number != first:
                before = state_of(student)
                sent = replace(short, clients={name: short.clients[name] for name in old}, fraction=1.0)
                new = {name: changes(before, after) for name, after in sent.sent(student, loss, engine, number).items()}
                steps = {name: calibrated(old[name], new[name]) for name in old}
            _move(student, steps, {name: rest.weight(name) for name in old})
        return student


def calibrated(old: State, new: State) -> State:
    """Each tensor as long as it was and in its new direction; one that did not move now is left out of the step.

    >>> calibrated({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([0.0, 2.0])})
    {'w': tensor([0., 5.])}
    """
    lengths = {name: value.norm() for name, value in new.items()}
    return {name: old[name].norm() / lengths[name] * new[name] if lengths[name] > 0 else 0 * new[name] for name in new}


def _move(model: nn.Module, steps: dict[str, State], weights: dict[str, float]) -> None:
    """Add the mean of the clients' steps."""
    total, state = sum(weights.values()), copy.deepcopy(model.state_dict())
    for client, step in steps.items():
        for name, value in step.items():
            state[name] += weights[client] / total * value
    model.load_state_dict(state)


@dataclass(frozen=True)
class Shortened:
    """The first batches of a pass over a stream."""

    stream: Stream
    share: float

    def __len__(self) -> int:
        return math.ceil(self.share * len(self.stream))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return self.epoch(torch.Generator().manual_seed(0))

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        """One pass, cut short, in an order drawn from `generator`."""
        for place, batch in enumerate(one_epoch(self.stream, generator)):
            if place == len(self):
                return
            yield batch
