"""Simple graph convolution: features are spread over the graph, and a linear model reads them.

    Z = S^K X W^T + b,        S = D^-1/2 (A + I) D^-1/2

S^K X has no weights: it is computed once for each graph. What is learned is one linear layer, so that training is convex and
what removing a node does to the weights can be bounded (see `certified-removal`). It needs no torch_geometric.

Reference: F. Wu, T. Zhang, A. Souza Jr., C. Fifty, T. Yu, K. Weinberger. "Simplifying Graph Convolutional Networks", ICML 2019,
arXiv 1902.07153.
"""

from typing import ClassVar, cast

from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.models.checks import check_count
from expunge.sparse import SparseMatrix


class SGC(nn.Module):
    """A linear layer on features that were averaged over the neighbourhood K times.

    Args:
        features: numbers of each node.
        outputs: number of classes, or length of the embedding.
        hops: K, how often the features are averaged; 0 for a linear model that does not look at the graph.
        bias: whether b is learned.
    """

    reads_graph: ClassVar[bool] = True

    def __init__(self, features: int, outputs: int, hops: int = 2, bias: bool = True) -> None:
        super().__init__()
        if features < 1:
            raise BadSetting("sgc needs nodes with features, and this graph has none; r-gcn learns them")
        if not isinstance(hops, int) or isinstance(hops, bool) or hops < 0:
            raise BadSetting(f"hops must be a whole number from 0, not {hops!r}")
        self.hops = hops
        self.head = nn.Linear(features, check_count("outputs", outputs), bias=bias)

    def forward(self, x: Tensor | SparseMatrix | Graph, edge_index: Tensor | None = None) -> Tensor:
        """Answers for each node, shape (N, outputs), of a :class:`Graph`, or of features (N, F) and `edge_index` (2, 2m)."""
        if not isinstance(x, Graph):
            if edge_index is None:
                raise BadSetting("sgc reads a graph, or features and edge_index; edge_index is missing")
            x = Graph.of(len(x), edge_index.T.cpu(), x).to(edge_index.device)
        return self.head(self.propagated(x))

    def propagated(self, graph: Graph) -> Tensor:
        """S^K X, shape (N, F), kept with the graph, which never changes."""

        def build() -> Tensor:
            operator, values = graph.operator("gcn"), graph.x
            for _ in range(self.hops):
                values = operator @ values
            return values

        return cast(Tensor, graph.kept(f"propagated {self.hops} times", build))
