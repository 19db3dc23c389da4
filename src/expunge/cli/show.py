"""What the command line prints besides the summary of a run."""

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from expunge.audits import Figure
from expunge.registry import Registered, find
from expunge.studies.leaving import FEDERATION, MODEL, Left

_TENSORS = 12  # those of which most was dampened are shown


def print_listing(registry: Mapping[str, type[Registered]], name: str | None, what: str, as_json: bool) -> None:
    """A table of what there is, or all about one."""
    if name is not None:
        _print_one(find(dict(registry), name, what), as_json)
    elif as_json:
        typer.echo(json.dumps({key: kind.summary() for key, kind in registry.items()}, indent=2))
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(what, no_wrap=True)
        table.add_column("what it does")
        for key, kind in registry.items():
            table.add_row(key, kind.summary())
        Console().print(table)


def _print_one(kind: type[Registered], as_json: bool) -> None:
    settings: tuple[Field[Any], ...] = fields(kind) if is_dataclass(kind) else ()
    defaults = {each.name: None if each.default is MISSING else _plain(each.default) for each in settings}
    text = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    if as_json:
        typer.echo(json.dumps({"name": kind.name, "about": text, "defaults": defaults}, indent=2))
        return
    typer.echo(text + "\n\n" + inspect.cleandoc(kind.__doc__ or "") + "\n\nDefaults:")
    for field, value in defaults.items():
        typer.echo(f"    {field}: {json.dumps(value)}")


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def print_left(left: Left, folder: Path) -> None:
    """Who left, where the model lies, and the tensors of which most was dampened."""
    who = "Client" if len(left.clients) == 1 else "Clients"
    typer.echo(f"Model:      {folder / MODEL}\nFederation: {folder / FEDERATION}\n")
    typer.echo(
        f"{who} {', '.join(left.clients)} left after round {left.round}: {100 * left.done.share:.2g} % of the weights were "
        f"dampened, those whose ratio is below {left.done.cutoff:.3g}. {len(left.snapshot.contributions.clients)} stay."
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("tensor", no_wrap=True)
    table.add_column("dampened, %", justify="right")
    for name, share in sorted(left.done.shares.items(), key=lambda each: -each[1])[:_TENSORS]:
        table.add_row(name, f"{100 * share:.2f}")
    Console().print(table)


def print_figures(figures: Mapping[str, Figure], as_json: bool) -> None:
    """The figures of one model beside their ideals."""
    if as_json:
        typer.echo(json.dumps({name: asdict(figure) for name, figure in figures.items()}, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("metric", "value", "ideal", "95 % interval", "note"):
        table.add_column(heading, justify="left" if heading in ("metric", "note") else "right", overflow="fold")
    for name, figure in figures.items():
        interval = "" if figure.interval is None else f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}"
        table.add_row(name, _number(figure.value), _number(figure.ideal), interval, figure.note)
    Console().print(table)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
