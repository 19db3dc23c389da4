"""R-GCN with a DistMult decoder, for knowledge graphs: nodes have no features, the network learns an embedding of each.

    h_i' = W_0 h_i + sum_r mean_{j in N_r(i)} W_r h_j,      W_r = sum_b a_rb V_b
    score(head, relation, tail) = sum_d h_d * w_(r,d) * t_d

Every relation counts twice, once for each direction. It needs the extra `graph`.

Reference: M. Schlichtkrull et al. "Modeling Relational Data with Graph Convolutional Networks", ESWC 2018, arXiv 1703.06103;
B. Yang et al. "Embedding Entities and Relations for Learning and Inference in Knowledge Bases", ICLR 2015, arXiv 1412.6575.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting, MissingExtra
from expunge.graphs import Graph
from expunge.models.checks import check_count

try:
    from torch_geometric.nn import RGCNConv
except ImportError as error:  # pragma: no cover - tests have the extra
    raise MissingExtra("r-gcn needs torch_geometric: pip install 'expunge[graph]'") from error


class RGCN(nn.Module):
    """Relational graph convolutional network.

    Args:
        nodes: how many there are, N.
        relations: how many there are, R.
        hidden: length of the embeddings and of the inner layer.
        outputs: length of what the last layer gives.
        bases: matrices V_b that the relations of a layer share.
    """

    reads_graph: ClassVar[bool] = True

    def __init__(self, nodes: int, relations: int, hidden: int = 128, outputs: int = 64, bases: int = 8) -> None:
        super().__init__()
        sizes = {"nodes": nodes, "relations": relations, "hidden": hidden, "outputs": outputs, "bases": bases}
        for name, value in sizes.items():
            check_count(name, value)
        self.relations = relations
        self.embedding = nn.Embedding(nodes, hidden)
        nn.init.xavier_uniform_(self.embedding.weight)
        self.convs = nn.ModuleList(RGCNConv(hidden, size, 2 * relations, num_bases=bases) for size in (hidden, outputs))
        self.weights = nn.Parameter(torch.empty(relations, outputs))
        nn.init.xavier_uniform_(self.weights)

    def forward(self, graph: Graph) -> Tensor:
        """Embedding of each node, shape (N, outputs)."""
        if graph.relations != self.relations:
            raise BadSetting(f"r-gcn was made for {self.relations} relations, and this graph has {graph.relations}")
        first, second = self.convs
        values = first(self.embedding(graph.global_ids), graph.edge_index, graph.edge_type)
        return second(F.relu(values), graph.edge_index, graph.edge_type)

    def decode(self, embeddings: Tensor, triples: Tensor) -> Tensor:
        """Logit of each triple (head, tail, relation), shape (n,)."""
        head, tail = (embeddings.index_select(0, triples[:, end]) for end in (0, 1))
        return (head * self.weights[triples[:, 2]] * tail).sum(1)
