"""Weight negation (NoT): turn the sign of the first layer, and let those who stay train on.

    theta_1 <- -theta_1,      then  theta^{t+1} = FedAvg( theta^t; D_n, n stays )      for a few t

All that later layers had learned stands on inputs that are the negative of what they were. The model is broken at first, for
everybody, and what is repaired is what somebody still has data for.

Reference: Y. H. Khalil, L. Brunswic, S. Lamghari, X. Li, M. Beitollahi, X. Chen. "NoT: Federated Unlearning via Weight
Negation", CVPR 2025, arXiv 2503.05657.
Needs: the clients who stay; nothing stored, not even who leaves. Costs: `rounds` rounds.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.federated.client_split import ClientSplit, continued
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import Task


@dataclass(frozen=True)
class WeightNegation(Method):
    """Negate the first layer, then play on without those who leave.

    Args:
        layers: names of the modules whose own parameters are negated; the first one that has any when None.
        rounds: how many are played afterwards.
    """

    layers: tuple[str, ...] | None = None
    rounds: int = 3

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it is repaired by the rounds of a federation; for data in one place take shrink-perturb"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        own = {name: list(module.parameters(recurse=False)) for name, module in student.named_modules()}
        layers = self.layers or tuple(name for name, values in own.items() if values)[:1]
        with torch.no_grad():
            for name in layers:
                if not own.get(name):
                    having = ", ".join(each for each, values in own.items() if values)
                    raise BadRequest(f"weight-negation: '{name}' has no parameters of its own; those that have are {having}")
                for value in own[name]:
                    value.neg_()
        return continued(student, task, split, engine, self.rounds)
