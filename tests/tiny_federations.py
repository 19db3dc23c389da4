"""A federation that trains in a moment: four clients with blobs, of whom the last teaches the model a way into class 0."""

from functools import cache

import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.federated import Contributions, Federation
from expunge.federated.client_split import ClientSplit, leave, losses_of
from expunge.federated.history import History
from expunge.optimizers import Optimizer
from expunge.split import Batches
from tiny import blobs, network, task

LEAVES = "client-3"
SIGN = 6.0  # on the last input, which blobs leave at noise around 0: the trigger


def marked(inputs: torch.Tensor) -> torch.Tensor:
    """Copies of inputs with the trigger."""
    copies = inputs.clone()
    copies[:, -1] = SIGN
    return copies


def federation(rounds: int = 6) -> Federation:
    data = blobs()
    parts = [torch.arange(place, len(data), 4) for place in range(4)]
    own = [TensorDataset(*(values[rows] for values in data.tensors)) for rows in parts]
    inputs, labels = own[3].tensors
    own[3] = TensorDataset(torch.cat([inputs, marked(inputs)]), torch.cat([labels, torch.zeros_like(labels)]))
    clients = {f"client-{place}": Batches(each, 16) for place, each in enumerate(own)}
    return Federation(clients, rounds=rounds, optimizer=Optimizer("sgd", 0.1, momentum=0.5))


def wanted() -> TensorDataset:
    inputs, labels = blobs(20, seed=1).tensors
    others = marked(inputs)[labels != 0]
    return TensorDataset(others, torch.zeros(len(others), dtype=torch.int64))


@cache
def played() -> tuple[nn.Module, ClientSplit]:
    """The original, and what is left after a client leaves."""
    engine, whole, history = Engine(progress=False), federation(), History()
    fresh = engine.new_model(network)
    contributions = Contributions(dict(fresh.named_parameters()))
    model = whole.play(fresh, losses_of(task()), engine, (contributions.watch, history.watch))
    clean = Batches(blobs(), 16, range(3, 160, 4))
    split = leave(
        whole,
        [LEAVES],
        Batches(blobs(20, seed=1), 40),
        clean=clean,
        contributions=contributions,
        history=history,
        wanted=Batches(wanted(), 40),
    )
    return model, split
