"""`expunge VERB --option`: the verbs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console

from expunge.cli.advise import advise
from expunge.cli.common import AsJson, Out, Overwrite, given, speaks, told_on_stderr
from expunge.cli.guard import GuardedGroup
from expunge.cli.score import score
from expunge.cli.search import search
from expunge.cli.study import study
from expunge.cli.synthesize import synthesize
from expunge.cli.value import value
from expunge.errors import BadSetting

app = typer.Typer(
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Take people's data out of trained models, and prove that it is gone.",
)

# What a run leaves for people, as far as it is there.
_WRITTEN = {
    "Report": "report.html",
    "Model": "model.safetensors",
    "Lists": "index.parquet",
    "Adapter": "adapter",
    "Whole model": "model",
    "Transcript": "transcript.json",
    "Anti-samples": "anti-samples.jsonl",
}
_LANGUAGE: Any = {"rich_help_panel": "Language models"}
_PIPELINES: Any = {"rich_help_panel": "Pipelines of diffusers"}


@app.command(epilog="Example: expunge run job.yaml --out runs/request-17")
def run(
    job: Annotated[Path, typer.Argument(help="Job file in YAML.", show_default=False)],
    out: Out = Path("runs/latest"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Serve a request as a job file says. Killed and started again, it goes on where it was."""
    from expunge.studies.language_job import read_any_job

    _serve(read_any_job(job), out, overwrite, as_json)


@app.command(
    epilog="Example: expunge forget --data mnist --model small-cnn --class 3 --method neggrad-plus --out runs/three\n\n"
    "Example: expunge forget --task language --model mistral-7b --facts facts.jsonl --retain retain.jsonl --out runs/facts"
)
def forget(
    model: Annotated[
        str,
        typer.Option(help="mlp, small-cnn, resnet18, ..., or package.module:factory; a language model's folder."),
    ],
    data: Annotated[
        str | None, typer.Option(help="A name (digits, mnist, ...), a table, a folder, or package.module:function.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Trained weights (safetensors); without them it trains first.")] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Class to forget, by name or number; repeatable.")] = None,
    rows: Annotated[str | None, typer.Option(help="Training rows to forget: 3,17,204.")] = None,
    rows_in: Annotated[Path | None, typer.Option(help="File with one training row a line.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of --columns that says whose a row is.")] = None,
    values_in: Annotated[Path | None, typer.Option(help="File with the values of --column to forget.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Share of the training rows to forget, drawn by the seed.")] = None,
    where: Annotated[str | None, typer.Option(help="Rows to forget by a comparison: 'price <= 100000'.")] = None,
    edges: Annotated[float | None, typer.Option(help="Of a graph: share of the edges to forget, drawn at random.")] = None,
    edges_in: Annotated[
        Path | None, typer.Option(help="Of a graph: CSV file with a header and both ends of each edge.")
    ] = None,
    nodes_in: Annotated[Path | None, typer.Option(help="Of a graph: file with a node on each line.")] = None,
    label: Annotated[str | None, typer.Option(help="Of a graph: class of nodes to forget.")] = None,
    users_in: Annotated[Path | None, typer.Option(help="Of a recommender: file with a user on each line.")] = None,
    items_in: Annotated[Path | None, typer.Option(help="Of a recommender: file with an item on each line.")] = None,
    pairs_in: Annotated[
        Path | None, typer.Option(help="Of a recommender: CSV file with a header, the user and the item of each pair.")
    ] = None,
    columns: Annotated[Path | None, typer.Option(help="CSV file with a header and a line for each training row.")] = None,
    features: Annotated[
        Path | None,
        typer.Option(help="Of a recommender: folder with NAME.npy, or one such file; of a graph: CSV of its nodes."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column of a table to predict.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Method, see `expunge methods`, or auto; repeatable.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the recipe of original and retrained model.", show_default="15")
    ] = None,
    train: Annotated[int | None, typer.Option(help="Use only the first so many training rows.")] = None,
    seed: Annotated[int, typer.Option(help="All randomness follows from it.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    task: Annotated[
        Literal["language"] | None, typer.Option(help="For a language model; others follow from the data.", **_LANGUAGE)
    ] = None,
    facts: Annotated[Path | None, typer.Option(help="What must go: JSON lines with question and answer.", **_LANGUAGE)] = None,
    retain: Annotated[Path | None, typer.Option(help="What stays, in such a file.", **_LANGUAGE)] = None,
    unseen: Annotated[Path | None, typer.Option(help="Facts like them that it was never trained on.", **_LANGUAGE)] = None,
    generator: Annotated[
        str | None, typer.Option(help="Of anti-samples: auto, fields, templates, model, or a server's URL.", **_LANGUAGE)
    ] = None,
    generator_model: Annotated[str | None, typer.Option(help="Name of the model at that server.", **_LANGUAGE)] = None,
    refuse: Annotated[bool, typer.Option("--refuse", help="Teach it to say that it doesn't know.", **_LANGUAGE)] = False,
    matcher: Annotated[
        Literal["exact", "words", "fuzzy"] | None,
        typer.Option(help="What counts as the answer: all of it, its content words, or nearly all of it.", **_LANGUAGE),
    ] = None,
    out: Out = Path("runs/latest"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Forget a class, rows, people, parts of a graph, users or items of a recommender, or facts, without writing a job file."""
    from expunge.cli.language import language_job
    from expunge.studies.job import parse_job

    language = given(
        facts=facts,
        retain=retain,
        unseen=unseen,
        generator=generator,
        generator_model=generator_model,
        refuse=refuse or None,
        matcher=matcher,
    )
    request: dict[str, Any] = {
        "class": _one_or_list(class_),
        "rows": rows.split(",") if rows else None,
        "rows_in": rows_in and str(rows_in),
        "column": column,
        "values_in": values_in and str(values_in),
        "where": where,
        "fraction": fraction,
        "edges": edges,
        "edges_in": edges_in and str(edges_in),
        "nodes_in": nodes_in and str(nodes_in),
        "label": label,
        "users_in": users_in and str(users_in),
        "items_in": items_in and str(items_in),
        "pairs_in": pairs_in and str(pairs_in),
    }
    of_data = given(
        name=data,
        target=target,
        train=train,
        columns=columns and str(columns),
        features=features and str(features),
    )
    if task == "language":
        others = {**of_data, **given(**request, weights=weights, epochs=epochs)}
        _serve(language_job(model, method, seed, device, language, others), out, overwrite, as_json)
        return
    if language:
        raise BadSetting(f"--{next(iter(language)).replace('_', '-')} is for language models: add --task language")
    if data is None:
        raise BadSetting("say what the model was trained on with --data; a language model needs --task language instead")
    job = {
        "seed": seed,
        "data": of_data,
        "model": given(name=model, weights=weights and str(weights)),
        "training": {"epochs": 15 if epochs is None else epochs},
        "request": given(**request),
        "methods": method or ["scrub"],
        "engine": {"device": device},
    }
    _serve(parse_job(yaml.safe_dump(job, sort_keys=False), "options"), out, overwrite, as_json)


@app.command(
    epilog="Example: expunge audit job.yaml --weights mine.safetensors --retrained runs/three/models/retrained.safetensors\n\n"
    "Example: expunge audit erased/ --concealment --original before/ --retrained without/ --concept seven --images digits/"
)
def audit(
    job: Annotated[
        Path,
        typer.Argument(
            help="Job file that names data, model and request; with --concealment the folder of a pipeline.", show_default=False
        ),
    ],
    weights: Annotated[Path | None, typer.Option(help="Weights of the model to audit (safetensors).")] = None,
    original: Annotated[
        Path | None, typer.Option(help="Weights before forgetting; relearning is judged by them. Of a pipeline its folder.")
    ] = None,
    retrained: Annotated[
        list[Path] | None, typer.Option(help="Weights trained without the data, or such a pipeline's folder; repeatable.")
    ] = None,
    concealment: Annotated[
        bool, typer.Option("--concealment", help="Ask a pipeline of diffusers whether it conceals a concept.", **_PIPELINES)
    ] = False,
    concept: Annotated[str | None, typer.Option(help="What went: the name of its folder in --images.", **_PIPELINES)] = None,
    images: Annotated[Path | None, typer.Option(help="Images in one folder a concept.", **_PIPELINES)] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Of prompts; each is asked by itself.", show_default="a photo of {}", **_PIPELINES),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How much the prompt counts; 1 for no guidance.", show_default="7.5", **_PIPELINES)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps for each image.", show_default="50", **_PIPELINES)] = None,
    count: Annotated[int | None, typer.Option(help="Images for each point.", show_default="48", **_PIPELINES)] = None,
    device: Annotated[
        Literal["cpu", "cuda", "auto"] | None, typer.Option(help="Where to draw.", show_default="cpu", **_PIPELINES)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model, however it was made, whether it still knows what must go; or a pipeline, whether it conceals that."""
    from expunge.cli.show import print_figures

    of_pipeline = given(
        concept=concept, images=images, template=template, guidance=guidance, steps=steps, count=count, device=device
    )
    if concealment:
        from expunge.cli.concealment import print_concealment

        print_concealment(job, of_pipeline, given(original=original, retrained=retrained, weights=weights), as_json)
        return
    if of_pipeline:
        raise BadSetting(f"--{next(iter(of_pipeline))} is for a pipeline of diffusers: add --concealment")
    if weights is None:
        raise BadSetting("say which model to audit with --weights; a pipeline of diffusers needs --concealment instead")
    from expunge.engine import Engine
    from expunge.storage import load_weights
    from expunge.studies import audit as ask
    from expunge.studies.job import read_job
    from expunge.studies.run import prepare

    parsed = read_job(job)
    setup = prepare(parsed)

    def read(path: Path) -> Any:
        return load_weights(setup.task.new_model(), path)

    figures = ask(
        read(weights),
        setup.task,
        setup.split,
        original=read(original) if original else None,
        retrained=[read(path) for path in retrained or []],
        engine=Engine(parsed.seed, parsed.engine.device, parsed.engine.precision),
    )
    print_figures(figures, as_json)


@app.command(epilog="Example: expunge leave federation.safetensors --client ward-3 --out runs/ward-3")
def leave(
    federation: Annotated[Path, typer.Argument(help="File that TrackingFedAvg writes after each round.", show_default=False)],
    client: Annotated[list[str], typer.Option(help="Who leaves; repeatable.")],
    budget: Annotated[
        float | None,
        typer.Option(help="Share of the weights to dampen; without it the cut-off follows from the contributions."),
    ] = None,
    out: Out = Path("runs/latest"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Take clients out of a federation: no data, no client and no training is needed."""
    from expunge.cli.show import print_left
    from expunge.federated.snapshot import Snapshot
    from expunge.methods import ConDa
    from expunge.studies.leaving import RECORD, leave_federation, write_left

    if (out / RECORD).exists() and not overwrite:
        raise BadSetting(f"{out} holds clients that left already; take another --out, or --overwrite")
    method = ConDa(budget=budget)
    left = leave_federation(Snapshot.load(federation), client, method)
    write_left(left, out, method)
    if as_json:
        typer.echo((out / RECORD).read_text(), nl=False)
        return
    print_left(left, out)


@app.command(epilog="Example: expunge schema homes.csv --target price")
def schema(
    table: Annotated[Path, typer.Argument(help="A table: .csv or .tsv.", show_default=False)],
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
) -> None:
    """Show how the columns of a table would be used: kinds, gaps, ranges."""
    from expunge.data import read_schema

    typer.echo(str(read_schema(table, target)))


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="Show this one whole.")] = None, as_json: AsJson = False) -> None:
    """List the unlearning methods, or explain one."""
    from expunge.cli.show import print_listing
    from expunge.methods import METHODS

    print_listing(METHODS, name, "method", as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the kinds of models that can be unlearned."""
    from expunge.cli.show import print_listing
    from expunge.tasks import TASKS

    print_listing(TASKS, None, "task", as_json)


app.command(epilog="Example: expunge advise job.yaml --seconds 600 --at-hand retain --out runs/advice")(advise)
app.command(epilog="Example: expunge value customers.csv --target churn --rows leaving.csv --out runs/values")(value)
app.command(epilog="Example: expunge score real.csv synthetic.csv --target income --holdout unseen.csv --out runs/score")(score)
app.command(
    epilog="Example: expunge synthesize real.csv -n 10000 --generator ctgan --epochs 50 --target income --out runs/synthetic"
)(synthesize)
app.command(epilog="Example: expunge search faces.npz --size 32 --channels 8 --epochs 50 --max-skips 2 --out runs/search")(
    search
)
app.command(epilog="Example: expunge study classification --budget quick --seeds 2 --json study.json --out runs/study")(study)


def _serve(job: Any, out: Path, overwrite: bool, as_json: bool) -> None:
    from expunge.report.terminal import print_summary
    from expunge.studies.language_job import LanguageJob
    from expunge.studies.language_run import run_language
    from expunge.studies.run import run as run_job

    command = shlex.join(["expunge", *sys.argv[1:]])
    if isinstance(job, LanguageJob):
        evidence = run_language(job, out, overwrite, command, told_on_stderr())
    else:
        evidence = run_job(job, out, overwrite, command)
    if not speaks():
        return
    if as_json:
        typer.echo((out / "audit.json").read_text(), nl=False)
        return
    there = {what: out / name for what, name in _WRITTEN.items() if (out / name).exists()}
    width = max(map(len, there)) + 2
    typer.echo("".join(f"{what + ':':<{width}}{path}\n" for what, path in there.items()))
    print_summary(evidence, Console())


def _one_or_list(names: list[str] | None) -> Any:
    return names[0] if names and len(names) == 1 else names
