"""Persons who withdraw, from a network that was found on their faces: the ground's methods beside retraining.

The network is the one that was found in the first fold of the clips; the original and the retrained networks are trained by the
recipe of the study. With a person go all their clips. The architecture stays: those who leave had a part in its choice. Methods
have their default settings, but fine-tuning, whose epochs and rate were looked at on seed 100.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from expunge.audits import Accuracy, Distance, Membership, RunTime
from expunge.data import split_by
from expunge.data.records import Records
from expunge.engine import Engine
from expunge.methods import SCRUB, SSD, Finetune, Method, NegGradPlus, RandomLabels, Retrain, SalUn
from expunge.optimizers import Optimizer
from expunge.report.figure_study import Scored
from expunge.requests import ForgetWhere
from expunge.search import Genotype, Recipe
from expunge.split import Batches, Split, Stream
from expunge.studies.advice import recommended
from expunge.studies.comparison import Comparison, compare, trained
from expunge.studies.search_scenarios import CellScenario, Drawn
from expunge.studies.searching import batch_size_for
from expunge.tasks import ClassificationTask, Task

AUDITS = (Accuracy(), Distance(), Membership(), RunTime())
FIGURES = ("forget_accuracy", "retain_accuracy", "holdout_accuracy", "forget_kl", "membership_auc", "seconds", "seconds_ratio")


@dataclass(frozen=True)
class Augmented(Retrain):
    """Retraining that changes images as they were changed when the network was first trained."""

    augment: Callable[[Tensor], Tensor] | None = field(default=None)

    def train(self, task: Task[Any], batches: Stream, engine: Engine) -> nn.Module:
        augment = self.augment or (lambda images: images)

        def loss(model: nn.Module, batch: Any) -> Any:
            images, labels = batch
            changed = (augment(images), labels)
            return task.losses(task.outputs(model, changed), changed)

        return engine.fit(
            engine.new_model(task.new_model),
            loss,
            batches,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
        ).eval()

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "Augmented":
        """As networks of the study are trained."""
        return cls(recipe.epochs, recipe.optimizer, recipe.schedule, recipe.clip_norm, recipe.augment)


def methods_for(recipe: Retrain) -> dict[str, Method]:
    """All that are compared, for records that a network may have learned by heart."""
    chosen: Sequence[Method] = (
        recommended(recipe, kind=False),
        Finetune(epochs=5, optimizer=Optimizer("adam", 2e-3)),
        NegGradPlus(),
        RandomLabels(),
        SCRUB(),
        SSD(),
        SalUn(),
    )
    return {method.name: method for method in chosen}


def forgotten(
    scenario: CellScenario, genotype: Genotype, persons: int, engine: Engine, say: Callable[[str], None]
) -> dict[str, Scored]:
    """Each row for one seed.

    Args:
        genotype: of the network that was found.
        persons: how many of the training persons withdraw, drawn by the seed.
    """
    drawn = scenario.draw(engine.seed)
    recipe = Augmented.from_recipe(scenario.recipe)
    task = ClassificationTask(partial(scenario.space.build, genotype), len(drawn.classes), drawn.classes)
    train, split, batch_size = divided(drawn, persons, engine.seed, scenario.recipe.batch_size)
    of = hashlib.sha256(f"{scenario.space!r} {genotype!r} {drawn.digest()} {engine.device}".encode()).hexdigest()[:16]
    with engine.scope(f"forgetting-{of}"):  # what is kept under it is known by its name alone
        original, seconds = trained(task, Batches(train, batch_size), recipe, engine)
        say(f"forgetting {persons}: retraining twice, {len(methods_for(recipe))} methods")
        with engine.scope(f"{persons}-persons"):
            found = compare(
                original, task, split, methods_for(recipe), engine, retrain=recipe, audits=AUDITS, original_seconds=seconds
            )
    return scored(found)


def divided(drawn: Drawn, persons: int, seed: int, batch_size: int) -> tuple[Records, Split, int]:
    """The training rows of the first fold, what goes of them and what stays, and the images in a batch."""
    assert drawn.persons is not None
    fold = drawn.folds[0]
    known = np.unique(drawn.persons[fold.train])
    leaving = np.random.default_rng(seed).permutation(known)[:persons]
    train, test = (
        Records(*drawn.part(rows), {"person": drawn.persons[rows]}, drawn.classes) for rows in (fold.train, fold.test)
    )
    request = ForgetWhere("person", tuple(leaving.tolist()))
    size = batch_size_for(len(fold.train), batch_size)
    split = split_by(request, train, test, size, classes=drawn.classes, validation=0.2)
    return train, split, size


def scored(found: Comparison) -> dict[str, Scored]:
    """The figures of a comparison that the study shows."""
    rows: Mapping[str, Mapping[str, Any]] = found.figures
    return {
        name: Scored({metric: each[metric].value for metric in FIGURES if metric in each and each[metric].value is not None})
        for name, each in rows.items()
    }
