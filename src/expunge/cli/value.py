"""`expunge value`: what each row of some data is worth, and what a request to delete rows would take away."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from expunge.cli.common import Overwrite

if TYPE_CHECKING:
    from expunge.report.valued import Valued


def value(
    data: Annotated[
        str, typer.Argument(help="A table (.csv, .tsv), a name such as digits, or package.module:function.", show_default=False)
    ],
    target: Annotated[str | None, typer.Option(help="Column of a table to predict.")] = None,
    classes: Annotated[bool, typer.Option("--classes", help="The numbers in that column name classes.")] = False,
    method: Annotated[
        str,
        typer.Option(
            help="ecoval, tmc-shapley, beta-shapley, banzhaf, distributional-shapley, leave-one-out, knn-shapley, data-oob, "
            "lava, confidence or random-values."
        ),
    ] = "ecoval",
    metric: Annotated[
        str | None,
        typer.Option(help="accuracy, log-loss, probability, or r2 for numbers.", show_default="accuracy, or r2"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="logistic, ridge, network, or package.module:function that returns an estimator of scikit-learn.",
            show_default="logistic, or ridge",
        ),
    ] = None,
    clusters: Annotated[int | None, typer.Option(help="ecoval: about how many; one for fifteen rows when not given.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Rows that a request names: one a line, or a CSV file with a column row, as values.csv has."),
    ] = None,
    least: Annotated[int, typer.Option(min=0, help="How many of the least valuable rows to name.")] = 10,
    train: Annotated[int | None, typer.Option(help="Use only the first so many training rows.")] = None,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    device: Annotated[Literal["cpu", "cuda", "auto"], typer.Option(help="Where to train.")] = "cpu",
    jobs: Annotated[int | None, typer.Option(help="Processes, for an estimator of your own.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for values and report.")] = Path("runs/values"),
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout instead of words.")] = False,
) -> None:
    """Say what each row is worth to a model, and what deleting rows would take away. Nothing is deleted."""
    from expunge.studies.valuing import RECORD, Wanted, value_data

    wanted = Wanted(data, target, classes, train, method, clusters, metric, model, rows, seed, device, jobs)
    valued = value_data(wanted, out, overwrite, shlex.join(["expunge", *sys.argv[1:]]), least)
    if as_json:
        typer.echo((out / RECORD).read_text(), nl=False)
        return
    _print(valued, out, least)


def _print(valued: "Valued", out: Path, least: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from expunge.report.valued import doubts, finding, loss_words, number
    from expunge.studies.valuing import CLUSTERS, REPORT, ROWS

    there = {"Values": ROWS, "Clusters": CLUSTERS, "Report": REPORT}
    typer.echo("".join(f"{what + ':':<10}{out / name}\n" for what, name in there.items() if (out / name).exists()))
    typer.echo(f"{len(valued.rows):,} rows of {valued.data} valued by {valued.values.method}. {finding(valued)}")
    for doubt in doubts(valued):
        typer.echo(f"Caution: {doubt}")
    if valued.request is not None:
        typer.echo("\n" + loss_words(valued.request, valued))
    if not least:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("row", justify="right")
    table.add_column("value", justify="right")
    table.add_column(escape(valued.target))
    for place in valued.values.order()[:least]:
        table.add_row(str(valued.rows[place]), number(valued.values.values[place]), escape(str(valued.labels[place])))
    typer.echo("\nLeast valuable:\n")
    Console().print(table)
