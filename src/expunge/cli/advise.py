"""`expunge advise`: which method to take, found by trying the cheap ones first."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from expunge.cli.common import AsJson, Out, Overwrite, speaks

if TYPE_CHECKING:
    from expunge.studies.advising import Advice


def advise(
    job: Annotated[
        Path,
        typer.Argument(
            help="Job file in YAML; its methods are the candidates, and without any, or with [auto], all that fit are.",
            show_default=False,
        ),
    ],
    seconds: Annotated[
        float | None, typer.Option(help="Budget for trying, audits included; retraining comes on top.", show_default="none")
    ] = None,
    at_hand: Annotated[
        Literal["retain", "part", "forget", "nothing"],
        typer.Option(help="What methods may look at: all data, a part of what stays, what goes alone, or labels alone."),
    ] = "retain",
    wanted: Annotated[
        Literal["matches", "nearest"], typer.Option(help="Stop at the first that meets every check, or take the best of all.")
    ] = "matches",
    out: Out = Path("runs/advice"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say which method to take: try those first that promise most for their cost, and stop when the audit is met."""
    from expunge.studies.advising.job import advise_job, read_advice_job

    errors = Console(stderr=True)
    found = advise_job(
        read_advice_job(job),
        out,
        at_hand=at_hand,
        seconds=seconds,
        wanted=wanted,
        overwrite=overwrite,
        command=shlex.join(["expunge", *sys.argv[1:]]),
        say=lambda line: errors.print(line, style="dim", highlight=False),
    )
    if not speaks():
        return
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
        return
    typer.echo(f"Report: {out / 'report.html'}\nModel:  {out / 'model.safetensors'}\nAdvice: {out / 'advice.json'}\n")
    console = Console()
    console.print(_tried(found))
    for sentence in found.why:
        console.print()
        console.print(Text(sentence), highlight=False)


def _tried(advice: "Advice") -> Table:
    """What was tried, in its order."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    found.add_column("tried", no_wrap=True)
    for name in ("seconds", "audit s", "closeness"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("verdict")
    for each in advice.tried:
        first, _, rest = each.words.partition("; ")
        words = first + (f" (and {rest.count('; ') + 1} more)" if rest else "")
        found.add_row(each.name, f"{each.seconds:.1f}", f"{each.asking:.1f}", f"{each.closeness:.2f}", Text(words))
    return found
