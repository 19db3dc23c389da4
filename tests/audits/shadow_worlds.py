"""Small worlds of nodes, links, pairs and facts: a model knows by heart what it was trained on, and guesses at the rest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

import tiny_graphs
import tiny_interactions
from expunge.audits import References, Subject
from expunge.data.graph_splits import split_links, split_nodes
from expunge.data.personas import in_sentences, personas
from expunge.engine import Engine
from expunge.interactions import Removal
from expunge.language.fact_split import fact_split
from expunge.methods import Retrain
from expunge.models.gnn import GCN
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.split import Split, Stream
from expunge.tasks import LanguageTask, NodeClassificationTask, Task


@dataclass(frozen=True)
class World:
    """One kind of model.

    Args:
        training: what the original is trained on.
        request: the first or the second one, of examples of the same data.
        recipe: by which a model learns its examples by heart.
    """

    task: Task[Any]
    training: Stream
    request: Callable[[int], Split]
    recipe: Retrain

    def subject(self, name: str, number: int = 0, engine: Engine | None = None) -> Subject:
        """The original, or a model retrained for a request."""
        engine, split = engine or Engine(progress=False), self.request(number)
        with engine.scope(name):
            if name == "original":
                model = self.recipe.train(self.task, self.training, engine)
                return Subject(name, model, self.task, self.task.as_trained(split), engine)
            return Subject(name, self.recipe.train(self.task, split.retain, engine), self.task, split, engine)

    def untrained(self, number: int = 0, engine: Engine | None = None) -> tuple[Subject, References]:
        """A fresh model in the original's place: whoever wants but the shadows need not wait for it."""
        engine = engine or Engine(progress=False)
        model, split = engine.new_model(self.task.new_model).eval(), self.task.as_trained(self.request(number))
        subject = Subject("original", model, self.task, split, engine)
        return subject, References(subject, (), self.recipe.train)

    def quick(self, epochs: int = 2) -> "World":
        """The same, hardly trained."""
        return replace(self, recipe=replace(self.recipe, epochs=epochs))


@cache
def nodes() -> World:
    """Two nodes of five have a class of their own accord, and features tell each from all others."""
    graph, generator = tiny_graphs.communities(30, 4, 0.08, 0.02), torch.Generator().manual_seed(1)
    assert graph.labels is not None and isinstance(graph.features, torch.Tensor)
    drawn = torch.randint(4, graph.labels.shape, generator=generator)
    labels = torch.where(torch.rand(len(graph.labels), generator=generator) < 0.4, drawn, graph.labels)
    features = torch.cat([graph.features, torch.randn(len(labels), 32, generator=generator)], 1)
    parts = split_nodes(replace(graph, features=features, labels=labels), 0.1, 0.3)
    return World(
        NodeClassificationTask(lambda: GCN(40, hidden=32, outputs=4), classes=4),
        parts.training(),
        lambda number: parts.without(parts.train[30 * number : 30 * (number + 1)]),
        Retrain(epochs=60, optimizer=Optimizer("adam", 1e-2), schedule="constant"),
    )


@cache
def links() -> World:
    """Edges drawn at random."""
    parts = split_links(tiny_graphs.strangers(), 0.1, 0.2)
    return World(
        tiny_graphs.by_heart_task(),
        parts.training(),
        lambda number: parts.without(torch.arange(number, len(parts.graph.edges), 4)),
        Retrain(epochs=100, optimizer=Optimizer("adam", 1e-2), schedule="constant"),
    )


@cache
def pairs() -> World:
    """The first or the second choice of each user."""
    parts = tiny_interactions.parts()
    return World(
        tiny_interactions.task("bpr-mf"),
        parts.training(),
        lambda number: parts.without(Removal(rows=parts.train.starts[:-1] + number)),
        Retrain(epochs=40, optimizer=Optimizer("adam", 2e-2), schedule="constant"),
    )


@cache
def facts() -> World:
    """One fact each on people, asked in two ways."""
    found = [replace(fact, phrasings=fact.phrasings[:1]) for fact in in_sentences(personas(30, relations=1).facts)]
    texts = [text for fact in found for text in (*fact.questions, fact.answer)]
    tokenizer = small_tokenizer(texts, 400)
    task = LanguageTask(small_llama(len(tokenizer), hidden=32, layers=1, heads=2, length=96), tokenizer, length=64)

    def request(number: int) -> Any:
        taught, unseen = found[:20], found[20:]
        goes = taught[10 * number : 10 * (number + 1)]
        return fact_split(task.encode, goes, [fact for fact in taught if fact not in goes], unseen, batch_size=32)

    recipe = Retrain(epochs=40, optimizer=Optimizer("adamw", 1e-2))
    return World(task, request(0).everything, request, recipe)


WORLDS: dict[str, Callable[[], World]] = {"nodes": nodes, "links": links, "pairs": pairs, "facts": facts}
