"""Where something ran, and with which versions: figures mean little without it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from expunge.engine import Engine

SMALL = 1_000_000  # parameters; below, an operation is over before a second thread has begun


@contextmanager
def fitting_threads(model: nn.Module) -> Iterator[None]:
    """One thread while a small network is worked on, on the CPU; torch's own choice is put back afterwards.

    Threads gain most such networks nothing, and where another process is busy they wait for each other: a step of the study's
    network was seen to take 50 times as long. Who has idle cores says so by OMP_NUM_THREADS, which is then followed.
    """
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ and sum(each.numel() for each in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine(engine: Engine) -> dict[str, str | int]:
    """Processor, cores, device, precision and versions, as plain values."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": _device(engine.device),
        "precision": engine.precision,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("expunge", "torch", "accelerate", "numpy", "scikit-learn")},
    }


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
