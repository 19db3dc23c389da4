"""What a network costs: parameters, multiply-accumulates, bytes of its file and of memory, and time.

Multiply-accumulates (MACs) are half of what `torch.utils.flop_counter` counts: products of convolutions and linear layers, not
additions, normalisations or pools. Few of them don't make a network fast: many small convolutions take longer than one large.
An auxiliary head, which serves training alone, is in none of the figures.
"""

import copy
import statistics
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.storage import own_state

_RUNS = 50


@dataclass(frozen=True)
class CostReport:
    """Costs of one network.

    Args:
        parameters: numbers that are trained.
        macs: multiply-accumulates for one input.
        file_bytes: of its safetensors file.
        peak_memory_bytes: the most that tensors of one forward pass of one input take, and the network itself.
        latency_seconds: median over runs of one forward pass, by (batch, threads).
    """

    parameters: int
    macs: int
    file_bytes: int
    peak_memory_bytes: int
    latency_seconds: Mapping[tuple[int, int], float]

    def rows(self) -> dict[str, str]:
        """Each figure in words.

        >>> report = CostReport(34582, 3570000, 150000, 400000, {(1, 1): 0.0035})
        >>> report.rows()["latency, batch 1, 1 thread"]
        '3.50 ms'
        """
        figures = {
            "parameters": f"{self.parameters:,}",
            "MACs": f"{self.macs / 1e6:,.2f} M",
            "file": f"{self.file_bytes / 1e3:,.1f} kB",
            "peak memory": f"{self.peak_memory_bytes / 1e6:,.2f} MB",
        }
        for (batch, threads), seconds in self.latency_seconds.items():
            figures[f"latency, batch {batch}, {threads} thread{'s' * (threads > 1)}"] = f"{1e3 * seconds:,.2f} ms"
        return figures


def cost_report(
    network: nn.Module,
    input_shape: Sequence[int],
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    runs: int = _RUNS,
) -> CostReport:
    """Measure a network on the CPU, in evaluation mode; it stays as it is.

    Args:
        network: takes inputs (n, *input_shape).
        input_shape: of one input, without the batch.
        batches: sizes of the batch to time.
        threads: numbers of torch's threads to time with; as before afterwards.
        runs: forward passes of which the median time is taken, after a warm-up.

    Raises:
        BadSetting: if a number is below 1.
    """
    if min([runs, *batches, *threads, *input_shape]) < 1:
        raise BadSetting("input_shape, batches, threads and runs must all be at least 1")
    network = without_auxiliary(network).cpu().eval()
    one = torch.zeros(1, *input_shape)
    times = {}
    for count in threads:
        with _threads(count):
            for batch in batches:
                times[batch, count] = latency(network, [torch.zeros(batch, *input_shape)], runs)
    state = {name: tensor.contiguous().clone() for name, tensor in own_state(network).items()}
    size = sum(tensor.nbytes for tensor in state.values())
    with torch.no_grad():
        peak = peak_bytes(lambda: network(one))
    parameters = sum(each.numel() for each in network.parameters())
    return CostReport(parameters, macs(network, input_shape), len(save(state)), size + peak, times)


def table(reports: Mapping[str, CostReport]) -> str:
    """Reports side by side, a line for each network.

    >>> print(table({"a": CostReport(10, 2000000, 3000, 4000000, {(1, 1): 0.005})}))
    network | parameters |   MACs |   file | peak memory | latency, batch 1, 1 thread
    a       |         10 | 2.00 M | 3.0 kB |     4.00 MB |                    5.00 ms
    """
    columns = list(dict.fromkeys(name for report in reports.values() for name in report.rows()))
    lines = [["network", *columns]]
    lines += [[name, *(report.rows().get(column, "") for column in columns)] for name, report in reports.items()]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns) + 1)]
    shown = (
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    return "\n".join(" | ".join(line) for line in shown)


def macs(module: nn.Module, *shapes: Sequence[int]) -> int:
    """Multiply-accumulates of one forward pass with one input of each shape, without the batch.

    >>> macs(nn.Conv2d(3, 8, 3, padding=1), (3, 4, 4)) == 3 * 8 * 9 * 4 * 4
    True
    """
    parameter = next(module.parameters(), torch.zeros(0))
    inputs = [torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype) for shape in shapes]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), evaluating(module), counter:
        module(*inputs)
    return counter.get_total_flops() // 2


def latency(module: nn.Module, inputs: Sequence[Tensor], runs: int = _RUNS) -> float:
    """Median seconds of a forward pass in evaluation mode, after a fifth as many that warm up."""
    times = []
    with torch.no_grad(), evaluating(module):
        for turn in range(-(-runs // 5) + runs):
            started = time.perf_counter()
            module(*inputs)
            if turn >= -(-runs // 5):
                times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes of tensors that are there at a time while `run` runs, beside those from before; backward passes count too.

    What an operation uses within itself is not seen.

    >>> peak_bytes(lambda: torch.zeros(10).add(1.0).sum())
    80
    """
    with _LiveTensors() as live:
        run()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Adds up the storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in given and key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self.now)
        return made

    def _freed(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def without_auxiliary(network: nn.Module) -> nn.Module:
    """A copy without its auxiliary head, if it has one."""
    copied = copy.deepcopy(network)
    if getattr(copied, "auxiliary", None) is not None:
        copied.auxiliary = None  # type: ignore[assignment]
    return copied


@contextmanager
def _threads(count: int) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
