"""AmUn, amnesiac unlearning of choices: what goes becomes what the user did not choose.

    min  (1 - w) * mean_{(u, i) stays} loss(u, i, j)  +  w * mean_{(u, i) goes} loss(u, p, i)

    loss(u, p, i) = -log sigmoid( y(u, p) - y(u, i) ),       p drawn each time from what the user chose and what stays

Choices have no label that could be flipped but this: the item that goes stands in the negative's place. Of a user of whom no
pair stays p is any other item. Nothing tells when it is enough: a retrained model does not rank what it never saw below all
else, and trained for long this does.

Reference: L. Graves, V. Nagisetty, V. Ganesh. "Amnesiac Machine Learning", AAAI 2021, arXiv 2010.10981, of wrong labels. In
this form for choices it is this library's reading of a baseline that papers on recommenders name so.
Needs: forget and retain data. Costs: `epochs` passes over the retained data, with as many batches of what goes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.interactions import Interactions, PairBatch
from expunge.interactions.negatives import negatives_of
from expunge.methods.method import Method
from expunge.methods.random_labels import wrong_and_right
from expunge.methods.retrain import Retrain
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split, paired
from expunge.tasks import RecommendationTask, Task


@dataclass(frozen=True)
class AmUn(Method):
    """Fine-tune with what goes as negatives.

    The defaults fit a model that was trained for 40 epochs at 0.005; :meth:`from_recipe` makes them for any other.

    Args:
        forget_weight: w, share of the forget term, between 0 and 1.
        epochs: passes over the stream named by `epoch_of`.
        epoch_of: "forget" or "retain", see :func:`expunge.split.paired`.
        optimizer: fresh, with its learning rate.
        schedule: of the learning rate.
    """

    forget_weight: float = 0.1
    epochs: int = 5
    epoch_of: Literal["forget", "retain"] = "retain"
    optimizer: Optimizer = Optimizer("adam", 5e-3)
    schedule: Schedule = "constant"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "it makes negatives of what was chosen; random-labels teaches wrong classes"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.forget_weight <= 1, f"forget_weight must lie between 0 and 1, not {self.forget_weight}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "AmUn":
        """Settings for a model that was trained by `recipe`: an eighth of its epochs, at its learning rate."""
        found: dict[str, Any] = {"epochs": math.ceil(recipe.epochs / 8), "optimizer": recipe.optimizer}
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        forget: Any = split.forget
        goes = forget.pairs[~forget.interactions.has(forget.pairs)]
        if not len(goes):
            raise BadRequest("amun: features go and all pairs stay, so that none can be made a negative; take reset-rows")
        flipped: Any = Flipped(forget.interactions, goes, forget.batch_size)
        stream = paired(flipped, split.retain, self.epoch_of)
        loss = wrong_and_right(task, self.forget_weight)
        return engine.fit(student, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)


@dataclass(frozen=True, eq=False)
class Flipped:
    """A stream of what goes as negatives, each beside an item of the same user that stays.

    Args:
        interactions: those that stay.
        pairs: those that go, shape (n, 2).
        batch_size: pairs in a batch.
    """

    interactions: Interactions
    pairs: Tensor
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[PairBatch]:
        """One pass; order and partners come from `generator`."""
        device = self.pairs.device
        order = torch.randperm(len(self.pairs), generator=generator).to(device)
        users, items = self.pairs[order].T.contiguous()
        starts = self.interactions.starts
        counts = starts[users + 1] - starts[users]
        place = (torch.rand(len(users), generator=generator).to(device) * counts).long().clamp_max(counts - 1)
        own = self.interactions.pairs[(starts[users] + place).clamp(0, len(self.interactions) - 1), 1]
        other = negatives_of(self.interactions, users, 1, generator, avoid=self.interactions.key(self.pairs).sort().values)
        partners = torch.where(counts > 0, own, other.flatten())
        for start in range(0, len(order), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield PairBatch(users[part], partners[part], items[part].unsqueeze(1), self.interactions)
