"""Training what was found, or any other classifier of images, from scratch, with the tricks that small networks like.

    loss = CE(logits, y) + auxiliary_weight * CE(auxiliary logits, y)

Drop path rises linearly from 0 to the network's `drop_path` over the training. The last weights are kept: no epoch is chosen by
what will be measured.

Reference: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, appendix A.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, on_device_of
from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.optimizers import Optimizer, Schedule
from expunge.search.cell_space import CellSpace
from expunge.search.genotype import Genotype
from expunge.search.gradient_search import CrossEntropy
from expunge.search.halves import labelled
from expunge.search.network import CellNetwork
from expunge.split import Batches, Epochs, Stream


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: passes over the data.
        batch_size: images in a step, where data come as arrays.
        optimizer: builds the optimizer.
        schedule: of its rate.
        clip_norm: largest norm of the gradient.
        label_smoothing: from 0 to below 1.
        class_weights: one for each class.
        auxiliary_weight: of the auxiliary head's loss, where a network has one.
        augment: changes a batch of images (n, c, h, w), such as by flips, shifts or cutout, with torch's global generator.
    """

    epochs: int = 45
    batch_size: int = 64
    optimizer: Optimizer = Optimizer("sgd", 0.05, weight_decay=3e-4, momentum=0.9)
    schedule: Schedule = "cosine"
    clip_norm: float | None = 5.0
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    auxiliary_weight: float = 0.4
    augment: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.class_weights is not None:
            object.__setattr__(self, "class_weights", tuple(float(each) for each in self.class_weights))
        if self.epochs < 1 or not 0 <= self.label_smoothing < 1 or self.auxiliary_weight < 0:
            raise BadSetting("epochs must be at least 1, label_smoothing from 0 to below 1, and auxiliary_weight at least 0")


def retrain(
    space: CellSpace,
    genotype: Genotype,
    x: Any,
    y: Any,
    engine: Engine | None = None,
    recipe: Recipe = Recipe(),
    *,
    channels: int | None = None,
    cells: int | None = None,
    drop_path: float = 0.0,
    auxiliary: bool = False,
    name: str = "retrain",
) -> CellNetwork:
    """Build the network of a genotype and train it from scratch; use all training data, both halves of the search.

    Args:
        space: for classes, channels and cells.
        genotype: what cells are made of.
        x: images, shape (n, c, h, w), or (n, h, w) for one channel.
        y: labels, shape (n,), whole numbers from 0.
        engine: where and from which seed; a CPU engine of seed 0 when None.
        recipe: how.
        channels: C, where it differs from the space's.
        cells: L, where it differs from the space's.
        drop_path: at the end of training, from 0 to below 1.
        auxiliary: train with a second head, which the returned network no longer has.
        name: of the fit.

    Raises:
        BadSetting: if data or numbers make no sense, and why.
    """
    engine = engine or Engine(progress=False)
    inputs, labels = labelled(x, y, space.classes)
    batches = Batches(TensorDataset(inputs, labels), recipe.batch_size)
    settings = (genotype, channels, cells, drop_path, auxiliary)
    with engine.scope(name, key=repr((space, settings))):
        network: Any = engine.new_model(lambda: space.build(*settings))
        train(network, batches, engine, recipe)
    network.auxiliary = None
    found: CellNetwork = network.eval()
    return found


def train(
    network: nn.Module, batches: Stream | Epochs, engine: Engine, recipe: Recipe = Recipe(), name: str = "fit"
) -> nn.Module:
    """Train any classifier of images in place, and return it.

    Args:
        network: (n, c, h, w) -> (n, classes).
        batches: of (images, labels).
        engine: trains.
        recipe: how.
        name: of the fit.
    """
    try:
        steps = recipe.epochs * len(batches)  # type: ignore[arg-type]
    except TypeError:
        raise BadSetting("the stream of batches needs a length") from None
    learner = _Learner(network, recipe, steps).to(engine.device)
    with engine.scope(name, key=repr(recipe)):
        engine.fit(
            learner,
            lambda learner, batch: learner(batch[0], batch[1]),
            batches,
            epochs=recipe.epochs,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            clip_norm=recipe.clip_norm,
            name="train",
        )
    return network


def accuracy(network: nn.Module, batches: Stream) -> float:
    """Share of the images of a stream of (images, labels) that get their label, from 0 to 1."""
    right = count = 0
    with torch.no_grad(), evaluating(network):
        for batch in batches:
            inputs, labels = on_device_of(network, batch)[:2]
            right += int((network(inputs).argmax(1) == labels).sum())
            count += len(labels)
    if not count:
        raise BadSetting("there are no images to judge by")
    return right / count


class _Learner(nn.Module):
    """Called with images and labels it returns the loss. How many steps were made is a buffer, for restarts."""

    step: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, steps
        self.criterion = CrossEntropy(recipe.class_weights, recipe.label_smoothing)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        network: Any = self.network
        if isinstance(network, CellNetwork):
            network.drop_path_now = network.drop_path * int(self.step) / self.steps
        self.step += 1
        inputs = inputs if self.recipe.augment is None else self.recipe.augment(inputs)
        if not isinstance(network, CellNetwork):
            return {"loss": self.criterion(network(inputs), labels)}
        logits, auxiliary = network.with_auxiliary(inputs)
        terms = {"loss": self.criterion(logits, labels)}
        if auxiliary is not None:
            terms["auxiliary"] = self.recipe.auxiliary_weight * self.criterion(auxiliary, labels)
        return terms
