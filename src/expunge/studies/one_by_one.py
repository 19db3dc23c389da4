"""Requests that come one after another: what was delivered for the last one is what the next one is about."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.graphs import LinkBatches
from expunge.methods import Method
from expunge.split import Split
from expunge.tasks import LinkPredictionTask, Task


@dataclass(frozen=True)
class OneByOne:
    """A method that is called for one part of what must go after the other; each time with the result of the last call as the
    model, and with the graph that was left then as the whole.

    Args:
        method: what is called.
        requests: how many parts the edges are dealt out to.
    """

    method: Method
    requests: int = 10

    def __post_init__(self) -> None:
        if self.requests < 1:
            raise BadSetting(f"requests must be at least 1, not {self.requests}")
        if self.method.adapter:
            raise BadSetting(f"{self.method.name} leaves a network of another form, which the next request cannot go on from")

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """Forget `split.forget`, a set of edges, in turn. See :class:`~expunge.methods.Method`."""
        if not isinstance(task, LinkPredictionTask):
            raise WrongTask(f"one by one works on LinkPredictionTask, not on {type(task).__name__}")
        for index, step in enumerate(self.steps(split)):
            with engine.scope(f"request-{index}"):
                model = self.method(model, task, step, engine)
        return model

    def like(self, model: nn.Module) -> nn.Module | None:
        """See :meth:`expunge.methods.Method.like`."""
        return self.method.like(model)

    def steps(self, split: Split) -> list[Split]:
        """The split of each request: the n-th knows nothing of the edges that went before, and still has those that follow."""
        forget, retain = split.forget, split.retain
        assert isinstance(forget, LinkBatches) and isinstance(retain, LinkBatches)
        found, graph = [], retain.graph.whole
        for index in range(min(self.requests, forget.examples)):
            pairs, before = forget.pairs[index :: self.requests], replace(graph, before=None)
            graph = before.without_edges(torch.isin(before.key(before.edges), before.key(pairs)))
            validation = split.validation_forget
            found.append(
                Split(
                    forget=replace(forget, graph=graph, pairs=pairs),
                    retain=replace(retain, graph=graph, pairs=graph.edges),
                    validation_forget=validation.on(graph) if isinstance(validation, LinkBatches) else validation,
                )
            )
        return found
