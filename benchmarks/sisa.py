"""What exact unlearning by shards and slices costs: the share of a training that one record takes, and accuracy on unseen data.

    share         8 shards of 4 slices: batches that are trained again without one record, beside a training of all shards from
                  the beginning; one record of each slice of a shard, at most 20 % for each
    accuracy      of one network that is trained on everything, and of the ensemble, on digits and, where $EXPUNGE_DATA has it,
                  6,000 rows of MNIST; the means over seeds

Each network of an ensemble makes an eighth of the steps that one network on everything makes: with batches of the same size
they are few on small data, so that smaller batches are tried too. Exit code 1 when a share is above the bound.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from expunge.data import Source, available, load
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.models import build
from expunge.sisa import ShardedTraining
from expunge.sisa.shards import homes
from expunge.split import Batches
from expunge.tasks import ClassificationTask

SHARDS, SLICES, SEEDS = 8, 4, 3
BOUND = 0.20
RECIPE = Retrain(epochs=12)
CASES = {"digits": ("mlp", None, None), "mnist": ("small-cnn", 6000, 2000)}  # network, rows to train on, rows unseen


def figures(source: Source, network: str) -> float:
    """Print accuracies and shares; the largest share."""
    task = ClassificationTask(build(network, source), classes=len(source.classes))
    unseen = Batches(source.holdout, 256)
    one = accuracy(task, unseen, lambda engine: RECIPE.train(task, Batches(source.train, 64), engine))
    print(f"{source.name}, {len(source.train):,} rows: one network on everything {100 * one:.1f} %")
    training, shares = ShardedTraining.from_recipe(RECIPE, shards=SHARDS, slices=SLICES), []
    for batch_size in (64, 16, 8):
        data = Batches(source.train, batch_size)
        found = accuracy(task, unseen, lambda engine, data=data: training.train(task, data, engine))
        worst, mean, seconds = removal(training, task, data)
        shares.append(worst)
        print(
            f"    {SHARDS} shards of {SLICES} slices, batches of {batch_size}: {100 * found:.1f} % "
            f"({100 * (found - one):+.1f}); one record takes {100 * mean:.1f} % of the steps, at most {100 * worst:.1f} %, "
            f"and {100 * seconds:.1f} % of the time"
        )
    return max(shares)


def accuracy(task: ClassificationTask, unseen: Batches, train: Callable[[Engine], Any]) -> float:
    """Mean over seeds."""
    models = (train(Engine(seed, progress=False)) for seed in range(SEEDS))
    return statistics.mean(task.evaluate(model, unseen)["accuracy"] for model in models)


def removal(training: ShardedTraining, task: ClassificationTask, data: Batches) -> tuple[float, float, float]:
    """Largest and mean share of the steps that a record of each slice takes, and the mean share of the time."""
    engine, started = Engine(progress=False), time.perf_counter()
    model = training.train(task, data, engine)
    whole = time.perf_counter() - started
    shards, slices = homes(torch.arange(data.examples), SHARDS, SLICES, model.record.seed)
    shares, seconds = [], []
    for slice_ in range(SLICES):
        row = int(((shards == slice_) & (slices == slice_)).nonzero()[0])
        started = time.perf_counter()
        work = model.without([row], task, engine).work
        seconds.append((time.perf_counter() - started) / whole)
        shares.append(work.steps / work.all_steps)
    return max(shares), statistics.mean(shares), statistics.mean(seconds)


def main() -> int:
    """Measure all data that are there."""
    torch.set_num_threads(1)
    worst = []
    for name, (network, train, unseen) in CASES.items():
        if available(name):
            worst.append(figures(load(name, train=train, holdout=unseen), network))
        else:
            print(f"{name}: not there, set EXPUNGE_DATA")
    print(f"largest share {100 * max(worst):.1f} % (bound {100 * BOUND:g} %)")
    return int(max(worst) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
