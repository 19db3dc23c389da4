"""All systems beside each other: of each one request or one set of data, with its method, its target and its best rivals.

Data: what `EXPUNGE_DATA` holds, as in the studies of the single systems. `quick` has the rows that matter most; `full` has all
of those studies' methods. Two parts at a time are worked on, in processes of their own; what was killed goes on where it was.

    expunge study all --data graph,federated
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from threadpoolctl import threadpool_limits

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.report.all_study import Line, all_evidence
from expunge.report.figure_study import FigureCase, FigureEvidence, Scored
from expunge.report.study_json import plain
from expunge.studies.all_parts import PARTS, Found, Part, Say
from expunge.studies.machine import machine
from expunge.studies.study import Budget, FigureStudy


@dataclass(frozen=True)
class AllStudy(FigureStudy):
    """See the module.

    Args:
        workers: parts that are worked on at a time; 2 when None.
    """

    workers: int | None = None

    default_data: ClassVar[str] = "all"

    def compared(
        self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Callable[[str], None]
    ) -> tuple[FigureEvidence, str]:
        parts = self.parts(data)
        tasks = [(part, engine) for engine in engines for part in parts]
        found = dict(self._found(tasks, budget, say))
        cases = [_case(part, [found[part.name, engine.seed] for engine in engines]) for part in parts]
        lines = [_line(part, case) for part, case in zip(parts, cases, strict=True)]
        settings = {part.name: repr(part) for part in parts}
        evidence = all_evidence(lines, self.command(data, budget, len(engines)), machine(engines[-1]), settings)
        return evidence, "all" if data is None else data

    def parts(self, data: str | None) -> list[Part]:
        """Those that are asked for.

        Raises:
            BadSetting: if there is no such part.
        """
        names = list(PARTS) if data in (None, "all") else [name.strip() for name in str(data).split(",")]
        if unknown := [name for name in names if name not in PARTS]:
            raise BadSetting(f"study all has no part {unknown[0]!r}; there are {', '.join(PARTS)}")
        return [PARTS[name] for name in names]

    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """None: they stand in the studies of the single systems."""
        return []

    def more(self, evidence: FigureEvidence) -> dict[str, Any]:
        """A line for each system."""
        cases = {case.title: case for case in evidence.cases}
        parts = [part for part in PARTS.values() if _title(part) in cases]
        return {"systems": plain([_line(part, cases[_title(part)]).as_json() for part in parts])}

    def _found(self, tasks: Sequence[tuple[Part, Engine]], budget: Budget, say: Say) -> Iterator[tuple[tuple[str, int], Found]]:
        """All parts of all seeds, the longest first."""
        workers = 2 if self.workers is None else self.workers
        if workers < 1:
            raise BadSetting(f"study all: --workers must be at least 1, not {workers}")
        left, begun = sum(part.minutes for part, _ in tasks), time.monotonic()
        whole = left
        with pool_of(workers) as pool:
            waiting = {}
            for part, engine in sorted(tasks, key=lambda task: -task[0].minutes):
                folder = None if engine.folder is None else str(engine.folder / part.name)
                asked = pool.submit(work, part.name, engine.seed, engine.device_choice, folder, budget)
                waiting[asked] = (part, engine.seed)
            for done in as_completed(waiting):
                part, seed = waiting[done]
                result = done.result()
                left -= part.minutes
                took = (time.monotonic() - begun) / 60
                ahead = f"about {took * left / (whole - left):.0f} minutes left" if left > 0 else "all done"
                say(f"seed {seed}: {part.name} is done after {took:.1f} minutes, {ahead}")
                yield (part.name, seed), Found(**result)


def _title(part: Part) -> str:
    return f"{part.system}, {part.name}"


def _case(part: Part, found: Sequence[Found]) -> FigureCase:
    """A part's table; a seed's `Found` each."""
    return FigureCase(_title(part), found[0].words, [{name: Scored(row) for name, row in each.rows.items()} for each in found])


def _line(part: Part, case: FigureCase) -> Line:
    return Line(part.system, part.figure, part.before, part.target, part.ours, case, part.rising)


def pool_of(workers: int) -> ProcessPoolExecutor:
    """Processes that end with this one, however it ends."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that began it is gone: killed, it can't say so, and a worker would go on for hours."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def work(name: str, seed: int, device: Any, folder: str | None, budget: Budget) -> dict[str, Any]:
    """One part for one seed, in a process of its own, as plain values."""
    torch.set_num_threads(1)
    part = PARTS[name]
    engine = Engine(seed, device, folder=None if folder is None else Path(folder), progress=False)
    with threadpool_limits(
        1
    ):  # numpy's sums differ in their last digits with the number of threads, and keys of results with them
        found = part.find(engine, budget, _nothing)
    return {"words": found.words, "rows": found.rows}


def _nothing(line: str) -> None:
    """Said by a part to nobody: lines of two at a time would tell a reader little."""
