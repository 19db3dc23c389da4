"""Erasers and the audit against retraining, and ESD with states that are drawn once: python benchmarks/concept_erasure.py

The denoiser is that of the diffusion study, with fresh weights: what is drawn and trained takes as long. Retraining is
measured for a few epochs, and counted as many times as its recipe has them. Seconds are of the CPU, for other work on the
machine to count less. ESD with states that are drawn once must be at least 3 times as fast as with states that each step draws
anew, and SalUn take at most a quarter of retraining's time. Exit code 1 when one of these is not so.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from expunge.audits import References, Subject
from expunge.audits.concealment import Concealment
from expunge.data import load
from expunge.diffusion.recognizers import Recognizer, recognizer_of
from expunge.engine import Engine
from expunge.studies.diffusion_methods import diffusion_methods, esd
from expunge.studies.diffusion_scenarios import RECIPE, concept_scenario
from expunge.studies.machine import fitting_threads

TIMES, SHARE, EPOCHS = 3.0, 0.25, 4


def seconds_of(work: Callable[[], Any]) -> float:
    """CPU seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    scenario = concept_scenario(load("digits"), "seven", "one")
    task, (everything, split) = scenario.task, scenario.draw(0)
    model, engine = task.new_model(), Engine(progress=False)
    with fitting_threads(model):
        few = replace(RECIPE, epochs=EPOCHS)
        retraining = RECIPE.epochs / EPOCHS * seconds_of(lambda: few.train(task, split.retain, engine))
        print(f"{'retraining':18s} {retraining:7.1f} s")
        found = {
            name: seconds_of(lambda method=method: method(model, task, split, engine))
            for name, method in diffusion_methods(RECIPE).items()
        }
        audit = Concealment(count=48, others=24, recognizer=_blind(everything, engine))
        subjects = [Subject(name, task.new_model(), task, split, engine) for name in ("original", "audited")]
        audit(subjects[0], References(subjects[0]))  # the way from noise to the original's images is gone once, for all
        found["the audit of one"] = seconds_of(lambda: audit(subjects[1], References(subjects[0])))
        anew = seconds_of(lambda: replace(esd(), cached=False)(model, task, split, engine))
    for name, seconds in found.items():
        print(f"{name:18s} {seconds:7.1f} s, {seconds / retraining:.3f} of it")
    times = anew / found["esd-x"]
    print(f"{'esd-x, uncached':18s} {anew:7.1f} s; drawn once it is {times:.1f} times as fast (at least {TIMES:g})")
    return int(times < TIMES or found["salun-unasked"] > SHARE * retraining)


class _Always(Recognizer):
    """Sees what must go in every image, as the weights are fresh."""

    def answers(self, images: Any) -> Any:
        return super().answers(images) * 0 + 7


def _blind(images: Any, engine: Engine) -> Recognizer:
    made = recognizer_of(images.images, images.numbers, 10, engine, epochs=1)
    return _Always(made.model, made.accuracy)


if __name__ == "__main__":
    sys.exit(main())
