"""What the valuation study values: points of some data, of which some are labelled wrongly, and the methods.

Each seed draws anew which points are trained on, which judge models (the validation set), which are valued without having been
trained on, and which the curves are drawn on; the labels of 15 % of the first and of the third are changed to other classes.
Settings of EcoVal were chosen on seeds from 100 on: that clusters have about 15 points and are valued by least squares over
five subsets for each, how firmly these are held, and that and when members' returns diminish. The study's own seeds begin at 0.
All seeds draw from the same 1,797 digits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from expunge.data import Source
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.models import build
from expunge.split import Batches
from expunge.tasks import ClassificationTask
from expunge.valuation import (
    LAVA,
    Banzhaf,
    BetaShapley,
    Confidence,
    DataOOB,
    DistributionalShapley,
    EcoVal,
    KNNShapley,
    LeaveOneOut,
    RandomValues,
    TMCShapley,
    Utility,
    ValuationMethod,
)

Array = np.ndarray
WRONG = 0.15  # share of labels that are changed
ONE_BY_ONE = "tmc-shapley-one-by-one"
_FEWEST = 40  # points to value
_EMBEDDER_ROWS, _EMBEDDER_EPOCHS = 5_000, 3


@dataclass(frozen=True)
class Sizes:
    """How many points are valued, judge models, are valued unseen, and judge the curves; at most."""

    valued: int
    valid: int
    unseen: int
    test: int


@dataclass(frozen=True, eq=False)
class Labelled:
    """Points, and which of them are labelled wrongly, shape (n,), bool."""

    X: Array
    y: Array
    wrong: Array


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one seed deals out."""

    train: Labelled
    valid: Labelled
    unseen: Labelled
    test: Labelled


@dataclass(frozen=True)
class ValuationScenario:
    """One set of data.

    Args:
        source: with classes.
        sizes: of the parts, as far as there are points.
        methods: from a utility to the method, by the name of its row.
        embedded: whether inputs are images that a small network, trained on rows apart, first turns into features.
    """

    source: Source
    sizes: Sizes
    methods: Mapping[str, Callable[[Utility], ValuationMethod]]
    embedded: bool = False

    def draw(self, seed: int, engine: Engine) -> Drawn:
        """Deal points out."""
        X, y = _pool(self.source)
        order = np.random.default_rng(seed).permutation(len(X))
        if self.embedded:
            X, order = _features(self.source, X, y, order, engine)
        sizes = _fitting(self.sizes, len(order), self.source.name)
        parts = np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])
        if missing := set(range(len(self.source.classes))) - set(y[parts[0]].tolist()):
            rare = self.source.classes[min(missing)]
            raise BadRequest(
                f"study valuation: class {rare} of {self.source.name} is too rare: none of {sizes[0]:,} rows has it"
            )
        generator = np.random.default_rng([seed, 1])
        train, unseen = (_mislabelled(X[rows], y[rows], len(self.source.classes), generator) for rows in (parts[0], parts[2]))
        valid, test = (Labelled(X[rows], y[rows], np.zeros(len(rows), bool)) for rows in (parts[1], parts[3]))
        return Drawn(train, valid, unseen, test)


def rivals(one_by_one: bool) -> dict[str, Callable[[Utility], ValuationMethod]]:
    """All methods, with EcoVal's parts taken out one by one.

    Args:
        one_by_one: whether TMC-Shapley stands there a second time, with scikit-learn's models trained one after the other.
    """
    found: dict[str, Callable[[Utility], ValuationMethod]] = {
        "ecoval": EcoVal,
        "ecoval-share": lambda utility: EcoVal(utility, propagation="share"),
        "ecoval-marginal-product": lambda utility: EcoVal(utility, propagation="marginal-product"),
        "ecoval-uniform": lambda utility: EcoVal(utility, intrinsic="uniform"),
        "ecoval-label-blind": lambda utility: EcoVal(utility, label_aware=False),
        "ecoval-shapley": lambda utility: EcoVal(utility, stage="shapley"),
        "ecoval-not-held": lambda utility: EcoVal(utility, held=0.0),
        "ecoval-leave-out": lambda utility: EcoVal(utility, stage="leave-out"),
        "confidence": Confidence,
        "tmc-shapley": TMCShapley,
    }
    if one_by_one:
        found[ONE_BY_ONE] = lambda utility: TMCShapley(_one_by_one(utility))
    return found | {
        "beta-shapley": BetaShapley,
        "banzhaf": Banzhaf,
        "distributional-shapley": DistributionalShapley,
        "leave-one-out": LeaveOneOut,
        "knn-shapley": KNNShapley,
        "data-oob": DataOOB,
        "lava": LAVA,
        "random-values": RandomValues,
    }


def cheap() -> dict[str, Callable[[Utility], ValuationMethod]]:
    """Methods for ten thousand points."""
    few = ("ecoval", "ecoval-share", "ecoval-leave-out", "confidence", "knn-shapley", "data-oob", "random-values")
    return {name: method for name, method in rivals(False).items() if name in few}


def _one_by_one(utility: Utility) -> Utility:
    from sklearn.linear_model import LogisticRegression

    from expunge.valuation.estimators import Estimator

    model = Estimator(LogisticRegression(max_iter=200, tol=1e-3))
    return Utility(model, valid=utility.valid, metric=utility.metric, seed=utility.seed)


def _pool(source: Source) -> tuple[Array, Array]:
    """All rows of a source."""
    if not source.classes:
        raise BadSetting(f"study valuation: {source.name} has no classes; name a column of classes as the target")
    parts = source.train, source.holdout
    if any(not hasattr(part, "tensors") for part in parts):
        raise BadSetting(f"study valuation: it deals out rows that lie in memory; {source.name} is something else")
    X, y = (torch.cat([part.tensors[each] for part in parts]).numpy() for each in (0, 1))  # type: ignore[attr-defined]
    return X, y


def _fitting(sizes: Sizes, rows: int, name: str) -> list[int]:
    """Sizes of the parts: a quarter of all rows each, at most, and the rest for the curves."""
    quarter = rows // 4
    found = [min(size, quarter) for size in (sizes.valued, sizes.valid, sizes.unseen)]
    if found[0] < _FEWEST:
        raise BadRequest(f"study valuation: {name} has {rows:,} rows; to value {_FEWEST} at least {4 * _FEWEST} are needed")
    return [*found, min(sizes.test, rows - sum(found))]


def _mislabelled(X: Array, y: Array, classes: int, generator: np.random.Generator) -> Labelled:
    """Some labels changed to any of the other classes."""
    wrong = np.zeros(len(y), bool)
    wrong[generator.choice(len(y), round(WRONG * len(y)), replace=False)] = True
    return Labelled(X, np.where(wrong, (y + generator.integers(1, classes, len(y))) % classes, y), wrong)


def _features(source: Source, X: Array, y: Array, order: Array, engine: Engine) -> tuple[Array, Array]:
    """Features of images, by a small network that is trained on rows apart; and the rows that are left."""
    few = min(_EMBEDDER_ROWS, len(order) // 4)
    apart, left = order[:few], order[few:]
    task = ClassificationTask(build("small-cnn", (X.shape[1:], source.classes)), len(source.classes), source.classes)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))

    def loss(model: Any, batch: Any) -> torch.Tensor:
        return task.losses(task.outputs(model, batch), batch)

    model = engine.new_model(task.new_model, "embedder")
    engine.fit(model, loss, Batches(dataset, 64, apart.tolist()), epochs=_EMBEDDER_EPOCHS, name="embedder")
    parts = []
    with torch.no_grad():
        for images in torch.from_numpy(X).split(1_000):
            parts.append(task.features(model.eval(), (images.to(engine.device), None)).cpu())  # type: ignore[arg-type]
    features = torch.cat(parts)
    scaled = (features - features.mean(0)) / features.std(0).clamp(min=1e-6)
    return scaled.numpy(), left


def described(drawn: Drawn, source: Source) -> str:
    """One line for reports."""
    return (
        f"{len(drawn.train.y):,} rows of {source.name}, {int(drawn.train.wrong.sum()):,} of them labelled wrongly; "
        f"{len(drawn.valid.y):,} others judge models, {len(drawn.test.y):,} the curves"
    )
