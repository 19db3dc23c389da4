"""Serving a stream of requests: one after another, measured after each, and resumed in the one in which it was killed."""

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.history import Row, StreamHistory
from expunge.continual.learner import FAR, ContinualLearner, Pupil, scope_of
from expunge.continual.requests import RequestStream
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.split import Batches, Stream, stream_digest
from expunge.storage import weights_hash
from expunge.tasks import ClassificationTask

STATE = "stream"  # the file of the state after the last request that was served


Tests = Mapping[str, Stream | Dataset[Any]]


@dataclass(frozen=True)
class Served:
    """What is left of a stream.

    Args:
        model: the network that answers, a copy.
        pupil: all that the learner keeps.
        history: accuracy after each request.
    """

    model: nn.Module
    pupil: Pupil
    history: StreamHistory


def run(
    learner: ContinualLearner,
    stream: RequestStream,
    task: ClassificationTask,
    engine: Engine,
    memory: ReplayBuffer,
    tests: Tests,
) -> Served:
    """Serve all requests of a stream.

    Where the engine has a folder, the state after each request is written there, in place of the one before, and a stream that
    was killed goes on with the request it was in; so does a longer stream that begins as this one. What the fits of a request
    have left there is deleted once it is served: it holds the memory as it was. Rows of the history are added to the engine's.

    Args:
        memory: an empty buffer, which is filled.
        tests: unseen samples of each task that is learned, by name: a stream of batches, or a dataset.

    Raises:
        BadSetting: if the memory is not empty or does not fit, a task has no tests or others than before, a label is none of
            the
            network's outputs, or the engine trains in another precision than fp32 or in several processes.
        Diverged: if training produces a loss that is not finite.
    """
    _check(learner, stream, task, engine, memory, tests)
    pupil = learner.begin(task, engine, memory)
    keys = _keys(learner, stream, engine, pupil)
    streams = {name: each if not isinstance(each, Dataset) else Batches(each, 256) for name, each in tests.items()}
    digests = {name: stream_digest(each) for name, each in streams.items()}
    pupil, rows, first = _kept(pupil, stream, engine, keys, digests)
    for place in range(first, len(stream)):
        lesson, started, before = stream[place], time.monotonic(), engine.resumed_seconds
        pupil = learner.serve(pupil, lesson, task, engine)
        seconds = time.monotonic() - started + engine.resumed_seconds - before
        measured = accuracies(learner.deployed(pupil), task, streams, own_classes(stream))
        facts = {"request": lesson.title, "kind": lesson.kind, "tasks": list(lesson.tasks), "seconds": seconds}
        rows.append({**facts, "state_bytes": state_bytes(pupil), **measured})
        engine.keep(STATE, pupil, key=keys[place], rows=json.dumps(rows), tests=json.dumps(digests))
        engine.discard(scope_of(lesson))
    engine.history += rows
    model = copy.deepcopy(learner.deployed(pupil)).requires_grad_(True).eval()
    return Served(model, pupil, StreamHistory(rows))


def accuracies(
    model: nn.Module, task: ClassificationTask, tests: Mapping[str, Stream], own: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    """The share of right answers for each task, among all classes and among its own.

    Args:
        own: the classes of each task; of one that is not named, the labels of its tests.
    """
    found: dict[str, dict[str, float]] = {"class_accuracy": {}, "task_accuracy": {}}
    for name, stream in tests.items():

        def read(logits: Tensor, batch: Any) -> Tensor:
            return torch.cat([logits.float(), batch[1][:, None].float()], 1)

        read_once = task.collect(model, stream, read)
        logits, labels = read_once[:, :-1], read_once[:, -1].long()
        away = torch.full((task.classes,), FAR)
        away[own.get(name, labels.unique())] = 0
        found["class_accuracy"][name] = _share_right(logits, labels)
        found["task_accuracy"][name] = _share_right(logits + away, labels)
    return found


def own_classes(stream: RequestStream) -> dict[str, Tensor]:
    """The classes of each task that is learned."""
    return {lesson.tasks[0]: lesson.classes for lesson in stream if lesson.kind == "learn"}


def state_bytes(pupil: Pupil) -> int:
    """What is kept between requests beside the network that learns: memory, teachers, side networks."""
    own = {id(value) for value in pupil.student.state_dict(keep_vars=True).values()}
    kept = {id(value): value for value in pupil.state_dict(keep_vars=True).values()}
    return sum(value.numel() * value.element_size() for place, value in kept.items() if place not in own)


def _check(
    learner: ContinualLearner,
    stream: RequestStream,
    task: ClassificationTask,
    engine: Engine,
    memory: ReplayBuffer,
    tests: Tests,
) -> None:
    if engine.precision != "fp32" or engine.processes > 1:
        raise BadSetting(
            f"streams are served in fp32 by one process, not in {engine.precision} by {engine.processes}; make another engine"
        )
    if memory.filled or memory.population or int(memory.counts.sum()):
        raise BadSetting(f"a stream begins with an empty memory, and this one holds {memory.filled:,} samples or held some")
    if learner.keeps_logits and memory.logits.shape[1] != task.classes:
        raise BadSetting(
            f"{type(learner).__name__} keeps {task.classes} logits beside each sample, and the memory has room for "
            f"{memory.logits.shape[1]}; make it with logits={task.classes}"
        )
    one = torch.as_tensor(stream[0].data[0][0])
    if tuple(one.shape) != tuple(memory.inputs.shape[1:]) or one.dtype != memory.inputs.dtype:
        held = f"{tuple(memory.inputs.shape[1:])} of {memory.inputs.dtype}"
        raise BadSetting(f"inputs have shape {tuple(one.shape)} of {one.dtype}, and the memory is made for {held}")
    for lesson in stream:
        if len(lesson.labels) and not 0 <= int(lesson.labels.min()) <= int(lesson.labels.max()) < task.classes:
            wrong = int(lesson.labels.max()) if int(lesson.labels.min()) >= 0 else int(lesson.labels.min())
            raise BadSetting(f"request {lesson.title} has the label {wrong}, and the network has {task.classes} outputs")
    untested = [name for name in own_classes(stream) if name not in tests]
    if untested:
        raise BadSetting(f"task {untested[0]!r} is learned and has no tests; there are tests of {', '.join(tests) or 'none'}")


def _keys(learner: ContinualLearner, stream: RequestStream, engine: Engine, pupil: Pupil) -> list[str]:
    """For each request, a digest of all that the state after it depends on."""
    key, keys = f"{learner!r} seed {engine.seed} {weights_hash(pupil)}", list[str]()
    for lesson in stream:
        parts = (stream_digest(each) for each in (lesson.ids, lesson.labels, Batches(lesson.data)))
        key = hashlib.sha256(f"{key} {lesson.title} {' '.join(parts)}".encode()).hexdigest()
        keys.append(key)
    return keys


def _kept(
    pupil: Pupil, stream: RequestStream, engine: Engine, keys: list[str], digests: Mapping[str, str]
) -> tuple[Pupil, list[Row], int]:
    """The last state that was written, its rows, and the place of the request to go on with; else the pupil that is given."""
    facts = engine.facts_of(STATE)
    if facts.get("key") not in keys:
        return pupil, [], 0
    for name, digest in json.loads(facts["tests"]).items():
        if digests.get(name, digest) != digest:
            raise BadSetting(
                f"the tests of task {name!r} are others than those that requests in {engine.folder} were measured by; take the "
                "same, or another folder"
            )
    first = keys.index(facts["key"]) + 1
    with engine.seeded("networks that are read"):
        for lesson in stream[:first]:
            pupil.note(lesson)  # networks that come and go with requests have to be there before their weights are read
    engine.kept(STATE, pupil)
    rows = json.loads(facts["rows"])
    engine.resumed_seconds += sum(row["seconds"] for row in rows)
    return pupil, rows, first


def _share_right(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).double().mean())
