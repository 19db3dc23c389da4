"""FedOSD: steepest descent on the client's unlearning loss, at right angles to what every other client would feel.

    g_u = grad mean_{x in D_n, n leaves} -ln( 1 - p_y(x) / 2 ),        g_n = grad mean_{x in D_n} loss(x),   n stays
    d   = g_u - G' (G G')^+ G g_u,   G the rows g_n;   theta <- theta - eta |g_u| d / |d|      for `steps` rounds
    then ordinary rounds of those who stay, in which each update loses its part along theta_unlearned - theta_trained, and
    is made as long as it was: so that nothing goes back

p_y is the probability of the label: the loss is low where the label is found unlikely, and has a floor. As published every
round takes one step on the whole gradient of each client; here rounds after the unlearning are the federation's own.

Reference: Z. Pan, Z. Wang, C. Li, K. Zheng, B. Wang, X. Tang, J. Zhao. "Federated Unlearning with Gradient Descent and Conflict
Mitigation", AAAI 2025, arXiv 2412.20200.
Needs: all clients, those who leave too. Costs: a pass of every client over its data for each step, and `rounds` rounds.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from expunge.engine import Engine, on_device_of
from expunge.errors import Diverged
from expunge.federated.client_split import ClientSplit, losses_of
from expunge.federated.federation import Loss, log_work, state_of
from expunge.methods.method import Method
from expunge.split import Split, Stream, one_epoch
from expunge.tasks import ClassificationTask, Task


@dataclass(frozen=True)
class FedOSD(Method):
    """Orthogonal steepest descent, then recovery that does not go back.

    Args:
        steps: rounds of unlearning, of one step each.
        learning_rate: eta, > 0.
        rounds: of recovery.
    """

    steps: int = 30
    learning_rate: float = 0.05
    rounds: int = 3

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (ClassificationTask,)
    splits: ClassVar[type[Split]] = ClientSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it makes the labels of a leaving client unlikely; take conda for other federations"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "rounds"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        self.require(self.learning_rate > 0, f"learning_rate must be above 0, not {self.learning_rate}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(split, ClientSplit)
        trained = parameters_to_vector(student.parameters()).detach().clone()
        goes = [split.federation.clients[name] for name in split.leaving]
        stays = list(split.rest.clients.values())
        student.eval()
        for number in range(self.steps):
            wanted = torch.stack([gradient(student, unlikely(task), stream) for stream in goes]).mean(0)
            others = torch.stack([gradient(student, losses_of(task), stream) for stream in stays])
            if not (wanted.isfinite().all() and others.isfinite().all()):
                raise Diverged(f"fed-osd: the gradient is not finite in step {number}; lower the learning rate")
            log_work(engine, rounds=1, client_passes=len(goes) + len(stays))
            way = orthogonal(wanted, others)
            if not way.norm() > 0:
                break
            with torch.no_grad():
                step = self.learning_rate * wanted.norm() / way.norm() * way
                vector_to_parameters(parameters_to_vector(student.parameters()) - step, student.parameters())
        return self._recovered(student, trained, task, split, engine)

    def _recovered(self, model: nn.Module, trained: Tensor, task: Task[Any], split: ClientSplit, engine: Engine) -> nn.Module:
        rest, loss = split.rest, losses_of(task)
        for number in range(split.federation.rounds + 1, split.federation.rounds + 1 + self.rounds):
            start = parameters_to_vector(model.parameters()).detach()
            sent = rest.sent(model, loss, engine, number)
            for client, state in sent.items():
                local = copy.deepcopy(model)
                local.load_state_dict(state)
                change = parameters_to_vector(local.parameters()).detach() - start
                with torch.no_grad():
                    vector_to_parameters(start + not_back(change, start - trained), local.parameters())
                sent[client] = state_of(local)
            model.load_state_dict(rest.mean(sent))
        return model


def unlikely(task: Task[Any]) -> Loss:
    """-ln(1 - p_y / 2) of each example, shape (n,): between 0 and ln 2."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        chances = F.softmax(task.outputs(model, batch), 1).gather(1, batch[1][:, None]).squeeze(1)
        return -torch.log1p(-chances / 2)

    return loss


def gradient(model: nn.Module, loss: Loss, stream: Stream) -> Tensor:
    """The gradient of the mean loss over a stream, over all parameters: shape (P,)."""
    parameters, count = list(model.parameters()), 0
    total = torch.zeros(sum(each.numel() for each in parameters), device=parameters[0].device)
    for batch in one_epoch(stream, torch.Generator().manual_seed(0)):
        losses = loss(model, on_device_of(model, batch))
        found = torch.autograd.grad(losses.sum(), parameters)
        total = total + torch.cat([each.flatten() for each in found])
        count += len(losses)
    return total / count


def orthogonal(wanted: Tensor, others: Tensor) -> Tensor:
    """What is left of a direction at right angles to all others: shape (P,).

    >>> orthogonal(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    tensor([0., 0., 3.])
    """
    gram = (others @ others.T).double()
    return wanted - others.T @ (torch.linalg.pinv(gram, hermitian=True) @ (others @ wanted).double()).to(wanted)


def not_back(change: Tensor, gone: Tensor) -> Tensor:
    """A change without its part along the way that was gone, as long as it was.

    >>> not_back(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]))
    tensor([0., 5.])
    """
    if not gone.norm() > 0:
        return change
    left = change - (change @ gone) / gone.square().sum() * gone
    return left * change.norm() / left.norm() if left.norm() > 0 else left
