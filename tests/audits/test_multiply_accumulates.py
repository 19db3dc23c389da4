"""Operations of a forward pass, counted on paper for each kind of layer, and as they happen for networks of other layers."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch_geometric.nn import GCNConv, SAGEConv

from expunge.audits import Figure, MultiplyAccumulates, References, Subject
from expunge.audits.multiply_accumulates import by_formula, counted
from expunge.data.graph_splits import LinkSplit
from expunge.engine import Engine
from expunge.errors import WrongTask
from expunge.graphs import Graph, LinkBatch
from expunge.methods.gnndelete import DeletedGNN
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.models.sgc import SGC
from expunge.sparse import SparseMatrix
from expunge.split import Split
from expunge.tasks import LinkPredictionTask

# Five nodes with 7 features, three edges to be trained on; layers 7 -> 4 -> 3. Messages: 6, or 11 with those to oneself.
PATH, NODES = [[0, 1], [1, 2], [2, 3]], 5
DENSE = torch.randn(NODES, 7, generator=torch.Generator().manual_seed(0))
SPARSE = SparseMatrix.from_entries([0, 1, 2], [0, 3, 6], [1.0, 2.0, 3.0], (NODES, 7))  # 3 entries of 35

#   kind:       first product, its messages, second product, its messages, attention
BY_HAND = {
    GCN: lambda read: read * 4 + 11 * 4 + NODES * 4 * 3 + 11 * 3,
    GraphSAGE: lambda read: 2 * read * 4 + 6 * 4 + 2 * NODES * 4 * 3 + 6 * 3,
    GIN: lambda read: read * 4 + 6 * 4 + NODES * 4 * 3 + 6 * 3,
    GAT: lambda read: read * 4 + 11 * 4 + NODES * 4 * 3 + 11 * 3 + 2 * NODES * (4 + 3),
}


class Foreign(nn.Module):
    """Layers of torch_geometric as they are, on features and edge_index."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, edge_index):
        for layer in self.layers:
            x = layer(x, edge_index)
        return x


class Uncountable(nn.Module):
    """Something that the counter has no word for: it makes no product, or tensors that the counter stumbles over."""

    reads_graph = True

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.table, self.error = nn.Parameter(torch.zeros(NODES, 2)), error

    def forward(self, graph):
        if self.error is not None and _get_current_dispatch_mode() is not None:
            raise self.error
        return self.table


class Beside(nn.Module):
    """Several networks that read the graph each by itself."""

    reads_graph = True

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, graph):
        return torch.cat([member(graph) for member in self.members], 1)


def graph(features=DENSE, edges=PATH) -> Graph:
    return Graph.of(NODES, edges, features)


def batch(on: Graph) -> LinkBatch:
    return LinkBatch(on.edges, torch.ones(len(on.edges)), on)


def subject(model: nn.Module, features=DENSE, whole: bool = False, split: Split | None = None) -> Subject:
    """Of a split in which a fourth edge must go, and what was held out is one edge and one pair without."""
    task = LinkPredictionTask(lambda: model)
    if split is None:
        edges = graph(features, [*PATH, [3, 4]])
        split = LinkSplit(edges, edges.edges[:0], torch.tensor([[0, 4]]), torch.tensor([[0, 2]])).without(torch.tensor([3]))
    return Subject("model", model, task, task.as_trained(split) if whole else split, Engine(progress=False))


def macs(*args, **settings) -> float:
    return MultiplyAccumulates()(subject(*args, **settings))["macs"].value


# ---- by formula ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BY_HAND)
@pytest.mark.parametrize(("features", "read"), [(DENSE, 35), (SPARSE, 3)], ids=["dense", "sparse"])
def test_each_kind_of_layer_by_hand(kind, features, read):
    model = kind(7, 4, 3)
    assert by_formula(model, graph(features)) == BY_HAND[kind](read)
    assert macs(model, features) == BY_HAND[kind](read)


def test_heads_of_attention_share_the_width():
    assert macs(GAT(7, 4, 3, heads=2)) == macs(GAT(7, 4, 3))


def test_one_layer_and_three_by_hand():
    assert macs(GCN(7, 4, 3, layers=1)) == 35 * 3 + 11 * 3
    assert macs(GCN(7, 4, 3, layers=3)) == 35 * 4 + 2 * 11 * 4 + NODES * 4 * 4 + NODES * 4 * 3 + 11 * 3


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GIN])
@pytest.mark.parametrize("features", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_the_formula_is_what_happens_when_the_network_runs(kind, features):
    model, on = kind(7, 4, 3), graph(features)
    assert counted(LinkPredictionTask(lambda: model), model, batch(on)) == by_formula(model, on)


def test_the_original_is_read_on_the_graph_with_the_deleted_edges():
    model = GCN(7, 4, 3)
    assert macs(model, whole=True) - macs(model) == 2 * (4 + 3), "an edge more, both ways, in both layers"


def test_networks_beside_each_other_read_the_features_each():
    assert macs(Beside(GCN(7, 4, 3), GCN(7, 4, 3)), SPARSE) == 2 * BY_HAND[GCN](3)


# ---- what a method adds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [100, lambda: 100], ids=["number", "function"])
def test_what_a_method_put_in_counts_by_its_own_account(extra):
    model = GCN(7, 4, 3)
    plain = macs(model)
    model.extra_macs = extra
    assert macs(model) == plain + 100


def test_operators_beside_the_layers_count_by_account_and_else_as_they_happen():
    class WithOperator(GCN):
        def __init__(self) -> None:
            super().__init__(7, 4, 3)
            self.operator = nn.Linear(3, 3, bias=False)

        def forward(self, x, edge_index=None):
            return self.operator(super().forward(x, edge_index))

    model = WithOperator()
    plain = BY_HAND[GCN](35)
    assert by_formula(model, graph()) is None and macs(model) == plain + NODES * 3 * 3
    model.extra_macs = 7
    assert macs(model) == plain + 7


def test_the_operators_of_gnndelete_work_on_the_nodes_of_their_regions():
    regions = [torch.arange(NODES) < 2, torch.arange(NODES) < 4]
    model = DeletedGNN(GCN(7, 4, 3), regions, (4, 3))
    extra = 2 * 4 * 4 + 4 * 3 * 3
    assert macs(model) == BY_HAND[GCN](35) + extra
    assert counted(LinkPredictionTask(lambda: model), model, batch(graph())) == BY_HAND[GCN](35) + extra


# ---- other networks -----------------------------------------------------------------------------------------------------


def test_layers_of_others_are_counted_as_they_run():
    """A GCN layer of torch_geometric multiplies first, a GraphSAGE layer sends first."""
    assert macs(Foreign(GCNConv(7, 4), GCNConv(4, 3))) == BY_HAND[GCN](35)
    assert macs(Foreign(SAGEConv(7, 4))) == 2 * 35 * 4 + 6 * 7


def test_what_is_kept_with_the_graph_is_not_counted_whoever_comes_first():
    model, again = subject(SGC(7, 3)), SGC(7, 3)
    found = [MultiplyAccumulates()(each)["macs"].value for each in (model, subject(again, split=model.split))]
    assert found == [35 * 3, 35 * 3]


def test_counting_leaves_the_models_mode_alone():
    model = Foreign(GCNConv(7, 4)).train()
    macs(model)
    assert model.training


@pytest.mark.parametrize("error", [None, NotImplementedError("sparse"), RuntimeError("no storage")], ids=str)
def test_what_cannot_be_counted_is_left_out(error):
    assert MultiplyAccumulates()(subject(Uncountable(error))) == {}


# ---- ideals, and nothing to tell ----------------------------------------------------------------------------------------


def test_the_ideal_is_the_retrained_models():
    small, large = GCN(7, 4, 3), GCN(7, 8, 3)
    found = MultiplyAccumulates()(subject(large), References(retrained=(subject(small),)))
    assert found == {"macs": Figure(35 * 8 + 11 * 8 + NODES * 8 * 3 + 11 * 3, float(BY_HAND[GCN](35)))}
    unknown = MultiplyAccumulates()(subject(large), References(retrained=(subject(Uncountable()),)))
    assert unknown["macs"].ideal is None


def test_without_a_holdout_set_what_stays_is_read_and_without_both_nothing():
    model = GCN(7, 4, 3)
    usual = subject(model).split
    assert macs(model, split=Split(usual.forget, usual.retain)) == BY_HAND[GCN](35)
    assert MultiplyAccumulates()(subject(model, split=Split((), ()))) == {}


def test_only_graphs_have_a_pass_over_a_graph(stage):
    with pytest.raises(WrongTask, match=r"^the audit multiply-accumulates works on GraphTask, not on ClassificationTask$"):
        MultiplyAccumulates()(stage({"forget": [0], "retain": [1]}).answering({}))
