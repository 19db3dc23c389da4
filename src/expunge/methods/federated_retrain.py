"""Federated retraining: play all rounds again without those who leave. The gold that all are held against.

    theta^0 fresh,      theta^{t+1} = FedAvg( theta^t; D_n, n stays )      for t = 1 ... T

Exact by construction: the result has never met the client.

Reference: B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas. "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629.
Needs: all clients who stay, for all rounds. Costs: a whole training of the federation.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.federated.client_split import ClientSplit, losses_of
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class FederatedRetrain(Method):
    """Train a fresh model in the federation that is left, with its own rounds and settings."""

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it plays the rounds of a federation; of data that lie in one place take retrain"

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        return split.rest.play(engine.new_model(task.new_model), losses_of(task), engine)
