"""Edge drop: leave the weights as they are, and take what goes out of the interactions over which messages pass.

    y(u, i | A; theta)  ->  y(u, i | A_r; theta),       A_r the graph of who chose what, without what goes

What was learned of a user stays in the user's row, so of whole users this forgets next to nothing; an item that nobody is seen
to have chosen falls far down, and is offered no more. Nothing is damaged. Of a network that reads no interactions, such as
matrix factorisation, all answers are those of before. It is what any other method has to beat.

The interactions are the split's, on which every model is read after the request; so the result has the weights of the original.

Reference: J. Tan, F. Sun, R. Qiu, D. Su, H. Shen. "Unlink to Unlearn: Simplifying Edge Unlearning in GNNs", WWW 2024
(companion), arXiv 2402.10695, which does so with edges of other graphs.
Needs: nothing but the request. Costs: nothing.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import RecommendationTask, Task


@dataclass(frozen=True)
class EdgeDrop(Method):
    """Keep the weights; the interactions without what goes are the split's."""

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (RecommendationTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it takes pairs of users and items out of what a network reads; of a graph, unlink takes edges"

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        return student
