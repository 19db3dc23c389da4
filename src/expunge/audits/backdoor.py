"""Backdoor: does the model still answer as a client who left had wanted, and does it do so again after some ordinary rounds?

    success = share of x in wanted for which argmax p(x) is what the client was out for
    rebound = the same after r rounds of the federation that is left

The images are unseen, and none is of the class that the client was out for: a model that never met the client answers so by
mistake alone, and its value is the ideal. What was only pushed down comes back when training goes on.

Reference: A. Halimi, S. Kadhe, A. Rawat, N. Baracaldo. "Federated Unlearning: How to Efficiently Erase a Client in FL?",
arXiv 2207.05521.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.errors import BadSetting
from expunge.federated.client_split import ClientSplit, continued
from expunge.split import is_empty
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Backdoor(Audit):
    """Success of what a client who left had implanted; nothing where it meant no harm, or nobody leaves a federation.

    Args:
        rounds: played before it is looked for again; 0 to leave that out.
    """

    rounds: int = 3

    takes = (ClassificationTask,)
    splits = ClientSplit
    figures: ClassVar[Mapping[str, str]] = {
        "backdoor": "share of unseen inputs that are answered as a client who left had wanted; ideal: the retrained model's",
        "backdoor_rebound": "share of unseen inputs that are answered so after some ordinary rounds of those who stay "
        "(3, if not set otherwise); ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise BadSetting(f"rounds must be 0 or more, not {self.rounds}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        split = subject.split
        if not isinstance(split, ClientSplit) or is_empty(split.wanted):
            return {}
        gold = {} if references.gold is None else self.values(references.gold)
        return {name: Figure(value, gold.get(name)) for name, value in self.values(subject).items()}

    def values(self, subject: Subject) -> dict[str, float]:
        """The figures by name. Kept, since every model is held against the gold."""
        if self not in subject.memory:
            split, task, engine = subject.split, subject.task, subject.engine
            assert isinstance(split, ClientSplit)

            def success(model: nn.Module) -> float:
                return task.evaluate(model, split.wanted)[task.score_name]

            found = {"backdoor": success(subject.model)}
            if self.rounds:
                before = len(engine.history)
                with engine.scope("rebound"):
                    later = continued(copy.deepcopy(subject.model), task, split, engine, self.rounds)
                del engine.history[before:]  # work of the audit, none of the method's
                found["backdoor_rebound"] = success(later)
            subject.memory[self] = found
        return dict(subject.memory[self])
