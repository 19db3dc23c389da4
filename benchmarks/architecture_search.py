"""What a step of a search costs: python benchmarks/architecture_search.py [--rounds 3]

A step of PC-DARTS (a quarter of the channels) and one of DARTS, both at first order and on the same batches of 64 grey images
of 32 x 32, with 16 channels, 5 cells of 4 nodes and the 8 usual operations, are timed in turns, so that a busy machine slows
both, and the tensors that each holds at its peak are added up. A step is forward and backward for the architecture, the same
for the weights, and both optimizers. PC-DARTS must take at most half of the time and half of the memory. Exit code 1 otherwise.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch

from expunge.search import CellSpace, Darts, PCDarts
from expunge.search.bilevel import Bilevel
from expunge.search.cost import peak_bytes
from expunge.search.expected_cost import expected_cost
from expunge.search.gradient_search import GradientSearch
from expunge.search.halves import HalfBatches
from expunge.search.two_optimizers import TwoOptimizers

BOUND = 2.0
SPACE = CellSpace(classes=7, nodes=4, cells=5, channels=16)


def stepper(method: GradientSearch, batch: HalfBatches) -> Callable[[], None]:
    """A function that makes one step of a search."""
    torch.manual_seed(0)
    learner = Bilevel(method.supernet(SPACE), steps=100, warmup=0, order=1, cost=expected_cost(SPACE, (32, 32)))
    optimizer = TwoOptimizers(len(learner.supernet.architecture))(learner.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(learner(batch).values(), torch.zeros(())).backward()
        optimizer.step()

    step()  # the optimizers make their state now
    return step


def main() -> int:
    """Print times, memory and both ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="steps of each")
    parser.add_argument("--batch", type=int, default=64, help="images in a step, of each half")
    options = parser.parse_args()
    halves = [(torch.randn(options.batch, 1, 32, 32), torch.randint(7, (options.batch,))) for _ in range(2)]
    batch = HalfBatches(*halves)
    steps = {"darts": stepper(Darts(), batch), "pc-darts": stepper(PCDarts(), batch)}
    memory = {name: peak_bytes(step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.rounds):
        for name in sorted(steps, reverse=bool(turn % 2)):
            start = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - start)
    faster = statistics.median(slow / fast for slow, fast in zip(times["darts"], times["pc-darts"], strict=True))
    smaller = memory["darts"] / memory["pc-darts"]
    for name in steps:
        print(f"{name:9} {statistics.median(times[name]):7.2f} s a step {memory[name] / 1e6:9,.0f} MB at the peak")
    print(f"pc-darts is {faster:.2f} times faster and takes {smaller:.2f} times less memory (bound {BOUND} for both)")
    return int(faster < BOUND or smaller < BOUND)


if __name__ == "__main__":
    sys.exit(main())
