"""GNNDelete: freeze the network, and put a small matrix behind each layer that changes what it says near to what goes.

    h_v^l  <-  W_l h_v^l    for v in S_l,       S_l the nodes at most l steps away from what goes; all others keep theirs

    L_l = alpha * DEC_l + (1 - alpha) * NI_l
    DEC_l = mean over ends v of what goes of     | h_v^l - o_r^l |^2 / d,      r a random node
    NI_l  = mean over all other v in S_l of      | h_v^l - o_v^l |^2 / d

o are the embeddings of the original model, on the graph before the request. DEC (deleted edge consistency) makes both ends of
an edge as strange to each other as two random nodes, NI (neighbourhood influence) keeps the neighbourhood as it was. Only the
W_l are learned, each from its own L_l (the published `both_layerwise`); they begin with 1/1000 everywhere. In node
classification what goes are nodes: DEC is of their embeddings, read on the graph with them, NI of their neighbours', on the
graph without.

Where this differs from the published code: messages pass over the retained graph, on which the result is used, instead of the
neighbourhood with the deleted edges in it; the random nodes are drawn evenly, and not as ends of pairs that are no edges; W_1
gets no gradient of L_2, which the code hands on one step late; and the code reads o on the graph after the request
(`influence_target="retained"`), where the paper has the one before.

DEC is also why it forgets too much: no model that never saw an edge takes its ends for strangers. `only_influence` leaves it
out (GNNDelete-NI of J. Tan et al., arXiv 2402.10695).

Reference: J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete: A General Strategy for Unlearning in Graph Neural
Networks", ICLR 2023, arXiv 2302.13406.
Needs: the request and the graph; a network that is a stack of graph layers. Costs: `epochs` forward passes over the retained
graph, with the first layer computed once and a backward pass through the W_l alone; and for good, |S_l| d^2 operations a layer
in every forward pass of the result, which can't be handed on as weights of the original architecture.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.graphs import Graph, LinkBatch
from expunge.methods.method import Method
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Split
from expunge.tasks import GraphTask, LinkPredictionTask, NodeClassificationTask, Task


class DeletedGNN(nn.Module):
    """A frozen network with an operator behind each layer, at the nodes of that layer's region.

    Args:
        model: a stack of graph layers in `convs`, with ReLU between them; its weights are frozen.
        regions: for each layer, which nodes of the complete graph its operator works on: bool, shape (N,).
        widths: d of each layer.
        initial: every entry of the operators to begin with.
    """

    reads_graph: ClassVar[bool] = True

    def __init__(self, model: nn.Module, regions: Sequence[Tensor], widths: Sequence[int], initial: float = 1e-3) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.operators = nn.ParameterList(torch.full((width, width), initial) for width in widths)
        for place, region in enumerate(regions):
            self.register_buffer(f"region_{place}", region)

    def forward(self, graph: Graph, first: Tensor | None = None, layers: bool = False) -> Any:
        """Embedding of each node, shape (N, d).

        Args:
            graph: the complete one, or any part or union of it: nodes are known by their `global_ids`.
            first: what the first layer says before its operator, where that is known.
            layers: give what every layer says, a list of (N, d), each of which hands a gradient to its own operator alone.
        """
        found = layer_outputs(self.model, graph, lambda place, said: self.deleted(place, said, graph), first, layers)
        return found if layers else found[-1]

    def deleted(self, place: int, values: Tensor, graph: Graph) -> Tensor:
        """What layer `place` says, after its operator."""
        rows = self.region(place)[graph.global_ids].nonzero().flatten()
        return values.index_copy(0, rows, nn.functional.linear(values[rows], self.operators[place]))

    def region(self, place: int) -> Tensor:
        """Which nodes of the complete graph the operator of layer `place` works on: bool, shape (N,)."""
        return self.get_buffer(f"region_{place}")

    @property
    def extra_macs(self) -> int:
        """Multiply-accumulate operations of all operators in one forward pass over the complete graph."""
        return sum(int(self.region(place).sum()) * len(each) ** 2 for place, each in enumerate(self.operators))


@dataclass(frozen=True)
class GNNDelete(Method):
    """Learn a deletion operator for each layer.

    Args:
        alpha: weight of DEC, between 0 and 1.
        only_influence: leave DEC out, whatever alpha is.
        fresh_pairs: draw the random nodes anew in each epoch; as published, they are drawn once.
        influence_target: the graph on which the original model is read: "whole", before the request, or what is "retained".
        initial: every entry of the operators to begin with.
        epochs: steps, each over all that goes. Published are 1500 at a learning rate of 0.001; on Cora 200 at 0.01 come to the
            same answers in a seventh of the time, and where nodes are classified to better ones than 500 at 0.001.
        optimizer: of the operators, fresh.
        schedule: of the learning rate.
    """

    alpha: float = 0.5
    only_influence: bool = False
    fresh_pairs: bool = False
    influence_target: Literal["whole", "retained"] = "whole"
    initial: float = 1e-3
    epochs: int = 200
    optimizer: Optimizer = Optimizer("adam", 1e-2)
    schedule: Schedule = "constant"

    adapter: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Task[Any]], ...]] = (LinkPredictionTask, NodeClassificationTask)
    why_not: ClassVar[str] = "its operators work on the neighbourhood of what goes, and without a graph there is none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.alpha <= 1, f"alpha must lie between 0 and 1, not {self.alpha}")
        known = ("whole", "retained")
        self.require(self.influence_target in known, f"influence_target must be one of {known}, not {self.influence_target!r}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, GraphTask)
        if self.epochs == 0:
            return student
        forget, retained = (stream.graph.to(engine.device) for stream in (split.forget, split.retain))  # type: ignore[attr-defined]
        rows = torch.cat([touched(batch) for batch in split.forget])
        original = self._layers(student.eval(), task, retained.whole if self.influence_target == "whole" else retained)
        regions = [retained.whole.near(rows.to(engine.device), hops + 1) for hops in range(len(original))]
        deleted = DeletedGNN(student, regions, [said.shape[1] for said in original], self.initial).to(engine.device)
        loss = _DeletionLoss(0.0 if self.only_influence else self.alpha, deleted, original, forget, retained, rows)
        fixed = torch.randint(retained.nodes, (len(rows),), generator=engine.generator("random nodes"))
        stream = _Partners(rows, retained.nodes, None if self.fresh_pairs else fixed)
        return engine.fit(deleted, loss, stream, epochs=self.epochs, optimizer=self.optimizer, schedule=self.schedule)

    def _layers(self, model: nn.Module, task: GraphTask[Any], graph: Graph) -> list[Tensor]:
        """What each layer of the original says."""
        stack = isinstance(getattr(model, "convs", None), nn.ModuleList) and getattr(model, "reads_graph", False)
        self.require(
            stack and graph.features is not None,
            f"operators go behind the layers of gcn, gat, gin or sage, on nodes with features; this is {type(model).__name__}",
        )
        with torch.no_grad():
            found = layer_outputs(model, graph)
            same = torch.allclose(found[-1], task.embed(model, graph), rtol=1e-3, atol=1e-5, equal_nan=True)
        self.require(
            same, "the network does more than its `convs` with ReLU between them, so that operators can't go behind them"
        )
        return found


def layer_outputs(
    model: Any,
    graph: Graph,
    after: Callable[[int, Tensor], Tensor] = lambda _, said: said,
    first: Tensor | None = None,
    apart: bool = False,
) -> list[Tensor]:
    """What each layer of a stack says, (N, d) each; `after(place, said)` is what the next one reads.

    There is no dropout: weights that are frozen cannot learn to bear it.
    """
    found: list[Tensor] = []
    for place, conv in enumerate(model.convs):
        if place:
            below = found[-1].detach() if apart else found[-1]
            said = conv(below.relu(), graph)
        else:
            said = conv(graph.features, graph) if first is None else first
        found.append(after(place, said))
    return found


def touched(batch: Any) -> Tensor:
    """The nodes that a batch names, as often as it does: both ends of each pair, or the nodes themselves."""
    return batch.pairs[:, :2].flatten() if isinstance(batch, LinkBatch) else batch.nodes


@dataclass(frozen=True)
class _Partners:
    """One batch an epoch: the ends of what goes, and as many random nodes."""

    rows: Tensor
    nodes: int
    fixed: Tensor | None

    def __len__(self) -> int:
        return 1

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        drawn = torch.randint(self.nodes, (len(self.rows),), generator=generator) if self.fixed is None else self.fixed
        yield self.rows, drawn


class _DeletionLoss:
    """Called with the deleted network and a batch of ends with their random partners."""

    def __init__(
        self, alpha: float, deleted: DeletedGNN, original: list[Tensor], forget: Graph, retained: Graph, rows: Tensor
    ) -> None:
        self.alpha, self.original, self.forget, self.retained = alpha, original, forget, retained
        goes = torch.zeros(retained.nodes, dtype=torch.bool, device=retained.edges.device)
        goes[rows.to(goes.device)] = True
        places = range(len(original))
        self.beside = [(deleted.region(place) & ~goes).nonzero().flatten() for place in places]
        if not alpha and not any(map(len, self.beside)):
            raise BadRequest("gnndelete: all nodes near to what goes are part of it, so that nothing is left to keep as it was")
        convs: Any = deleted.model.convs
        with torch.no_grad():  # frozen, and the same in every step
            self.first = {id(graph): convs[0](graph.features, graph) for graph in (forget, retained)}

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        kept = model(self.retained, self.first[id(self.retained)], True)
        influence = [
            (said[rows] - theirs[rows]).square().mean()
            for said, theirs, rows in zip(kept, self.original, self.beside, strict=True)
            if len(rows)
        ]
        terms = {"influence": (1 - self.alpha) * torch.stack(influence).sum()} if influence else {}
        if self.alpha:
            rows, partners = batch
            gone = kept if self.forget is self.retained else model(self.forget, self.first[id(self.forget)], True)
            strange = [
                (said[rows] - theirs[partners]).square().mean(1) for said, theirs in zip(gone, self.original, strict=True)
            ]
            terms["deleted"] = self.alpha * torch.stack(strange).sum(0)
        return terms
