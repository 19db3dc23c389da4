"""A study: one comparison over seeds and requests, ending in a table, a JSON file and a report."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from rich.console import Console
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.registry import Registered
from expunge.report.evidence import Case, Evidence
from expunge.report.figure_study import FigureCase, FigureEvidence, figures_json, print_figures, write_figures
from expunge.report.page import write_report
from expunge.report.study_json import plain, study_json
from expunge.report.terminal import print_summary
from expunge.storage import write_json
from expunge.studies.comparison import Comparison, to_case
from expunge.studies.machine import fitting_threads
from expunge.studies.run_folder import audit_json, evidence_of

Budget = Literal["quick", "full"]


class Found(ABC):
    """What a study found, for files and for people."""

    json: dict[str, Any]

    @abstractmethod
    def write(self, folder: Path | None, json_path: Path | None) -> Path | None:
        """Write the report and the figures into `folder` and the JSON to `json_path`; returns the report's path."""

    @abstractmethod
    def show(self, console: Console) -> None:
        """Print what a person wants to know first."""


@dataclass(frozen=True)
class Studied(Found):
    """What a comparison of models found: the report's evidence and the study's JSON."""

    evidence: Evidence
    json: dict[str, Any]

    def write(self, folder: Path | None, json_path: Path | None) -> Path | None:
        if json_path is not None:
            write_json(json_path, self.json)
        if folder is None:
            return None
        write_json(folder / "audit.json", audit_json(self.evidence))
        write_json(folder / "study.json", self.json)
        return write_report(self.evidence, folder / "report.html")

    def show(self, console: Console) -> None:
        print_summary(self.evidence, console)


@dataclass(frozen=True)
class FigureStudied(Found):
    """What a study of figures by method found."""

    evidence: FigureEvidence
    json: dict[str, Any]

    def write(self, folder: Path | None, json_path: Path | None) -> Path | None:
        if json_path is not None:
            write_json(json_path, self.json)
        if folder is None:
            return None
        write_json(folder / "study.json", self.json)
        return write_figures(self.evidence, folder / "report.html")

    def show(self, console: Console) -> None:
        print_figures(self.evidence, console)


@dataclass(frozen=True)
class Study(Registered, ABC):
    """One system's comparison. Fields of a subclass are options."""

    default_data: ClassVar[str]

    @abstractmethod
    def run(
        self,
        seeds: int = 1,
        budget: Budget = "quick",
        data: str | None = None,
        folder: str | Path | None = None,
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ) -> Found:
        """Run all seeds; with a folder, a killed study goes on where it was.

        Args:
            data: a name or a path; the study's own data when None.
            say: told what is being done, a line at a time.
        """

    def command(self, data: str | None, budget: Budget, seeds: int) -> str:
        """What a person types for the same study."""
        given = {option.name: value for option in fields(self) if (value := getattr(self, option.name)) is not None}
        words = ["expunge", "study", self.name, "--budget", budget, "--seeds", str(seeds)]
        words += ["--data", data] if data is not None else []
        return shlex.join(words + [word for name, value in given.items() for word in (f"--{name}", str(value))])


@dataclass(frozen=True)
class FigureStudy(Study):
    """A study of figures by method. A subclass says what is compared."""

    def run(
        self,
        seeds: int = 1,
        budget: Budget = "quick",
        data: str | None = None,
        folder: str | Path | None = None,
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ) -> FigureStudied:
        check_seeds(seeds)
        work = None if folder is None else Path(folder) / "work"
        engines = [Engine(seed, device, folder=None if work is None else work / f"seed-{seed}") for seed in range(seeds)]
        with fitting_threads(nn.Identity()):
            evidence, name = self.compared(engines, budget, data, say)
        return FigureStudied(evidence, self._json(evidence, name, budget, seeds))

    @abstractmethod
    def compared(
        self, engines: Sequence[Engine], budget: Budget, data: str | None, say: Callable[[str], None]
    ) -> tuple[FigureEvidence, str]:
        """What is found with each seed's engine, and what the data is called."""

    @abstractmethod
    def seconds(self, case: FigureCase, method: str) -> list[float]:
        """What a method took in a case; none where that isn't known."""

    def more(self, evidence: FigureEvidence) -> dict[str, Any]:
        """What this study's JSON has beyond that of others."""
        return {}

    def _json(self, evidence: FigureEvidence, data: str, budget: Budget, seeds: int) -> dict[str, Any]:
        """As other studies have it."""
        found: dict[str, list[float]] = {}
        for case in evidence.cases:
            for method in case.methods:
                if seconds := self.seconds(case, method):
                    found.setdefault(method, []).extend(seconds)
        return {
            "study": self.name,
            "data": data,
            "budget": budget,
            "seeds": seeds,
            "machine": plain(evidence.machine),
            "rows": figures_json(evidence),
            "seconds": {method: plain(sum(values) / len(values)) for method, values in found.items()},
            **self.more(evidence),
            "settings": plain(evidence.settings),
        }


@dataclass(frozen=True)
class ComparisonStudy(Study):
    """A study of models that forget. A subclass says which data, which requests and which methods.

    Args:
        methods: names of rows, with commas between them; all when None.
    """

    methods: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def plan(self, data: str | None, budget: Budget) -> "Plan":
        """Read the data and choose settings; every fault in them is raised here."""

    def run(
        self,
        seeds: int = 1,
        budget: Budget = "quick",
        data: str | None = None,
        folder: str | Path | None = None,
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        say: Callable[[str], None] = lambda line: None,
    ) -> Studied:
        check_seeds(seeds)
        plan = self.chosen(data, budget)
        with fitting_threads(plan.network):
            return self._run(plan, seeds, budget, data, folder, device, say)

    def chosen(self, data: str | None, budget: Budget) -> "Plan":
        """The plan with the rows that `methods` names."""
        plan = self.plan(data, budget)
        return plan if self.methods is None else plan.only([name.strip() for name in self.methods.split(",")])

    def _run(
        self,
        plan: "Plan",
        seeds: int,
        budget: Budget,
        data: str | None,
        folder: str | Path | None,
        device: Literal["cpu", "cuda", "auto"],
        say: Callable[[str], None],
    ) -> Studied:
        found: dict[str, list[Comparison]] = {}
        engine = Engine(0, device)
        for seed in range(seeds):
            work = None if folder is None else Path(folder) / "work" / f"{plan.data}-{budget}" / f"seed-{seed}"
            engine = Engine(seed, device, folder=work)
            for each in plan.cases:
                found.setdefault(each.title, []).append(each.compare(engine, partial(_said, say, seed)))
        cases = [to_case(found[title], title, forgotten) for title, forgotten in plan.forgotten.items()]
        title = f"Study {self.name} on {plan.data}"
        evidence = evidence_of(cases, title, plan.settings, engine, plan.notes, self.command(data, budget, seeds), seeds)
        return Studied(evidence, self._json(evidence, plan, budget, seeds))

    def _json(self, evidence: Evidence, plan: "Plan", budget: Budget, seeds: int) -> dict[str, Any]:
        return study_json(
            name=self.name,
            data=plan.data,
            budget=budget,
            seeds=seeds,
            evidence=evidence,
            machine=evidence.machine,
            seconds=mean_seconds(evidence.cases),
            settings=plan.settings,
        )


def check_seeds(seeds: int) -> None:
    """Refuse no seeds at all."""
    if seeds < 1:
        raise BadSetting(f"a study needs at least 1 seed, not {seeds}")


def _said(say: Callable[[str], None], seed: int, line: str) -> None:
    say(f"seed {seed}: {line}")


class PlannedCase(Protocol):
    """One request to a model that is trained for it, with the methods that serve it."""

    @property
    def title(self) -> str:
        """Names the case in reports, and its folder."""
        ...

    @property
    def forgotten(self) -> str:
        """What must go, for people."""
        ...

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        ...

    def with_rows(self, rows: Mapping[str, Any]) -> "PlannedCase":
        """The same with other rows."""
        ...

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Train the original, retrain twice, unlearn by every method and audit all."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        ...


@dataclass(frozen=True)
class Plan:
    """One study, made concrete.

    Args:
        data: what the data is called.
        cases: what is compared, in order.
        more: settings beside those of the cases, as plain values.
        notes: what a reader must see first.
        network: one of the networks that are trained.
        forgotten: for each case's title, what must go, for people.
    """

    data: str
    cases: Sequence[PlannedCase]
    more: Mapping[str, Any]
    notes: Sequence[str]
    network: nn.Module
    forgotten: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # what cannot be served is refused here, before anything is trained
        object.__setattr__(self, "forgotten", {case.title: case.forgotten for case in self.cases})

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        return {case.title: case.settings() for case in self.cases} | dict(self.more)

    def only(self, rows: Sequence[str]) -> "Plan":
        """With these rows alone, beside the original and the retrained models; in the order of the study.

        Raises:
            BadSetting: if no case has one of them.
        """
        known = dict.fromkeys(row for case in self.cases for row in case.rows)
        if unknown := [row for row in rows if row not in known]:
            raise BadSetting(f"there is no row {unknown[0]!r} in this study; there are {', '.join(known)}")
        cases = [case.with_rows({name: row for name, row in case.rows.items() if name in rows}) for case in self.cases]
        return replace(self, cases=cases)


def mean_seconds(cases: Sequence[Case]) -> dict[str, float]:
    """Each model's mean seconds, over all cases that have it."""
    found: dict[str, list[float]] = {}
    for case in cases:
        for row in case.rows:
            seconds = row.mean("seconds")
            if seconds is not None:
                found.setdefault(row.name, []).append(seconds)
    return {name: sum(values) / len(values) for name, values in found.items()}
