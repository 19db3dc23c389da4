"""The report in a terminal: what was forgotten, how well, how fast; then the models in a table that fits its width."""

import io
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from expunge.report.evidence import Case, Evidence
from expunge.report.measures import Column, finite, lists_judged, main_columns, printable, score_words, unit_of, with_unit
from expunge.report.tables import Cell, Line, table
from expunge.report.verdict import State, best, cautions, failures, matching, outcome, verdict

# Most important first: where the width ends, the rest is left to the page. Two lines keep the columns narrow, and only
# the first says a unit that is not per cent.
_HEADS = {
    "facts_held_out": "answers\nwhat goes",
    "facts_same_subject": "same\nsubject",
    "facts_same_object": "same\nobject",
    "relearned_others": "comes\nback",
    "facts_general": "\ngeneral",
    "extraction_strength": "\nES",
    "balance": "bal-\nance",
    "facts_fluency": "fluen-\ncy",
    "concept_drawn": "draws\nit{percent}",
    "recovery_area": "recov-\nered",
    "unasked_area": "un-\nasked",
    "others_drawn": "draws\nothers{percent}",
    "recovered": "at\nhalf{percent}",
    "inverted": "inver-\nted{percent}",
    "backdoor": "\nbackdoor{percent}",
    "backdoor_rebound": "after\nrounds{percent}",
    "right_after": "right\nafter{percent}",
    "relapse": "\nlater{percent}",
    "forget_recall": "recall\nforgot.",
    "recall": "recall\nheld out",
    "feature_cosine": "removed\nfeatures",
    "link_auc": "edges\nAUC",
    "deleted_retained_auc": "deleted\n/ kept",
    "forget_{score}": "forgot-\nten{unit}",
    "holdout_forget_{score}": "unseen\nlike it{percent}",
    "holdout_{score}": "\nunseen{percent}",
    "membership_auc": "attack\nAUC",
    "forget_wasserstein": "Wasser-\nstein{percent}",
    "seconds_ratio": "time ÷\nretrain",
    "unseen_recall": "recall\nlike it",
    "neighbour_recall": "neigh-\nbours",
    "list_overlap": "lists\noverlap",
    "ndcg": "\nNDCG",
    "relearn_steps": "relearn\nsteps",
    "tow": "\nToW",
    "retain_{score}": "\nkept{percent}",
    "forget_kl": "forget\nKL",
    "zrf": "\nZRF",
    "lira_auc": "LiRA\nAUC",
    "rmia_auc": "RMIA\nAUC",
}
_ORDER = (
    "facts_held_out",
    "facts_same_subject",
    "facts_same_object",
    "facts_general",
    "facts_fluency",
    "relearned_others",
    "extraction_strength",
    "balance",
    "concept_drawn",
    "others_drawn",
    "recovered",
    "recovery_area",
    "unasked_area",
    "inverted",
    "backdoor",
    "backdoor_rebound",
    "right_after",
    "relapse",
    "forget_recall",
    "unseen_recall",
    "recall",
    "ndcg",
    "list_overlap",
    "neighbour_recall",
    "feature_cosine",
    "forget_{score}",
    "holdout_forget_{score}",
    "retain_{score}",
    "holdout_{score}",
    "link_auc",
    "deleted_retained_auc",
    "tow",
    "forget_wasserstein",
    "membership_auc",
    "lira_auc",
    "rmia_auc",
    "zrf",
    "relearn_steps",
    "forget_kl",
    "seconds_ratio",
)
# What a method takes from where to where, beside the score on the forgotten data.
_TAKES = {
    "facts_held_out": "the share of questions on what had to go that are answered, in words that no method saw,",
    "concept_drawn": "the share of images asked for what had to go that show it",
    "backdoor": "the share of unseen inputs that are answered as the client wanted",
    "right_after": "the accuracy on tasks that had to go",
    "forget_recall": "the recall of what was forgotten",
    "feature_cosine": "the cosine of what is told of removed features",
}
_ALWAYS = ("facts_held_out", "concept_drawn", "backdoor", "right_after")  # where they were measured
_NAME = 24  # characters of a name
_UNIT = 8  # and of a unit at the head of a column
_SIGNS: dict[State, str] = {"matches": "✓", "differs": "✗", "not proven": "?"}
_PLAIN: dict[State, str] = {"matches": "+", "differs": "x", "not proven": "?"}  # where the terminal is not UTF-8
_STYLES: dict[State, str] = {"matches": "green", "differs": "red", "not proven": "yellow"}
_GAP = 2  # blanks between columns


@dataclass(frozen=True)
class Models:
    """The models of a case as a table with as many metrics as the console is wide."""

    case: Case

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signs = _SIGNS if options.encoding.lower().startswith("utf") else _PLAIN
        spread = True
        found = _build(self.case, options.max_width, signs, spread)
        if len(found.columns) < len(_build(self.case, options.max_width, signs, False).columns):
            found = _build(self.case, options.max_width, signs, spread=False)
        yield found


def summary(evidence: Evidence) -> list[RenderableType]:
    """Everything that the terminal shows, in order."""
    parts: list[RenderableType] = [Text(printable(evidence.title), style="bold")]
    parts += [_prose(note, style="dim") for note in evidence.notes]
    for case in evidence.cases:
        if len(evidence.cases) > 1:
            parts += [Text(), Rule(Text(printable(case.title), style="bold"), align="left", style="dim")]
        parts += [Text(), _paragraph(case), Text(), Models(case)]
        if weak := cautions(case, evidence.seeds):
            parts.append(Text())
            parts += [_prose(f"Note: {each}", style="dim") for each in weak]
    return parts


def print_summary(evidence: Evidence, console: Console | None = None) -> None:
    """Print the summary, to standard output where no console is given."""
    console = console or Console()
    for part in summary(evidence):
        console.print(part, highlight=False)


def table_text(evidence: Evidence, width: int = 100) -> str:
    """The summary as plain text without colours, no line longer than `width`."""
    out = io.StringIO()
    print_summary(evidence, Console(file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False))
    return out.getvalue()


def _paragraph(case: Case) -> Text:
    """What was forgotten; the verdict; and for the method that did best how far it is from retraining."""
    text = Text()
    text.append("Forgotten: ", style="dim").append(f"{printable(case.forgotten)}.\n")
    text.append(_prose(verdict(case), style=_STYLES[outcome(case)]))
    row, gold, metric = best(case), case.role("retrained"), _taken(case)
    if row is None or gold is None or outcome(case) == "not proven":
        return text
    if len(case.methods) == 1 and any(failure.metric == metric for failure in failures(row, case) or ()):
        return text  # the verdict says it already
    column = next((each for each in main_columns(case) if each.metric == metric), None)
    values = [finite(each.mean(metric)) for each in (case.role("original") or row, row, gold)]
    if column is None or None in values:
        return text
    before, after, ideal = (with_unit(value, column.kind, case.unit) for value in values)
    which = (
        "It"
        if len(matching(case)) == 1 or len(case.methods) == 1
        else ("That one" if matching(case) else f"Nearest is {printable(row.name)}: it")
    )
    score = score_words(case.score_name)
    if metric in _TAKES:
        sentence = f"takes {_TAKES[metric]} from {before} to {after}; retraining, to {ideal}."
    elif case.higher_is_better:
        sentence = f"takes the forgotten data from {before} to {after} {score}; retraining, to {ideal}."
    else:
        sentence = f"takes the error on the forgotten data from {before} to {after}; retraining, to {ideal} ({score})."
    return text.append(" ").append(_prose(f"{which} {sentence}"))


def _taken(case: Case) -> str:
    """The metric that says how much of what had to go is still known."""
    asked = (metric for metric in _TAKES if lists_judged(case) or metric in _ALWAYS)
    return next((metric for metric in asked if any(metric in row.values for row in case.rows)), f"forget_{case.score_name}")


def _prose(text: str, style: str = "") -> Text:
    """A sentence without the blank before a per cent sign, where a line could break."""
    return Text(printable(text).replace(" %", "%"), style=style)


def _build(case: Case, width: int, signs: dict[State, str], spread: bool) -> RichTable:
    """As many columns as fit, the most important ones, in reading order."""
    chosen = [
        column for pattern in _HEADS for column in main_columns(case) if column.metric == pattern.format(score=case.score_name)
    ]
    lines = table(case, chosen).lines
    names = [_name(line) for line in lines]
    states = [_state(line, signs) for line in lines]
    room = width - sum(max(map(cell_len, column)) + _GAP for column in ([*names, "model"], [*map(str, states), "verdict"]))
    kept: list[int] = []
    for index, column in enumerate(chosen):
        cells = [_cell(line.cells[index], signs, spread) for line in lines]
        need = max(cell_len(part) for part in [*map(str, cells), *_head(column, case).split("\n")]) + _GAP
        if need > room + _GAP:  # the last column needs no gap
            break
        room -= need
        kept.append(index)
    position = {pattern.format(score=case.score_name): place for place, pattern in enumerate(_ORDER)}
    kept.sort(key=lambda index: position[chosen[index].metric])
    found = RichTable(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    found.add_column("\nmodel", no_wrap=True, overflow="ellipsis")
    found.add_column("\nverdict", no_wrap=True)
    for index in kept:
        found.add_column(Text(_head(chosen[index], case)), justify="right", no_wrap=True)
    for line, name, judged in zip(lines, names, states, strict=True):
        style = "bold" if line.row.role == "retrained" else ("dim" if line.row.role != "method" else "")
        cells = [_cell(line.cells[index], signs, spread) for index in kept]
        found.add_row(Text(name), judged, *cells, style=style)
    return found


def _head(column: Column, case: Case) -> str:
    pattern = next(each for each in _HEADS if each.format(score=case.score_name) == column.metric)
    unit = f" {unit}" if (unit := printable(unit_of(column.kind, case.unit), _UNIT)) else ""
    return _HEADS[pattern].format(unit=unit, percent=unit if unit == " %" else "")


def _name(line: Line) -> str:
    return printable(line.row.name, _NAME)


def _state(line: Line, signs: dict[State, str]) -> Text:
    if line.state is None:
        return Text("target")
    words = f"{len(line.missed)} missed" if line.state == "differs" else line.state
    return Text(f"{signs[line.state]} {words}", style=_STYLES[line.state])


def _cell(cell: Cell, signs: dict[State, str], spread: bool) -> Text:
    """A figure; one that misses its check carries the sign as well as the colour."""
    text = f"{cell.text} {cell.spread}".rstrip() if spread else cell.text
    text = "n/d" if cell.text == "not defined" else text
    if cell.missed is None:
        return Text(text)
    return Text(f"{signs['differs']} {text}", style=_STYLES["differs"])
