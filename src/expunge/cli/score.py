"""`expunge score`: how good a synthetic table is, where it falls short, and whether it copies."""

import shlex
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from expunge.cli.common import Overwrite, told_on_stderr

if TYPE_CHECKING:
    from expunge.report.scored import Scored

Target = Annotated[str | None, typer.Option(help="Column that models predict; without it there is no ML part.")]
TaskOption = Annotated[
    Literal["regression", "classification"] | None,
    typer.Option(help="Of the target.", show_default="what its kind suggests"),
]
Categorical = Annotated[list[str] | None, typer.Option(help="Column whose numbers name categories; repeatable.")]
Kinds = Annotated[
    Path | None,
    typer.Option(help="YAML file that says what columns are: number, date, category or identifier, a line each."),
]
Holdout = Annotated[Path | None, typer.Option(help="Real rows that the generator never saw, to judge privacy and models by.")]
ModeOption = Annotated[
    Literal["robust", "paper", "official"],
    typer.Option(help="By which formulas: mended, as published, or fault for fault as the released code."),
]
Seed = Annotated[int, typer.Option(help="All randomness follows from it.")]
_ROOM = 72  # characters for the name of a figure, which may hold that of a column
_LONGEST = 24  # characters of the name of a column
AsJson = Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout instead of words.")]


def score(
    real: Annotated[Path, typer.Argument(help="The real table (.csv, .tsv).", show_default=False)],
    synthetic: Annotated[Path, typer.Argument(help="The synthetic table, with the same columns.", show_default=False)],
    target: Target = None,
    task: TaskOption = None,
    categorical: Categorical = None,
    kinds: Kinds = None,
    holdout: Holdout = None,
    mode: ModeOption = "robust",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for score and report.")] = Path("runs/score"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Score a synthetic table: one number and its parts, where they fall short, and whether it copies real rows."""
    from expunge.studies.table_scoring import RECORD, Scoring, score_tables

    wanted = Scoring(target, task, tuple(categorical or ()), kinds, mode, seed)
    command = shlex.join(["expunge", *sys.argv[1:]])
    scored = score_tables(real, synthetic, wanted, out, holdout, overwrite, command, told_on_stderr())
    if as_json:
        typer.echo((out / RECORD).read_text(), nl=False)
        return
    print_scored(scored, out)


def print_scored(scored: "Scored", out: Path, files: tuple[tuple[str, str], ...] = ()) -> None:
    """Say what was found: the verdict first, then the parts, the columns and the files.

    Args:
        files: what and name of those that were written besides.
    """
    from expunge.report.scored import finding, short
    from expunge.studies.table_scoring import COLUMNS, KINDS, PAIRS, RECORD, REPORT
    from expunge.tabular.schema import TableSchema

    typer.echo("\n".join(finding(scored)))
    for note in scored.notes:
        typer.echo(f"Note: {note}")
    typer.echo(f"\n{scored.comparison}\n")
    typer.echo(_measures(scored))
    columns = [replace(column, name=short(column.name, _LONGEST)) for column in scored.schema]
    typer.echo(f"\n{TableSchema(tuple(columns))}")
    typer.echo(f"Is a kind wrong? Say so with --categorical, or change {out / KINDS} and give it with --kinds.\n")
    shown = (*files, ("Columns", COLUMNS), ("Pairs", PAIRS), ("Score", RECORD), ("Report", REPORT))
    width = max(len(what) for what, _ in shown) + 2
    typer.echo("\n".join(f"{what + ':':<{width}}{out / name}" for what, name in shown))


def _measures(scored: "Scored") -> str:
    from expunge.report.scored import figure_text

    figures = scored.measures.figures
    names = [textwrap.wrap(figure.name, _ROOM, subsequent_indent="  ") for figure in figures]
    width = max(len(line) for lines in names for line in lines)
    lines = [f"{'':<{width}}  {'value':>9}  {'ideal':>9}"]
    for figure, (*above, last) in zip(figures, names, strict=True):
        ideal = "" if figure.ideal is None else figure_text(figure.ideal)
        lines += [*above, f"{last:<{width}}  {figure_text(figure.value):>9}  {ideal:>9}".rstrip()]
    return "\n".join(lines)
