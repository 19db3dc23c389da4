"""Your own graph network and training loop: friendships are withdrawn, and the network must lose them.

The graph is made: 800 people in six circles, most of whose friends are in their own. Every 20th friendship is withdrawn. It
needs the extra `graph`. Run it with:  python examples/forget_edges.py
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv

import expunge
from expunge.data import LinkSplit, split_links
from expunge.graphs import Graph
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.report.terminal import print_summary
from expunge.tasks import LinkPredictionTask

EPOCHS, LEARNING_RATE, PEOPLE, CIRCLES = 400, 0.005, 800, 6


class Network(nn.Module):
    """Any network that maps features and `edge_index` to an embedding of each node; two are friends where these are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCNConv(PEOPLE, 64), GCNConv(64, 32)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


def friendships() -> Graph:
    """A graph in which each person has one feature of their own."""
    circle = torch.arange(PEOPLE) % CIRCLES
    chance = torch.where(circle[:, None] == circle, 0.05, 0.002)
    return Graph.of(PEOPLE, (torch.rand(PEOPLE, PEOPLE) < chance).triu(1).nonzero(), torch.eye(PEOPLE))


def train(model: nn.Module, links: LinkSplit) -> nn.Module:
    """Plain PyTorch, as you have it already: each epoch sees all edges, and as many pairs that are none."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for pairs, labels, graph in links.training().epoch(generator):
            nodes = model(graph.x, graph.edge_index)
            loss = F.binary_cross_entropy_with_logits((nodes[pairs[:, 0]] * nodes[pairs[:, 1]]).sum(1), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def main() -> None:
    """Train, forget, audit, report."""
    torch.set_num_threads(1)  # more gain a network this small nothing
    torch.manual_seed(0)
    links = split_links(friendships())
    model = train(Network(), links)
    withdrawn = torch.arange(0, len(links.graph.edges), 20)

    recipe = Retrain(epochs=EPOCHS, optimizer=Optimizer("adam", LEARNING_RATE), schedule="constant")
    result = expunge.forget(model, LinkPredictionTask(Network), links.without(withdrawn), "d2dgn", retrain=recipe)
    result.report("runs/forget-edges")
    print_summary(result.evidence)


if __name__ == "__main__":
    main()
