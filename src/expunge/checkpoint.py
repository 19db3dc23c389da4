"""What a training run needs to go on after it was killed, in one safetensors file that is replaced atomically."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import BadFile
from expunge.storage import load_own_state, own_state, read_weights, write_weights


@dataclass
class Progress:
    """How far a fit has come. `offset` counts the batches of `epoch` that are done; `totals` are sums of this epoch's terms."""

    fingerprint: str
    epoch: int = 0
    offset: int = 0
    step: int = 0
    seconds: float = 0.0
    done: bool = False
    totals: dict[str, list[float]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_epoch: int = -1


def save_checkpoint(
    path: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Tensor]
) -> None:
    """Write weights, optimizer state, best weights so far and counters; of a fit that is done, weights and counters alone."""
    tensors = {f"model.{name}": tensor for name, tensor in own_state(model).items()}
    settings: dict[str, Any] = {}
    if not progress.done:
        tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
        state = optimizer.state_dict()
        for index, slots in state["state"].items():
            for slot, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{slot}"] = value
                else:
                    settings[f"{index}.{slot}"] = value
    metadata = {"progress": json.dumps(asdict(progress)), "optimizer": json.dumps(settings)}
    write_weights(path, tensors, metadata)


def load_checkpoint(
    path: Path, fingerprint: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Restore model and optimizer in place from `path`; None when there is no checkpoint, or one of another fit."""
    if not path.exists():
        return None
    tensors, metadata = read_weights(path)
    try:
        progress = Progress(**json.loads(metadata["progress"]))
        settings = json.loads(metadata["optimizer"])
    except (KeyError, ValueError, TypeError) as error:
        raise BadFile(f"{path} is not a checkpoint of expunge; delete it and run again") from error
    if progress.fingerprint != fingerprint:
        return None
    load_own_state(model, _under("model.", tensors))
    if not progress.done:
        slots: dict[int, dict[str, Any]] = {}
        for name, value in (_under("optimizer.", tensors) | settings).items():
            index, slot = name.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, _under("best.", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
