"""Continue without: ordinary rounds of those who stay, and hope that the rest fades.

    theta^{t+1} = FedAvg( theta^t; D_n, n stays )      from the trained theta, for a few t

What a federation does when it does nothing. A backdoor does not fade: no other client has images with the patch, so none says
that its answer is wrong.

Reference: B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas. "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629.
Needs: the clients who stay. Costs: `rounds` rounds.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.federated.client_split import ClientSplit, continued
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class ContinueWithout(Method):
    """Play on without those who leave.

    Args:
        rounds: how many.
    """

    rounds: int = 3

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it plays the rounds of a federation; of data that lie in one place take finetune"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        return continued(student, task, split, engine, self.rounds)
