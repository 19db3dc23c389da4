"""`expunge forget --task language`: its options as a job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from expunge.errors import BadSetting

if TYPE_CHECKING:
    from expunge.studies.language_job import LanguageJob


def language_job(
    model: str,
    methods: Sequence[str] | None,
    seed: int,
    device: str,
    given: Mapping[str, Any],
    others: Mapping[str, Any],
) -> "LanguageJob":
    """The job that options spell out.

    Args:
        model: the folder of the model.
        methods: by name; UnSTAR when there are none.
        given: options for language models.
        others: options for other models, of which there may be none.

    Raises:
        BadSetting: if options are missing, or don't go together.
    """
    from expunge.studies.language_job import methods_with, parse_language_job

    if others:
        raise BadSetting(f"{_option(next(iter(others)))} is not for language models: their data are --facts and --retain")
    for name, what in (("facts", "what must go"), ("retain", "what stays")):
        if name not in given:
            raise BadSetting(f"a language model needs {_option(name)}, a file of {what}: JSON lines with question and answer")
    files = {name: str(value) for name, value in given.items() if isinstance(value, Path)}
    plain = {"matcher": given["matcher"]} if "matcher" in given else {}
    chosen = methods_with(methods or ["unstar"], _generator(given), bool(given.get("refuse")))
    job = {"task": "language", "seed": seed, "model": model, **files, **plain, "methods": chosen, "engine": {"device": device}}
    return parse_language_job(yaml.safe_dump(job, sort_keys=False), "options")


def _generator(given: Mapping[str, Any]) -> Any:
    """A generator's name, or a server with a model's name."""
    named, model = given.get("generator"), given.get("generator_model")
    if named is None or not named.startswith(("http://", "https://")):
        if model is not None:
            raise BadSetting("--generator-model is for a server: give its address as --generator")
        return named
    if model is None:
        raise BadSetting(f"--generator {named} needs --generator-model, the name that the server knows its model by")
    return {"url": named, "model": model}


def _option(name: str) -> str:
    return f"--{'data' if name == 'name' else name.replace('_', '-')}"
