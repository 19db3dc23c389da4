"""What all generators that train a network have in common: the engine trains, a monitor judges, a file keeps what samples."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.split import Epochs, Stream
from expunge.tabular.coded import Coded
from expunge.tabular.generators.encoding import Encoding, Numbers
from expunge.tabular.generators.generator import Generator, Monitor, joined

_UNSCORED = -1e15
_MOST_AT_ONCE = 2_000  # rows that are sampled in one pass; more of them don't fit into a processor's cache


class Learner(nn.Module):
    """What is trained: called with a batch it returns the terms of the loss.

    Attributes:
        sampler: the part that rows are sampled with.
    """

    sampler: nn.Module


@dataclass
class NetworkGenerator(Generator):
    """A generator that trains a network.

    Args:
        epochs: passes over the table; 0 leaves the network as it was drawn.
        batch_size: rows in a step.

    Attributes:
        history: a row for each epoch of the last fit, with the mean of each term of the loss.
    """

    trains: ClassVar[bool] = True
    encodes: ClassVar[Numbers]
    epochs: int = 300
    batch_size: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 0:
            raise BadSetting(f"epochs must be 0 or more, not {self.epochs}")
        if self.batch_size < 1:
            raise BadSetting(f"batch_size must be at least 1, not {self.batch_size}")
        self.history: list[dict[str, Any]] = []
        self._encoding: Encoding | None = None
        self._sampler: nn.Module | None = None
        self._epoch = 0

    @property
    def encoding(self) -> Encoding:
        """How the columns are encoded; there once it was fitted."""
        if self._encoding is None:
            raise BadSetting(f"{self.name} was not fitted yet: call fit with the real table first")
        return self._encoding

    @property
    def sampler(self) -> nn.Module:
        """The network that rows are sampled with; there once it was fitted."""
        if self._sampler is None:
            raise BadSetting(f"{self.name} was not fitted yet: call fit with the real table first")
        return self._sampler

    def _fit(self, real: Coded, engine: Engine, monitor: Monitor | None) -> None:
        with engine.scope(self.name, key=repr(self)):
            self._encoding = Encoding.of(real, self.encodes)
            stream = self._stream(real, np.random.default_rng(engine.seed_for("encoding")))
            learner: Any = engine.new_model(self._learner)
            self._sampler = learner.sampler
            before = len(engine.history)
            learner = engine.fit(
                learner,
                lambda model, batch: model(*batch),
                stream,
                epochs=self.epochs,
                optimizer=self._optimizer(learner),
                schedule=self._schedule,
                score=None if monitor is None else lambda _: self._judged(monitor),
                patience=None if monitor is None else monitor.patience,
                on_epoch=self._note_epoch,
            )
            self._sampler = learner.sampler
            self.history = engine.history[before:]

    @property
    def _schedule(self) -> Any:
        return "constant"

    def _note_epoch(self, model: nn.Module, epoch: int) -> None:
        self._epoch = epoch

    def _judged(self, monitor: Monitor) -> float:
        """The monitor's score; epochs that it passed over are worth more and more, and less than any that it scored."""
        score = monitor.judge(self, self._epoch)
        return score if score > -math.inf else _UNSCORED + self._epoch

    @abstractmethod
    def _learner(self) -> Learner:
        """A network with fresh weights; `self.encoding` is there."""

    @abstractmethod
    def _stream(self, real: Coded, generator: np.random.Generator) -> Stream | Epochs:
        """Batches, as the learner takes them."""

    @abstractmethod
    def _optimizer(self, learner: Any) -> Callable[[Any], torch.optim.Optimizer]:
        """What takes the steps."""

    @abstractmethod
    def _new_sampler(self) -> nn.Module:
        """The learner's sampler, by itself."""

    @abstractmethod
    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Scalars (n, p) and classes (n, blocks) as the encoding decodes them; all randomness is the generator's."""

    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        return self._drawn(n, generator, self._draw)

    def _drawn(
        self, n: int, generator: np.random.Generator, draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    ) -> Coded:
        """Rows that `draw` makes, some at a time, with the network as it is when nothing is learned."""
        sampler, parts = self.sampler, []
        source = torch.Generator(self._device).manual_seed(int(generator.integers(2**63)))
        was_training = sampler.training
        sampler.eval()
        try:
            with torch.no_grad():
                for start in range(0, n, _MOST_AT_ONCE):
                    scalars, classes = draw(min(_MOST_AT_ONCE, n - start), source)
                    parts.append(self.encoding.decode(scalars, classes, generator))
        finally:
            sampler.train(was_training)
        return joined(parts)

    @property
    def _device(self) -> torch.device:
        return next(self.sampler.parameters()).device

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        weights = {f"network.{name}": tensor for name, tensor in self.sampler.state_dict().items()}
        encoding = {f"encoding.{name}": tensor for name, tensor in self.encoding.tensors().items()}
        return weights | encoding, {}

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self._encoding = Encoding.from_tensors(self.schema, _under("encoding.", tensors), self.encodes)
        self._sampler = self._new_sampler()
        self._sampler.load_state_dict(_under("network.", tensors))
        self._sampler.eval()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
