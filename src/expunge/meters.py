"""What it takes to measure time and memory fairly."""

import functools
import resource
import sys

import torch
from torch import nn


@functools.cache
def warm_up() -> None:
    """Have torch load what it loads at its first step, so that the first model that is timed does not pay for it."""
    weight = nn.Parameter(torch.zeros(1))
    weight.sum().backward()
    torch.optim.Adam([weight]).step()


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the CUDA device, or of this process since it started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
