"""Small graphs that many tests share: planted communities, a split of their links and one of their nodes."""

from dataclasses import replace

import torch
from torch import nn

from expunge.data.graph_splits import LinkSplit, NodeSplit, split_links, split_nodes
from expunge.engine import Engine
from expunge.graphs import Graph
from expunge.methods import Retrain
from expunge.models.gnn import GCN
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.tasks import LinkPredictionTask, NodeClassificationTask

RECIPE = Retrain(epochs=30, optimizer=Optimizer("adam", 1e-2))


def communities(size: int = 20, count: int = 4, inside: float = 0.3, outside: float = 0.02, seed: int = 0) -> Graph:
    """Nodes of `count` classes, sorted by class, mostly connected within; features point to the class, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count).repeat_interleave(size)
    chance = torch.where(labels[:, None] == labels, inside, outside)
    edges = (torch.rand(len(labels), len(labels), generator=generator) < chance).triu(1).nonzero()
    features = torch.eye(count, 8)[labels] + 0.5 * torch.randn(len(labels), 8, generator=generator)
    return Graph.of(len(labels), edges, features, labels)


def strangers(nodes: int = 60, edges: int = 180, seed: int = 0) -> Graph:
    """Edges drawn at random, and a feature of its own for each node: there is nothing to learn of them but by heart."""
    generator = torch.Generator().manual_seed(seed)
    return Graph.of(nodes, torch.randint(nodes, (edges, 2), generator=generator), torch.eye(nodes))


def by_heart_parts() -> LinkSplit:
    return split_links(strangers(), validation=0.15, test=0.15)


def by_heart_split() -> Split:
    """Every tenth edge must go, of edges that can only be known by heart."""
    parts = by_heart_parts()
    return parts.without(torch.arange(0, len(parts.graph.edges), 10))


def by_heart_task() -> LinkPredictionTask:
    return LinkPredictionTask(lambda: GCN(60, hidden=32, outputs=16))


def by_heart_original(engine: Engine) -> nn.Module:
    """A model that knows its training edges by heart."""
    with engine.scope("original"):
        return replace(RECIPE, epochs=150).train(by_heart_task(), by_heart_parts().training(), engine)


def link_network() -> nn.Module:
    """With dropout, so that any slip in the handling of random numbers shows."""
    return GCN(8, hidden=16, outputs=8, dropout=0.2)


def link_task() -> LinkPredictionTask:
    return LinkPredictionTask(link_network)


def link_parts() -> LinkSplit:
    return split_links(communities(), validation=0.1, test=0.15)


def link_split() -> Split:
    """Every tenth edge must go."""
    parts = link_parts()
    return parts.without(torch.arange(0, len(parts.graph.edges), 10))


def link_original(engine: Engine) -> nn.Module:
    """A model trained on all training edges."""
    with engine.scope("original"):
        return RECIPE.train(link_task(), link_parts().training(), engine)


def node_task() -> NodeClassificationTask:
    return NodeClassificationTask(lambda: GCN(8, hidden=16, outputs=4, dropout=0.2), classes=4)


def node_parts() -> NodeSplit:
    return split_nodes(communities(), validation=0.15, test=0.25)


def node_split() -> Split:
    """Every fifth training node must go."""
    parts = node_parts()
    return parts.without(parts.train[::5])


def node_original(engine: Engine) -> nn.Module:
    """A model trained on all training nodes."""
    with engine.scope("original"):
        return RECIPE.train(node_task(), node_parts().training(), engine)
