"""Keeping results under the names of an engine's scopes, and finding them after a restart."""

import json
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.meters import warm_up
from expunge.storage import copied, load_weights, own_state, read_facts, read_weights, write_text, write_weights


class Keeper:
    """What an engine keeps beside the checkpoints of its fits; nothing where it has no folder."""

    folder: Path | None
    device: torch.device
    history: list[dict[str, Any]]
    resumed_seconds: float
    _scope: tuple[str, ...]

    @property
    @abstractmethod
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""

    @abstractmethod
    def scope(self, name: str, key: str = "") -> AbstractContextManager[None]:
        """Put `name` before the names of all that is kept inside."""

    @abstractmethod
    def full_name(self, name: str) -> str:
        """`name` with those of all scopes around it before it."""

    def keep(self, name: str, model: nn.Module, **facts: str) -> None:
        """Write `model` under `name` into the engine's folder, if it has one, for :meth:`kept` to find after a restart."""
        if self.folder is not None and self.is_main:
            write_weights(self._path(self.full_name(name)), own_state(model), facts)

    def kept(self, name: str, model: nn.Module, **facts: str) -> tuple[nn.Module, dict[str, str]] | None:
        """Load into `model` what was kept under `name` with these facts; with all its facts, or None when there is nothing."""
        path = None if self.folder is None else self._path(self.full_name(name))
        if path is None or not path.exists():
            return None
        found = read_weights(path)[1]
        if any(found.get(key) != value for key, value in facts.items()):
            return None
        return load_weights(model, path), found

    def facts_of(self, name: str) -> dict[str, str]:
        """The facts that something was kept with under `name`; none where nothing was."""
        path = None if self.folder is None else self._path(self.full_name(name))
        return {} if path is None or not path.exists() else read_facts(path)

    def discard(self, name: str) -> None:
        """Delete all files of the scope `name`: checkpoints of fits hold what they were trained with, such as a memory."""
        if self.folder is not None and self.is_main:
            shutil.rmtree(self.folder.joinpath(self.full_name(name)), ignore_errors=True)

    def make(self, name: str, build: Callable[[], nn.Module], like: nn.Module | None, key: str) -> tuple[nn.Module, float]:
        """Build a model within the scope `name`, timed; a restarted run loads the finished result instead of building again.

        Args:
            build: makes the model; the fits inside resume by themselves.
            like: a model with the keys and shapes of the result; None where there is none: such a result is not kept.
            key: all that the result depends on; a result that was kept for another key is not used.

        Returns:
            the model, and the seconds that it took, over all restarts.
        """
        with self.scope(name, key):
            found = None if like is None else self.kept("result", copied(like), key=key)
            if found is not None:
                self.history += json.loads(found[1]["history"])
                return found[0].to(self.device).eval(), float(found[1]["seconds"])
            warm_up()
            started, earlier, before = time.monotonic(), self.resumed_seconds, len(self.history)
            model = build()
            seconds = time.monotonic() - started + self.resumed_seconds - earlier
            if like is not None:
                self.keep("result", model, key=key, seconds=repr(seconds), history=json.dumps(self.history[before:]))
            return model, seconds

    def remember(self, name: str, key: str, find: Callable[[], Any]) -> Any:
        """Values that JSON can hold, NaN too, and that take long to find; a restarted run reads them instead.

        Args:
            key: all that the values depend on; what was kept for another key is found again.
        """
        path = None if self.folder is None else self.folder.joinpath(*self._scope, f"{name}.json")
        if path is not None and path.exists() and (kept := json.loads(path.read_text()))["key"] == key:
            self.history += kept["history"]
            return kept["values"]
        before = len(self.history)
        values = find()
        if path is not None and self.is_main:
            write_text(path, json.dumps({"key": key, "values": values, "history": self.history[before:]}))
        return values

    def _path(self, full_name: str) -> Path:
        assert self.folder is not None
        return self.folder.joinpath(f"{full_name}.safetensors")
