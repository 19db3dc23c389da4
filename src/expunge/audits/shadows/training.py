r"""Shadow models: networks of the original's recipe, each trained on a random half of seen and unseen examples together.

They come in pairs, the second trained on what the first was not, so that each example is in half of them:

    held_{2p} = random half of all rows,      held_{2p+1} = the other half

Where it pays, all are trained as one; else one by one, as originals are. Both ways draw the same weights, halves and orders, so
the networks are the same but for rounding.

What is divided, and what a network is trained on that holds some of it, is said in :mod:`expunge.audits.shadows.examples`.

With a folder the networks are kept there, under all that they depend on: the rows in whatever order, the recipe, the seed and
how many they are. Another request to forget rows of the same data finds them. A killed run goes on: one by one from the last
checkpoint, as one from the last group, spread over workers from the last network that was done.
"""

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

from expunge.audits.audit import References, Subject
from expunge.audits.shadows.batched import can_batch, networks_at_a_time, pays, recipe_of, train_batched
from expunge.audits.shadows.examples import Examples, Rows, examples_of
from expunge.audits.shadows.spread import spread
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.meters import peak_memory
from expunge.split import Batches, Stream
from expunge.storage import copied
from expunge.tasks import Task

Train = Callable[[Task[Any], Stream, Engine], nn.Module]
Made = tuple[int, nn.Module, list[dict[str, Any]]]  # a shadow's number, the network and its history
_READ = 4096  # examples that are read at once


@dataclass(frozen=True)
class ShadowSet:
    """Trained shadows, and what each was trained on.

    Args:
        models: N networks.
        held: which was trained on which example, shape (N, examples), in the order in which they were given.
        examples: what was divided.
        one_by_one: why they were not trained as one; empty where they were.
    """

    models: tuple[nn.Module, ...]
    held: Tensor
    examples: Examples
    one_by_one: str = ""

    @property
    def data(self) -> tuple[Tensor, ...]:
        """The rows as they were given: inputs and targets; none where examples are no rows."""
        return self.examples.given if isinstance(self.examples, Rows) else ()

    def collect(self, task: Task[Any], rows: int, read: Any = None) -> Tensor:
        """What `read(outputs, batch)` makes of the first `rows` rows, of each network: shape (N, rows, ...)."""
        batches = list(Batches(TensorDataset(*(part[:rows] for part in self.data)), _READ))
        return torch.stack([task.collect(model, batches, read) for model in self.models])

    def asked(self, task: Task[Any], batches: Sequence[Any], read: Any, unserved: int = 0) -> Tensor:
        """What `read(outputs, batch)` makes of any batches, of each network: shape (N, examples, ...).

        Args:
            unserved: so many examples, from the first on, no network reads beside a question, whether it was trained on them or
                not: the graph over which messages pass has no such edge.
        """
        return torch.stack(
            [
                task.collect(model, self.examples.asked_of(batches, self._served(held, unserved)), read)
                for model, held in zip(self.models, self.held, strict=True)
            ]
        )

    def _served(self, held: Tensor, unserved: int) -> Tensor:
        """Which units a network reads, shape (units,)."""
        served = torch.zeros(int(self.examples.units.max()) + 1, dtype=torch.bool)
        served[self.examples.units[unserved:][held[unserved:]]] = True
        return served

    @classmethod
    def trained(
        cls,
        task: Task[Any],
        data: Sequence[Tensor],
        count: int,
        train: Train,
        batch_size: int,
        engine: Engine,
        workers: int = 1,
    ) -> "ShadowSet":
        """Train, or find, `count` shadows on halves of `data`.

        Args:
            data: inputs and targets, with the examples as first dimension.
            train: trains a fresh network on a stream by the original's recipe: `References.train`.
            batch_size: of their training.
            workers: as for :meth:`of`.
        """
        return cls.of(task, Rows(data, batch_size), count, train, engine, workers)

    @classmethod
    def of(cls, task: Task[Any], examples: Examples, count: int, train: Train, engine: Engine, workers: int = 1) -> "ShadowSet":
        """Train, or find, `count` shadows on halves of any examples.

        Args:
            train: trains a fresh network on a stream by the original's recipe: `References.train`.
            workers: of Ray, which train at a time; 1 for this process alone. See :mod:`expunge.audits.shadows.spread`.
        """
        units = int(examples.units.max()) + 1 if len(examples.units) else 0
        size = examples.batch_size
        if count < 2 or units < 2 or (size is not None and size < 1):
            given = f"{count}, {units} and {size}"
            raise BadSetting(f"there must be 2 or more shadows, 2 or more rows and a batch_size of at least 1, not {given}")
        if workers < 1:
            raise BadSetting(f"there must be a worker to train shadows, or more, not {workers}")
        blank = engine.new_model(task.new_model, "blank")
        work = Work(task, examples, halves(units, count, engine), train, engine, blank)
        recipe = f"{_names(train)} batch_size={size} {count=} seed {engine.seed} {engine.precision}"
        models = work.done(f"{examples.digest} {recipe} {_shapes(blank)}{task.reading}", workers)
        return cls(tuple(models), work.held[:, examples.units], examples, work.reason)


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


def shadows_of(
    subject: Subject, references: References, count: int, batch_size: int, unseen: int, workers: int = 1
) -> ShadowSet:
    """The shadows of a comparison: trained once, and kept for all of its subjects and all audits that ask for such.

    Examples are those to forget, then the first `unseen` of the unseen ones, then those to retain.

    Raises:
        WrongTask: if the examples can't be divided at random.
    """
    assert references.train is not None
    owner = references.original or references.gold or subject
    key = "shadows", count, batch_size, unseen
    if key not in owner.memory:
        examples = examples_of(subject, unseen, batch_size)
        with _home(subject.engine) as engine:
            owner.memory[key] = ShadowSet.of(subject.task, examples, count, references.train, engine, workers)
    found: ShadowSet = owner.memory[key]
    return found


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
class Work:
    """What is needed to train any of the shadows, one by one or as one.

    Args:
        held: which shadow holds which unit, shape (count, units).
        blank: a network of the architecture.
    """

    task: Task[Any]
    examples: Examples
    held: Tensor
    train: Train
    engine: Engine
    blank: nn.Module

    @cached_property
    def reason(self) -> str:
        """Why they are trained one by one; empty where they are trained as one."""
        if recipe_of(self.train) is None:
            return "the recipe is not one of epochs, optimizer and schedule alone"
        if not isinstance(self.examples, Rows):
            return f"batches of {type(self.task).__name__} can't be stacked"
        if self.engine.processes > 1 or self.engine.precision != "fp32":
            return "only one process trains networks as one, in fp32"
        able, why = can_batch(self.task, self.blank, tuple(part[:2] for part in self.examples.data))
        if able and not pays(self.blank, self.engine.device):
            return "it would not be quicker for a network of this size"
        return why

    def done(self, key: str, workers: int = 1) -> list[nn.Module]:
        """All shadows: those that were kept for this key, and the others, which are trained and kept."""
        engine, found = self.engine, dict[int, nn.Module]()
        for number in range(len(self.held)):
            kept = engine.kept(f"shadow-{number}", copied(self.blank), key=key)
            if kept is not None:
                engine.history += json.loads(kept[1]["history"])
                found[number] = kept[0].to(engine.device).eval()
        missing = [number for number in range(len(self.held)) if number not in found]
        made = self.trained(missing, key) if workers == 1 else spread(self, missing, key, workers)
        for number, model, history in made:
            engine.keep(f"shadow-{number}", model, key=key, history=json.dumps(history))
            engine.discard(f"shadow-{number}")
            found[number] = model
        return [found[number] for number in range(len(self.held))]

    def trained(self, numbers: Sequence[int], key: str) -> Iterator[Made]:
        """Train some shadows; each comes with its history, which the engine has then."""
        size = 1 if self.reason else networks_at_a_time(self.blank, self.engine.device)
        for start in range(0, len(numbers), size):
            few = numbers[start : start + size]
            yield from self._one_by_one(few, key) if self.reason else self._as_one(few)

    def _one_by_one(self, numbers: Sequence[int], key: str) -> Iterator[Made]:
        """A fit goes on from its checkpoint, which is deleted when the shadow is kept."""
        engine = self.engine
        for number in numbers:
            before = len(engine.history)
            with engine.scope(f"shadow-{number}", key):
                model = self.train(self.task, self.examples.stream(self.held[number]), engine)
            yield number, model, engine.history[before:]

    def _as_one(self, numbers: Sequence[int]) -> Iterator[Made]:
        """Those that hold as many rows are trained as one: of an odd number of rows, the two of a pair don't."""
        for size in sorted(set(self.held[list(numbers)].sum(1).tolist())):
            group = [number for number in numbers if self.held[number].sum() == size]
            models, histories = self._group(group)
            for number, model, history in zip(group, models, histories, strict=True):
                self.engine.history += history
                yield number, model, history

    def _group(self, group: Sequence[int]) -> tuple[list[nn.Module], list[list[dict[str, Any]]]]:
        """Networks, and their histories. The draws are those of fits in the scopes of :meth:`_one_by_one`."""
        engine, recipe, started = self.engine, recipe_of(self.train), time.monotonic()
        assert recipe is not None and isinstance(self.examples, Rows)
        histories: list[list[dict[str, Any]]] = [[] for _ in group]
        data, size = self.examples.data, self.examples.batch_size
        rows = torch.stack([self.examples.rows(self.held[number]) for number in group])

        def generator(place: int, epoch: int) -> torch.Generator:
            with engine.scope(f"shadow-{group[place]}"):
                return engine.generator("fit", "epoch", epoch)

        def note(epoch: int, losses: Tensor, rate: float) -> None:
            seconds = round((time.monotonic() - started) / len(group), 3)
            row = {"epoch": epoch, "step": (epoch + 1) * -(-rows.shape[1] // size), "learning_rate": rate}
            row |= {"seconds": seconds, "peak_memory_bytes": peak_memory(engine.device)}
            for number, history, loss in zip(group, histories, losses.tolist(), strict=True):
                history.append({"fit": engine.full_name(f"shadow-{number}/fit"), "terms": {"loss": loss}, **row})

        models = []
        for number in group:
            with engine.scope(f"shadow-{number}"):
                models.append(engine.new_model(self.task.new_model))
        trained = train_batched(self.task, models, data, rows, recipe, size, generator, note)
        return trained, histories


def _names(train: Train) -> str:
    """What trains, by its settings: a method's repr, or the function's name."""
    return repr(getattr(train, "__self__", None) or getattr(train, "__qualname__", train))


def _shapes(model: nn.Module) -> str:
    return f"{type(model).__name__} {[(name, tuple(value.shape)) for name, value in model.state_dict().items()]}"
