"""MMRecUN: a recommender unlearns in two moves that take turns, backwards on what goes and forwards on what stays.

    adapt     min over D_f   reverse(y_ui - y_uj) + what the model adds,        "swap":    reverse(d) = -ln sigmoid(-d)
                                                                                "negate":  reverse(d) =  ln sigmoid(d)
    reform    min over D_r   -ln sigmoid(y_ui - y_uj) + what the model adds

What the model adds to its loss (lengths, contrast) is made small in both. "swap" is ranking with the chosen item and the other
exchanged: its gradient fades as the pair is forgotten; that of "negate" grows. Both are read on the interactions that are left,
and each move has an optimizer of its own: what the backward one has gathered would spoil the repair.

It goes on past a retrained model, until what goes stands out. So it is asked after each turn whether what goes is at the level
of what was never seen, and stops there. Single pairs: the area under the ROC curve of their losses against those of held-out
pairs, like with like, is at most 0.5; these are validation pairs. Users and items: the score of what goes is at most that of
the same model with fresh rows for them.

How the reversed loss is defined, how often, how long and at which rates is not known from the paper: the settings are ours.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "Multi-Modal Recommendation Unlearning for Legal, Licensing, and Modality
Constraints", AAAI 2025, arXiv 2405.15328.
Needs: forget and retain data; validation pairs to know when to stop. Costs: `cycles` times both moves, at most.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.interactions import PairBatches
from expunge.matching import group_weights, matched_auc
from expunge.methods.method import Method
from expunge.optimizers import Optimizer
from expunge.rows import reset
from expunge.split import Split, is_empty
from expunge.tasks import RecommendationTask, Task
from expunge.tasks.recommendation import margins

Level = Callable[[nn.Module], bool]


@dataclass(frozen=True)
class MMRecUN(Method):
    """Alternate between reverse ranking on what goes and ranking on what stays.

    Args:
        cycles: turns, at most; 0 returns the original.
        reverse: "swap" or "negate", see the module.
        reverse_epochs: passes over what goes in each turn; 0 for forward moves alone.
        forward_epochs: passes over what stays in each turn; 0 for reverse moves alone, which destroy the model.
        reverse_optimizer: fresh in each turn.
        forward_optimizer: fresh in each turn.
        stop: "level" to stop at the level of what was never seen; "never" to use all turns.
    """

    cycles: int = 6
    reverse: Literal["swap", "negate"] = "swap"
    reverse_epochs: int = 5
    forward_epochs: int = 3
    reverse_optimizer: Optimizer = Optimizer("adam", 1e-2)
    forward_optimizer: Optimizer = Optimizer("adam", 4e-3)
    stop: Literal["level", "never"] = "level"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    why_not: ClassVar[str] = "it turns a ranking round; gradient-ascent and neggrad-plus do the same for other losses"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cycles", "reverse_epochs", "forward_epochs"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        self.require(self.reverse in ("swap", "negate"), f"reverse is 'swap' or 'negate', not {self.reverse!r}")
        self.require(self.stop in ("level", "never"), f"stop is 'level' or 'never', not {self.stop!r}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        def backward(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            return {"forget": reversed_losses(task.outputs(model, batch), self.reverse)}

        def forward(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            return {"retain": task.losses(task.outputs(model, batch), batch)}

        if split.retain.interactions.has(split.forget.pairs).all():  # type: ignore[attr-defined]
            raise BadRequest("mmrecun: no pair goes, and it turns pairs round; take reset-rows where features alone must go")
        level = None if self.stop == "never" else never_seen(task, split, student, engine)
        for turn in range(self.cycles):
            moves = (
                (backward, split.forget, self.reverse_epochs, self.reverse_optimizer, f"reverse-{turn}"),
                (forward, split.retain, self.forward_epochs, self.forward_optimizer, f"forward-{turn}"),
            )
            for loss, stream, epochs, optimizer, name in moves:
                if epochs:
                    student = engine.fit(student, loss, stream, epochs=epochs, optimizer=optimizer, name=name)
            if level is not None and level(student):
                break
        return student


def reversed_losses(outputs: Tensor, reverse: Literal["swap", "negate"]) -> Tensor:
    """The reversed loss of each pair, shape (n,), from a task's outputs (n, 2 + k).

    >>> import torch
    >>> outputs = torch.tensor([[2.0, 0.0, 0.5]])
    >>> [round(reversed_losses(outputs, kind).item(), 4) for kind in ("swap", "negate")]
    [2.6269, 0.3731]
    """
    difference = margins(outputs)
    found = F.softplus(difference) if reverse == "swap" else -F.softplus(-difference)
    return found.mean(1) + outputs[:, -1]


def never_seen(task: Task[Any], split: Split, original: nn.Module, engine: Engine) -> Level | None:
    """What tells of a model whether what goes is at the level of what was never seen; None where nothing can tell.

    It reads no test data: only pairs that go, and validation pairs.
    """
    forget: PairBatches = split.forget  # type: ignore[assignment]
    if split.kind:
        blank = reset(copy.deepcopy(original), engine.new_model(task.new_model, "never seen"), forget.interactions)
        goal = _score(task, blank, forget)
        return lambda model: _score(task, model, forget) <= goal
    if is_empty(split.validation_forget):
        return None
    validation: PairBatches = split.validation_forget  # type: ignore[assignment]
    members, others = (task.groups(batch) for stream in (forget, validation) for batch in _drawn(stream))
    weights = group_weights(members.cpu(), others.cpu())

    def matches(model: nn.Module) -> bool:
        members, others = (-task.collect(model, _drawn(stream), task.losses) for stream in (forget, validation))
        return matched_auc(members, others, weights) <= 0.5

    return matches


def _score(task: Task[Any], model: nn.Module, stream: PairBatches) -> float:
    return float(task.collect(model, _drawn(stream), task.scores).mean())


def _drawn(stream: PairBatches) -> list[Any]:
    """The pairs with negatives that a method may know of: held-out pairs are not left out of them, as they are in audits."""
    return stream.fixed(stream.avoid)
