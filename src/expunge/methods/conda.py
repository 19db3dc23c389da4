"""ConDa: shrink the weights that a client who leaves has changed more than others have. No data, no client, no training.

    g_n       mean absolute update of client n, as the server recorded it            (`expunge.federated.Contributions`)
    q_j       = mean_{n stays} g_n,j / mean_{n leaves} g_n,j
    theta_j  <- min( lambda * q_j, U ) * theta_j                                     where q_j < alpha

It is selective synaptic dampening with recorded updates in the place of Fisher information. Nothing is selected of a client who
has changed no weight alone, and one who never took part is refused.

Which cut-off serves differs between clients, partitions and networks: the paper finds one for each client with the metrics in
view. Here it follows from the contributions. Of ln q over all weights, let q25 and q75 be the quartiles:

    ln alpha  =  q25 - fence * ( q75 - q25 )

Where a client is like the others few weights lie below this fence, and those that it pulled alone do. With 1.5 it is that of
J. W. Tukey's outliers ("Exploratory Data Analysis", 1977): a backdoor is gone then, and what the client's honest data have
taught mostly stays. With 1, the default, more of the latter goes too. `budget` sets the share of the weights that is dampened
instead, and `alpha` the cut-off itself.

The published code hands both groups to the dampening in the wrong order, and so shrinks what the client changed *least*: it
remembers the client better, and all others worse. `direction="released-code"` does that, to reproduce published tables.

Reference: V. S. Chundawat, P. Niroula, P. Dhungana, S. Schoepf, M. Mandal, A. Brintrup. "ConDa: Fast Federated Unlearning with
Contribution Dampening", arXiv 2410.04144.
Needs: contributions of the clients, no data. Costs: one pass over the weights.
"""

import copy
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.dampening import dampen
from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.federated.client_split import ClientSplit, continued
from expunge.federated.contributions import Contributions
from expunge.federated.federation import log_work
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import Task

Group = Literal["others", "all"]
Direction = Literal["leaving", "released-code"]
QUARTILES_OF = 1_000_000  # ratios at most, or twice as many; of more, as many spread evenly tell quartiles as well


@dataclass(frozen=True)
class Dampened:
    """A model without the clients who left, and what was done to it.

    Args:
        cutoff: the ratio below which weights were dampened.
        share: of all weights that were dampened.
        shares: the same of each tensor, by name.
    """

    model: nn.Module
    cutoff: float
    share: float
    shares: dict[str, float]


@dataclass(frozen=True)
class ConDa(Method):
    """Dampen by contributions.

    Args:
        alpha: cut-off on the ratio q; None for one that follows from the contributions.
        budget: share of the weights to dampen, in [0, 1], in place of `alpha`.
        fence: without both: how many quartile ranges below the lower quartile of ln q the cut-off lies, >= 0.
        lambda_: factor on the ratio, >= 0.
        upper: largest factor; 1 keeps weights from growing. The paper's runs on MNIST are said to have 10.
        compare: with whom those who leave are compared: "others", or "all", themselves too, as in the paper.
        rounds: ordinary rounds of those who stay, played afterwards; 0 as published, and where no client is at hand.
        direction: "leaving", or "released-code" for the defect of the published code, see the module.
    """

    alpha: float | None = None
    budget: float | None = None
    fence: float = 1.0
    lambda_: float = 1.0
    upper: float = 1.0
    compare: Group = "others"
    rounds: int = 0
    direction: Direction = "leaving"

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it takes clients out of a federation; of data that lie in one place ssd is alike"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.alpha is None or self.budget is None, "give alpha or budget, not both")
        self.require(self.alpha is None or self.alpha >= 0, f"alpha must be 0 or more, not {self.alpha}")
        self.require(self.budget is None or 0 <= self.budget <= 1, f"budget is a share in [0, 1], not {self.budget}")
        self.require(self.fence >= 0, f"fence must be 0 or more, not {self.fence}")
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")
        self.require(self.lambda_ >= 0, f"lambda_ must be 0 or more, not {self.lambda_}")
        self.require(self.upper > 0, f"upper must be above 0, not {self.upper}")
        self.require(self.compare in ("others", "all"), f"compare is 'others' or 'all', not {self.compare!r}")
        known = self.direction in ("leaving", "released-code")
        self.require(known, f"direction is 'leaving' or 'released-code', not {self.direction!r}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        if split.contributions is None:
            raise BadRequest("conda: the server kept no contributions of its clients, so it cannot tell them apart now")
        log_work(engine, stored_bytes=split.contributions.bytes)
        dampened = self.take_out(student, split.contributions, split.leaving).model
        return continued(dampened, task, split, engine, self.rounds)

    def take_out(self, model: nn.Module, contributions: Contributions, leaving: Collection[str]) -> Dampened:
        """Take clients out of a model; the one that is given is left as it is.

        Args:
            model: the federation's last model.
            contributions: of all its clients.
            leaving: the names of those who leave.

        Raises:
            BadRequest: if nobody leaves or would stay, if one of them never took part, or if the contributions are those of
                another model.
        """
        names = sorted(set(leaving))
        goes = contributions.of(names)
        others = [client for client in contributions.clients if self.compare == "all" or client not in names]
        if len(set(contributions.clients) - set(names)) == 0:
            raise BadRequest(f"all {len(names)} clients leave; to forget everybody, delete the model")
        model = copy.deepcopy(model)
        weights: dict[str, Tensor] = dict(model.named_parameters())
        _check(weights, goes)
        stays = contributions.of(others)
        if self.direction == "released-code":
            goes, stays = stays, goes
        cutoff = self.cutoff(stays, goes)
        place = next(iter(weights.values())).device
        stays, goes = ({name: value.to(place) for name, value in group.items()} for group in (stays, goes))
        shares = dampen(model, stays, goes, cutoff, self.lambda_, self.upper)
        total = sum(weights[name].numel() for name in shares)
        return Dampened(model, cutoff, sum(shares[name] * weights[name].numel() for name in shares) / total, shares)

    def cutoff(self, stays: dict[str, Tensor], goes: dict[str, Tensor]) -> float:
        """The ratio below which weights are dampened.

        Args:
            stays, goes: contributions of both groups, by name; of the same shapes.
        """
        if self.alpha is not None:
            return self.alpha
        ratio = torch.cat([(stays[name] / goes[name]).flatten() for name in goes])
        total, ratio = len(ratio), ratio[ratio.isfinite()]  # 0/0 and x/0: the client has not changed it
        if self.budget is not None:
            count = round(self.budget * total)
            return float(ratio.kthvalue(count + 1).values) if count < len(ratio) else math.inf
        ratio = ratio[:: max(1, len(ratio) // QUARTILES_OF)]
        ratio = ratio[ratio > 0]
        if not len(ratio):
            return 0.0
        low, high = (math.log(ratio.kthvalue(1 + int(level * (len(ratio) - 1))).values) for level in (0.25, 0.75))
        return math.exp(low - self.fence * (high - low))


def _check(weights: dict[str, Tensor], contributions: dict[str, Tensor]) -> None:
    """Refuse contributions to another network."""
    for name, value in contributions.items():
        if name not in weights:
            raise BadRequest(f"the contributions are of another model: this one has no '{name}'")
        if weights[name].shape != value.shape:
            shapes = f"{tuple(value.shape)}, in the model {tuple(weights[name].shape)}"
            raise BadRequest(f"the contributions are of another model: '{name}' has shape {shapes}")
