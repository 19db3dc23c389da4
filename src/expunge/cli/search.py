"""`expunge search`: find a small network for images, and say whether searching gained anything over chance."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from expunge.cli.common import Overwrite, told_on_stderr
from expunge.errors import BadSetting

if TYPE_CHECKING:
    from expunge.report.searched import Searched

_HEADER = ("network", "accuracy", "UF1", "UAR", "parameters", "MACs", "file", "latency", "trained in")


def search(
    data: Annotated[
        str,
        typer.Argument(
            help="An .npz file with images and labels, and persons if they are known; a folder of images by class; or a name "
            "(digits, mnist, cifar10).",
            show_default=False,
        ),
    ],
    space: Annotated[Literal["darts"], typer.Option(help="Candidate operations.")] = "darts",
    method: Annotated[str, typer.Option(help="pc-darts, darts, gdas, random-search or zero-cost.")] = "pc-darts",
    epochs: Annotated[int | None, typer.Option(help="Of the search.", show_default="the method's own")] = None,
    nodes: Annotated[int, typer.Option(help="Of each cell.")] = 3,
    cells: Annotated[int, typer.Option(help="Of a network.")] = 3,
    channels: Annotated[int, typer.Option(help="Of each node before the first reduction.")] = 16,
    stem_stride: Annotated[
        int, typer.Option(help="Of what stands before the cells, 1, 2 or 4; each doubling costs about a quarter.")
    ] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting of the method, NAME=VALUE; repeatable.")
    ] = None,
    cost_weight: Annotated[float | None, typer.Option(help="How much the expected cost of a network counts.")] = None,
    max_skips: Annotated[int | None, typer.Option(help="Most skip connections in the normal cell.")] = None,
    random: Annotated[int, typer.Option(help="Random cells that the found one is held against.")] = 5,
    retrain_epochs: Annotated[int, typer.Option(help="In which each network is trained from scratch.")] = 45,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 64,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels that images are brought to.", show_default="as they are; 32 for folders")
    ] = None,
    train: Annotated[int | None, typer.Option(help="Use at most so many training images, drawn by the seed.")] = None,
    faces: Annotated[
        bool | None,
        typer.Option("--faces/--no-faces", help="Whether images are of faces.", show_default="if persons are known"),
    ] = None,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    device: Annotated[Literal["cpu", "cuda", "auto"], typer.Option(help="Where networks train.")] = "cpu",
    out: Annotated[Path, typer.Option("--out", help="Folder for genotype, model, record and report.")] = Path("runs/search"),
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON on stdout instead of words.")] = False,
) -> None:
    """Search a small network for images, beside random cells and a hand-made one. Killed, it goes on where it was."""
    from expunge.studies.searching import SearchPlan, search_images
    from expunge.studies.searching_files import RECORD

    chosen: dict[str, Any] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise BadSetting(f"--set {text} sets nothing; settings look like warmup=0.3")
        chosen[name] = value
    plan = SearchPlan(
        space=space,
        method=method,
        epochs=epochs,
        nodes=nodes,
        cells=cells,
        channels=channels,
        stem_stride=stem_stride,
        settings=chosen,
        cost_weight=cost_weight,
        max_skips=max_skips,
        random=random,
        retrain_epochs=retrain_epochs,
        batch_size=batch_size,
        size=size,
        faces=faces,
        train=train,
        seed=seed,
        device=device,
    )
    command = shlex.join(["expunge", *sys.argv[1:]])
    searched = search_images(data, plan, out, overwrite, command, told_on_stderr())
    if as_json:
        typer.echo((out / RECORD).read_text(), nl=False)
        return
    _print(searched, out)


def _print(searched: "Searched", out: Path) -> None:
    """Say what was found: the verdict first, then the cells, the networks and the files."""
    from expunge.report.searched import finding, model_rows
    from expunge.studies.searching import short_genotype
    from expunge.studies.searching_files import CARD, CELL, GENOTYPE, MODEL, RECORD, REPORT

    typer.echo("\n".join(finding(searched)))
    for warning in (*searched.warnings, *searched.notes):
        typer.echo(f"Note: {warning}")
    typer.echo(f"\n{short_genotype(searched.found.genotype)}\n")
    rows = [_HEADER, *model_rows(searched)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADER))]
    for row in rows:
        figures = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        typer.echo("  ".join([row[0].ljust(widths[0]), *figures]).rstrip())
    files = {"Genotype": GENOTYPE, "Model": MODEL, "Card": CARD, "Cells": CELL, "Record": RECORD, "Report": REPORT}
    typer.echo("\n" + "\n".join(f"{what + ':':<10}{out / name}" for what, name in files.items()))
