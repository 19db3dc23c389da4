"""What verbs share: options, and who is told what."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

Out = Annotated[Path, typer.Option("--out", help="Folder for model, audit and report.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the audit as JSON on stdout instead of a table.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in the folder.")]


def told_on_stderr() -> Callable[[str], None]:
    """Shows a line of progress where somebody looks on."""
    errors = Console(stderr=True)
    return (lambda line: errors.print(line, style="dim", highlight=False)) if errors.is_terminal else (lambda line: None)


def speaks() -> bool:
    """Whether this process is the one of several that speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def given(**fields: Any) -> dict[str, Any]:
    """The options that a user gave."""
    return {name: value for name, value in fields.items() if value not in (None, [])}
