"""The data, the network and its loss: known to server and clients alike."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from expunge.federated import dirichlet
from expunge.split import Batches

BATCH = 16


def network() -> nn.Module:
    """A small network for (n, 64) pixels and 10 classes; always with the same first weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of each example, shape (n,)."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def digits(unseen: bool = False) -> TensorDataset:
    """Images, (n, 64), and classes, (n,): every fifth is unseen, the others are dealt out to clients."""
    pixels, labels = load_digits(return_X_y=True)
    rows = [row for row in range(len(labels)) if (row % 5 == 0) == unseen]
    return TensorDataset(torch.tensor(pixels[rows] / 16, dtype=torch.float32), torch.tensor(labels[rows]))


def share_of(client: int, clients: int, alpha: float) -> Batches:
    """What one client has; all of them draw the same shares."""
    data = digits()
    return Batches(data, BATCH, dirichlet(data.tensors[1].numpy(), clients, alpha)[client])
