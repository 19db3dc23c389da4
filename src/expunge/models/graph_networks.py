"""Networks for graphs, by name, and the user's own, by import string."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.importing import import_callable
from expunge.models.making import maker

GRAPH_MODELS: dict[str, str] = {
    "gcn": "graph convolutional network",
    "gat": "graph attention network",
    "gin": "graph isomorphism network",
    "sage": "GraphSAGE",
    "sgc": "simplified graph convolution, a linear model",
    "r-gcn": "relational graph convolutional network with a DistMult decoder, for knowledge graphs",
}


def build_for_graph(name: str, graph: Graph, outputs: int | None = None, **arguments: Any) -> Callable[[], nn.Module]:
    """A function that makes a network with fresh weights each time it is called.

    Args:
        name: one of :data:`GRAPH_MODELS`, or an import string ``package.module:factory`` of a function or class that is called
            with `features`, the numbers of each node, and `outputs`, and returns an `nn.Module` with
            ``(x, edge_index) -> embeddings``.
        graph: what the network is for.
        outputs: how many classes there are; None for the network's own length of embedding.
        arguments: hyper-parameters, such as ``hidden=64``.

    Raises:
        BadSetting: if the network is not known, or cannot be built so.

    >>> build_for_graph("gcn", Graph.of(3, [[0, 1]], torch.eye(3)), hidden=8)().convs
    ModuleList(
      (0): _GCN(3, 8)
      (1): _GCN(8, 64)
    )
    """
    given = dict(arguments) if outputs is None else {**arguments, "outputs": outputs}
    factory, given = _factory(name, graph, given)

    new_model = maker(name, factory, given, given)
    if name in GRAPH_MODELS:
        with torch.device("meta"):  # says what is wrong now, at no cost and without a random draw
            new_model()
    return new_model


def _factory(name: str, graph: Graph, given: dict[str, Any]) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    if name == "r-gcn":
        from expunge.models.rgcn import RGCN

        return RGCN, {"nodes": graph.nodes, "relations": graph.relations, **given}
    given = {"features": graph.width, **given}
    if name == "sgc":
        from expunge.models.sgc import SGC

        return SGC, given
    if name in GRAPH_MODELS:
        from expunge.models import gnn

        return {"gcn": gnn.GCN, "gat": gnn.GAT, "gin": gnn.GIN, "sage": gnn.GraphSAGE}[name], given
    if ":" in name:
        return import_callable(name), given
    raise BadSetting(
        f"there is no graph network '{name}'; take one of {', '.join(GRAPH_MODELS)}, "
        "or an import string 'package.module:factory'"
    )
