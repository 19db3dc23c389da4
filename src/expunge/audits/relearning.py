"""Relearn time: how many training steps until the forgotten is known again.

    steps until  score(forget) >= (1 - margin) * score_original(forget),    of an error  <= (1 + margin) *
    error_original(forget)

Each step trains on one retain batch and one forget batch, weighed by their shares of the training set, so that its expected
gradient is that of training on everything. The forget score is read after every step. Few steps mean that the knowledge was
hidden, not gone; the retrained model's number is the ideal.

Reference: A. Golatkar, A. Achille, S. Soatto. "Eternal Sunshine of the Spotless Net", CVPR 2020, arXiv 1911.04933; in the form
used by V. Chundawat, A. Tarun, M. Mandal, M. Kankanhalli. "Zero-Shot Machine Unlearning", IEEE TIFS 2023, arXiv 2201.05629.
"""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.engine import on_device_of
from expunge.errors import BadSetting
from expunge.optimizers import Optimizer
from expunge.split import Shuffled, Stream, paired


@dataclass(frozen=True)
class Relearning(Audit):
    """Steps to relearn the forget set, on a copy of the model.

    Args:
        margin: how near to the original's score counts as relearned, as a share of it; None for the task's own.
        cap: most steps to try; a model that needs more is reported as `cap`, with a note.
        optimizer: fresh for each model. A learning rate above 0.001 makes the count very noisy.
        examples: forget examples that the score is read on after each step.
    """

    margin: float | None = None
    cap: int = 100
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    examples: int = 256

    figures: ClassVar[Mapping[str, str]] = {
        "relearn_steps": "training steps until the forget set is known again; ideal: the retrained model's"
    }

    def __post_init__(self) -> None:
        if self.cap < 1 or not 0 <= (self.margin or 0.0) < 1:
            raise BadSetting(f"relearning needs cap >= 1 and 0 <= margin < 1, not {self.cap} and {self.margin}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if references.original is None or min(len(subject.scores("forget")), len(subject.scores("retain"))) == 0:
            return {}
        steps = self.steps(subject, references.original)
        golds = [self.steps(gold, references.original) for gold in references.retrained]
        reached = self.reached(subject, references.original)
        note = "" if reached else f"not relearned within the cap of {self.cap} steps"
        return {"relearn_steps": Figure(float(steps), sum(golds) / len(golds) if golds else None, note=note)}

    def steps(self, subject: Subject, original: Subject) -> int:
        """Steps that a deep copy of the subject needs: 0 when it knows already, `cap` when it did not get there."""
        return self._relearned(subject, original)[0]

    def reached(self, subject: Subject, original: Subject) -> bool:
        """Whether the subject knew again within the cap."""
        return self._relearned(subject, original)[1]

    def _relearned(self, subject: Subject, original: Subject) -> tuple[int, bool]:
        key = ("relearned", self, id(original))
        if key not in subject.memory:
            subject.memory[key] = self._count(subject, original)
        return subject.memory[key]

    def _count(self, subject: Subject, original: Subject) -> tuple[int, bool]:
        task, split, engine = subject.task, subject.split, subject.engine
        probe = _first(Shuffled(split.forget, engine.generator("probe")), self.examples)
        goal = _score(task, original.model, probe)
        margin = task.relearn_margin if self.margin is None else self.margin
        goal -= margin * abs(goal)  # scores are turned so that higher is better: an error's goal is a larger error
        model = copy.deepcopy(subject.model).to(engine.device).requires_grad_(True)
        if _score(task, model, probe) >= goal:
            return 0, True
        optimizer = self.optimizer(model.parameters())
        total = len(subject.scores("forget")) + len(subject.scores("retain"))
        share = len(subject.scores("forget")) / total
        with engine.seeded("relearn"):
            for step, pair in enumerate(self._pairs(split.forget, split.retain, engine.generator("pairs")), start=1):
                model.train()
                means = [task.losses(task.outputs(model, batch), batch).mean() for batch in on_device_of(model, tuple(pair))]
                optimizer.zero_grad(set_to_none=True)
                (share * means[0] + (1 - share) * means[1]).backward()
                optimizer.step()
                if _score(task, model, probe) >= goal:
                    return step, True
        return self.cap, False

    def _pairs(self, forget: Stream, retain: Stream, generator: torch.Generator) -> Any:
        stream = paired(forget, retain)
        epochs = (stream.epoch(generator) for _ in itertools.count())
        return itertools.islice(itertools.chain.from_iterable(epochs), self.cap)


def _score(task: Any, model: nn.Module, batches: Stream) -> float:
    score: float = task.evaluate(model, batches)[task.score_name]
    return score if task.higher_is_better else -score


def _first(stream: Stream, examples: int) -> list[Any]:
    """The first batches of a stream that hold at least so many examples."""
    batches, seen = [], 0
    for batch in stream:
        batches.append(batch)
        seen += len(batch[0])
        if seen >= examples:
            break
    return batches
