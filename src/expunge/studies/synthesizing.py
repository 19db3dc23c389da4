"""`expunge synthesize`: from a real table to a generator, a synthetic table, and what it is worth."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml

from expunge.data.table import read_frame
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.registry import find
from expunge.report.scored import Made, Scored, Training
from expunge.storage import write_text
from expunge.studies.table_scoring import FEWEST_REAL, Say, Scoring, Tables, check_folder, judge, one_thread, write_scored
from expunge.tabular import GENERATORS, Generator, ScoreMonitor, TableSchema, TabSynDex
from expunge.tabular.coded import FEWEST_ROWS, code
from expunge.tabular.generators import Conditions

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

GENERATOR, WORK = "generator.safetensors", "work"
_RANGE, _EITHER = "..", "|"
_EXAMPLES = "income=>50K, age=30..40, city=Oslo|Bern, or city= for a gap"


@dataclass(frozen=True)
class Synthesis:
    """What is to be made, and how.

    Args:
        generator: its name; of a loaded one it is in the file.
        rows: how many to make; as many as were learned when None.
        settings: of the generator, by name, as texts or values.
        conditions: that all rows satisfy: "income=>50K", "age=30..40", "city=Oslo|Bern", "city=" for a gap.
        holdout_share: of the real rows that the generator doesn't see; 0 for none.
        holdout: a file of real rows to judge by instead; then all of the real table is learned.
        every: epochs from one score of the training to the next.
        patience: stop after so many epochs without a better score; never when None.
        load: a generator that was saved; nothing is trained then.
        device: where networks train.
    """

    generator: str = "gaussian-copula"
    rows: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Sequence[str] = ()
    holdout_share: float = 0.2
    holdout: Path | None = None
    every: int = 5
    patience: int | None = None
    load: Path | None = None
    device: Literal["cpu", "cuda", "auto"] = "cpu"


def synthesize(
    real: Path,
    wanted: Synthesis,
    scoring: Scoring,
    out: Path,
    overwrite: bool = False,
    command: str = "",
    say: Say = lambda line: None,
) -> Scored:
    """Learn a table, make rows like its rows, judge them, and write all of it into a folder.

    A training that was killed goes on where it was: its checkpoints are kept in the folder.

    Args:
        real: CSV or TSV file.
        wanted: what is to be made.
        scoring: how it is judged.
        say: told what is done, a line at a time.

    Raises:
        BadFile: if a file is no table or no generator, or the folder holds something else.
        BadRequest: if rows under these conditions can't be made.
        BadSetting: if options make no sense, or don't go together.
    """
    check_folder(out, overwrite)
    _check(wanted)
    tabsyndex = scoring.tabsyndex()
    frame = read_frame(real.expanduser())
    schema = tabsyndex.schema(frame)
    learned, holdout, notes = _parts(frame, wanted, scoring.seed)
    schema = _narrowed(schema, learned)
    conditions = parse_conditions(wanted.conditions, schema)
    generator = _generator(wanted, tabsyndex, schema)
    engine = Engine(scoring.seed, wanted.device, folder=out / WORK)
    with one_thread():
        made = _fitted(generator, learned, schema, wanted, tabsyndex, engine, say)
        say("making rows ...")
        synthetic = made[0].sample(wanted.rows or len(learned), conditions, scoring.seed)
        suffix = ".tsv" if real.suffix.lower() == ".tsv" else ".csv"
        write_text(out / f"synthetic{suffix}", synthetic.to_csv(index=False, sep="\t" if suffix == ".tsv" else ","))
        made[0].save(out / GENERATOR)
        tables, more = _judged(Tables(learned, synthetic, holdout, (real.name, f"synthetic{suffix}")), schema, conditions)
        scored = judge(tables, tabsyndex, say, made=made[1], notes=(*notes, *more), command=command, engine=engine)
    write_scored(scored, out)
    return scored


def parse_conditions(texts: Sequence[str], schema: TableSchema) -> dict[str, Any]:
    """Conditions as :meth:`expunge.tabular.Generator.sample` takes them.

    Raises:
        BadRequest: if one names no column, or what the real table lacks.
        BadSetting: if one is none.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadSetting(f"condition {text!r} is none; conditions look like {_EXAMPLES}")
        found[name] = _condition(value, name in schema.names and schema[name].kind == "category")
    if found:
        Conditions.of(schema, found)  # refuses what can't be, before anything is trained
    return found


def _condition(value: str, category: bool) -> Any:
    if value == "":
        return None
    if category:
        return value.split(_EITHER) if _EITHER in value else value
    low, between, high = value.partition(_RANGE)
    return (low, high) if between else value


def _check(wanted: Synthesis) -> None:
    if wanted.rows is not None and wanted.rows < FEWEST_ROWS:
        raise BadSetting(f"at least {FEWEST_ROWS} rows must be made, to be judged, not {wanted.rows}")
    if not 0 <= wanted.holdout_share < 1:
        raise BadSetting(f"the share of rows to hold out must be 0 or more and below 1, not {wanted.holdout_share}")
    if wanted.load is not None and wanted.settings:
        raise BadSetting(f"a generator that was saved has its settings: leave {', '.join(wanted.settings)} out, or --load")


def _generator(wanted: Synthesis, tabsyndex: TabSynDex, schema: TableSchema) -> Generator:
    """The generator: a saved one, or a new one with the settings that were given."""
    if wanted.load is not None:
        return Generator.load(wanted.load)
    kind: Any = find(GENERATORS, wanted.generator, "generator")
    known = {each.name for each in fields(kind)}
    numbers = {each.name for each in fields(kind) if isinstance(each.default, float)}
    settings = {name: _setting(value, name in numbers) for name, value in wanted.settings.items()}
    if unknown := [name for name in settings if name not in known]:
        has = ", ".join(sorted(known)) or "none"
        raise BadSetting(f"{wanted.generator} has no setting {unknown[0]!r}; there are {has}")
    target = tabsyndex.target
    if "target" in known and "target" not in settings and target is not None and schema[target].kind == "category":
        settings["target"] = target
    try:
        found: Generator = kind(**settings)
    except TypeError as error:
        raise BadSetting(f"{wanted.generator} can't be made with {settings}: {error}") from error
    return found


def _setting(value: Any, number: bool) -> Any:
    """A setting as YAML has it, and numbers also as 1e-3, which is a text to YAML."""
    found = yaml.safe_load(value) if isinstance(value, str) else value
    if not number or not isinstance(found, str):
        return found
    try:
        return float(found)
    except ValueError as error:
        raise BadSetting(f"expected a number, not {value!r}") from error


def _parts(frame: "pd.DataFrame", wanted: Synthesis, seed: int) -> "tuple[pd.DataFrame, pd.DataFrame | None, tuple[str, ...]]":
    """Rows that are learned, rows to judge by, and what is to be said of them."""
    if wanted.holdout is not None:
        return frame, read_frame(wanted.holdout.expanduser()), ()
    if wanted.load is not None:
        return (
            frame,
            None,
            ("Which rows the saved generator learned isn't known here: give those, and others with --holdout.",),
        )
    held = round(wanted.holdout_share * len(frame))
    if held < FEWEST_ROWS or len(frame) - held < FEWEST_REAL:
        if wanted.holdout_share:
            return frame, None, ("The table is too small to hold rows back: all of them are learned.",)
        return frame, None, ()
    order = np.random.default_rng(seed).permutation(len(frame))
    said = f"{held:,} of {len(frame):,} real rows, drawn by the seed, were held back: the generator never saw them."
    return frame.iloc[np.sort(order[held:])], frame.iloc[np.sort(order[:held])], (said,)


def _narrowed(schema: TableSchema, learned: "pd.DataFrame") -> TableSchema:
    """The same kinds, with values and ranges of these rows alone: the generator's file must not hold those of others."""
    found = TableSchema.infer(learned, kinds={each.name: each.kind for each in schema})
    return TableSchema(tuple(replace(each, stated=schema[each.name].stated) for each in found))


def _fitted(
    generator: Generator,
    learned: "pd.DataFrame",
    schema: TableSchema,
    wanted: Synthesis,
    tabsyndex: TabSynDex,
    engine: Engine,
    say: Say,
) -> tuple[Generator, Made]:
    settings = {each.name: getattr(generator, each.name) for each in fields(generator)}
    conditions = ", ".join(wanted.conditions)
    if wanted.load is not None:
        if set(generator.schema.names) != set(schema.names):
            raise BadFile(f"{wanted.load} makes other columns than the real table has: {', '.join(generator.schema.names)}")
        return generator, Made(generator.name, generator.summary(), settings, conditions, str(wanted.load))
    started, monitor = time.perf_counter(), None
    if generator.trains:
        kept = engine.folder / "scores.json" if engine.folder is not None else None
        monitor = ScoreMonitor(tabsyndex, learned, every=wanted.every, patience=wanted.patience, say=say, keep=kept)
    say(f"{generator.name} learns {len(learned):,} rows ...")
    generator.fit(learned, engine, schema=schema, monitor=monitor)
    seconds = time.perf_counter() - started + engine.resumed_seconds
    training = None if monitor is None else Training(monitor.scores, monitor.best, _losses(generator))
    return generator, Made(generator.name, generator.summary(), settings, conditions, "", training, seconds)


def _losses(generator: Any) -> dict[str, tuple[float, ...]]:
    """By term its mean in each epoch."""
    rows: list[dict[str, float]] = [row["terms"] for row in generator.history]
    return {name: tuple(row.get(name, np.nan) for row in rows) for name in dict.fromkeys(name for row in rows for name in row)}


def _judged(tables: Tables, schema: TableSchema, conditions: Mapping[str, Any]) -> tuple[Tables, tuple[str, ...]]:
    """What is compared: under conditions, the real rows that satisfy them, as far as there are enough."""
    if not conditions:
        return tables, ()
    wanted = Conditions.of(schema, conditions)
    real = tables.real[wanted.satisfied(code(tables.real, schema, "the real table"))]
    if len(real) < FEWEST_REAL:
        return tables, (f"Only {len(real):,} real rows satisfy the conditions: the rows are judged beside all real ones.",)
    holdout = tables.holdout
    if holdout is not None:
        holdout = holdout[wanted.satisfied(code(holdout, schema, "the holdout table"))]
        holdout = holdout if len(holdout) >= FEWEST_ROWS else None
    said = f"Judged beside the {len(real):,} real rows that satisfy the conditions."
    return Tables(real, tables.synthetic, holdout, tables.names), (said,)
