"""Plain values of a job file, read into settings and methods; every fault says in which file, line and field it is."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from expunge.errors import BadSetting, ExpungeError
from expunge.language.generators import ServerGenerator
from expunge.methods import METHODS, Method, Retrain
from expunge.registry import find
from expunge.studies.locate import line_of

Location = tuple[str | int, ...]
_Read = TypeVar("_Read")


class BadJob(BadSetting):
    """A job file that cannot be run: names the file, the line and the field."""


class Settings(BaseModel):
    """A part of a job; fields that it does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(Exception):
    """A fault at one place of the job."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location, self.message = location, message


def place_of(source: str, text: str, location: Location) -> str:
    """Where a field stands, for errors: file, line and the field."""
    return f"{source}, line {line_of(text, location)}, {'.'.join(str(part) for part in location)}"


def read_mapping(text: str, source: str, parts: str, check: Callable[[dict[str, Any]], _Read]) -> _Read:
    """What `check` makes of a job file's YAML text.

    Args:
        source: what errors call the file.
        parts: what a job has, in words.

    Raises:
        BadJob: naming file, line and field.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadJob(f"{source} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadJob(f"{source}: a job is a mapping with {parts}; see `expunge run --help`")
    try:
        return check(content)
    except Fault as error:
        raise BadJob(f"{place_of(source, text, error.location)}: {error.message}") from error


def read_fields(kind: Any, value: Any, location: Location) -> Any:
    """Build `kind` from plain values; the first fault is reported with its place."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = (*location, *(part for part in fault["loc"] if "[" not in str(part)))  # without the kinds that a union tried
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = f"unknown field; there are {', '.join(sorted(_names(kind, fault['loc'][:-1])))}"
        elif fault["type"] not in ("value_error", "missing", "missing_argument"):
            message += f", not {fault['input']!r}"
        raise Fault(place, message) from error


def _names(kind: Any, inside: Sequence[int | str] = ()) -> list[str]:
    """The fields of a dataclass or model, or of the one that the field path `inside` leads to."""
    for part in inside:
        kind = get_type_hints(kind)[str(part)]
        kind = next((each for each in get_args(kind) if each is not type(None)), kind)  # of `X | None`, X
    return list(kind.model_fields) if hasattr(kind, "model_fields") else [field.name for field in dataclass_fields(kind)]


def method_of(entry: Any, location: Location, training: Retrain | None) -> tuple[str, Method]:
    """A method, and what its row is called, from its name or a mapping.

    Args:
        training: the recipe of the original; None where it is not known.
    """
    settings: Any = {"method": entry} if isinstance(entry, str) else entry
    if not isinstance(settings, dict) or not isinstance(settings.get("method"), str):
        raise Fault(location, "a method is a name, or a mapping like {method: scrub, epochs: 5}")
    try:
        kind = find(METHODS, settings["method"], "method")
    except ExpungeError as error:
        raise Fault(location, str(error)) from error
    fields = {key: value for key, value in settings.items() if key not in ("method", "label", "like_training")}
    if _true(settings.get("like_training", False), "like_training", location):
        fields = _like_training(kind, training, location) | fields
    if isinstance(fields.get("generator"), dict) and "generator" in _names(kind):
        fields["generator"] = read_fields(ServerGenerator, fields["generator"], (*location, "generator"))
    name = settings.get("label", settings["method"])
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w .+-]*", name):
        raise Fault(location, f"a label is letters, digits, spaces and . + - _, beginning with a letter or digit, not {name!r}")
    if name == "original" or name.startswith("retrained"):
        raise Fault(location, f"'{name}' is the name of a reference; label the method otherwise")
    return name, read_fields(kind, fields, location)


def _true(said: Any, name: str, location: Location) -> bool:
    if not isinstance(said, bool):
        raise Fault(location, f"{name} is true or false, not {said!r}")
    return said


def _like_training(kind: Any, training: Retrain | None, location: Location) -> dict[str, Any]:
    """The fields that fit the recipe of the original, for methods that know how."""
    if training is None:
        raise Fault(location, "like_training follows from the recipe that the model was trained with, and here there is none")
    if not hasattr(kind, "from_recipe"):
        able = [name for name, method in METHODS.items() if hasattr(method, "from_recipe")]
        raise Fault(location, f"like_training is for {', '.join(able)}; {kind.name} has settings of its own")
    made = kind.from_recipe(training)
    return {field.name: getattr(made, field.name) for field in dataclass_fields(made)}
