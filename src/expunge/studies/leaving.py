"""A client leaves a federation that was kept as one file: no data, no network, no training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.federated.snapshot import Snapshot
from expunge.methods.conda import ConDa, Dampened
from expunge.storage import write_text, write_weights

MODEL, FEDERATION, RECORD = "model.safetensors", "federation.safetensors", "leaving.json"


@dataclass(frozen=True, eq=False)
class Left:
    """A federation without the clients who left.

    Args:
        clients: who left.
        round: the round after which they did.
        done: the model without them, and what was dampened.
        snapshot: the federation to go on with.
    """

    clients: tuple[str, ...]
    round: int
    done: Dampened
    snapshot: Snapshot


def leave_federation(snapshot: Snapshot, clients: Sequence[str], method: ConDa = ConDa()) -> Left:
    """Take clients out of a federation's last model, and out of what is kept of its clients.

    Raises:
        BadRequest: if nobody leaves or would stay, or if one of them never took part.
        BadSetting: if the method asks for more rounds, which need clients.
    """
    if method.rounds:
        raise BadSetting("rounds need the clients who stay: start the federation again with the file that is left")
    names = tuple(sorted(set(clients)))
    model = module_of(snapshot.model, snapshot.contributions.shapes)
    done = method.take_out(model, snapshot.contributions, names)
    state = done.model.state_dict()
    left = {name: state[name] for name in snapshot.model}
    return Left(names, snapshot.round, done, Snapshot(left, snapshot.contributions.without(names), snapshot.round))


def write_left(left: Left, folder: Path, method: ConDa) -> None:
    """Write the model, the federation without those who left, and what was done, into a folder."""
    write_weights(folder / MODEL, left.snapshot.model)
    left.snapshot.save(folder / FEDERATION)
    said = {
        "clients": left.clients,
        "after_round": left.round,
        "method": repr(method),
        "cutoff": left.done.cutoff,
        "share": left.done.share,
        "shares": left.done.shares,
    }
    write_text(folder / RECORD, json.dumps(said, indent=2) + "\n")


def module_of(state: Mapping[str, Tensor], parameters: Mapping[str, object]) -> nn.Module:
    """A module that holds some tensors under their names and computes nothing; those in `parameters` are its parameters.

    >>> import torch
    >>> list(module_of({"body.0.weight": torch.zeros(2), "count": torch.tensor(1)}, {"body.0.weight": 1}).state_dict())
    ['count', 'body.0.weight']
    """
    root = nn.Module()
    for name, value in state.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        if name in parameters:
            place.register_parameter(last, nn.Parameter(value.clone(), requires_grad=False))
        else:
            place.register_buffer(last, value.clone())
    return root
