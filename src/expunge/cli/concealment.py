"""`expunge audit --concealment`: its options as a call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from expunge.cli.show import print_figures
from expunge.errors import BadSetting

_NEEDED = {
    "original": "the folder of the pipeline before",
    "concept": "the name of what went",
    "images": "a folder with a folder of images for each concept",
}


def print_concealment(pipeline: Path, given: Mapping[str, Any], models: Mapping[str, Any], as_json: bool) -> None:
    """Audit a pipeline as options say, and print its figures and the verdict.

    Args:
        pipeline: its folder.
        given: options for pipelines.
        models: options that jobs have too.

    Raises:
        BadSetting: if options are missing, or don't go together.
    """
    from expunge.audits.concealment import Concealment
    from expunge.diffusion import Sampling
    from expunge.engine import Engine
    from expunge.studies.concealment_run import TEMPLATES, USUAL, audit_pipeline, verdicts

    if "weights" in models:
        raise BadSetting("--weights is for a job file: a pipeline's weights are in its folder, leave the option out")
    options = {**given, **models}
    for name, what in _NEEDED.items():
        if name not in options:
            raise BadSetting(f"--concealment needs --{name}, {what}")
    figures = audit_pipeline(
        pipeline,
        options["original"],
        options["concept"],
        options["images"],
        retrained=options.get("retrained", ()),
        templates=options.get("template", TEMPLATES),
        sampling=Sampling(options.get("steps", USUAL.steps), options.get("guidance", USUAL.guidance)),
        concealment=Concealment(count=options.get("count", Concealment.count)),
        engine=Engine(device=options.get("device", "cpu")),
    )
    print_figures(figures, as_json)
    if not as_json:
        typer.echo("".join(f"\n{line}" for line in verdicts(figures)))
