"""`expunge value`: from options to values, what they are judged by, and the files that tell of it."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from expunge.data import Source, load, take
from expunge.data.class_table import read_numbered_table
from expunge.data.table import SUFFIXES
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.importing import call_imported, is_import_string
from expunge.registry import find
from expunge.report.valuation import write_valuation
from expunge.report.valued import Basis, Loss, Valued
from expunge.storage import write_json, write_text
from expunge.studies.machine import fitting_threads, machine
from expunge.studies.valuing_data import Array, Labelled, Parts, asked_rows, part
from expunge.valuation import Logistic, Network, RidgeRegression, Utility, ValuationMethod, Values
from expunge.valuation.evaluation import SHARES, Curves, curves
from expunge.valuation.game import Game
from expunge.valuation.metrics import METRICS

RECORD, ROWS, CLUSTERS, REPORT, WORK = "values.json", "values.csv", "clusters.csv", "report.html", "work"
MODELS: dict[str, Any] = {"logistic": Logistic, "network": Network, "ridge": RidgeRegression}
_WORDS = {"logistic": "a logistic regression", "network": "a small network", "ridge": "a ridge regression"}
_ORDERS = 5  # at random, beside those by value
_OTHERS = ("audit.json", "study.json", "job.yaml", "score.json", "search.json")  # what runs of other kinds leave
_LEAST_TOTAL = 1e-9  # of the values without their signs: less is what sums in floating point leave of 0


@dataclass(frozen=True)
class Wanted:
    """What is to be valued, and for what.

    Args:
        data: a name, a table, a folder, or an import string.
        target: the column of a table to predict.
        classes: whether numbers in it name classes.
        train: only the first so many training rows.
        method: the name of a valuation.
        clusters: about how many it makes, if it makes some.
        metric: accuracy for classes and r2 for numbers when None.
        model: a name, or an import string of a function that returns an estimator; logistic for classes and ridge for numbers
            when None.
        rows: a file of rows that a request names.
        seed: of all that is drawn.
        device: where models are trained at once.
        jobs: processes, for estimators.
    """

    data: str
    target: str | None = None
    classes: bool = False
    train: int | None = None
    method: str = "ecoval"
    clusters: int | None = None
    metric: str | None = None
    model: str | None = None
    rows: Path | None = None
    seed: int = 0
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    jobs: int | None = None


@dataclass(frozen=True)
class _Task:
    """What is wanted, read and checked."""

    kind: type[ValuationMethod]
    source: Source
    parts: Parts
    metric: str
    name: str  # of the model
    model: Any
    asked: tuple[Array, int] | None  # places of rows that a request names, and how many it names
    engine: Engine


def value_data(wanted: Wanted, out: Path, overwrite: bool = False, command: str = "", least: int = 10) -> Valued:
    """Value the rows of some data, and write all that was found into a folder.

    A run that was killed goes on where it was: utilities are kept in the folder.

    Args:
        least: how many of the least valuable rows the record names.

    Raises:
        BadSetting: if options make no sense, or don't go together.
        BadFile: if a file is not what it should be, or the folder holds something else.
    """
    with fitting_threads(nn.Identity()):
        return _value_data(wanted, out, overwrite, command, least)


def _value_data(wanted: Wanted, out: Path, overwrite: bool, command: str, least: int) -> Valued:
    _check_folder(out, overwrite)
    task = _task(wanted)
    points = task.parts.points
    utility = _utility(wanted, task, task.parts.judges, out)
    method = task.kind(utility, **({} if wanted.clusters is None else {"clusters": wanted.clusters}))
    kept = utility.on(*points).kept  # before the method keeps more
    values = method.fit(*points)
    game = utility.on(*points)  # knows what the method found out
    unseen = _utility(wanted, task, task.parts.unseen, out).on(*points)
    with unseen.progress("curves", (2 + _ORDERS) * len(SHARES)):
        drawn = curves(unseen, values.values), _chance(unseen)
    resumed = kept > 0 and task.kind.asks_model and task.kind.asks_validation  # others ask for no utilities
    valued = replace(_valued(wanted, task, method, values, game, drawn), resumed=resumed, command=command)
    _write(valued, out, least)
    return valued


def _task(wanted: Wanted) -> _Task:
    kind = _method(wanted)
    engine = Engine(device=wanted.device, progress=False)
    source = _load(wanted)
    metric, name = _metric(wanted, source), wanted.model or ("logistic" if source.classes else "ridge")
    model = _model(name, source)
    parts = part(source, wanted.target, wanted.seed)
    asked = None if wanted.rows is None else asked_rows(wanted.rows, parts)
    return _Task(kind, source, parts, metric, name, model, asked, engine)


def _utility(wanted: Wanted, task: _Task, valid: Labelled, out: Path) -> Utility:
    return Utility(
        task.model,
        valid=valid,
        metric=task.metric,
        seed=wanted.seed,
        folder=out / WORK,
        device="cuda" if task.engine.device.type == "cuda" else "cpu",
        jobs=wanted.jobs,
    )


def _valued(
    wanted: Wanted, task: _Task, method: ValuationMethod, values: Values, game: Game, drawn: tuple[Curves, Array]
) -> Valued:
    parts, classes = task.parts, task.source.classes
    return Valued(
        data=task.source.name,
        values=values,
        about=_about(task.kind),
        settings={field.name: _plain(getattr(method, field.name)) for field in fields(method) if field.name != "utility"},
        metric=task.metric,
        model=_WORDS.get(task.name, task.name),
        seed=wanted.seed,
        rows=parts.rows,
        labels=parts.labels,
        target=parts.target,
        classes=len(classes),
        columns=parts.columns,
        images=parts.points[0] if parts.images else None,
        validation=len(parts.judges[1]),
        holdout=len(parts.unseen[1]),
        full=game.full,
        empty=game.empty,
        curves=drawn[0],
        chance=drawn[1],
        clusters=_clusters(values, parts, bool(classes)),
        request=None if task.asked is None else _loss(game, values, *task.asked, parts),
        notes=_notes(wanted, task),
        machine=machine(task.engine),
        basis=Basis(method.asks_model, method.asks_validation, method.zero_is_neutral),
        jobs=wanted.jobs,
    )


def _notes(wanted: Wanted, task: _Task) -> tuple[str, ...]:
    """What a reader should know of the data, and of options that say nothing to the method."""
    kind = task.kind
    idle = [] if kind.asks_model or wanted.model is None else ["--model"]
    idle += [] if (kind.asks_model and kind.asks_validation) or wanted.metric is None else ["--metric"]
    found = [task.source.note] if task.source.note else []
    if idle:
        play, they = ("plays", "it counts") if len(idle) == 1 else ("play", "they count")
        found.append(
            f"{' and '.join(idle)} {play} no part in values by {wanted.method}: {they} in the curves, and in what is said of "
            "models trained on all rows or without some."
        )
    return tuple(found)


def record(valued: Valued, least: int) -> dict[str, Any]:
    """All but the rows themselves, as JSON holds it."""
    order, label = valued.values.order()[:least], "class" if valued.classes else "target"
    request = valued.request
    return {
        "data": valued.data,
        "method": valued.values.method,
        "settings": dict(valued.settings),
        "model": valued.model,
        "metric": valued.metric,
        "seed": valued.seed,
        "rows": len(valued.rows),
        "validation_rows": valued.validation,
        "holdout_rows": valued.holdout,
        "cost": asdict(valued.values.cost),
        "utility": {"full": valued.full, "empty": valued.empty},
        "sum_of_values": float(valued.values.values.sum()),
        "facts": {name: _finite(value) for name, value in valued.values.facts.items()},
        "curves": {
            "shares": list(SHARES),
            **{name: values.tolist() for name, values in asdict(valued.curves).items()},
            "addition_random": valued.chance.mean(0).tolist(),
        },
        "least": [
            {"row": int(valued.rows[each]), "value": float(valued.values.values[each]), label: str(valued.labels[each])}
            for each in order
        ],
        "request": None
        if request is None
        else {
            "named_rows": request.named,
            "valued_rows": len(request.rows),
            "sum_of_values": request.value,
            "share": request.share,
            "utility_with": request.before,
            "utility_without": request.after,
            "utility_lost": request.before - request.after,
        },
        "command": valued.command,
        "machine": dict(valued.machine or {}),
    }


def _check_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise BadFile(f"{out} is a file; give a folder for the values")
    own = (out / RECORD).exists() or (out / ROWS).exists()  # rows alone: a run that was killed as it wrote
    if any((out / name).exists() for name in _OTHERS) or ((out / REPORT).exists() and not own):
        raise BadFile(f"{out} holds a run of another kind; give another folder with --out")
    if (out / RECORD).exists() and not overwrite:
        raise BadFile(f"{out} holds finished values; give another folder with --out, or replace them with --overwrite")


def _method(wanted: Wanted) -> type[ValuationMethod]:
    from expunge.valuation import VALUATIONS

    if wanted.seed < 0:
        raise BadSetting(f"seed must be 0 or above, not {wanted.seed}")
    if wanted.jobs == 0:
        raise BadSetting("jobs must be 1 process or more, or -1 for one on each core, not 0")
    kind: type[ValuationMethod] = find(VALUATIONS, wanted.method, "valuation")
    if wanted.clusters is not None and "clusters" not in {field.name for field in fields(kind)}:
        raise BadSetting(f"{wanted.method} makes no clusters: leave --clusters out")
    if wanted.metric is not None and wanted.metric not in METRICS:
        raise BadSetting(f"unknown metric {wanted.metric!r}; there are {', '.join(METRICS)}")
    if wanted.model is not None and wanted.model not in MODELS and not is_import_string(wanted.model):
        raise BadSetting(f"unknown model {wanted.model!r}; there are {', '.join(MODELS)}, and package.module:function")
    return kind


def _load(wanted: Wanted) -> Source:
    if Path(wanted.data).suffix.lower() in SUFFIXES:
        source = read_numbered_table(Path(wanted.data).expanduser(), wanted.target, wanted.classes)
        return source if wanted.train is None else _first(source, wanted.train)
    if wanted.classes:
        raise BadSetting(f"{wanted.data} is no table, and knows what its targets are: leave --classes out")
    return load(wanted.data, target=wanted.target, train=wanted.train)


def _first(source: Source, count: int) -> Source:
    try:
        return replace(source, train=take(source.train, count))
    except BadSetting as error:
        raise BadSetting(f"{source.name}, train: {error}") from None


def _metric(wanted: Wanted, source: Source) -> str:
    metric = wanted.metric or ("accuracy" if source.classes else "r2")
    if bool(source.classes) == (metric == "r2"):
        raise BadSetting(f"{metric} is no metric of targets that are {_kind(source)}")
    return metric


def _model(name: str, source: Source) -> Any:
    if name not in MODELS:
        return call_imported(name)
    if bool(source.classes) == (name == "ridge"):
        raise BadSetting(f"{name} can't learn targets that are {_kind(source)}")
    return MODELS[name]()


def _kind(source: Source) -> str:
    return "classes" if source.classes else "numbers; say --classes if the numbers of a table name classes"


def _about(kind: type[ValuationMethod]) -> str:
    """What a method is, and where it comes from."""
    import sys

    text = sys.modules[kind.__module__].__doc__ or ""
    reference = re.split(r"\n(?:Needs:|Costs:|\n)", text.partition("\nReference: ")[2])[0]
    return " ".join(f"{kind.summary()} {reference}".split())


def _chance(game: Game) -> Array:
    """Utility of the first rows of random orders, shape (orders, shares)."""
    count = len(game)
    come = np.array([max(count - round(share * count), 1) for share in reversed(SHARES)])
    generator = game.generator("curves")
    places = np.stack([generator.permutation(count) for _ in range(_ORDERS)])
    masks = places[:, None] < come[:, None]
    return game.utilities(masks.reshape(-1, count)).reshape(_ORDERS, len(SHARES))


def _loss(game: Game, values: Values, places: Array, named: int, parts: Parts) -> Loss:
    without = np.ones(len(values.values), bool)
    without[places] = False
    value, total = float(values.values[places].sum()), float(values.values.sum())
    after = float(game.utilities(without[None])[0])
    share = value / total if total > _LEAST_TOTAL * np.abs(values.values).sum() else None
    return Loss(named, parts.rows[places], value, share, game.full, after)


def _clusters(values: Values, parts: Parts, classes: bool) -> tuple[Mapping[str, Any], ...]:
    if values.clusters is None:
        return ()
    found = []
    flat = parts.points[0].reshape(len(parts.rows), -1)
    for number in range(int(values.clusters.max()) + 1):
        members = np.flatnonzero(values.clusters == number)
        labels = parts.labels[members]
        names, counts = np.unique(labels, return_counts=True)
        typical = members[np.square(flat[members] - flat[members].mean(0)).sum(1).argmin()]
        worth = values.values[members].sum() if values.cluster_values is None else values.cluster_values[number]
        found.append(
            {
                "cluster": number,
                "class": str(names[counts.argmax()]) if classes else f"{labels.astype(float).mean():.6g}",
                "members": len(members),
                "value": float(worth),
                "typical_row": int(parts.rows[typical]),
            }
        )
    return tuple(found)


def _write(valued: Valued, out: Path, least: int) -> None:
    (out / RECORD).unlink(missing_ok=True)  # first: without it the folder does not count as whole
    (out / CLUSTERS).unlink(missing_ok=True)
    values, clusters = valued.values.values.tolist(), valued.values.clusters
    heads = ["row", "value", "rank", *([] if clusters is None else ["cluster"]), "class" if valued.classes else "target"]
    columns = [valued.rows.tolist(), values, valued.ranks.tolist()]
    columns += ([] if clusters is None else [clusters.tolist()]) + [valued.labels.tolist()]
    order = valued.values.order()[::-1].tolist()
    write_text(out / ROWS, _csv(heads, [[column[place] for column in columns] for place in order]))
    if valued.clusters:
        write_text(out / CLUSTERS, _csv(list(valued.clusters[0]), [list(each.values()) for each in valued.clusters]))
    write_valuation(valued, out / REPORT)
    write_json(out / RECORD, record(valued, least))


def _csv(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else repr(value)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
