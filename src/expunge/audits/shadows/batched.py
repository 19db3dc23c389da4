"""Many networks of one architecture, trained as one: their weights are stacked, and each step moves all of them.

    theta_k <- theta_k - update( grad mean_{x in batch_k} loss(x; theta_k) ),      k = 1 ... N, in one call

Each network has its own initial weights, rows and order of batches. Optimizers work number by number, so one of `torch.optim`
on the stacked weights does what N of them would do: the networks are those of training one by one, but for rounding. What the
trainings share is the cost of calling each operation, which is nearly all of a small network's. The arithmetic stays, and
stacked weights and gradients that outgrow the processor's cache cost more than they save: on a CPU it pays for small networks
alone, see :func:`pays`.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from expunge.engine import on_device_of
from expunge.errors import BadSetting, Diverged
from expunge.optimizers import Optimizer, Schedule, learning_rate_factor
from expunge.tasks import ClassificationTask, RegressionTask, Task

PAYS_UP_TO = 30_000  # parameters of a network, on a CPU; see benchmarks/shadow_training.py
_STACKED = {"cpu": 2**20, "cuda": 2**28}  # most numbers in the stacked weights: beyond, they leave the cache, or the memory
_RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU)


@dataclass(frozen=True)
class Recipe:
    """How each network is trained; the fields are those of the method that retrains.

    Args:
        epochs: passes over a network's rows.
        optimizer: with its learning rate.
        schedule: of the learning rate over all steps.
        clip_norm: largest norm of each network's gradient; None for no clipping.
    """

    epochs: int
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = "constant"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise BadSetting(f"epochs must be 0 or more, not {self.epochs}")


def recipe_of(train: Any) -> Recipe | None:
    """The recipe behind the training function of a retraining method; None where it may do anything else."""
    owner = getattr(train, "__self__", None)
    if getattr(train, "__qualname__", "") != "Retrain.train" or type(owner).__name__ != "Retrain":
        return None
    found = Recipe(**{field.name: getattr(owner, field.name) for field in fields(Recipe)})
    return found if isinstance(found.optimizer, Optimizer) else None


def can_batch(task: Task[Any], model: nn.Module, batch: Any = None) -> tuple[bool, str]:
    """Whether networks like `model` can be trained as one, and why not.

    Args:
        batch: one to try it on; without it only the kinds of layers are looked at.
    """
    if not task.vectorizes or not isinstance(task, ClassificationTask | RegressionTask):
        return False, f"batches of {type(task).__name__} can't be stacked"
    for name, module in model.named_modules():
        kind = type(module).__name__
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            return False, f"{kind} '{name}' changes running statistics in place"
        if isinstance(module, _RANDOM) and getattr(module, "p", 1.0) > 0:
            return False, f"{kind} '{name}' draws random numbers, others than in training one by one"
        if isinstance(module, nn.RNNBase):
            return False, f"{kind} '{name}' is one operation that can't be stacked"
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return False, "the network has nothing to train"
    return _tried(task, model, batch) if batch is not None else (True, "")


def _tried(task: Task[Any], model: nn.Module, batch: Any) -> tuple[bool, str]:
    """Two copies of the network put to the test on one batch."""
    pair = copy.deepcopy([model, model])
    try:
        stack = _Stack(task, pair, Recipe(1))
        stack.losses(tuple(torch.stack([part, part]) for part in on_device_of(model, batch))).sum().backward()
    except (RuntimeError, ValueError, NotImplementedError) as error:
        return False, f"torch.func.vmap can't run the network: {str(error).splitlines()[0]}"
    return True, ""


def pays(model: nn.Module, device: torch.device) -> bool:
    """Whether training many networks like `model` as one is quicker than one by one."""
    return device.type != "cpu" or sum(parameter.numel() for parameter in model.parameters()) <= PAYS_UP_TO


def networks_at_a_time(model: nn.Module, device: torch.device) -> int:
    """How many networks like `model` to stack."""
    size = sum(parameter.numel() for parameter in model.parameters())
    return max(1, _STACKED["cpu" if device.type == "cpu" else "cuda"] // max(1, size))


def train_batched(
    task: Task[Any],
    models: Sequence[nn.Module],
    data: Sequence[Tensor],
    rows: Tensor,
    recipe: Recipe,
    batch_size: int,
    generator: Callable[[int, int], torch.Generator],
    on_epoch: Callable[[int, Tensor, float], None] | None = None,
) -> list[nn.Module]:
    """Train networks of one architecture as one.

    Args:
        models: N networks with their initial weights, which are not changed.
        data: what batches are cut from, such as inputs (n, ...) and targets (n, ...).
        rows: of the data that each network is trained on, shape (N, rows).
        batch_size: of each network.
        generator: called with a network's number and the epoch's, from 0; the order of its batches is drawn from it.
        on_epoch: called with the epoch's number, the mean losses, shape (N,), and the learning rate, after each epoch.

    Returns:
        N trained networks, in evaluation mode.

    Raises:
        Diverged: if a loss is not finite; the message says which network's.
        BadSetting: if networks can't be trained as one.
    """
    able, reason = can_batch(task, models[0])
    if not able or len(rows) != len(models) or rows.shape[1] == 0 or batch_size < 1:
        raise BadSetting(
            reason or f"{len(models)} networks need rows each, and batches, not {tuple(rows.shape)} and {batch_size}"
        )
    trained = copy.deepcopy(list(models))
    stack = _Stack(task, trained, recipe)
    place = stack.parameters[0].device
    data = [part.to(place) for part in data]
    steps = -(-rows.shape[1] // batch_size)
    for epoch in range(recipe.epochs):
        orders = [own[torch.randperm(len(own), generator=generator(number, epoch))] for number, own in enumerate(rows)]
        told = []
        for index, chosen in enumerate(torch.stack(orders).to(place).split(batch_size, dim=1)):
            done = (epoch * steps + index) / (recipe.epochs * steps)
            told.append(stack.step(tuple(part[chosen] for part in data), done))
        losses = torch.stack(told)
        if not losses.isfinite().all():
            step, number = (~losses.isfinite()).nonzero()[0].tolist()
            raise Diverged(f"shadow {number}: the loss is {losses[step, number].item()} at step {epoch * steps + step}")
        if on_epoch is not None:
            on_epoch(epoch, losses.mean(0), stack.optimizer.param_groups[0]["lr"])
    stack.unload(trained)
    return [model.eval() for model in trained]


class _Stack:
    """Weights of N networks, one tensor for each name, and what moves them."""

    def __init__(self, task: Task[Any], models: Sequence[nn.Module], recipe: Recipe) -> None:
        for model in models:
            model.train()
        self.task, self.shape, self.recipe = task, copy.deepcopy(models[0]), recipe
        state, self.buffers = stack_module_state(list(models))
        learns = {name for name, value in models[0].named_parameters() if value.requires_grad}
        self.state = {name: value.detach().requires_grad_(name in learns) for name, value in state.items()}
        self.parameters = [self.state[name] for name in self.state if name in learns]
        self.optimizer = recipe.optimizer(self.parameters)

    def step(self, batch: tuple[Tensor, ...], done: float) -> Tensor:
        """One step of all networks when the share `done` of all steps is done; losses before it, shape (N,)."""
        losses = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        if self.recipe.clip_norm is not None:
            _clip(self.parameters, self.recipe.clip_norm)
        factor = learning_rate_factor(self.recipe.schedule, done)
        self.optimizer.param_groups[0]["lr"] = self.recipe.optimizer.learning_rate * factor
        self.optimizer.step()
        return losses.detach()

    def losses(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean loss of each network on its own batch, of tensors of shape (N, n, ...): shape (N,)."""

        def one(state: dict[str, Tensor], buffers: dict[str, Tensor], own: tuple[Tensor, ...]) -> Tensor:
            def network(*inputs: Any, **named: Any) -> Any:
                return functional_call(self.shape, (state, buffers), inputs, named)

            return self.task.losses(self.task.outputs(network, own), own).mean()  # type: ignore[arg-type]

        losses: Tensor = vmap(one)(self.state, self.buffers, batch)
        return losses

    def unload(self, models: Sequence[nn.Module]) -> None:
        """Put each network's weights into it."""
        with torch.no_grad():
            for number, model in enumerate(models):
                for name, parameter in model.named_parameters():
                    parameter.copy_(self.state[name][number])


def _clip(parameters: Sequence[Tensor], most: float) -> None:
    """Shorten each network's gradient to norm `most`, as `torch.nn.utils.clip_grad_norm_` does for one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))
