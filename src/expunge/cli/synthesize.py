"""`expunge synthesize`: make rows like those of a real table, and say what they are worth."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from expunge.cli.common import Overwrite, told_on_stderr
from expunge.cli.score import AsJson, Categorical, Kinds, ModeOption, Seed, Target, TaskOption, print_scored
from expunge.errors import BadSetting


def synthesize(
    real: Annotated[Path, typer.Argument(help="The real table (.csv, .tsv).", show_default=False)],
    rows: Annotated[
        int | None, typer.Option("-n", "--rows", help="How many rows to make.", show_default="as many as were learned")
    ] = None,
    generator: Annotated[
        str,
        typer.Option(
            help="independent-columns, bootstrap, smote, gaussian-copula, tvae, ctgan, wgan-gp or tab-ddpm.",
        ),
    ] = "gaussian-copula",
    target: Target = None,
    task: TaskOption = None,
    categorical: Categorical = None,
    kinds: Kinds = None,
    epochs: Annotated[int | None, typer.Option(help="Of generators that train a network.", show_default="300")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting of the generator, NAME=VALUE; repeatable.")
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="What all rows must be: 'income=>50K', 'age=30..40', 'city=Oslo|Bern', 'city=' (a gap); repeatable."),
    ] = None,
    holdout_share: Annotated[float, typer.Option(help="Share of the real rows to hold back, to judge privacy by.")] = 0.2,
    holdout: Annotated[Path | None, typer.Option(help="Real rows to judge by instead; all of the table is learned.")] = None,
    every: Annotated[int, typer.Option(help="Epochs from one score of the training to the next.")] = 5,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better score.")] = None,
    load: Annotated[Path | None, typer.Option(help="A saved generator; nothing is trained.")] = None,
    mode: ModeOption = "robust",
    seed: Seed = 0,
    device: Annotated[Literal["cpu", "cuda", "auto"], typer.Option(help="Where networks train.")] = "cpu",
    out: Annotated[Path, typer.Option("--out", help="Folder for table, generator, score and report.")] = Path("runs/synthetic"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make rows like those of a table, and judge them. Killed and started again, a training goes on where it was."""
    from expunge.studies.synthesizing import GENERATOR, Synthesis
    from expunge.studies.synthesizing import synthesize as make
    from expunge.studies.table_scoring import RECORD, Scoring

    chosen: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise BadSetting(f"--set {text} sets nothing; settings look like batch_size=200")
        chosen[name] = value
    wanted = Synthesis(generator, rows, chosen, tuple(condition or ()), holdout_share, holdout, every, patience, load, device)
    scoring = Scoring(target, task, tuple(categorical or ()), kinds, mode, seed)
    command = shlex.join(["expunge", *sys.argv[1:]])
    scored = make(real, wanted, scoring, out, overwrite, command, told_on_stderr())
    if as_json:
        typer.echo((out / RECORD).read_text(), nl=False)
        return
    print_scored(scored, out, (("Rows", scored.synthetic), ("Generator", GENERATOR)))
