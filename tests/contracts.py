"""What every method must obey on every task that it claims. A new task adds a `World`; a new method needs nothing."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadRequest, Diverged, WrongTask
from expunge.methods import Method
from expunge.split import Split
from expunge.tasks import Task
from tiny import same_weights


@dataclass(frozen=True)
class World:
    """A task with data and a trained model to try methods on; `tensors` where batches are inputs and targets alone."""

    task: Callable[[], Task[Any]]
    split: Callable[[], Split]
    original: Callable[[Engine], nn.Module]
    tensors: bool = True


OF_EMBEDDINGS = ("gnndelete", "rmu")  # their loss is none of the task's
IDLE = ("unlink", "edge-drop")  # they leave the weights alone: what goes has left the graph already


def leaves_the_model_alone(method: Method, world: World) -> None:
    engine = Engine(progress=False)
    model = world.original(engine).train()
    before = copy.deepcopy(model)
    result = method(model, world.task(), world.split(), engine)
    assert same_weights(model, before)
    assert model.training, "the mode of the model that was handed in has changed"
    assert result is not model
    if (like := method.like(before)) is not None:
        shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (result, like)]
        assert shapes[0] == shapes[1]
    assert same_weights(result, before) == (method.name in IDLE), "nothing was unlearned"


def same_seed_same_weights(method: Method, world: World) -> None:
    model = world.original(Engine(progress=False))
    torch.manual_seed(1)
    first = method(model, world.task(), world.split(), Engine(seed=3, progress=False))
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = method(model, world.task(), world.split(), Engine(seed=3, progress=False))
    assert same_weights(first, second)
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    method(model, world.task(), world.split(), Engine(seed=3, progress=False))
    assert torch.equal(torch.get_rng_state(), untouched), "the caller's random state was moved"
    assert not torch.equal(state, untouched)


def no_epochs_no_change(method: Method, world: World) -> None:
    if "epochs" not in {field.name for field in fields(method)}:
        return
    engine = Engine(progress=False)
    model = world.original(engine)
    assert same_weights(replace(method, epochs=0)(model, world.task(), world.split(), engine), model)


def refuses_an_empty_forget_stream(method: Method, world: World) -> None:
    engine = Engine(progress=False)
    split = replace(world.split(), forget=[])
    with pytest.raises(BadRequest, match=f"{method.name}: the forget stream is empty"):
        method(world.original(engine), world.task(), split, engine)


def refuses_an_empty_retain_stream(method: Method, world: World) -> None:
    engine = Engine(progress=False)
    split = replace(world.split(), retain=[])
    if method.needs_retain:
        with pytest.raises(BadRequest, match=f"{method.name}: the retain stream is empty"):
            method(world.original(engine), world.task(), split, engine)
    else:
        method(world.original(engine), world.task(), split, engine)


def stops_at_a_loss_that_is_not_finite(method: Method, world: World) -> None:
    if "epochs" not in {field.name for field in fields(method)}:
        return
    engine = Engine(progress=False)
    model = world.original(engine)
    task = world.task()
    poisoned = _poisoned(task)
    if method.name in OF_EMBEDDINGS:
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match=re.compile(rf"{method.name}/.*is nan at step 0", re.DOTALL)):
        method(model, poisoned, world.split(), engine)


def _poisoned(task: Task[Any]) -> Task[Any]:
    """The same task, whose losses and divergences are not a number."""
    poisoned = copy.copy(task)
    for name in ("losses", "divergence"):
        honest = getattr(task, name)
        setattr(poisoned, name, lambda *args, honest=honest: honest(*args) * float("nan"))
    return poisoned


class OtherTask(Task[Any]):
    """A task that no method claims by name."""

    def new_model(self) -> nn.Module:
        return nn.Linear(8, 4)

    def outputs(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch[0])

    def features(self, model: nn.Module, batch: Any) -> torch.Tensor:
        return batch[0]

    def losses(self, outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        return outputs.square().mean(1)

    def divergence(self, student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        return (student - teacher).square().mean(1)

    def scores(self, outputs: torch.Tensor, batch: Any) -> torch.Tensor:
        return -outputs.abs().mean(1)


def works_on_any_task_or_names_those_it_takes(method: Method, world: World) -> None:
    engine = Engine(progress=False)
    model = nn.Linear(8, 4)
    if Task in method.takes:
        result = method(model, OtherTask(), world.split(), engine)
        assert not same_weights(result, model)
    else:
        with pytest.raises(WrongTask, match=f"{method.name} works on .*Task, not on OtherTask"):
            method(model, OtherTask(), world.split(), engine)


def refuses_the_task_and_says_why(method: Method, world: World) -> None:
    engine = Engine(progress=False)
    task = world.task()
    wanted = " or ".join(kind.__name__ for kind in method.takes)
    assert method.why_not, "a method that does not take every task says why"
    message = f"{method.name} works on {wanted}, not on {type(task).__name__}: {method.why_not}"
    if isinstance(task, method.takes):
        message = f"{method.name} serves a {method.splits.__name__}, not a {type(world.split()).__name__}: {method.why_not}"
    with pytest.raises(WrongTask, match=f"^{re.escape(message)}$"):
        method(world.original(engine), task, world.split(), engine)


CONTRACTS: tuple[Callable[[Method, World], None], ...] = (
    leaves_the_model_alone,
    same_seed_same_weights,
    no_epochs_no_change,
    refuses_an_empty_forget_stream,
    refuses_an_empty_retain_stream,
    stops_at_a_loss_that_is_not_finite,
    works_on_any_task_or_names_those_it_takes,
)


def contracts_for(method: type[Method], world: World) -> tuple[Callable[[Method, World], None], ...]:
    """All contracts where the method takes the world's task and request; else the one that it be refused."""
    if not isinstance(world.task(), method.takes) or not isinstance(world.split(), method.splits):
        return (refuses_the_task_and_says_why,)
    return (
        CONTRACTS
        if world.tensors
        else tuple(each for each in CONTRACTS if each is not works_on_any_task_or_names_those_it_takes)
    )
