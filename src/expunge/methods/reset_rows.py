"""Reset rows: give users and items that go the rows of a model that was never trained, and drop their edges.

    theta[u] <- theta_fresh[u],    theta[i] <- theta_fresh[i]        for users u and items i of whom nothing is left
    x_m[i] <- 0                    for what training added to features that go

Of a user who goes, a retrained model has a row as it was drawn: no training pair reaches it. This gives the same row at once.
What remains is what the user did to others' weights, through what they chose in common, and to the weights that all share.

Nothing is left of users and items that go, and of those whose pairs all go. Where single pairs go, nobody's rows are theirs
alone: those who keep a pair keep their rows, so that most often all weights stay, and it is `edge-drop`.

Reference: none of its own; the rows are those of S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme. "BPR: Bayesian
Personalized Ranking from Implicit Feedback", UAI 2009, arXiv 1205.2618. Any method for users and items has to beat it.
Needs: nothing but the request; rows that can be told from other weights, see :mod:`expunge.rows`. Costs: nothing.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.rows import reset
from expunge.split import Split
from expunge.tasks import RecommendationTask, Task


@dataclass(frozen=True)
class ResetRows(Method):
    """Replace the rows of users and items of whom nothing is left by fresh ones."""

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = (
        "other models have no weights that are one person's alone; shrink-perturb makes all of them fresher"
    )

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        fresh = engine.new_model(task.new_model, "fresh rows")
        return reset(student, fresh, split.forget.interactions)  # type: ignore[attr-defined]
