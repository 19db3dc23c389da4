"""What `Engine.fit` costs over a bare PyTorch loop that makes the same steps, as a ratio in one run.

Both train the same network on the same stream of batches with the same optimizer, in turns, so that a busy machine slows both.
The bound is 1.10. Exit code 1 when a ratio is above it.
"""

import copy
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.models import MLP, SmallCNN
from expunge.optimizers import Optimizer
from expunge.split import Batches

BOUND = 1.10
ROUNDS = 15


def bare(model: nn.Module, batches: Batches, epochs: int) -> None:
    """Train as anybody would write it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        for inputs, labels in batches.epoch(generator):
            loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def with_engine(model: nn.Module, batches: Batches, epochs: int) -> None:
    """The same by the engine."""
    Engine(progress=False).fit(
        model,
        lambda network, batch: F.cross_entropy(network(batch[0]), batch[1]),
        batches,
        epochs=epochs,
        optimizer=Optimizer("adam", 1e-3),
    )


def seconds(train: Callable[[nn.Module, Batches, int], None], model: nn.Module, batches: Batches, epochs: int) -> float:
    """Wall time of one training of a copy."""
    model = copy.deepcopy(model)
    start = time.perf_counter()
    train(model, batches, epochs)
    return time.perf_counter() - start


def ratio(model: nn.Module, batches: Batches, epochs: int) -> float:
    """Median over rounds of the ratio of neighbours, each round in the other order."""
    ratios = []
    for turn in range(ROUNDS + 1):
        order = (bare, with_engine) if turn % 2 else (with_engine, bare)
        times = {train: seconds(train, model, batches, epochs) for train in order}
        if turn:  # the first round warms up
            ratios.append(times[with_engine] / times[bare])
    return statistics.median(ratios)


def main() -> int:
    """Print both ratios."""
    torch.manual_seed(0)
    cases = {
        "digits MLP, batch 64": (MLP((1, 8, 8), 10), TensorDataset(torch.rand(1437, 1, 8, 8), torch.randint(10, (1437,))), 12),
        "MNIST CNN, batch 64": (
            SmallCNN((1, 28, 28), 10),
            TensorDataset(torch.rand(3000, 1, 28, 28), torch.randint(10, (3000,))),
            2,
        ),
    }
    worst = 0.0
    for name, (model, data, epochs) in cases.items():
        found = ratio(model, Batches(data, 64), epochs)
        worst = max(worst, found)
        print(f"{name}: engine.fit takes {found:.3f} times a bare loop (bound {BOUND})")
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
