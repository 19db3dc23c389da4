"""Graph networks on torch_geometric's layers: GCN, GAT, GIN, GraphSAGE; they need the extra `graph`.

    H_1 = relu(conv_1(X, G)),  ...,  Z = conv_L(H_{L-1}, G)

The layers are torch_geometric's, with its parameters, names and initial weights, so that weights go over in both directions.
Given a :class:`~expunge.graphs.Graph` they compute the same by sparse products, which need no copy of the features for each
edge: where a layer is linear, S X W with S the operator of the layer, X W comes first, and X may be sparse.

Reference: T. Kipf, M. Welling. "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017,
arXiv 1609.02907; P. Velickovic et al. "Graph Attention Networks", ICLR 2018, arXiv 1710.10903; K. Xu et al. "How Powerful are
Graph Neural Networks?", ICLR 2019, arXiv 1810.00826; W. Hamilton, R. Ying, J. Leskovec. "Inductive Representation Learning on
Large Graphs", NeurIPS 2017, arXiv 1706.02216.
"""

from typing import Any, ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting, MissingExtra
from expunge.graphs import Graph
from expunge.models.checks import check_count, check_dropout
from expunge.sparse import SparseMatrix

try:
    from torch_geometric.nn import GATConv, GCNConv, GINConv, MessagePassing, SAGEConv
    from torch_geometric.utils import add_self_loops
except ImportError as error:  # pragma: no cover - tests have the extra
    raise MissingExtra("graph networks need torch_geometric: pip install 'expunge[graph]'") from error

Features = Tensor | SparseMatrix


class _GCN(GCNConv):
    def forward(self, x: Any, graph: Any) -> Tensor:
        if not isinstance(graph, Graph):
            return super().forward(x, graph)
        return graph.operator("gcn") @ (x @ self.lin.weight.T) + self.bias


class _SAGE(SAGEConv):
    def forward(self, x: Any, graph: Any) -> Tensor:
        if not isinstance(graph, Graph):
            return super().forward(x, graph)
        neighbours = graph.operator("mean") @ (x @ self.lin_l.weight.T)
        return neighbours + self.lin_l.bias + x @ self.lin_r.weight.T


class _GIN(GINConv):
    def forward(self, x: Any, graph: Any) -> Tensor:
        if not isinstance(graph, Graph):
            return super().forward(x, graph)
        linear = cast(nn.Linear, self.nn)
        each = x @ linear.weight.T
        return (1 + self.eps) * each + graph.operator("sum") @ each + linear.bias


class _GAT(GATConv):
    def forward(self, x: Any, graph: Any) -> Tensor:
        if not isinstance(graph, Graph):
            return super().forward(x, graph)
        heads = (x @ self.lin.weight.T).view(-1, self.heads, self.out_channels)
        strengths = (heads * self.att_src).sum(-1), (heads * self.att_dst).sum(-1)
        edges = _with_loops(graph)
        attention = self.edge_updater(edges, alpha=strengths, edge_attr=None, size=None)
        found = self.propagate(edges, x=(heads, heads), alpha=attention, size=None)
        return found.flatten(1) + self.bias


def _with_loops(graph: Graph) -> Tensor:
    return cast(Tensor, graph.kept("with loops", lambda: add_self_loops(graph.edge_index, num_nodes=graph.nodes)[0]))


class GNN(nn.Module):
    """A stack of graph layers of one kind with ReLU between them; what the last one gives is the embedding of each node.

    Args:
        features: numbers of each node.
        hidden: of the inner layers.
        outputs: of the last layer: length of the embedding, or number of classes.
        layers: how many.
        dropout: share of the values that is set to zero before each layer but the first, in training.
        heads: of attention, which `hidden` must be divisible by; only GAT has them.
    """

    kind: ClassVar[str]
    reads_graph: ClassVar[bool] = True

    def __init__(
        self, features: int, hidden: int = 128, outputs: int = 64, layers: int = 2, dropout: float = 0.0, heads: int = 1
    ) -> None:
        super().__init__()
        for name, value in {"hidden": hidden, "outputs": outputs, "layers": layers, "heads": heads}.items():
            check_count(name, value)
        if features < 1:
            raise BadSetting(f"{self.kind} needs nodes with features, and this graph has none; r-gcn learns them")
        if heads > 1 and (self.kind != "gat" or hidden % heads):
            raise BadSetting(
                f"heads={heads} is for gat, with a hidden size that is divisible by it; this is {self.kind}, {hidden}"
            )
        self.dropout = check_dropout(dropout)
        widths = [features, *[hidden] * (layers - 1), outputs]
        last = layers - 1
        self.convs = nn.ModuleList(
            self.layer(widths[place], widths[place + 1], heads if place < last else 1) for place in range(layers)
        )

    def layer(self, inputs: int, outputs: int, heads: int) -> "MessagePassing":
        """One graph layer."""
        raise NotImplementedError

    def forward(self, x: Features | Graph, edge_index: Tensor | None = None) -> Tensor:
        """Embedding of each node, shape (N, outputs), of a :class:`Graph`, or of features (N, F) and `edge_index` (2, 2m)."""
        graph: Any = x if isinstance(x, Graph) else edge_index
        values: Any = _features(x) if isinstance(x, Graph) else x
        for place, conv in enumerate(self.convs):
            if place:
                values = F.dropout(values.relu(), self.dropout, self.training)
            values = conv(values, graph)
        return values


def _features(graph: Graph) -> Features:
    if graph.features is None:
        raise BadSetting("this graph has no features; take a network that learns them, such as r-gcn")
    return graph.features


class GCN(GNN):
    """Graph convolutional network: S = D^-1/2 (A + I) D^-1/2."""

    kind = "gcn"

    def layer(self, inputs: int, outputs: int, heads: int) -> "MessagePassing":
        return _GCN(inputs, outputs)


class GraphSAGE(GNN):
    """GraphSAGE with the mean of the neighbours, S = D^-1 A, beside the node's own features."""

    kind = "sage"

    def layer(self, inputs: int, outputs: int, heads: int) -> "MessagePassing":
        return _SAGE(inputs, outputs)


class GIN(GNN):
    """Graph isomorphism network with one linear map a layer: S = A + I."""

    kind = "gin"

    def layer(self, inputs: int, outputs: int, heads: int) -> "MessagePassing":
        return _GIN(nn.Linear(inputs, outputs))


class GAT(GNN):
    """Graph attention network: each node weighs its neighbours."""

    kind = "gat"

    def layer(self, inputs: int, outputs: int, heads: int) -> "MessagePassing":
        return _GAT(inputs, outputs // heads, heads=heads)
