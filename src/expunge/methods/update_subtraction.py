"""Update subtraction: take away what the client who leaves has added, round by round; then let those who stay train on.

    theta  <-  theta - share * sum_t p_n^t U_n^t            p_n^t the client's weight in round t, U_n^t the update that it sent
    then   theta^{t+1} = FedAvg( theta^t; D_n, n stays )      for a few t

Each later round was answered to what the client had added before, so what is left is no model that any training has seen. As
published, the server repairs it by distilling from the old model on data of its own; a server that has none lets clients do it.

Reference: C. Wu, S. Zhu, P. Mitra. "Federated Unlearning with Knowledge Distillation", arXiv 2201.09441.
Needs: the updates of all rounds, the clients who stay. Costs: `rounds` rounds; memory for each client, parameter and round, or
for each client and parameter where the weighted sum is kept.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.federated.client_split import ClientSplit, continued
from expunge.federated.federation import log_work
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class UpdateSubtraction(Method):
    """Subtract the client's updates, then recover.

    Args:
        share: of what the client added, in [0, 1].
        rounds: how many are played afterwards without those who leave.
    """

    share: float = 1.0
    rounds: int = 3

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it subtracts what a client of a federation sent; for data in one place take gradient-ascent"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.share <= 1, f"share must lie in [0, 1], not {self.share}")
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        history, federation = split.history, split.federation
        if history is None or history.every != 1:
            raise BadRequest("update-subtraction: it needs what the client sent in every round, and the server did not keep it")
        log_work(engine, stored_bytes=history.bytes // max(1, len(history.rounds)))
        state = student.state_dict()
        with torch.no_grad():
            for sent in history.updates.values():
                total = sum(map(federation.weight, sent))
                for client in [name for name in sent if name in split.leaving]:
                    for name, update in sent[client].items():
                        state[name] -= self.share * federation.weight(client) / total * update
        return continued(student, task, split, engine, self.rounds)
