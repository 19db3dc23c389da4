"""Tasks on graphs: what is read of embeddings, groups of pairs by hand, joined batches, and the networks behind wrappers."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from expunge.errors import BadSetting
from expunge.gradients import diagonal_fisher, mean_gradient
from expunge.graphs import Graph, LinkBatch, LinkBatches, NodeBatch, NodeBatches
from expunge.models.gnn import GAT, GCN, GIN, GraphSAGE
from expunge.models.rgcn import RGCN
from expunge.split import Batches, Pair, Split, joined, one_epoch
from expunge.tasks import TASKS, LinkPredictionTask, NodeClassificationTask
from expunge.tasks.graph import graph_layers, layers_recorded, unwrapped
from tiny import class_split
from tiny_graphs import communities, link_split, node_split

LINKS = LinkPredictionTask(lambda: GCN(8, 16, 8))
NODES = NodeClassificationTask(lambda: GCN(8, 16, 4), 4, ("art", "law", "physics", "maths"))
WORLD = Graph.of(6, [[0, 1, 0], [1, 2, 1], [2, 0, 1], [3, 4, 0], [4, 5, 1]], relations=2)


def pairs_on(graph: Graph, pairs=None, labels=None) -> LinkBatch:
    pairs = graph.edges if pairs is None else torch.tensor(pairs)
    return LinkBatch(pairs, torch.ones(len(pairs)) if labels is None else torch.tensor(labels), graph)


def nodes_on(graph: Graph, *nodes: int) -> NodeBatch:
    return NodeBatch(torch.tensor(nodes), graph.labels[list(nodes)], graph)


class DistributedDataParallel(nn.Module):
    """As torch wraps a network for several processes, told by its name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args):
        return self.module(*args)


class Functional:
    """As what measures gradients hands to a task."""

    def __init__(self, model) -> None:
        self.model = model

    def __call__(self, *args):
        return self.model(*args)


class OnEdges(nn.Module):
    """A user's network, which knows nothing of this library."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)

    def forward(self, x, edge_index):
        hidden = self.act(self.first(x))
        return self.second(hidden.index_add(0, edge_index[1], hidden[edge_index[0]]))


# ---- what is read, by hand ----------------------------------------------------------------------------------------------


def test_an_answer_on_a_pair_is_the_product_of_its_ends():
    embeddings = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]])
    batch = pairs_on(communities(size=4), [[0, 1], [2, 0], [2, 2]])
    assert LINKS.read(GCN(8, 16, 2), embeddings, batch).tolist() == [1.0, 1.0, 0.25]


def test_outputs_are_read_from_the_networks_embeddings_and_follow_the_batchs_graph():
    graph, model = communities(), LINKS.new_model()
    cut = graph.without_edges(torch.arange(30))
    for each in (graph, cut):
        z = model(each)
        wanted = (z[each.edges[:7, 0]] * z[each.edges[:7, 1]]).sum(1)
        torch.testing.assert_close(LINKS.outputs(model, pairs_on(each, each.edges[:7].tolist())), wanted)
    batch = pairs_on(graph)
    assert not torch.allclose(LINKS.outputs(model, batch), LINKS.outputs(model, batch.on(cut)))
    turned = batch._replace(pairs=batch.pairs.flip(1))
    torch.testing.assert_close(LINKS.outputs(model, turned), LINKS.outputs(model, batch))


def test_features_of_pairs_add_up_to_their_logits():
    graph, model = communities(), LINKS.new_model()
    features = LINKS.features(model, pairs_on(graph))
    assert features.shape == (len(graph.edges), 8)
    torch.testing.assert_close(features.sum(1), LINKS.outputs(model, pairs_on(graph)))
    assert LINKS.features(RGCN(6, 2, 8, 4), pairs_on(WORLD)).shape == (5, 4), "of triples too"


def test_losses_scores_and_likelihood_of_pairs_by_hand():
    outputs, batch = torch.tensor([0.0, 2.0, 2.0, -1.0]), pairs_on(WORLD, [[0, 1]] * 4, [1.0, 1.0, 0.0, 0.0])
    wanted = [math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(2)), math.log(1 + math.exp(-1))]
    assert LINKS.losses(outputs, batch).tolist() == pytest.approx(wanted)
    assert LINKS.likelihood_losses(outputs, batch).tolist() == pytest.approx(wanted)
    scores = LINKS.scores(outputs, batch)
    assert scores.tolist() == pytest.approx([math.exp(-loss) for loss in wanted]), "what was true got this probability"
    assert LINKS.score_name == "probability" and LINKS.higher_is_better


def test_divergence_of_answers_is_that_of_two_classes():
    student, teacher = torch.tensor([0.0, 3.0, -1.0]), torch.tensor([math.log(3), 3.0, 4.0])
    p, q = (teacher / 2).sigmoid(), (student / 2).sigmoid()
    wanted = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log())
    torch.testing.assert_close(LINKS.divergence(student, teacher, 2.0), wanted)
    assert LINKS.divergence(student, teacher)[1] == 0
    assert LINKS.divergence(torch.zeros(1), torch.tensor([math.log(3)])).item() == pytest.approx(0.1308, abs=1e-4)


def test_a_node_is_read_from_its_row_and_nothing_else():
    graph, model = communities(), NODES.new_model()
    batch = nodes_on(graph, 70, 3, 3)
    outputs = NODES.outputs(model, batch)
    torch.testing.assert_close(outputs, model(graph)[[70, 3, 3]])
    torch.testing.assert_close(NODES.features(model, batch), outputs)
    said = torch.tensor([[0.0, 0.0, 0.0, math.log(5)], [0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    assert NODES.losses(said, batch)[0].item() == pytest.approx(math.log(8 / 5))
    assert NODES.scores(said, batch).tolist() == [1.0, 0.0, 1.0]
    assert NODES.groups(batch).tolist() == [3, 0, 0] and NODES.group_name(3) == "maths"
    assert NODES.divergence(said, said).tolist() == [0.0] * 3 and (NODES.divergence(said, said.flip(1)) > 0).all()


def test_they_are_registered_by_their_files_names():
    assert TASKS["link-prediction"] is LinkPredictionTask and TASKS["node-classification"] is NodeClassificationTask
    with pytest.raises(BadSetting, match="at least 2 classes, not 1"):
        NodeClassificationTask(lambda: GCN(8), classes=1)


def test_evaluate_weighs_every_pair_alike():
    graph, model = communities(), LINKS.new_model()
    stream = [pairs_on(graph, graph.edges[:3].tolist()), pairs_on(graph, graph.edges[3:20].tolist())]
    (whole,) = [pairs_on(graph, graph.edges[:20].tolist())]
    outputs = LINKS.outputs(model.eval(), whole)
    found = LINKS.evaluate(model, stream)
    assert found["probability"] == pytest.approx(LINKS.scores(outputs, whole).mean().item())
    assert found["loss"] == pytest.approx(LINKS.losses(outputs, whole).mean().item())


# ---- groups of pairs ----------------------------------------------------------------------------------------------------

#     0 - 1,  0 - 2,  1 - 2,  2 - 3,  3 - 4;   5 alone;   6 - 7
STAR = Graph.of(8, [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [6, 7]])


def name_of(*pair: int, graph: Graph = STAR) -> str:
    return LINKS.group_name(int(LINKS.groups(pairs_on(graph, [pair]))[0]))


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        ((0, 1), "1 and 1 neighbours, 1 shared"),  # without itself 0 has 2, 1 has 2
        ((2, 3), "1 and 2-3 neighbours, 0 shared"),
        ((6, 7), "0 and 0 neighbours, 0 shared"),
        ((5, 5), "0 and 0 neighbours, 0 shared"),
        ((5, 2), "0 and 2-3 neighbours, 0 shared"),
        ((0, 3), "2-3 and 2-3 neighbours, 1 shared"),  # no edge: all count
        ((4, 6), "1 and 1 neighbours, 0 shared"),
    ],
)
def test_groups_by_hand(pair, name):
    assert name_of(*pair) == name == name_of(*pair[::-1])


def test_an_edge_that_is_still_there_does_not_count_itself():
    """Or an attacker would tell deleted from retained edges by their groups alone."""
    graph = communities()
    for row in range(0, len(graph.edges), 7):
        before = pairs_on(graph, [graph.edges[row].tolist()])
        after = before.on(graph.without_edges(torch.tensor([row])))
        assert LINKS.groups(before).tolist() == LINKS.groups(after).tolist()


@pytest.mark.parametrize(
    ("at_one", "at_other", "shared", "name"),
    [
        (0, 9, 0, "0 and 8+ neighbours, 0 shared"),
        (1, 8, 0, "1 and 8+ neighbours, 0 shared"),
        (2, 7, 0, "2-3 and 4-7 neighbours, 0 shared"),
        (3, 4, 2, "2-3 and 4-7 neighbours, 2+ shared"),
        (4, 4, 3, "4+ and 4-7 neighbours, 2+ shared"),
        (3, 3, 1, "2-3 and 2-3 neighbours, 1 shared"),
        (20, 20, 20, "4+ and 8+ neighbours, 2+ shared"),
    ],
)
def test_where_one_group_ends_and_the_next_begins(at_one, at_other, shared, name):
    own, others = range(2, 2 + at_one), range(2 + at_one - shared, 2 + at_one - shared + at_other)
    graph = Graph.of(60, [*([0, node] for node in own), *([1, node] for node in others)])
    assert name_of(0, 1, graph=graph) == name


def test_every_group_has_a_name_of_its_own():
    names = [LINKS.group_name(group) for group in range(4 * 5 * 3)]
    assert len(set(names)) == 60 and names[0] == "0 and 0 neighbours, 0 shared"
    assert names[-1] == "4+ and 8+ neighbours, 2+ shared"


def test_groups_of_triples_and_of_no_pairs():
    groups = LINKS.groups(pairs_on(WORLD))
    assert groups.shape == (5,) and groups.dtype == torch.int64
    assert LINKS.group_name(int(groups[0])) == "1 and 1 neighbours, 1 shared"
    assert LINKS.groups(LinkBatch(torch.empty(0, 2, dtype=torch.long), torch.empty(0), STAR)).shape == (0,)


# ---- the graph that is read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "split"), [(LINKS, link_split), (NODES, node_split)])
def test_as_trained_everything_is_read_on_the_whole_graph(task, split):
    given = split()
    found = task.as_trained(given)
    whole = given.retain.graph.whole
    for part in ("forget", "retain", "holdout", "holdout_forget", "validation_forget"):
        ours, theirs = getattr(found, part), getattr(given, part)
        if theirs is None:
            assert ours is None
            continue
        assert ours.graph is whole
        examples = "pairs" if task is LINKS else "nodes"
        assert getattr(ours, examples) is getattr(theirs, examples) and ours.examples == theirs.examples
    assert given.retain.graph is not whole, "the split itself stays"


def test_as_trained_leaves_parts_without_a_graph_alone():
    given = Split(link_split().forget, link_split().retain)
    found = LINKS.as_trained(given)
    assert found.holdout == () and found.holdout_forget is None and found.validation_forget == ()
    other = class_split()
    assert LINKS.as_trained(other).retain is other.retain and isinstance(other.retain, Batches)


# ---- wrappers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        DistributedDataParallel,
        Functional,
        lambda model: Functional(DistributedDataParallel(model)),
        lambda model: DistributedDataParallel(DistributedDataParallel(model)),
    ],
    ids=["distributed", "functional", "functional of distributed", "distributed twice"],
)
def test_networks_are_seen_behind_what_is_put_around_them(wrap):
    graph = communities()
    for task, model, batch in (
        (LINKS, GCN(8, 16, 8), pairs_on(graph)),
        (LINKS, RGCN(6, 2, 8, 4), pairs_on(WORLD)),
        (LINKS, OnEdges(), pairs_on(graph)),
        (NODES, GAT(8, 16, 4), nodes_on(graph, 1, 2, 50)),
    ):
        around = wrap(model)
        assert unwrapped(around) is model is unwrapped(model)
        torch.testing.assert_close(task.outputs(around, batch), task.outputs(model, batch))


def test_the_outside_is_called_not_the_inside():
    """DistributedDataParallel must see each forward pass, or it would not average gradients."""
    calls = []

    class Counts(DistributedDataParallel):
        def forward(self, *args):
            calls.append(args)
            return super().forward(*args)

    LINKS.outputs(Counts(GCN(8, 16, 8)), pairs_on(communities()))
    LINKS.outputs(Counts(OnEdges()), pairs_on(communities()))
    assert [len(args) for args in calls] == [1, 2], "a graph, or features and edge_index"


def test_a_networks_own_attribute_called_model_is_not_taken_for_a_wrapper():
    class Holds(OnEdges):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    holds = Holds()
    assert unwrapped(holds) is holds


# ---- layers -------------------------------------------------------------------------------------------------------------


def test_layers_are_recorded_in_the_order_in_which_they_run():
    graph = communities()

    class Backwards(nn.Module):
        """Runs its layers in another order than it holds them."""

        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = GCNConv(6, 4), GCNConv(8, 6)

        def forward(self, x, edge_index):
            return self.last(self.first(x, edge_index).relu(), edge_index)

    model = Backwards()
    with layers_recorded(DistributedDataParallel(model)) as found:
        outputs = model(graph.x, graph.edge_index)
    assert [layer.shape[1] for layer in found] == [6, 4] and found[1] is outputs


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        (GCN(8, 16, 5, layers=3), [16, 16, 5]),
        (GAT(8, 16, 5, heads=2), [16, 5]),
        (GIN(8, 7, 5), [7, 5]),
        (GraphSAGE(8, 7, 5), [7, 5]),
    ],
    ids=["gcn", "gat", "gin", "sage"],
)
def test_each_graph_layer_is_recorded_once_and_no_longer_than_asked(model, widths):
    graph = communities()
    with layers_recorded(model) as found:
        last = model(graph)
        assert [layer.shape for layer in found] == [(graph.nodes, width) for width in widths] and found[-1] is last
    model(graph)
    assert len(found) == len(widths)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_hooks_are_gone_after_an_error_too():
    model = GCN(8, 16, 5)
    with pytest.raises(ZeroDivisionError), layers_recorded(model):
        raise ZeroDivisionError
    assert not any(layer._forward_hooks for layer in model.modules())


def test_a_network_without_message_passing_has_its_parts_with_parameters_for_layers():
    model = OnEdges()
    assert graph_layers(model) == [model.first, model.second]
    network = GCN(8, 16, 5)
    assert graph_layers(network) == list(network.convs)


# ---- joined batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
@pytest.mark.parametrize("same", [True, False], ids=["on the same graph", "on different graphs"])
def test_joined_batches_give_the_outputs_of_both(kind, same):
    graph = communities()
    other = graph if same else graph.without_edges(torch.arange(25))
    links, nodes = kind(8, 16, 8), kind(8, 16, 4)
    wrong = pairs_on(other, [[0, 79], [5, 40]], [0.0, 0.0])
    cases = [(LINKS, links, pairs_on(graph), wrong), (NODES, nodes, nodes_on(graph, 3, 60), nodes_on(other, 60, 3, 10))]
    for task, model, first, second in cases:
        both, count = joined(Pair(first, second))
        assert count == len(first[0]) and both.labels.tolist() == [*first.labels.tolist(), *second.labels.tolist()]
        assert (both.graph is graph) is same
        wanted = torch.cat([task.outputs(model, first), task.outputs(model, second)])
        torch.testing.assert_close(task.outputs(model, both), wanted)


def test_joined_triples_and_joined_samples_give_the_outputs_of_both():
    model, cut = RGCN(6, 2, 8, 4), WORLD.without_edges(torch.tensor([1]))
    first, second = pairs_on(WORLD), pairs_on(cut, [[1, 2, 1], [0, 5, 0]], [1.0, 0.0])
    both, _ = joined(Pair(first, second))
    wanted = torch.cat([LINKS.outputs(model, first), LINKS.outputs(model, second)])
    torch.testing.assert_close(LINKS.outputs(model, both), wanted)
    stream = LinkBatches(WORLD, WORLD.edges, None, 1, 2, (1, 1))
    first, second = list(one_epoch(stream, torch.Generator().manual_seed(0)))[:2]
    both, _ = joined(Pair(first, second))
    wanted = torch.cat([LINKS.outputs(model, first), LINKS.outputs(model, second)])
    torch.testing.assert_close(LINKS.outputs(model, both), wanted)


def test_groups_of_joined_batches_are_those_of_both():
    graph = communities()
    first, second = pairs_on(graph), pairs_on(graph.without_edges(torch.arange(25)), graph.edges[:9].tolist())
    both, _ = joined(Pair(first, second))
    assert LINKS.groups(both).tolist() == [*LINKS.groups(first).tolist(), *LINKS.groups(second).tolist()]


# ---- Fisher information -------------------------------------------------------------------------------------------------


def losses_of(task):
    return lambda model, batch: task.losses(task.outputs(model, batch), batch)


@pytest.mark.parametrize(
    ("model", "graph"),
    [(GCN(8, 16, 8), communities(size=6)), (OnEdges(), communities(size=6)), (RGCN(6, 2, 8, 4), WORLD)],
    ids=["gcn", "edge_index", "r-gcn"],
)
def test_fisher_information_of_pairs_is_the_mean_over_single_pairs(model, graph):
    stream = LinkBatches(graph, graph.edges)
    found = diagonal_fisher(model, losses_of(LINKS), stream)
    wanted = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for pair in graph.edges.tolist():
        batch = pairs_on(graph, [pair])
        part = torch.autograd.grad(LINKS.losses(LINKS.outputs(model, batch), batch).sum(), list(model.parameters()))
        for (name, total), gradient in zip(wanted.items(), part, strict=True):
            wanted[name] = total + gradient.square() / len(graph.edges)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert value.abs().sum() > 0
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("per_example", [True, False])
def test_fisher_information_over_batches_of_one_pair_is_the_same_either_way(per_example):
    graph, model = communities(size=6), GCN(8, 16, 8)
    whole = diagonal_fisher(model, losses_of(LINKS), LinkBatches(graph, graph.edges))
    single = diagonal_fisher(model, losses_of(LINKS), [pairs_on(graph, [pair]) for pair in graph.edges.tolist()], per_example)
    for name, value in whole.items():
        torch.testing.assert_close(single[name], value, rtol=1e-4, atol=1e-8)


def test_fisher_information_of_nodes_is_the_mean_over_single_nodes():
    graph, model = communities(size=6), GAT(8, 16, 4)
    nodes = torch.tensor([0, 7, 20])
    found = diagonal_fisher(model, losses_of(NODES), NodeBatches(graph, nodes))
    parts = [diagonal_fisher(model, losses_of(NODES), NodeBatches(graph, node.view(1))) for node in nodes]
    for name, value in found.items():
        torch.testing.assert_close(value, sum(part[name] for part in parts) / 3, rtol=1e-4, atol=1e-8)


def test_the_mean_gradient_of_triples_reaches_the_decoder():
    model = RGCN(6, 2, 8, 4)
    found = mean_gradient(model, losses_of(LINKS), LinkBatches(WORLD, WORLD.edges))
    assert all(value.abs().sum() > 0 for value in found.values())


def test_a_task_keeps_no_graph_of_its_own():
    graph, model = communities(), LINKS.new_model()
    batch = pairs_on(graph)
    first = LINKS.outputs(model, batch)
    shifted = replace(graph, features=graph.features + 1)
    assert not torch.allclose(LINKS.outputs(model, batch.on(shifted)), first)
    torch.testing.assert_close(LINKS.outputs(model, batch), first)


def test_a_loop_is_no_neighbour_beside_itself():
    loop = torch.tensor([[3, 3, 0]])
    there, gone = Graph.of(5, [[3, 3, 0], [1, 2, 0]], relations=1), Graph.of(5, [[1, 2, 0]], relations=1)
    groups = [LINKS.group_name(int(LINKS.groups(LinkBatch(loop, torch.ones(1), graph))[0])) for graph in (there, gone)]
    assert all(name.startswith("0 and 0 neighbours") for name in groups)
