"""A job file: everything that one run needs, in YAML, checked before anything is trained.

data: {name: mnist, train: 6000}
model: {name: small-cnn}                       # or {name: "my_package.my_module:make_model", weights: model.safetensors}
training: {epochs: 15, optimizer: {learning_rate: 0.002}}
request: {class: 3}                            # or rows, rows_in, column with values or values_in, where, fraction; of graphs
                                               # and recommenders those of `graph_job` and `recommendation_job`
methods: [scrub, {method: ssd, alpha: 3}]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from expunge.data import read_values
from expunge.errors import BadSetting, ExpungeError
from expunge.methods import Method, Retrain
from expunge.requests import ForgetClass, ForgetFraction, ForgetRows, ForgetWhere, Request, parse_comparison
from expunge.requests.graph_request import GraphRequest
from expunge.requests.interaction_request import InteractionRequest
from expunge.studies.advice import recommended
from expunge.studies.fields import BadJob, Fault, Settings, method_of, place_of, read_fields, read_mapping
from expunge.studies.graph_job import graph_request_from, predicted
from expunge.studies.kinds import FORMS, AnyRequest, misfit
from expunge.studies.recommendation_job import interaction_request_from
from expunge.tasks.regression import rising

EXAMPLES, PAIRS = 64, 2048  # in a batch; of a recommender, where each step reads the whole network


class DataSettings(Settings):
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


class ModelSettings(Settings):
    """Which architecture, and trained weights if there are any."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: Path | None = None


class TaskSettings(Settings):
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


class EngineSettings(Settings):
    """How to run."""

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_seconds: float = Field(20.0, ge=0)
    checkpoint_steps: int | None = Field(None, ge=1)


class _Fields(Settings):
    """The file's top level; parts with many forms are read below."""

    title: str = ""
    seed: int = 0
    data: DataSettings
    model: ModelSettings
    task: TaskSettings | None = None
    batch_size: int | None = Field(None, ge=1)
    validation: float = Field(0.2, ge=0, lt=1)
    training: dict[str, Any] = Field(default_factory=dict)
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
        return place_of(self.source, self.text, location)


def read_job(path: str | Path) -> Job:
    """Read and check a job file.

    Raises:
        BadJob: naming file, line and field.
    """
    return parse_job(job_text(path), str(path))


def job_text(path: str | Path) -> str:
    """What stands in a job file.

    Raises:
        BadJob: if there is none, or no text in it.
    """
    path = Path(path)
    if not path.is_file():
        raise BadJob(f"job file not found: {path}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadJob(f"{path} is not a text file in UTF-8: {error}") from error


def parse_job(text: str, source: str = "job") -> Job:
    """Check a job given as YAML text; `source` is what errors call it."""
    return read_mapping(text, source, "data, model, request and methods", lambda content: _checked(content, text, source))


def _checked(content: dict[str, Any], text: str, source: str) -> Job:
    if content.get("task") == "language":
        raise Fault(("task",), "only `expunge run` and `expunge forget` serve jobs on language models")
    fields = read_fields(_Fields, content, ())
    training, request = read_fields(Retrain, fields.training, ("training",)), _request(fields.request)
    _check_fit(fields, request)
    methods = {}
    for index, entry in enumerate(fields.methods):
        auto = _auto(training, request, fields.task)
        name, method = (auto.name, auto) if entry == "auto" else method_of(entry, ("methods", index), training)
        if name in methods:
            raise Fault(("methods", index), f"a second method is called '{name}'; give it another label")
        methods[name] = method
    deliver = fields.deliver or next(iter(methods))
    if deliver not in methods:
        raise Fault(("deliver",), f"'{deliver}' is not one of the methods: {', '.join(methods)}")
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
                raise Fault((part, name), message)
    if isinstance(request, GraphRequest) and isinstance(fields.data.features, dict):
        raise Fault(("data", "features"), "on graphs it is one file, the table of the nodes; only recommenders take several")


def _auto(training: Retrain, request: AnyRequest, task: TaskSettings | None) -> Method:
    if isinstance(request, InteractionRequest):
        return recommended(training, kind=False, predicts="rankings")
    if isinstance(request, GraphRequest):
        return recommended(training, kind=False, predicts=predicted(request, task.predict if task else None))
    return recommended(training, request.describes_unseen)


def _request(fields: dict[str, Any]) -> AnyRequest:
    try:
        return graph_request_from(fields) or interaction_request_from(fields) or request_from(fields)
    except ExpungeError as error:
        raise Fault(("request",), str(error)) from error


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
