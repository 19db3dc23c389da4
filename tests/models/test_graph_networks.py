"""Networks for graphs by name and import string; R-GCN by hand, and a relation that is forgotten."""

import sys

import pytest
import torch
from torch import nn

from expunge.data.graph_splits import split_links
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.graphs import Graph, LinkBatch, LinkBatches, sampled
from expunge.methods import D2DGN, Retrain
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.models.graph_networks import GRAPH_MODELS, build_for_graph
from expunge.models.rgcn import RGCN
from expunge.models.sgc import SGC
from expunge.optimizers import Optimizer
from expunge.requests.graph import ForgetRelation, GraphContext
from expunge.tasks import LinkPredictionTask
from tiny_graphs import communities

GRAPH = communities(size=6)
WORLD = Graph.of(5, [[0, 1, 0], [1, 2, 1], [2, 0, 1], [3, 3, 0], [0, 1, 1]], relations=2)


# ---- by name ----------------------------------------------------------------------------------------------------------------


def test_names_build_their_networks():
    kinds = {"gcn": GCN, "gat": GAT, "gin": GIN, "sage": GraphSAGE, "sgc": SGC, "r-gcn": RGCN}
    assert kinds.keys() == GRAPH_MODELS.keys()
    for name, kind in kinds.items():
        graph = WORLD if name == "r-gcn" else GRAPH
        factory = build_for_graph(name, graph, 3)
        first, second = factory(), factory()
        assert type(first) is kind and first(graph).shape == (graph.nodes, 3)
        weights, others = (torch.cat([value.flatten() for value in each.parameters()]) for each in (first, second))
        assert weights.device.type == "cpu" and weights.isfinite().all() and not torch.equal(weights, others)


def test_arguments_reach_the_network_and_the_length_of_embeddings_is_its_own():
    assert build_for_graph("gcn", GRAPH)()(GRAPH).shape == (24, 64)
    assert build_for_graph("gcn", GRAPH, outputs=5)()(GRAPH).shape == (24, 5)
    made = build_for_graph("gat", GRAPH, hidden=12, heads=3, layers=3, dropout=0.25)()
    assert [conv.heads for conv in made.convs] == [3, 3, 1] and made.dropout == 0.25
    assert build_for_graph("r-gcn", WORLD, hidden=6, bases=3)().convs[0].num_bases == 3


def test_building_draws_nothing_and_the_same_state_gives_the_same_weights():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    factory = build_for_graph("gcn", GRAPH, 4)
    assert torch.equal(torch.get_rng_state(), state)
    first = factory()
    torch.manual_seed(3)
    assert torch.equal(factory().convs[0].lin.weight, first.convs[0].lin.weight)


@pytest.mark.parametrize(
    ("name", "graph", "arguments", "message"),
    [
        ("gnc", GRAPH, {}, "there is no graph network 'gnc'; take one of gcn, gat, gin, sage, sgc, r-gcn, or an import string"),
        ("mlp", GRAPH, {}, "there is no graph network 'mlp'"),
        ("gcn", GRAPH, {"hiden": 8}, "model gcn cannot be built with {'features': 8, 'hiden': 8}: "),
        ("gcn", GRAPH, {"hidden": 0}, "hidden must be a whole number from 1, not 0"),
        ("gcn", GRAPH, {"heads": 2}, "heads=2 is for gat"),
        ("gin", WORLD, {}, "gin needs nodes with features, and this graph has none; r-gcn learns them"),
        ("sgc", WORLD, {"outputs": 2}, "sgc needs nodes with features, and this graph has none"),
        ("r-gcn", GRAPH, {}, "relations must be a whole number from 1, not 0"),
        ("r-gcn", WORLD, {"bases": 0}, "bases must be a whole number from 1, not 0"),
        ("r-gcn", WORLD, {"dropout": 0.5}, "model r-gcn cannot be built with {'nodes': 5, 'relations': 2, 'dropout': 0.5}: "),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(name, graph, arguments, message):
    with pytest.raises(BadSetting) as caught:
        build_for_graph(name, graph, **arguments)
    assert str(caught.value).startswith(message)


# ---- by import string -------------------------------------------------------------------------------------------------------

CODE = """
from torch import nn
class Mine(nn.Module):
    def __init__(self, features, outputs=6, width=4):
        super().__init__()
        self.first, self.second = nn.Linear(features, width), nn.Linear(width, outputs)
    def forward(self, x, edge_index):
        hidden = self.first(x).relu()
        return self.second(hidden.index_add(0, edge_index[1], hidden[edge_index[0]]))
def make(features, outputs):
    return Mine(features, outputs)
def words(features, outputs=3):
    return "a network"
def late(features):
    import helper_of_graph_nets
    return Mine(features)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph_nets.py").write_text(CODE)
    (tmp_path / "helper_of_graph_nets.py").write_text("")
    yield
    for name in ("graph_nets", "helper_of_graph_nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("text", "outputs", "width"), [("Mine", None, 6), ("Mine", 3, 3), ("make", 4, 4), ("late", None, 6)])
def test_a_users_own_network_is_told_the_features_and_the_outputs(nets, text, outputs, width):
    model = build_for_graph(f"graph_nets:{text}", GRAPH, outputs)()
    assert model.first.in_features == 8 and model(GRAPH.x, GRAPH.edge_index).shape == (24, width)
    assert build_for_graph("graph_nets:Mine", GRAPH, width=9)().first.out_features == 9


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("graph_nets:words", {}, "model graph_nets:words returned a str; expected a torch.nn.Module"),
        ("graph_nets:Mine", {"depth": 3}, "model graph_nets:Mine cannot be built with {'features': 8, 'depth': 3}: "),
        ("graph_nets:make", {}, "model graph_nets:make cannot be built with {'features': 8}: "),
        ("graph_nets:Yours", {}, "'graph_nets:Yours': graph_nets has no 'Yours'"),
        ("no_such_nets:Mine", {}, "'no_such_nets:Mine': there is no module 'no_such_nets'"),
        ("graph nets:Mine", {}, "'graph nets:Mine' is not an import string"),
    ],
)
def test_a_users_network_that_cannot_be_built_is_named(nets, text, arguments, message):
    with pytest.raises(BadSetting) as caught:
        build_for_graph(text, GRAPH, **arguments)()
    assert str(caught.value).startswith(message)


# ---- R-GCN by hand ----------------------------------------------------------------------------------------------------------


def shaken(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def by_hand(conv, values: torch.Tensor, graph: Graph) -> torch.Tensor:
    """W_0 h_i and the mean of each relation's neighbours through its matrix; heads hear tails by the relation's other half."""
    matrices = torch.einsum("rb,bio->rio", conv.comp, conv.weight)
    found = []
    for node in range(graph.nodes):
        total = values[node] @ conv.root + conv.bias
        for relation in range(graph.relations):
            there = [head for head, tail, kind in graph.edges.tolist() if tail == node and kind == relation]
            back = [tail for head, tail, kind in graph.edges.tolist() if head == node and kind == relation]
            for neighbours, matrix in ((there, matrices[relation]), (back, matrices[relation + graph.relations])):
                if neighbours:
                    total = total + values[neighbours].mean(0) @ matrix
        found.append(total)
    return torch.stack(found)


def test_two_relations_by_hand():
    torch.manual_seed(0)
    model = shaken(RGCN(5, 2, hidden=6, outputs=3, bases=2))
    hidden = by_hand(model.convs[0], model.embedding.weight, WORLD).relu()
    torch.testing.assert_close(model(WORLD), by_hand(model.convs[1], hidden, WORLD))


def test_the_decoder_by_hand():
    model = RGCN(3, 2, hidden=4, outputs=2)
    with torch.no_grad():
        model.weights.copy_(torch.tensor([[1.0, 0.0], [2.0, -1.0]]))
    embeddings = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]])
    triples = torch.tensor([[0, 1, 0], [0, 1, 1], [1, 0, 1], [2, 2, 1]])
    # 1*1*3;  1*2*3 - 2*4;  the same the other way round;  0.25*2 - 1
    assert model.decode(embeddings, triples).tolist() == [3.0, -2.0, -2.0, -0.5]


def test_directions_and_relations_are_told_apart_by_the_layers():
    torch.manual_seed(0)
    model = shaken(RGCN(3, 2, hidden=8, outputs=4))
    told = [model(Graph.of(3, [triple], relations=2)) for triple in ([0, 1, 0], [1, 0, 0], [0, 1, 1])]
    assert not any(torch.allclose(told[first], told[second]) for first, second in ((0, 1), (0, 2), (1, 2)))


def test_the_task_asks_the_networks_own_decoder():
    model, task = RGCN(5, 2, hidden=8, outputs=4), LinkPredictionTask(lambda: RGCN(5, 2))
    batch = LinkBatch(WORLD.edges, torch.ones(5), WORLD)
    torch.testing.assert_close(task.outputs(model, batch), model.decode(model(WORLD), WORLD.edges))
    swapped = batch._replace(pairs=torch.stack([WORLD.edges[:, 0], WORLD.edges[:, 1], 1 - WORLD.edges[:, 2]], 1))
    assert not torch.allclose(task.outputs(model, swapped), task.outputs(model, batch))


def test_another_number_of_relations_is_refused():
    with pytest.raises(BadSetting, match=r"^r-gcn was made for 3 relations, and this graph has 2$"):
        RGCN(5, 3)(WORLD)


def test_sampled_parts_have_the_embeddings_of_their_own_nodes():
    graph = Graph.of(30, [[node, node + 1, node % 2] for node in range(20, 29)] + [[0, 5, 1], [5, 9, 0]], relations=2)
    torch.manual_seed(0)
    model = shaken(RGCN(30, 2, hidden=8, outputs=4))
    part, places = sampled(graph, torch.tensor([25, 5]), (-1, -1), torch.Generator().manual_seed(0))
    assert part.nodes < 30 and not torch.equal(part.ids, torch.arange(part.nodes))
    torch.testing.assert_close(model(part)[places], model(graph)[[25, 5]])
    task = LinkPredictionTask(lambda: model)
    for batch in LinkBatches(graph, graph.edges, None, 1, 3, (-1, -1)).epoch(torch.Generator().manual_seed(0)):
        asked = torch.cat([batch.graph.ids[batch.pairs[:, :2]], batch.pairs[:, 2:]], 1)
        torch.testing.assert_close(task.outputs(model, batch), task.outputs(model, LinkBatch(asked, batch.labels, graph)))


# ---- forgetting a relation --------------------------------------------------------------------------------------------------


def families() -> Graph:
    """Eight families of six: within each all are relatives; everybody works for somebody of the next. Relation 2 is drawn at
    random, and can only be known by heart."""
    relatives = [[i, j, 0] for i in range(48) for j in range(48) if i != j and i // 6 == j // 6]
    works = [[i, (i + 6) % 48, 1] for i in range(48)]
    drawn = torch.randint(48, (60, 2), generator=torch.Generator().manual_seed(0))
    secrets = [[*pair, 2] for pair in drawn.tolist()]
    return Graph.of(48, relatives + works + secrets, relations=3)


def test_a_relation_is_forgotten_and_the_others_stay():
    parts = split_links(families(), validation=0.1, test=0.1)
    task = LinkPredictionTask(lambda: RGCN(48, 3, hidden=24, outputs=16, bases=3))
    engine = Engine(progress=False)
    recipe = Retrain(epochs=120, optimizer=Optimizer("adam", 1e-2))
    model = recipe.train(task, parts.training(), engine)
    context = GraphContext(parts.graph, parts.test, parts.validation, relations=("relative", "works for", "secret"))
    split = parts.without(ForgetRelation("secret").edges(context))
    assert (split.forget.pairs[:, 2] == 2).all() and not (split.retain.pairs[:, 2] == 2).any()
    student = D2DGN(alpha=0.5, stop="never", epochs=60, optimizer=Optimizer("adam", 3e-3))(model, task, split, engine)

    def probabilities(which, split):
        return [task.evaluate(which, part)["probability"] for part in (split.forget, split.retain)]

    before, after = probabilities(model, task.as_trained(split)), probabilities(student, split)
    assert min(before) > 0.85
    goes, stays = (old - new for old, new in zip(before, after, strict=True))
    assert goes > 0.3 and abs(stays) < 0.05
    assert after[0] < 0.5, "a secret is no likelier than not"
