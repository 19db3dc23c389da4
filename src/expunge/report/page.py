"""The report as one HTML file: no network, no scripts, legible in light, in dark, on a phone and on paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.report.conclusion import Conclusion, conclusions
from expunge.report.evidence import Case, Evidence, Row
from expunge.report.measures import (
    drawings_judged,
    facts_asked,
    finite,
    implanted,
    lists_judged,
    main_columns,
    other_columns,
    score_kind,
    score_words,
    times,
    with_unit,
)
from expunge.report.tables import Table, table
from expunge.report.templating import flat, template
from expunge.report.transcript import parts
from expunge.report.verdict import (
    Failure,
    State,
    best,
    cautions,
    failures,
    matching,
    outcome,
    state,
    verdict,
)
from expunge.storage import write_text

if TYPE_CHECKING:
    from expunge.report.plots import Plot
    from expunge.report.recovery import Grid

SYMBOLS: dict[State, str] = {"matches": "✓", "differs": "✗", "not proven": "?"}

_GROUPS: tuple[tuple[State, str], ...] = (
    ("matches", "Within tolerance on every check:"),
    ("not proven", "Cannot be judged, since a figure or the retrained model to hold it against is missing:"),
)


@dataclass(frozen=True)
class KeyFigure:
    """One large figure at the head: `before` is the original's value, `detail` what it is held against."""

    label: str
    value: str
    before: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One method in words: what it misses, and what that means."""

    row: Row
    state: State
    missed: tuple[Failure, ...]


@dataclass(frozen=True)
class Section:
    """Everything that the page shows of one case."""

    anchor: str
    case: Case
    state: State
    badge: str
    verdict: str
    subject: str
    figures: tuple[KeyFigure, ...]
    cautions: tuple[str, ...]
    main: Table
    rest: Table
    findings: tuple[Finding, ...]
    conclusions: Mapping[str, Conclusion]
    plots: "tuple[Plot, ...]"
    grid: "Grid | None" = None


def render(evidence: Evidence) -> str:
    """The whole page."""
    sections = [_section(case, index, evidence.seeds) for index, case in enumerate(evidence.cases, start=1)]
    page = template("page.html").render(
        evidence=evidence,
        sections=sections,
        explanations=_explanations(evidence),
        settings=list(flat(evidence.settings)),
        machine=list(flat(evidence.machine)),
        symbols=SYMBOLS,
        groups=_GROUPS,
        transcript=parts(evidence.transcript),
    )
    return page.strip() + "\n"


def write_report(evidence: Evidence, path: str | Path) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    path = Path(path)
    write_text(path, render(evidence))
    return path


def key_figures(case: Case) -> tuple[str, tuple[KeyFigure, ...]]:
    """What the large figures are of, in words, and the figures: how well it was forgotten, and how fast."""
    row = best(case)
    if row is None:
        return "", ()
    if len(case.methods) == 1:
        subject = f"Original → {row.name}"
    elif not matching(case):
        subject = f"Nearest to retraining: {row.name}"
    else:
        subject = f"Matches retraining, and fastest: {row.name}" if len(matching(case)) > 1 else f"Matches: {row.name}"
    score, kind = score_words(case.score_name), score_kind(case.score_name)
    known = _key_figure(f"{score} on forgotten data", f"forget_{case.score_name}", kind, row, case)
    kept = _key_figure(f"{score} on unseen data", f"holdout_{case.score_name}", kind, row, case)
    if lists_judged(case):
        known = _key_figure("recall of what was forgotten", "forget_recall", "number", row, case)
        known = known or _key_figure("removed features, cosine", "feature_cosine", "number", row, case)
        kept = _key_figure("recall of held-out pairs", "recall", "number", row, case)
    elif facts_asked(case):
        known = _key_figure("answered of what goes, in new words", "facts_held_out", "percent", row, case)
        kept = _key_figure("answered on the same subjects", "facts_same_subject", "percent", row, case)
    elif drawings_judged(case):
        known = _key_figure("what went is recovered, area", "recovery_area", "number", row, case)
        kept = _key_figure("what stays is drawn", "others_drawn", "percent", row, case)
    elif implanted(case):
        known = _key_figure("backdoor opens", "backdoor", "percent", row, case)
    elif row.mean("right_after") is not None:
        known = _key_figure("tasks that went, right after", "right_after", "percent", row, case)
    elif row.mean("link_auc") is not None:
        kept = _key_figure("unseen edges, AUC", "link_auc", "number", row, case)
    found = [
        known,
        kept,
        _key_figure("membership attack, AUC", "membership_auc", "number", row, case),
        _time_figure(row, case),
    ]
    return subject, tuple(figure for figure in found if figure is not None)


def _section(case: Case, index: int, seeds: int) -> Section:
    from expunge.report.plots import all_plots  # brings matplotlib, which whoever does not draw need not wait for
    from expunge.report.recovery import image_grid

    anchor = f"case-{index}"
    subject, figures = key_figures(case)
    findings = tuple(Finding(row, state(row, case), failures(row, case) or ()) for row in case.methods)
    return Section(
        anchor=anchor,
        case=case,
        state=outcome(case),
        badge=_badge(case),
        verdict=verdict(case),
        subject=subject,
        figures=figures,
        cautions=tuple(cautions(case, seeds)),
        main=table(case, main_columns(case)),
        rest=table(case, other_columns(case)),
        findings=findings,
        conclusions=conclusions(case),
        plots=tuple(all_plots(case, f"{anchor} {case.title}")),
        grid=image_grid(case),
    )


def _badge(case: Case) -> str:
    count, passed = len(case.methods), len(matching(case))
    if outcome(case) == "not proven" or count < 2:
        words = {"matches": "matches retraining", "differs": "differs from retraining", "not proven": "not proven"}
        return words[outcome(case)]
    return f"{passed or 'none'} of {count} match"


def _key_figure(label: str, metric: str, kind: Any, row: Row, case: Case) -> KeyFigure | None:
    value = finite(row.mean(metric))
    if value is None:
        return None
    original, gold = case.role("original"), case.role("retrained")
    before = None if original is None else finite(original.mean(metric))
    ideal = None if gold is None else finite(gold.mean(metric))
    return KeyFigure(
        label,
        with_unit(value, kind, case.unit),
        "" if before is None else with_unit(before, kind, case.unit),
        "" if ideal is None else f"retrained: {with_unit(ideal, kind, case.unit)}",
    )


def _time_figure(row: Row, case: Case) -> KeyFigure | None:
    ratio, seconds = finite(row.mean("seconds_ratio")), finite(row.mean("seconds"))
    gold = case.role("retrained")
    whole = None if gold is None else finite(gold.mean("seconds"))
    if ratio is None or ratio <= 0:
        return None
    detail = "" if seconds is None or whole is None else f"{duration(seconds)} instead of {duration(whole)}"
    return KeyFigure("speed against retraining", f"{times(ratio)} \N{MULTIPLICATION SIGN}", detail=detail)


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best.

    >>> duration(0.04), duration(12.3), duration(754), duration(8000)
    ('0.04 s', '12 s', '12.6 min', '2.2 h')
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _explanations(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Metric, its name in the tables, and what it is; in the tables' order, metrics that stand in none left out."""
    labels: dict[str, str] = {}
    for case in evidence.cases:
        for column in [*main_columns(case), *other_columns(case)]:
            group = f"{column.group}: " if column.group else ""
            labels.setdefault(column.metric, group + column.label)
    return [
        (metric, label, evidence.explanations[metric]) for metric, label in labels.items() if metric in evidence.explanations
    ]
