"""What the regression study compares: requests, each with its data, its network, its recipe and its methods.

Recipes and settings were chosen on other rows than those that the study reports. Housing: training rows 8,000 to 16,511, bands
below 100,000, between 150,000 and 200,000 and above 350,000, and random rows. STS-B: a part of the training pairs. ETTh1:
blocks of four weeks of the training year, autumn and spring. Blindspot and shrink-perturb take theirs from each recipe by one
rule; the others have one setting for all bands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from expunge import models
from expunge.audits import Audit, LiRA
from expunge.data import Source, split_by, take
from expunge.data.records import length
from expunge.engine import Engine
from expunge.methods import (
    SCRUB,
    SSD,
    BadTeacher,
    Blindspot,
    Finetune,
    GaussianAmnesiac,
    GradientAscent,
    Method,
    NegGradPlus,
    Retrain,
    RidgeDowndate,
    SalUn,
)
from expunge.optimizers import Optimizer
from expunge.requests import ForgetFraction, Request
from expunge.split import Batches, Split
from expunge.studies.advice import recommended
from expunge.studies.comparison import Comparison, compare, default_audits, trained
from expunge.tasks import RegressionTask
from expunge.tasks.regression import band_edges

QUANTILES = (0.1, 0.5, 0.9)
HIDDEN = (128, 128, 64)
BAND_RECIPE = Retrain(epochs=40, optimizer=Optimizer("adam", 5e-3))
BY_HEART = Retrain(epochs=300, optimizer=Optimizer("adam", 1e-3), schedule="constant")  # long enough to learn rows by heart
FORECAST_RECIPE = Retrain(epochs=20, optimizer=Optimizer("adam", 5e-4))
PAIRS_RECIPE = Retrain(epochs=10, optimizer=Optimizer("adam", 3e-3))
ROWS_BY_HEART = 2_000
PUBLISHED = Blindspot(  # the longer of the two published settings
    warm_start=0.0,
    teacher_epochs=10,
    teacher_optimizer=Optimizer("adam", 1e-2),
    epochs=5,
    optimizer=Optimizer("adam", 1e-3),
    schedule="constant",
    attention_weight=0.8,
)


@dataclass(frozen=True)
class Scenario:
    """One request to a model that is trained for it.

    Args:
        title: names the case in reports, and its folder.
        task: how the model is read.
        recipe: of the original and of the retrained models.
        methods: by the name of their row.
        audits: beyond the default ones.
    """

    title: str
    source: Source
    task: RegressionTask
    request: Request
    batch_size: int
    recipe: Retrain
    methods: Mapping[str, Method]
    audits: tuple[Audit, ...] = ()

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.methods

    def with_rows(self, rows: Mapping[str, Any]) -> "Scenario":
        """The same with other rows."""
        return replace(self, methods=rows)

    def split(self) -> Split:
        """What must go, stays and was never seen; a tenth of the unseen may be looked at by methods."""
        return split_by(self.request, self.source.train, self.source.holdout, self.batch_size, classes=(), validation=0.1)

    @property
    def forgotten(self) -> str:
        """What must go, for people."""
        total = length(self.source.train)
        gone: int = self.split().forget.examples  # type: ignore[attr-defined]
        return f"{self.request.describe(total)} of {self.source.name}: {gone:,} of {total:,} training examples"

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Train the original, retrain twice, unlearn by every method and audit all."""
        with engine.scope("".join(letter if letter.isalnum() else "-" for letter in self.title)):
            say(f"{self.title}: training the original")
            original, seconds = trained(self.task, Batches(self.source.train, self.batch_size), self.recipe, engine)
            say(f"{self.title}: retraining twice, {len(self.methods)} methods, audits")
            audits = (*(audit for audit in default_audits(self.task) if not isinstance(audit, LiRA)), *self.audits)
            return compare(
                original,
                self.task,
                self.split(),
                self.methods,
                engine,
                retrain=self.recipe,
                audits=audits,
                original_seconds=seconds,
            )

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        network = self.task.new_model()
        return {
            "training rows": length(self.source.train),
            "holdout rows": length(self.source.holdout),
            "network": f"{type(network).__name__}, {sum(p.numel() for p in network.parameters()):,} parameters",
            "loss": self.task.loss,
            "batch size": self.batch_size,
            "recipe": repr(self.recipe),
            "methods": {name: repr(method) for name, method in self.methods.items()},
            "audits": [repr(audit) for audit in self.audits],
        }


def table_task(source: Source) -> RegressionTask:
    """A multilayer perceptron under absolute errors."""
    return RegressionTask(
        models.build("mlp", source, hidden=HIDDEN), "l1", target=source.target, bands=band_edges(source.train)
    )


def band_methods(recipe: Retrain) -> dict[str, Method]:
    """For a request that removes a kind of thing, such as a band of the target."""
    epochs, rate = recipe.epochs, recipe.optimizer.learning_rate
    return {
        "blindspot": Blindspot.from_recipe(recipe),
        "blindspot-cold": Blindspot.from_recipe(recipe, warm_start=0.0),
        "blindspot-half": Blindspot.from_recipe(replace(recipe, epochs=epochs // 2)),
        "blindspot-published": PUBLISHED,
        "shrink-perturb": recommended(recipe, kind=True),
        "gaussian-amnesiac": GaussianAmnesiac(),
        "gaussian-amnesiac-5": GaussianAmnesiac(epochs=5),
        "finetune": Finetune(epochs=-(-epochs // 5), optimizer=Optimizer("adam", 2 * rate)),
        "gradient-ascent": GradientAscent(loss_cap=0.3),
        "neggrad-plus": NegGradPlus(loss_cap=0.3),
        "bad-teacher": BadTeacher(forget_weight=0.05, epochs=2, optimizer=Optimizer("adam", 1e-3)),
        "scrub": SCRUB(distance_cap=0.05, max_epochs=3, epochs=8, retain_fraction=1.0, optimizer=Optimizer("adam", rate)),
        "ssd": SSD(alpha=2.0, dampening=1.0),
        "salun": SalUn(forget_weight=0.02),
        "ridge-downdate": RidgeDowndate(),
    }


def record_methods() -> dict[str, Method]:
    """For single records that a network has learned by heart, under :data:`BY_HEART`."""
    fast = Optimizer("adam", 5e-3)
    return {
        "shrink-perturb": recommended(BY_HEART, kind=False),
        "finetune": Finetune(epochs=20, optimizer=fast),
        "finetune-slow": Finetune(epochs=20, optimizer=Optimizer("adam", 1e-3), schedule="constant"),
        "blindspot-weighed": Blindspot(
            teacher_epochs=40, teacher_optimizer=fast, epochs=40, optimizer=Optimizer("adam", 3e-3), forget_weight=0.3
        ),
        "blindspot-published": PUBLISHED,
        "gaussian-amnesiac": GaussianAmnesiac(),
        "gaussian-amnesiac-5": GaussianAmnesiac(epochs=5),
        "gradient-ascent": GradientAscent(loss_cap=0.5),
        "neggrad-plus": NegGradPlus(loss_cap=0.5),
        "scrub": SCRUB(distance_cap=0.05, max_epochs=3, epochs=8, retain_fraction=1.0, optimizer=fast),
        "ssd": SSD(alpha=2.0, dampening=1.0),
        "salun": SalUn(),
        "ridge-downdate": RidgeDowndate(),
    }


def band(title: str, source: Source, request: Request, shadows: int = 0) -> Scenario:
    """A band of a table's target, or any part of it that a comparison tells apart."""
    batch_size = 256 if length(source.train) >= 4_000 else 32
    return Scenario(
        title,
        source,
        table_task(source),
        request,
        batch_size,
        BAND_RECIPE,
        band_methods(BAND_RECIPE),
        _lira(shadows, batch_size),
    )


def records(title: str, source: Source, shadows: int) -> Scenario:
    """A tenth of the rows, drawn at random, of a network that was trained until it knew its rows by heart."""
    request, lira = ForgetFraction(0.1, seed=0), _lira(shadows, 256)
    return Scenario(title, source, table_task(source), request, 256, BY_HEART, record_methods(), lira)


def _lira(shadows: int, batch_size: int) -> tuple[LiRA, ...]:
    return (LiRA(shadows, batch_size),) if shadows else ()


def forecast(title: str, source: Source, request: Request) -> Scenario:
    """A season of a forecaster that gives quantiles."""
    factory = models.build("tide", source, quantiles=len(QUANTILES))
    task = RegressionTask(factory, "pinball", quantiles=QUANTILES, target=source.target, bands=band_edges(source.train))
    methods = {name: method for name, method in band_methods(FORECAST_RECIPE).items() if name != "ridge-downdate"}
    return Scenario(title, source, task, request, 64, FORECAST_RECIPE, methods)


def pairs(title: str, source: Source, request: Request) -> Scenario:
    """A band of the similarity of sentences."""
    task = RegressionTask(models.build("pair-lstm", source), "l2", target=source.target, bands=band_edges(source.train, 5))
    return Scenario(title, source, task, request, 64, PAIRS_RECIPE, band_methods(PAIRS_RECIPE))


def first_rows(source: Source, train: int) -> Source:
    """The first rows to train on and all of the holdout; all rows where there are fewer."""
    return replace(source, train=take(source.train, train)) if length(source.train) > train else source
