"""`expunge study`: all methods beside each other, over seeds."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from expunge.cli.common import given, speaks, told_on_stderr
from expunge.errors import BadSetting


def study(
    name: Annotated[
        str,
        typer.Argument(
            help="Which study: classification, regression, graph, recommendation, federated, continual, language, diffusion, "
            "valuation, tabular, search, sequence or all.",
            show_default=False,
        ),
    ],
    seeds: Annotated[int, typer.Option(help="Seeds to average over.")] = 1,
    budget: Annotated[
        Literal["quick", "full"], typer.Option(help="quick: minutes on two cores; full: all the data.")
    ] = "quick",
    data: Annotated[str | None, typer.Option(help="A name or a path; the study's own data when not given.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="Rows of models that forget, with commas between; all if not given.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="regression, valuation, tabular: column of a table to predict.")] = None,
    forget: Annotated[
        str | None,
        typer.Option(help="regression: what must go, 'COLUMN <= VALUE'; recommendation: users, items, pairs or features."),
    ] = None,
    fraction: Annotated[float | None, typer.Option(help="graph, recommendation: share to forget.")] = None,
    modality: Annotated[str | None, typer.Option(help="recommendation: whose features to forget, such as image.")] = None,
    where: Annotated[str | None, typer.Option(help="graph: edges in or out of reach of test edges, or any.")] = None,
    network: Annotated[str | None, typer.Option(help="graph, recommendation: its name, or an import string.")] = None,
    partition: Annotated[str | None, typer.Option(help="federated: dirichlet, iid or pathological.")] = None,
    alpha: Annotated[float | None, typer.Option(help="federated: how alike clients are, of dirichlet.")] = None,
    attack: Annotated[str | None, typer.Option(help="federated: backdoor, flip or none.")] = None,
    clients: Annotated[int | None, typer.Option(help="federated: how many there are.")] = None,
    requests: Annotated[
        str | None, typer.Option(help="continual: what is asked for, such as 'L1 L2 U1 L3', or U1:0.1 for a tenth of task 1.")
    ] = None,
    memory: Annotated[int | None, typer.Option(help="continual: samples in memory.")] = None,
    facts: Annotated[str | None, typer.Option(help="language: JSON lines of facts to forget; with --retain.")] = None,
    retain: Annotated[str | None, typer.Option(help="language: JSON lines of facts that stay.")] = None,
    model: Annotated[str | None, typer.Option(help="language: folder of a model that knows them.")] = None,
    concept: Annotated[str | None, typer.Option(help="diffusion: the class that goes.")] = None,
    anchor: Annotated[str | None, typer.Option(help="diffusion: the class that stands in for it.")] = None,
    workers: Annotated[int | None, typer.Option(help="all: parts that are worked on at a time; 2 if not given.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report, and for resuming.")] = None,
    device: Annotated[Literal["cpu", "cuda", "auto"], typer.Option(help="Where to train.")] = "cpu",
) -> None:
    """Compare all methods with retraining, over seeds."""
    from expunge.registry import find
    from expunge.studies import STUDIES

    options = given(
        methods=methods,
        workers=workers,
        target=target,
        forget=forget,
        fraction=fraction,
        modality=modality,
        where=where,
        network=network,
        partition=partition,
        alpha=alpha,
        attack=attack,
        clients=clients,
        requests=requests,
        memory=memory,
        facts=facts,
        concept=concept,
        anchor=anchor,
        retain=retain,
        model=model,
    )
    chosen = _study(find(STUDIES, name, "study"), options)
    studied = chosen.run(seeds, budget, data, out, device, told_on_stderr())
    if not speaks():
        return
    report = studied.write(out, json_path)
    if report is not None:
        typer.echo(f"Report: {report}\n")
    studied.show(Console())


def _study(kind: Any, options: dict[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := [option for option in options if option not in known]:
        raise BadSetting(f"study {kind.name} has no option --{unknown[0]}")
    return kind(**options)
