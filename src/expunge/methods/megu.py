"""MEGU: a predictor and an unlearner, trained together, each after what the other says.

    P = f(G_r; theta),    Q = linear(P)                       logits of the predictor and of the unlearner, for each node

    L_u = mean_{forget}    [ KL(Q || P)  -  CE(Q, y*) ]       what goes: Q away from the old answers, and P after Q
    L_r = mean_{neighbours} [ KL(P || Q)  +  CE(P, y*) ]      what is near: P keeps the old answers, and Q follows P
    L   = kappa * L_u + L_r

y* are the classes that the original model answered. In each KL the first is the teacher and gets no gradient; both are taken at
temperature 1.5. The neighbours are those within `hops` steps of what goes whom it moves most: their averaged features S^K X are
least like those in which the features x of what goes are turned into 1 - x. The threshold on the cosine of both is raised by
0.1 from 0.1, for as long as that finds nodes which lie farther.

The predictor is the result. Left out of the published code is the last step, which corrects and smooths its answers over the
graph by the classes of the training nodes: it makes any model's answers better, and is none of what is handed on. The term on
what goes has no floor; kappa and few steps hold it back.

Reference: X. Li, Y. Zhao, Z. Wu, W. Zhang, R.-H. Li, G. Wang. "Towards Effective and General Graph Unlearning via Mutual
Evolution", AAAI 2024, arXiv 2401.11760.
Needs: forget data and the retained graph. Costs: `epochs` passes over the graph.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.graphs import Graph, NodeBatch, NodeBatches
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import NodeClassificationTask, Task

_STEP = 0.1  # by which the threshold is raised


@dataclass(frozen=True)
class MEGU(Method):
    """Train the model together with an unlearner on top of it.

    Args:
        kappa: weight of what goes, >= 0.
        temperature: of both KL terms, > 0.
        hops: how far neighbours are looked for, and how often features are averaged to find them.
        epochs: steps, each over the whole graph.
        optimizer: of both; the published learning rate is that of plain gradient descent.
        schedule: of the learning rate.
    """

    kappa: float = 0.01
    temperature: float = 1.5
    hops: int = 2
    epochs: int = 30
    optimizer: Optimizer = Optimizer("sgd", 0.05)
    schedule: Schedule = "constant"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (NodeClassificationTask,)
    why_not: ClassVar[str] = "it changes what is answered of nodes; d2dgn does so for links, and bad-teacher without a graph"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.kappa >= 0, f"kappa must be 0 or more, not {self.kappa}")
        self.require(self.temperature > 0, f"temperature must be above 0, not {self.temperature}")
        self.require(self.hops >= 1, f"hops must be at least 1, not {self.hops}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, NodeClassificationTask) and isinstance(split.forget, NodeBatches)
        left: Graph = split.retain.graph.to(engine.device)  # type: ignore[attr-defined]
        gone = split.forget.nodes.to(engine.device)
        self.require(left.features is not None, "neighbours are found by their features, and this graph has none")
        with torch.no_grad():
            said = task.embed(student.eval(), left.whole)
            neighbours = influenced(left.whole, gone, self.hops)
            old = said.argmax(1)
        near = NodeBatch(neighbours, old[neighbours], left)

        def follow(student: Tensor, teacher: Tensor) -> Tensor:
            return task.divergence(student, teacher.detach(), self.temperature) / self.temperature**2

        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            predicted, unlearned = model(left)
            goes: Any = batch._replace(labels=old[batch.nodes])
            stays: Any = near
            p, q = (task.read(model, each, goes) for each in (predicted, unlearned))
            terms = {"forget": self.kappa * (follow(p, q) - task.losses(q, goes))}
            if len(neighbours):
                p, q = (task.read(model, each, stays) for each in (predicted, unlearned))
                terms["neighbours"] = (follow(q, p) + task.losses(p, stays)).mean()
            return terms

        both = engine.new_model(lambda: _Mutual(student, task), "unlearner")
        stream = replace(split.forget, batch_size=None, fanout=None)
        engine.fit(both, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)
        return student


class _Mutual(nn.Module):
    """Predictor and unlearner: what both say of each node, (N, C) each."""

    def __init__(self, predictor: nn.Module, task: NodeClassificationTask) -> None:
        super().__init__()
        self.predictor, self.task = predictor, task
        self.unlearner = nn.Linear(task.classes, task.classes)

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        said = self.task.embed(self.predictor, graph)
        return said, self.unlearner(said)


def influenced(graph: Graph, gone: Tensor, hops: int) -> Tensor:
    """The nodes within `hops` steps of `gone`, not among them, whose averaged features it moves most: shape (n,), sorted."""
    turned = graph.x.clone()
    turned[gone] = 1 - turned[gone]
    kept = graph.x
    for _ in range(hops):
        kept, turned = graph.operator("gcn") @ kept, graph.operator("gcn") @ turned
    likeness = F.cosine_similarity(kept, turned)
    threshold, farthest = _STEP, -2.0
    while threshold < 1 + _STEP:
        found = likeness[likeness <= threshold]
        if len(found) and float(found.max()) == farthest:
            break
        farthest = float(found.max()) if len(found) else farthest
        threshold += _STEP
    near = graph.near(gone, hops) & (likeness <= threshold)
    near[gone] = False
    return near.nonzero().flatten()
