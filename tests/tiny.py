"""Small things that many tests share: a task, data and a split that train in a fraction of a second."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.data import Target
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, RegressionTask

RECIPE = Retrain(epochs=10, optimizer=Optimizer("adam", 1e-2))


def blobs(per_class: int = 40, classes: int = 4, seed: int = 0) -> TensorDataset:
    """Gaussian blobs in 8 dimensions around the corners of a simplex: (n, 8) inputs, (n,) labels, sorted by class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(per_class)
    centres = torch.eye(classes, 8) * 3
    return TensorDataset(centres[labels] + torch.randn(len(labels), 8, generator=generator), labels)


def network() -> nn.Module:
    """With dropout, so that any slip in the handling of random numbers shows."""
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def task() -> ClassificationTask:
    return ClassificationTask(network, classes=4)


def class_split(batch_size: int = 16) -> Split:
    """Class 3 must go."""
    train, unseen = blobs(), blobs(20, seed=1)
    of_three = [row for row in range(80) if row >= 60]
    return Split(
        forget=Batches(train, batch_size, range(120, 160)),
        retain=Batches(train, batch_size, range(120)),
        holdout=Batches(unseen, batch_size, range(60)),
        holdout_forget=Batches(unseen, batch_size, of_three[:10]),
        validation_forget=Batches(unseen, batch_size, of_three[10:]),
    )


def original(engine: Engine) -> nn.Module:
    """A model trained on everything."""
    with engine.scope("original"):
        return RECIPE.train(task(), Batches(blobs(), 16), engine)


def waves(rows: int = 160, seed: int = 0) -> TensorDataset:
    """A line and a wave over 8 dimensions, with noise: (n, 8) inputs, (n, 1) targets, sorted by target."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 8, generator=generator)
    targets = inputs[:, :2].sum(1) + inputs[:, 2].sin() + 0.1 * torch.randn(rows, generator=generator)
    order = targets.argsort()
    return TensorDataset(inputs[order], targets[order].unsqueeze(1))


def regressor() -> nn.Module:
    """With dropout, as `network`."""
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))


def regression_task() -> RegressionTask:
    return RegressionTask(regressor, target=Target("level", mean=20.0, scale=5.0, unit="m", lowest=0.0, highest=40.0))


def band_split(batch_size: int = 16) -> Split:
    """The highest quarter of the targets must go."""
    train, unseen = waves(), waves(80, seed=1)
    return Split(
        forget=Batches(train, batch_size, range(120, 160)),
        retain=Batches(train, batch_size, range(120)),
        holdout=Batches(unseen, batch_size, range(60)),
        holdout_forget=Batches(unseen, batch_size, range(60, 80, 2)),
        validation_forget=Batches(unseen, batch_size, range(61, 80, 2)),
    )


def regression_original(engine: Engine) -> nn.Module:
    """A regression model trained on everything."""
    with engine.scope("original"):
        return RECIPE.train(regression_task(), Batches(waves(), 16), engine)


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Bit for bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
