"""CPU seconds of training generators of tables, side by side in one run: python benchmarks/tabular_training.py

TVAE and CTGAN against those of the `ctgan` package, on one thread, with the same epochs, batches and categories: the white wine
table (4,898 rows of 12 columns, 30 epochs) where EXPUNGE_DATA has it, else a random table of its size. Finding the modes of the
numbers counts, for both. The bound is a ratio of 1; exit code 1 when one is above it.

The package is under the Business Source License 1.1 and no dependency; without it only the library's own seconds are printed.
"""

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import torch

from expunge.data.table import read_frame
from expunge.engine import Engine
from expunge.tabular import CTGAN, TVAE

BOUND = 1.0
CATEGORY = "quality"
OURS = {"TVAE": TVAE, "CTGAN": CTGAN}


def table() -> tuple[str, pd.DataFrame]:
    """White wine; where it is not at hand, a random table of its size."""
    path = Path(os.environ.get("EXPUNGE_DATA", ""), "tabular", "whitewines.csv")
    if path.is_file():
        return "white wine", read_frame(path)
    draw = np.random.default_rng(0)
    numbers = {f"number {place}": draw.gamma(3, 1, 4898).round(2) for place in range(11)}
    return "a random table", pd.DataFrame({**numbers, CATEGORY: draw.integers(3, 10, 4898)})


def seconds(train: Callable[[], Any]) -> float:
    """CPU seconds of one training."""
    start = time.process_time()
    train()
    return time.process_time() - start


def ours(name: str, real: pd.DataFrame, epochs: int) -> float:
    """The library's seconds."""
    return seconds(lambda: OURS[name](epochs=epochs).fit(real, Engine(progress=False), categorical=[CATEGORY]))


def theirs(name: str, real: pd.DataFrame, epochs: int) -> float | None:
    """The package's seconds; None where it is not installed."""
    if importlib.util.find_spec("ctgan") is None:
        return None
    ctgan: Any = importlib.import_module("ctgan")

    model = getattr(ctgan, name)(epochs=epochs, enable_gpu=False)
    return seconds(lambda: model.fit(real, [CATEGORY]))


def main() -> int:
    """Print the seconds of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the table")
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    where, real = table()
    worst = 0.0
    ours("TVAE", real.head(200), 1)  # warms up
    for name in OURS:
        own, other = ours(name, real, epochs), theirs(name, real, epochs)
        line = f"{name}, {where}, {len(real):,} rows, {epochs} epochs: {own:.1f} CPU s"
        if other is not None:
            worst = max(worst, own / other)
            line += f"; ctgan {other:.1f} CPU s; ratio {own / other:.2f} (bound {BOUND:g})"
        print(line)
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
