"""Models whose answers are written down by hand, so that what an audit finds can be worked out on paper."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.audits import Subject
from expunge.data import Target
from expunge.data.graph_splits import LinkSplit
from expunge.data.interaction_splits import InteractionSplit
from expunge.engine import Engine
from expunge.graphs import Graph
from expunge.interactions import Interactions, Removal
from expunge.models.recommender import Recommender
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, LinkPredictionTask, RecommendationTask, RegressionTask


class Lookup(nn.Module):
    """Answers row number `inputs[i]` of a table, shape (rows, outputs)."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.table[inputs]


class Stage:
    """A split whose examples are row numbers, and subjects that are lookup tables over them.

    Args:
        labels: the labels of the examples of each part; `holdout_forget` may be left out.
        factory: what the task takes for a fresh network.
    """

    def __init__(self, labels: Mapping[str, Sequence[int]], classes: int = 3, seed: int = 0, factory=None) -> None:
        self.labels, self.classes = {part: list(values) for part, values in labels.items()}, classes
        self.task = ClassificationTask(factory or (lambda: Lookup(torch.zeros(self.rows, classes))), classes)
        self.engine = Engine(seed=seed, progress=False)
        everything = [label for values in self.labels.values() for label in values]
        self.rows = len(everything)
        data = TensorDataset(torch.arange(self.rows), torch.tensor(everything))
        streams, start = {}, 0
        for part, values in self.labels.items():
            streams[part] = Batches(data, batch_size=4, indices=range(start, start + len(values)))
            start += len(values)
        self.split = Split(**streams)

    def subject(self, table: Tensor, seconds: float | None = None) -> Subject:
        """A model that answers these logits, with the parts' rows in the order in which the parts were given."""
        return Subject("by hand", Lookup(table.clone()), self.task, self.split, self.engine, seconds)

    def answering(self, answers: Mapping[str, Sequence[int]], **settings) -> Subject:
        """A model that answers these classes; the true label in the parts that are not named."""
        given = [answer for part, values in self.labels.items() for answer in answers.get(part, values)]
        return self.subject(5.0 * torch.eye(self.classes)[given], **settings)

    def losing(self, losses: Mapping[str, Sequence[float]], **settings) -> Subject:
        """A model with these cross-entropies; 1 nat in the parts that are not named."""
        given = [loss for part, values in self.labels.items() for loss in losses.get(part, [1.0] * len(values))]
        right = torch.tensor(given, dtype=torch.float64).neg().exp()[:, None]
        labels = torch.eye(self.classes, dtype=torch.float64)[[label for values in self.labels.values() for label in values]]
        probabilities = labels * right + (1 - labels) * (1 - right) / (self.classes - 1)
        return self.subject(probabilities.log(), **settings)


@pytest.fixture
def stage() -> type[Stage]:
    return Stage


class Gauge:
    """The same with real numbers for targets: examples are row numbers, subjects answer from a table.

    Args:
        targets: the targets of the examples of each part, as they are stored: a number each, or a list of numbers.
        target: how they were scaled.
        batch_size: 4 as on the stage, so that parts have batches of unequal size.
    """

    def __init__(
        self,
        targets: Mapping[str, Sequence[float | Sequence[float]]],
        target: Target | None = None,
        bands: Sequence[float] = (),
        seed: int = 0,
        batch_size: int = 4,
    ) -> None:
        self.targets = {part: list(values) for part, values in targets.items()}
        everything = torch.tensor([value for values in self.targets.values() for value in values])
        self.rows = len(everything)
        everything = everything.reshape(self.rows, -1)
        self.task = RegressionTask(lambda: Lookup(torch.zeros_like(everything)), target=target, bands=bands)
        self.engine = Engine(seed=seed, progress=False)
        self.data = TensorDataset(torch.arange(self.rows), everything)
        streams, start = {}, 0
        for part, values in self.targets.items():
            streams[part] = Batches(self.data, batch_size, range(start, start + len(values)))
            start += len(values)
        self.split = Split(**streams)

    def subject(self, table: Tensor) -> Subject:
        """A model that answers these numbers, with the parts' rows in the order in which the parts were given."""
        return Subject("by hand", Lookup(table.clone()), self.task, self.split, self.engine)

    def predicting(self, predictions: Mapping[str, Sequence[float | Sequence[float]]]) -> Subject:
        """A model that predicts these numbers; the target itself in the parts that are not named."""
        given = [value for part, values in self.targets.items() for value in predictions.get(part, values)]
        return self.subject(torch.tensor(given).reshape(self.rows, -1))


@pytest.fixture
def gauge() -> type[Gauge]:
    return Gauge


class Told(nn.Module):
    """Gives pair number `pairs[i, 0] // 2` of a table its logit, whatever the graph."""

    reads_graph = True

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, graph: Graph) -> Tensor:
        return torch.zeros(graph.nodes, 1)

    def decode(self, embeddings: Tensor, pairs: Tensor) -> Tensor:
        return self.logits[pairs[:, 0] // 2]


class Web:
    """The same with edges: each pair has two nodes of its own, and subjects answer logits from a table.

    Args:
        pairs: how many pairs each part has: edges to forget, to retain, unseen ones, and pairs that are none.
    """

    PARTS = ("forget", "retain", "unseen", "none")

    def __init__(self, seed: int = 0, **pairs: int) -> None:
        self.counts = {part: pairs.get(part, 0) for part in self.PARTS}
        total = sum(self.counts.values())
        parts = torch.arange(2 * total).view(-1, 2).split(list(self.counts.values()))
        self.pairs = dict(zip(self.PARTS, parts, strict=True))
        graph = Graph.of(2 * total, torch.cat([self.pairs["forget"], self.pairs["retain"]]))
        nothing = graph.edges.new_empty(0, 2)
        made = LinkSplit(graph, nothing, self.pairs["unseen"], self.pairs["none"])
        self.split = made.without(torch.arange(self.counts["forget"]))
        self.task = LinkPredictionTask(lambda: Told(torch.zeros(total)))
        self.engine = Engine(seed=seed, progress=False)

    def subject(self, **logits: Sequence[float]) -> Subject:
        """A model with these logits; 0 in the parts that are not named."""
        given = [logit for part, count in self.counts.items() for logit in logits.get(part, [0.0] * count)]
        return Subject("by hand", Told(torch.tensor(given)), self.task, self.split, self.engine)


@pytest.fixture
def web() -> type[Web]:
    return Web


class Scored(nn.Module):
    """Scores pairs from a table, shape (U, I), whatever the interactions."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.table[users, items]


class Embedded(Recommender):
    """Items with these embeddings, shape (I, d), which every user multiplies by 1."""

    def __init__(self, interactions: Interactions, items: Tensor) -> None:
        super().__init__(interactions, dim=items.shape[1])
        self.item_rows = nn.Parameter(items.clone())

    def propagate(self, interactions: Interactions) -> None:
        return None

    def read(self, state: None, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None]:
        return torch.ones(len(users), self.dim), self.item_rows[items], None


class Shop:
    """The same with users and items: pairs to train on and held-out ones, a request, and subjects that score from a table.

    Args:
        train: pairs of a user and an item.
        test: those that are held out.
        removal: what must go.
    """

    def __init__(
        self,
        users: int,
        items: int,
        train: Sequence[tuple[int, int]],
        test: Sequence[tuple[int, int]] = (),
        removal: Removal | None = None,
        features: Mapping[str, Tensor] | None = None,
        task: type[RecommendationTask] = RecommendationTask,
    ) -> None:
        self.train = Interactions.of(users, items, list(train), features)
        held_out = torch.tensor(list(test), dtype=torch.long).view(-1, 2)
        self.parts = InteractionSplit(self.train, held_out[:0], held_out)
        self.split = self.parts.without(removal or Removal(rows=torch.tensor([0])))
        self.task = task(lambda: Scored(torch.zeros(users, items)))
        self.engine = Engine(progress=False)

    def subject(self, table: Sequence[Sequence[float]] | Tensor, before: bool = False) -> Subject:
        """A model with these scores; with `before` it reads what was there before the request, as an original does."""
        return self.model(Scored(torch.as_tensor(table, dtype=torch.float32).clone()), before)

    def embedding(self, items: Tensor, before: bool = False) -> Subject:
        """A model with these embeddings of items."""
        return self.model(Embedded(self.train, items), before)

    def model(self, model: nn.Module, before: bool = False) -> Subject:
        split = self.task.as_trained(self.split) if before else self.split
        return Subject("by hand", model, self.task, split, self.engine)


@pytest.fixture
def shop() -> type[Shop]:
    return Shop


class Blobs:
    """Three groups of points in the plane that a small network learns in a moment; class 2 is what must go."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.engine = Engine(seed=seed, progress=False)
        centres = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
        labels = torch.arange(3).repeat(40)
        inputs = centres[labels] + 0.4 * torch.randn(120, 2, generator=generator)
        self.data = TensorDataset(inputs, labels)
        self.task = ClassificationTask(lambda: nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)), classes=3)
        gone, rows = labels == 2, torch.arange(120)
        self.forget = Batches(self.data, 16, rows[gone][:30].tolist())
        self.retain = Batches(self.data, 16, rows[~gone][:60].tolist())
        self.split = Split(
            self.forget,
            self.retain,
            Batches(self.data, 16, rows[~gone][60:].tolist()),
            Batches(self.data, 16, rows[gone][30:].tolist()),
        )

    def subject(self, model: nn.Module) -> Subject:
        return Subject("trained", model, self.task, self.split, self.engine)

    def trained(self, *parts: Batches, seed: int = 0) -> nn.Module:
        """A network trained on these parts."""
        inputs, labels = (torch.cat([part.dataset.tensors[index][part.indices] for part in parts]) for index in (0, 1))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.task.new_model()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in range(60):
            optimizer.zero_grad()
            self.task.losses(model(inputs), (inputs, labels)).mean().backward()
            optimizer.step()
        model.zero_grad()
        return model

    def original(self) -> Subject:
        return self.subject(self.trained(self.forget, self.retain))

    def gold(self, seed: int = 1) -> Subject:
        return self.subject(self.trained(self.retain, seed=seed))


@pytest.fixture
def blobs() -> type[Blobs]:
    return Blobs
