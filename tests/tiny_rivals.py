"""What the tests of recommenders' methods share: a request served in one line, what changed, and a module from outside."""

import torch
from torch import nn

import tiny_interactions as tiny
from expunge.engine import Engine
from expunge.split import Split
from expunge.tasks.recommendation import margins

KINDS = ("users", "items", "pairs", "features")


def split_for(kind: str) -> Split:
    return tiny.parts().without(tiny.removal(kind))


def unlearned(method, kind="users", network="mgcn", seed=0):
    return method(tiny.trained(network), tiny.task(network), split_for(kind), Engine(seed, progress=False))


def changed_rows(before: nn.Module, after: nn.Module) -> dict[str, list[int]]:
    """The rows of each parameter in which two models differ; parameters without any are left out."""
    pairs = zip(before.state_dict().items(), after.state_dict().values(), strict=True)
    found = {
        name: (ours != theirs).reshape(len(ours), -1).any(1).nonzero().flatten().tolist() for (name, ours), theirs in pairs
    }
    return {name: rows for name, rows in found.items() if rows}


def mean_margin(model, stream, network="mgcn") -> float:
    return tiny.task(network).collect(model, stream, lambda outputs, _: margins(outputs).mean(1)).mean().item()


class Own(nn.Module):
    """A recommender that knows nothing of this library."""

    def __init__(self, users: int = tiny.USERS, items: int = tiny.ITEMS) -> None:
        super().__init__()
        self.of_users, self.of_items = nn.Embedding(users, 8), nn.Embedding(items, 8)
        self.bias, self.scale = nn.Parameter(torch.randn(items)), nn.Parameter(torch.ones(3))

    def forward(self, users, items):
        return self.scale.mean() * (self.of_users(users) * self.of_items(items)).sum(1) + self.bias[items]
