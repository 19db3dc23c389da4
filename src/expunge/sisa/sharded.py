"""Training one network for each shard, slice by slice, and training again only what a removal touches.

All that a shard's training depends on is the seed, the shard's number and its own rows: fresh weights, the order of batches and
dropout are drawn for each shard and slice by themselves, and each slice begins with a fresh optimizer. So what is left after a
removal is, bit for bit, what training from the beginning without those records gives.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadFile, BadRequest, BadSetting, WrongTask
from expunge.optimizers import Optimizer, Schedule
from expunge.sisa.answers import ANSWERS, Answer, Together, answer_for
from expunge.sisa.shards import Shards, Work, rows_digest, some_rows
from expunge.split import Batches
from expunge.storage import load_own_state, own_state, read_weights, write_weights
from expunge.tasks import Task

State = dict[str, Tensor]


@dataclass(frozen=True)
class ShardedTraining:
    """How an ensemble is trained.

    Args:
        shards: S, at least 1: a removal costs an S-th, and each network sees an S-th of the data.
        slices: R, at least 1, of each shard: a removal from the last one costs about 2 / (R + 1) of the shard's training, and
            the weights of S (R - 1) networks are kept for it.
        answer: how the networks answer together: "probabilities" or "outputs" for their means, "votes" for the majority in
            classification, "auto" for the mean that fits the task.
        epochs: passes that one network over all data would make. A slice makes :attr:`slice_epochs`, so that all slices
            together see as many examples.
        optimizer: fresh for each slice.
        schedule: of the learning rate, over each slice.
        clip_norm: largest norm of the gradient; None for no clipping.
    """

    shards: int = 8
    slices: int = 4
    answer: Answer = "auto"
    epochs: int = 12
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = "cosine"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("shards", "slices", "epochs"):
            if getattr(self, name) < 1:
                raise BadSetting(f"sharded training: {name} must be at least 1, not {getattr(self, name)}")
        if self.answer not in ANSWERS:
            raise BadSetting(f"sharded training: answer must be one of {', '.join(ANSWERS)}, not {self.answer!r}")

    @classmethod
    def from_recipe(cls, recipe: Any, **settings: Any) -> "ShardedTraining":
        """Settings for networks that are trained by `recipe`, such as the `Retrain` of a single one."""
        found = {name: getattr(recipe, name) for name in ("epochs", "optimizer", "schedule", "clip_norm")}
        return cls(**found | settings)

    @property
    def slice_epochs(self) -> int:
        """Passes over a slice and those before it: 2 E / (R + 1), rounded, at least 1.

        >>> ShardedTraining(slices=4, epochs=10).slice_epochs
        4
        """
        return max(1, round(2 * self.epochs / (self.slices + 1)))

    def train(self, task: Task[Any], data: Batches, engine: Engine, seed: int | None = None) -> "ShardedModel":
        """Train an ensemble on the rows of a stream; a killed training goes on in the engine's folder.

        Args:
            data: its row numbers are what records are known by: keep them when records go. A network sees an S-th of the rows,
                so that on small data smaller batches than for a single one are better: S times smaller make as many steps.
            seed: of all that is drawn; from the engine, below its current scope, when None.

        Raises:
            WrongTask: if the data are no rows.
            BadRequest: if there are none.
        """
        if not isinstance(data, Batches):
            raise WrongTask(
                f"shards are made of rows of a data set, and a {type(data).__name__} has none; of graphs take graph-eraser, of "
                "recommenders rec-eraser, elsewhere retrain: all are as exact"
            )
        if not data.examples:
            raise BadRequest("the stream of batches is empty, there is nothing to train on")
        drawn = engine.seed_for("shards") if seed is None else seed
        plan = Shards(data, self.shards, self.slices, drawn)
        first = dict.fromkeys(range(self.shards), 0)
        trained = _train(self, plan, {shard: (0, None) for shard in first}, task, engine)
        record = Record(self, drawn, data.indices, rows_digest(data), data, tuple(trained[shard][1] for shard in first))
        members = [trained[shard][0] for shard in first]
        speaks = [plan.holds(shard) for shard in first]
        return ShardedModel(members, answer_for(task, self.answer), speaks, record, plan.work(first, self.slice_epochs))


@dataclass(frozen=True, eq=False)
class Record:
    """What an ensemble was trained on, and the weights on the way.

    Args:
        settings: how it was trained.
        seed: of all that was drawn.
        rows: the numbers of its records.
        digest: of those.
        data: the stream of those; None where it is not at hand.
        states: for each shard the weights after each slice but the last, whose are the network's.
    """

    settings: ShardedTraining
    seed: int
    rows: Tensor
    digest: str
    data: Batches | None
    states: tuple[tuple[State, ...], ...]

    def __deepcopy__(self, memo: Any) -> "Record":
        """Nothing of it is ever changed: copies of an ensemble share it."""
        return self

    def on(self, data: Batches) -> "Record":
        """The same with its data at hand.

        Raises:
            BadRequest: if these are other records.
        """
        rows: Tensor = torch.isin(data.indices, self.rows)
        found = some_rows(data, rows)
        if not torch.equal(found.indices, self.rows) or rows_digest(found) != self.digest:
            raise BadRequest(
                f"these are not the {len(self.rows):,} records that the ensemble was trained on: hand over the same data set, "
                "in the same order of rows, in batches of the same size"
            )
        return replace(self, data=found)


class ShardedModel(Together):
    """One network for each shard; asked, it answers like a single one. :meth:`ShardedTraining.train` makes it.

    A method that trains on changes its networks, but not the `record` that :meth:`without` begins from.

    Attributes:
        record: what it was trained on.
        work: what was trained when it was made.
    """

    def __init__(self, members: list[nn.Module], answer: str, speaks: list[bool], record: Record, work: Work) -> None:
        super().__init__(members, answer, speaks)
        self.record, self.work = record, work
        self.eval()

    def without(self, rows: Iterable[int], task: Task[Any], engine: Engine) -> "ShardedModel":
        """The ensemble that training from the beginning without some records gives; this one is left as it is.

        In the folder and scope of the engine that trained it, checkpoints that have seen the records are replaced.

        Args:
            rows: numbers of records, as in the stream that it was trained on.

        Raises:
            BadRequest: if a record is not there, none is named, or none would be left.
        """
        record, settings = self.record, self.record.settings
        gone = torch.tensor(sorted({int(row) for row in rows}), dtype=torch.long)
        data = self._stays(gone)
        plan = Shards(data, settings.shards, settings.slices, record.seed)
        first = plan.touched(gone)
        begin = {shard: (at, record.states[shard][at - 1] if at else None) for shard, at in first.items()}
        trained = _train(settings, plan, begin, task, engine)
        members, states = [], list(record.states)
        for shard, member in enumerate(self.members):
            members.append(trained[shard][0] if shard in trained else copy.deepcopy(member).to(engine.device))
            if shard in trained:
                states[shard] = (*states[shard][: first[shard]], *trained[shard][1])
        speaks = [plan.holds(shard) for shard in range(settings.shards)]
        left = Record(settings, record.seed, data.indices, rows_digest(data), data, tuple(states))
        return ShardedModel(members, self.answer, speaks, left, plan.work(first, settings.slice_epochs))

    def _stays(self, gone: Tensor) -> Batches:
        record = self.record
        if record.data is None:
            raise BadRequest("the ensemble was loaded without the data that its shards are retrained on; hand it to `load`")
        if not len(gone):
            raise BadRequest("no record is named that must go")
        if len(foreign := gone[~torch.isin(gone, record.rows)]):
            raise BadRequest(
                f"row {foreign[0]:,} is not among the {len(record.rows):,} that the ensemble is trained on"
                + (f", nor are {len(foreign) - 1:,} others" if len(foreign) > 1 else "")
            )
        data = some_rows(record.data, ~torch.isin(record.rows, gone))
        if not data.examples:
            raise BadRequest(f"all {len(record.rows):,} records must go; to forget everything, delete the model")
        return data

    def save(self, path: str | Path) -> None:
        """Write networks, the weights on the way and all settings as one safetensors file, whole or not at all."""
        record = self.record
        tensors = {f"model {name}": value for name, value in own_state(self).items()} | {"rows": record.rows}
        for shard, states in enumerate(record.states):
            for number, state in enumerate(states):
                tensors |= {f"slice {shard} {number} {name}": value for name, value in state.items()}
        facts = {"settings": asdict(record.settings), "seed": record.seed, "digest": record.digest}
        write_weights(path, tensors, {"sisa": json.dumps(facts | {"answer": self.answer, "work": asdict(self.work)})})

    @classmethod
    def load(cls, path: str | Path, task: Task[Any], data: Batches | None = None) -> "ShardedModel":
        """Read what :meth:`save` has written.

        Args:
            data: what it was trained on, to be able to take records out; others that are in it as well don't matter.

        Raises:
            BadFile: if the file is missing, damaged, or something else, or the task has another network.
            BadRequest: if the data are others.
        """
        tensors, found = read_weights(path)
        if "sisa" not in found:
            raise BadFile(f"{path} is no ensemble of shards; it is written by ShardedModel.save")
        with torch.random.fork_rng(devices=[]):
            try:
                model = _restored(cls, tensors, json.loads(found["sisa"]), task)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise BadFile(f"{path} is damaged, or was trained with another network than the task's: {error}") from error
        if data is not None:
            model.record = model.record.on(data)
        return model


def _restored(cls: type[ShardedModel], tensors: State, facts: dict[str, Any], task: Task[Any]) -> ShardedModel:
    kept = facts["settings"]
    settings = ShardedTraining(**kept | {"optimizer": Optimizer(**kept["optimizer"])})
    states = tuple(
        tuple(_under(f"slice {shard} {number} ", tensors) for number in range(settings.slices - 1))
        for shard in range(settings.shards)
    )
    record = Record(settings, facts["seed"], tensors["rows"], facts["digest"], None, states)
    members = [task.new_model() for _ in range(settings.shards)]
    model = cls(members, facts["answer"], [True] * settings.shards, record, Work(**facts["work"]))
    load_own_state(model, _under("model ", tensors))
    return model


def _under(prefix: str, tensors: State) -> State:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _train(
    settings: ShardedTraining,
    plan: Shards,
    begin: Mapping[int, tuple[int, State | None]],
    task: Task[Any],
    engine: Engine,
) -> dict[int, tuple[nn.Module, tuple[State, ...]]]:
    """Train some shards, each from a slice on and from weights (None for fresh ones).

    Returns:
        for each of them its network, and the weights after each slice that was trained but the last.
    """
    own, found = _own_engine(engine, plan.seed), {}
    with own.scope("shards", repr(settings) + task.reading):
        for shard, (first, state) in begin.items():
            model, states = own.new_model(task.new_model, f"shard-{shard}"), []
            if state is not None:
                load_own_state(model, state)
            for number in range(first, settings.slices):
                stream = plan.up_to(shard, number)
                model = _fit(settings, model, stream, task, own, f"shard-{shard}/slice-{number}") if stream.examples else model
                states.append({name: value.detach().cpu().clone() for name, value in own_state(model).items()})
            found[shard] = (model.eval(), tuple(states[:-1]))
    engine.history += own.history
    engine.resumed_seconds += own.resumed_seconds
    return found


def _fit(settings: ShardedTraining, model: nn.Module, data: Batches, task: Task[Any], engine: Engine, name: str) -> nn.Module:
    return engine.fit(
        model,
        lambda network, batch: task.losses(task.outputs(network, batch), batch),
        data,
        epochs=settings.slice_epochs,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        clip_norm=settings.clip_norm,
        name=name,
    )


def _own_engine(engine: Engine, seed: int) -> Engine:
    """An engine that trains like `engine` in its folder, but whose draws follow from `seed` alone, in whatever scope it is."""
    return Engine(
        seed,
        engine.device_choice,
        engine.precision,
        folder=None if engine.folder is None else (engine.folder / engine.full_name("shards")).parent,
        checkpoint_seconds=engine.checkpoint_seconds,
        checkpoint_steps=engine.checkpoint_steps,
        progress=engine.progress,
    )
