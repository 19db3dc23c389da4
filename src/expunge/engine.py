"""The engine trains. It alone knows devices, precision, processes, progress bars, seeds and checkpoints.

It stands on Hugging Face Accelerate: started by ``accelerate launch`` or ``torchrun`` the same code runs on many processes,
each of which works on its share of every batch, so that the global batch stays what it was.
"""

import atexit
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, send_to_device
from accelerate.utils.operations import recursively_apply
from torch import Tensor, nn

from expunge.checkpoint import Progress, load_checkpoint, save_checkpoint
from expunge.errors import BadSetting
from expunge.fitting import keep_best, total_steps
from expunge.keeping import Keeper
from expunge.ledger import Ledger
from expunge.meters import peak_memory
from expunge.optimizers import Optimizer, Schedule, learning_rate_factor
from expunge.progress import ProgressBar
from expunge.split import Epochs, Stream, one_epoch, stream_digest
from expunge.storage import load_own_state, weights_hash

Loss = Callable[[nn.Module, Any], Tensor | dict[str, Tensor]]


_GOLDEN_RATIO = 0x9E3779B97F4A7C15  # 2^64 / phi, an odd constant that spreads consecutive steps over all seeds
_ASK_EVERY = 50  # steps after which several processes agree on whether a checkpoint is due


@dataclass
class _Run:
    """One fit under way."""

    name: str
    seed_name: str
    model: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    rates: list[float]
    progress: Progress
    best: dict[str, Tensor]
    ledger: Ledger
    saved: float  # when it began, or its last checkpoint was written: epochs may be shorter than the time between two


class Engine(Keeper):
    """Trains models, reproducibly.

    Args:
        seed: every random draw follows from it.
        device: "cpu", "cuda", or "auto" (an accelerator where there is one).
        precision: "fp32" or "bf16" (mixed).
        folder: where checkpoints go; without it nothing is written and nothing resumes.
        checkpoint_seconds: least time between two checkpoints of one fit.
        checkpoint_steps: also write one every so many steps (None: by time alone).
        progress: show bars on stderr when it is a terminal.
    """

    def __init__(
        self,
        seed: int = 0,
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        folder: str | Path | None = None,
        checkpoint_seconds: float = 20.0,
        checkpoint_steps: int | None = None,
        progress: bool = True,
    ) -> None:
        if device not in ("cpu", "cuda", "auto"):
            raise BadSetting(f"device must be 'cpu', 'cuda' or 'auto', not {device!r}")
        if device == "cuda" and not torch.cuda.is_available():
            raise BadSetting("device 'cuda' was asked for, but this torch sees no CUDA device; use 'cpu' or 'auto'")
        if precision not in ("fp32", "bf16"):
            raise BadSetting(f"precision must be 'fp32' or 'bf16', not {precision!r}")
        self.seed, self.device_choice, self.precision = seed, device, precision
        self.folder = None if folder is None else Path(folder)
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self.progress = progress
        self.history: list[dict[str, Any]] = []
        self.resumed_seconds = 0.0  # time that finished or killed fits took in earlier processes
        self._scope: tuple[str, ...] = ()
        self._key = ""
        self._accelerator = self._new_accelerator()
        if self._accelerator.num_processes > 1:
            atexit.register(self._accelerator.end_training)  # threads of the process group left running end in an abort
        self.device = self._accelerator.device

    # ---- random numbers -------------------------------------------------------------------------------------------

    @contextmanager
    def scope(self, name: str, key: str = "") -> Iterator[None]:
        """Put `name` before the names of all fits inside: it keeps their seeds, checkpoints and histories apart.

        Args:
            key: all else that results inside depend on, such as weights of a loss; no fit goes on from another key's
                checkpoint.
        """
        outside = self._scope, self._key
        self._scope, self._key = (*self._scope, name), self._key + key
        try:
            yield
        finally:
            self._scope, self._key = outside

    def full_name(self, name: str) -> str:
        """`name` with those of all scopes around it before it."""
        return "/".join((*self._scope, name))

    def seed_for(self, *names: object) -> int:
        """A 63-bit seed for the purpose that `names` spell out, below the current scope."""
        key = "/".join(str(part) for part in (self.seed, *self._scope, *names))
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1

    def generator(self, *names: object) -> torch.Generator:
        """A CPU generator of its own for each purpose."""
        return torch.Generator().manual_seed(self.seed_for(*names))

    @contextmanager
    def seeded(self, *names: object) -> Iterator[None]:
        """Run a block with torch's global generators seeded for `names`, and put them back as they were."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            self._reseed(self.seed_for(*names))
            yield

    def new_model(self, factory: Callable[[], nn.Module], name: str = "init") -> nn.Module:
        """Fresh weights from `factory`, drawn from the engine's seed, on the engine's device."""
        with self.seeded(name):
            return factory().to(self.device)

    def _reseed(self, seed: int) -> None:
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    # ---- training -------------------------------------------------------------------------------------------------

    def fit(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Stream | Epochs | Sequence[Stream | Epochs],
        *,
        epochs: int | None = None,
        steps: int | None = None,
        optimizer: Callable[[Any], torch.optim.Optimizer] = Optimizer(),
        schedule: Schedule = "constant",
        clip_norm: float | None = None,
        score: Callable[[nn.Module], float] | None = None,
        patience: int | None = None,
        enough: float | None = None,
        on_epoch: Callable[[nn.Module, int], None] | None = None,
        name: str = "fit",
    ) -> nn.Module:
        """Train `model` in place and return it.

        Args:
            loss: called with the model and a batch; returns one term or a dict of named terms. A term of shape (n,) holds one
                value for each example and is averaged, over all processes; a scalar is taken as it is. The terms are summed.
            batches: a stream, or a list with one stream for each epoch.
            epochs: passes over the stream. Give this or `steps`, or neither with a list of streams.
            steps: optimizer steps; the stream is passed over as often as that needs.
            optimizer: builds the optimizer from the parameters.
            schedule: factor on the learning rate over the whole fit.
            clip_norm: largest norm of the gradient, over all parameters.
            score: judged after each epoch; the weights with the highest score are the ones returned.
            patience: stop after so many epochs without a better score.
            enough: stop as soon as the score reaches it.
            on_epoch: called with the model and the epoch's number (from 0) after each epoch.
            name: names this fit in seeds, history, checkpoints and errors; within a scope each name is used once.

        Raises:
            Diverged: if a term is not finite; the message names the fit and the step.
            BadSetting: if the amount of training is not stated, or stated twice.
        """
        plan = list(batches) if epochs is None and steps is None and isinstance(batches, Sequence) else None
        total = total_steps(batches, plan, epochs, steps)
        if total == 0:
            return model
        with self.seeded(name):
            settings = (total, optimizer, schedule, clip_norm)
            data = [stream_digest(stream) for stream in plan or [batches]] if self._can_checkpoint else []
            run = self._start(name, model, optimizer(model.parameters()), (*settings, data))
            self.history += run.progress.history
            progress = run.progress
            with ProgressBar(run.name, total, progress.step, self.progress and self.is_main) as bar:
                while not progress.done and (progress.offset or progress.step < total):
                    stream = batches if plan is None else plan[progress.epoch]
                    self._train_epoch(run, loss, stream, total, schedule, clip_norm, bar)
                    peak = peak_memory(self.device)
                    self.history.append(run.ledger.close_epoch(run.optimizer.param_groups[0]["lr"], peak))
                    if on_epoch is not None:
                        on_epoch(run.model, progress.epoch)
                    if score is not None:
                        run.best = keep_best(progress, self._agreed(score(run.model)), run.model, run.best)
                    progress.epoch, progress.offset = progress.epoch + 1, 0
                    if enough is not None and progress.scores[-1] >= enough:
                        break
                    if patience is not None and len(progress.scores) - 1 - progress.best_epoch >= patience:
                        break
            return self._finish(run)

    def _start(self, name: str, model: nn.Module, optimizer: torch.optim.Optimizer, settings: tuple[Any, ...]) -> "_Run":
        """Wrap model and optimizer for this machine, and go back to the last checkpoint if there is one."""
        accelerator = self._accelerator = self._new_accelerator()
        full_name = self.full_name(name)
        fingerprint = self._fingerprint(full_name, model, settings)
        wrapped, accelerated = accelerator.prepare(model, optimizer)
        inner = accelerated.optimizer  # Accelerate's wrapper adds only what loss scaling needs, and costs time at each step
        rates = [group["lr"] for group in inner.param_groups]
        found = load_checkpoint(self._path(full_name), fingerprint, model, inner) if self._can_checkpoint else None
        progress, best = found or (Progress(fingerprint), {})
        self.resumed_seconds += progress.seconds
        ledger = Ledger(full_name, progress, accelerator)
        return _Run(full_name, name, model, wrapped, inner, rates, progress, best, ledger, time.monotonic())

    def _train_epoch(
        self,
        run: "_Run",
        loss: Loss,
        stream: Stream | Epochs,
        total: int,
        schedule: Schedule,
        clip_norm: float | None,
        bar: ProgressBar,
    ) -> None:
        """Train until the stream ends or `total` steps are done; batches done before a restart are passed over."""
        progress, optimizer, accelerator = run.progress, run.optimizer, self._accelerator
        base_seed, started, earlier = self.seed_for(run.seed_name, "step"), time.monotonic(), progress.seconds
        first_step = progress.step - progress.offset
        run.wrapped.train()
        for index, batch in enumerate(one_epoch(stream, self.generator(run.seed_name, "epoch", progress.epoch))):
            if index < progress.offset:
                continue
            if progress.step == total:
                break
            self._reseed((base_seed + progress.step * _GOLDEN_RATIO) % 2**63)
            summed = run.ledger.add(loss(run.wrapped, self._share(batch)))
            optimizer.zero_grad(set_to_none=True)
            summed.backward()  # Accelerate's own only divides by the accumulation steps, of which there is one
            if clip_norm is not None:
                accelerator.clip_grad_norm_(run.wrapped.parameters(), clip_norm)
            if schedule != "constant":
                factor = learning_rate_factor(schedule, progress.step / total)
                for group, rate in zip(optimizer.param_groups, run.rates, strict=True):
                    group["lr"] = rate * factor
            optimizer.step()
            progress.step += 1
            progress.offset += 1
            now = time.monotonic()
            bar.update(progress.step, now)
            if self._checkpoint_due(progress.step, now - run.saved):
                progress.seconds, run.saved = earlier + now - started, now
                run.ledger.flush()
                self._save(run)
        if progress.step == first_step:
            raise BadSetting(f"{run.name}: the stream of batches is empty, there is nothing to train on")
        progress.seconds = earlier + time.monotonic() - started

    def _finish(self, run: "_Run") -> nn.Module:
        model = self._accelerator.unwrap_model(run.wrapped, keep_fp32_wrapper=False)
        if run.best and not run.progress.done:
            load_own_state(model, run.best)
        if not run.progress.done:
            run.progress.done = True
            self._save(run)
        return model

    # ---- checkpoints ------------------------------------------------------------------------------

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self._accelerator.is_main_process

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()

    def _checkpoint_due(self, step: int, seconds: float) -> bool:
        if not self._can_checkpoint:
            return False
        if self.checkpoint_steps and step % self.checkpoint_steps == 0:
            return True
        if self._accelerator.num_processes == 1:
            return seconds >= self.checkpoint_seconds
        if step % _ASK_EVERY:
            return False
        late = torch.tensor(float(seconds >= self.checkpoint_seconds), device=self.device)
        return bool(self._accelerator.reduce(late, "sum") > 0)  # the processes' clocks differ, their decision must not

    def _agreed(self, score: float) -> float:
        """The mean over processes, whose last bits differ: all of them must stop at the same epoch."""
        if self._accelerator.num_processes == 1:
            return score
        return float(self._accelerator.reduce(torch.tensor(score, device=self.device), "mean"))

    def _save(self, run: "_Run") -> None:
        if self._can_checkpoint and self.is_main:
            save_checkpoint(self._path(run.name), run.progress, run.model, run.optimizer, run.best)

    @property
    def _can_checkpoint(self) -> bool:
        # FSDP scatters weights and optimizer state over the processes: such a fit starts again instead of resuming.
        return self.folder is not None and self._accelerator.distributed_type != DistributedType.FSDP

    def _fingerprint(self, full_name: str, model: nn.Module, settings: tuple[Any, ...]) -> str:
        if not self._can_checkpoint:
            return ""
        plain = [getattr(setting, "__qualname__", None) or repr(setting) for setting in settings]
        return f"{weights_hash(model)} {(self.seed, full_name, self.precision, plain, self._key)!r}"

    # ---- devices and processes ------------------------------------------------------------------------------------

    def _new_accelerator(self) -> Accelerator:
        settings: dict[str, Any] = {
            "cpu": self.device_choice == "cpu",
            "mixed_precision": "bf16" if self.precision == "bf16" else "no",
            # Every process has seen the same batches, and BatchNorm must not be overwritten between two forward passes.
            "kwargs_handlers": [DistributedDataParallelKwargs(broadcast_buffers=False)],
        }
        try:
            return Accelerator(**settings)
        except ValueError:  # Accelerate remembers the first engine's device and precision; this one has others
            AcceleratorState._reset_state(reset_partial_state=True)
            return Accelerator(**settings)

    def _share(self, batch: Any) -> Any:
        """This process's part of a batch, on its device."""
        count = self._accelerator.num_processes
        if count > 1:
            rank = self._accelerator.process_index
            batch = recursively_apply(
                lambda tensor: tensor[len(tensor) * rank // count : len(tensor) * (rank + 1) // count], batch
            )
        return batch if self.device.type == "cpu" else send_to_device(batch, self.device)


def on_device_of(model: nn.Module, batch: Any) -> Any:
    """`batch` on the device where the first parameter of `model` lies."""
    parameter = next(model.parameters(), None)
    return batch if parameter is None or parameter.device.type == "cpu" else send_to_device(batch, parameter.device)
