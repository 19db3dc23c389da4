"""A network as an ONNX file, which phones and browsers can run, and the proof that it says the same.

Needs: onnx, onnxscript and onnxruntime, which are in the extra `export`.
"""

import copy
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.errors import BadSetting, MissingExtra
from expunge.search.cost import without_auxiliary
from expunge.storage import write_bytes

_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """An ONNX file.

    Args:
        path: of the file; its input is "images", its output "logits".
        file_bytes: its size.
        largest_difference: between its outputs and torch's, over all batches that were tried.
    """

    path: Path
    file_bytes: int
    largest_difference: float


def export_onnx(
    network: nn.Module,
    input_shape: Sequence[int],
    path: str | Path,
    batches: Sequence[int] = (1, 2, 7),
    tolerance: float = _TOLERANCE,
) -> Exported:
    """Write a network for inputs (n, *input_shape) with any n, and hold it against torch before the file is there.

    Args:
        network: stays as it is; is written in evaluation mode, without an auxiliary head.
        input_shape: of one input, without the batch.
        path: of the file to write, atomically.
        batches: sizes of batch that are tried, on random inputs.
        tolerance: largest difference of outputs.

    Raises:
        MissingExtra: if onnx, onnxscript or onnxruntime are not installed.
        BadSetting: if the file's outputs differ from torch's by more than `tolerance`; then nothing is written.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
        for needed in ("onnx", "onnxscript"):
            importlib.import_module(needed)
    except ImportError as error:
        raise MissingExtra("ONNX files need onnx, onnxscript and onnxruntime: pip install 'expunge[export]'") from error
    path = Path(path)
    plain = without_auxiliary(network).cpu().float().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.onnx.tmp")
    try:
        content = _exported(plain, input_shape, temporary)
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        worst = max(_difference(plain, session, (batch, *input_shape)) for batch in batches)
    finally:
        temporary.unlink(missing_ok=True)
    if not worst <= tolerance:
        raise BadSetting(
            f"the ONNX file's outputs differ from torch's by {worst:.2g}, more than {tolerance:g}; nothing was written"
        )
    write_bytes(path, content)
    return Exported(path, len(content), worst)


def _exported(network: nn.Module, input_shape: Sequence[int], temporary: Path) -> bytes:
    """The file's bytes. The example has two inputs, since a batch of one would be taken for the only one."""
    torch.onnx.export(
        copy.deepcopy(network),
        (torch.randn(2, *input_shape),),
        temporary,
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    return temporary.read_bytes()


def _difference(network: nn.Module, session: Any, shape: tuple[int, ...]) -> float:
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(inputs)
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    return float((torch.from_numpy(found) - expected).abs().max())
