"""GraphEraser: cut the retained graph into shards, train a model on each, and let them answer together.

    V = V_1 + ... + V_k,       theta_i = argmin  mean_{x in G[V_i]} loss(x; theta_i),     from fresh weights

    nodes    p(y | v)  = mean_i p_i(y | v)
    links    logit(u, v) = mean_i <z_u^i, z_v^i>  =  <z_u, z_v>,       z = [z^1; ...; z^k] / sqrt(k)

Exact by construction: no model of the ensemble has seen what goes. The shards come from balanced label propagation: each node
moves to the shard in which most of its neighbours are, as long as there is room, so that few edges are cut. Those that are cut
are lost for training; in link prediction each is an example as well, which is the known price of this method there. Asked,
every model reads the graph that it is asked on, whole.

Made so that a later request costs the shards alone which it touches. Here a request is served for the first time, and touches
all of them: the cost is that of training k models on a k-th of the graph each. Published besides, and left out: a learned
weight for each shard (`LBAggr`), and a partition by embeddings.

Reference: M. Chen, Z. Zhang, T. Wang, M. Backes, M. Humbert, Y. Zhang. "Graph Unlearning", CCS 2022, arXiv 2103.14991.
Needs: retained data. Costs: about a whole training; each answer costs k networks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.graphs import Graph, NodeBatches
from expunge.graphs.neighbours import part
from expunge.methods.method import Method
from expunge.methods.retrain import Retrain
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import LinkPredictionTask, NodeClassificationTask, Task


class ShardEnsemble(nn.Module):
    """Several networks that answer as one.

    Args:
        members: one for each shard.
        classes: whether their outputs are logits of classes, whose probabilities are averaged; else they are embeddings, whose
            inner products are.
    """

    reads_graph: ClassVar[bool] = True

    def __init__(self, members: Sequence[nn.Module], classes: bool) -> None:
        super().__init__()
        self.members, self.classes = nn.ModuleList(members), classes

    def forward(self, graph: Graph) -> Tensor:
        """Logarithms of mean probabilities, shape (N, C); or embeddings, shape (N, sum of the members' d)."""
        found = [_embed(member, graph) for member in self.members]
        if not self.classes:
            return torch.cat(found, 1) / math.sqrt(len(found))
        return torch.stack(found).log_softmax(-1).logsumexp(0) - math.log(len(found))


def _embed(model: nn.Module, graph: Graph) -> Tensor:
    return model(graph) if getattr(model, "reads_graph", False) else model(graph.x, graph.edge_index)


@dataclass(frozen=True)
class GraphEraser(Method):
    """Train one model for each shard of the retained graph.

    Args:
        shards: k, at least 1; 1 is retraining.
        rounds: of label propagation, at most; 0 for shards drawn at random.
        epochs: passes of each model over its shard.
        optimizer: the recipe's optimizer, with its learning rate.
        schedule: of the learning rate.
        clip_norm: largest norm of the gradient; None for no clipping.
    """

    shards: int = 4
    rounds: int = 20
    epochs: int = 200
    optimizer: Optimizer = Optimizer("adam", 5e-3)
    schedule: Schedule = "constant"
    clip_norm: float | None = None

    adapter: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Task[Any]], ...]] = (LinkPredictionTask, NodeClassificationTask)
    why_not: ClassVar[str] = (
        "its shards are parts of a graph; rec-eraser cuts recommenders' data, and retrain is as exact for all"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.shards >= 1, f"shards must be at least 1, not {self.shards}")
        self.require(self.rounds >= 0, f"rounds must be 0 or more, not {self.rounds}")

    @classmethod
    def from_recipe(cls, recipe: Retrain, **settings: Any) -> "GraphEraser":
        """Settings for a model that was trained by `recipe`: each shard's model is trained as long, at the same rate."""
        found: dict[str, Any] = {name: getattr(recipe, name) for name in ("epochs", "optimizer", "schedule", "clip_norm")}
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if self.epochs == 0:
            return student
        self.require(
            not hasattr(student, "decode"), "the answers of several decoders are no decoder's answers; take a network without"
        )
        retain: Any = split.retain
        homes = partition(retain.graph, self.shards, self.rounds, engine.generator("shards"))
        streams = [shard_of(retain, (homes == shard).nonzero().flatten()) for shard in range(self.shards)]
        empty = [place for place, stream in enumerate(streams) if not stream.examples]
        self.require(not empty, f"shard {empty and empty[0]} has nothing to train on; take fewer shards than {self.shards}")
        members = [self._train(task, stream, engine, f"shard-{place}") for place, stream in enumerate(streams)]
        return ShardEnsemble(members, isinstance(task, NodeClassificationTask))

    def _train(self, task: Task[Any], stream: Any, engine: Engine, name: str) -> nn.Module:
        return engine.fit(
            engine.new_model(task.new_model, f"{name} weights"),
            lambda model, batch: task.losses(task.outputs(model, batch), batch),
            stream,
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
            name=name,
        )


def shard_of(stream: Any, nodes: Tensor) -> Any:
    """The part of a training stream that lies within some nodes (sorted), on the graph of those nodes and their edges alone.

    It does not know the graph that it was cut from.
    """
    graph: Graph = stream.graph
    inside = torch.zeros(graph.nodes, dtype=torch.bool)
    inside[nodes] = True
    cut = part(graph, inside[graph.edges[:, :2]].all(1).nonzero().flatten(), nodes)
    if isinstance(stream, NodeBatches):
        return replace(stream, graph=cut, nodes=torch.searchsorted(nodes, stream.nodes[inside[stream.nodes]]))
    return replace(stream, graph=cut, pairs=cut.edges)


def partition(graph: Graph, shards: int, rounds: int, generator: torch.Generator) -> Tensor:
    """The shard of each node, int64, shape (N,), by balanced label propagation: sizes differ by at most one.

    Each round all nodes name the shards of their neighbours, with how many are there; the strongest wishes are granted first,
    as long as a shard has room. Who gets none of its wishes fills what is left.
    """
    order = torch.randperm(graph.nodes, generator=generator)
    homes = torch.empty(graph.nodes, dtype=torch.long)
    homes[order] = torch.arange(graph.nodes) % shards
    if shards == 1:
        return homes
    room = torch.bincount(homes, minlength=shards)
    for _ in range(rounds):
        wishes = graph.operator("sum").scipy @ np.eye(shards, dtype=np.float32)[homes.numpy()]
        moved = _granted(wishes, homes, room, torch.rand(graph.nodes, shards, generator=generator).numpy())
        if torch.equal(moved, homes):
            break
        homes = moved
    return homes


def _granted(wishes: np.ndarray, homes: Tensor, room: Tensor, chance: np.ndarray) -> Tensor:
    """One round: `wishes` (N, k) are neighbours in each shard, `chance` decides between equal ones."""
    nodes, shards = wishes.nonzero()
    stay = shards == homes.numpy()[nodes]  # between equal wishes, nobody moves without need
    ranked = np.lexsort((chance[nodes, shards], ~stay, -wishes[nodes, shards]))
    left, found = room.tolist(), [-1] * len(wishes)
    for node, shard in zip(nodes[ranked].tolist(), shards[ranked].tolist(), strict=True):
        if found[node] < 0 and left[shard]:
            found[node], left[shard] = shard, left[shard] - 1
    places = [shard for shard, count in enumerate(left) for _ in range(count)]
    moved = torch.tensor(found)
    moved[moved < 0] = torch.tensor(places, dtype=torch.long)
    return moved
