"""Files that are either whole or not there: weights as safetensors, text and JSON, written to a temporary name and renamed.

Nothing is ever unpickled. A file that is not what it should be ends in :class:`~expunge.errors.BadFile`.
"""

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from expunge.errors import BadFile

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80")  # torch.save's zip archive, and every binary pickle protocol


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` so that `path` holds either the old file or all of the new one, whenever the process is killed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused: JSON has no word for them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_weights(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors as one safetensors file, atomically. Tied weights are written once for each of their names."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, dict(metadata) if metadata else None))


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors by name, on the CPU, and its metadata.

    Raises:
        BadFile: if the file is missing, is a pickle, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"weights file not found: {path}")
    with open(path, "rb") as file:
        start = file.read(9)
    # A safetensors file begins with eight bytes of length, which may look like anything, and then its JSON header.
    if start.startswith(_PICKLE_STARTS) and start[8:] != b"{":
        raise BadFile(
            f"{path} is a pickle (as torch.save writes it), which can run foreign code when it is opened; "
            "convert it where you trust it: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise BadFile(f"{path} is not a whole safetensors file: {error}") from error


def read_facts(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file alone.

    Raises:
        BadFile: if the file is not whole.
    """
    try:
        with safe_open(Path(path), framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise BadFile(f"{path} is not a whole safetensors file: {error}") from error


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Load a safetensors file into `model`, in place, and return it.

    Raises:
        BadFile: if the file is not whole, or its names or shapes are not those of `model`.
    """
    tensors, _ = read_weights(path)
    expected = own_state(model)
    missing, foreign = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        raise BadFile(
            f"{path} does not fit {type(model).__name__}: it lacks {_some(missing)} and has {_some(foreign)} besides; "
            "build the model with the architecture that the weights were trained with"
        )
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise BadFile(
                f"{path}: '{name}' has shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)} as in "
                f"{type(model).__name__}; check the number of classes, the width and the input size of the model"
            )
    load_own_state(model, tensors)
    return model


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, but for those that belong to another model: see :func:`sharing`."""
    shared: frozenset[str] = getattr(model, "shared_names", frozenset())
    return {name: tensor for name, tensor in model.state_dict().items() if name not in shared}


def load_own_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load what :func:`own_state` gave, in place."""
    shared: frozenset[str] = getattr(model, "shared_names", frozenset())
    borrowed = {name: tensor for name, tensor in model.state_dict().items() if name in shared}
    model.load_state_dict({**borrowed, **tensors})


def copied(model: nn.Module) -> nn.Module:
    """A deep copy; parameters and buffers that belong to another model stay shared with it."""
    shared: frozenset[str] = getattr(model, "shared_names", frozenset())
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return copy.deepcopy(model, {id(tensors[name]): tensors[name] for name in shared & tensors.keys()})


def sharing(model: nn.Module) -> nn.Module:
    """A copy of the structure alone: its parameters and buffers are those of `model`, and don't learn."""
    plain = (each for each in model.parameters() if type(each) is nn.Parameter)  # quantized ones learn nothing anyway
    memo: dict[int, Tensor] = {id(each): nn.Parameter(each.detach(), requires_grad=False) for each in plain}
    memo |= {id(each): each for each in model.parameters() if id(each) not in memo}
    memo |= {id(each): each for each in model.buffers()}
    return copy.deepcopy(model, memo)


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _some(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
