"""Unlearning in classification: a whole class, and a random 5 % of the records, by every method of the ground.

Data: MNIST, the first 6,000 training images (quick) or all (full), a small convolutional network; on the embedded digits, an
MLP. Hyper-parameters were chosen on other rows than those of the quick budget (MNIST training rows 6,000 to 20,000, classes
2, 3, 4, 5, 7 and 8, and random rows), which are a part of the full budget's. Two were chosen there a second time after a run of
the study: the cut-off of SSD, which had failed on class 3, and the optimizer of fine-tuning, which had destroyed a network on
CIFAR-10.
"""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from expunge import models
from expunge.audits import Relearning
from expunge.data import Source, available, classes_of, load, split_by
from expunge.data.records import length
from expunge.engine import Engine
from expunge.methods import (
    SCRUB,
    SSD,
    BadTeacher,
    Finetune,
    GradientAscent,
    Method,
    NegGradPlus,
    RandomLabels,
    Retrain,
    SalUn,
)
from expunge.optimizers import Optimizer
from expunge.requests import ForgetClass, ForgetFraction, Request
from expunge.split import Batches, Split
from expunge.studies.advice import recommended
from expunge.studies.comparison import Comparison, compare, trained
from expunge.studies.study import Budget, ComparisonStudy, Plan
from expunge.tasks import ClassificationTask

BATCH_SIZE = 64
RECIPE = Retrain(epochs=15, optimizer=Optimizer("adam", 2e-3))
METHODS: tuple[Method, ...] = (
    Finetune(),
    GradientAscent(),
    NegGradPlus(),
    RandomLabels(),
    BadTeacher(),
    SCRUB(),
    SSD(),
    SalUn(),
)
ROWS = {"quick": (6_000, 5_000), "full": (None, None)}  # of the training and of the holdout set


@dataclass(frozen=True)
class ClassificationStudy(ComparisonStudy):
    """See the module."""

    default_data: ClassVar[str] = "mnist"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        source = _read(data or self.default_data, budget, asked=data is not None)
        names = source.classes or classes_of(source.train)
        factory = models.build("mlp" if source.name == "digits" else "small-cnn", source)
        task = ClassificationTask(factory, len(names), tuple(names))
        third = min(3, len(names) - 1)
        requests: dict[str, Request] = {
            f"class {names[third]}": ForgetClass(third),
            "random 5 %": ForgetFraction(0.05, seed=0),
        }
        originals: MutableMapping[Engine, tuple[nn.Module, float]] = WeakKeyDictionary()
        cases = [
            ClassificationScenario(title, source, task, request, methods_for(request), originals)
            for title, request in requests.items()
        ]
        with torch.device("meta"):
            network = factory()
        return Plan(source.name, cases, _settings(source, network, budget), _notes(source), network)


@dataclass(frozen=True, eq=False)
class ClassificationScenario:
    """One request to a classifier. All requests of a study are made to the same one.

    Args:
        title: names the case in reports, and its folder.
        source: with classes.
        task: how the model is read.
        request: what must go.
        methods: by the name of their row.
        originals: those that were trained already, with their seconds; shared by the requests of a study.
    """

    title: str
    source: Source
    task: ClassificationTask
    request: Request
    methods: Mapping[str, Method]
    originals: MutableMapping[Engine, tuple[nn.Module, float]] = field(default_factory=WeakKeyDictionary)

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.methods

    def with_rows(self, rows: Mapping[str, Any]) -> "ClassificationScenario":
        """The same with other rows."""
        return replace(self, methods=rows)

    @property
    def forgotten(self) -> str:
        """What must go, for people."""
        total = length(self.source.train)
        gone: int = self.split().forget.examples  # type: ignore[attr-defined]
        return f"{self.request.describe(total)} of {self.source.name}: {gone:,} of {total:,}"

    def split(self) -> Split:
        """What must go, stays and was never seen; a fifth of the unseen may be looked at by methods."""
        names = self.task.class_names
        return split_by(self.request, self.source.train, self.source.holdout, BATCH_SIZE, classes=names, validation=0.2)

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Train the original, retrain twice, unlearn by every method and audit all."""
        if engine not in self.originals:
            say("training the original")
            self.originals[engine] = trained(self.task, Batches(self.source.train, BATCH_SIZE), RECIPE, engine)
        original, seconds = self.originals[engine]
        say(f"{self.title}: retraining twice, {len(self.methods)} methods, audits")
        with engine.scope(self.title.replace(" ", "-").replace("%", "percent")):
            return compare(original, self.task, self.split(), self.methods, engine, retrain=RECIPE, original_seconds=seconds)

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        return {"methods": {name: repr(method) for name, method in self.methods.items()}}


def methods_for(request: Request) -> dict[str, Method]:
    """All methods with their default settings, and the recommended one with those for this kind of request."""
    chosen = (*METHODS, recommended(RECIPE, kind=request.describes_unseen))
    return {method.name: method for method in chosen}


def _read(data: str, budget: Budget, asked: bool) -> Source:
    train, holdout = ROWS[budget]
    if not asked and not available(data):
        source = load("digits")
        note = f"{data} was not found (EXPUNGE_DATA), so the embedded digits were used; figures on them mean less"
        return Source(source.name, source.train, source.holdout, source.classes, note, source.input_shape)
    source = load(data)
    sizes = {"train": train, "holdout": holdout}
    fewer = {part: count for part, count in sizes.items() if count is not None and length(getattr(source, part)) > count}
    return load(data, **fewer) if fewer else source  # type: ignore[arg-type]


def _settings(source: Source, network: nn.Module, budget: Budget) -> dict[str, Any]:
    return {
        "training rows": length(source.train),
        "holdout rows": length(source.holdout),
        "network": f"{type(network).__name__}, {sum(p.numel() for p in network.parameters()):,} parameters",
        "batch size": BATCH_SIZE,
        "recipe": repr(RECIPE),
        "relearning": repr(Relearning()),
        "budget": budget,
    }


def _notes(source: Source) -> tuple[str, ...]:
    return (source.note,) if source.note else ()
