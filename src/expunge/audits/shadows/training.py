r"""Shadow models: networks of the original's recipe, each trained on a random half of seen and unseen examples together.

They come in pairs, the second trained on what the first was not, so that each example is in half of them:

    held_{2p} = random half of all rows,      held_{2p+1} = the other half

Where it pays, all are trained as one; else one by one, as originals are. Both ways draw the same weights, halves and orders, so
the networks are the same but for rounding.

With a folder the networks are kept there, under all that they depend on: the rows in whatever order, the recipe, the seed and
how many they are. Another request to forget rows of the same data finds them. A killed run goes on: one by one from the last
checkpoint, as one from the last group.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.audits.audit import Part, References, Subject
from expunge.audits.shadows.batched import can_batch, networks_at_a_time, pays, recipe_of, train_batched
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.meters import peak_memory
from expunge.split import Batches, Stream
from expunge.storage import copied
from expunge.tasks import Task

Train = Callable[[Task[Any], Stream, Engine], nn.Module]
_READ = 4096  # examples that are read at once


@dataclass(frozen=True)
class ShadowSet:
    """Trained shadows, and what each was trained on.

    Args:
        models: N networks.
        held: which was trained on which row, shape (N, rows), in the order in which the rows were given.
        data: the rows: inputs and targets.
        one_by_one: why they were not trained as one; empty where they were.
    """

    models: tuple[nn.Module, ...]
    held: Tensor
    data: tuple[Tensor, ...]
    one_by_one: str = ""

    def collect(self, task: Task[Any], rows: int, read: Any = None) -> Tensor:
        """What `read(outputs, batch)` makes of the first `rows` rows, of each network: shape (N, rows, ...)."""
        batches = Batches(TensorDataset(*(part[:rows] for part in self.data)), _READ)
        return torch.stack([task.collect(model, batches, read) for model in self.models])

    @classmethod
    def trained(
        cls, task: Task[Any], data: Sequence[Tensor], count: int, train: Train, batch_size: int, engine: Engine
    ) -> "ShadowSet":
        """Train, or find, `count` shadows on halves of `data`.

        Args:
            data: inputs and targets, with the examples as first dimension.
            train: trains a fresh network on a stream by the original's recipe: `References.train`.
            batch_size: of their training.
        """
        if count < 2 or batch_size < 1 or len(data[0]) < 2:
            given = f"{count}, {len(data[0])} and {batch_size}"
            raise BadSetting(f"there must be 2 or more shadows, 2 or more rows and a batch_size of at least 1, not {given}")
        order, digest = _canonical(data)
        ranked, held = tuple(part[order] for part in data), halves(len(order), count, engine)
        blank = engine.new_model(task.new_model, "blank")
        work = _Work(task, ranked, held, train, batch_size, engine, blank)
        recipe = f"{_names(train)} {batch_size=} {count=} seed {engine.seed} {engine.precision}"
        models = work.done(f"{digest} {recipe} {_shapes(blank)}{task.reading}")
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return cls(tuple(models), held[:, back], tuple(data), work.reason)


def halves(rows: int, count: int, engine: Engine) -> Tensor:
    """Which of `count` shadows holds which row, in pairs that share nothing: shape (count, rows).

    >>> halves(4, 3, Engine(progress=False)).sum(1).tolist()
    [2, 2, 2]
    """
    held = torch.zeros(count + count % 2, rows, dtype=torch.bool)
    for pair in range(len(held) // 2):
        order = torch.randperm(rows, generator=engine.generator("half", pair))
        held[2 * pair, order[: rows // 2]] = True
        held[2 * pair + 1] = ~held[2 * pair]
    return held[:count]


def shadows_of(subject: Subject, references: References, count: int, batch_size: int, unseen: int) -> ShadowSet:
    """The shadows of a comparison: trained once, and kept for all of its subjects and all audits that ask for such.

    Rows are those to forget, then the first `unseen` of the unseen examples, then those to retain.
    """
    assert references.train is not None
    owner = references.original or references.gold or subject
    key = "shadows", count, batch_size, unseen
    if key not in owner.memory:
        data = rows_of(subject, unseen)
        with _home(subject.engine) as engine:
            owner.memory[key] = ShadowSet.trained(subject.task, data, count, references.train, batch_size, engine)
    found: ShadowSet = owner.memory[key]
    return found


def rows_of(subject: Subject, unseen: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of what goes, of the first `unseen` unseen examples like it, and of what stays."""
    parts: tuple[tuple[Part, int | None], ...] = (("forget", None), (subject.unseen_part(), unseen), ("retain", None))
    columns = [tuple(each[:most] for each in _read(subject, part)) for part, most in parts if len(subject.scores(part))]
    inputs, targets = (torch.cat(column) for column in zip(*columns, strict=True))
    return inputs, targets


def _read(subject: Subject, part: Part) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a part, in the order in which its outputs are read."""
    batches = list(subject.batches(part))
    return torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])


@contextmanager
def _home(engine: Engine) -> Iterator[Engine]:
    """An engine whose draws and files are the same whichever audit asks for shadows."""
    names = engine.full_name("").split("/")[:-1]
    if names and names[-1].startswith("audit-"):
        names.pop()
    own = Engine(
        engine.seed,
        engine.device_choice,
        engine.precision,
        engine.folder,
        engine.checkpoint_seconds,
        engine.checkpoint_steps,
        engine.progress,
    )
    with ExitStack() as scopes:
        for name in (*names, "shadows"):
            scopes.enter_context(own.scope(name))
        yield own
    engine.history += own.history
    engine.resumed_seconds += own.resumed_seconds


@dataclass(frozen=True)
class _Work:
    """What is needed to train any of the shadows, one by one or as one."""

    task: Task[Any]
    data: tuple[Tensor, ...]
    held: Tensor
    train: Train
    batch_size: int
    engine: Engine
    blank: nn.Module

    @cached_property
    def reason(self) -> str:
        """Why they are trained one by one; empty where they are trained as one."""
        if recipe_of(self.train) is None:
            return "the recipe is not one of epochs, optimizer and schedule alone"
        if self.engine.processes > 1 or self.engine.precision != "fp32":
            return "only one process trains networks as one, in fp32"
        able, why = can_batch(self.task, self.blank, tuple(part[:2] for part in self.data))
        if able and not pays(self.blank, self.engine.device):
            return "it would not be quicker for a network of this size"
        return why

    def done(self, key: str) -> list[nn.Module]:
        """All shadows: those that were kept for this key, and the others, which are trained and kept."""
        engine, found = self.engine, dict[int, nn.Module]()
        for number in range(len(self.held)):
            kept = engine.kept(f"shadow-{number}", copied(self.blank), key=key)
            if kept is not None:
                engine.history += json.loads(kept[1]["history"])
                found[number] = kept[0].to(engine.device).eval()
        missing = [number for number in range(len(self.held)) if number not in found]
        size = 1 if self.reason else networks_at_a_time(self.blank, engine.device)
        for start in range(0, len(missing), size):
            numbers = missing[start : start + size]
            found |= self.one_by_one(numbers, key) if self.reason else self.as_one(numbers, key)
        return [found[number] for number in range(len(self.held))]

    def one_by_one(self, numbers: Sequence[int], key: str) -> dict[int, nn.Module]:
        """A fit goes on from its checkpoint, which is deleted when the shadow is kept."""
        found, engine = {}, self.engine
        for number in numbers:
            before = len(engine.history)
            rows = self.held[number].nonzero().flatten().tolist()
            with engine.scope(f"shadow-{number}", key):
                found[number] = self.train(self.task, Batches(TensorDataset(*self.data), self.batch_size, rows), engine)
            engine.keep(f"shadow-{number}", found[number], key=key, history=json.dumps(engine.history[before:]))
            engine.discard(f"shadow-{number}")
        return found

    def as_one(self, numbers: Sequence[int], key: str) -> dict[int, nn.Module]:
        """Those that hold as many rows are trained as one: of an odd number of rows, the two of a pair don't."""
        found: dict[int, nn.Module] = {}
        for size in sorted(set(self.held[list(numbers)].sum(1).tolist())):
            group = [number for number in numbers if self.held[number].sum() == size]
            models, rows = self._group(group)
            for number, model, history in zip(group, models, rows, strict=True):
                self.engine.history += history
                self.engine.keep(f"shadow-{number}", model, key=key, history=json.dumps(history))
                found[number] = model
        return found

    def _group(self, group: Sequence[int]) -> tuple[list[nn.Module], list[list[dict[str, Any]]]]:
        """Networks, and their histories. The draws are those of fits in the scopes of :meth:`one_by_one`."""
        engine, recipe, started = self.engine, recipe_of(self.train), time.monotonic()
        assert recipe is not None
        histories: list[list[dict[str, Any]]] = [[] for _ in group]
        rows = torch.stack([self.held[number].nonzero().flatten() for number in group])

        def generator(place: int, epoch: int) -> torch.Generator:
            with engine.scope(f"shadow-{group[place]}"):
                return engine.generator("fit", "epoch", epoch)

        def note(epoch: int, losses: Tensor, rate: float) -> None:
            seconds = round((time.monotonic() - started) / len(group), 3)
            row = {"epoch": epoch, "step": (epoch + 1) * -(-rows.shape[1] // self.batch_size), "learning_rate": rate}
            row |= {"seconds": seconds, "peak_memory_bytes": peak_memory(engine.device)}
            for number, history, loss in zip(group, histories, losses.tolist(), strict=True):
                history.append({"fit": engine.full_name(f"shadow-{number}/fit"), "terms": {"loss": loss}, **row})

        models = []
        for number in group:
            with engine.scope(f"shadow-{number}"):
                models.append(engine.new_model(self.task.new_model))
        trained = train_batched(self.task, models, self.data, rows, recipe, self.batch_size, generator, note)
        return trained, histories


def _canonical(data: Sequence[Tensor]) -> tuple[Tensor, str]:
    """An order of the rows that depends on what they hold alone, shape (rows,), and a digest of all of them."""
    columns = [_row_digests(part) for part in data]
    rows = [b"".join(row) for row in zip(*columns, strict=True)]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    whole = hashlib.blake2b(b"".join(rows[place] for place in order), digest_size=16)
    return torch.tensor(order), f"{whole.hexdigest()} {[(str(part.dtype), tuple(part.shape)) for part in data]}"


def _row_digests(part: Tensor) -> list[bytes]:
    rows = part.detach().cpu().contiguous().reshape(len(part), -1).view(torch.uint8).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _names(train: Train) -> str:
    """What trains, by its settings: a method's repr, or the function's name."""
    return repr(getattr(train, "__self__", None) or getattr(train, "__qualname__", train))


def _shapes(model: nn.Module) -> str:
    return f"{type(model).__name__} {[(name, tuple(value.shape)) for name, value in model.state_dict().items()]}"
