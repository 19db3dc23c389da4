"""SGC: what it computes, how often, and what it refuses."""

import pytest
import torch
from torch_geometric.nn import SGConv

from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.models.sgc import SGC
from expunge.sparse import SparseMatrix
from tiny_graphs import communities


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_it_averages_over_the_neighbourhood_and_reads_linearly(hops):
    graph = communities(size=6)
    loops = torch.zeros(graph.nodes, graph.nodes)
    loops[graph.edge_index[0], graph.edge_index[1]] = 1
    loops += torch.eye(graph.nodes)
    scale = loops.sum(1).rsqrt()
    spread = torch.linalg.matrix_power(scale[:, None] * loops * scale, hops) @ graph.features
    model = SGC(8, 3, hops=hops)
    torch.testing.assert_close(model(graph), spread @ model.head.weight.T + model.head.bias)


def test_it_is_the_layer_of_torch_geometric():
    graph, model, layer = communities(), SGC(8, 3, hops=2), SGConv(8, 3, K=2)
    with torch.no_grad():
        layer.lin.weight.copy_(model.head.weight)
        layer.lin.bias.copy_(model.head.bias)
    torch.testing.assert_close(model(graph), layer(graph.x, graph.edge_index))


def test_features_and_edge_index_are_read_as_the_graph_is():
    graph, model = communities(), SGC(8, 3)
    torch.testing.assert_close(model(graph.x, graph.edge_index), model(graph))


def test_sparse_features_give_the_same():
    graph, model = communities(), SGC(8, 3)
    rows, columns = graph.features.nonzero().T
    sparse = SparseMatrix.from_entries(rows, columns, graph.features[rows, columns], tuple(graph.features.shape))
    torch.testing.assert_close(model(Graph.of(graph.nodes, graph.edges, sparse)), model(graph))


def test_the_averages_are_made_once_for_each_graph_and_number_of_hops():
    graph, model = communities(), SGC(8, 3)
    first = model.propagated(graph)
    assert model.propagated(graph) is first is SGC(8, 5).propagated(graph)
    assert SGC(8, 3, hops=1).propagated(graph) is not first
    fewer = graph.without_edges(torch.tensor([0]))
    assert not torch.equal(model.propagated(fewer), first) and model.propagated(graph) is first


def test_its_weights_are_one_linear_layer():
    assert {name: tuple(value.shape) for name, value in SGC(8, 3).state_dict().items()} == {
        "head.weight": (3, 8),
        "head.bias": (3,),
    }
    assert SGC(8, 3, bias=False).state_dict().keys() == {"head.weight"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0}, "sgc needs nodes with features, and this graph has none"),
        ({"outputs": 0}, "outputs must be a whole number from 1, not 0"),
        ({"hops": -1}, "hops must be a whole number from 0, not -1"),
        ({"hops": 1.5}, "hops must be a whole number from 0, not 1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(BadSetting, match=f"^{message}"):
        SGC(**{"features": 8, "outputs": 3, **arguments})


def test_graphs_without_features_and_features_without_edges_are_refused():
    with pytest.raises(BadSetting, match=r"^this graph has no features"):
        SGC(8, 3)(Graph.of(3, [[0, 1]]))
    with pytest.raises(BadSetting, match=r"^sgc reads a graph, or features and edge_index; edge_index is missing$"):
        SGC(8, 3)(torch.zeros(3, 8))
