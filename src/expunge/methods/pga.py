"""Projected gradient ascent: the client who leaves unlearns by itself, near what the others had learned; then all play on.

    theta_ref = mean of what the others sent in the last round
    max  mean_{x in D_n} loss(x; theta)      over  |theta - theta_ref|^2 <= delta,  from theta_ref
    delta  = 1/3 mean_m |theta_ref - r_m|^2,    r_m fresh networks
    stop   once |theta - theta_n|^2 > far,      theta_n what the client sent in the last round
    then   theta^{t+1} = FedAvg( theta^t; D_n, n stays )      for a few t

The loss has no ceiling: the ball and the stop are all that holds on to what stays. Both follow the published code: squared
distances, and a stop at 2.2, which fits its network.

Reference: A. Halimi, S. Kadhe, A. Rawat, N. Baracaldo. "Federated Unlearning: How to Efficiently Erase a Client in FL?",
arXiv 2207.05521.
Needs: the client who leaves and its data, what all sent in the last round, the clients who stay. Costs: `passes` of the client
over its data, and `rounds` rounds.
"""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest, Diverged
from expunge.federated.client_split import ClientSplit, continued
from expunge.federated.federation import State, average, log_work
from expunge.methods.method import Method
from expunge.optimizers import Optimizer
from expunge.split import Split, one_epoch
from expunge.tasks import Task


@dataclass(frozen=True)
class PGA(Method):
    """Ascend on the client's data within a ball, then recover.

    Args:
        passes: of the client over its data, at most.
        optimizer: of the ascent.
        clip_norm: largest norm of its gradient.
        radius: of the ball, squared, as a share of the mean squared distance to fresh networks.
        fresh: how many of these.
        far: squared distance to the client's own model at which it stops; None to go on.
        rounds: how many are played afterwards without those who leave.
    """

    passes: int = 5
    optimizer: Optimizer = Optimizer("sgd", 0.01, momentum=0.9)
    clip_norm: float = 5.0
    radius: float = 1 / 3
    fresh: int = 10
    far: float | None = 2.2
    rounds: int = 3

    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it takes clients out of a federation; of data that lie in one place take neggrad-plus"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("passes", "rounds"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        self.require(self.radius > 0 and self.clip_norm > 0, "radius and clip_norm must be above 0")
        self.require(self.fresh >= 1, f"fresh must be at least 1, not {self.fresh}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        own, others = sent_at_last(student, split)
        log_work(engine, stored_bytes=sum(2 * value.numel() * value.element_size() for value in own.values()))
        student.load_state_dict(others | {name: value for name, value in student.state_dict().items() if name not in others})
        self._ascend(student, own, task, split, engine)
        return continued(student, task, split, engine, self.rounds)

    def _ascend(self, model: nn.Module, own: State, task: Task[Any], split: ClientSplit, engine: Engine) -> None:
        parameters = list(model.parameters())
        start = parameters_to_vector(parameters).detach().clone()
        theirs = torch.cat([own[name].flatten() for name, _ in model.named_parameters()])
        drawn = [engine.new_model(task.new_model, f"fresh {place}") for place in range(self.fresh)]
        squared = [(parameters_to_vector(each.parameters()).detach() - start).square().sum() for each in drawn]
        ball = (self.radius * torch.stack(squared).mean()).sqrt()
        steps, streams = self.optimizer(parameters), [split.federation.clients[name] for name in split.leaving]
        model.train()
        for number in range(self.passes):
            log_work(engine, client_passes=len(streams))
            passes = (one_epoch(stream, engine.generator("ascent", number, place)) for place, stream in enumerate(streams))
            for batch in itertools.chain.from_iterable(passes):
                batch = on_device_of(model, batch)
                steps.zero_grad(set_to_none=True)
                loss = -task.losses(task.outputs(model, batch), batch).mean()
                if not loss.isfinite():
                    raise Diverged(f"pga: the loss of the ascent is {loss.item()} in pass {number}; lower the learning rate")
                loss.backward()
                clip_grad_norm_(parameters, self.clip_norm)
                steps.step()
                with torch.no_grad():
                    now = projected(parameters_to_vector(parameters), start, ball)
                    vector_to_parameters(now, parameters)
                    if self.far is not None and (now - theirs).square().sum() > self.far:
                        return


def projected(point: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """The nearest point of a ball.

    >>> projected(torch.tensor([3.0, 4.0]), torch.zeros(2), torch.tensor(1.0))
    tensor([0.6000, 0.8000])
    """
    way = point - centre
    distance = way.norm()
    return point if distance <= radius else centre + radius / distance * way


def sent_at_last(model: nn.Module, split: ClientSplit) -> tuple[State, State]:
    """What those who leave, and what those who stay, sent in the last round, each in the mean: floating-point tensors.

    Raises:
        BadRequest: if the server kept no updates of that round, or one of both groups took no part in it.
    """
    last = split.federation.rounds
    sent = {} if split.history is None else split.history.updates.get(last, {})
    goes = {name: update for name, update in sent.items() if name in split.leaving}
    stays = {name: update for name, update in sent.items() if name not in split.leaving}
    if not goes or not stays:
        raise BadRequest(
            f"pga: it needs what those who leave and those who stay sent in the last round, {last}; the server kept none of it"
        )
    whole, own, others = (_mean(part, split) for part in (sent, goes, stays))
    state = model.state_dict()
    start = {name: state[name].detach() - whole[name] for name in whole}  # the model that the last round began with
    return {name: start[name] + own[name] for name in whole}, {name: start[name] + others[name] for name in whole}


def _mean(updates: dict[str, State], split: ClientSplit) -> State:
    return average(list(updates.values()), [split.federation.weight(client) for client in updates])
