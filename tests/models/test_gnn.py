"""Graph networks: a graph and its edge_index give the same, in answers and in gradients; weights are torch_geometric's."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv

from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.sparse import SparseMatrix
from tiny_graphs import communities

KINDS = [GCN, GAT, GIN, GraphSAGE]
SHAPES = [{"layers": 1}, {"layers": 2}, {"layers": 3, "hidden": 6}]
CASES = [(kind, shape) for kind in KINDS for shape in SHAPES] + [(GAT, {"heads": 4}), (GAT, {"heads": 2, "layers": 3})]


def lonely() -> Graph:
    """Communities with nodes that have no edge at all, where a mean over neighbours divides by nothing."""
    graph = communities(size=8)
    return Graph.of(graph.nodes, graph.without_nodes(torch.tensor([0, 9, 31])).edges, graph.features, graph.labels)


def sparse(graph: Graph) -> Graph:
    rows, columns = graph.features.nonzero().T
    features = SparseMatrix.from_entries(rows, columns, graph.features[rows, columns], tuple(graph.features.shape))
    return Graph.of(graph.nodes, graph.edges, features, graph.labels)


def thin(graph: Graph) -> Graph:
    """Most features 0, as words in texts."""
    return Graph.of(graph.nodes, graph.edges, graph.features * (graph.features > 0.8), graph.labels)


def shaken(model: nn.Module) -> nn.Module:
    """With biases that are not 0, as they are after training."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def gradients(model: nn.Module, embeddings: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    return list(torch.autograd.grad((weights * embeddings.tanh()).sum(), list(model.parameters())))


@pytest.mark.parametrize("features", ["dense", "sparse"])
@pytest.mark.parametrize(("kind", "shape"), CASES, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_graph_gives_what_its_features_and_edges_give(kind, shape, features):
    torch.manual_seed(0)
    graph = thin(lonely())
    given = sparse(graph) if features == "sparse" else graph
    model = shaken(kind(8, **{"hidden": 16, "outputs": 5, **shape}))
    fast, plain = model(given), model(graph.x, graph.edge_index)
    assert fast.shape == (graph.nodes, 5) and fast.isfinite().all()
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(model, fast), gradients(model, plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_without_edges_and_one_that_lost_some(kind):
    torch.manual_seed(0)
    graph, model = communities(size=6), shaken(kind(8, 8, 4))
    model(graph)  # whatever is kept with it must not be taken for the other's
    for other in (graph.without_edges(torch.arange(5)), Graph.of(graph.nodes, [], graph.features)):
        found = model(other)
        torch.testing.assert_close(found, model(graph.x, other.edge_index), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(found, model(graph))


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_hears_of_as_many_steps_as_there_are_layers(kind):
    path = Graph.of(6, [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]], torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    changed = path.features.clone()
    changed[0] += 1
    for layers in (1, 2, 3):
        torch.manual_seed(1)
        model = shaken(kind(3, 32, 8, layers=layers))
        differ = (model(path) - model(Graph.of(6, path.edges, changed))).abs().amax(1) > 1e-7
        assert not differ[layers + 1 :].any() and differ[:layers].all()


def test_two_layers_by_hand():
    torch.manual_seed(0)
    graph, model = communities(size=4), shaken(GCN(8, 6, 3))
    adjacency = torch.eye(graph.nodes)
    adjacency[graph.edge_index[0], graph.edge_index[1]] = 1
    scale = adjacency.sum(1).rsqrt()
    spread = scale[:, None] * adjacency * scale
    first, second = model.convs
    hidden = (spread @ graph.x @ first.lin.weight.T + first.bias).relu()
    torch.testing.assert_close(model(graph), spread @ hidden @ second.lin.weight.T + second.bias)


# ---- torch_geometric --------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """As people write it."""

    def __init__(self, *convs: nn.Module) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        for place, conv in enumerate(self.convs):
            x = conv(x.relu() if place else x, edge_index)
        return x


STACKS = {
    GCN: lambda: Plain(GCNConv(8, 16), GCNConv(16, 5)),
    GraphSAGE: lambda: Plain(SAGEConv(8, 16), SAGEConv(16, 5)),
    GIN: lambda: Plain(GINConv(nn.Linear(8, 16)), GINConv(nn.Linear(16, 5))),
    GAT: lambda: Plain(GATConv(8, 4, heads=4), GATConv(16, 5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_from_and_go_to_plain_stacks(kind):
    torch.manual_seed(0)
    graph, plain = lonely(), shaken(STACKS[kind]())
    ours = kind(8, 16, 5, heads=4) if kind is GAT else kind(8, 16, 5)
    ours.load_state_dict(plain.state_dict())
    torch.testing.assert_close(ours(graph), plain(graph.x, graph.edge_index), rtol=1e-5, atol=1e-5)
    shaken(ours)
    plain.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(graph), plain(graph.x, graph.edge_index), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_those_of_torch_geometric(kind):
    torch.manual_seed(3)
    ours = kind(8, 16, 5, heads=4) if kind is GAT else kind(8, 16, 5)
    torch.manual_seed(3)
    plain = STACKS[kind]()
    for name, value in plain.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


# ---- dropout ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_for_training_and_between_layers(kind):
    torch.manual_seed(0)
    graph, model = communities(size=6), kind(8, 16, 4, dropout=0.5)
    without = kind(8, 16, 4)
    without.load_state_dict(model.state_dict())
    assert not torch.equal(model(graph), model(graph))
    assert torch.equal(model.eval()(graph), without(graph))
    alone = kind(8, 16, 4, layers=1, dropout=0.9)
    assert torch.equal(alone(graph), alone(graph)), "features and answers are not dropped"


def test_dropout_sets_a_share_to_zero_and_keeps_the_mean(monkeypatch):
    seen, dropout = [], F.dropout

    def spy(values, share, training):
        seen.append((values, share, training, found := dropout(values, share, training)))
        return found

    monkeypatch.setattr(F, "dropout", spy)
    model = GCN(8, 64, 4, layers=3, dropout=0.3)
    model(communities())
    model.eval()(communities())
    assert [(share, training) for _, share, training, _ in seen] == [(0.3, True)] * 2 + [(0.3, False)] * 2
    assert all((before >= 0).all() for before, *_ in seen), "after ReLU"


# ---- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (GCN, {"features": 0}, "gcn needs nodes with features, and this graph has none; r-gcn learns them"),
        (GAT, {"hidden": 0}, "hidden must be a whole number from 1, not 0"),
        (GIN, {"outputs": 1.5}, "outputs must be a whole number from 1, not 1.5"),
        (GraphSAGE, {"layers": 0}, "layers must be a whole number from 1, not 0"),
        (GCN, {"layers": True}, "layers must be a whole number from 1, not True"),
        (GAT, {"heads": 0}, "heads must be a whole number from 1, not 0"),
        (GAT, {"heads": 3}, "heads=3 is for gat, with a hidden size that is divisible by it; this is gat, 16"),
        (GCN, {"heads": 2}, "heads=2 is for gat, with a hidden size that is divisible by it; this is gcn, 16"),
        (GIN, {"dropout": 1.0}, "dropout must be 0 or more and below 1, not 1.0"),
        (GIN, {"dropout": -0.1}, "dropout must be 0 or more and below 1, not -0.1"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, arguments, message):
    with pytest.raises(BadSetting) as caught:
        kind(**{"features": 8, "hidden": 16, "outputs": 4, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_without_features_is_refused(kind):
    with pytest.raises(BadSetting, match=r"^this graph has no features; take a network that learns them, such as r-gcn$"):
        kind(8, 8, 4)(Graph.of(3, [[0, 1]]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_a_network_of_its_own(kind):
    graph, model = communities(size=6), kind(8, 8, 4)
    before, other = model(graph), shaken(copy.deepcopy(model))
    assert torch.equal(model(graph), before) and not torch.allclose(other(graph), before)
