"""Tasks of blobs, and streams of requests over them, that are served in a fraction of a second."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.continual import ReplayBuffer, RequestStream
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.tasks import ClassificationTask

CLASSES, DIMENSIONS = 6, 8
FAST = {"epochs": 4, "batch_size": 16, "optimizer": Optimizer("sgd", 0.1)}


def network() -> nn.Module:
    """With batch normalisation, whose statistics averages have to carry, and dropout."""
    return nn.Sequential(nn.Linear(DIMENSIONS, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, CLASSES))


def task() -> ClassificationTask:
    return ClassificationTask(network, classes=CLASSES)


def blobs(classes: range, each: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(list(classes)).repeat_interleave(each)
    centres = 4 * torch.eye(CLASSES, DIMENSIONS)
    return TensorDataset(centres[labels] + torch.randn(len(labels), DIMENSIONS, generator=generator), labels)


def tasks(each: int = 40, seed: int = 0) -> list[TensorDataset]:
    """Three tasks of two classes."""
    return [blobs(range(first, first + 2), each, 10 * seed + first) for first in (0, 2, 4)]


def unseen(each: int = 30) -> dict[str, Batches]:
    return {str(place + 1): Batches(data, 64) for place, data in enumerate(tasks(each, seed=7))}


class Lazy(torch.utils.data.Dataset):
    """Data that are read one by one."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int):
        return self.data[row]


def stream(words: str = "L1 L2 U1 L3") -> RequestStream:
    return RequestStream.of(words, tasks())


def memory(capacity: int = 24, logits: int = 0) -> ReplayBuffer:
    return ReplayBuffer(capacity, (DIMENSIONS,), logits)
