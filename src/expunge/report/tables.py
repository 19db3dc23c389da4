"""Tables as plain text cells, which page and terminal then dress: what is written, what misses, what has a note."""

from dataclasses import dataclass

from expunge.report.evidence import Case, Row, Value
from expunge.report.measures import Column, finite, spread
from expunge.report.rules import rules
from expunge.report.verdict import Failure, State, failures, state

ROLES = {"original": "before", "retrained": "the target", "noise floor": "noise floor", "method": ""}


@dataclass(frozen=True)
class Cell:
    """One figure of one model.

    Args:
        text: mean.
        spread: standard deviation over seeds, or empty.
        interval: 95 % interval, or empty.
        missed: the check that it fails, or None.
        footnote: letter of its note, or empty.
        tooltip: note, ideal and tolerance in words.
        quiet: whether there is no figure to read.
    """

    text: str
    spread: str = ""
    interval: str = ""
    missed: Failure | None = None
    footnote: str = ""
    tooltip: str = ""
    quiet: bool = False


@dataclass(frozen=True)
class Line:
    """One model: `role` says in words what it is there for; `state` is None for the retrained model itself."""

    row: Row
    role: str
    state: State | None
    missed: tuple[Failure, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Models against metrics. `hints` says for each column what is ideal; `footnotes` are letters and their notes."""

    columns: tuple[Column, ...]
    hints: tuple[str, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[tuple[str, str], ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings over neighbouring columns, with how many columns each spans."""
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and column.group and found[-1][0] == column.group:
                found[-1] = (column.group, found[-1][1] + 1)
            else:
                found.append((column.group, 1))
        return found


def table(case: Case, columns: list[Column]) -> Table:
    """All models of a case against some metrics: original, retrained, noise floor, then the methods in their order."""
    letters: dict[str, str] = {}
    lines = []
    for row in sorted(case.rows, key=lambda row: list(ROLES).index(row.role)):
        missed = {} if row.role == "retrained" else {failure.metric: failure for failure in failures(row, case) or ()}
        cells = tuple(_cell(row, column, missed.get(column.metric), letters) for column in columns)
        verdict = None if row.role == "retrained" else state(row, case)
        lines.append(Line(row, ROLES[row.role], verdict, tuple(missed.values()), cells))
    notes = tuple((letter, note) for note, letter in letters.items())
    return Table(tuple(columns), tuple(_hint(column, case) for column in columns), tuple(lines), notes)


def _cell(row: Row, column: Column, missed: Failure | None, letters: dict[str, str]) -> Cell:
    value = row.values.get(column.metric)
    if value is None:
        return Cell("\N{EN DASH}", tooltip="not measured", quiet=True)
    if value.note:
        letters.setdefault(value.note, _letter(len(letters)))
    return Cell(
        text=column.write(value.mean),
        spread=spread(value, column.kind),
        interval=_interval(value, column),
        missed=missed,
        footnote=letters.get(value.note, ""),
        tooltip=_tooltip(value, column, missed),
        quiet=value.mean is None,
    )


def _interval(value: Value, column: Column) -> str:
    if value.interval is None or any(finite(end) is None for end in value.interval):
        return ""
    return " to ".join(column.write(end) for end in value.interval)


def _tooltip(value: Value, column: Column, missed: Failure | None) -> str:
    parts = [value.note] if value.note else []
    if missed is not None:
        parts.append(f"{missed.beside}, allowed {missed.allowed}: {missed.meaning}")
    elif finite(value.ideal) is not None:
        parts.append(f"ideal {column.write(value.ideal)}")
    return "; ".join(parts)


def _hint(column: Column, case: Case) -> str:
    """What is ideal for a column, in few words."""
    if column.metric == "seconds_ratio":
        return "retraining = 1"
    if column.metric == "seconds":
        return "less is better"
    if (rule := rules(case).get(column.metric)) is not None:
        return rule.hint(case)
    gold = case.role("retrained")
    if column.kind == "percent":  # where the retrained model happens to have 0 or 1, it is still its value that counts
        return "" if gold is None else "as retrained"
    ideals = {value.ideal for row in case.rows if (value := row.values.get(column.metric)) is not None}
    if len(ideals) == 1 and (ideal := ideals.pop()) in (0.0, 1.0):
        return f"ideal {ideal:.0f}"
    return "" if gold is None else "as retrained"


def _letter(index: int) -> str:
    return chr(ord("a") + index % 26) * (index // 26 + 1)
