"""A job file: everything that one run needs, in YAML, checked before anything is trained.

data: {name: mnist, train: 6000}
model: {name: small-cnn}                       # or {name: "my_package.my_module:make_model", weights: model.safetensors}
training: {epochs: 15, optimizer: {learning_rate: 0.002}}
request: {class: 3}                            # or rows, rows_in, column with values or values_in, where, fraction; of graphs
                                               # and recommenders those of `graph_job` and `recommendation_job`
methods: [scrub, {method: ssd, alpha: 3}]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from expunge.data import read_values
from expunge.errors import BadSetting, ExpungeError
from expunge.methods import METHODS, Method, Retrain
from expunge.registry import find
from expunge.requests import ForgetClass, ForgetFraction, ForgetRows, ForgetWhere, Request, parse_comparison
from expunge.requests.graph_request import GraphRequest
from expunge.requests.interaction_request import InteractionRequest
from expunge.studies.advice import recommended
from expunge.studies.graph_job import graph_request_from, predicted
from expunge.studies.kinds import FORMS, AnyRequest, misfit
from expunge.studies.locate import line_of
from expunge.studies.recommendation_job import interaction_request_from
from expunge.tasks.regression import rising

Location = tuple[str | int, ...]
EXAMPLES, PAIRS = 64, 2048  # in a batch; of a recommender, where each step reads the whole network


class BadJob(BadSetting):
    """A job file that cannot be run: names the file, the line and the field."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(_Settings):
    """Which data: a known name, a file or folder, or an import string; and how much of it. Each kind takes its own."""

    name: str
    train: int | None = Field(None, ge=1)
    holdout: int | None = Field(None, ge=1)
    size: int = Field(32, ge=1)
    grayscale: bool = False
    columns: Path | None = None
    target: str | None = None
    holdout_share: float | None = Field(None, gt=0, lt=1)
    features: Path | dict[str, Path] | None = None
    triples: bool = False
    fanout: tuple[int, ...] | None = None
    minimum_rating: float | None = None
    minimum_count: int = Field(1, ge=1)

    @field_validator("features", mode="before")
    @classmethod
    def _files(cls, given: Any) -> Any:
        named = [*given, *given.values()] if isinstance(given, dict) else [given]
        if given is not None and not all(isinstance(name, str | Path) for name in named):
            raise ValueError(f"a file or a folder, or a file for each modality, {{image: image.npy}}, not {given!r}")
        return given


class ModelSettings(_Settings):
    """Which architecture, and trained weights if there are any."""

    name: str
    arguments: dict[str, Any] = {}
    weights: Path | None = None


class TaskSettings(_Settings):
    """How answers are judged where targets are real numbers, see `RegressionTask`; and what is predicted of a graph."""

    predict: Literal["links", "nodes"] | None = None
    loss: Literal["l1", "l2", "huber", "pinball"] = "l1"
    delta: float = Field(1.0, gt=0)
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    @field_validator("quantiles")
    @classmethod
    def _rise(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        return rising(levels)

    distance: Literal["squared", "huber"] = "squared"


class EngineSettings(_Settings):
    """How to run."""

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_seconds: float = Field(20.0, ge=0)
    checkpoint_steps: int | None = Field(None, ge=1)


class _Fields(_Settings):
    """The file's top level; parts with many forms are read below."""

    title: str = ""
    seed: int = 0
    data: DataSettings
    model: ModelSettings
    task: TaskSettings | None = None
    batch_size: int | None = Field(None, ge=1)
    validation: float = Field(0.2, ge=0, lt=1)
    training: dict[str, Any] = {}
    request: dict[str, Any]
    methods: list[Any] = Field(min_length=1)
    deliver: str | None = None
    retrained: int = Field(2, ge=0)
    engine: EngineSettings = Field(default_factory=EngineSettings)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Job:
    """A checked job.

    Args:
        title: for the report's head.
        task: how real-numbered targets are judged; None for the defaults, and for classes.
        validation: share of the holdout set that methods may look at; it is kept out of all audits.
        training: the recipe of the original and of the retrained models.
        methods: by row name.
        deliver: the row whose model is written as model.safetensors.
        retrained: retrained models to hold against; 0 proves nothing.
        text: the file as it was written.
        source: what errors call it.
    """

    title: str
    seed: int
    data: DataSettings
    model: ModelSettings
    task: TaskSettings | None
    batch_size: int
    validation: float
    training: Retrain
    request: AnyRequest
    methods: Mapping[str, Method]
    deliver: str
    retrained: int
    engine: EngineSettings
    text: str
    source: str = field(default="job", compare=False)

    def place(self, *location: str | int) -> str:
        """Where a field stands, for errors: file, line and the field."""
        return _place(self.source, self.text, location)


def _place(source: str, text: str, location: Location) -> str:
    return f"{source}, line {line_of(text, location)}, {'.'.join(str(part) for part in location)}"


def read_job(path: str | Path) -> Job:
    """Read and check a job file.

    Raises:
        BadJob: naming file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise BadJob(f"job file not found: {path}")
    try:
        return parse_job(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise BadJob(f"{path} is not a text file in UTF-8: {error}") from error


def parse_job(text: str, source: str = "job") -> Job:
    """Check a job given as YAML text; `source` is what errors call it."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadJob(f"{source} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadJob(f"{source}: a job is a mapping with data, model, request and methods; see `expunge run --help`")
    try:
        return _checked(content, text, source)
    except _At as error:
        raise BadJob(f"{_place(source, text, error.location)}: {error.message}") from error


class _At(Exception):
    """A fault at one place of the job."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location, self.message = location, message


def _checked(content: dict[str, Any], text: str, source: str) -> Job:
    fields = _read(_Fields, content, ())
    training, request = _read(Retrain, fields.training, ("training",)), _request(fields.request)
    _check_fit(fields, request)
    methods = {}
    for index, entry in enumerate(fields.methods):
        auto = _auto(training, request, fields.task)
        name, method = (auto.name, auto) if entry == "auto" else _method(entry, ("methods", index), training)
        if name in methods:
            raise _At(("methods", index), f"a second method is called '{name}'; give it another label")
        methods[name] = method
    deliver = fields.deliver or next(iter(methods))
    if deliver not in methods:
        raise _At(("deliver",), f"'{deliver}' is not one of the methods: {', '.join(methods)}")
    return Job(
        title=fields.title,
        seed=fields.seed,
        data=fields.data,
        model=fields.model,
        task=fields.task,
        batch_size=fields.batch_size or (PAIRS if isinstance(request, InteractionRequest) else EXAMPLES),
        validation=fields.validation,
        training=training,
        request=request,
        methods=methods,
        deliver=deliver,
        retrained=fields.retrained,
        engine=fields.engine,
        text=text,
        source=source,
    )


def _check_fit(fields: _Fields, request: AnyRequest) -> None:
    """Refuse settings that are for other data than the request is about."""
    for part, given in (("data", fields.data), ("task", fields.task)):
        for name in sorted(given.model_fields_set if given else ()):
            value = getattr(given, name)
            if value is not None and value is not False and (message := misfit(request, part, name)):
                raise _At((part, name), message)
    if isinstance(request, GraphRequest) and isinstance(fields.data.features, dict):
        raise _At(("data", "features"), "on graphs it is one file, the table of the nodes; only recommenders take several")


def _auto(training: Retrain, request: AnyRequest, task: TaskSettings | None) -> Method:
    if isinstance(request, InteractionRequest):
        return recommended(training, kind=False, predicts="rankings")
    if isinstance(request, GraphRequest):
        return recommended(training, kind=False, predicts=predicted(request, task.predict if task else None))
    return recommended(training, request.describes_unseen)


def _read(kind: Any, value: Any, location: Location) -> Any:
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
        raise _At(place, message) from error


def _names(kind: Any, inside: Sequence[int | str] = ()) -> list[str]:
    """The fields of a dataclass or model, or of the one that the field path `inside` leads to."""
    for part in inside:
        kind = get_type_hints(kind)[str(part)]
        kind = next((each for each in get_args(kind) if each is not type(None)), kind)  # of `X | None`, X
    return list(kind.model_fields) if hasattr(kind, "model_fields") else [field.name for field in dataclass_fields(kind)]


def _method(entry: Any, location: Location, training: Retrain) -> tuple[str, Method]:
    settings: Any = {"method": entry} if isinstance(entry, str) else entry
    if not isinstance(settings, dict) or not isinstance(settings.get("method"), str):
        raise _At(location, "a method is a name, or a mapping like {method: scrub, epochs: 5}")
    try:
        kind = find(METHODS, settings["method"], "method")
    except ExpungeError as error:
        raise _At(location, str(error)) from error
    fields = {key: value for key, value in settings.items() if key not in ("method", "label", "like_training")}
    if _true(settings.get("like_training", False), "like_training", location):
        fields = _like_training(kind, training, location) | fields
    name = settings.get("label", settings["method"])
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w .+-]*", name):
        raise _At(location, f"a label is letters, digits, spaces and . + - _, beginning with a letter or digit, not {name!r}")
    if name == "original" or name.startswith("retrained"):
        raise _At(location, f"'{name}' is the name of a reference; label the method otherwise")
    return name, _read(kind, fields, location)


def _true(said: Any, name: str, location: Location) -> bool:
    if not isinstance(said, bool):
        raise _At(location, f"{name} is true or false, not {said!r}")
    return said


def _like_training(kind: Any, training: Retrain, location: Location) -> dict[str, Any]:
    """The fields that fit the recipe of the original, for methods that know how."""
    if not hasattr(kind, "from_recipe"):
        able = [name for name, method in METHODS.items() if hasattr(method, "from_recipe")]
        raise _At(location, f"like_training is for {', '.join(able)}; {kind.name} has settings of its own")
    made = kind.from_recipe(training)
    return {field.name: getattr(made, field.name) for field in dataclass_fields(made)}


def _request(fields: dict[str, Any]) -> AnyRequest:
    try:
        return graph_request_from(fields) or interaction_request_from(fields) or request_from(fields)
    except ExpungeError as error:
        raise _At(("request",), str(error)) from error


def request_from(fields: Mapping[str, Any]) -> Request:
    """The request that a mapping spells out: class, rows, rows_in, column with values or values_in, where, or fraction.

    With `kind: true` an equality under `where` says what kind of thing a row is, so that unseen rows are told apart by it too.

    Raises:
        BadSetting: when the fields do not make exactly one request.
    """
    keys = set(fields)
    if keys == {"class"}:
        name = fields["class"]
        return ForgetClass(tuple(name) if isinstance(name, list) else name)
    if keys == {"rows"} and isinstance(fields["rows"], list):
        return ForgetRows(_whole_numbers(fields["rows"]))
    if keys == {"rows_in"}:
        return ForgetRows(_whole_numbers(read_values(_text(fields, "rows_in"))))
    if keys == {"column", "values"} and isinstance(fields["values"], list):
        return ForgetWhere(_text(fields, "column"), tuple(str(value) for value in fields["values"]))
    if keys == {"column", "values_in"}:
        column = _text(fields, "column")
        return ForgetWhere(column, tuple(read_values(_text(fields, "values_in"), column)))
    if "where" in keys and keys <= {"where", "kind"}:
        return _comparison(fields)
    if "fraction" in keys and keys <= {"fraction", "seed"}:
        fraction, seed = fields["fraction"], fields.get("seed", 0)
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
            raise BadSetting(f"fraction is a number between 0 and 1, not {fraction!r}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise BadSetting(f"the seed of a request is a whole number, not {seed!r}")
        return ForgetFraction(float(fraction), seed)
    raise BadSetting(f"a request is one of {FORMS}; these fields make none: {', '.join(sorted(keys)) or 'none'}")


def _comparison(fields: Mapping[str, Any]) -> Request:
    kind = fields.get("kind", False)
    if not isinstance(kind, bool):
        raise BadSetting(f"kind is true or false, not {kind!r}")
    return parse_comparison(_text(fields, "where"), kind=kind)


def _text(fields: Mapping[str, Any], name: str) -> str:
    if not isinstance(fields[name], str | Path):
        raise BadSetting(f"{name} is a text, not {fields[name]!r}")
    return str(fields[name])


def _whole_numbers(values: list[Any]) -> tuple[int, ...]:
    try:
        return tuple(int(str(value)) for value in values)
    except ValueError as error:
        raise BadSetting(f"rows are whole numbers from 0: {error}") from error
