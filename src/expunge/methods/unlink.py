"""Unlink to unlearn: leave the weights as they are, and take what goes out of the graph over which messages pass.

    f(G; theta)  ->  f(G_r; theta),       G_r the graph without what goes

What was learned of it stays in the weights, so this forgets least of all methods; but of an edge between two nodes that have
others much was in the messages, and nothing is damaged. It is what any other method has to beat.

The graph is the split's, on which every model is read after the request; so the result has the weights of the original.

Reference: J. Tan, F. Sun, R. Qiu, D. Su, H. Shen. "Unlink to Unlearn: Simplifying Edge Unlearning in GNNs", WWW 2024
(companion), arXiv 2402.10695.
Needs: nothing but the request. Costs: nothing.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from expunge.engine import Engine
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import GraphTask, Task


@dataclass(frozen=True)
class Unlink(Method):
    """Keep the weights; the graph without what goes is the split's."""

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (GraphTask,)
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = (
        "without a graph there is nothing to take out of it; edge-drop takes pairs out of what a recommender reads"
    )

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        return student
