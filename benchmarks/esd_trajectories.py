"""ESD with states that are drawn once, against states that each step draws anew: python benchmarks/esd_trajectories.py

The denoiser is that of the diffusion study, with fresh weights: what it draws takes as long. Seconds are of the CPU, for other
work on the machine to count less. The cached form must be at least 3 times as fast. Exit code 1 when it is not.
"""

import argparse
import sys
import time
from dataclasses import replace

from expunge.data import load
from expunge.engine import Engine
from expunge.studies.diffusion_methods import esd
from expunge.studies.diffusion_scenarios import concept_scenario
from expunge.studies.machine import fitting_threads

TIMES = 3.0


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    scenario = concept_scenario(load("digits"), "seven", "one")
    _, split = scenario.draw(0)
    model, seconds = scenario.task.new_model(), {}
    with fitting_threads(model):
        for cached in (True, False):
            started = time.process_time()
            replace(esd(), cached=cached)(model, scenario.task, split, Engine(progress=False))
            seconds[cached] = time.process_time() - started
            print(f"{'drawn once' if cached else 'drawn in each step':18s} {seconds[cached]:6.1f} s")
    ratio = seconds[False] / seconds[True]
    print(f"{ratio:.1f} times as fast (at least {TIMES:g})")
    return int(ratio < TIMES)


if __name__ == "__main__":
    sys.exit(main())
