"""The statement on one request, a page to print: what was asked, what was done, what is proved of it, and what is not.

It is for whoever answers to the people whose data it was, and says in words what the report says in figures. Each figure that
is judged stands in it, beside the retrained model's and what is allowed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

from expunge.report.conclusion import Conclusion, conclude
from expunge.report.evidence import Case, Evidence, Row
from expunge.report.measures import listed, main_columns, speed, unit_of, with_unit
from expunge.report.rules import Kind, rules
from expunge.report.templating import template
from expunge.report.verdict import best, can_tell, failures, hides, kinds_of, state
from expunge.statistics import auc_error
from expunge.storage import write_text

Finding = Literal["matches", "differs", "not proven", "not told apart"]
_NORMAL_95, _NORMAL_80 = 1.645, 0.842  # quantiles: of one-sided tests at 5 %, with a chance of 80 %

_SAYS: dict[Kind, str] = {
    "model damaged": "The model was damaged: it lost ability that should have stayed.",
    "traces remain": "Traces remain: the model still shows that it has learned the data.",
    "over-forgotten": "The data was over-forgotten: the model treats it worse than data that it never saw, so it stands out.",
    "other answers": "The model answers otherwise than one that was trained again without the data.",
}
_NEXT: dict[Kind, str] = {
    "model damaged": "Do not put this model to use before it was asked whether the loss matters. A gentler setting (fewer "
    "epochs, a lower learning rate) or a method that goes on learning what stays can be tried on the original.",
    "traces remain": "Train again without the data, or try a stronger setting or another method on the original model.",
    "over-forgotten": "Try a gentler setting on the original model. To drive the answers down further makes it worse.",
    "other answers": "Try another method or setting on the original model, or train again without the data.",
}
_HIDDEN = (
    "It may be hidden rather than gone: the model learned it again in less than half the steps that a model needed which never "
    "saw it."
)
_ALWAYS = (
    "Whether the original model, earlier checkpoints, backups, caches, logs, search indexes and models made from this one were "
    "deleted or served the same request: this statement looks at one model alone."
)
_UNPROVED = (
    "That the data is absent. A check that finds nothing has failed to find something; another may succeed.",
    "Anything about copies of the data, or of the model, elsewhere.",
    "Any question of law. Figures are no certificate.",
)


@dataclass(frozen=True)
class Served:
    """What was done to which model.

    Args:
        method: name of the row whose model was handed out.
        before: hash of the original's weights.
        after: hash of the weights that were handed out.
        data: digest of what had to go, what stays and what was never seen; empty where it was not taken.
    """

    method: str
    before: str
    after: str
    data: str = ""


@dataclass(frozen=True)
class Check:
    """One figure: the original's, this model's and the retrained one's, what is allowed, and whether it is kept to.

    `passed` is None where nothing is judged or the figure is missing; `meaning` says what it means to miss it.
    """

    words: str
    before: str
    value: str
    ideal: str
    allowed: str
    passed: bool | None
    meaning: str = ""


@dataclass(frozen=True)
class Statement:
    """All that the page says of one request."""

    case: Case
    row: Row
    finding: Finding
    badge: str
    says: tuple[str, ...]
    time: str
    checks: tuple[Check, ...]
    proved: tuple[str, ...]
    unproved: tuple[str, ...]
    next_: tuple[str, ...]


def render_statement(evidence: Evidence, when: str, served: Served | None = None) -> str:
    """The whole page.

    Args:
        when: date and time in words.
        served: which model it is of; the method that did best, and no hashes, when None.
    """
    found = (stated(case, evidence.seeds, served) for case in evidence.cases)
    statements = [each for each in found if each is not None]
    page = template("statement.html").render(evidence=evidence, statements=statements, served=served, when=when)
    return page.strip() + "\n"


def write_statement(evidence: Evidence, path: str | Path, when: str, served: Served | None = None) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    path = Path(path)
    write_text(path, render_statement(evidence, when, served))
    return path


def stated(case: Case, seeds: int, served: Served | None = None) -> Statement | None:
    """What is to be said of one request; None where no method was applied."""
    row = best(case) if served is None else next((row for row in case.rows if row.name == served.method), best(case))
    if row is None:
        return None
    missed, conclusion = failures(row, case) or (), conclude(row, case)
    finding = finding_of(row, case)
    kinds = kinds_of(missed)
    return Statement(
        case=case,
        row=row,
        finding=finding,
        badge={"matches": "matches retraining", "not told apart": "not proven"}.get(finding, " and ".join(kinds) or finding),
        says=(*_says(finding, kinds, row, case), *((_HIDDEN,) if hides(row, case) else ())),
        time=speed(row.mean("seconds_ratio")),
        checks=tuple(_checks(row, case)),
        proved=tuple(_proved(finding, row, case, seeds, conclusion)),
        unproved=tuple(_unproved(row, case, seeds)),
        next_=tuple(_next(finding, kinds, seeds, conclusion)),
    )


def finding_of(row: Row, case: Case) -> Finding:
    """The verdict on one row, with "not told apart" for a match that the original reaches as well."""
    found = state(row, case)
    return "not told apart" if found == "matches" and not can_tell(case) else found


def _says(finding: Finding, kinds: tuple[Kind, ...], row: Row, case: Case) -> tuple[str, ...]:
    if finding == "matches":
        return ("By these checks the model cannot be told from one that was trained again without the data.",)
    if finding == "not told apart":
        return (
            "Nothing is proven: the model passes every check, but so does the original, which has learned the data. These "
            "checks cannot tell a model that forgot from one that did nothing.",
        )
    if finding == "differs":
        return tuple(_SAYS[kind] for kind in kinds)
    if case.role("retrained") is None:
        return ("Nothing is proven: no model was trained again without the data, so there is nothing to compare with.",)
    return ("Nothing is proven: figures that are judged are missing.",)


def _checks(row: Row, case: Case) -> Iterable[Check]:
    original, gold, judged = case.role("original"), case.role("retrained"), rules(case)
    wrong = {failure.metric: failure.meaning for failure in failures(row, case) or ()}
    for metric, rule in judged.items():
        kind, value = rule.kind(case), row.mean(metric)
        values = [None if each is None else each.mean(metric) for each in (original, row, gold)]
        before, ours, ideal = ("not measured" if each is None else with_unit(each, kind, case.unit) for each in values)
        passed = None if value is None else metric not in wrong
        yield Check(rule.named(case), before, ours, ideal, rule.allowed(case), passed, wrong.get(metric, ""))
    if not judged:
        for column in main_columns(case):
            values = [None if each is None else each.mean(column.metric) for each in (original, row)]
            before, ours = ("not measured" if each is None else with_unit(each, column.kind, case.unit) for each in values)
            words = f"{column.group}: {column.label}" if column.group else column.label
            yield Check(
                words.removesuffix(f", {unit_of(column.kind, case.unit)}"), before, ours, "not known", "not known", None
            )


def _proved(finding: Finding, row: Row, case: Case, seeds: int, conclusion: Conclusion | None) -> Iterable[str]:
    """What the figures show, and on how much they rest."""
    if case.role("retrained") is None:
        yield "Nothing. The figures show what changed, not whether it is what training again would have given."
        return
    if conclusion is not None:
        yield f"Over {conclusion.seeds} seeds, by tests at a level of 5 %: {conclusion.words}."
    if finding == "matches":
        yield "Every figure below lies as near to that of the model trained again as is allowed" + (
            ", and not all of the original's do." if case.role("original") else "."
        )
    elif finding == "differs":
        yield "The model differs measurably from one that was trained again without the data, in the figures that are marked."
    else:
        yield "Nothing about this request."
    golds = sum(each.role in ("retrained", "noise floor") for each in case.rows)
    yield (
        f"It rests on {_counted(seeds, 'seed')} and {_counted(golds, 'model')} trained again without the data"
        + (" for each." if seeds > 1 else ".")
        + _sharpness(row)
    )


def _sharpness(row: Row) -> str:
    """The weakest attack that so many examples can tell from a guess; empty where they are not known."""
    members, others = (len(row.curves.forget_losses), len(row.curves.unseen_losses)) if row.curves else (0, 0)
    if not members or not others:
        return ""
    tried = (0.5 + step / 1000 for step in range(1, 500))
    guess = auc_error(0.5, members, others)
    weak = list(takewhile(lambda auc: auc - 0.5 < _NORMAL_95 * guess + _NORMAL_80 * auc_error(auc, members, others), tried))
    least = (weak[-1] if weak else 0.5) + 0.001
    return (
        f" With {members:,} forgotten and {others:,} unseen examples a membership attack is told from a guess, with a chance "
        f"of 80 %, if its AUC is {least:.2f} or more; weaker traces would not be seen."
    )


def _unproved(row: Row, case: Case, seeds: int) -> Iterable[str]:
    yield from _UNPROVED
    if seeds < 2:
        yield "That another seed gives the same: all figures come from one."
    if case.role("retrained") is not None and case.role("noise floor") is None:
        yield "How far two models trained again lie apart by chance: there is only one."
    floor = case.role("noise floor")
    if missed := () if floor is None else failures(floor, case) or ():
        names = listed(failure.words for failure in missed)
        yield f"More than chance in {names}: there two models trained again already differ by more than is allowed."
    if len(case.methods) > 1 and not failures(row, case):
        yield f"That it is no chance find: {len(case.methods)} methods were tried and judged by the same figures."
    steps, gold = row.mean("relearn_steps"), case.role("retrained")
    ideal = None if gold is None else gold.mean("relearn_steps")
    if steps is None or ideal is None:
        yield "That nothing is hidden: how fast the data is learned again was not measured."
    elif steps < ideal:
        yield (
            f"That nothing is hidden: the model learned the data again in {steps:.0f} steps, where one that never saw it "
            f"needed {ideal:.0f}."
        )


def _next(finding: Finding, kinds: tuple[Kind, ...], seeds: int, conclusion: Conclusion | None) -> Iterable[str]:
    if finding == "differs":
        yield from (_NEXT[kind] for kind in kinds)
    elif finding == "not proven":
        yield "Train again without the data, twice, and hold this model against both: then the same checks give a verdict."
    elif finding == "not told apart":
        yield "Attacks with shadow models, planted canaries, or training again without the data, which needs no proof."
    if finding == "matches":
        needed = [each.needed for each in conclusion.figures if each.needed] if conclusion else []
        if needed:
            yield f"The same comparison over about {max(needed):,} seeds, to call the models alike at a level of 5 %."
        elif seeds < 2:
            yield "The same comparison over several seeds, to tell what is proven from what is chance."
    yield _ALWAYS


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
