"""Many models of one recipe, each from a seed of its own: what :mod:`expunge.studies.repeated` compares.

Model number i of a kind draws all it draws within the scope `kind-i` of the engine, so that no two share a seed, and is kept
there. Where it pays they are trained as one, in groups of fixed numbers. A killed run trains a group of which a model is
missing as a whole again: sums over fewer networks round otherwise, and the figures would not be the same.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.audits.shadows.batched import can_batch, networks_at_a_time, pays, recipe_of, train_batched
from expunge.engine import Engine
from expunge.graphs import LinkBatches, NodeBatches
from expunge.interactions import PairBatches
from expunge.language.fact_split import FactSplit
from expunge.meters import peak_memory
from expunge.methods import Method, Retrain
from expunge.split import Batches, Split, Stream, stream_digest
from expunge.storage import weights_hash
from expunge.tasks import Task


@dataclass(frozen=True)
class Maker:
    """Trains models by a recipe and unlearns them; those that a restarted run had made already are read.

    Args:
        recipe: what originals and retrained models are trained by.
    """

    task: Task[Any]
    recipe: Retrain
    engine: Engine

    @cached_property
    def blank(self) -> nn.Module:
        """The architecture."""
        return self.engine.new_model(self.task.new_model, "blank")

    def trained(self, kind: str, stream: Stream, models: int) -> Iterator[nn.Module]:
        """Models of a kind, trained on a stream, in the order of their numbers."""
        engine, data = self.engine, self.stacked(stream)
        start = f"{weights_hash(self.blank)} {engine.precision}{self.task.reading}"
        key = f"{self.recipe!r} {stream_digest(stream)} seed {engine.seed} {start}"
        names = [f"{kind}-{number}" for number in range(models)]
        if data is None:
            for name in names:
                yield engine.make(name, partial(self.recipe.train, self.task, stream, engine), self.blank, key)[0]
            return
        size = networks_at_a_time(self.blank, engine.device)
        for first in range(0, models, size):
            yield from self._group(names[first : first + size], data, key)

    def unlearned(self, number: int, original: nn.Module, method: Method, split: Split) -> nn.Module:
        """What the method makes of an original."""
        key = f"{weights_hash(original)} {stream_digest(split)} seed {self.engine.seed} {method!r}{self.task.reading}"
        build = partial(method, original, self.task, split, self.engine)
        return self.engine.make(f"{method.name}-{number}", build, method.like(original), key)[0]

    def stacked(self, stream: Stream) -> Batches | None:
        """The stream, where networks can be trained on it as one and that is quicker; None where not."""
        if not isinstance(stream, Batches) or not isinstance(stream.dataset, TensorDataset):
            return None
        if not stream.shuffle or stream.sizes is not None or recipe_of(self.recipe.train) is None:
            return None
        if self.engine.processes > 1 or self.engine.precision != "fp32" or not pays(self.blank, self.engine.device):
            return None
        few = tuple(part[stream.indices[:2]] for part in stream.dataset.tensors)
        return stream if can_batch(self.task, self.blank, few)[0] else None

    def _group(self, names: Sequence[str], data: Batches, key: str) -> Iterator[nn.Module]:
        """Models that are trained as one, unless all of them are kept."""
        missing = any(self.engine.facts_of(f"{name}/result").get("key") != key for name in names)
        made = dict(zip(names, self._as_one(names, data), strict=True)) if missing else {}

        def take(name: str) -> nn.Module:
            model, history = made[name]
            self.engine.history += history
            return model

        for name in names:
            yield self.engine.make(name, partial(take, name), self.blank, key)[0]

    def _as_one(self, names: Sequence[str], data: Batches) -> list[tuple[nn.Module, list[dict[str, Any]]]]:
        """Networks and their histories. The draws are those of training one by one."""
        engine, recipe, started = self.engine, recipe_of(self.recipe.train), time.monotonic()
        assert recipe is not None and isinstance(data.dataset, TensorDataset)
        histories: list[list[dict[str, Any]]] = [[] for _ in names]

        def generator(place: int, epoch: int) -> torch.Generator:
            with engine.scope(names[place]):
                return engine.generator("fit", "epoch", epoch)

        def note(epoch: int, losses: Tensor, rate: float) -> None:
            seconds = round((time.monotonic() - started) / len(names), 3)
            row = {"epoch": epoch, "step": (epoch + 1) * len(data), "learning_rate": rate, "seconds": seconds}
            row["peak_memory_bytes"] = peak_memory(engine.device)
            for name, history, loss in zip(names, histories, losses.tolist(), strict=True):
                history.append({"fit": engine.full_name(f"{name}/fit"), "terms": {"loss": loss}, **row})

        fresh = []
        for name in names:
            with engine.scope(name):
                fresh.append(engine.new_model(self.task.new_model))
        rows = data.indices.repeat(len(names), 1)
        models = train_batched(self.task, fresh, data.dataset.tensors, rows, recipe, data.batch_size, generator, note)
        return list(zip(models, histories, strict=True))


def whole_of(split: Split, batches: Mapping[Any, Sequence[Any]]) -> Stream:
    """What a model was trained on before a request: what goes and what stays, in batches like those of what stays.

    Args:
        batches: of each part of the split, in the order in which they are read.
    """
    if isinstance(split, FactSplit):
        return split.everything
    retain, forget = split.retain, split.forget
    if isinstance(retain, LinkBatches):
        graph = retain.graph.whole
        return replace(retain, graph=graph, pairs=graph.edges, labels=None)
    if isinstance(retain, NodeBatches) and isinstance(forget, NodeBatches):
        return replace(retain, graph=retain.graph.whole, nodes=torch.cat([retain.nodes, forget.nodes]).unique())
    if isinstance(retain, PairBatches):
        interactions = retain.interactions.whole
        return replace(retain, interactions=interactions, pairs=interactions.pairs, judged_on=None)
    size = getattr(retain, "batch_size", None) or len(batches["retain"][0][1])
    columns: Iterator[Any] = zip(*(batch for part in ("forget", "retain") for batch in batches[part]), strict=True)
    return Batches(TensorDataset(*map(torch.cat, columns)), size)
