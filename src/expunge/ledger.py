"""The books of a fit: every term of the loss, averaged over each epoch, and the alarm when one is not finite."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from expunge.checkpoint import Progress
from expunge.errors import Diverged

_FLUSH_EVERY = 20  # steps; reading a value makes a GPU wait, so it is not done at each step there


class Ledger:
    """Adds up the terms of a loss and keeps their means in the `Progress` of the fit."""

    def __init__(self, name: str, progress: Progress, accelerator: Accelerator) -> None:
        self.name, self.progress, self.accelerator = name, progress, accelerator
        self._pending: list[tuple[int, str, Tensor]] = []
        self._reads_at_once = accelerator.device.type == "cpu" and accelerator.num_processes == 1

    def add(self, terms: Tensor | dict[str, Tensor]) -> Tensor:
        """Take down one step's terms and return their sum, the scalar to differentiate."""
        named = terms if isinstance(terms, dict) else {"loss": terms}
        step, total = self.progress.step, None
        for name, term in named.items():
            mean = self._mean(term)
            if self._reads_at_once:
                self._book(step, name, mean.item())
            else:
                self._pending.append((step, name, mean.detach()))
            total = mean if total is None else total + mean
        if self._pending and step % _FLUSH_EVERY == _FLUSH_EVERY - 1:
            self.flush()
        assert total is not None, "a loss needs at least one term"
        return total

    def _mean(self, term: Tensor) -> Tensor:
        if term.dim() == 0:
            return term
        if self.accelerator.num_processes == 1:
            return term.mean()
        # Processes hold shares of unequal size and their gradients are averaged: weigh each by its number of examples.
        count = torch.tensor(float(len(term)), device=term.device)
        everywhere = self.accelerator.reduce(count, "sum")
        each = term.flatten(1).mean(1) if term.dim() > 1 else term
        return each.sum() * (self.accelerator.num_processes / everywhere)

    def flush(self) -> None:
        """Read the pending terms.

        Raises:
            Diverged: naming the first step whose term is not finite.
        """
        if not self._pending:
            return
        values = torch.stack([value.float() for _, _, value in self._pending])
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values, "mean")
        for (step, term, _), value in zip(self._pending, values.tolist(), strict=True):
            self._book(step, term, value)
        self._pending.clear()

    def _book(self, step: int, term: str, value: float) -> None:
        if not math.isfinite(value):
            raise Diverged(
                f"{self.name}: the term '{term}' of the loss is {value} at step {step}; "
                "lower the learning rate, or look for damaged inputs"
            )
        total = self.progress.totals.get(term)
        if total is None:
            total = self.progress.totals[term] = [0.0, 0]
        total[0] += value
        total[1] += 1

    def close_epoch(self, learning_rate: float, peak_memory_bytes: int) -> dict[str, Any]:
        """The history row of the epoch that ends now: the mean of each term over the steps that had it."""
        self.flush()
        row = {
            "fit": self.name,
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "terms": {name: total / count for name, (total, count) in self.progress.totals.items()},
            "learning_rate": learning_rate,
            "seconds": round(self.progress.seconds, 3),
            "peak_memory_bytes": peak_memory_bytes,
        }
        self.progress.totals = {}
        self.progress.history.append(row)
        return row
