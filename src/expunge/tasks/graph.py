"""What the tasks on graphs share: a network embeds all nodes of a graph at once, and answers are read from the embeddings."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from expunge.graphs import Graph
from expunge.split import Split
from expunge.tasks.task import Batch, Task


class GraphTask(Task[Batch]):
    """A task whose batches carry a graph, on which the network is run once; see the tasks that stand on it."""

    def embed(self, model: nn.Module, graph: Graph) -> Tensor:
        """What the network says of each node, shape (N, d)."""
        return model(graph) if getattr(unwrapped(model), "reads_graph", False) else model(graph.x, graph.edge_index)

    @abstractmethod
    def read(self, model: nn.Module, embeddings: Tensor, batch: Any) -> Tensor:
        """The answers for a batch, shape (n, ...), from the embeddings of its graph's nodes; as `outputs` gives them."""

    def outputs(self, model: nn.Module, batch: Any) -> Tensor:
        return self.read(model, self.embed(model, batch.graph), batch)

    def as_trained(self, split: Split) -> Split:
        """The same parts, read on the graph as it was before the request, as the original model was used."""
        return replace(split, **{name: _on_whole(getattr(split, name)) for name in split.__dataclass_fields__})


def _on_whole(stream: Any) -> Any:
    return stream.on(stream.graph.whole) if hasattr(stream, "graph") else stream


_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")


def unwrapped(model: Any) -> Any:
    """The network inside of what an engine or a functional call has put around it."""
    while True:
        if any(kind.__name__ in _WRAPPERS for kind in type(model).__mro__):
            model = model.module
        elif not isinstance(model, nn.Module) and hasattr(model, "model"):
            model = model.model
        else:
            return model


@contextmanager
def layers_recorded(model: nn.Module) -> Iterator[list[Tensor]]:
    """The output of each graph layer, (N, d) each, in the order in which they run, for as long as the block lasts.

    A graph layer is a `MessagePassing` of torch_geometric; in a network without any it is each direct part with parameters.
    """
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: found.append(output)) for layer in graph_layers(unwrapped(model))
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def graph_layers(model: nn.Module) -> list[nn.Module]:
    """The layers over which messages pass."""
    passing = [layer for layer in model.modules() if any(kind.__name__ == "MessagePassing" for kind in type(layer).__mro__)]
    return passing or [layer for layer in model.children() if any(True for _ in layer.parameters())]
