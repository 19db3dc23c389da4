"""Link prediction: whether there is an edge between two nodes, or a relation in a knowledge graph.

    p(u, v) = sigmoid( <z_u, z_v> ),      z = network(features, graph)

A network with a decoder of its own, `decode(embeddings, pairs) -> logits`, is asked by it: DistMult, in a knowledge graph.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.graphs import LinkBatch
from expunge.graphs.inner_products import inner_products
from expunge.losses import bernoulli_kl
from expunge.tasks.graph import GraphTask, unwrapped


class LinkPredictionTask(GraphTask[LinkBatch]):
    """Batches are :class:`~expunge.graphs.LinkBatch`; the model maps a graph, or features (N, F) and `edge_index` (2, 2m), to
    embeddings (N, d).

    Args:
        factory: builds the architecture with fresh weights, without arguments.

    >>> import torch
    >>> from expunge.graphs import Graph
    >>> batch = LinkBatch(torch.tensor([[0, 1], [0, 2]]), torch.tensor([1.0, 0.0]), Graph.of(3, [[0, 1]]))
    >>> task = LinkPredictionTask(lambda: nn.Linear(4, 2))
    >>> task.losses(torch.tensor([0.0, -2.0]), batch).round(decimals=4)
    tensor([0.6931, 0.1269])
    """

    score_name: ClassVar[str] = "probability"
    loss_unit: ClassVar[str] = "nats"
    relearn_margin: ClassVar[float] = 0.02  # probabilities of edges lie close together: within 5 % one step is enough

    def __init__(self, factory: Callable[[], nn.Module]) -> None:
        self.factory = factory

    def new_model(self) -> nn.Module:
        return self.factory()

    def read(self, model: nn.Module, embeddings: Tensor, batch: LinkBatch) -> Tensor:
        """Logits, shape (n,)."""
        network = unwrapped(model)
        if not hasattr(network, "decode"):
            return inner_products(embeddings, batch.pairs)
        functional = getattr(model, "run", None)  # the decoder's parameters are among those that a gradient is asked for
        return network.decode(embeddings, batch.pairs) if functional is None else functional("decode", embeddings, batch.pairs)

    def features(self, model: nn.Module, batch: LinkBatch) -> Tensor:
        """Products of the embeddings of both ends, shape (n, d)."""
        ends = self.embed(model, batch.graph)
        return ends[batch.pairs[:, 0]] * ends[batch.pairs[:, 1]]

    def losses(self, outputs: Tensor, batch: LinkBatch) -> Tensor:
        """Binary cross-entropy in nats, shape (n,)."""
        return F.binary_cross_entropy_with_logits(outputs, batch.labels, reduction="none")

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(teacher || student) between both answers, yes and no, in nats times T^2, shape (n,)."""
        return bernoulli_kl(student, teacher, temperature)

    def scores(self, outputs: Tensor, batch: LinkBatch) -> Tensor:
        """Probability given to what is true, that the edge is there or that it is not: shape (n,)."""
        return (outputs * (2 * batch.labels - 1)).sigmoid()

    def groups(self, batch: LinkBatch) -> Tensor:
        """Pairs with as many neighbours at both ends, and as many in common, roughly: shape (n,).

        An edge in a dense part of a graph is easy to predict, one between two loose ends is not, whether it was learned or
        not; and edges that are to be forgotten are often not spread as those that were held out are.
        """
        itself = batch.graph.has(batch.pairs).unsqueeze(1)  # an edge that is still there is no neighbour beside itself
        ways = 1 + (batch.pairs[:, 0] == batch.pairs[:, 1]).unsqueeze(1).float()  # a loop stands at its end twice
        degrees = batch.graph.degrees[batch.pairs[:, :2]] - itself * ways
        shared = batch.graph.shared_neighbours(batch.pairs)
        fewer, more = (_bucket(ends, edges) for ends, edges in ((degrees.amin(1), _FEWER), (degrees.amax(1), _MORE)))
        return (fewer * (len(_MORE) + 1) + more) * (len(_SHARED) + 1) + _bucket(shared, _SHARED)

    def group_name(self, group: int) -> str:
        rest, shared = divmod(group, len(_SHARED) + 1)
        fewer, more = divmod(rest, len(_MORE) + 1)
        return f"{_span(fewer, _FEWER)} and {_span(more, _MORE)} neighbours, {_span(shared, _SHARED)} shared"


_FEWER, _MORE, _SHARED = (1, 2, 4), (1, 2, 4, 8), (1, 2)  # where the next group begins: neighbours at either end, and shared


def _bucket(values: Tensor, edges: tuple[int, ...]) -> Tensor:
    return torch.bucketize(values, torch.tensor(edges, dtype=values.dtype, device=values.device), right=True)


def _span(place: int, edges: tuple[int, ...]) -> str:
    """
    >>> [_span(place, (1, 2, 4)) for place in range(4)]
    ['0', '1', '2-3', '4+']
    """
    low, high = (0, *edges)[place], (*edges, 0)[place] - 1
    return f"{low}+" if place == len(edges) else (str(low) if low == high else f"{low}-{high}")
