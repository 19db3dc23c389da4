"""`expunge score`: from two tables to a score, all that stands beside it, and the files that tell of it."""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from torch import nn

from expunge.data.table import read_frame
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.report.scored import Made, Scored, finding, pairs
from expunge.report.table_columns import views
from expunge.report.table_score import write_table_score
from expunge.storage import write_json, write_text
from expunge.studies.machine import fitting_threads, machine
from expunge.tabular import TabSynDex
from expunge.tabular.coded import FEWEST_ROWS, Coded, code
from expunge.tabular.measures import measure
from expunge.tabular.schema import read_kinds
from expunge.tabular.score import Comparison, Score
from expunge.tabular.scoring.pair import Mode, Task

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

RECORD, COLUMNS, PAIRS, KINDS, REPORT = "score.json", "columns.csv", "pairs.csv", "kinds.yaml", "report.html"
SYNTHETIC = ("synthetic.csv", "synthetic.tsv")  # what `expunge synthesize` leaves besides
FEWEST_REAL = 2 * FEWEST_ROWS  # as each half is a table
_OTHERS = ("audit.json", "study.json", "job.yaml", "values.json", "search.json")  # what runs of other kinds leave

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """How tables are compared.

    Args:
        target: the column that models predict.
        task: "regression" or "classification"; what the target suggests when None.
        categorical: columns whose numbers name categories.
        kinds: a YAML file of what some columns are.
        mode: "robust", "paper" or "official".
        seed: of all that is drawn.
    """

    target: str | None = None
    task: Task | None = None
    categorical: tuple[str, ...] = ()
    kinds: Path | None = None
    mode: Mode = "robust"
    seed: int = 0

    def tabsyndex(self) -> TabSynDex:
        """The score that is wanted.

        Raises:
            BadFile: if the file of kinds is none.
            BadSetting: if settings make no sense.
        """
        if self.seed < 0:
            raise BadSetting(f"seed must be 0 or above, not {self.seed}")
        return TabSynDex(
            categorical=self.categorical,
            target=self.target,
            task=self.task,
            mode=self.mode,
            kinds=None if self.kinds is None else read_kinds(self.kinds),
            seed=self.seed,
        )


@dataclass(frozen=True)
class Tables:
    """What is compared.

    Args:
        real: rows that the generator learned.
        synthetic: rows that it made.
        holdout: real rows that it never saw.
        names: what real and synthetic table are called.
    """

    real: "pd.DataFrame"
    synthetic: "pd.DataFrame"
    holdout: "pd.DataFrame | None"
    names: tuple[str, str]


def score_tables(
    real: Path,
    synthetic: Path,
    wanted: Scoring,
    out: Path,
    holdout: Path | None = None,
    overwrite: bool = False,
    command: str = "",
    say: Say = lambda line: None,
) -> Scored:
    """Score a synthetic table, and write all that was found into a folder.

    Args:
        real: CSV or TSV file; `holdout`, of rows that the generator never saw, too.
        synthetic: has the same columns.
        say: told what is done, a line at a time.

    Raises:
        BadFile: if a file is no table or lacks columns, or the folder holds something else.
        BadSetting: if options make no sense, or don't go together.
    """
    check_folder(out, overwrite)
    if any((out / name).exists() for name in SYNTHETIC):
        raise BadFile(f"{out} holds a run of another kind; give another folder with --out")
    if holdout is not None and holdout.expanduser().resolve() == real.expanduser().resolve():
        raise BadSetting(f"the holdout is {real} itself; give real rows that the generator never saw, or none")
    tabsyndex = wanted.tabsyndex()
    frames = [None if path is None else read_frame(path.expanduser()) for path in (real, synthetic, holdout)]
    assert frames[0] is not None and frames[1] is not None
    tables = Tables(frames[0], frames[1], frames[2], (real.name, synthetic.name))
    with one_thread():
        scored = judge(tables, tabsyndex, say, command=command)
    write_scored(scored, out)
    return scored


@contextmanager
def one_thread() -> Iterator[None]:
    """As small networks are worked on; see :func:`~expunge.studies.machine.fitting_threads`."""
    with fitting_threads(nn.Identity()):
        yield


def judge(
    tables: Tables,
    tabsyndex: TabSynDex,
    say: Say = lambda line: None,
    *,
    made: Made | None = None,
    notes: Sequence[str] = (),
    command: str = "",
    engine: Engine | None = None,
) -> Scored:
    """Score a table and measure all else.

    Raises:
        BadFile: if a table lacks columns, has too few rows, or values that don't fit.
        BadSetting: if settings don't fit the real table.
    """
    started = time.perf_counter()
    schema = tabsyndex.schema(tables.real)
    if (count := len(tables.real)) < FEWEST_REAL:
        has = f"{count} row{'s' * (count != 1)}"
        raise BadFile(f"{tables.names[0]} has {has}; expected at least {FEWEST_REAL}, as each half is scored")
    real, synthetic = code(tables.real, schema, tables.names[0]), code(tables.synthetic, schema, tables.names[1])
    holdout = None if tables.holdout is None else code(tables.holdout, schema, "the holdout table")
    _check_holdout(holdout, tabsyndex.target)
    say("scoring the synthetic table, halves of the real one, and shuffled columns ...")
    comparison = tabsyndex.compare(tables.real, tables.synthetic, tables.holdout)
    say("looking for copies, and measuring all else ...")
    target = tabsyndex.target
    return Scored(
        real=tables.names[0],
        synthetic=tables.names[1],
        schema=schema,
        comparison=comparison,
        measures=measure(real, synthetic, holdout, target, tabsyndex.seed),
        columns=views(real, synthetic),
        rows=(len(real), len(synthetic), 0 if holdout is None else len(holdout)),
        target=target,
        seed=tabsyndex.seed,
        seconds=time.perf_counter() - started,
        notes=tuple(notes),
        made=made,
        command=command,
        machine=machine(engine or Engine(progress=False)),
    )


def _check_holdout(holdout: Coded | None, target: str | None) -> None:
    """Refuse held-out rows that models can't be judged on."""
    if holdout is None or target is None:
        return
    column = holdout.schema[target]
    if column.kind == "category":
        known = holdout.codes[:, holdout.schema.categories.index(column)] < len(column.values)
    else:
        known = ~np.isnan(holdout.numbers[:, holdout.schema.numbers.index(column)])
    if not known.any():
        raise BadFile(f"no row of the holdout table has a value of '{target}' that the real table knows; give some that have")


def check_folder(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or a finished score that may not be replaced.

    Raises:
        BadFile: if it does.
    """
    if (there := next(each for each in (out, *out.absolute().parents) if each.exists())) and not there.is_dir():
        raise BadFile(f"{there} is a file; give a folder for the score")
    own = any((out / name).exists() for name in (RECORD, COLUMNS))  # columns alone: a run that was killed as it wrote
    if any((out / name).exists() for name in _OTHERS) or ((out / REPORT).exists() and not own):
        raise BadFile(f"{out} holds a run of another kind; give another folder with --out")
    if (out / RECORD).exists() and not overwrite:
        raise BadFile(f"{out} holds a finished score; give another folder with --out, or replace it with --overwrite")


def write_scored(scored: Scored, out: Path) -> None:
    """Write the record, the tables of columns and pairs, the kinds and the page; the record last."""
    write_text(out / COLUMNS, _columns(scored))
    write_text(out / PAIRS, _pairs(scored))
    kinds: dict[str, str] = {column.name: column.kind for column in scored.schema}
    write_text(out / KINDS, yaml.safe_dump({"columns": kinds}, sort_keys=False, allow_unicode=True))
    write_table_score(scored, out / REPORT)
    write_json(out / RECORD, record(scored))


def record(scored: Scored) -> dict[str, Any]:
    """All that was found, as JSON holds it."""
    found: Comparison = scored.comparison
    made = scored.made
    return {
        "real": scored.real,
        "synthetic": scored.synthetic,
        "rows": dict(zip(("real", "synthetic", "holdout"), scored.rows, strict=True)),
        "verdict": finding(scored),
        "is_copy": scored.is_copy,
        "total": scored.score.total,
        "floor": scored.floor,
        "ceiling": scored.ceiling,
        "place": scored.place,
        "mode": scored.score.mode,
        "target": scored.target,
        "seed": scored.seed,
        "score": _plain(found.score.as_json()),
        "reference": {name: _without_maps(score) for name, score in found.reference.rows().items()},
        "paper": None if found.paper is None else _without_maps(found.paper),
        "paper_reference": None
        if found.paper_reference is None
        else {name: _without_maps(score) for name, score in found.paper_reference.rows().items()},
        "measures": [_plain(asdict(figure)) for figure in scored.measures.figures],
        "privacy": {"verdict": scored.measures.privacy.verdict, "reasons": list(scored.measures.privacy.reasons)},
        "kinds": {column.name: column.kind for column in scored.schema},
        "notes": list(scored.notes),
        "made": None if made is None else _made(made),
        "seconds": scored.seconds,
        "command": scored.command,
        "machine": dict(scored.machine or {}),
    }


def _made(made: Made) -> dict[str, Any]:
    training = made.training
    return {
        "generator": made.generator,
        "settings": _plain(dict(made.settings)),
        "conditions": made.conditions,
        "loaded": made.loaded,
        "seconds": made.seconds,
        "training": None
        if training is None
        else {
            "epochs": training.epochs,
            "chosen": training.chosen,
            "scores": {
                str(epoch): {"total": score.total, **score.components} for epoch, score in sorted(training.scores.items())
            },
            "losses": {name: _plain(list(values)) for name, values in training.losses.items()},
        },
    }


def _without_maps(score: Score) -> dict[str, Any]:
    found: dict[str, Any] = _plain({**score.as_json(), "associations": None})
    return found


def _plain(value: Any) -> Any:
    """With None in the place of what JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _columns(scored: Scored) -> str:
    parts, shapes = scored.score.columns, scored.measures.fidelity.shapes
    named = [*(parts.get(part, {}) for part in ("basic", "support", "correlation")), shapes]
    rows = [[column.name, column.kind, *(each.get(column.name) for each in named)] for column in scored.schema]
    return _csv(["column", "kind", "basic", "support", "correlation", "shape"], rows)


def _pairs(scored: Scored) -> str:
    rows = [[column, other, real, made, made - real] for column, other, real, made in pairs(scored)]
    return _csv(["column", "told_by", "real", "synthetic", "difference"], rows)


def _csv(header: list[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()
