"""Seconds of scoring tables, side by side in one run: python benchmarks/tabular_score.py

Adult (32,561 rows of 15 columns, where EXPUNGE_DATA has it, else a random table of its size) beside itself drawn anew: all
parts but ML against the QualityReport of SDMetrics, all parts, and, with `--rows 1000000`, as many rows drawn from it. Exit
code 1 where a bound is broken: 1 s and 1.5 times the report without ML, 15 s with it, 60 s and 4 GB for a million rows.

SDMetrics depends on a package under the Business Source License and is no dependency; without it our own seconds are
printed alone.
"""

import argparse
import importlib.util
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from expunge.data.whole_tables import WHOLE_TABLES
from expunge.tabular import TabSynDex

LIGHT = ("basic", "correlation", "support", "pmse")
SECONDS, TIMES, WITH_ML, MILLION, GIGABYTES = 1.0, 1.5, 15.0, 60.0, 4.0


def table() -> tuple[str, pd.DataFrame, str]:
    """Name, rows and target."""
    adult = WHOLE_TABLES["adult"]
    if adult.available:
        return "Adult", adult.read().reset_index(drop=True), adult.target
    draw = np.random.default_rng(0)
    numbers = {f"number {place}": draw.gamma(3, 1, 32_561).round(1) for place in range(6)}
    texts = {f"text {place}": draw.integers(0, 9, 32_561).astype(str) for place in range(9)}
    return "a random table", pd.DataFrame({**numbers, **texts}), "text 0"


def best(run: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return min(found)


def theirs(real: pd.DataFrame, synthetic: pd.DataFrame) -> float | None:
    """Seconds of the QualityReport; None where SDMetrics is not installed."""
    if importlib.util.find_spec("sdmetrics") is None:
        return None
    from sdmetrics.reports.single_table import QualityReport

    kinds = {name: {"sdtype": "numerical" if real[name].dtype.kind in "iuf" else "categorical"} for name in real}
    return best(lambda: QualityReport().generate(real, synthetic, {"columns": kinds}, verbose=False))


def main() -> int:
    """Print all seconds and their bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, help="also score so many rows, drawn with replacement")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    where, real, target = table()
    synthetic = real.sample(frac=1, replace=True, random_state=0).reset_index(drop=True)
    light, whole = TabSynDex(components=LIGHT), TabSynDex(target=target)
    seconds = best(lambda: light.score(real, synthetic))
    broken = seconds > SECONDS
    print(f"{where}, {len(real):,} rows: all parts but ML in {seconds:.2f} s (bound {SECONDS:g} s)")
    other = theirs(real, synthetic)
    if other is not None:
        broken |= seconds > TIMES * other
        print(f"  QualityReport of SDMetrics {other:.2f} s: ratio {seconds / other:.2f} (bound {TIMES:g})")
    with_ml = best(lambda: whole.score(real, synthetic), 1)
    broken |= with_ml > WITH_ML
    print(f"  with ML, of {whole.ml_rows:,} rows, {with_ml:.1f} s (bound {WITH_ML:g} s)")
    if options.rows:
        tables = [real.sample(options.rows, replace=True, random_state=seed).reset_index(drop=True) for seed in (1, 2)]
        long = best(lambda: whole.score(*tables), 1)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        broken |= long > MILLION or memory > GIGABYTES
        print(f"{options.rows:,} rows: {long:.1f} s (bound {MILLION:g} s), peak {memory:.1f} GB (bound {GIGABYTES:g} GB)")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
