"""Where something ran, and with which versions: figures mean little without it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from expunge.engine import Engine


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
