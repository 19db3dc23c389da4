"""The figures of the study of everything: a table for each system, and one that has a line for each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from expunge.report.all_study_plots import Shown, overview
from expunge.report.figure_study import Column, FigureCase, FigureEvidence, Scored

SUMMARY = "All systems"
HEADLINE, MISSED, RATIO = "headline", "missed", "seconds_ratio"
_READING = "Figures of different systems are not alike: each is to lie where its target lies."
_TOO_MANY = 1e9  # checks, where none could be made

COLUMNS = (
    Column(HEADLINE, "figure", 3, "", "what it is stands above each table"),
    Column(
        MISSED,
        "checks missed",
        None,
        "low",
        "on which it differs from the retrained model by more than is allowed, of those made",
    ),
    Column(
        RATIO, "share of cost", None, "low", "time as a share of retraining's, or what stands above the table", contest=False
    ),
    Column("before", "before", 3, "", "the figure of the model that knows everything, or of chance"),
    Column("target", "target", 3, "", "the figure of the model that never saw it, or of the best that is known"),
    Column("ours", "method", 3, "", "the figure of the system's method"),
    Column("ours_missed", "misses", None, "", "checks that it misses", narrow=False),
    Column("ours_ratio", "cost", None, "", "its share of the target's cost", narrow=False),
    Column("rival", "rival", 3, "", "the figure of the rival that misses fewest checks and lies nearest to the target"),
    Column("rival_missed", "misses, rival", None, "", "checks that it misses", narrow=False),
    Column("rival_ratio", "cost, rival", None, "", "its share of the target's cost", narrow=False),
)


@dataclass(frozen=True)
class Line:
    """One system.

    Args:
        system: the published system.
        figure: what is measured, in words.
        before, target, ours, rival: the rows that are held against each other.
        case: all rows.
        rising: whether more of the figure is better, whatever the target.
    """

    system: str
    figure: str
    before: str
    target: str
    ours: str
    case: FigureCase
    rising: bool = False

    @property
    def title(self) -> str:
        """The system, its method and the best rival."""
        return f"{self.system}: {self.ours} beside {self.rival}"

    @property
    def rival(self) -> str:
        """Who misses fewest checks, and of these who lies nearest to the target."""
        others = [name for name in self.case.methods if name not in (self.before, self.target, self.ours, f"{self.target}-2")]
        return min(others, key=self._far)

    def _far(self, name: str) -> tuple[float, float]:
        missed = self.case.mean(name, MISSED)
        away = abs(self.case.mean(name, HEADLINE) - self.case.mean(self.target, HEADLINE))
        return (_TOO_MANY if np.isnan(missed) else missed, away)

    def values(self) -> dict[str, float]:
        """The line's figures, means over seeds."""
        found = {place: self.case.mean(getattr(self, place), HEADLINE) for place in ("before", "target", "ours", "rival")}
        for place in ("ours", "rival"):
            for kind, metric in (("missed", MISSED), ("ratio", RATIO)):
                found[f"{place}_{kind}"] = self.case.mean(getattr(self, place), metric)
        return found

    def as_json(self) -> dict[str, Any]:
        """With the names of its rows."""
        words = {name: value for name, value in asdict(self).items() if name not in ("case", "rising")}
        return words | {"rival": self.rival, "asked": self.case.words, "values": self.values()}


def all_evidence(
    lines: Sequence[Line], command: str, machine: Mapping[str, Any], settings: Mapping[str, Any]
) -> FigureEvidence:
    """All that the page shows."""
    rows = {line.title: Scored(line.values()) for line in lines}
    shown = [Shown(line.title, line.figure, line.values(), line.rising) for line in lines]
    first = FigureCase(SUMMARY, "each system's method beside its target and the best of its rivals", [rows])
    return FigureEvidence(
        "All systems beside each other",
        "Everything",
        COLUMNS,
        [first, *(line.case for line in lines)] if len(lines) > 1 else [line.case for line in lines],
        "",
        lambda case: [overview(shown)] if case is first else [],
        exempt=("original", "retrained", "retrained-2"),
        command=command,
        machine=machine,
        settings=settings,
        remarks={SUMMARY: [_READING], **{line.case.title: [f"Figure: {line.figure}."] for line in lines}},
    )
