"""Serving a stream of requests: one after another, measured after each, and resumed in the one in which it was killed."""

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.history import Row, StreamHistory
from expunge.continual.learner import FAR, ContinualLearner, Pupil
from expunge.continual.requests import RequestStream
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.split import Batches, Stream, stream_digest
from expunge.storage import weights_hash
from expunge.tasks import ClassificationTask

STATE = "stream"  # the file of the state after the last request that was served


@dataclass(frozen=True)
class Served:
    """What is left of a stream.

    Args:
        model: the network that answers.
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
    tests: Mapping[str, Stream],
) -> Served:
    """Serve all requests of a stream.

    Where the engine has a folder, the state after each request is written there, in place of the one before, and a stream that
    was killed goes on with the request it was in. Rows of the history are added to the engine's, too.

    Args:
        memory: an empty buffer, which is filled.
        tests: unseen samples of each task, by name.

    Raises:
        BadSetting: if the memory is not empty, or keeps other logits than the learner needs.
        Diverged: if training produces a loss that is not finite.
    """
    if memory.filled:
        raise BadSetting(f"a stream begins with an empty memory, and this one holds {memory.filled:,} samples")
    if learner.keeps_logits and memory.logits.shape[1] != task.classes:
        raise BadSetting(
            f"{type(learner).__name__} keeps {task.classes} logits beside each sample, and the memory has room for "
            f"{memory.logits.shape[1]}; make it with logits={task.classes}"
        )
    pupil = learner.begin(task, engine, memory)
    keys = _keys(learner, stream, engine, pupil)
    pupil, rows, first = _kept(pupil, stream, engine, keys)
    for place in range(first, len(stream)):
        lesson, started, before = stream[place], time.monotonic(), engine.resumed_seconds
        pupil = learner.serve(pupil, lesson, task, engine).eval()
        seconds = time.monotonic() - started + engine.resumed_seconds - before
        measured = accuracies(learner.deployed(pupil), task, tests)
        facts = {"request": lesson.title, "kind": lesson.kind, "tasks": list(lesson.tasks), "seconds": seconds}
        rows.append({**facts, "state_bytes": state_bytes(pupil), **measured})
        engine.keep(STATE, pupil, key=keys[place], rows=json.dumps(rows))
    engine.history += rows
    return Served(learner.deployed(pupil), pupil, StreamHistory(rows))


def accuracies(model: nn.Module, task: ClassificationTask, tests: Mapping[str, Stream]) -> dict[str, dict[str, float]]:
    """The share of right answers for each task, among all classes and among its own."""
    found: dict[str, dict[str, float]] = {"class_accuracy": {}, "task_accuracy": {}}
    for name, stream in tests.items():
        logits = task.collect(model, stream)
        labels = torch.cat([batch[1] for batch in stream])
        away = torch.full((task.classes,), FAR)
        away[labels.unique()] = 0
        found["class_accuracy"][name] = _share_right(logits, labels)
        found["task_accuracy"][name] = _share_right(logits + away, labels)
    return found


def state_bytes(pupil: Pupil) -> int:
    """What is kept between requests beside the network that learns: memory, teachers, side networks."""
    own = {id(value) for value in pupil.student.state_dict(keep_vars=True).values()}
    kept = {id(value): value for value in pupil.state_dict(keep_vars=True).values()}
    return sum(value.numel() * value.element_size() for place, value in kept.items() if place not in own)


def _keys(learner: ContinualLearner, stream: RequestStream, engine: Engine, pupil: Pupil) -> list[str]:
    """For each request, a digest of all that the state after it depends on."""
    key, keys = f"{learner!r} seed {engine.seed} {weights_hash(pupil)}", list[str]()
    for lesson in stream:
        key = f"{key} {lesson.title} {stream_digest(lesson.ids)} {stream_digest(Batches(lesson.data))}"
        key = hashlib.sha256(key.encode()).hexdigest()
        keys.append(key)
    return keys


def _kept(pupil: Pupil, stream: RequestStream, engine: Engine, keys: list[str]) -> tuple[Pupil, list[Row], int]:
    """The last state that was written, its rows, and the place of the request to go on with; else the pupil that is given."""
    for place in reversed(range(len(stream))):
        like = copy.deepcopy(pupil)
        for lesson in stream[: place + 1]:
            like.note(lesson)  # networks that come and go with requests have to be there before their weights are read
        if (found := engine.kept(STATE, like, key=keys[place])) is not None:
            return like, json.loads(found[1]["rows"]), place + 1
    return pupil, [], 0


def _share_right(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).double().mean())
